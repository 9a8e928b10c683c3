"""What orders, drafts and deliveries have in common: building one from a request, its amounts, its addresses, storing it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from sandbox_sapb1 import arithmetic
from sandbox_sapb1.arithmetic import ZERO, Tax, Taxed, rounded
from sandbox_sapb1.bodies import (
    FREIGHT_PLAYED,
    FREIGHT_READ_ONLY,
    HEADER_COUNTED,
    HEADER_READ_ONLY,
    HEADER_STORED,
    LINE_BASE,
    LINE_COUNTED,
    LINE_READ_ONLY,
    LINE_STORED,
    objects,
    read_row,
    user_field_defaults,
)
from sandbox_sapb1.company import (
    ALL_CURRENCIES,
    DEFAULT_WAREHOUSE,
    FIRST_DOC_NUM,
    LOCAL_CURRENCY,
    Company,
    DocumentKind,
)
from sandbox_sapb1.company import etag as etag_of
from sandbox_sapb1.errors import (
    NotPlayed,
    ServiceLayerError,
    line_of,
    missing_reference,
    refused,
    rule,
    stale_etag,
)
from sandbox_sapb1.model import Row

OPEN, CLOSED = "bost_Open", "bost_Close"
YES, NO = "tYES", "tNO"
#: Complex parts of a document's body that are read by functions of their own.
PARTS = ("DocumentLines", "DocumentAdditionalExpenses", "AddressExtension")

_ADDRESS_PARTS = {
    "Street": "Street",
    "StreetNo": "StreetNo",
    "Block": "Block",
    "BuildingFloorRoom": "Building",
    "City": "City",
    "ZipCode": "ZipCode",
    "County": "County",
    "State": "State",
    "Country": "Country",
    "TypeOfAddress": "AddressType",
    "GlobalLocationNumber": "GlobalLocationNumber",
    "AddressName2": "Address2",
    "AddressName3": "Address3",
}


# --- building from a request --------------------------------------------------------------------------------------------


def read_header(company: Company, body: Mapping[str, Any], kind: DocumentKind) -> Row:
    """The header of a new document, its references checked; without numbers, lines and amounts."""
    if "DocTotal" in body or "DocTotalFc" in body:
        # The real one works a discount out of it; sending it is a mistake we rather name.
        raise NotPlayed("setting DocTotal (SAP would recalculate the discount from it)")
    document = company.model.types["Document"]
    header = read_row(
        body, document, HEADER_STORED | HEADER_COUNTED, HEADER_READ_ONLY, elsewhere=PARTS, keep=("CardCode",)
    )
    partner = company.tables["BusinessPartners"].get(header.get("CardCode"))
    if partner is None:
        raise ServiceLayerError(400, -2028, f"Customer record not found  [{kind.header}.CardCode]")
    if partner.get("Frozen") == YES or partner.get("Valid") == NO:
        raise rule(f"10001071 - Customer {partner['CardCode']} is inactive", f"[{kind.header}.CardCode]")
    if company.switches.period_locked:
        raise rule("Posting period locked; specify an alternative date")
    today = company.clock.date_stamp()
    header = {
        **user_field_defaults(document),
        "DocObjectCode": kind.object_name,
        "DocDate": today,
        "TaxDate": header.get("DocDate") or today,
        "CardName": partner["CardName"],
        "ShipToCode": partner.get("ShipToDefault"),
        "PayToCode": partner.get("BilltoDefault"),
        "JournalMemo": f"{'Sales Orders' if kind.object_type == 17 else 'Deliveries'} - {partner['CardCode']}",
        **header,
    }
    check_header(company, header, kind)
    _set_currency(company, header, partner, kind)
    return header


def check_header(company: Company, header: Row, kind: DocumentKind) -> None:
    """Refuse codes in the header that name nothing, and discounts SAP refuses."""
    for name, set_name, column in (
        ("TransportationCode", "ShippingTypes", "TrnspCode"),
        ("SalesPersonCode", "SalesPersons", "SlpCode"),
        ("PaymentGroupCode", "PaymentTermsTypes", "GroupNum"),
        ("PaymentMethod", "WizardPaymentMethods", "PeyMethod"),
    ):
        if header.get(name) not in (None, "", -1):
            company.require(set_name, header[name], f"[{kind.header}.{column}]")
    if header.get("DiscountPercent") is not None and not -100 < header["DiscountPercent"] < 100:
        raise refused("Invalid discount", f"[{kind.header}.DiscPrcnt]")  # text ours; 100 % is refused


def _set_currency(company: Company, header: Row, partner: Row, kind: DocumentKind) -> None:
    traded = partner["Currency"]
    currency = header.get("DocCurrency") or (LOCAL_CURRENCY if traded == ALL_CURRENCIES else traded)
    company.require("Currencies", currency, f"[{kind.header}.DocCur]")
    if traded not in (ALL_CURRENCIES, currency):
        raise rule("The partner does not trade in this currency", f"[{kind.header}.DocCur]")  # text ours
    header["DocCurrency"] = currency
    if currency == LOCAL_CURRENCY:
        header["DocRate"] = Decimal(1)
    elif not header.get("DocRate"):
        header["DocRate"] = company.rate(currency, header["DocDate"])


def read_line(company: Company, body: object, header: Row, kind: DocumentKind, position: int) -> Row:
    """A new line without base: item, quantity, price, tax and warehouse, all checked."""
    line_type = company.model.types["DocumentLine"]
    sent = read_line_parts(company, body, header)
    code = sent.get("ItemCode")
    item = company.tables["Items"].get(code) if code else None
    if item is None:
        raise missing_reference(line_of(kind.lines, "ItemCode", position))
    if item.get("Frozen") == YES or item.get("Valid") == NO or item.get("SalesItem") == NO:
        raise rule(f"10001069 - Item {code} is inactive", line_of(kind.lines, "ItemCode", position))
    line = {
        **user_field_defaults(line_type),
        "ItemDescription": item.get("ItemName"),
        "WarehouseCode": item.get("DefaultWarehouse") or DEFAULT_WAREHOUSE,
        "ShipDate": header.get("DocDueDate"),
        "LineStatus": OPEN,
        **sent,
        "BarCode": sent.get("BarCode") or item.get("BarCode"),
        "Currency": header["DocCurrency"],
    }
    tax_property = company.switches.tax_property
    if not line.get(tax_property):
        # What SAP does when nobody names a code: the item's own. Nobody is told.
        partner = company.tables["BusinessPartners"].get(header["CardCode"]) or {}
        line[tax_property] = (
            partner.get("VatGroup") or item.get("SalesVATGroup")
            if tax_property == "VatGroup"
            else item.get("ArTaxCode")
        )
    price_line(company, line, item, kind, position)
    return line


def read_line_parts(company: Company, body: object, header: Row) -> Row:
    """What a line of a request says, as far as it is played; the tax property of another localisation is refused."""
    sent = read_row(
        body,
        company.model.types["DocumentLine"],
        LINE_STORED | LINE_COUNTED | LINE_BASE | {"ItemCode"},
        LINE_READ_ONLY,
        elsewhere=("Currency",),
        keep=("LineNum",),
    )
    currency = body.get("Currency") if isinstance(body, Mapping) else None
    if currency not in (None, "", header.get("DocCurrency")):
        raise NotPlayed("a line in another currency than its document")
    refuse_foreign_tax_property(company, sent)
    return sent


def refuse_foreign_tax_property(company: Company, row: Row) -> None:
    """TaxCode and VatGroup belong to different localisations; what SAP does with the wrong one is not known."""
    wanted = company.switches.tax_property
    other = "TaxCode" if wanted == "VatGroup" else "VatGroup"
    if row.get(other):
        raise NotPlayed(f"{other} in a company whose localisation uses {wanted}")


def price_line(company: Company, line: Row, item: Row, kind: DocumentKind, position: int) -> None:
    """Put a line's prices and totals into it, in the document's currency, from what was sent.

    ``LineTotal`` is the document-currency total here; ``set_amounts`` turns it into the local currency SAP shows.
    """
    quantity = line.setdefault("Quantity", Decimal(1))
    if quantity is None or quantity <= 0:
        raise refused("Quantity must be greater than zero", line_of(kind.lines, "Quantity", position))  # text ours
    company.require("Warehouses", line.get("WarehouseCode"), line_of(kind.lines, "WhsCode", position))
    code = line.get(company.switches.tax_property)
    where = line_of(kind.lines, company.switches.tax_property, position)
    if not code:
        raise rule("10000180 - Specify valid tax code", where)
    company.tax(code, where)
    unit_price, total = line.get("UnitPrice"), line.get("LineTotal")
    if unit_price is None and total is None:
        unit_price = _list_price(company, item, line["Currency"])
    discount = line.get("DiscountPercent") or ZERO
    if not -100 < discount < 100:
        raise refused("Invalid discount", line_of(kind.lines, "DiscPrcnt", position))  # text ours
    price = arithmetic.row_price(
        quantity, unit_price, total, discount, company.switches.price_decimals, company.switches.total_decimals
    )
    line |= {
        "UnitPrice": price.unit_price,
        "DiscountPercent": price.discount_percent,
        "Price": price.price,
        "LineTotal": price.total,
    }


def _list_price(company: Company, item: Row, currency: str) -> Decimal:
    """The price SAP takes from its own list when a line brings none."""
    price = next((row["Price"] for row in item["ItemPrices"] if row["PriceList"] == 1), ZERO)
    if currency == LOCAL_CURRENCY:
        return price
    return rounded(price / company.rate(currency, company.clock.date_stamp()), company.switches.price_decimals)


def read_freights(company: Company, bodies: Sequence[Any], kind: DocumentKind) -> list[Row]:
    """New freights (``DocumentAdditionalExpenses``), numbered from 0."""
    return [read_freight(company, body, kind, number) | {"LineNum": number} for number, body in enumerate(bodies)]


def read_freight(company: Company, body: object, kind: DocumentKind, position: int) -> Row:
    """One freight; its ``LineTotal`` in the document's currency, negative allowed."""
    freight_type = company.model.types["DocumentAdditionalExpense"]
    sent = read_row(body, freight_type, FREIGHT_PLAYED, FREIGHT_READ_ONLY)
    refuse_foreign_tax_property(company, sent)
    where = line_of(kind.freights, "ExpnsCode", position)
    expense = company.require("AdditionalExpenses", sent.get("ExpenseCode"), where)
    tax_property = company.switches.tax_property
    if not sent.get(tax_property):
        sent[tax_property] = expense.get("OutputVATGroup") if tax_property == "VatGroup" else "EX"
    company.tax(sent[tax_property], line_of(kind.freights, tax_property, position))
    sent["LineTotal"] = rounded(sent.get("LineTotal") or ZERO, company.switches.total_decimals)
    return sent


