"""The SAP Business One agency keeps DataWald's promises: orders into the sandbox, shipments out of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from datawald.domain.connection import Connection
from datawald.entities.order import Order
from datawald.testing import Life, SourceConformance, TargetConformance
from datawald_b1agency import B1Agency
from datawald_b1agency.entities import shipment as shipments
from tests.agencies.b1_company import Company, connection, recorded, running


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Company]:
    with running() as company:
        yield company


@pytest.fixture
def system(sandbox: Company) -> Company:
    sandbox.reset()
    return sandbox


def order(number: int) -> Order:
    return recorded("guest_discount_tax").model_copy(update={"increment_id": f"{number:09}"})


class TestOrdersIntoSap(TargetConformance):
    agency, entity, source = B1Agency, "order", "mage2_us"

    def connection(self) -> Connection:
        return connection(self.system.url)

    def sample(self, number: int) -> Order:
        return order(number)

    def src_id(self, canonical: Order) -> str:
        return canonical.increment_id

    def changed(self, canonical: Order) -> Order:
        return canonical.model_copy(update={"po_number": "PO-2"})

    def refused(self) -> Order:
        first, *others = order(99).lines
        return order(99).model_copy(update={"lines": (first.model_copy(update={"sku": "NO-SUCH-SKU"}), *others)})

    def count(self, key: str) -> int:
        return sum(one["key"] == key for one in self.system.live())

    def reset_after_commit(self) -> None:
        self.system.fault(kind="reset_after_commit", method="POST", path="*/Orders", times=1)

    def server_error_on_write(self) -> None:
        self.system.fault(kind="status", status=502, method="POST", path="*/Orders", times=1)

    def refuse_connection(self) -> None:
        self.system.fault(kind="reset_before")

    def recover(self) -> None:
        self.system.control("faults", method="DELETE")


class TestShipmentsOutOfSap(SourceConformance):
    agency, entity, target, most_per_page = B1Agency, "shipment", "mage2_us", 2

    @pytest.fixture
    def system(self, system: Company, monkeypatch: pytest.MonkeyPatch) -> Company:
        monkeypatch.setattr(shipments, "PAGE_SIZE", 2)
        return system

    def connection(self) -> Connection:
        return connection(self.system.url)

    def make(self, number: int) -> str:
        booked = Life("order", self.target, "b1_main", f"{number:09}", order(number))
        (outcome,) = TestOrdersIntoSap.deliver(self, booked)  # type: ignore[arg-type]
        self.system.control("clock", {"advance_seconds": 10})
        entry = self.system.deliver(int(outcome.tgt_id))
        return f"15.{entry}/{booked.key}/"

    def change(self, src_id: str) -> None:
        entry = int(src_id.partition("/")[0].partition(".")[2])
        self.agent().connector.patch("DeliveryNotes", entry, {"TrackingNumber": "DW1"})
