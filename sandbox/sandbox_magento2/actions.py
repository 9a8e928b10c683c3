"""The order's state machine and its invoices: invoice, cancel, hold, unhold, comment, and saving single fields.

``state`` follows from quantities and payments, ``status`` is a label beside it. Some outcomes look like faults and are
Magento's: cancelling a shipped but uninvoiced order works, and an order half of whose bundle was shipped can be complete.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sandbox_magento2.errors import MagentoError, NotPlayed, bad_type, required
from sandbox_magento2.money import ZERO, cents
from sandbox_magento2.order import Item, Order, row_total_before_discount
from sandbox_magento2.shop import Shop

#: The status an order gets with a state.
DEFAULT_STATUS = {"new": "pending"}
_PREFIXES = ("", "base_")


# --- reading bodies ---------------------------------------------------------------------------------------------------


def integer(value: Any, field: str) -> int:
    """An id in a body; Magento takes numbers written as text."""
    if isinstance(value, bool) or not str(value).strip().lstrip("-").isdigit():
        raise bad_type(value, "int", field)
    return int(value)


def quantity(value: Any, field: str) -> Decimal:
    """A quantity in a body."""
    if isinstance(value, bool):
        raise bad_type(value, "float", field)
    try:
        return Decimal(str(value))
    except ArithmeticError:
        raise bad_type(value, "float", field) from None


def only(body: Mapping[str, Any], names: str, where: str) -> None:
    """Refuse fields inside an object that the sandbox does not play; Magento might store them or fail."""
    for name in body:
        if name not in names.split():
            raise NotPlayed(f"{where}: the field {name!r}")


def requested_items(body: Mapping[str, Any]) -> dict[int, Decimal]:
    """The ``items`` of a shipment or invoice request, by row id; of two entries for a row the later one counts."""
    wanted = {}
    for entry in body.get("items") or []:
        only(entry, "order_item_id qty extension_attributes", "items")
        for name in ("order_item_id", "qty"):
            if name not in entry:
                raise NotPlayed(f"items: an entry without {name}")
        wanted[integer(entry["order_item_id"], "order_item_id")] = quantity(entry["qty"], "qty")
    return wanted


def comment_row(shop: Shop, body: Mapping[str, Any], document: dict[str, Any], notified: bool) -> None:
    """Append the ``comment`` of a shipment or invoice request to the document. It is kept even with appendComment off."""
    comment = body.get("comment")
    if not comment:
        return
    only(comment, "comment is_visible_on_front extension_attributes", "comment")
    document["comments"].append(
        {
            "comment": comment.get("comment", ""),
            "created_at": shop.now(),
            "entity_id": shop.next_id("document_comment"),
            "is_customer_notified": int(notified),
            "is_visible_on_front": int(comment.get("is_visible_on_front") or 0),
            "parent_id": document["entity_id"],
        }
    )


# --- what is possible -------------------------------------------------------------------------------------------------


def can_invoice(order: Order) -> bool:
    """Whether an invoice could still be made."""
    if order.data["state"] in ("holded", "payment_review", "canceled", "complete", "closed"):
        return False
    return any(order.to_invoice(item) > 0 for item in order.items)


def can_ship(order: Order) -> bool:
    """Whether a shipment could still be made."""
    if order.data["state"] in ("holded", "payment_review", "canceled") or order.data["is_virtual"]:
        return False
    return any(order.to_ship(item) > 0 and not item["is_virtual"] for item in order.items)


def _can_refund(order: Order) -> bool:
    if order.data["state"] in ("holded", "payment_review", "canceled", "closed"):
        return False
    return bool(order.data.get("total_paid", ZERO) - order.data.get("total_refunded", ZERO))


def set_state(order: Order, state: str) -> None:
    """Set a state and the status that goes with it."""
    order.data["state"] = state
    order.data["status"] = DEFAULT_STATUS.get(state, state)


def settle_state(order: Order) -> None:
    """What saving an order makes of its state; called after every shipment, invoice and cancellation."""
    state = order.data["state"]
    if state in ("canceled", "holded") or can_invoice(order):
        return
    open_to_ship = can_ship(order)
    if state in ("processing", "complete") and not _can_refund(order) and not open_to_ship:
        if not order.data["is_virtual"]:
            set_state(order, "closed")
    elif state == "processing" and (not open_to_ship or _counts_as_shipped(order)):
        set_state(order, "complete")


def _counts_as_shipped(order: Order) -> bool:
    """Magento adds up shipped units of all rows, parents too: a half-shipped bundle can pass for a whole order."""
    shipped = sum(int(item["qty_shipped"]) for item in order.items)
    refunded = sum(int(item["qty_refunded"]) for item in order.items if item["product_type"] == "simple")
    return 0 < shipped and order.data["total_qty_ordered"] <= shipped + refunded


# --- cancel, hold, unhold ---------------------------------------------------------------------------------------------


def cancel(shop: Shop, order: Order) -> bool:
    """Cancel what is open; False, with status 200, if nothing can be cancelled."""
    data = order.data
    impossible = ("canceled", "holded", "payment_review", "complete", "closed")
    if data["state"] in impossible or not any(order.to_invoice(item) for item in order.items):
        return False
    with shop.changing(order):
        state = "canceled"
        for item in order.items:
            if state != "processing" and order.to_refund(item):
                state = "processing" if order.to_ship(item) > _to_cancel(order, item) else "complete"
            _cancel_row(shop, order, item)
        for prefix in _PREFIXES:
            for name in ("subtotal", "tax", "shipping"):
                whole = data[f"{prefix}{name}" if name == "subtotal" else f"{prefix}{name}_amount"]
                data[f"{prefix}{name}_canceled"] = whole - data.get(f"{prefix}{name}_invoiced", ZERO)
            data[f"{prefix}discount_canceled"] = abs(data[f"{prefix}discount_amount"]) - data.get(
                f"{prefix}discount_invoiced", ZERO
            )
            data[f"{prefix}total_canceled"] = data[f"{prefix}grand_total"] - data.get(f"{prefix}total_paid", ZERO)
            order.shipping["total"][f"{prefix}shipping_canceled"] = data[f"{prefix}shipping_canceled"]
        set_state(order, state)
        settle_state(order)
    return True


def _to_cancel(order: Order, item: Item) -> Decimal:
    return min(order.to_invoice(item), order.to_ship(item))


def _cancel_row(shop: Shop, order: Order, item: Item) -> None:
    ordered = item["qty_ordered"]
    if item["qty_canceled"] == ordered:
        return
    canceled = _to_cancel(order, item)
    item["qty_canceled"] = canceled
    item["tax_canceled"] = item.get("tax_canceled", ZERO) + item["base_tax_amount"] * canceled / ordered
    compensation = item.get("discount_tax_compensation_amount", ZERO) * canceled / ordered
    item["discount_tax_compensation_canceled"] = item.get("discount_tax_compensation_canceled", ZERO) + compensation
    item["updated_at"] = shop.now()


def hold(shop: Shop, order: Order) -> bool:
    """Put on hold, remembering where it stood."""
    if order.data["state"] in ("canceled", "payment_review", "complete", "closed", "holded"):
        raise MagentoError(400, "A hold action is not available.")
    with shop.changing(order):
        order.data["hold_before_state"] = order.data["state"]
        order.data["hold_before_status"] = order.data.get("status")
        set_state(order, "holded")
    return True


def unhold(shop: Shop, order: Order) -> bool:
    """Take the hold off."""
    if order.data["state"] != "holded":
        raise MagentoError(400, "You cannot remove the hold.")
    with shop.changing(order):
        order.data["state"] = order.data.pop("hold_before_state")
        order.data["status"] = order.data.pop("hold_before_status")
    return True


# --- comments and single fields ---------------------------------------------------------------------------------------


def add_comment(shop: Shop, order: Order, body: Mapping[str, Any]) -> bool:
    """A comment in the order's history. On 2.4.6 leaving ``status`` out erases the order's status."""
    if "statusHistory" not in body:
        raise required("statusHistory")
    history = body["statusHistory"]
    only(
        history,
        "comment created_at entity_id entity_name is_customer_notified is_visible_on_front parent_id status "
        "extension_attributes",
        "statusHistory",
    )
    status = history.get("status")
    if shop.switches.version == "2.4.7":
        known = {row.get("status") for row in order.data["status_histories"]} | {order.data.get("status")}
        if status and status not in known:
            # The status is refused in 2.4.7-p3; the wording was not recorded.
            raise MagentoError(
                400, 'Unable to add comment: The status "%1" is not part of the order status history.', [status]
            )
        status = status or order.data.get("status")
    with shop.changing(order):
        row = {
            "comment": history.get("comment"),
            "created_at": shop.now(),
            "entity_id": shop.next_id("history"),
            "entity_name": "order",
            "is_customer_notified": int(history.get("is_customer_notified") or 0),
            "is_visible_on_front": int(history.get("is_visible_on_front") or 0),
            "parent_id": order.id,
            "status": status,
        }
        order.data["status_histories"].insert(0, {name: value for name, value in row.items() if value is not None})
        if status:
            order.data["status"] = status
        else:
            order.data.pop("status", None)
        if row["is_customer_notified"]:
            shop.mails.append({"kind": "comment", "order": order.data["increment_id"]})
    return True


def save_fields(shop: Shop, body: Mapping[str, Any]) -> dict[str, Any]:
    """``POST /V1/orders``: stores our reference or a status. The answer shows nulls; whoever wants to know reads again."""
    if "entity" not in body:
        raise required("entity")
    entity = body["entity"]
    only(entity, "entity_id increment_id ext_order_id ext_customer_id status", "entity")
    if "entity_id" not in entity:
        raise NotPlayed("entity: creating an order (no entity_id)")
    order = shop.order(integer(entity["entity_id"], "entity_id"))
    if entity.get("increment_id", order.data["increment_id"]) != order.data["increment_id"]:
        raise NotPlayed("entity: changing increment_id")
    changes = {name: entity[name] for name in ("ext_order_id", "ext_customer_id", "status") if name in entity}
    with shop.changing(order):
        order.data |= changes
    nulls = dict.fromkeys(("grand_total", "base_grand_total", "increment_id", "state", "status", "store_id"))
    return {**nulls, **entity, "entity_id": order.id, "updated_at": order.data["updated_at"], "items": []}


# --- invoices ---------------------------------------------------------------------------------------------------------


def invoice(shop: Shop, order: Order, body: Mapping[str, Any]) -> str:
    """Make an invoice and return its id, as text. Every method we play ends paid, capture or not."""
    wanted = requested_items(body)
    quantities = _invoice_quantities(order, wanted)
    problems = []
    if not any(quantities.values()):
        problems.append("The invoice can't be created without products. Add products and try again.")
    if not can_invoice(order):
        problems.append(f"An invoice cannot be created when an order has a status of {order.data.get('status', '')}")
    if problems:
        raise MagentoError(400, "\n".join(["Invoice Document Validation Error(s):", *problems]))
    with shop.changing(order):
        document = _write_invoice(shop, order, quantities)
        comment_row(shop, body, document, bool(body.get("appendComment") and body.get("notify")))
        if body.get("notify"):
            _mail(shop, "invoice", order, document)
        if order.data["state"] in ("new", "pending_payment"):
            set_state(order, "processing")
        settle_state(order)
    return str(document["entity_id"])


def _mail(shop: Shop, kind: str, order: Order, document: Mapping[str, Any]) -> None:
    shop.mails.append({"kind": kind, "order": order.data["increment_id"], "document": document["increment_id"]})


def _invoice_quantities(order: Order, wanted: dict[int, Decimal]) -> dict[int, Decimal]:
    """How much of each row the invoice names. Rows that another row stands for are named too, and counted."""
    quantities: dict[int, Decimal] = {}
    for item in order.items:
        item_id, parent_id = item["item_id"], item.get("parent_item_id")
        dummy = order.is_dummy(item, shipping=False)
        if not wanted:
            related = [order.to_invoice(child) for child in order.children(item)]
            if parent_id is not None:
                related.append(order.to_invoice(item["parent_item"]))
            # A child without money of its own is named in full each time: its qty_invoiced may exceed what was ordered.
            units = (Decimal(item["qty_ordered"]) if any(related) else ZERO) if dummy else order.to_invoice(item)
        elif item_id in wanted:
            units = wanted[item_id]
        elif parent_id in wanted:
            units = wanted[parent_id] * item["qty_ordered"] / item["parent_item"]["qty_ordered"]
        elif dummy and any(child["item_id"] in wanted for child in order.children(item)):
            units = Decimal(1)
        else:
            units = ZERO
        if not dummy and units > order.to_invoice(item):
            raise MagentoError(400, 'We found an invalid quantity to invoice item "%1".', [item["name"]])
        if units > 0:
            quantities[item_id] = units
    if not any(not order.is_dummy(item, shipping=False) and item["item_id"] in quantities for item in order.items):
        return {}
    return quantities


def _part(whole: Decimal, before: Decimal, units: Decimal, ordered: Decimal) -> Decimal:
    """A partial invoice's share of an amount, such that all shares add up to it."""
    return cents(Decimal(whole) * (before + units) / ordered) - cents(Decimal(whole) * before / ordered)


