"""Magento orders as canonical ones: every recorded one, made-up ones, and reading them from the running sandbox."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mage2_shop import FLOW, Shop, running

from datawald.domain.agent import Extracted, FlowView
from datawald.domain.errors import Misconfigured
from datawald.entities.order import Order
from datawald.http import from_json
from datawald_mage2agency import Mage2Settings
from datawald_mage2agency.entities.order import canonical_order
from datawald_mage2agency.unmappable import Unmappable
from datawald_mage2agent import Mage2Agent
from sandbox_magento2.actions import can_invoice, can_ship, cancel, invoice
from sandbox_magento2.generator import KINDS, make_order
from sandbox_magento2.seed import open_shop
from sandbox_magento2.shipments import ship
from sandbox_magento2.shop import Shop as ShopInMemory

RECORDED = Path(__file__).parents[1] / "recorded" / "magento2"
VIEWS = {"0": "admin", "1": "default", "2": "us", "3": "gross"}
GROSS = Mage2Settings(prices_include_tax=True)
NET = Mage2Settings(store_views={"gross": {"prices_include_tax": True}})


def recorded(name: str) -> dict[str, Any]:
    raw: dict[str, Any] = from_json((RECORDED / f"order_{name}.json").read_text())["response"]
    return raw


class Products:
    """Products as the shop's catalogue gives them; counts how often it was asked."""

    def __init__(self, *products: Mapping[str, Any]) -> None:
        self.known = {str(product["id"]): product for product in products}
        self.asked: list[str] = []

    def product(self, product_id: str) -> Mapping[str, Any] | None:
        self.asked.append(product_id)
        return self.known.get(product_id)


def mapped(raw: Mapping[str, Any], options: Mage2Settings = NET, *products: Mapping[str, Any]) -> Order:
    order = canonical_order(raw, store_views=VIEWS, settings=options, products=Products(*products))
    assert order.unexplained == 0
    return order


def rows(order: Order) -> list[tuple[str, str, str, str, str]]:
    """(line id, SKU, quantity, net, tax), as stored."""
    lines = order.model_dump(mode="json")["lines"]
    return [(line["line_id"], line["sku"], line["quantity"], line["net"], line["tax"]) for line in lines]


# --- the recorded orders ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", sorted(RECORDED.glob("order_*.json")), ids=lambda file: file.stem)
def test_every_recorded_order_adds_up(file: Path) -> None:
    raw = from_json(file.read_text())["response"]
    order = mapped(raw, GROSS if "include_tax" in file.stem else NET)
    assert order.grand_total == Decimal(str(raw["grand_total"]))
    assert order.increment_id == raw["increment_id"]
    assert order.currency == "EUR"
    assert order.placed_at.utcoffset() == timedelta(0)
    shipped = sum(Decimal(str(raw[name])) for name in ("shipping_amount", "shipping_tax_amount"))
    assert (order.freight is None) == (shipped == 0)
    assert Order.model_validate_json(order.model_dump_json()) == order


def test_configurable_bundles_and_virtual() -> None:
    order = mapped(recorded("configurable_bundle_virtual"))
    assert rows(order) == [
        ("3", "CFG-1-M", "2", "109.8", "20.86"),  # the parent's row: price, tax, discount; the child's SKU
        ("6", "SIMPLE-1", "1", "90", "17.1"),  # a dynamic bundle's children carry their own
        ("7", "SIMPLE-2", "2", "59.99", "11.4"),
        ("9", "SIMPLE-1", "2", "63", "11.97"),  # a fixed price, divided: nobody knows the products here, so by unit
        ("10", "SIMPLE-2", "4", "126", "23.94"),
        ("11", "VIRT-1", "1", "44.1", "8.38"),
    ]
    assert [line.kind for line in order.lines] == ["goods"] * 5 + ["service"]
    assert {tax.code for line in order.lines for tax in line.taxes} == {"DE-19"}
    assert order.lines[0].options == "Product CFG-1-M"
    assert order.freight is not None
    assert (order.freight.net, order.freight.tax, order.freight.taxes[0].code) == (
        Decimal("40.5"),
        Decimal("7.69"),
        "DE-19",
    )


