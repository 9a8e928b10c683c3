"""Reading the bodies of document requests: what may be sent, what is ignored, what is refused and how.

Four fates of a property: unknown to the type, refused by SAP (-1000); read-only, ignored without a word as SAP's
guide says; played, read into the row; known but not played, refused by the sandbox (501) unless its value is the
default anyway.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sandbox_sapb1.errors import NotPlayed, refused, unknown_property
from sandbox_sapb1.model import EntityType, Row

#: Header properties that are kept as sent and change nothing else.
HEADER_STORED = frozenset(
    """DocDate DocDueDate TaxDate CardName NumAtCard Comments JournalMemo Reference2 SalesPersonCode TransportationCode
    Confirmed ContactPersonCode ShipToCode PayToCode Indicator FederalTaxID PaymentGroupCode PaymentMethod Project
    DocumentsOwner BPL_IDAssignedToInvoice TrackingNumber PickRemark OpeningRemarks ClosingRemarks PartialSupply
    RequriedDate CancelDate LanguageCode ImportFileNum""".split()
)
#: Header properties that go into the arithmetic.
HEADER_COUNTED = frozenset(
    "DocCurrency DocRate DiscountPercent Rounding RoundingDiffAmount RoundingDiffAmountFC".split()
)
HEADER_READ_ONLY = frozenset(
    """DocEntry DocNum Reference1 DocTime CreationDate UpdateDate UpdateTime UserSign TransNum VatSum VatSumSys VatSumFc
    DocTotalSys BaseAmount BaseAmountSC BaseAmountFC DocumentStatus TotalDiscount TotalDiscountFC TotalDiscountSC
    Cancelled CancelStatus AuthorizationStatus PaidToDate PaidToDateFC PaidToDateSys DataVersion FinancialPeriod
    InventoryStatus PickStatus ControlAccount PeriodIndicator RoundingDiffAmountSC DocObjectCode
    VatPercent CardCode""".split()
)
LINE_STORED = frozenset(
    """ItemDescription ShipDate WarehouseCode SalesPersonCode FreeText ShippingMethod ProjectCode CostingCode CostingCode2
    CostingCode3 CostingCode4 CostingCode5 SupplierCatNum VendorNum BarCode ShipToCode ActualDeliveryDate
    RequiredDate""".split()
)
LINE_COUNTED = frozenset("Quantity UnitPrice LineTotal DiscountPercent VatGroup TaxCode".split())
LINE_BASE = frozenset("BaseType BaseEntry BaseLine".split())
LINE_READ_ONLY = frozenset(
    """LineNum VisualOrder DocEntry Price PriceAfterVAT Rate TaxPercentagePerRow TaxTotal NetTaxAmount NetTaxAmountFC
    NetTaxAmountSC RowTotalFC RowTotalSC RemainingOpenQuantity RemainingOpenInventoryQuantity OpenAmount OpenAmountFC
    OpenAmountSC InventoryQuantity PackageQuantity GrossPrice GrossTotal GrossTotalFC GrossTotalSC BaseOpenQuantity
    LineTaxJurisdictions GrossProfit GrossProfitFC GrossProfitSC PriceSource BackOrder""".split()
)
FREIGHT_PLAYED = frozenset(
    "ExpenseCode LineTotal VatGroup TaxCode Remarks DistributionMethod Project BaseDocType BaseDocEntry BaseDocLine".split()
)
FREIGHT_READ_ONLY = frozenset(
    """LineNum LineTotalFC LineTotalSys TaxPercent TaxSum TaxSumFC TaxSumSys TaxTotalSum TaxTotalSumFC TaxTotalSumSys
    LineGross LineGrossFC LineGrossSys Status PaidToDate PaidToDateFC PaidToDateSys TargetAbsEntry
    TargetType""".split()
)


def read_row(
    body: object,
    entity_type: EntityType,
    played: frozenset[str],
    read_only: frozenset[str],
    elsewhere: Iterable[str] = (),
    keep: Iterable[str] = (),
) -> Row:
    """The played scalars of one object of a body, user-defined fields included.

    ``elsewhere`` names properties the caller reads itself; ``keep`` names read-only ones it wants to see.
    """
    if not isinstance(body, Mapping):
        raise refused(f"'{entity_type.name}' must be an object")  # text ours
    for name in body:
        if entity_type.kind_of(name) is None and not name.startswith("@"):
            raise unknown_property(name, entity_type.name)
    row: Row = {}
    kept, others = frozenset(keep), frozenset(elsewhere)
    for name, value in body.items():
        if name in others or name.startswith("@"):
            continue
        if name in played or name in entity_type.user_fields or name in kept:
            row[name] = entity_type.read(name, value)
        elif name not in read_only and not _is_default(entity_type, name, value):
            raise NotPlayed(f"the property '{name}' of '{entity_type.name}' in a request")
    return row


def _is_default(entity_type: EntityType, name: str, value: Any) -> bool:
    return value is None or value == [] or value == {} or value == entity_type.default(name)


def user_field_defaults(entity_type: EntityType) -> Row:
    """Defaults of user-defined fields, which SAP applies silently to what was not sent."""
    return {name: field.default for name, field in entity_type.user_fields.items() if field.default is not None}


def objects(body: Mapping[str, Any], name: str) -> list[Any]:
    """A collection of a body; missing or null is empty."""
    value = body.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise refused(f"'{name}' must be a collection")  # text ours
    return value