def read_addresses(company: Company, body: Mapping[str, Any], header: Row, kind: DocumentKind) -> Row:
    """The document's address parts: the partner's default address, each part overwritten by what was sent.

    A part that was not sent keeps the partner's value, so an order for a one-time customer must send all of them.
    """
    extension: Row = {}
    partner = company.tables["BusinessPartners"].get(header["CardCode"]) or {}
    for prefix, code, address_type in (
        ("ShipTo", header.get("ShipToCode"), "bo_ShipTo"),
        ("BillTo", header.get("PayToCode"), "bo_BillTo"),
    ):
        for address in partner.get("BPAddresses", []):
            if address["AddressName"] == code and address["AddressType"] == address_type:
                extension |= {f"{prefix}{part}": address.get(name) for name, part in _ADDRESS_PARTS.items()}
    return merge_addresses(company, extension, body, kind)


def merge_addresses(company: Company, extension: Row, body: Mapping[str, Any], kind: DocumentKind) -> Row:
    """Address parts with those of the request on top; country and state must exist."""
    address_type = company.model.types["AddressExtension"]
    sent = body.get("AddressExtension")
    merged = {
        **extension,
        **read_row(sent or {}, address_type, frozenset(address_type.properties), frozenset({"DocEntry"})),
    }
    for prefix, letter in (("ShipTo", "S"), ("BillTo", "B")):
        country, state = merged.get(f"{prefix}Country"), merged.get(f"{prefix}State")
        if country:
            company.require("Countries", country, f"[{kind.addresses}.Country{letter}]")
        if state and company.tables["States"].get((state, country)) is None:
            raise rule("Invalid value", f"[{kind.addresses}.State{letter}][line: 0]")
    return merged


