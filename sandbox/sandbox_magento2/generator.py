"""Makes orders up: of every kind, the same ones for the same seed.

An order depends on its seed and its number alone, so order 7 of seed 1 is the same whether 10 or 10,000 are placed.
Ids and times come from the shop: placing the same seed twice gives the same carts under new numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from random import Random
from typing import Any

from sandbox_magento2 import actions
from sandbox_magento2.catalogue import Product
from sandbox_magento2.order import Order
from sandbox_magento2.placing import PAYMENT_METHODS, Cart, CartLine, Customer, place
from sandbox_magento2.shop import STORE_VIEWS, Shop, StoreView

_GERMAN = (
    ("Berlin", "10115", "Berlin", "BER", 82, ["Ring 1"], "030-1"),
    ("München", "80331", "Bayern", "BAY", 81, ["Sendlinger Straße 12", "2. OG"], "+49 89 4455"),
    ("Köln", "50667", "Nordrhein-Westfalen", "NRW", 88, ["Hohe Straße 77", "Hinterhaus"], "0221 998877"),
    ("Hamburg", "20095", "Hamburg", "HAM", 85, ["Mönckebergstraße 3"], "+49 (40) 123-456"),
    ("Stuttgart", "70173", "Baden-Württemberg", "BAW", 80, ["Königstraße 1A"], "0711/5544"),
)
_AMERICAN = (
    ("Los Angeles", "90001", "California", "CA", 12, ["77 Sunset Blvd", "Apt 4"], "+1 213 555 0100"),
    ("San Francisco", "94103", "California", "CA", 12, ["1 Market St"], "(415) 555-0101"),
    ("New York", "10001", "New York", "NY", 43, ["350 5th Ave", "Fl 20"], "+1 212 555 0102"),
)
_PEOPLE = (
    ("Max", "Gast"),
    ("Jürgen", "Groß"),
    ("Anna-Lena", "von der Heide"),
    ("Zoë", "O'Neill"),
    ("José", "García"),
    ("Ida", "Sørensen"),
)
_COMPANIES = (None, None, None, "Müller & Söhne GmbH", "Acme Widgets, Inc.")

#: kind -> chance of it when none is asked for
KINDS: dict[str, int] = {
    "simple": 30,
    "registered": 12,
    "configurable": 10,
    "bundle_dynamic": 8,
    "bundle_fixed": 8,
    "virtual": 4,
    "custom_options": 6,
    "coupon": 8,
    "mixed": 6,
    "purchase_order": 4,
    "gift_message": 2,
    "paid": 8,
    "partly_canceled": 4,
    "pending_payment": 2,
    "holded": 1,
}
#: store view -> chance of it when none is asked for
_VIEW_CHANCES = (6, 3, 3)

_LineMaker = Callable[[Shop, Random], list[CartLine]]


def _number(random: Random, low: int, high: int) -> str:
    return f"DW-{random.randint(low, high):04}"


def _simple(shop: Shop, random: Random) -> list[CartLine]:
    count = random.choice((1, 1, 2, 2, 3, 4))
    skus = dict.fromkeys(_number(random, 1, 40) for _ in range(count))
    return [CartLine(shop.catalogue[sku], random.choice((1, 1, 1, 2, 3, 5))) for sku in skus]


def _configurable(shop: Shop, random: Random) -> list[CartLine]:
    sku = random.choice(("DW-CFG-1", "DW-CFG-2"))
    return [CartLine(shop.catalogue[sku], random.randint(1, 3), random.choice((4, 5, 6)))]


def _bundle_dynamic(shop: Shop, random: Random) -> list[CartLine]:
    return [CartLine(shop.catalogue[random.choice(("DW-BND-DYN", "DW-BND-SEP"))], random.randint(1, 3))]


def _bundle_fixed(shop: Shop, random: Random) -> list[CartLine]:
    return [CartLine(shop.catalogue[random.choice(("DW-BND-FIX", "DW-BND-BOX"))], random.randint(1, 3))]


def _virtual(shop: Shop, random: Random) -> list[CartLine]:
    return [CartLine(shop.catalogue[_number(random, 46, 50)], random.randint(1, 2))]


def _custom_options(shop: Shop, random: Random) -> list[CartLine]:
    return [CartLine(shop.catalogue[_number(random, 41, 44)], random.randint(1, 2), random.choice((1, 2)))]


def _mixed(shop: Shop, random: Random) -> list[CartLine]:
    makers = (_configurable, _bundle_dynamic, _bundle_fixed, _virtual, _custom_options, _simple)
    return [line for maker in makers for line in maker(shop, random)]


def _several(shop: Shop, random: Random) -> list[CartLine]:
    sku = random.choice(("DW-CFG-1", "DW-CFG-2"))
    return [
        CartLine(shop.catalogue[_number(random, 1, 40)], random.randint(3, 6)),
        CartLine(shop.catalogue[sku], random.randint(2, 4), random.choice((4, 5, 6))),
    ]


_LINES: dict[str, _LineMaker] = {
    "configurable": _configurable,
    "bundle_dynamic": _bundle_dynamic,
    "bundle_fixed": _bundle_fixed,
    "virtual": _virtual,
    "custom_options": _custom_options,
    "coupon": _mixed,
    "mixed": _mixed,
    "partly_canceled": _several,
}


def make_order(
    shop: Shop,
    seed: object,
    number: int,
    at: datetime,
    kind: str | None = None,
    view_code: str | None = None,
    sku: str | None = None,
) -> Order:
    """Place order ``number`` of ``seed``. ``sku`` adds a row with a SKU that the catalogue need not know."""
    random = Random(f"{seed}/{number}")  # noqa: S311 - repeatable, not secret
    drawn_kind = random.choices(list(KINDS), list(KINDS.values()))[0]
    drawn_view = random.choices(STORE_VIEWS, _VIEW_CHANCES)[0]
    kind = kind or drawn_kind
    if kind not in KINDS:
        raise ValueError(f"kind: there is no {kind!r}; there are {', '.join(KINDS)}")
    view = _view(view_code) if view_code else drawn_view
    lines = _LINES.get(kind, _simple)(shop, random)
    if sku is not None:
        product = shop.catalogue.find(sku) or Product(9_999_999, sku, f"Unknown {sku}", "simple", Decimal("12.34"))
        lines.append(CartLine(product, 1))
    order = place(shop, _cart(view, kind, lines, random), at, random.randint(2, 4))
    _afterwards(shop, order, kind)
    return order


def _view(code: str) -> StoreView:
    for view in STORE_VIEWS:
        if view.code == code:
            return view
    raise ValueError(f"store: there is no {code!r}; there are {', '.join(view.code for view in STORE_VIEWS)}")


def _cart(view: StoreView, kind: str, lines: list[CartLine], random: Random) -> Cart:
    registered = kind == "registered" or random.random() < 0.25
    firstname, lastname = random.choice(_PEOPLE)
    if registered:
        number = random.randint(2, 40)
        taxvat = f"DE{100_000_000 + number}" if view.code != "us" and number % 3 == 0 else None
        customer = Customer(f"customer{number}@example.com", firstname, lastname, number, taxvat)
    else:
        customer = Customer(f"guest{random.randint(1, 9999)}@example.com", firstname, lastname)
    places = _AMERICAN if view.code == "us" else _GERMAN
    shipping = _address(random.choice(places), firstname, lastname, random)
    billing = shipping
    if random.random() < 0.3:
        # Within one state, so that it does not matter which address decides the tax.
        same_state = [place for place in places if place[3] == shipping["region_code"]]
        billing = _address(random.choice(same_state), *random.choice(_PEOPLE), random)
    if customer.taxvat:
        billing = {**billing, "vat_id": customer.taxvat}
    payment, po_number = random.choice(("checkmo", "checkmo", "banktransfer", "cashondelivery")), None
    if kind == "purchase_order":
        payment, po_number = "purchaseorder", f"PO-{random.randint(1000, 9999)}"
    elif kind == "pending_payment":
        payment = "paypal_express"
    return Cart(
        view=view,
        lines=tuple(lines),
        customer=customer,
        billing=billing,
        shipping=None if all(line.product.is_virtual for line in lines) else shipping,
        payment=payment,
        po_number=po_number,
        coupon=kind == "coupon" or random.random() < 0.15,
        gift_message="Alles Gute zum Geburtstag" if kind == "gift_message" else None,
    )


def _address(place: tuple[Any, ...], firstname: str, lastname: str, random: Random) -> dict[str, Any]:
    city, postcode, region, region_code, region_id, street, telephone = place
    address = {
        "city": city,
        "country_id": "US" if region_id < 60 else "DE",
        "firstname": firstname,
        "lastname": lastname,
        "postcode": postcode,
        "region": region,
        "region_code": region_code,
        "region_id": region_id,
        "street": list(street),
        "telephone": telephone,
    }
    company = random.choice(_COMPANIES)
    return {**address, "company": company} if company else address


def _afterwards(shop: Shop, order: Order, kind: str) -> None:
    """What happens to orders of some kinds before anyone reads them."""
    placed = order.data["updated_at"]
    if kind == "paid":
        actions.invoice(shop, order, {})
    elif kind == "partly_canceled":
        # Part of every row is invoiced, the rest is cancelled: the order stays alive with less in it.
        wanted = [
            {"order_item_id": item["item_id"], "qty": int(item["qty_ordered"]) - 1}
            for item in order.items
            if order.to_invoice(item) > 1
        ]
        actions.invoice(shop, order, {"items": wanted})
        actions.cancel(shop, order)
    elif kind == "holded":
        actions.hold(shop, order)
    if order.data["updated_at"] != placed:
        with shop.changing(order, bump=False):
            order.data["updated_at"] = placed


__all__ = ["KINDS", "PAYMENT_METHODS", "make_order"]
