"""Delivery notes: posted against open order lines, tracked, cancelled by a cancellation document."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from decimal import ROUND_CEILING, Decimal
from typing import Any

from sandbox_sapb1.arithmetic import ZERO
from sandbox_sapb1.bodies import HEADER_READ_ONLY, objects, read_row
from sandbox_sapb1.company import DELIVERY, ORDER, Company
from sandbox_sapb1.documents import (
    CLOSED,
    NO,
    OPEN,
    YES,
    bump_partner,
    check_etag,
    document_currency_totals,
    is_live,
    lines_of,
    merge_addresses,
    number_document,
    price_line,
    read_addresses,
    read_freights,
    read_header,
    read_line,
    read_line_parts,
    replace_headers,
    set_amounts,
    touch,
)
from sandbox_sapb1.errors import NotPlayed, action_not_supported, line_of, missing_reference, rule
from sandbox_sapb1.model import Row
from sandbox_sapb1.orders import commit_stock, held

#: Header properties a clerk can still write on a booked delivery; the rest answers -1029.
CHANGEABLE = frozenset(
    """Comments NumAtCard JournalMemo TrackingNumber TransportationCode DocDueDate PickRemark Reference2
    OpeningRemarks ClosingRemarks DocumentsOwner""".split()
)
#: What a line takes over from its base line unless it was sent.
_COPIED_LINE = (
    "ItemCode ItemDescription WarehouseCode UnitPrice DiscountPercent VatGroup TaxCode ShipDate FreeText BarCode "
    "SalesPersonCode ShippingMethod ProjectCode CostingCode"
).split()
_COPIED_HEADER = (
    "NumAtCard CardName TransportationCode ShipToCode PayToCode SalesPersonCode PaymentGroupCode PaymentMethod "
    "DiscountPercent DocRate"
).split()


def post_delivery(company: Company, body: Mapping[str, Any]) -> Row:
    """Book a delivery. Lines with a base (BaseType 17) take over what was not sent and draw on the order."""
    bodies = lines_of(body, DELIVERY)
    bases = [_base_of(company, line_body, at) for at, line_body in enumerate(bodies)]
    first = next((base for base in bases if base is not None), None)
    copied: dict[str, Any] = {}
    if first is not None:
        order = first[0]
        copied = {"CardCode": order["CardCode"], "DocCurrency": order["DocCurrency"]}
        copied |= {name: order[name] for name in _COPIED_HEADER if order.get(name) is not None}
        copied |= {name: value for name, value in order.items() if name.startswith("U_") and value is not None}
    row = read_header(company, {**copied, **body}, DELIVERY)
    row.setdefault("DocDueDate", row["DocDate"])
    for base in bases:
        if base is not None and (base[0]["CardCode"], base[0]["DocCurrency"]) != (row["CardCode"], row["DocCurrency"]):
            raise rule("Base document has another partner or currency", "[DLN1.BaseEntry]")  # text ours
    if first is None:
        row["AddressExtension"] = read_addresses(company, body, row, DELIVERY)
    else:
        row["AddressExtension"] = merge_addresses(company, first[0]["AddressExtension"], body, DELIVERY)
    row["DocumentLines"] = [
        _delivery_line(company, line_body, row, base, at)
        for at, (line_body, base) in enumerate(zip(bodies, bases, strict=True))
    ]
    row["DocumentAdditionalExpenses"] = read_freights(company, objects(body, "DocumentAdditionalExpenses"), DELIVERY)
    set_amounts(company, row)
    _check_stock(company, row)
    number_document(company, row, DELIVERY)
    company.tables["DeliveryNotes"].add(row)
    drawn: dict[int, Row] = {}
    for line, base in zip(row["DocumentLines"], bases, strict=True):
        _move_stock(company, line, -line["Quantity"])
        if base is not None:
            _draw(company, base[1], line["Quantity"])
            drawn[base[0]["DocEntry"]] = base[0]
    for order in drawn.values():
        _settle_order(company, order)
    bump_partner(company, row)
    return row


def _base_of(company: Company, body: object, at: int) -> tuple[Row, Row] | None:
    """The order and order line that a delivery line draws on; None for one without base."""
    if not isinstance(body, Mapping) or body.get("BaseType") in (None, -1):
        return None
    if str(body["BaseType"]) != str(ORDER.object_type):
        raise NotPlayed(f"a delivery copied from base type {body['BaseType']}")
    line_type = company.model.types["DocumentLine"]
    entry, number = (line_type.read(name, body.get(name)) for name in ("BaseEntry", "BaseLine"))
    order = company.tables["Orders"].get(entry)
    line = next((line for line in order["DocumentLines"] if line["LineNum"] == number), None) if order else None
    if order is None or line is None:
        raise missing_reference(line_of("DLN1", "BaseEntry" if order is None else "BaseLine", at))
    if order.get("DocumentStatus", OPEN) != OPEN or line["LineStatus"] != OPEN:
        raise rule("One of the base documents has already been closed", line_of("DLN1", "BaseEntry", at))
    if order.get("Confirmed") == NO:
        raise rule("The base document is not approved", line_of("DLN1", "BaseEntry", at))  # text ours
    return order, line


def _delivery_line(company: Company, body: Any, header: Row, base: tuple[Row, Row] | None, at: int) -> Row:
    if base is None:
        line = read_line(company, body, header, DELIVERY, at)
    else:
        order, base_line = base
        sent = read_line_parts(company, body, header)
        line = {name: base_line[name] for name in _COPIED_LINE if base_line.get(name) is not None}
        line |= {name: value for name, value in base_line.items() if name.startswith("U_")}
        line |= {
            "Quantity": base_line["RemainingOpenQuantity"],
            "LineStatus": OPEN,
            "Currency": header["DocCurrency"],
            **sent,
            "BaseType": ORDER.object_type,
            "BaseEntry": order["DocEntry"],
            "BaseLine": base_line["LineNum"],
            "BaseOpenQuantity": base_line["RemainingOpenQuantity"],
        }
        if line["Quantity"] == base_line["Quantity"] and not {"UnitPrice", "LineTotal", "DiscountPercent"} & set(sent):
            # The whole line: its total as on the order, not counted again from a rounded price.
            line["LineTotal"] = base_line["RowTotalFC"] or base_line["LineTotal"]
        item = company.tables["Items"].get(line["ItemCode"]) or {"ItemPrices": []}
        price_line(company, line, item, DELIVERY, at)
    return line | {"LineNum": at, "VisualOrder": at, "RemainingOpenQuantity": line["Quantity"]}


def _check_stock(company: Company, row: Row) -> None:
    if not company.switches.block_negative_stock:
        return
    taken: dict[tuple[str, str], Decimal] = {}
    for at, line in enumerate(row["DocumentLines"]):
        item = company.tables["Items"].get(line["ItemCode"])
        if item is None or item.get("InventoryItem") == NO:
            continue
        place = (line["ItemCode"], line["WarehouseCode"])
        taken[place] = taken.get(place, ZERO) + line["Quantity"]
        if taken[place] > company.warehouse_stock(item, line["WarehouseCode"])["InStock"]:
            raise rule("10001069 - Quantity falls into negative inventory", line_of("DLN1", "ItemCode", at))


def _move_stock(company: Company, line: Row, quantity: Decimal) -> None:
    """Add to what lies in the warehouse. An item's UpdateDate does not move with its stock."""
    item = company.tables["Items"].get(line["ItemCode"])
    if item is not None and item.get("InventoryItem") != NO:
        stock = company.warehouse_stock(item, line["WarehouseCode"])
        stock["InStock"] += quantity


