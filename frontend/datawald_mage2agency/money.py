"""Amounts and quantities of Magento's JSON as ``Decimal``, and rounding as Magento rounds. Used by the whole agency."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from datawald_mage2agency.unmappable import Unmappable

ZERO = Decimal(0)
CENT = Decimal("0.01")


def number(value: Any) -> Decimal:
    """A JSON number, or the text of one, as ``Decimal``; nothing counts as 0, since Magento leaves null fields out.

    Raises ``Unmappable`` for anything else.
    """
    if value is None or value == "":
        return ZERO
    try:
        # through text: a float's repr is the shortest one that reads back the same, so 84.04 stays 84.04
        return Decimal(str(value))
    except InvalidOperation:
        raise Unmappable(f"{value!r} is not a number") from None


def cents(amount: Decimal) -> Decimal:
    """Rounded half away from zero to two decimals, which Magento does whatever the currency (JPY and KWD too)."""
    return amount.quantize(CENT, ROUND_HALF_UP)


def evened(amounts: Iterable[Decimal]) -> list[Decimal]:
    """The amounts in whole cents, whose sum is the rounded sum of the given ones: what one loses the next one carries.

    Changes nothing where all are whole cents already, which is all but quantities like 1.5 and prices with four decimals.
    """
    whole: list[Decimal] = []
    exact = given = ZERO
    for amount in amounts:
        exact += amount
        whole.append(cents(exact) - given)
        given += whole[-1]
    return whole


def shares(amount: Decimal, weights: list[Decimal]) -> list[Decimal]:
    """``amount`` divided in proportion to ``weights``, in cents; the last one takes the cents that are left over.

    Equal parts where all weights are 0.
    """
    if not any(weights):
        weights = [Decimal(1)] * len(weights)
    total = sum(weights, ZERO)
    parts = [cents(amount * weight / total) for weight in weights[:-1]]
    return [*parts, amount - sum(parts, ZERO)]