def test_fixed_price_by_value_and_the_last_part_takes_the_cents() -> None:
    products = ({"id": 1, "sku": "SIMPLE-1", "price": 100}, {"id": 2, "sku": "SIMPLE-2", "price": Decimal("33.33")})
    order = mapped(recorded("configurable_bundle_virtual"), NET, *products)
    first, last = order.lines[3], order.lines[4]
    # 2 × 100 to 4 × 33.33 of 189.00 net and 35.91 tax
    assert (first.net, last.net) == (Decimal("113.40"), Decimal("75.60"))
    assert (first.net + last.net, first.tax + last.tax) == (Decimal("189.00"), Decimal("35.91"))
    named = NET.model_copy(update={"part_values": {"SIMPLE-1": Decimal(0), "SIMPLE-2": Decimal(1)}})
    assert mapped(recorded("configurable_bundle_virtual"), named).lines[4].net == Decimal("189.00")


def test_bundles_as_one_line() -> None:
    whole = NET.model_copy(update={"bundles": "parent"})
    order = mapped(recorded("configurable_bundle_virtual"), whole)
    assert rows(order)[1:3] == [("5", "BND-DYN", "1", "149.99", "28.5"), ("8", "BND-FIX", "2", "189", "35.91")]
    assert order.lines[1].options == "1 × Product SIMPLE-1\n2 × Product SIMPLE-2"
    only_one = NET.model_copy(update={"bundles_by_sku": {"BND-FIX": "parent"}})
    assert [line.sku for line in mapped(recorded("configurable_bundle_virtual"), only_one).lines][1:4] == [
        "SIMPLE-1",
        "SIMPLE-2",
        "BND-FIX",
    ]


def test_prices_that_include_tax() -> None:
    order = mapped(recorded("prices_include_tax_discount"), GROSS)
    # price × quantity would give 168.08 for the first row before discount: a cent too much
    assert rows(order) == [
        ("29", "SIMPLE-1", "2", "151.26", "28.74"),
        ("30", "SIMPLE-2", "3", "79.41", "15.09"),
        ("31", "CFG-1-M", "2", "92.27", "17.53"),
    ]
    assert order.freight is not None and (order.freight.net, order.freight.tax) == (Decimal("26.47"), Decimal("5.03"))


def test_the_wrong_price_mode_is_named() -> None:
    with pytest.raises(Unmappable, match=r"leave 6\.81 .* is prices_include_tax right for store view 'default'\?"):
        mapped(recorded("prices_include_tax_discount"))
    with pytest.raises(Unmappable, match="without tax nothing is left"):
        mapped(recorded("guest_discount_tax"), GROSS)


def test_guest_and_customer() -> None:
    guest = mapped(recorded("guest_discount_tax"))
    assert guest.customer.guest and guest.customer.name == "Max Gast" and guest.customer.group == "0"
    customer = mapped(recorded("customer"))
    assert customer.customer.customer_id == "1" and customer.customer.email == "jane@example.com"
    assert customer.billing.vat_id == "DE123456789"
    assert customer.shipping is not None
    assert (customer.shipping.street, customer.shipping.region_code, customer.shipping.country) == (
        ("Ring 1",),
        "BER",
        "DE",
    )


def test_virtual_order() -> None:
    order = mapped(recorded("virtual_only"))
    assert order.shipping is None and order.freight is None
    assert order.lines[0].kind == "service" and order.grand_total == Decimal("58.31")


def test_po_number_and_gift_message() -> None:
    order = mapped(recorded("gift_message"))
    assert (order.payment_method, order.po_number) == ("purchaseorder", "PO-77")
    assert order.gift_message == "To: Oma\nFrom: Max\nAlles Gute"


def test_custom_options_in_words_and_base_sku() -> None:
    product = {
        "id": 14,
        "sku": "OPT-1",
        "options": [
            {"option_id": 3, "title": "Engraving", "values": []},
            {"option_id": 4, "title": "Colour", "values": [{"option_type_id": 4, "title": "Blue"}]},
        ],
    }
    line = mapped(recorded("custom_options"), NET, product).lines[0]
    assert (line.sku, line.sku_alternatives) == ("OPT-1-BLU", ("OPT-1",))
    assert line.options == "Engraving: HELLO\nColour: Blue"
    gone = mapped(recorded("custom_options")).lines[0]
    assert (gone.sku_alternatives, gone.options) == ((), "Option 3: HELLO\nOption 4: 4")