def _draw(company: Company, order_line: Row, quantity: Decimal) -> None:
    """Take delivered quantity off an order line; more than was open closes it all the same."""
    before = held(order_line)
    left = max(order_line["RemainingOpenQuantity"] - quantity, ZERO)
    order_line["RemainingOpenQuantity"] = left
    if not left:
        order_line["LineStatus"] = CLOSED
    commit_stock(company, order_line, held(order_line) - before)


def _settle_order(company: Company, order: Row) -> None:
    """Count the order's open amounts again and close or reopen it by its lines."""
    open_lines = any(line["LineStatus"] == OPEN for line in order["DocumentLines"])
    order["DocumentStatus"] = OPEN if open_lines else CLOSED
    document_currency_totals(order)
    set_amounts(company, order)
    touch(company, order)


def patch_delivery(company: Company, row: Row, body: Mapping[str, Any], if_match: str | None) -> None:
    """Change the few things a booked delivery lets one change; anything else is refused, its lines are not played."""
    check_etag(row, if_match)
    if body.get("DocumentLines") or body.get("DocumentAdditionalExpenses") or body.get("AddressExtension"):
        raise NotPlayed("changing lines, freights or addresses of a delivery")
    changed = read_row(body, company.model.types["Document"], CHANGEABLE, HEADER_READ_ONLY)
    replace_headers(company, "DeliveryNotes", row, changed)
    touch(company, row)


