"""Shipments out of SAP Business One: deliveries in the running sandbox, and documents it does not play."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from b1_company import FLOW, SETTINGS, Company, Ledger, recorded, running

from datawald.domain.agent import Extracted, FlowView
from datawald.entities.shipment import Shipment
from datawald_b1agency import B1Agency
from datawald_b1agency.entities import shipment as shipments
from datawald_b1agency.entities.shipment import ShipmentSource
from datawald_b1agency.settings import B1Settings

D = Decimal


@pytest.fixture(scope="module")
def server() -> Iterator[Company]:
    with running() as company:
        yield company


@pytest.fixture
def company(server: Company) -> Company:
    server.reset()
    return server


def long_ago() -> datetime:
    return datetime.now(UTC) - timedelta(days=1)


def book(agency: B1Agency, name: str = "guest_discount_tax", source: str = "mage2_us", **changes: Any) -> int:
    """Book a recorded order; its DocEntry in SAP."""
    outcome = Ledger(agency, recorded(name).model_copy(update=changes), source).deliver()
    assert outcome.tgt_id, outcome.why
    return int(outcome.tgt_id)


def pulled(
    agency: B1Agency, since: datetime | None = None, cursor: Any = None, flow: FlowView = FLOW
) -> list[Extracted[Shipment]]:
    """Everything an extraction brings; it ends with a page that says so."""
    pages = list(agency.extract(flow, since or long_ago(), cursor))
    assert [page.more for page in pages] == [True] * (len(pages) - 1) + [False]
    return [item for page in pages for item in page.items]


def test_a_delivery_is_a_shipment_of_the_order_s_lines(company: Company) -> None:
    agency = company.agency(carriers={"3": {"carrier": "dhl", "title": "DHL"}}, notify=True)
    entry = book(agency)
    began = datetime.now(UTC) - timedelta(seconds=2)
    delivery = company.deliver(entry, tracking=True)
    (item,) = pulled(agency)
    shipped = item.canonical
    assert shipped is not None and item.src_id == "15.1/mage2_us:000000001/"
    assert began <= item.stamp <= datetime.now(UTC) + timedelta(seconds=2)
    assert began <= shipped.shipped_at <= datetime.now(UTC) + timedelta(seconds=2)
    assert (shipped.document, shipped.doc_num) == (f"15.{delivery}", "50001")
    assert (shipped.order_key, shipped.order_increment_id) == ("mage2_us:000000001", "000000001")
    assert [(line.line_id, line.sku, line.quantity) for line in shipped.lines] == [
        ("1", "SIMPLE-1", D(2)),
        ("2", "SIMPLE-2", D(3)),
    ]
    assert [(track.number, track.carrier, track.title) for track in shipped.tracks] == [("DW0000000001", "dhl", "DHL")]
    assert shipped.notify and not shipped.cancelled


def test_partial_deliveries_of_two_orders_in_one_go(company: Company) -> None:
    agency = company.agency()
    one, two = book(agency), book(agency, "configurable_bundle_virtual")
    company.deliver(one, partial=True)
    company.deliver(two, partial=True)
    company.deliver(one)
    found = {item.src_id: item.canonical for item in pulled(agency) if item.canonical}
    assert {src_id: [(line.line_id, line.quantity) for line in shipped.lines] for src_id, shipped in found.items()} == {
        "15.1/mage2_us:000000001/": [("1", D(1))],
        "15.2/mage2_us:000000002/": [("3", D(1))],
        "15.3/mage2_us:000000001/": [("1", D(1)), ("2", D(3))],
    }


def test_only_orders_of_the_flow_s_target(company: Company) -> None:
    agency = company.agency()
    ours, theirs = book(agency), book(agency, "customer", source="mage2_de")
    agency.connector.create(
        "Orders",
        {
            "CardCode": "C_WEB_DEFAULT_EUR",
            "DocDueDate": "2026-03-01",
            "DocumentLines": [{"ItemCode": "SIMPLE-1", "Quantity": 1, "UnitPrice": 5, "VatGroup": "A19"}],
        },
    )
    for entry in (ours, theirs, 3):
        company.deliver(entry)
    assert [item.src_id for item in pulled(agency)] == ["15.1/mage2_us:000000001/"]
    flow = FlowView("de", "shipment", "b1_main", "mage2_de")
    assert [item.src_id for item in pulled(agency, flow=flow)] == ["15.2/mage2_de:000000013/"]
    # one connection's name may begin like another's
    assert pulled(agency, flow=FlowView("x", "shipment", "b1_main", "mage2")) == []


def test_a_delivery_taken_back(company: Company) -> None:
    agency = company.agency()
    entry = book(agency)
    delivery = company.deliver(entry)
    assert agency.connector.action("DeliveryNotes", delivery, "CreateCancellationDocument")
    (item,) = pulled(agency)  # the cancelling document is a delivery note too, and none of ours
    assert item.canonical is not None and item.canonical.cancelled
    company.deliver(entry)
    assert [(one.src_id, one.canonical and one.canonical.cancelled) for one in pulled(agency)] == [
        ("15.1/mage2_us:000000001/", True),
        ("15.3/mage2_us:000000001/", False),
    ]


def test_lines_that_are_not_the_shop_s_are_left_out(company: Company) -> None:
    agency = company.agency(rounding={"carrier": "item", "item_code": "DW-0001", "vat_group": "A00"})
    entry = book(agency)
    line = {"ItemCode": "DW-0009", "Quantity": 1, "UnitPrice": 0, "VatGroup": "A19"}
    agency.connector.patch("Orders", entry, {"DocumentLines": [line]})
    company.deliver(entry)
    (item,) = pulled(agency)
    assert item.canonical is not None
    assert [line.line_id for line in item.canonical.lines] == ["1", "2"]


def test_one_shipment_per_source(company: Company) -> None:
    agency = company.agency(sources={"02": "outlet"})
    entry = book(agency)
    base = {"BaseType": 17, "BaseEntry": entry}
    lines = [
        {**base, "BaseLine": 0, "Quantity": 1, "WarehouseCode": "01"},
        {**base, "BaseLine": 0, "Quantity": 1, "WarehouseCode": "02"},
        {**base, "BaseLine": 1, "Quantity": 3, "WarehouseCode": "02"},
    ]
    agency.connector.create("DeliveryNotes", {"DocumentLines": lines, "TrackingNumber": "A1; A2 ,A1\nA3"})
    found = {item.src_id: item.canonical for item in pulled(agency) if item.canonical}
    assert {src_id: [(line.line_id, line.quantity) for line in one.lines] for src_id, one in found.items()} == {
        "15.1/mage2_us:000000001/": [("1", D(1))],
        "15.1/mage2_us:000000001/outlet": [("1", D(1)), ("2", D(3))],
    }
    assert [track.number for track in found["15.1/mage2_us:000000001/"].tracks] == ["A1", "A2", "A3"]
    only = list(agency.extract_ids(FLOW, ["15.1/mage2_us:000000001/outlet", "15.99/mage2_us:1/", "nonsense", "13.x/"]))
    assert [item.src_id for page in only for item in page.items] == ["15.1/mage2_us:000000001/outlet"]


def test_pages_go_on_where_they_ended(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipments, "PAGE_SIZE", 2)
    agency = company.agency()
    entry = book(agency, "configurable_bundle_virtual")
    for _ in range(5):
        company.deliver(entry, partial=True)
    whole = [item.src_id for item in pulled(agency)]
    assert len(whole) == 5
    pages = list(agency.extract(FLOW, long_ago(), None))
    for number, page in enumerate(pages[:-1]):
        rest = pulled(agency, cursor=dict(page.cursor))
        read = [item.src_id for one in pages[: number + 1] for item in one.items]
        assert read + [item.src_id for item in rest] == whole


def test_what_changed_before_is_not_read_again(company: Company) -> None:
    agency = company.agency()
    entry = book(agency)
    delivery = company.deliver(entry)
    assert len(pulled(agency)) == 1
    company.control("clock", {"advance_seconds": 120})
    since = agency.extract(FLOW, long_ago(), None) and datetime.now(UTC) + timedelta(seconds=60)
    assert pulled(agency, since) == []
    agency.connector.patch("DeliveryNotes", delivery, {"TrackingNumber": "LATE-1"})
    (item,) = pulled(agency, since)
    assert item.canonical is not None and item.canonical.tracks[0].number == "LATE-1"


# --- tracking numbers -------------------------------------------------------------------------------------------------


class Turned(ShipmentSource):
    """The source with clocks of its own."""

    def __init__(self, agency: B1Agency) -> None:
        self.seconds = 0.0
        super().__init__(agency, lambda: self.seconds)

    def _now(self) -> datetime:
        return super()._now() + timedelta(seconds=self.seconds)


def read(source: ShipmentSource, since: datetime) -> list[tuple[str, list[str]]]:
    items = [item for page in source.extract(FLOW, since, None) for item in page.items]
    return [(item.src_id, [track.number for track in item.canonical.tracks]) for item in items if item.canonical]


def test_a_number_that_comes_late_is_read_for_two_weeks(company: Company) -> None:
    agency = company.agency()
    source = Turned(agency)
    company.deliver(book(agency))
    assert read(source, datetime.now(UTC) - timedelta(hours=1)) == [("15.1/mage2_us:000000001/", [])]
    later = datetime.now(UTC) + timedelta(minutes=5)
    source.seconds = 3700
    assert read(source, later) == []  # nothing new to say
    company.control("deliveries/1/track", {"tracking": "T-1"})
    source.seconds = 2 * 3700
    stopped = source.extract(FLOW, later, None)
    assert [len(next(stopped).items) for _ in range(2)] == [0, 1]  # and then the page could not be stored
    assert read(source, later) == [("15.1/mage2_us:000000001/", ["T-1"])]
    source.seconds = 17 * 86400
    assert read(source, datetime.now(UTC) + timedelta(days=17)) == []


def test_the_look_at_old_deliveries_survives_a_new_process(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipments, "PAGE_SIZE", 1)
    agency = company.agency()
    for name in ("guest_discount_tax", "customer"):
        company.deliver(book(agency, name))
    company.control("deliveries/1/track", {"tracking": "T-1"})
    company.control("deliveries/2/track", {"tracking": "T-2"})
    since = datetime.now(UTC) + timedelta(minutes=5)
    cursors: list[Any] = [None]
    found = []
    while True:  # one page per process
        page = next(iter(company.agency().extract(FLOW, since, cursors[-1])))
        found += [item.src_id for item in page.items]
        cursors.append(dict(page.cursor))
        if not page.more:
            break
    assert found == ["15.1/mage2_us:000000001/", "15.2/mage2_us:000000013/"]


# --- what the sandbox does not play -----------------------------------------------------------------------------------


class Rows:
    """A connector that holds rows: invoices and what is drawn on them."""

    def __init__(self, **sets: list[dict[str, Any]]) -> None:
        self.sets = sets

    def changed_since(
        self, entity_set: str, *_: Any, after: int | None = None, **__: Any
    ) -> Iterator[Mapping[str, Any]]:
        return iter([row for row in self.sets.get(entity_set, []) if row["DocEntry"] > (after or 0)])

    def query(self, entity_set: str, *_: Any, **__: Any) -> Iterator[Mapping[str, Any]]:
        return iter(())

    def any_of(self, entity_set: str, field: str, values: list[Any], *_: Any, **__: Any) -> list[Mapping[str, Any]]:
        return [row for row in self.sets.get(entity_set, []) if row[field] in values]


class Stub:
    """An agent as far as a source needs one."""

    def __init__(self, connector: Rows, **changed: Any) -> None:
        self.connector = connector
        self.settings = B1Settings.model_validate(SETTINGS | changed)


def document(entry: int, *lines: tuple[int, int, int, int], **more: Any) -> dict[str, Any]:
    """A document with lines of (base type, base entry, base line, quantity)."""
    return {
        "DocEntry": entry,
        "DocNum": 900 + entry,
        "DocDate": "2026-03-02T00:00:00Z",
        "CreationDate": "2026-03-02T00:00:00Z",
        "DocTime": "09:30:00",
        "UpdateDate": "2026-03-02T00:00:00Z",
        "UpdateTime": "09:30:10",
        "CancelStatus": "csNo",
        "DocumentLines": [
            {
                "LineNum": number,
                "ItemCode": f"SKU-{number}",
                "Quantity": quantity,
                "BaseType": kind,
                "BaseEntry": base,
                "BaseLine": at,
                "WarehouseCode": "01",
                "U_DW_LINE": None,
            }
            for number, (kind, base, at, quantity) in enumerate(lines)
        ],
        **more,
    }


def web_order(entry: int, number: str, *line_ids: str) -> dict[str, Any]:
    order = document(entry, *((-1, 0, 0, 5) for _ in line_ids), U_DW_KEY=f"mage2_us:{number}")
    for line, line_id in zip(order["DocumentLines"], line_ids, strict=True):
        line["U_DW_LINE"] = line_id
    return order


def of_rows(connector: Rows, **changed: Any) -> dict[str, Any]:
    source = ShipmentSource(Stub(connector, **changed))
    since = datetime(2026, 3, 1, tzinfo=UTC)
    items = [item for page in source.extract(FLOW, since, None) for item in page.items]
    return {
        item.src_id: [(line.line_id, line.quantity) for line in item.canonical.lines]
        for item in items
        if item.canonical
    }


def test_reserve_invoices_and_invoices_that_deliver() -> None:
    connector = Rows(
        Orders=[web_order(1, "A", "11", "12"), web_order(2, "B", "21")],
        Invoices=[
            document(7, (17, 1, 0, 5), (17, 1, 1, 5), ReserveInvoice="tYES"),
            document(8, (17, 2, 0, 2), ReserveInvoice="tNO"),
            document(9, (15, 3, 0, 2), ReserveInvoice="tNO"),  # of a delivery: that one shipped already
        ],
        DeliveryNotes=[document(3, (13, 7, 1, 4), (13, 7, 1, 1))],
    )
    assert of_rows(connector, shipment_documents="both") == {
        "15.3/mage2_us:A/": [("12", D(5))],
        "13.8/mage2_us:B/": [("21", D(2))],
    }
    assert of_rows(connector, shipment_documents="invoices") == {"13.8/mage2_us:B/": [("21", D(2))]}


def test_one_delivery_for_two_orders_and_a_line_of_none() -> None:
    connector = Rows(
        Orders=[web_order(1, "A", "11"), web_order(2, "B", "21")],
        DeliveryNotes=[document(3, (17, 1, 0, 1), (17, 2, 0, 2), (-1, 0, 0, 9))],
    )
    assert of_rows(connector) == {"15.3/mage2_us:A/": [("11", D(1))], "15.3/mage2_us:B/": [("21", D(2))]}
    assert of_rows(connector, line_udf="") == {}


def test_the_hour_that_comes_twice_loses_nothing() -> None:
    """In Berlin 02:30 of 25 October 2026 is 00:30 and again 01:30 UTC."""
    row = document(3, (17, 1, 0, 1), UpdateDate="2026-10-25T00:00:00Z", UpdateTime="02:30:00")
    connector = Rows(Orders=[web_order(1, "A", "11")], DeliveryNotes=[row])
    source = ShipmentSource(Stub(connector, time_zone="Europe/Berlin"))
    pages = source.extract(FLOW, datetime(2026, 10, 25, 1, 15, tzinfo=UTC), None)
    (item,) = [item for page in pages for item in page.items]
    assert item.stamp == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # a cut date that is too early costs a second look


@pytest.mark.parametrize(
    "odd",
    [{"UpdateDate": None}, {"UpdateDate": None, "DocDate": None, "CreationDate": None}, {"UpdateTime": "9:30:10"}],
)
def test_a_delivery_with_an_odd_date_stops_nothing(odd: dict[str, Any]) -> None:
    connector = Rows(
        Orders=[web_order(1, "A", "11")],
        DeliveryNotes=[document(3, (17, 1, 0, 1), **odd), document(4, (17, 1, 0, 2))],
    )
    assert of_rows(connector) == {"15.3/mage2_us:A/": [("11", D(1))], "15.4/mage2_us:A/": [("11", D(2))]}
