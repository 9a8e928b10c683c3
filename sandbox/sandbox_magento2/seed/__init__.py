"""The shop as it is at the start: the recorded orders word for word, and made-up ones beside them.

The recordings speak of orders that were not recorded themselves (they ship order 6, invoice order 12 …). Those are
placed here with the ids, numbers and row ids the recordings use, so that a recorded exchange can be sent again.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any

from sandbox_magento2.catalogue import Catalogue
from sandbox_magento2.money import loads
from sandbox_magento2.order import Order
from sandbox_magento2.placing import Cart, CartLine, Customer, place
from sandbox_magento2.shop import STORE_VIEWS, Shop

#: When the recorded shop opened; the made-up orders are placed in the gaps between the recorded ones.
_OPENED = datetime(2026, 11, 24, 4, 12, 30, tzinfo=UTC)

_GUEST = Customer("guest@example.com", "Max", "Gast")
_BERLIN = {
    "city": "Berlin",
    "country_id": "DE",
    "firstname": "Max",
    "lastname": "Gast",
    "postcode": "10115",
    "region": "Berlin",
    "region_code": "BER",
    "region_id": 82,
    "street": ["Ring 1"],
    "telephone": "030-1",
}
_LOS_ANGELES = {
    **_BERLIN,
    "city": "Los Angeles",
    "country_id": "US",
    "postcode": "90001",
    "region": "California",
    "region_code": "CA",
    "region_id": 12,
}

#: entity_id, increment_id, first item_id, store view, cart
_MADE_UP: tuple[tuple[int, str, int, int, tuple[tuple[str, int], ...]], ...] = (
    (3, "2000000001", 12, 1, (("SIMPLE-1", 1), ("SIMPLE-2", 2), ("VIRT-1", 1))),
    (6, "000000005", 17, 0, (("SIMPLE-1", 1),)),
    (7, "000000006", 18, 0, (("SIMPLE-2", 2),)),
    (9, "000000008", 20, 0, (("SIMPLE-1", 1),)),
    (12, "000000011", 23, 0, (("SIMPLE-2", 3),)),
    (15, "000000014", 26, 0, (("MSI-1", 8),)),
)


def read(name: str) -> Any:
    """A seed file's content."""
    return loads(resources.files(__name__).joinpath(name).read_bytes())


def _names(prefix: str) -> list[str]:
    files = resources.files(__name__).iterdir()
    return sorted(file.name for file in files if file.name.startswith(prefix) and file.name.endswith(".json"))


def recorded_orders() -> list[dict[str, Any]]:
    """The recorded orders, oldest first."""
    documents = [read(name)["response"] for name in _names("order_")]
    return sorted(documents, key=lambda document: document["entity_id"])


def open_shop() -> Shop:
    """A shop with the recorded products and orders in it."""
    shop = Shop(Catalogue([read(name)["response"] for name in _names("product_")]))
    for document in recorded_orders():
        shop.add(Order.from_document(document, shop.catalogue))
    for entity_id, increment_id, item_id, view, lines in _MADE_UP:
        address = _LOS_ANGELES if view else _BERLIN
        cart = Cart(
            view=STORE_VIEWS[view],
            lines=tuple(CartLine(shop.catalogue[sku], quantity) for sku, quantity in lines),
            customer=_GUEST,
            billing=address,
            shipping=address,
            fixed=(entity_id, increment_id, item_id),
        )
        place(shop, cart, _OPENED + timedelta(seconds=5 * entity_id))
    return shop
