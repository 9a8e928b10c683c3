"""What the shop sells, and what lies in its sources.

Two ranges stand side by side: the products of the recorded exchanges (``SIMPLE-1``, ``CFG-1`` …) and the sandbox's own,
``DW-0001`` to ``DW-0050``, from which the order generator draws. Prices are fixed and never depend on a seed; they are
what the catalogue states, so with tax inside in a store view whose prices include it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

#: Sources of the shop. Without a source_code a shipment takes ``default``.
SOURCES = ("default", "wh2", "wh3")
#: Options of DW-0041 to DW-0044: text on the SKU, option id, surcharge.
OPTIONS = (("BLU", "4", Decimal(5)), ("RED", "5", Decimal("2.50")))

_PLENTY = Decimal(1_000_000)


@dataclass(frozen=True)
class Selection:
    """One choice of a bundle: a product, how many of it per bundle, and what it adds to a fixed price."""

    option_id: int
    selection_id: int
    sku: str
    quantity: int
    surcharge: Decimal = Decimal(0)


@dataclass(frozen=True)
class Product:
    """A product as far as orders and shipments need it."""

    id: int
    sku: str
    name: str
    type_id: str
    price: Decimal
    weight: Decimal = Decimal("1.5")
    #: configurable: the SKU of each size, by the option's value
    sizes: dict[int, str] = field(default_factory=dict)
    #: bundle
    selections: tuple[Selection, ...] = ()
    dynamic_price: bool = False
    dynamic_sku: bool = False
    ship_separately: bool = False
    custom_options: bool = False

    @property
    def is_virtual(self) -> bool:
        """Virtual products are never shipped and weigh nothing in an order."""
        return self.type_id == "virtual"


def _own_products() -> Iterator[Product]:
    for number in range(1, 51):
        price = Decimal(499 + number * 1733 % 19_501) / 100
        virtual = number > 45
        yield Product(
            100 + number,
            f"DW-{number:04}",
            f"DataWald item {number}",
            "virtual" if virtual else "simple",
            price,
            Decimal(number % 7 + 1) / 2,
            custom_options=41 <= number <= 44,
        )
    yield Product(
        161,
        "DW-CFG-1",
        "DataWald shirt",
        "configurable",
        Decimal("24.90"),
        sizes={4: "DW-0031", 5: "DW-0032", 6: "DW-0033"},
    )
    yield Product(
        162,
        "DW-CFG-2",
        "DataWald boots",
        "configurable",
        Decimal("61"),
        sizes={4: "DW-0034", 5: "DW-0035", 6: "DW-0036"},
    )
    yield Product(
        163,
        "DW-BND-DYN",
        "DataWald set",
        "bundle",
        Decimal(0),
        selections=(Selection(11, 11, "DW-0001", 1), Selection(12, 12, "DW-0002", 2)),
        dynamic_price=True,
    )
    yield Product(
        164,
        "DW-BND-SEP",
        "DataWald kit",
        "bundle",
        Decimal(0),
        selections=(Selection(13, 13, "DW-0003", 1), Selection(14, 14, "DW-0004", 3)),
        dynamic_price=True,
        dynamic_sku=True,
        ship_separately=True,
    )
    yield Product(
        165,
        "DW-BND-FIX",
        "DataWald case",
        "bundle",
        Decimal("79.99"),
        Decimal("4.5"),
        selections=(
            Selection(15, 15, "DW-0005", 1, Decimal("9.99")),
            Selection(16, 16, "DW-0006", 2, Decimal("5")),
        ),
        ship_separately=True,
    )
    yield Product(
        166,
        "DW-BND-BOX",
        "DataWald box",
        "bundle",
        Decimal("39.95"),
        Decimal("3"),
        selections=(Selection(17, 17, "DW-0007", 2), Selection(18, 18, "DW-0008", 1, Decimal("4.5"))),
    )


def _recorded_products() -> Iterator[Product]:
    yield Product(1, "SIMPLE-1", "Product SIMPLE-1", "simple", Decimal(100))
    yield Product(2, "SIMPLE-2", "Product SIMPLE-2", "simple", Decimal("33.33"))
    yield Product(4, "VIRT-1", "Product VIRT-1", "virtual", Decimal(49))
    for number, size in enumerate("SML"):
        yield Product(5 + number, f"CFG-1-{size}", f"Product CFG-1-{size}", "simple", Decimal(60 + number))
    yield Product(
        8, "CFG-1", "Product CFG-1", "configurable", Decimal(61), sizes={4: "CFG-1-S", 5: "CFG-1-M", 6: "CFG-1-L"}
    )
    yield Product(
        9,
        "BND-DYN",
        "Product BND-DYN",
        "bundle",
        Decimal(0),
        Decimal("4.5"),
        selections=(Selection(1, 1, "SIMPLE-1", 1), Selection(2, 2, "SIMPLE-2", 2)),
        dynamic_price=True,
    )
    yield Product(
        10,
        "BND-FIX",
        "Product BND-FIX",
        "bundle",
        Decimal(80),
        Decimal("4.5"),
        selections=(Selection(3, 3, "SIMPLE-1", 1, Decimal(15)), Selection(4, 4, "SIMPLE-2", 2, Decimal(5))),
        ship_separately=True,
    )
    yield Product(12, "MSI-1", "MSI 1", "simple", Decimal(20), Decimal(1))
    yield Product(14, "OPT-1", "Engraved", "simple", Decimal(20), Decimal(1), custom_options=True)


class Catalogue:
    """The products by SKU (case ignored, as Magento does) and id, and the physical quantity per source."""

    def __init__(self, recorded: list[dict[str, Any]]) -> None:
        products = [*_recorded_products(), *_own_products()]
        self.by_id = {product.id: product for product in products}
        self._by_sku = {product.sku.casefold(): product for product in products}
        self._recorded = {document["sku"].casefold(): document for document in recorded}
        self.stock: dict[tuple[str, str], Decimal] = {}
        for product in products:
            if product.type_id == "simple":
                self.stock["default", product.sku] = _PLENTY
                for source in SOURCES[1:]:
                    self.stock[source, product.sku] = Decimal(1000)
        # As in the recordings, where five of wh2 and seven of wh3 were shipped one after another.
        self.stock["default", "MSI-1"] = Decimal(1)
        self.stock["wh2", "MSI-1"] = Decimal(5)
        self.stock["wh3", "MSI-1"] = Decimal(7)

    def find(self, sku: str) -> Product | None:
        """The product with that SKU, however it is cased."""
        return self._by_sku.get(sku.casefold())

    def __getitem__(self, sku: str) -> Product:
        return self._by_sku[sku.casefold()]

    def take(self, source: str, wanted: dict[str, Decimal]) -> bool:
        """Take units out of a source, all or none; False if the source is unknown or has too little."""
        if source not in SOURCES:
            return False
        if any(self.stock.get((source, sku), Decimal(0)) < quantity for sku, quantity in wanted.items()):
            return False
        for sku, quantity in wanted.items():
            self.stock[source, sku] -= quantity
        return True

    def source_items(self) -> list[dict[str, Any]]:
        """The rows of ``/V1/inventory/source-items``."""
        return [
            {"sku": sku, "source_code": source, "quantity": quantity, "status": 1}
            for (source, sku), quantity in self.stock.items()
        ]

    def documents(self) -> list[dict[str, Any]]:
        """All products as REST shows them."""
        return [self.document(product) for product in self.by_id.values()]

    def document(self, product: Product) -> dict[str, Any]:
        """One product as REST shows it: recorded where it was recorded, else the same keys filled in."""
        recorded = self._recorded.get(product.sku.casefold())
        if recorded is not None:
            return recorded
        extension: dict[str, Any] = {
            "website_ids": [1],
            "category_links": [{"position": 0, "category_id": "4"}],
            "stock_item": self._stock_item(product),
        }
        if product.sizes:
            extension["configurable_product_options"] = [
                {
                    "id": product.id,
                    "attribute_id": "137",
                    "label": "Size",
                    "position": 0,
                    "values": [{"value_index": value} for value in product.sizes],
                    "product_id": product.id,
                }
            ]
            extension["configurable_product_links"] = [self[sku].id for sku in product.sizes.values()]
        if product.selections:
            extension["bundle_product_options"] = [self._bundle_option(product, one) for one in product.selections]
        return {
            "id": product.id,
            "sku": product.sku,
            "name": product.name,
            "attribute_set_id": 4,
            "price": Decimal(0) if product.sizes else product.price,
            "status": 1,
            "visibility": 4,
            "type_id": product.type_id,
            "created_at": "2026-11-24 04:11:00",
            "updated_at": "2026-11-24 04:11:00",
            "weight": product.weight,
            "extension_attributes": extension,
            "product_links": [],
            "options": [],
            "media_gallery_entries": [],
            "tier_prices": [],
            "custom_attributes": _custom_attributes(product),
        }

    def _bundle_option(self, product: Product, one: Selection) -> dict[str, Any]:
        return {
            "option_id": one.option_id,
            "title": f"Option {one.option_id}",
            "required": True,
            "type": "select",
            "position": one.option_id,
            "sku": product.sku,
            "product_links": [
                {
                    "id": str(one.selection_id),
                    "sku": one.sku,
                    "option_id": one.option_id,
                    "qty": one.quantity,
                    "position": 1,
                    "is_default": True,
                    "price": self[one.sku].price if product.dynamic_price else one.surcharge,
                    "price_type": None if product.dynamic_price else 0,
                    "can_change_quantity": 0,
                }
            ],
        }

    def _stock_item(self, product: Product) -> dict[str, Any]:
        return {
            "item_id": product.id,
            "product_id": product.id,
            "stock_id": 1,
            "qty": self.stock.get(("default", product.sku), Decimal(0)),
            "is_in_stock": True,
            "is_qty_decimal": False,
            "use_config_manage_stock": True,
            "manage_stock": True,
        }


def _custom_attributes(product: Product) -> list[dict[str, Any]]:
    attributes: dict[str, Any] = {}
    if product.type_id == "bundle":
        attributes["shipment_type"] = "1" if product.ship_separately else "0"
        attributes["sku_type"] = "0" if product.dynamic_sku else "1"
        attributes["price_type"] = "0" if product.dynamic_price else "1"
    attributes["url_key"] = product.sku.lower()
    attributes["tax_class_id"] = "2"
    attributes["category_ids"] = ["4"]
    return [{"attribute_code": code, "value": value} for code, value in attributes.items()]