# --- amounts ------------------------------------------------------------------------------------------------------------


def document_currency_totals(row: Row) -> None:
    """Turn the stored local totals of a document back into its own currency, to count again after a change."""
    if row["DocCurrency"] != LOCAL_CURRENCY:
        for line in row["DocumentLines"]:
            line["LineTotal"] = line["RowTotalFC"]
        for freight in row["DocumentAdditionalExpenses"]:
            freight["LineTotal"] = freight["LineTotalFC"]


def set_amounts(company: Company, row: Row) -> None:
    """Count the document: expects totals in its currency, leaves what SAP shows.

    For a foreign currency SAP shows local amounts in ``LineTotal``, ``VatSum``, ``DocTotal`` and those of the document
    in ``RowTotalFC``, ``VatSumFc``, ``DocTotalFc``; for the local currency the latter are zero.
    """
    switches = company.switches
    decimals = switches.total_decimals
    lines, freights = row["DocumentLines"], row["DocumentAdditionalExpenses"]
    taxes = [company.tax(line[switches.tax_property], "") for line in lines]
    freight_taxes = [company.tax(freight[switches.tax_property], "") for freight in freights]
    foreign = row["DocCurrency"] != LOCAL_CURRENCY
    difference = ZERO
    if row.get("Rounding") == YES:
        sent = row.get("RoundingDiffAmountFC") if foreign else None
        difference = rounded(sent or row.get("RoundingDiffAmount") or ZERO, decimals)
    discount_percent = row.get("DiscountPercent") or ZERO
    totals = arithmetic.totals(
        [Taxed(line["LineTotal"], tax) for line, tax in zip(lines, taxes, strict=True)],
        [Taxed(freight["LineTotal"], tax) for freight, tax in zip(freights, freight_taxes, strict=True)],
        discount_percent,
        difference,
        decimals,
        switches.tax_rounding == "row",
    )

    def local(amount: Decimal) -> Decimal:
        return rounded(amount * row["DocRate"], decimals) if foreign else amount

    def of_document(amount: Decimal) -> Decimal:
        return amount if foreign else ZERO

    for line, tax, amounts in zip(lines, taxes, totals.row_taxes, strict=True):
        _set_line_amounts(line, tax, amounts, row, local, of_document, decimals)
    for freight, tax, amounts in zip(freights, freight_taxes, totals.freight_taxes, strict=True):
        net, amount = freight["LineTotal"], sum(amounts, ZERO)
        freight |= {
            "LineTotal": local(net),
            "LineTotalFC": of_document(net),
            "LineTotalSys": local(net),
            "TaxPercent": tax.rate,
            "TaxSum": local(amount),
            "TaxSumFC": of_document(amount),
            "TaxSumSys": local(amount),
            "TaxTotalSum": local(amount),
            "TaxTotalSumFC": of_document(amount),
            "TaxTotalSumSys": local(amount),
            "LineGross": local(net + amount),
            "LineGrossFC": of_document(net + amount),
            "LineGrossSys": local(net + amount),
        }
    tax_local, discount_local = local(totals.tax), local(totals.discount)
    if foreign:
        total_local = (
            sum((line["LineTotal"] for line in lines), ZERO)
            - discount_local
            + sum((freight["LineTotal"] for freight in freights), ZERO)
            + tax_local
            + local(difference)
        )
    else:
        total_local = totals.total
    row |= {
        "VatSum": tax_local,
        "VatSumSys": tax_local,
        "VatSumFc": of_document(totals.tax),
        "TotalDiscount": discount_local,
        "TotalDiscountSC": discount_local,
        "TotalDiscountFC": of_document(totals.discount),
        "RoundingDiffAmount": local(difference),
        "RoundingDiffAmountSC": local(difference),
        "RoundingDiffAmountFC": of_document(difference),
        "DocTotal": total_local,
        "DocTotalSys": total_local,
        "DocTotalFc": of_document(totals.total),
    }


