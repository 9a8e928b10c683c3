"""What ``datawald doctor`` looks at in a company of SAP Business One, and the installing of the user-defined fields.

Reads only, except :func:`install_fields`. Each check says what becomes of records if it fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from datawald.domain.agent import Check
from datawald.domain.entity import plain_decimal
from datawald.domain.errors import DataWaldError
from datawald_b1agency.settings import B1Settings

if TYPE_CHECKING:
    from datawald_b1agency.agency import B1Agency

#: Table, name without ``U_``, size and description of the fields we write identity into.
_KEY = ("ORDR", 100, "Key of the web order")
_LINE = ("RDR1", 50, "Line of the web order")
#: A partner in this currency trades in every one.
_ALL_CURRENCIES = "##"


def all_checks(agency: B1Agency) -> Iterator[Check]:
    """Every check of the company, one by one; what one could not ask does not stop the next."""
    checks: tuple[Callable[[B1Agency], Iterator[Check]], ...] = (
        _fields,
        _company,
        _partners,
        _tax_codes,
        _expenses,
        _codes,
    )
    for check in checks:
        try:
            yield from check(agency)
        except DataWaldError as error:
            yield Check(check.__name__.strip("_").replace("_", " "), False, f"could not be asked: {error}")
    yield Check(
        "guard against doubles",
        True,
        "no guard table: between the look-up and the write another process that knows nothing of DataWald's claims "
        "could book the same order; the window is the time of one request",
    )


def _fields(agency: B1Agency) -> Iterator[Check]:
    settings = agency.settings
    for udf, (table, _, what), weaker in (
        (settings.key_udf, _KEY, "NumAtCard carries the key, which clerks edit and SAP's Duplicate copies"),
        (
            settings.line_udf,
            _LINE,
            "lines are told apart by item and order, and deliveries cannot be read as shipments",
        ),
    ):
        if not udf:
            yield Check(f"field for the {what.lower()}", False, f"none is set: {weaker}", "datawald b1 install")
            continue
        there = _has_field(agency, table, udf)
        detail = f"{udf} on {table}" if there else f"{udf} is missing on {table}: every order fails"
        yield Check(f"field {udf}", there, detail, "" if there else "datawald b1 install")


def _has_field(agency: B1Agency, table: str, udf: str) -> bool:
    name = udf.removeprefix("U_")
    # the set has a key of two parts; within one table the number of the field is one
    rows = agency.connector.query("UserFieldsMD", f"TableName eq '{table}'", ("TableName", "Name"), key="FieldID")
    return any(row.get("Name") == name for row in rows)


def install_fields(agency: B1Agency) -> Iterator[Check]:
    """Add the key's and the line's field where they are missing. Some nodes of a balancer show them half an hour later."""
    settings = agency.settings
    for udf, (table, size, description) in ((settings.key_udf, _KEY), (settings.line_udf, _LINE)):
        if not udf:
            continue
        if _has_field(agency, table, udf):
            yield Check(f"field {udf}", True, f"is on {table} already")
            continue
        body = {
            "Name": udf.removeprefix("U_"),
            "TableName": table,
            "Type": "db_Alpha",
            "Size": size,
            "Description": description,
        }
        agency.connector.create("UserFieldsMD", body)
        yield Check(f"field {udf}", _has_field(agency, table, udf), f"added to {table}")


def _company(agency: B1Agency) -> Iterator[Check]:
    settings = agency.settings
    told: Mapping[str, Any] = agency.connector.function("CompanyService_GetAdminInfo") or {}
    rounding = "row" if told.get("RoundTaxAmounts") == "tYES" else "group"
    for name, wanted, there in (
        ("tax_rounding", settings.tax_rounding, rounding),
        ("local_currency", settings.local_currency, told.get("LocalCurrency")),
        ("total_decimals", settings.total_decimals, told.get("TotalsAccuracy")),
        ("price_decimals", settings.price_decimals, told.get("PriceAccuracy")),
    ):
        agrees = wanted == there
        fix = "" if agrees else f"set {name} to {there!r}; totals would be predicted wrongly"
        yield Check(name, agrees, f"{wanted!r} here, {there!r} in SAP", fix)
    approval = told.get("EnableApprovalProcedureInDI") == "tYES"
    detail = "on: orders may wait as drafts until somebody approves them" if approval else "off"
    yield Check("approval procedures for interfaces", True, detail)


def _partners(agency: B1Agency) -> Iterator[Check]:
    for place, code in sorted(agency.settings.card_codes.items()):
        row = agency.connector.get("BusinessPartners", code, ("CardCode", "Currency", "Frozen", "CardType"))
        currency = place.rpartition("/")[2]
        wrong = ""
        if row is None:
            wrong = "there is no such business partner"
        elif row.get("Currency") not in (_ALL_CURRENCIES, currency):
            wrong = f"it trades in {row.get('Currency')}, not in {currency}"
        elif row.get("Frozen") == "tYES":
            wrong = "it is on hold"
        yield Check(
            f"card code {code} for {place}", not wrong, wrong or "exists", "correct card_codes" if wrong else ""
        )


def _tax_codes(agency: B1Agency) -> Iterator[Check]:
    """Every code exists, and SAP takes the rates we predict with."""
    settings = agency.settings
    for entity_set, codes in (
        ("VatGroups", _codes_of(settings, "vat_group")),
        ("SalesTaxCodes", _codes_of(settings, "tax_code")),
    ):
        for code, rates in sorted(codes.items()):
            row = agency.connector.get(entity_set, code)
            if row is None:
                yield Check(f"tax code {code}", False, "SAP has no such code", "correct the tax map")
                continue
            there = _rates_in(entity_set, row)
            for wanted in sorted(rates):
                agrees = wanted == there
                yield Check(
                    f"tax code {code}",
                    agrees,
                    f"{_percent(wanted)} here, {_percent(there)} in SAP",
                    "" if agrees else f"set its rates to [{', '.join(map(plain_decimal, there))}]",
                )
            if not rates:
                yield Check(f"tax code {code}", True, f"{_percent(there)} in SAP, the shop's rate is taken")


def _codes_of(settings: B1Settings, field: str) -> dict[str, set[tuple[Decimal, ...]]]:
    """Tax codes that the settings name, with the rates they are predicted with; none where the shop's rate is taken."""
    codes: dict[str, set[tuple[Decimal, ...]]] = {}
    for option in settings.taxes:
        rates = codes.setdefault(getattr(option, field), set())
        known = option.rates or ((option.percent,) if option.percent is not None else ())
        if known:
            rates.add(known)
        elif not option.code:
            rates.add((Decimal(0),))
    for extra in settings.extras:
        codes.setdefault(getattr(extra, field), set()).add((extra.rate,))
    if settings.rounding.carrier != "header":
        codes.setdefault(getattr(settings.rounding, field), set()).add((Decimal(0),))
    codes.pop("", None)
    return codes


