"""What a document comes to: net rows, discount, tax, rounding, total. Pure; all amounts are Decimal.

Amounts are in the document's currency, in units of that currency. SAP rounds half up. Tax is rounded on each row and
freight, or once per tax code over all of them, by a setting of the company; with tax codes made of several
jurisdictions each jurisdiction is rounded by itself, which is how a total drifts by cents.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

HUNDRED = Decimal(100)
ZERO = Decimal(0)


def rounded(amount: Decimal, decimals: int) -> Decimal:
    """Half up, as SAP rounds, away from zero for negative amounts."""
    return amount.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)


@dataclass(frozen=True)
class Jurisdiction:
    """One part of a tax code: its rate in percent."""

    code: str
    kind: int
    rate: Decimal


@dataclass(frozen=True)
class Tax:
    """A VAT group (one jurisdiction) or a sales tax code (one or more)."""

    code: str
    jurisdictions: tuple[Jurisdiction, ...]

    @property
    def rate(self) -> Decimal:
        return sum((part.rate for part in self.jurisdictions), ZERO)


@dataclass(frozen=True)
class Taxed:
    """A net amount with its tax: a row, or a freight."""

    net: Decimal
    tax: Tax


@dataclass(frozen=True)
class RowPrice:
    """What a row costs: price before discount, discount in percent, price after it, net total."""

    unit_price: Decimal
    discount_percent: Decimal
    price: Decimal
    total: Decimal


@dataclass(frozen=True)
class Totals:
    """What the document comes to; ``row_taxes`` and ``freight_taxes`` hold one amount per jurisdiction each."""

    row_taxes: tuple[tuple[Decimal, ...], ...]
    freight_taxes: tuple[tuple[Decimal, ...], ...]
    net: Decimal
    discount: Decimal
    freight: Decimal
    tax: Decimal
    total: Decimal


def row_price(
    quantity: Decimal,
    unit_price: Decimal | None,
    total: Decimal | None,
    discount_percent: Decimal,
    price_decimals: int,
    total_decimals: int,
) -> RowPrice:
    """A row's prices from what was sent; ``unit_price`` or ``total`` must be given.

    A total that was sent stands; price and discount are then worked out backwards from it.
    """
    if total is None:
        if unit_price is None:
            raise ValueError("a row needs a price or a total")
        unit_price = rounded(unit_price, price_decimals)
        price = rounded(unit_price * (1 - discount_percent / HUNDRED), price_decimals)
        return RowPrice(unit_price, discount_percent, price, rounded(price * quantity, total_decimals))
    total = rounded(total, total_decimals)
    price = rounded(total / quantity, price_decimals)
    if unit_price is None:
        return RowPrice(price, ZERO, price, total)
    unit_price = rounded(unit_price, price_decimals)
    if rounded(unit_price * quantity, total_decimals) == total or not unit_price:
        return RowPrice(unit_price, ZERO, price, total)
    discount_percent = rounded((1 - total / (unit_price * quantity)) * HUNDRED, 4)
    return RowPrice(unit_price, discount_percent, price, total)


def totals(
    rows: Sequence[Taxed],
    freights: Sequence[Taxed],
    discount_percent: Decimal,
    rounding_difference: Decimal,
    decimals: int,
    tax_by_row: bool,
) -> Totals:
    """The document's totals. The header discount lowers the rows' tax base, not the freights'."""
    kept = 1 - discount_percent / HUNDRED
    row_taxes = tuple(_taxes(row.net * kept, row.tax, decimals) for row in rows)
    freight_taxes = tuple(_taxes(freight.net, freight.tax, decimals) for freight in freights)
    if tax_by_row:
        tax = sum((amount for taxes in row_taxes + freight_taxes for amount in taxes), ZERO)
    else:
        bases: dict[Tax, Decimal] = {}
        for row in rows:
            bases[row.tax] = bases.get(row.tax, ZERO) + row.net * kept
        for freight in freights:
            bases[freight.tax] = bases.get(freight.tax, ZERO) + freight.net
        tax = sum((amount for code, base in bases.items() for amount in _taxes(base, code, decimals)), ZERO)
    net = sum((row.net for row in rows), ZERO)
    discount = rounded(net * discount_percent / HUNDRED, decimals)
    freight_total = sum((freight.net for freight in freights), ZERO)
    return Totals(
        row_taxes,
        freight_taxes,
        net,
        discount,
        freight_total,
        tax,
        net - discount + freight_total + tax + rounding_difference,
    )


def _taxes(base: Decimal, tax: Tax, decimals: int) -> tuple[Decimal, ...]:
    return tuple(rounded(base * part.rate / HUNDRED, decimals) for part in tax.jurisdictions)
