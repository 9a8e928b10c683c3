"""Who ordered and where it goes: Magento's customer fields and addresses as canonical ones. Used by the order mapping."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from datawald.entities.order import Address, Customer
from datawald_mage2agency.money import number


def customer_of(order: Mapping[str, Any]) -> Customer:
    """Who ordered. A guest has no ``customer_id``; Magento's group 0 is "not logged in"."""
    guest = bool(number(order.get("customer_is_guest")))
    return Customer(
        customer_id="" if guest else _text(order.get("customer_id")),
        group=_text(order.get("customer_group_id")),
        email=_text(order.get("customer_email")),
        first_name=_text(order.get("customer_firstname")),
        last_name=_text(order.get("customer_lastname")),
    )


def billing_of(order: Mapping[str, Any]) -> Address:
    address = _address(order.get("billing_address") or {}, order)
    # a registered customer's tax number may stand on the account only
    vat_id = address.vat_id or _text(order.get("customer_taxvat"))
    return address.model_copy(update={"vat_id": vat_id})


def shipping_of(order: Mapping[str, Any]) -> Address | None:
    """The delivery address; None for an order of services, which has none."""
    raw = shipping_part(order).get("address")
    return _address(raw, order) if raw else None


def shipping_part(order: Mapping[str, Any]) -> Mapping[str, Any]:
    """``shipping_assignments[0].shipping``: the address, the method and the amounts. Core Magento makes one assignment."""
    assignments = (order.get("extension_attributes") or {}).get("shipping_assignments") or [{}]
    part: Mapping[str, Any] = assignments[0].get("shipping") or {}
    return part


def _address(raw: Mapping[str, Any], order: Mapping[str, Any]) -> Address:
    street = raw.get("street") or []
    lines = [street] if isinstance(street, str) else street
    return Address(
        first_name=_text(raw.get("firstname")),
        last_name=_text(raw.get("lastname")),
        company=_text(raw.get("company")),
        street=tuple(line for line in map(_text, lines) if line),
        city=_text(raw.get("city")),
        region_code=_text(raw.get("region_code")),
        region=_text(raw.get("region")),
        postcode=_text(raw.get("postcode")),
        country=_text(raw.get("country_id")).upper(),
        phone=_text(raw.get("telephone")),
        email=_text(raw.get("email")) or _text(order.get("customer_email")),
        vat_id=_text(raw.get("vat_id")),
    )


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()
