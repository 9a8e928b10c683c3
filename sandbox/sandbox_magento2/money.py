"""Amounts: ``Decimal`` inside, and on the wire as Magento writes them (whole amounts are JSON integers)."""

from __future__ import annotations

import json
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

ZERO = Decimal(0)
_CENT = Decimal("0.01")


def cents(amount: Decimal) -> Decimal:
    """Rounded to two decimals, half away from zero, as PHP's round() does."""
    return amount.quantize(_CENT, ROUND_HALF_UP)


def _number(value: object) -> int | float:
    if isinstance(value, Decimal):
        whole = int(value)
        return whole if whole == value else float(value)
    raise TypeError(f"{type(value).__name__} has no place in an answer")


def dumps(document: Any) -> str:
    """JSON text of a document that holds Decimals."""
    return json.dumps(document, default=_number, ensure_ascii=False, separators=(",", ":"), check_circular=False)


def loads(text: str | bytes) -> Any:
    """A document whose fractions are Decimals, so that no amount ever passes through a float."""
    return json.loads(text, parse_float=Decimal)
