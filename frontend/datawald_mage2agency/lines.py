"""Order rows to the lines a backoffice books, with their net amounts. Used by the order mapping.

A configurable is one line; a bundle is its parts, or one line. The net amount of a row depends on the store view's price
mode and never comes from ``row_total``, which means different things in different Magento versions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Protocol

from datawald.entities.order import AppliedTax, OrderLine
from datawald_mage2agency.money import ZERO, cents, number, shares
from datawald_mage2agency.rows import Row
from datawald_mage2agency.settings import Mage2Settings
from datawald_mage2agency.taxes import Taxes


class Products(Protocol):
    """Where products are looked up (:class:`~datawald_mage2agency.catalogue.Catalogue`)."""

    def product(self, product_id: str) -> Mapping[str, Any] | None: ...


@dataclass(frozen=True)
class Booked:
    """A line as ordered, before what is no longer wanted is taken off."""

    row: Row
    sku: str
    sku_alternatives: tuple[str, ...]
    ordered: Decimal
    wanted: Decimal
    net: Decimal
    tax: Decimal
    #: Fixed product tax, which is in neither ``net`` nor ``tax``.
    weee: Decimal
    taxes: tuple[AppliedTax, ...]
    options: str = ""

    def remaining(self, amount: Decimal) -> Decimal:
        """The part of ``amount`` that belongs to the units still wanted, to the cent."""
        if self.wanted == self.ordered:
            return amount
        return cents(amount * self.wanted / self.ordered)

    def line(self) -> OrderLine:
        """What remains wanted of it, as a canonical line."""
        return OrderLine(
            line_id=self.row.item_id,
            sku=self.sku,
            sku_alternatives=self.sku_alternatives,
            name=self.row.name,
            quantity=self.wanted,
            net=self.remaining(self.net),
            tax=self.remaining(self.tax),
            taxes=self.taxes,
            kind="service" if self.row.is_virtual else "goods",
            options=self.options,
        )


def booked_lines(
    rows: Iterable[Row], *, gross: bool, taxes: Taxes, settings: Mage2Settings, products: Products
) -> list[Booked]:
    """Every line of the order as ordered, net amounts not rounded. ``gross``: the store view's prices include tax."""
    lines: list[Booked] = []
    for row in rows:
        if not row.is_bundle:
            lines.append(_single(row, gross, taxes, products))
        elif _rule(row, settings, products) == "parent":
            lines.append(_whole_bundle(row, gross, taxes, products))
        elif row.has_fixed_price:
            lines += _parts_of_fixed_price(row, gross, taxes, settings, products)
        else:
            lines += [_part(row, child, gross, taxes) for child in row.children]
    return lines


def product_ids(rows: Iterable[Row]) -> Iterator[str]:
    """The products that may have to be looked up for these rows."""
    for row in rows:
        if row.is_bundle:
            yield from (one.product_id for one in (row, *row.children))
        elif _custom_options(row):
            yield row.product_id


def net_of(row: Row, gross: bool) -> Decimal:
    """A row's amount net of tax and after discount.

    Where prices include tax, ``price`` is rounded per unit and its multiple misses the row by cents: the gross price is
    the exact one, and the tax is what it holds.
    """
    if gross:
        return row.amount("price_incl_tax") * row.ordered - row.amount("discount_amount") - row.amount("tax_amount")
    return row.amount("price") * row.ordered - row.amount("discount_amount")


def _single(row: Row, gross: bool, taxes: Taxes, products: Products) -> Booked:
    """A row of its own. For a configurable the parent holds money and counters; its SKU is the chosen child's already."""
    alternatives: list[str] = []
    if row.children:
        alternatives.append(row.children[0].sku)
    if _custom_options(row):
        alternatives.append(_base_sku(row, products))
    return Booked(
        row=row,
        sku=row.sku,
        sku_alternatives=_others(row.sku, alternatives),
        ordered=row.ordered,
        wanted=row.wanted,
        net=net_of(row, gross),
        tax=row.amount("tax_amount"),
        weee=row.amount("weee_tax_applied_row_amount"),
        taxes=taxes.on(row),
        options="\n".join(_options_in_words(row, products)),
    )