def test_plain_orders_need_no_catalogue() -> None:
    products = Products()
    canonical_order(recorded("guest_discount_tax"), store_views=VIEWS, settings=NET, products=products)
    assert products.asked == []


# --- what holds an order, and what is no longer wanted ------------------------------------------------------------------


def test_cancelled_order_keeps_what_was_wanted() -> None:
    order = mapped(recorded("canceled"))
    assert order.cancelled and order.held == ""
    assert rows(order) == [("19", "SIMPLE-2", "1", "33.33", "6.33")]


@pytest.mark.parametrize(
    ("state", "method", "held"),
    [
        ("new", "checkmo", ""),
        ("new", "free", ""),
        ("new", "paypal_express", "payment by paypal_express is not confirmed"),
        ("processing", "paypal_express", ""),
        ("complete", "paypal_express", ""),
        ("closed", "checkmo", ""),
        ("pending_payment", "paypal_express", "payment is pending"),
        ("payment_review", "checkmo", "payment is under review"),
        ("holded", "checkmo", "the order is on hold in Magento"),
        ("odd", "checkmo", "the order's state 'odd' is not known"),
    ],
)
def test_held(state: str, method: str, held: str) -> None:
    raw = recorded("customer") | {"state": state}
    raw["payment"]["method"] = method
    assert mapped(raw).held == held


def test_held_is_part_of_the_hash_and_counters_are_not() -> None:
    raw = recorded("guest_discount_tax")
    before = mapped(raw)
    assert mapped(raw | {"state": "holded"}).content_hash() != before.content_hash()
    later = copy.deepcopy(raw) | {"state": "processing", "status": "processing", "updated_at": "2026-12-01 00:00:00"}
    for item in later["items"]:
        item |= {"qty_invoiced": item["qty_ordered"], "qty_shipped": item["qty_ordered"], "amount_refunded": 1}
    assert mapped(later).content_hash() == before.content_hash()


def counted(raw: dict[str, Any], **counters: Any) -> dict[str, Any]:
    """The order with its second row (3 × SIMPLE-2, net 89.99, tax 17.10) counted like this."""
    changed = copy.deepcopy(raw)
    changed["items"][1] |= counters
    return changed


def test_cancelled_and_refunded_units_are_taken_off() -> None:
    raw = recorded("guest_discount_tax")
    part = mapped(counted(raw, qty_canceled=1))
    assert rows(part)[1] == ("2", "SIMPLE-2", "2", "59.99", "11.4")
    # 348.06 less a third of 89.99 + 17.10, each rounded
    assert part.grand_total == Decimal("312.36")
    assert rows(mapped(counted(raw, qty_refunded=2, qty_invoiced=3)))[1] == ("2", "SIMPLE-2", "1", "30", "5.7")
    gone = mapped(counted(raw, qty_canceled=3))
    assert [line.line_id for line in gone.lines] == ["1"] and not gone.cancelled


def test_shipping_the_rest_changes_nothing() -> None:
    raw = recorded("guest_discount_tax")
    versions = {
        mapped(counted(raw, qty_refunded=1, qty_invoiced=3, qty_shipped=shipped)).content_hash() for shipped in range(3)
    }
    assert len(versions) == 1
    returned = mapped(counted(raw, qty_refunded=2, qty_invoiced=3, qty_shipped=3))
    assert returned.content_hash() == mapped(raw).content_hash()


def test_everything_refunded_before_shipping_is_a_cancel() -> None:
    raw = recorded("guest_discount_tax") | {"state": "closed"}
    for item in raw["items"]:
        item |= {"qty_invoiced": item["qty_ordered"], "qty_refunded": item["qty_ordered"]}
    assert mapped(raw).cancelled
    for item in raw["items"]:
        item["qty_shipped"] = item["qty_ordered"]
    assert not mapped(raw).cancelled