def _write_invoice(shop: Shop, order: Order, quantities: dict[int, Decimal]) -> dict[str, Any]:
    data, now = order.data, shop.now()
    invoice_id = shop.next_id("invoice")
    rows = []
    sums: dict[str, Decimal] = {}
    for item in order.items:
        units = quantities.get(item["item_id"])
        if units:
            rows.append(_invoice_row(shop, order, item, units, invoice_id, sums))
            item["updated_at"] = now
    first = "shipping_invoiced" not in data
    document: dict[str, Any] = {"base_currency_code": data["base_currency_code"]}
    for prefix in ("base_", ""):
        document |= _invoice_totals(order, prefix, sums, first)
    document |= {
        "base_to_global_rate": 1,
        "base_to_order_rate": data["base_to_order_rate"],
        "billing_address_id": data["billing_address_id"],
        "can_void_flag": 0,
        "created_at": now,
        "entity_id": invoice_id,
        "global_currency_code": data["global_currency_code"],
        "increment_id": shop.next_increment_id("invoice", data["store_id"]),
        "order_currency_code": data["order_currency_code"],
        "order_id": order.id,
        "state": 2,
        "store_currency_code": data["store_currency_code"],
        "store_id": data["store_id"],
        "store_to_base_rate": 0,
        "store_to_order_rate": 0,
        "total_qty": sum(quantities.values(), ZERO),
        "updated_at": now,
        "items": rows,
        "comments": [],
    }
    if "discount_description" in data:
        document["discount_description"] = data["discount_description"]
    if order.column("shipping_address_id"):
        document["shipping_address_id"] = order.column("shipping_address_id")
    shop.invoices[invoice_id] = document
    _count_invoice(order, document)
    return document


