"""Control routes under ``/_sandbox/``: what shop owners and customers do, switches, and proof of what happened.

They answer plain JSON and ask for no credentials. Refusals are ``{"error": {"field", "message"}}`` with status 400.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, request

from sandbox_magento2 import actions, generator, shipments
from sandbox_magento2.errors import MagentoError
from sandbox_magento2.money import dumps
from sandbox_magento2.order import Order
from sandbox_magento2.shop import Shop

#: What ``change`` can do to an order; what real Magento lets people do, and no more (rows are never edited).
CHANGES = ("address", "billing_address", "comment", "status", "note", "email", "hold", "unhold", "pay")
#: Ways to place an order that cannot be booked as it is.
BREAKS = {
    "sku": "a row with a SKU that SAP lacks",
    "tax": "a tax code nobody mapped",
    "fee": "a fee in grand_total that no field explains: the header identity does not hold",
    "region": "a region nobody knows",
}
NO_SUCH_SKU = "NO-SUCH-SKU"

_ADDRESS_FIELDS = "city company country_id firstname lastname postcode region region_code region_id street telephone"


def _json(document: Any, status: int = 200) -> Response:
    return Response(dumps(document), status, content_type="application/json")


def _body() -> dict[str, Any]:
    body = request.get_json(force=True, silent=True) if request.get_data() else {}
    if not isinstance(body, dict):
        raise ValueError("body: must be a JSON object")
    return body


def _summary(order: Order) -> dict[str, Any]:
    data = order.data
    return {
        "entity_id": order.id,
        "increment_id": data["increment_id"],
        "store_id": data["store_id"],
        "state": data["state"],
        "status": data.get("status"),
        "currency": data["order_currency_code"],
        "grand_total": data["grand_total"],
        "base_grand_total": data["base_grand_total"],
        "updated_at": data["updated_at"],
        "ext_order_id": data.get("ext_order_id"),
    }


def control_routes(current: Callable[[], Shop], reset: Callable[[int, int], None]) -> Blueprint:
    """The blueprint; ``current`` gives the shop, ``reset`` opens a new one with so many generated orders."""
    routes = Blueprint("sandbox_magento2", __name__, url_prefix="/_sandbox")

    @routes.errorhandler(ValueError)
    def refuse(error: ValueError) -> Response:
        field, _, why = str(error).partition(": ")
        return _json({"error": {"field": field, "message": why or field}}, 400)

    @routes.errorhandler(MagentoError)
    def refuse_as_magento(error: MagentoError) -> Response:
        return _json({"error": {"field": None, "message": error.message}}, 400)

    def find(increment_id: str) -> Order:
        order = current().order_by_increment(increment_id)
        if order is None:
            raise ValueError(f"increment_id: no order {increment_id}")
        return order

    @routes.get("/health")
    def health() -> Response:
        return _json({"status": "ok"})

    @routes.post("/orders/place")
    def place() -> Response:
        body = _body()
        unknown = body.keys() - {"count", "seed", "kind", "store", "sku", "break", "at"}
        if unknown:
            raise ValueError(f"{min(unknown)}: not known here")
        count = body.get("count", 1)
        if not isinstance(count, int) or not 1 <= count <= 100_000:
            raise ValueError("count: must be a whole number from 1 to 100000")
        broken = body.get("break")
        if broken is not None and broken not in BREAKS:
            raise ValueError(f"break: one of {', '.join(BREAKS)}")
        # one that would be booked at once, so that what is broken shows
        kind = body.get("kind", "simple" if broken else None)
        sku = body.get("sku", NO_SUCH_SKU if broken == "sku" else None)
        shop = current()
        placed = []
        for number in range(count):
            with shop.lock:
                at = datetime.fromisoformat(body["at"]).astimezone(UTC) if "at" in body else shop.clock()
                seed = body.get("seed", f"unseeded {shop.next_id('unseeded')}")
                order = generator.make_order(shop, seed, number, at, kind, body.get("store"), sku)
                _break(shop, order, broken)
                placed.append(_summary(order))
        return _json({"increment_ids": [one["increment_id"] for one in placed], "orders": placed})

    @routes.get("/orders/<increment_id>")
    def show(increment_id: str) -> Response:
        with current().lock:
            return _json(find(increment_id).document())

    @routes.post("/orders/<increment_id>/change")
    def change(increment_id: str) -> Response:
        shop = current()
        with shop.lock:
            order = find(increment_id)
            _change(shop, order, _body())
            return _json(_summary(order))

    @routes.post("/orders/<increment_id>/cancel")
    def cancel(increment_id: str) -> Response:
        shop = current()
        with shop.lock:
            order = find(increment_id)
            return _json({**_summary(order), "canceled": actions.cancel(shop, order)} | _summary(order))

    @routes.post("/orders/<increment_id>/invoice")
    def invoice(increment_id: str) -> Response:
        shop = current()
        with shop.lock:
            order = find(increment_id)
            number = actions.invoice(shop, order, _body())
            return _json({**_summary(order), "invoice_id": number})

    @routes.post("/orders/<increment_id>/ship")
    def ship(increment_id: str) -> Response:
        shop = current()
        with shop.lock:
            order = find(increment_id)
            number = shipments.ship(shop, order, _body())
            return _json({**_summary(order), "shipment_id": number})

    @routes.get("/state")
    def state() -> Response:
        shop = current()
        with shop.lock:
            return _json(_state(shop))

    @routes.get("/switches")
    def switches() -> Response:
        return _json(current().switches.as_json())

    @routes.post("/switches")
    def set_switches() -> Response:
        shop = current()
        with shop.lock:
            shop.switches.set(_body())
            return _json(shop.switches.as_json())

    @routes.post("/reset")
    def reset_shop() -> Response:
        body = _body()
        reset(int(body.get("orders", 0)), int(body.get("seed", 1)))
        return _json({"orders": len(current().orders)})

    return routes


def _state(shop: Shop) -> dict[str, Any]:
    """Everything a test needs to prove that each delivery made one shipment, and each order stands once."""
    shipped: dict[str, list[dict[str, Any]]] = {}
    for document in shop.shipments.values():
        order = shop.orders[document["order_id"]]
        shipped.setdefault(order.data["increment_id"], []).append(
            {
                "entity_id": document["entity_id"],
                "increment_id": document["increment_id"],
                "source_code": document["extension_attributes"]["source_code"],
                "items": [
                    {"order_item_id": item["order_item_id"], "sku": item["sku"], "qty": item["qty"]}
                    for item in document["items"]
                ],
                "tracks": [track["track_number"] for track in document["tracks"]],
                "comments": [comment["comment"] for comment in document["comments"]],
            }
        )
    return {
        "orders": {
            "count": len(shop.orders),
            "by_state": Counter(order.data["state"] for order in shop.orders.values()),
        },
        "totals": {order.data["increment_id"]: _summary(order) for order in shop.orders.values()},
        "shipments": shipped,
        "mails": shop.mails,
        "switches": shop.switches.as_json(),
    }


def _change(shop: Shop, order: Order, body: dict[str, Any]) -> None:
    what, value = body.get("what"), body.get("value")
    if what not in CHANGES:
        raise ValueError(f"what: one of {', '.join(CHANGES)}")
    if what == "hold":
        actions.hold(shop, order)
    elif what == "unhold":
        actions.unhold(shop, order)
    elif what == "pay":
        actions.invoice(shop, order, {})
    elif what == "comment":
        history = {"comment": value or "A word from the shop", "status": order.data.get("status")}
        actions.add_comment(shop, order, {"statusHistory": history})
    else:
        # "bump": false plays a change that leaves updated_at alone, as extensions writing by SQL do.
        with shop.changing(order, bump=body.get("bump", True)):
            if what in ("address", "billing_address"):
                _change_address(order, what, value)
            elif what == "status":
                order.data["status"] = str(value)
            elif what == "note":
                order.data["customer_note"] = str(value)
            elif what == "email":
                order.data["customer_email"] = str(value)


def _change_address(order: Order, what: str, value: object) -> None:
    address = order.data["billing_address"] if what == "billing_address" else order.shipping.get("address")
    if address is None:
        raise ValueError("what: a virtual order has no shipping address")
    changes = value if isinstance(value, dict) else {"street": ["Neue Straße 5"], "postcode": "10999"}
    for name in changes:
        if name not in _ADDRESS_FIELDS.split():
            raise ValueError(f"value: an address has no {name}")
    address.update(changes)


def _break(shop: Shop, order: Order, broken: str | None) -> None:
    if broken is None or broken == "sku":
        return
    with shop.changing(order, bump=False):
        if broken == "fee":
            for name in ("grand_total", "base_grand_total"):
                order.data[name] += 1
        elif broken == "tax":
            taxes = [*order.extension["applied_taxes"]]
            for entry in order.extension["item_applied_taxes"]:
                taxes += entry["applied_taxes"]
            for tax in taxes:
                tax["code"] = tax["title"] = "NOBODY-MAPPED-THIS"
        elif broken == "region":
            address = order.shipping.get("address") or order.data["billing_address"]
            address.update(region="Atlantis", region_code="ATL", region_id=9999)
