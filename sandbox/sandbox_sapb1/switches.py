"""Switches of the company: what a customer's installation may do one way or the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal, InvalidOperation
from typing import Any


class BadSwitch(ValueError):
    """A switch that does not exist or cannot take that value; ``name`` says which."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: {why}")
        self.name = name


def _choice(*allowed: str, default: str) -> Any:
    return field(default=default, metadata={"allowed": allowed})


@dataclass
class Switches:
    """All switches with their defaults. Changed through ``change`` only, under the company's lock."""

    #: Which property carries tax: VatGroup in European localisations, TaxCode in the US and others.
    tax_property: str = _choice("VatGroup", "TaxCode", default="VatGroup")
    #: ``row``: tax is rounded on each row and freight ("Round Tax Amounts in Rows"); ``group``: once per tax code.
    tax_rounding: str = _choice("row", "group", default="row")
    #: Decimals of amounts, prices and rates.
    total_decimals: int = 2
    price_decimals: int = 4
    rate_decimals: int = 6
    #: ``refused``: POST /Orders makes a draft and answers -2028. ``created``: it answers 201 with the draft's DocEntry.
    approval: str = _choice("off", "refused", "created", default="off")
    #: Only orders of at least this total (local currency) need approval.
    approval_min_total: Decimal = Decimal(0)
    #: All but the first of concurrent logins fail (500, code 299).
    login_lock: bool = False
    #: How long one login takes, in seconds; the longer, the more others it makes fail under ``login_lock``.
    login_seconds: float = 0.0
    #: A session idle for longer is dead.
    session_minutes: float = 30.0
    #: Newer builds end the cookie in ``;;Secure;SameSite=None``: cookie jars then withhold it on plain HTTP.
    secure_cookies: bool = False
    #: Without the ROUTEID cookie the balancer picks a node that does not know the session.
    require_routeid: bool = False
    #: Rows of a page unless the request says otherwise (``PageSize`` of the real one's configuration).
    page_size: int = 20
    #: Refuse deliveries beyond the warehouse's stock.
    block_negative_stock: bool = False
    #: Refuse new documents: the posting period is locked.
    period_locked: bool = False
    #: Text with which the customer's own stored procedure refuses every new order (-1116); empty: it accepts.
    transaction_notification: str = ""
    #: The fields U_DW_KEY (headers) and U_DW_LINE (lines) exist.
    user_fields: bool = True

    def change(self, wanted: Mapping[str, Any]) -> None:
        """Set the named switches; nothing is set if one of them is wrong."""
        known = {switch.name: switch for switch in fields(self)}
        read: dict[str, Any] = {}
        for name, value in wanted.items():
            if name not in known:
                raise BadSwitch(name, f"no such switch; there are {', '.join(sorted(known))}")
            read[name] = _read(name, value, type(getattr(self, name)), known[name].metadata.get("allowed"))
        for name, value in read.items():
            setattr(self, name, value)

    def as_json(self) -> dict[str, Any]:
        """Name and value of every switch."""
        values = {switch.name: getattr(self, switch.name) for switch in fields(self)}
        return {name: str(value) if isinstance(value, Decimal) else value for name, value in values.items()}


def _read(name: str, value: Any, kind: type, allowed: tuple[str, ...] | None) -> Any:
    if kind is bool:
        if isinstance(value, str) and value.lower() in ("true", "false"):  # from the command line
            return value.lower() == "true"
        if not isinstance(value, bool):
            raise BadSwitch(name, "must be true or false")
        return value
    if kind is str:
        if not isinstance(value, str) or (allowed and value not in allowed):
            raise BadSwitch(name, f"must be one of {', '.join(allowed)}" if allowed else "must be a text")
        return value
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise BadSwitch(name, "must be a number") from None
    if isinstance(value, bool) or not number.is_finite() or number < 0:
        raise BadSwitch(name, "must be a number, zero or more")
    if kind is int:
        if number != number.to_integral_value():
            raise BadSwitch(name, "must be a whole number")
        return int(number)
    return number if kind is Decimal else float(number)
