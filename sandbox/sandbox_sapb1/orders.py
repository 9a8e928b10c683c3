"""Sales orders: made, changed, cancelled, closed; made into drafts where an approval procedure fires."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sandbox_sapb1.arithmetic import ZERO
from sandbox_sapb1.bodies import HEADER_COUNTED, HEADER_READ_ONLY, HEADER_STORED, objects, read_row
from sandbox_sapb1.company import FIRST_DOC_NUM, ORDER, Company
from sandbox_sapb1.documents import (
    CLOSED,
    NO,
    OPEN,
    PARTS,
    YES,
    bump_partner,
    check_etag,
    check_header,
    document_currency_totals,
    lines_of,
    merge_addresses,
    number_document,
    price_line,
    read_addresses,
    read_freight,
    read_freights,
    read_header,
    read_line,
    read_line_parts,
    replace_headers,
    set_amounts,
    set_doc_entry,
    stamp_new,
    touch,
)
from sandbox_sapb1.errors import (
    NO_MATCH,
    NotPlayed,
    ServiceLayerError,
    action_not_supported,
    cannot_be_updated,
    line_of,
    refused,
    rule,
)
from sandbox_sapb1.model import Row

#: Header properties a clerk can still write on a closed order.
_CHANGEABLE_WHEN_CLOSED = frozenset(
    "Comments NumAtCard JournalMemo TrackingNumber ClosingRemarks OpeningRemarks DocumentsOwner Reference2".split()
)
_LINE_AMOUNTS = frozenset("Quantity UnitPrice LineTotal DiscountPercent VatGroup TaxCode WarehouseCode".split())


@dataclass(frozen=True)
class Posted:
    """What POST made: the row, and whether it is the draft of an order that awaits approval."""

    row: Row
    is_draft: bool


def post_order(company: Company, body: Mapping[str, Any]) -> Posted:
    """Make an order, or its draft. The answer to a draft depends on the company (see ``Switches.approval``)."""
    row = build_order(company, body)
    if company.switches.transaction_notification:
        raise ServiceLayerError(400, -1116, company.switches.transaction_notification)
    if needs_approval(company, row):
        return Posted(_store_draft(company, row), True)
    return Posted(store_order(company, row), False)


def build_order(company: Company, body: Mapping[str, Any]) -> Row:
    """A complete order without numbers, or the refusal."""
    bodies = lines_of(body, ORDER)
    row = read_header(company, body, ORDER)
    if not row.get("DocDueDate"):
        raise rule("Enter due date", "[ORDR.DocDueDate]")
    row["AddressExtension"] = read_addresses(company, body, row, ORDER)
    row["DocumentLines"] = lines = []
    for number, line_body in enumerate(bodies):
        lines.append(_new_line(company, line_body, row, number, number))
    row["DocumentAdditionalExpenses"] = read_freights(company, objects(body, "DocumentAdditionalExpenses"), ORDER)
    set_amounts(company, row)
    return row


def _new_line(company: Company, body: object, header: Row, position: int, number: int) -> Row:
    line = read_line(company, body, header, ORDER, position)
    if line.pop("BaseType", -1) not in (None, -1) or line.pop("BaseEntry", None) or line.pop("BaseLine", None):
        raise NotPlayed("a sales order copied from another document")
    return line | {"LineNum": number, "VisualOrder": position, "RemainingOpenQuantity": line["Quantity"]}


def store_order(company: Company, row: Row) -> Row:
    """Book a built order: numbers, stock commitments, the partner's version."""
    number_document(company, row, ORDER)
    company.tables["Orders"].add(row)
    for line in row["DocumentLines"]:
        commit_stock(company, line, line["RemainingOpenQuantity"])
    bump_partner(company, row)
    return row


def commit_stock(company: Company, line: Row, quantity: Decimal) -> None:
    """Raise (or lower) what open orders hold of an item in a warehouse."""
    item = company.tables["Items"].get(line["ItemCode"])
    if item is not None:  # an item may be taken out of the catalogue while orders hold it
        stock = company.warehouse_stock(item, line["WarehouseCode"])
        stock["Committed"] = stock.get("Committed", ZERO) + quantity


