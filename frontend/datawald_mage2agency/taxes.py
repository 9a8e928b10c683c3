"""Which taxes Magento applied to which row and to shipping, by its own codes and rates. Used by lines and totals."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from datawald.entities.order import AppliedTax
from datawald_mage2agency.money import ZERO, number
from datawald_mage2agency.rows import Row


class Taxes:
    """The taxes of one order.

    They stand in ``extension_attributes.item_applied_taxes`` (seen on 2.4.6 and 2.4.7-p3). The schema of 2.4.7-p3 also has
    ``itemized_taxes`` on rows and ``additional_itemized_taxes`` on the order; those are read where the first is missing.
    """

    def __init__(self, order: Mapping[str, Any]) -> None:
        extension = order.get("extension_attributes") or {}
        self._by_item: dict[str, tuple[AppliedTax, ...]] = {}
        self._shipping: tuple[AppliedTax, ...] = ()
        #: Tax on things that are neither row nor shipping (gift wrapping, FPT), gross of nothing: the amount by its kind.
        self.on_others: dict[str, Decimal] = {}
        for entry in extension.get("item_applied_taxes") or []:
            applied = entry.get("applied_taxes") or []
            taxes = tuple(AppliedTax(code=str(one["code"]), percent=number(one.get("percent"))) for one in applied)
            kind = entry.get("type")
            if kind == "product":
                self._by_item[str(entry.get("item_id"))] = taxes
            elif kind == "shipping":
                self._shipping = taxes
            else:
                amount = sum((number(one.get("amount")) for one in applied), ZERO)
                self.on_others[str(kind)] = self.on_others.get(str(kind), ZERO) + amount
        if not self._shipping:
            additional = extension.get("additional_itemized_taxes") or []
            self._shipping = _itemized([one for one in additional if one.get("taxable_item_type") == "shipping"])

    def on(self, row: Row) -> tuple[AppliedTax, ...]:
        """The taxes of a row; its bare rate where Magento names no code; nothing where it took none."""
        known = self._by_item.get(row.item_id) or _itemized(
            (row.raw.get("extension_attributes") or {}).get("itemized_taxes") or []
        )
        if known or not row.amount("tax_percent"):
            return known
        return (AppliedTax(code="", percent=row.amount("tax_percent")),)

    def on_shipping(self) -> tuple[AppliedTax, ...]:
        return self._shipping


def _itemized(entries: list[Mapping[str, Any]]) -> tuple[AppliedTax, ...]:
    return tuple(AppliedTax(code=str(one["tax_code"]), percent=number(one.get("tax_percent"))) for one in entries)
