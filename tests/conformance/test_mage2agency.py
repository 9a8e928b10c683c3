"""The Magento agency keeps DataWald's promises: orders out of the sandbox, shipments into it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from datawald.domain.connection import Connection
from datawald.domain.errors import Misconfigured
from datawald.entities.shipment import Shipment
from datawald.testing import SourceConformance, TargetConformance
from datawald_mage2agency import Mage2Agency
from tests.agencies.mage2_shop import Shop, delivery, running


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Shop]:
    with running() as shop:
        yield shop


@pytest.fixture
def system(sandbox: Shop) -> Shop:
    sandbox.reset()
    return sandbox


class TestOrdersOutOfMagento(SourceConformance):
    agency, entity, target, most_per_page = Mage2Agency, "order", "b1_main", 2
    #: The shop comes with orders of its own, all of them older.
    flow_settings = {"placed_from": (datetime.now(UTC) - timedelta(hours=2)).isoformat()}

    def connection(self) -> Connection:
        return self.system.agency(page_size=2).connection

    def make(self, number: int) -> str:
        at = datetime.now(UTC) - timedelta(seconds=1000 - 10 * number)
        return str(self.system.place(kind="simple", at=at.isoformat())["increment_id"])

    def change(self, src_id: str) -> None:
        self.system.control(f"orders/{src_id}/change", {"what": "address"})

    def unmappable(self) -> str:
        return str(self.system.place(kind="simple", **{"break": "fee"})["increment_id"])


class TestShipmentsIntoMagento(TargetConformance):
    agency, entity, source = Mage2Agency, "shipment", "b1_main"

    def connection(self) -> Connection:
        return self.system.agency().connection

    def sample(self, number: int) -> Shipment:
        order = self.system.place(kind="paid")
        wanted = {str(item["item_id"]): 1 for item in order["items"]}
        return delivery(order, wanted, number, tracks=["T1"]).canonical

    def src_id(self, canonical: Shipment) -> str:
        return f"{canonical.document}/{canonical.order_key}/"

    def changed(self, canonical: Shipment) -> Shipment:
        late = canonical.tracks[0].model_copy(update={"number": "T2"})
        return canonical.model_copy(update={"tracks": (*canonical.tracks, late)})

    def refused(self) -> Shipment:
        elsewhere: dict[str, Any] = {"order_key": "mage2_us:999999999", "order_increment_id": "999999999"}
        return self.sample(99).model_copy(update=elsewhere)

    def count(self, key: str) -> int:
        shipped = self.system.control("state")["shipments"].values()
        return sum(key in "\n".join(one["comments"]).split() for of_order in shipped for one in of_order)

    def reset_after_commit(self) -> None:
        self.system.fault(kind="reset_after_commit", method="POST", path="*/ship", times=1)

    def server_error_on_write(self) -> None:
        self.system.fault(kind="status", status=502, method="POST", path="*/ship", times=1)

    def refuse_connection(self) -> None:
        self.system.fault(kind="reset_before")

    def recover(self) -> None:
        self.system.control("faults", method="DELETE")


def test_a_token_of_the_wrong_length_is_misconfigured_too(system: Shop) -> None:
    right = system.agency().connection
    short = replace(right, secrets={**right.secrets, "token": right.secrets["token"][:-1]})
    with pytest.raises(Misconfigured):
        Mage2Agency(short).probe()