# --- approval -----------------------------------------------------------------------------------------------------------


def needs_approval(company: Company, row: Row) -> bool:
    """Whether the company's approval procedure fires on this order."""
    switches = company.switches
    return switches.approval != "off" and row["DocTotal"] >= switches.approval_min_total


def _store_draft(company: Company, row: Row) -> Row:
    """Keep the order as a draft. Its DocEntry counts by itself, its DocNum is only the one it might get."""
    row |= {
        "DocEntry": company.next_number("Drafts"),
        "DocNum": company.peek_number("Orders.DocNum", FIRST_DOC_NUM["Orders"]),
        "AuthorizationStatus": "dasPending",
        "Document_ApprovalRequests": [
            {"ApprovalTemplatesID": 1, "ApprovalTemplatesName": "Web orders", "ActiveForUpdate": NO}
        ],
    }
    stamp_new(company, row)
    company.tables["Drafts"].add(row)
    return row


def draft_refusal() -> ServiceLayerError:
    """How many set-ups answer a POST that made a draft: in the words of "not found"."""
    return ServiceLayerError(404, -2028, NO_MATCH)


# --- change, cancel, close ----------------------------------------------------------------------------------------------


def patch_order(company: Company, row: Row, body: Mapping[str, Any], if_match: str | None) -> None:
    """Merge a PATCH into an order: header by property, lines and freights by LineNum. All or nothing."""
    check_etag(row, if_match)
    if "DocTotal" in body:
        raise NotPlayed("setting DocTotal (SAP would recalculate the discount from it)")
    changed = read_row(
        body, company.model.types["Document"], HEADER_STORED | HEADER_COUNTED, HEADER_READ_ONLY, elsewhere=PARTS
    )
    if body.get("CardCode", row["CardCode"]) != row["CardCode"]:
        raise cannot_be_updated("[ORDR.CardCode]")
    if changed.get("DocCurrency", row["DocCurrency"]) != row["DocCurrency"]:
        raise cannot_be_updated("[ORDR.DocCur]")
    if row.get("DocumentStatus", OPEN) != OPEN:
        _refuse_on_closed(row, changed, body)
    check_header(company, changed, ORDER)
    # Worked on a copy, so that a refusal half-way leaves the order as it was.
    copy = {**row, **changed, "DocumentLines": [dict(line) for line in row["DocumentLines"]]}
    copy["DocumentAdditionalExpenses"] = [dict(freight) for freight in row["DocumentAdditionalExpenses"]]
    copy["AddressExtension"] = merge_addresses(company, row["AddressExtension"], body, ORDER)
    if "RoundingDiffAmount" in changed and "RoundingDiffAmountFC" not in changed:
        copy["RoundingDiffAmountFC"] = None  # counted again from the one that was sent
    document_currency_totals(copy)
    for line_body in objects(body, "DocumentLines"):
        _patch_line(company, copy, line_body)
    for freight_body in objects(body, "DocumentAdditionalExpenses"):
        _patch_freight(company, copy, freight_body)
    set_amounts(company, copy)
    before = {line["LineNum"]: line for line in row["DocumentLines"]}
    for line in copy["DocumentLines"]:
        old = before.get(line["LineNum"])
        if old is not None:
            commit_stock(company, old, -held(old))
        commit_stock(company, line, held(line))
    _close_if_done(copy)
    replace_headers(company, "Orders", row, {name: value for name, value in copy.items() if row.get(name) != value})
    set_doc_entry(row)
    touch(company, row)


def held(line: Row) -> Decimal:
    """What a line holds of the stock: its open quantity while it is open."""
    return line["RemainingOpenQuantity"] if line["LineStatus"] == OPEN else ZERO


def _refuse_on_closed(row: Row, changed: Row, body: Mapping[str, Any]) -> None:
    for name in changed:
        if name not in _CHANGEABLE_WHEN_CLOSED and not name.startswith("U_") and changed[name] != row.get(name):
            raise cannot_be_updated(f"[ORDR.{name}]")
    for name in PARTS:
        if body.get(name):
            raise cannot_be_updated(f"[ORDR.{name}]")


