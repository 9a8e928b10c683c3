"""Do the lines explain the total? Freight, further amounts, and the checks before anything reaches the backoffice.

Used by the order mapping and by ``datawald doctor``, which asks the same of real orders to propose a price mode.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from datawald.entities.order import Extra, Freight
from datawald_mage2agency.addresses import shipping_part
from datawald_mage2agency.lines import Booked, Products, booked_lines
from datawald_mage2agency.money import CENT, ZERO, evened, number
from datawald_mage2agency.rows import rows_of
from datawald_mage2agency.settings import ExtraAmount, Mage2Settings
from datawald_mage2agency.taxes import Taxes
from datawald_mage2agency.unmappable import Unmappable

WEEE = "weee"


@dataclass(frozen=True)
class Extras:
    """The amounts that are neither lines nor freight, and what the header says of them."""

    #: From fields of their own: the header's identity does not hold them.
    beside_header: tuple[Extra, ...]
    #: Tax on things that are neither row nor shipping: the header's ``tax_amount`` holds it.
    in_tax: tuple[Extra, ...]
    #: Fixed product tax as ordered: in the header's subtotal or beside it, by a setting Magento does not tell.
    weee: Decimal


@dataclass(frozen=True)
class Sums:
    """An order taken apart in one price mode, as ordered, and what the parts leave unexplained of its total."""

    lines: list[Booked]
    freight: Freight | None
    extras: Extras
    #: Not rounded: less than a cent is rounding.
    remainder: Decimal

    @property
    def explained(self) -> bool:
        return not is_more_than_rounding(self.remainder)


def taken_apart(order: Mapping[str, Any], *, gross: bool, settings: Mage2Settings, products: Products) -> Sums:
    """The order's lines, freight and extras where the store view's prices include tax (``gross``) or not."""
    taxes = Taxes(order)
    lines = booked_lines(rows_of(order), gross=gross, taxes=taxes, settings=settings, products=products)
    freight = freight_of(order, taxes)
    extras = extras_of(order, lines, taxes, settings.extras)
    explained = sum((line.net + line.tax for line in lines), extras.weee)
    explained += sum((extra.amount for extra in (*extras.beside_header, *extras.in_tax)), ZERO)
    if freight:
        explained += freight.net + freight.tax
    return Sums(lines, freight, extras, number(order.get("grand_total")) - explained)


def freight_of(order: Mapping[str, Any], taxes: Taxes) -> Freight | None:
    """Shipping, net after its discount; None for an order of services.

    The discount may have been taken from a price with tax inside; the compensation gives back the tax it took with it.
    """
    net = (
        number(order.get("shipping_amount"))
        - number(order.get("shipping_discount_amount"))
        + number(order.get("shipping_discount_tax_compensation_amount"))
    )
    tax = number(order.get("shipping_tax_amount"))
    method = str(shipping_part(order).get("method") or "")
    if not method and not net and not tax:
        return None
    title = str(order.get("shipping_description") or "")
    return Freight(method=method, title=title, net=net, tax=tax, taxes=taxes.on_shipping())


def extras_of(order: Mapping[str, Any], lines: Iterable[Booked], taxes: Taxes, named: Iterable[ExtraAmount]) -> Extras:
    """Every further amount that is part of the total."""
    beside = []
    for one in named:
        amount = number(_at(order, one.field))
        if amount:
            beside.append(Extra(code=one.code, amount=-amount if one.counts == "subtract" else amount))
    in_tax = tuple(Extra(code=f"tax:{kind}", amount=amount) for kind, amount in taxes.on_others.items() if amount)
    return Extras(tuple(beside), in_tax, sum((line.weee for line in lines), ZERO))


def check_header(order: Mapping[str, Any], extras: Extras) -> None:
    """The header must add up in itself. Raises ``Unmappable`` with the remainder.

    ``grand_total = subtotal + shipping + tax + discount (negative) + both tax compensations``, seen to hold to the cent on
    2.4.6 and 2.4.7-p3; amounts of modules come on top.
    """
    total = number(order.get("grand_total"))
    held = sum(
        (
            number(order.get(field))
            for field in (
                "subtotal",
                "shipping_amount",
                "tax_amount",
                "discount_amount",
                "discount_tax_compensation_amount",
                "shipping_discount_tax_compensation_amount",
            )
        ),
        ZERO,
    ) + sum((extra.amount for extra in extras.beside_header), ZERO)
    remainder = total - held
    if is_more_than_rounding(remainder) and is_more_than_rounding(remainder - extras.weee):
        raise Unmappable(
            f"the order's own totals do not add up: subtotal, shipping, tax, discount and known extras make {held}, "
            f"grand_total is {total}: a remainder of {remainder}; if a module adds an amount, name its field in the "
            "connection's extras"
        )


def is_more_than_rounding(remainder: Decimal) -> bool:
    """Whether an unrounded remainder is a cent or more. Less comes from quantities like 1.5: the total is in whole cents."""
    return abs(remainder) >= CENT


def in_whole_cents(lines: list[Booked], remainder: Decimal) -> list[Booked]:
    """The lines with net amounts in whole cents, the last one taking what rounding leaves of the total.

    Changes nothing where all amounts are whole cents already.
    """
    nets = evened(line.net for line in lines)
    if nets:
        nets[-1] += sum((line.net for line in lines), ZERO) + remainder - sum(nets, ZERO)
    return [replace(line, net=net) for line, net in zip(lines, nets, strict=True)]


def _at(order: Mapping[str, Any], path: str) -> Any:
    found: Any = order
    for name in path.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(name)
    return found
