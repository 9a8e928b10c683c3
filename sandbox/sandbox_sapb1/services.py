"""Unbound operations: what a client asks about the company, and its exchange rates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from sandbox_sapb1.company import DEFAULT_WAREHOUSE, LOCAL_CURRENCY, Company
from sandbox_sapb1.errors import refused
from sandbox_sapb1.model import as_date, as_decimal

#: What an operation answers: its JSON (None: 204).
Answer = Any


def get_admin_info(company: Company, body: Mapping[str, Any]) -> Answer:
    """``CompanyService_GetAdminInfo``: currencies, decimals, how tax is rounded, whether approval is on for the API."""
    switches = company.switches
    told = {
        "Code": 1,
        "CompanyName": "Sandbox Demo GmbH",
        "Address": "Beispielstraße 1\r10115 Berlin",
        "Country": "DE",
        "LocalCurrency": LOCAL_CURRENCY,
        "SystemCurrency": LOCAL_CURRENCY,
        "DirectIndirectRate": "tYES",
        "TotalsAccuracy": switches.total_decimals,
        "PriceAccuracy": switches.price_decimals,
        "AccuracyofQuantities": 3,
        "RateAccuracy": switches.rate_decimals,
        "PercentageAccuracy": 4,
        "MeasuringAccuracy": 3,
        "QueryAccuracy": 6,
        "RoundTaxAmounts": "tYES" if switches.tax_rounding == "row" else "tNO",
        "DefaultWarehouse": DEFAULT_WAREHOUSE,
        "EnableApprovalProcedureInDI": "tNO" if switches.approval == "off" else "tYES",
        "BlockStockNegativeQuantity": "tYES" if switches.block_negative_stock else "tNO",
        "SalesOrderConfirmed": "tYES",
        "DocConfirmation": "tYES",
        "DecimalSeparator": ".",
        "ThousandsSeparator": ",",
        "TimeTemplate": "tt_24H",
        "DateTemplate": "dt_CCYYMMDD",
        "DateSeparator": "-",
    }
    return {"@odata.context": "$metadata#AdminInfo", **company.model.types["AdminInfo"].render(told)}


def get_local_currency(company: Company, body: Mapping[str, Any]) -> Answer:
    return {"@odata.context": "$metadata#Edm.String", "value": LOCAL_CURRENCY}


def get_system_currency(company: Company, body: Mapping[str, Any]) -> Answer:
    return get_local_currency(company, body)


def get_currency_rate(company: Company, body: Mapping[str, Any]) -> Answer:
    """``SBOBobService_GetCurrencyRate`` {Currency, Date}; a missing rate is refused as on a document."""
    date = as_date(body.get("Date"))
    if date is None or not isinstance(body.get("Currency"), str):
        raise refused("Currency and Date are needed")  # text ours
    return {"@odata.context": "$metadata#Edm.Double", "value": company.rate(body["Currency"], date)}


def set_currency_rate(company: Company, body: Mapping[str, Any]) -> Answer:
    """``SBOBobService_SetCurrencyRate`` {Currency, Rate, RateDate}: for that date only."""
    date, rate, currency = as_date(body.get("RateDate")), as_decimal(body.get("Rate")), body.get("Currency")
    if date is None or rate is None or rate <= 0 or not isinstance(currency, str):
        raise refused("Currency, Rate and RateDate are needed")  # text ours
    company.rates.setdefault(currency, {})[date] = rate
    return None


OPERATIONS: dict[str, Callable[[Company, Mapping[str, Any]], Answer]] = {
    "CompanyService_GetAdminInfo": get_admin_info,
    "SBOBobService_GetLocalCurrency": get_local_currency,
    "SBOBobService_GetSystemCurrency": get_system_currency,
    "SBOBobService_GetCurrencyRate": get_currency_rate,
    "SBOBobService_SetCurrencyRate": set_currency_rate,
}


def set_rates(company: Company, wanted: Mapping[str, Any]) -> None:
    """Change the rate table from the control route: ``{"USD": "0.91"}``; null takes the currency's rates away."""
    read: dict[str, Decimal | None] = {}
    for currency, value in wanted.items():
        rate = None if value is None else as_decimal(value)
        if value is not None and (rate is None or rate <= 0):
            raise ValueError(f"rates: '{value}' is no rate for {currency}")
        read[currency] = rate
    for currency, rate in read.items():
        company.rates[currency] = {} if rate is None else {"*": rate}