def _set_line_amounts(
    line: Row, tax: Tax, amounts: Sequence[Decimal], row: Row, local: Any, of_document: Any, decimals: int
) -> None:
    net, amount, quantity = line["LineTotal"], sum(amounts, ZERO), line["Quantity"]
    open_share = line["RemainingOpenQuantity"] / quantity
    open_net = rounded(net * open_share, decimals)
    gross_price = rounded(line["Price"] * (1 + tax.rate / 100), 4)
    line |= {
        "LineTotal": local(net),
        "RowTotalFC": of_document(net),
        "RowTotalSC": local(net),
        "Rate": row["DocRate"] if row["DocCurrency"] != LOCAL_CURRENCY else ZERO,
        "TaxPercentagePerRow": tax.rate,
        "TaxTotal": local(amount),
        "NetTaxAmount": local(amount),
        "NetTaxAmountFC": of_document(amount),
        "NetTaxAmountSC": local(amount),
        "PriceAfterVAT": gross_price,
        "GrossPrice": gross_price,
        "GrossTotal": local(net + amount),
        "GrossTotalFC": of_document(net + amount),
        "GrossTotalSC": local(net + amount),
        "OpenAmount": local(open_net),
        "OpenAmountFC": of_document(open_net),
        "OpenAmountSC": local(open_net),
        "PackageQuantity": quantity,
        "InventoryQuantity": quantity,
        "RemainingOpenInventoryQuantity": line["RemainingOpenQuantity"],
    }
    if line.get("TaxCode"):
        line["LineTaxJurisdictions"] = [
            {
                "JurisdictionCode": part.code,
                "JurisdictionType": part.kind,
                "TaxRate": part.rate,
                "TaxAmount": local(one),
                "TaxAmountFC": of_document(one),
                "TaxAmountSC": local(one),
                "LineNumber": line["LineNum"],
                "RowSequence": number,
            }
            for number, (part, one) in enumerate(zip(tax.jurisdictions, amounts, strict=True))
        ]


