"""What SAP will make of a document's amounts, and how the cents between that and the shop's total are carried.

SAP rounds tax half up, on each row or once per tax code (Round Tax Amounts in Rows), the shop by rules of its own, so a
cent of difference is the normal case. The correction is chosen *before* the first request. Pure; used by ``documents``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

from datawald.domain.entity import plain_decimal
from datawald.domain.errors import Rejected
from datawald_b1agency.taxes import Tax

ZERO = Decimal(0)
HUNDRED = Decimal(100)


def rounded(amount: Decimal, decimals: int) -> Decimal:
    """Half up, away from zero for negative amounts: how SAP rounds."""
    return amount.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)


@dataclass(frozen=True)
class Taxed:
    """A net amount with its tax: a line or an expense, in the document's currency."""

    net: Decimal
    tax: Tax


def predicted_total(rows: Sequence[Taxed], by: Literal["row", "group"], decimals: int) -> Decimal:
    """What SAP will show as the document's total: nets plus tax, rounded per row or per tax code."""
    if by == "row":
        tax = sum((_tax(row.net, row.tax, decimals) for row in rows), ZERO)
    else:
        bases: dict[Tax, Decimal] = {}
        for row in rows:
            bases[row.tax] = bases.get(row.tax, ZERO) + row.net
        tax = sum((_tax(base, code, decimals) for code, base in bases.items()), ZERO)
    return sum((row.net for row in rows), ZERO) + tax


def _tax(base: Decimal, tax: Tax, decimals: int) -> Decimal:
    # each jurisdiction of a code is rounded by itself: how a total drifts by several cents
    return sum((rounded(base * rate / HUNDRED, decimals) for rate in tax.rates), ZERO)


def tolerance(rows: Sequence[Taxed], cap: Decimal) -> Decimal:
    """How far rounding alone may put SAP's total from the shop's: half a cent per row and jurisdiction, and one cent."""
    jurisdictions = max((len(row.tax.rates) for row in rows), default=1)
    return min(Decimal("0.005") * len(rows) * jurisdictions + Decimal("0.01"), cap)


def correction(
    grand_total: Decimal, rows: Sequence[Taxed], by: Literal["row", "group"], decimals: int, cap: Decimal
) -> Decimal:
    """What the rounding carrier takes, 0 where SAP arrives at the total by itself.

    Raises ``Rejected`` with both totals where the difference is more than rounding explains: then a rate, a tax code or a
    setting is wrong, and carrying it would hide that.
    """
    predicted = predicted_total(rows, by, decimals)
    difference = grand_total - predicted
    allowed = tolerance(rows, cap)
    if abs(difference) > allowed:
        raise Rejected(
            f"SAP would arrive at {plain_decimal(predicted)}, the shop's total is {plain_decimal(grand_total)}: "
            f"{plain_decimal(abs(difference))} apart, more than the {plain_decimal(allowed)} that rounding explains"
        )
    return difference