def _invoice_row(
    shop: Shop, order: Order, item: Item, units: Decimal, invoice_id: int, sums: dict[str, Decimal]
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "base_price": item["base_price"],
        "entity_id": shop.next_id("invoice_item"),
        "name": item["name"],
        "parent_id": invoice_id,
        "price": item["price"],
        "product_id": item["product_id"],
        "sku": item["sku"],
        "order_item_id": item["item_id"],
        "qty": units,
    }
    for prefix in _PREFIXES:
        if f"{prefix}price_incl_tax" in item:
            row[f"{prefix}price_incl_tax"] = item[f"{prefix}price_incl_tax"]
    before, ordered = Decimal(item["qty_invoiced"]), Decimal(item["qty_ordered"])
    if not order.is_dummy(item, shipping=False):
        for prefix in _PREFIXES:
            total = row_total_before_discount(item, prefix)
            amounts = {
                "row_total": total,
                "row_total_incl_tax": cents(total * (100 + Decimal(item["tax_percent"])) / 100),
                "tax_amount": item[f"{prefix}tax_amount"],
                "discount_amount": item[f"{prefix}discount_amount"],
                "discount_tax_compensation_amount": item.get(f"{prefix}discount_tax_compensation_amount", ZERO),
            }
            for name, whole in amounts.items():
                part = _part(whole, before, units, ordered)
                sums[prefix + name] = sums.get(prefix + name, ZERO) + part
                if part or name != "discount_amount":
                    row[prefix + name] = part
            item[f"{prefix}row_invoiced"] += row[f"{prefix}row_total"]
            item[f"{prefix}tax_invoiced"] += row[f"{prefix}tax_amount"]
            item[f"{prefix}discount_invoiced"] += row.get(f"{prefix}discount_amount", ZERO)
    item["qty_invoiced"] = item["qty_invoiced"] + units
    return row