def test_a_bundle_shipped_together_counts_on_its_parent() -> None:
    raw = recorded("configurable_bundle_virtual")
    whole = mapped(raw).content_hash()
    by_id = {item["item_id"]: item for item in raw["items"]}
    by_id[8] |= {"qty_shipped": 2, "qty_invoiced": 2, "qty_refunded": 1}  # fixed price, a set came back
    assert mapped(raw).content_hash() == whole
    by_id[8] |= {"qty_shipped": 1}
    reduced = {line.line_id: line.quantity for line in mapped(raw).lines}
    assert (reduced["9"], reduced["10"]) == (1, 2)


# --- further amounts --------------------------------------------------------------------------------------------------


def test_an_unexplained_fee_is_named_with_its_size() -> None:
    raw = recorded("guest_discount_tax") | {"grand_total": Decimal("350.56")}
    with pytest.raises(Unmappable, match=r"do not add up.* a remainder of 2\.50"):
        mapped(raw)
    named = {"extras": [{"code": "fee", "field": "extension_attributes.fee"}]}
    raw["extension_attributes"]["fee"] = Decimal("2.5")
    order = mapped(raw, Mage2Settings.model_validate(named))
    assert [(extra.code, extra.amount) for extra in order.extras] == [("fee", Decimal("2.5"))]


@pytest.mark.parametrize("in_subtotal", [False, True])
def test_fixed_product_tax(in_subtotal: bool) -> None:
    raw = recorded("guest_discount_tax") | {"grand_total": Decimal("349.56")}
    raw["items"][1]["weee_tax_applied_row_amount"] = Decimal("1.5")
    if in_subtotal:
        raw["subtotal"] += Decimal("1.5")
    order = mapped(raw)
    assert [(extra.code, extra.amount) for extra in order.extras] == [("weee", Decimal("1.5"))]
    assert mapped(counted(raw, qty_canceled=1)).extras[0].amount == Decimal("1")


def test_a_gift_card_lowers_the_total() -> None:
    raw = recorded("guest_discount_tax") | {"grand_total": Decimal("338.06")}
    raw["extension_attributes"]["gift_cards_amount"] = 10
    assert mapped(raw).extras[0].amount == -10


def test_quantities_with_decimals_are_settled_to_the_cent() -> None:
    raw = recorded("customer")
    raw["items"][0] |= {"qty_ordered": Decimal("1.5"), "price": Decimal("9.99"), "tax_amount": Decimal("2.85")}
    raw |= {"subtotal": Decimal("14.985"), "tax_amount": Decimal("3.80"), "grand_total": Decimal("23.79")}
    order = mapped(raw)
    assert order.lines[0].net == Decimal("14.99") and order.grand_total == Decimal("23.79")


# --- made-up orders ---------------------------------------------------------------------------------------------------


@cache
def shop_in_memory() -> ShopInMemory:
    return open_shop()


@settings(max_examples=150, deadline=None)
@given(
    number=st.integers(0, 10_000),
    kind=st.sampled_from(sorted(KINDS)),
    view=st.sampled_from(["default", "us", "gross"]),
    bundles=st.sampled_from(["explode", "parent"]),
)
def test_every_made_up_order_adds_up(number: int, kind: str, view: str, bundles: str) -> None:
    shop = shop_in_memory()
    placed = make_order(shop, "property", number, datetime(2026, 12, 1, tzinfo=UTC), kind, view)
    raw = from_json(placed.text())
    catalogue = [from_json(json.dumps(one, default=str)) for one in shop.catalogue.documents()]
    order = mapped(raw, NET.model_copy(update={"bundles": bundles}), *catalogue)
    assert order.store_view == view and order.currency == raw["order_currency_code"]
    if kind == "partly_canceled":
        assert order.grand_total < Decimal(str(raw["grand_total"]))
    else:
        assert order.grand_total == Decimal(str(raw["grand_total"]))
    ids = [line.line_id for line in order.lines]
    assert len(ids) == len(set(ids)) and all(line.quantity > 0 for line in order.lines)