# --- storing ------------------------------------------------------------------------------------------------------------


def number_document(company: Company, row: Row, kind: DocumentKind) -> Row:
    """Give a document its DocEntry and DocNum and its stamps."""
    row["DocEntry"] = company.next_number(kind.set_name)
    row["DocNum"] = company.next_number(f"{kind.set_name}.DocNum", FIRST_DOC_NUM[kind.set_name])
    stamp_new(company, row)
    return row


def stamp_new(company: Company, row: Row) -> None:
    """Version, dates and the back references of the parts."""
    stamps = company.stamps()
    row |= {
        **stamps,
        "CreationDate": stamps["UpdateDate"],
        "DocTime": stamps["UpdateTime"],
        "Reference1": str(row["DocNum"]),
        "DataVersion": 1,
    }
    set_doc_entry(row)


def set_doc_entry(row: Row) -> None:
    """Repeat the DocEntry in the parts, and write the addresses out as the text SAP keeps beside them."""
    for line in row["DocumentLines"]:
        line["DocEntry"] = row["DocEntry"]
        for jurisdiction in line.get("LineTaxJurisdictions", []):
            jurisdiction["DocEntry"] = row["DocEntry"]
    extension = row["AddressExtension"]
    extension["DocEntry"] = row["DocEntry"]
    row["Address"], row["Address2"] = _address_text(extension, "BillTo"), _address_text(extension, "ShipTo")


def _address_text(extension: Row, prefix: str) -> str:
    told = [
        extension.get(f"{prefix}{part}") for part in ("Address2", "Address3", "Street", "ZipCode", "City", "Country")
    ]
    return "\r".join(part for part in told if part)


def touch(company: Company, row: Row) -> None:
    """The document changed: new version, new stamps."""
    row["DataVersion"] += 1
    row |= company.stamps()


def check_etag(row: Row, if_match: str | None) -> None:
    """Refuse a change that names an older version. A strong or garbled ``If-Match`` is ignored, as SAP does."""
    if if_match and if_match.startswith('W/"') and if_match.endswith('"') and if_match != etag_of(row["DataVersion"]):
        raise stale_etag()


def bump_partner(company: Company, row: Row) -> None:
    """Posting a document raises the version of its business partner."""
    partner = company.tables["BusinessPartners"].get(row["CardCode"])
    if partner is not None:
        partner["DataVersion"] += 1


def replace_headers(company: Company, set_name: str, row: Row, changed: Row) -> None:
    """Write header values and keep the table's indexes true."""
    table = company.tables[set_name]
    for name, value in changed.items():
        old = row.get(name)
        row[name] = value
        table.reindex(row, name, old)


def is_live(row: Row) -> bool:
    """Neither cancelled nor a cancellation: what counts as the effect of a web order."""
    return row.get("CancelStatus", "csNo") == "csNo"


def lines_of(body: Mapping[str, Any], kind: DocumentKind) -> list[Any]:
    """The lines of a new document; there must be some."""
    lines = objects(body, "DocumentLines")
    if not lines:
        raise refused("A document needs at least one line", f"[{kind.lines}]")  # text ours
    return lines