def cancel_delivery(company: Company, row: Row, if_match: str | None) -> Row:
    """Book the document that takes a delivery back: itself a delivery note, marked ``csCancellation``.

    The delivery becomes ``csYes``; both are closed. What it drew is open on the order again.
    """
    check_etag(row, if_match)
    if not is_live(row) or row.get("DocumentStatus", OPEN) != OPEN:
        raise action_not_supported()
    counter = deepcopy(row)
    for at, line in enumerate(counter["DocumentLines"]):
        line |= {
            "BaseType": DELIVERY.object_type,
            "BaseEntry": row["DocEntry"],
            "BaseLine": line["LineNum"],
            "LineNum": at,
            "RemainingOpenQuantity": ZERO,
            "LineStatus": CLOSED,
        }
    today = company.clock.date_stamp()
    counter |= {"CancelStatus": "csCancellation", "DocumentStatus": CLOSED, "DocDate": today}
    document_currency_totals(counter)
    set_amounts(company, counter)
    number_document(company, counter, DELIVERY)
    company.tables["DeliveryNotes"].add(counter)
    row |= {"Cancelled": YES, "CancelStatus": "csYes", "DocumentStatus": CLOSED}
    reopened: dict[int, Row] = {}
    for line in row["DocumentLines"]:
        line["LineStatus"] = CLOSED
        _move_stock(company, line, line["Quantity"])
        order = company.tables["Orders"].get(line.get("BaseEntry")) if line.get("BaseType") == 17 else None
        if order is not None:
            reopened[order["DocEntry"]] = order
            order_line = next(one for one in order["DocumentLines"] if one["LineNum"] == line["BaseLine"])
            before = held(order_line)
            order_line["RemainingOpenQuantity"] = min(
                order_line["RemainingOpenQuantity"] + line["Quantity"], order_line["Quantity"]
            )
            order_line["LineStatus"] = OPEN
            commit_stock(company, order_line, held(order_line) - before)
    for order in reopened.values():
        _settle_order(company, order)
    touch(company, row)
    bump_partner(company, row)
    return counter


def deliver_order(company: Company, order: Row, partial: bool, tracking: str | None) -> Row:
    """Deliver an open order as a clerk would: all that is open, or of the first open line half, rounded up.

    The order's freights go with its first delivery.
    """
    lines = [line for line in order["DocumentLines"] if line["LineStatus"] == OPEN]
    first_delivery = all(line["RemainingOpenQuantity"] == line["Quantity"] for line in order["DocumentLines"])
    if partial:
        lines = lines[:1]
    bodies = []
    for line in lines:
        left = line["RemainingOpenQuantity"]
        quantity = (left / 2).to_integral_value(ROUND_CEILING) if partial else left
        bodies.append(
            {"BaseType": 17, "BaseEntry": order["DocEntry"], "BaseLine": line["LineNum"], "Quantity": quantity}
        )
    freights = []
    if first_delivery:
        tax_property = company.switches.tax_property
        freights = [
            {
                "ExpenseCode": freight["ExpenseCode"],
                "LineTotal": freight["LineTotalFC"] or freight["LineTotal"],
                tax_property: freight[tax_property],
                "BaseDocType": ORDER.object_type,
                "BaseDocEntry": order["DocEntry"],
                "BaseDocLine": freight["LineNum"],
            }
            for freight in order["DocumentAdditionalExpenses"]
        ]
    return post_delivery(
        company, {"DocumentLines": bodies, "DocumentAdditionalExpenses": freights, "TrackingNumber": tracking}
    )