def _rates_in(entity_set: str, row: Mapping[str, Any]) -> tuple[Decimal, ...]:
    if entity_set == "VatGroups":
        lines = row.get("VatGroups_Lines") or []
        # the last one that is in force counts; groups keep their history
        newest: Mapping[str, Any] = max(lines, key=lambda line: str(line.get("Effectivefrom") or ""), default={})
        return (Decimal(str(newest.get("Rate") or 0)),)
    lines = row.get("SalesTaxCodes_Lines") or []
    return tuple(Decimal(str(line.get("EffectiveRate") or 0)) for line in lines) or (
        Decimal(str(row.get("Rate") or 0)),
    )


def _percent(rates: Iterable[Decimal]) -> str:
    return " + ".join(f"{plain_decimal(rate)} %" for rate in rates)


def _expenses(agency: B1Agency) -> Iterator[Check]:
    settings = agency.settings
    codes = {*settings.freight.values(), *(extra.expense_code for extra in settings.extras)}
    if settings.rounding.expense_code is not None:
        codes.add(settings.rounding.expense_code)
    for code in sorted(codes):
        row = agency.connector.get("AdditionalExpenses", code, ("ExpensCode", "Name"))
        detail = str(row.get("Name")) if row else "SAP has no such expense"
        yield Check(f"expense {code}", row is not None, detail, "" if row else "correct freight, extras or rounding")
    if "*" not in settings.freight:
        known = ", ".join(sorted(settings.freight)) or "none"
        yield Check("freight for every shipping method", False, f"set for {known}: others fail", "add '*' to freight")


def _codes(agency: B1Agency) -> Iterator[Check]:
    """Warehouse, payment methods, shipping types and the rounding item."""
    settings = agency.settings
    named: tuple[tuple[str, str, set[str | int]], ...] = (
        ("warehouse", "Warehouses", {settings.warehouse, *settings.sources}),
        ("payment method", "WizardPaymentMethods", set(settings.payment_methods.values())),
        ("shipping type", "ShippingTypes", {*settings.shipping_methods.values()}),
        ("rounding item", "Items", {settings.rounding.item_code}),
    )
    for what, entity_set, codes in named:
        for code in sorted(codes - {""}, key=str):
            exists = agency.connector.get(entity_set, code) is not None
            yield Check(f"{what} {code}", exists, "exists" if exists else "SAP has no such code")
