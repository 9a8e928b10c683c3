"""What an order does not say by itself and the shop's catalogue does. Used by the order and the shipment mapping.

One :class:`Catalogue` lives as long as one extraction or one look-up: it remembers, and must not remember for longer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flask_mage2connector import Mage2Connector


class Catalogue:
    """The shop's products, by id: a SKU on an order row may be a composed one, or have been renamed since."""

    def __init__(self, connector: Mage2Connector) -> None:
        self._connector = connector
        self._known: dict[str, Mapping[str, Any] | None] = {}

    def product(self, product_id: str) -> Mapping[str, Any] | None:
        """The product with its global values; None where the shop has it no more."""
        self.read([product_id])
        return self._known.get(product_id)

    def read(self, product_ids: Iterable[str]) -> None:
        """Read these products now, in few requests, instead of one by one later."""
        missing = sorted({one for one in product_ids if one and one not in self._known})
        for start in range(0, len(missing), 50):
            chunk = missing[start : start + 50]
            wanted = [[("entity_id", "in", ",".join(chunk))]]
            found = self._connector.search("products", wanted, store="all", key="entity_id", key_shown="id")
            self._known |= dict.fromkeys(chunk) | {str(product["id"]): product for product in found}


def attribute(product: Mapping[str, Any], code: str) -> Any:
    """A custom attribute's value; None where the product has none."""
    for one in product.get("custom_attributes") or []:
        if one.get("attribute_code") == code:
            return one.get("value")
    return None


def ships_together(product: Mapping[str, Any] | None) -> bool:
    """Whether a bundle is shipped as one piece.

    ``shipment_type`` is 0 for together and 1 for separately, and stands on the product only. A product that is gone is
    taken for one that is shipped together, which is Magento's own default.
    """
    return product is None or str(attribute(product, "shipment_type") or "0") != "1"