@settings(max_examples=60, deadline=None)
@given(
    number=st.integers(0, 10_000),
    kind=st.sampled_from(["mixed", "bundle_dynamic", "bundle_fixed", "configurable", "simple", "partly_canceled"]),
    bundles=st.sampled_from(["explode", "parent"]),
    units=st.integers(1, 2),
)
def test_shipping_and_invoicing_make_no_new_version(number: int, kind: str, bundles: str, units: int) -> None:
    shop = shop_in_memory()
    order = make_order(shop, "versions", number, datetime(2026, 12, 1, tzinfo=UTC), kind, "default")
    catalogue = [from_json(json.dumps(one, default=str)) for one in shop.catalogue.documents()]
    options = NET.model_copy(update={"bundles": bundles})
    versions = {mapped(from_json(order.text()), options, *catalogue).content_hash()}
    some = [
        {"order_item_id": item["item_id"], "qty": units}
        for item in order.items
        if not item["is_virtual"] and order.to_ship(item) > 0
    ]
    ship(shop, order, {"items": some})
    versions.add(mapped(from_json(order.text()), options, *catalogue).content_hash())
    if can_invoice(order):
        invoice(shop, order, {})
        versions.add(mapped(from_json(order.text()), options, *catalogue).content_hash())
    if can_ship(order):
        ship(shop, order, {})
        versions.add(mapped(from_json(order.text()), options, *catalogue).content_hash())
    assert len(versions) == 1


@pytest.mark.parametrize("sku", ["DW-BND-DYN", "DW-BND-SEP", "DW-BND-FIX", "DW-BND-BOX"])
@pytest.mark.parametrize("shipped", [False, True])
def test_the_rest_of_a_bundle_cancelled(sku: str, shipped: bool) -> None:
    shop = shop_in_memory()
    kind = "bundle_dynamic" if sku in ("DW-BND-DYN", "DW-BND-SEP") else "bundle_fixed"
    for number in range(200):
        order = make_order(shop, f"rest {sku}", number, datetime(2026, 12, 1, tzinfo=UTC), kind, "default")
        if order.items[0]["sku"].startswith(sku) and order.items[0]["qty_ordered"] == 3:
            break
    rows = [item for item in order.items if not order.is_dummy(item, shipping=False)]
    invoice(shop, order, {"items": [{"order_item_id": row["item_id"], "qty": row["qty_ordered"] / 3} for row in rows]})
    if shipped:
        rows = [item for item in order.items if order.to_ship(item)]
        ship(shop, order, {"items": [{"order_item_id": row["item_id"], "qty": row["qty_ordered"] / 3} for row in rows]})
    assert cancel(shop, order)
    mapped_order = mapped(from_json(order.text()))
    wanted = {line.line_id: line.quantity for line in mapped_order.lines}
    parts = {str(item["item_id"]): item["qty_ordered"] for item in order.items[1:]}
    assert not mapped_order.cancelled and wanted == {line: ordered / 3 for line, ordered in parts.items()}


# --- from the running shop --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Shop]:
    with running() as shop:
        yield shop


@pytest.fixture
def shop(sandbox: Shop) -> Shop:
    sandbox.reset()
    return sandbox


LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def read(
    shop: Shop, flow: FlowView = FLOW, cursor: dict[str, Any] | None = None, **options: Any
) -> list[Extracted[Order]]:
    return [item for page in shop.agency(**options).extract(flow, LONG_AGO, cursor) for item in page.items]


def test_extract_pages_and_resumes(shop: Shop) -> None:
    shop.reset(orders=60)
    pages = list(shop.agency(page_size=10).extract(FLOW, LONG_AGO))
    assert not pages[-1].more and all(page.more for page in pages[:-1])
    items = [item for page in pages for item in page.items]
    assert len(items) == len({item.src_id for item in items}) == shop.control("state")["orders"]["count"]
    assert [item.stamp for item in items] == sorted(item.stamp for item in items)
    # one recorded order is of a time when its view's prices included tax
    assert [item.src_id for item in items if item.problem] == ["000000017"]
    for number, page in enumerate(pages[:-1]):
        cursor = json.loads(json.dumps(page.cursor))
        rest = read(shop, cursor=cursor, page_size=10)
        assert [item.src_id for item in rest] == [item.src_id for later in pages[number + 1 :] for item in later.items]


def test_extract_since_is_inclusive(shop: Shop) -> None:
    since = datetime(2026, 11, 24, 4, 12, 30, tzinfo=UTC)
    items = [item for page in shop.agency().extract(FLOW, since) for item in page.items]
    assert min(item.stamp for item in items) == since