def _invoice_totals(order: Order, prefix: str, sums: dict[str, Decimal], first: bool) -> dict[str, Decimal]:
    """The invoice's amounts in one currency; the first invoice carries all of the shipping."""
    data = order.data
    ending = "amnt" if prefix else "amount"

    def shipping(name: str) -> Decimal:
        return Decimal(data[f"{prefix}shipping_{name}"]) if first else ZERO

    subtotal = sums[f"{prefix}row_total"]
    discount = sums[f"{prefix}discount_amount"] + shipping("discount_amount")
    tax = sums[f"{prefix}tax_amount"] + shipping("tax_amount")
    compensation = sums[f"{prefix}discount_tax_compensation_amount"]
    shipping_compensation = shipping(f"discount_tax_compensation_{ending}")
    grand_total = subtotal + shipping("amount") + tax - discount + compensation + shipping_compensation
    return {
        f"{prefix}discount_amount": -discount,
        f"{prefix}grand_total": grand_total,
        f"{prefix}discount_tax_compensation_amount": compensation,
        f"{prefix}shipping_amount": shipping("amount"),
        f"{prefix}shipping_discount_tax_compensation_{ending}": shipping_compensation,
        f"{prefix}shipping_incl_tax": shipping("incl_tax"),
        f"{prefix}shipping_tax_amount": shipping("tax_amount"),
        f"{prefix}subtotal": subtotal,
        f"{prefix}subtotal_incl_tax": sums[f"{prefix}row_total_incl_tax"],
        f"{prefix}tax_amount": tax,
    }


def _count_invoice(order: Order, document: Mapping[str, Any]) -> None:
    data, payment = order.data, order.data["payment"]
    for prefix in _PREFIXES:
        counted = {
            "discount_invoiced": "discount_amount",
            "discount_tax_compensation_invoiced": "discount_tax_compensation_amount",
            "shipping_invoiced": "shipping_amount",
            "subtotal_invoiced": "subtotal",
            "tax_invoiced": "tax_amount",
            "total_invoiced": "grand_total",
            "total_paid": "grand_total",
        }
        for name, source in counted.items():
            data[prefix + name] = data.get(prefix + name, ZERO) + document[prefix + source]
        payment[f"{prefix}amount_paid"] = data[f"{prefix}total_paid"]
        payment[f"{prefix}shipping_captured"] = data[f"{prefix}shipping_invoiced"]
    data["base_total_invoiced_cost"] = ZERO