def _patch_line(company: Company, copy: Row, body: Any) -> None:
    lines = copy["DocumentLines"]
    closing = isinstance(body, Mapping) and body.get("LineStatus")
    if closing:
        body = {name: value for name, value in body.items() if name != "LineStatus"}
    sent = read_line_parts(company, body, copy)
    number = sent.pop("LineNum", None)
    at = next((at for at, line in enumerate(lines) if line["LineNum"] == number), None)
    if at is None:
        number = max((line["LineNum"] for line in lines), default=-1) + 1
        lines.append(_new_line(company, body, copy, len(lines), number))
        return
    line = lines[at]
    if sent.get("ItemCode", line["ItemCode"]) != line["ItemCode"]:
        raise cannot_be_updated(line_of("RDR1", "ItemCode", at))
    amounts = {name: value for name, value in sent.items() if name in _LINE_AMOUNTS and value != line.get(name)}
    if amounts and line["LineStatus"] != OPEN:
        raise cannot_be_updated(line_of("RDR1", next(iter(amounts)), at))
    drawn = line["Quantity"] - line["RemainingOpenQuantity"]
    line |= sent
    if amounts:
        if "UnitPrice" in amounts or "Quantity" in amounts or "DiscountPercent" in amounts:
            if "LineTotal" not in sent:
                line.pop("LineTotal")  # counted again from quantity and price
        item = company.tables["Items"].get(line["ItemCode"]) or {}
        price_line(company, line, item, ORDER, at)
        if line["Quantity"] < drawn:
            raise refused("Quantity is below what was already delivered", line_of("RDR1", "Quantity", at))  # text ours
        line["RemainingOpenQuantity"] = line["Quantity"] - drawn
        if not line["RemainingOpenQuantity"]:
            line["LineStatus"] = CLOSED
    if closing:
        if closing not in (CLOSED, "C", line["LineStatus"]):
            raise cannot_be_updated(line_of("RDR1", "LineStatus", at))
        if closing in (CLOSED, "C"):
            line["LineStatus"] = CLOSED


def _patch_freight(company: Company, copy: Row, body: Any) -> None:
    freights = copy["DocumentAdditionalExpenses"]
    number = body.get("LineNum") if isinstance(body, Mapping) else None
    at = next((at for at, freight in enumerate(freights) if freight["LineNum"] == number), None)
    if at is None:
        number = max((freight["LineNum"] for freight in freights), default=-1) + 1
        freights.append(read_freight(company, body, ORDER, len(freights)) | {"LineNum": number})
        return
    known = {name: freights[at].get(name) for name in ("ExpenseCode", "LineTotal", company.switches.tax_property)}
    freights[at] |= read_freight(company, {**known, **body}, ORDER, at)


def cancel_order(company: Company, row: Row, if_match: str | None) -> None:
    """Cancel: only an order of which nothing was delivered, and only once."""
    check_etag(row, if_match)
    if row.get("DocumentStatus", OPEN) != OPEN or any(
        line["RemainingOpenQuantity"] != line["Quantity"] for line in row["DocumentLines"]
    ):
        raise action_not_supported()
    _close_lines(company, row)
    row |= {"Cancelled": YES, "CancelStatus": "csYes", "DocumentStatus": CLOSED}
    touch(company, row)


def close_order(company: Company, row: Row, if_match: str | None) -> None:
    """Close: what is open stays undelivered; the open quantities remain readable."""
    check_etag(row, if_match)
    if row.get("DocumentStatus", OPEN) != OPEN:
        raise action_not_supported()
    _close_lines(company, row)
    row |= {"DocumentStatus": CLOSED, "ClosingDate": company.clock.date_stamp()}
    touch(company, row)


def _close_lines(company: Company, row: Row) -> None:
    for line in row["DocumentLines"]:
        commit_stock(company, line, -held(line))
        line["LineStatus"] = CLOSED


def _close_if_done(row: Row) -> None:
    if all(line["LineStatus"] == CLOSED for line in row["DocumentLines"]):
        row["DocumentStatus"] = CLOSED
