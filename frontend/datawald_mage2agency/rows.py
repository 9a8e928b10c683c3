"""The rows of a Magento order as they hang together, with their quantities. Used by the lines of orders and by shipments.

A configurable and a bundle are a parent row with child rows (``parent_item_id``); everything else is a row of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

from datawald_mage2agency.money import ZERO, number


@dataclass(frozen=True)
class Row:
    """One order row (``items[]``) and, for a configurable or a bundle, its child rows."""

    raw: Mapping[str, Any]
    children: tuple[Row, ...] = ()
    #: The order was cancelled after a part of it was invoiced: nothing but what was invoiced or shipped is wanted.
    rest_cancelled: bool = False

    @property
    def item_id(self) -> str:
        return str(self.raw["item_id"])

    @property
    def sku(self) -> str:
        return str(self.raw.get("sku") or "").strip()

    @property
    def name(self) -> str:
        return str(self.raw.get("name") or "").strip()

    @property
    def product_id(self) -> str:
        return str(self.raw.get("product_id") or "")

    @property
    def is_configurable(self) -> bool:
        return self.raw.get("product_type") == "configurable"

    @property
    def is_bundle(self) -> bool:
        """A bundle, or a third party's type that is made like one: children, and no single one of them is "it"."""
        return bool(self.children) and not self.is_configurable

    @property
    def is_virtual(self) -> bool:
        """Nothing to be shipped."""
        return bool(number(self.raw.get("is_virtual")))

    def amount(self, field: str) -> Decimal:
        return number(self.raw.get(field))

    @cached_property
    def ordered(self) -> Decimal:
        """A child's is already multiplied by its parent's."""
        return self.amount("qty_ordered")

    @property
    def has_fixed_price(self) -> bool:
        """A bundle with a price of its own: its children carry none. (Only the product says so in words.)"""
        return self.is_bundle and not any(
            child.amount("price") or child.amount("discount_amount") for child in self.children
        )

    @property
    def wanted(self) -> Decimal:
        """Units still wanted: cancelled ones, and refunded ones that were never shipped, are taken off.

        Whether a refunded unit had been shipped, Magento does not say. As many as are not shipped count as never shipped:
        so the number does not change when the rest is shipped, and not when shipped ones come back later.
        """
        return _wanted(
            self.ordered, self.amount("qty_canceled"), self.amount("qty_refunded"), self.amount("qty_shipped")
        )

    @property
    def open(self) -> Decimal:
        """Units that Magento still lets one ship."""
        gone = self.amount("qty_shipped") + self.amount("qty_refunded") + self.amount("qty_canceled")
        return max(self.ordered - gone, ZERO)

    def per_set(self, child: Row) -> Decimal:
        """How many units of ``child`` one unit of this bundle holds."""
        return child.ordered / self.ordered if self.ordered else ZERO

    def wanted_of(self, child: Row) -> Decimal:
        """Units of ``child`` still wanted. Which of the two rows counts what depends on price and shipment type."""
        per_set = self.per_set(child)
        # shipped together, only the parent counts; shipped separately, the parent's counter is no number of sets
        together = not any(one.amount("qty_shipped") for one in self.children)
        shipped = self.amount("qty_shipped") * per_set if together else child.amount("qty_shipped")
        # a bundle with a fixed price is invoiced, hence refunded and cancelled, through its parent
        counting, factor = (self, per_set) if self.has_fixed_price else (child, Decimal(1))
        canceled = max(counting.amount("qty_canceled") * factor, child.amount("qty_canceled"))
        if self.rest_cancelled:
            # Magento counts cancelled units only on rows that are both invoiced and shipped by themselves, which most rows
            # of bundles are not
            kept = max(counting.amount("qty_invoiced") * factor, shipped)
            canceled = max(canceled, child.ordered - kept)
        return _wanted(child.ordered, canceled, counting.amount("qty_refunded") * factor, shipped)


def _wanted(ordered: Decimal, canceled: Decimal, refunded: Decimal, shipped: Decimal) -> Decimal:
    left = max(ordered - canceled, ZERO)
    return left - min(refunded, max(left - shipped, ZERO))


def rows_of(order: Mapping[str, Any]) -> tuple[Row, ...]:
    """The order's rows that have no parent, each with its children, in the order's own sequence."""
    items = order.get("items") or []
    present = {str(item["item_id"]) for item in items}
    rest_cancelled = order.get("state") != "canceled" and number(order.get("total_canceled")) > 0
    children: dict[str, list[Row]] = {}
    for item in items:
        parent = str(item.get("parent_item_id") or "")
        if parent in present:
            children.setdefault(parent, []).append(Row(item))
    return tuple(
        Row(item, tuple(children.get(str(item["item_id"]), ())), rest_cancelled)
        for item in items
        if str(item.get("parent_item_id") or "") not in present
    )


def every_row(rows: tuple[Row, ...]) -> Iterator[Row]:
    """Parents and children, parents first."""
    for row in rows:
        yield row
        yield from row.children