def test_extract_one_store_view(shop: Shop) -> None:
    us = [shop.place(kind="simple", store="us")["increment_id"] for _ in range(3)]
    shop.place(kind="simple", store="gross")
    flow = FlowView("us", "order", "mage2_us", "b1_main", {"store_views": ["us"]})
    assert [item.src_id for item in read(shop, flow)] == ["2000000001", *us]
    with pytest.raises(Misconfigured, match="no store view uk"):
        read(shop, FlowView("uk", "order", "mage2_us", "b1_main", {"store_views": ["uk"]}))
    with pytest.raises(Misconfigured, match=r"settings of flow odd: shop"):
        read(shop, FlowView("odd", "order", "mage2_us", "b1_main", {"shop": 1}))


def test_one_odd_order_does_not_stop_the_page(shop: Shop) -> None:
    broken = shop.control("orders/place", {"break": "fee"})["increment_ids"][0]
    good = shop.place(kind="simple")["increment_id"]
    found = {item.src_id: item for item in read(shop)}
    assert found[broken].canonical is None and "a remainder of" in found[broken].problem
    assert found[good].canonical is not None


def test_extract_ids(shop: Shop) -> None:
    placed = shop.place(kind="bundle_fixed", store="gross")
    pages = list(shop.agency().extract_ids(FLOW, [placed["increment_id"], "999999999"]))
    (item,) = pages[0].items
    assert item.canonical is not None and item.canonical.increment_id == placed["increment_id"]
    assert item.canonical.unexplained == 0 and item.raw["entity_id"] == placed["entity_id"]


def test_orders_of_before_are_left_out(shop: Shop) -> None:
    new = shop.place(kind="simple")["increment_id"]
    flow = FlowView("orders", "order", "mage2_us", "b1_main", {"placed_from": "2026-11-24T04:34:47Z"})
    assert [item.src_id for item in read(shop, flow)] == ["000000016", "000000017", new]
    (asked,) = [item for page in shop.agency().extract_ids(flow, ["000000001"]) for item in page.items]
    assert asked.unwanted == "placed before 2026-11-24 04:34 UTC, where this flow begins"


def test_the_sample_agent(shop: Shop) -> None:
    agent = shop.agency(Mage2Agent)
    (item,) = [item for page in agent.extract_ids(FLOW, ["000000004"]) for item in page.items]
    assert item.canonical.po_number == "DEFAULT/PO-77" and item.unwanted == ""
    free = item.canonical.model_copy(update={"grand_total": Decimal(0)})
    assert agent.unwanted("order", free, {}) == "a free sample: not booked"
    assert agent.carrier_for("our van") == "custom"


def test_clock_is_magentos(shop: Shop) -> None:
    assert abs(shop.agency().source("order").clock() - datetime.now(UTC)) < timedelta(seconds=5)


def test_doctor_proposes_the_price_mode(shop: Shop) -> None:
    for view in ("default", "us", "gross"):
        shop.control("orders/place", {"kind": "simple", "store": view, "count": 3})
    checks = {check.name: check for check in shop.agency(store_views={"uk": {}}).doctor()}
    assert checks["reachable"].ok and checks["may read shipments"].ok and checks["may read products"].ok
    assert checks["price mode of store view us"].ok
    wrong = checks["price mode of store view gross"]
    assert not wrong.ok and wrong.fix == "set store_views.gross.prices_include_tax = true"
    assert not checks["store view uk"].ok
    right = {check.name: check for check in shop.agency().doctor()}
    assert right["price mode of store view gross"].ok


def test_doctor_names_a_missing_right(shop: Shop) -> None:
    shop.control("switches", {"denied_resources": ["Magento_Catalog::products"]})
    checks = {check.name: check for check in shop.agency().doctor()}
    assert checks["may read orders"].ok and not checks["may read products"].ok
    assert "Magento_Catalog::products" in checks["may read products"].detail


def test_settings_are_checked_by_name(shop: Shop) -> None:
    with pytest.raises(Misconfigured, match=r"page_size: .*300"):
        shop.agency(page_size=1000)
    with pytest.raises(Misconfigured, match="ship_wen"):
        shop.agency(ship_wen="posted")
