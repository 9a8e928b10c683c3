"""The bits of OData the connector writes: literals, keys, filters, and which property is the key of which set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from urllib.parse import quote

from datawald.domain.errors import BadInput

Literal = str | int | Decimal | date
Key = str | int | Mapping[str, str | int]

#: Key properties (from a real ``$metadata``) of the sets that do not use DocEntry. None: composite, not walkable.
KEYS: dict[str, str | None] = {
    "AdditionalExpenses": "ExpensCode",
    "Attachments2": "AbsoluteEntry",
    "BarCodes": "AbsEntry",
    "BinLocations": "AbsEntry",
    "Branches": "Code",
    "BusinessPartnerGroups": "Code",
    "BusinessPartners": "CardCode",
    "BusinessPlaces": "BPLID",
    "Countries": "Code",
    "CreditCards": "CreditCardCode",
    "Currencies": "Code",
    "EnhancedDiscountGroups": "AbsEntry",
    "ItemGroups": "Number",
    "Items": "ItemCode",
    "Manufacturers": "Code",
    "PaymentTermsTypes": "GroupNumber",
    "PickLists": "Absoluteentry",
    "PriceLists": "PriceListNo",
    "ProductTrees": "TreeCode",
    "SQLQueries": "SqlCode",
    "SalesPersons": "SalesEmployeeCode",
    "SalesTaxCodes": "Code",
    "ShippingTypes": "Code",
    "SpecialPrices": None,
    "States": None,
    "UnitOfMeasurementGroups": "AbsEntry",
    "UnitOfMeasurements": "AbsEntry",
    "UserFieldsMD": None,
    "UserKeysMD": None,
    "UserObjectsMD": "Code",
    "UserTablesMD": "TableName",
    "Users": "InternalKey",
    "VatGroups": "Code",
    "WarehouseLocations": "Code",
    "Warehouses": "WarehouseCode",
    "WizardPaymentMethods": "PaymentMethodCode",
}


def key_of(entity_set: str) -> str:
    """The property a set is walked by: its key; ``Code`` for user tables (``U_…``). BadInput for a composite key."""
    key = KEYS.get(entity_set, "Code" if entity_set.startswith("U_") else "DocEntry")
    if key is None:
        raise BadInput(f"{entity_set} has a composite key and cannot be walked by it; name another", field="key")
    return key


def literal(value: Literal) -> str:
    """``value`` in a filter or key: text quoted (quotes doubled), numbers plain, a date as ``'YYYY-MM-DD'``."""
    if isinstance(value, bool):
        raise BadInput("SAP's enums are names ('tYES') or letters ('Y')", field="value")
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, datetime):
        raise BadInput("filters take days; SAP ignores the time of a date", field="value")
    if isinstance(value, date):
        return f"'{value:%Y-%m-%d}'"
    if isinstance(value, Decimal):
        return format(value, "f")
    return str(value)


def entity_path(entity_set: str, key: Key) -> str:
    """``Orders(5)``, ``Items('A''B')``, ``SpecialPrices(CardCode='C',ItemCode='A')``, percent-encoded."""
    if isinstance(key, Mapping):
        inner = ",".join(f"{name}={literal(value)}" for name, value in key.items())
    else:
        inner = literal(key)
    encoded = quote(inner, safe="=,'")
    return f"{entity_set}({encoded})"


def either(field: str, values: Sequence[Literal], max_chars: int) -> Iterator[str]:
    """``(field eq 'a' or field eq 'b' …)`` filters that together ask for all ``values`` once.

    Each is at most ``max_chars`` long as it stands in the URL (a single longer value gets one of its own).
    """
    terms: list[str] = []
    length = 0
    for value in dict.fromkeys(values):
        term = f"{field} eq {literal(value)}"
        size = len(quote(term, safe="")) + len("%20or%20")
        if terms and length + size > max_chars:
            yield f"({' or '.join(terms)})"
            terms, length = [], 0
        terms.append(term)
        length += size
    if terms:
        yield f"({' or '.join(terms)})"


def both(*filters: str | None) -> str | None:
    """The filters joined by ``and``, each in parentheses; None if there is none."""
    given = [one for one in filters if one]
    if len(given) < 2:
        return given[0] if given else None
    return " and ".join(
        one if one.startswith("(") and one.endswith(")") and _closed(one) else f"({one})" for one in given
    )


def _closed(text: str) -> bool:
    """Whether the first parenthesis of ``text`` is closed by its last character (quotes respected)."""
    depth, quoted = 0, False
    for place, char in enumerate(text):
        if char == "'":
            quoted = not quoted
        elif not quoted and char in "()":
            depth += 1 if char == "(" else -1
            if depth == 0 and place < len(text) - 1:
                return False
    return depth == 0


def selected(select: Iterable[str] | str | None, key: str) -> str | None:
    """``$select`` with the key in it, which the walk needs; None selects everything."""
    if select is None:
        return None
    names = [part.strip() for part in select.split(",")] if isinstance(select, str) else list(select)
    return ",".join(dict.fromkeys([key, *filter(None, names)]))
