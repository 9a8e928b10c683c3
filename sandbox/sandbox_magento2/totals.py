"""The totals arithmetic: tax, tax contained in prices, discounts, and the rounding that ties rows to headers.

Magento's default calculates "based on total": every row is rounded to the cent, and what the rounding took is carried
to the next row of the same rate, so that the tax of the order is the rounded tax of its total. The recorded orders
come out of these rules to the cent (``tests/sandbox/test_magento2.py`` recomputes them). One :class:`TaxCalculation`
serves one order in one currency: base and order currency are calculated side by side and each carries its own rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from sandbox_magento2.money import ZERO, cents

#: The first rest is not nothing: it decides rows that end in exactly half a cent (as in Magento's own calculator).
_FIRST_REST = Decimal("0.000001")
_HUNDRED = Decimal(100)


@dataclass(frozen=True)
class TaxRate:
    """One tax rate of the shop, as it appears in ``applied_taxes``."""

    code: str
    percent: Decimal


@dataclass(frozen=True)
class RowAmounts:
    """What one row (or the shipping) comes to in one currency. ``row_total`` is the database's: before discount."""

    price: Decimal
    price_incl_tax: Decimal
    row_total: Decimal
    row_total_incl_tax: Decimal
    tax: Decimal
    compensation: Decimal
    discount: Decimal


class TaxCalculation:
    """Calculates the rows of one order in one currency, one after another; the order of calls matters by a cent."""

    def __init__(self, rate: TaxRate, prices_include_tax: bool) -> None:
        self._rate = rate.percent
        self._included = prices_include_tax
        self._rests: dict[str, Decimal] = {}
        self._discount_rest = ZERO

    def discount(self, unit_price: Decimal, quantity: Decimal, percent: Decimal) -> Decimal:
        """A percent rule's discount of one row, taken from the price as the catalogue states it."""
        exact = cents(unit_price) * quantity * percent / _HUNDRED + self._discount_rest
        rounded = cents(exact)
        self._discount_rest = exact - rounded
        return rounded

    def row(self, unit_price: Decimal, quantity: Decimal, discount: Decimal) -> RowAmounts:
        """One product row, or the shipping as a row of quantity 1."""
        if self._included:
            return self._row_with_tax_inside(unit_price, quantity, discount)
        price = cents(unit_price)
        row_total = price * quantity
        before = self._carry("before", row_total * self._rate / _HUNDRED)
        tax = self._carry("after", max(row_total - discount, ZERO) * self._rate / _HUNDRED)
        incl = row_total + before
        return RowAmounts(price, cents(incl / quantity), row_total, incl, tax, ZERO, discount)

    def _row_with_tax_inside(self, unit_price: Decimal, quantity: Decimal, discount: Decimal) -> RowAmounts:
        price_incl = cents(unit_price)
        incl = price_incl * quantity
        before = self._carry("before", self._inside(incl))
        row_total = incl - before
        tax = self._carry("after", self._inside(max(incl - discount, ZERO)))
        # The discount was taken from a price with tax inside; the compensation gives back the tax it took with it.
        return RowAmounts(cents(row_total / quantity), price_incl, row_total, incl, tax, before - tax, discount)

    def _inside(self, amount: Decimal) -> Decimal:
        return amount - amount * _HUNDRED / (_HUNDRED + self._rate)

    def _carry(self, kind: str, exact: Decimal) -> Decimal:
        if not exact:
            return ZERO
        exact += self._rests.get(kind, _FIRST_REST)
        rounded = cents(exact)
        self._rests[kind] = exact - rounded
        return rounded