def _whole_bundle(row: Row, gross: bool, taxes: Taxes, products: Products) -> Booked:
    """A bundle as one line. With a dynamic price the parent's discount is 0: only the children's amounts add up."""
    money = (row,) if row.has_fixed_price else row.children
    together: dict[AppliedTax, None] = {tax: None for one in money for tax in taxes.on(one)}
    return Booked(
        row=row,
        sku=row.sku,
        # a dynamic SKU is made of the parts' (BND-SIMPLE-1-SIMPLE-2)
        sku_alternatives=_others(row.sku, [_base_sku(row, products)]),
        ordered=row.ordered,
        wanted=_sets_wanted(row),
        net=sum((net_of(one, gross) for one in money), ZERO),
        tax=sum((one.amount("tax_amount") for one in money), ZERO),
        weee=sum((one.amount("weee_tax_applied_row_amount") for one in money), ZERO),
        taxes=tuple(together),
        options="\n".join(f"{_plain(row.per_set(child))} × {child.name or child.sku}" for child in row.children),
    )


def _sets_wanted(row: Row) -> Decimal:
    """Sets still wanted: as many as all parts suffice for."""
    parts = [row.wanted_of(child) / row.per_set(child) for child in row.children if row.per_set(child)]
    return min(parts, default=row.wanted)


def _part(bundle: Row, child: Row, gross: bool, taxes: Taxes) -> Booked:
    """A part of a bundle with a dynamic price: it carries its own price, tax and discount."""
    return Booked(
        row=child,
        sku=child.sku,
        sku_alternatives=(),
        ordered=child.ordered,
        wanted=bundle.wanted_of(child),
        net=net_of(child, gross),
        tax=child.amount("tax_amount"),
        weee=child.amount("weee_tax_applied_row_amount"),
        taxes=taxes.on(child),
    )


def _parts_of_fixed_price(
    row: Row, gross: bool, taxes: Taxes, settings: Mage2Settings, products: Products
) -> Iterator[Booked]:
    """A fixed price divided among the parts, whose own rows hold zeros; they are taxed as the parent was."""
    weights = [
        child.ordered * value for child, value in zip(row.children, _values(row, settings, products), strict=True)
    ]
    nets = shares(net_of(row, gross), weights)
    parts = shares(row.amount("tax_amount"), weights)
    weees = shares(row.amount("weee_tax_applied_row_amount"), weights)
    for child, net, tax, weee in zip(row.children, nets, parts, weees, strict=True):
        yield replace(_part(row, child, gross, taxes), net=net, tax=tax, weee=weee, taxes=taxes.on(row))


def _values(bundle: Row, settings: Mage2Settings, products: Products) -> list[Decimal]:
    """What one unit of each part is worth, relative to the others."""
    values = [_value(child, settings, products) for child in bundle.children]
    # one that nobody knows, or all that are free, would leave the whole price to the others or to the last
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) and any(known) else [Decimal(1)] * len(values)


def _value(child: Row, settings: Mage2Settings, products: Products) -> Decimal | None:
    if settings.bundle_shares == "quantity":
        return Decimal(1)
    if child.sku in settings.part_values:
        return settings.part_values[child.sku]
    product = products.product(child.product_id)
    # the regular price: special prices come and go, and with them the shares would
    return None if product is None else number(product.get("price"))


def _rule(row: Row, settings: Mage2Settings, products: Products) -> str:
    if row.sku in settings.bundles_by_sku:
        return settings.bundles_by_sku[row.sku]
    if settings.bundles_by_sku:
        return settings.bundles_by_sku.get(_base_sku(row, products), settings.bundles)
    return settings.bundles


def _base_sku(row: Row, products: Products) -> str:
    """The product's own SKU, where the row's is composed; "" where the product is gone."""
    return str((products.product(row.product_id) or {}).get("sku") or "")


def _others(sku: str, alternatives: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(other for other in alternatives if other and other != sku))


def _chosen(row: Row) -> Mapping[str, Any]:
    chosen: Mapping[str, Any] = (row.raw.get("product_option") or {}).get("extension_attributes") or {}
    return chosen


def _custom_options(row: Row) -> list[Mapping[str, Any]]:
    return list(_chosen(row).get("custom_options") or [])


def _options_in_words(row: Row, products: Products) -> Iterator[str]:
    """What was chosen, one text per option. Magento gives ids; the words come from the child row and from the product."""
    for child in row.children:
        if child.name and child.name != row.name:
            yield child.name
    custom = _custom_options(row)
    if not custom:
        return
    product = products.product(row.product_id) or {}
    known = {str(option.get("option_id")): option for option in product.get("options") or []}
    for one in custom:
        option_id, value = str(one.get("option_id")), str(one.get("option_value") or "")
        option = known.get(option_id, {})
        titles = {str(each.get("option_type_id")): str(each.get("title")) for each in option.get("values") or []}
        # several choices of one option come as "4,5"; free text stays as it was typed
        words = ", ".join(titles.get(each, each) for each in value.split(",")) if titles else value
        yield f"{option.get('title') or f'Option {option_id}'}: {words}"


def _plain(quantity: Decimal) -> str:
    return format(quantity.normalize(), "f")
