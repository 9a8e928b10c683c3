"""Control routes under ``/_sandbox/``: what a person in the warehouse or an approver would do, and what tests ask.

All speak plain JSON. A refusal is ``{"error": {"field", "message"}}`` with status 400 or 404.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import wraps
from typing import Any

from flask import Blueprint, Response, jsonify, request

from sandbox_faults import FaultBoard
from sandbox_sapb1 import drafts
from sandbox_sapb1.company import LOCAL_CURRENCY, Company
from sandbox_sapb1.deliveries import deliver_order
from sandbox_sapb1.documents import NO, OPEN, is_live, replace_headers
from sandbox_sapb1.errors import ServiceLayerError
from sandbox_sapb1.model import Row
from sandbox_sapb1.services import set_rates
from sandbox_sapb1.switches import BadSwitch

Reply = Response | tuple[Response, int]

#: Orders of one answer of /_sandbox/orders, unless ``limit`` says otherwise.
PAGE = 500


def control_routes(company: Company, board: FaultBoard) -> Blueprint:
    """The blueprint that steers ``company``."""
    routes = Blueprint("sandbox_sapb1", __name__, url_prefix="/_sandbox")

    def locked(view: Callable[..., Reply]) -> Callable[..., Reply]:
        @wraps(view)
        def under_lock(**arguments: Any) -> Reply:
            with company.lock:
                try:
                    return view(**arguments)
                except (BadSwitch, ValueError) as error:
                    return _refuse(getattr(error, "name", None) or str(error).partition(":")[0], str(error))
                except ServiceLayerError as error:
                    return _refuse("document", error.message)

        return under_lock

    @routes.get("/state")
    @locked
    def state() -> Reply:
        return jsonify(_state(company, request.args.get("keys") == "all"))

    @routes.get("/orders")
    @locked
    def orders() -> Reply:
        after, limit = _whole_argument("after", 0), _whole_argument("limit", PAGE)
        rows = []
        for row in company.tables["Orders"].from_key(after + 1):
            rows.append(_told_order(row))
            if len(rows) == limit:
                break
        return jsonify(orders=rows, next_after=rows[-1]["doc_entry"] if len(rows) == limit else None)

    @routes.route("/company", methods=["GET", "POST"])
    @locked
    def switches() -> Reply:
        if request.method == "POST":
            wanted = _object()
            rates = wanted.pop("rates", None)
            if rates is not None and not isinstance(rates, dict):
                raise ValueError("rates: must be an object of currency and rate")
            company.switches.change(wanted)
            set_rates(company, rates or {})
            company.apply_switches()
        told = {
            currency: {date: str(rate) for date, rate in dated.items()} for currency, dated in company.rates.items()
        }
        return jsonify(**company.switches.as_json(), rates=told, now=company.clock.now().isoformat(timespec="seconds"))

    @routes.post("/deliver")
    @locked
    def deliver() -> Reply:
        wanted = _object()
        chosen = _orders_to_deliver(company, wanted)
        booked = []
        for order in chosen:
            number = f"DW{company.peek_number('DeliveryNotes'):010}" if wanted.get("tracking") else None
            delivery = deliver_order(company, order, bool(wanted.get("partial")), number)
            booked.append(
                {
                    "doc_entry": delivery["DocEntry"],
                    "doc_num": delivery["DocNum"],
                    "order": order["DocEntry"],
                    "key": order.get("U_DW_KEY"),
                    "tracking": delivery.get("TrackingNumber"),
                }
            )
        return jsonify(deliveries=booked)

    @routes.post("/deliveries/<int:entry>/track")
    @locked
    def track(entry: int) -> Reply:
        row = company.tables["DeliveryNotes"].get(entry)
        if row is None:
            return _refuse("entry", f"entry: no delivery {entry}", 404)
        # As when a carrier's tool writes it straight into the database: no version, no UpdateDate moves.
        replace_headers(company, "DeliveryNotes", row, {"TrackingNumber": str(_object().get("tracking") or "")})
        return jsonify(doc_entry=entry, tracking=row["TrackingNumber"])

    @routes.post("/items")
    @locked
    def add_item() -> Reply:
        wanted = _object()
        code = wanted.get("item_code")
        if not isinstance(code, str) or not code:
            raise ValueError("item_code: must be a non-empty text")
        if company.tables["Items"].get(code) is not None:
            raise ValueError(f"item_code: there is an item {code} already")
        company.add_item({"ItemCode": code, "ItemName": str(wanted.get("item_name") or f"Product {code}")})
        return jsonify(item_code=code), 201

    @routes.delete("/items/<path:code>")
    @locked
    def remove_item(code: str) -> Reply:
        if company.tables["Items"].get(code) is None:
            return _refuse("item_code", f"item_code: no item {code}", 404)
        company.tables["Items"].remove(code)
        return jsonify(removed=1)

    @routes.get("/drafts")
    @locked
    def list_drafts() -> Reply:
        return jsonify(drafts=[_told_draft(row) for row in company.tables["Drafts"]])

    @routes.post("/drafts/approve")
    @locked
    def approve_all() -> Reply:
        return jsonify(orders=[_told_order(drafts.approve(company, draft)) for draft in drafts.pending(company)])

    @routes.post("/drafts/<int:entry>/<any(approve, reject):decision>")
    @locked
    def decide(entry: int, decision: str) -> Reply:
        draft = company.tables["Drafts"].get(entry)
        if draft is None:
            return _refuse("entry", f"entry: no draft {entry}", 404)
        if decision == "approve":
            return jsonify(order=_told_order(drafts.approve(company, draft)))
        remove = bool(_object().get("remove"))
        drafts.reject(company, draft, remove)
        return jsonify(draft=None if remove else _told_draft(draft))

    @routes.delete("/sessions")
    @locked
    def drop_sessions() -> Reply:
        return jsonify(dropped=company.sessions.drop_all())

    @routes.post("/clock")
    @locked
    def move_clock() -> Reply:
        seconds = _object().get("advance_seconds")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0:
            raise ValueError("advance_seconds: must be a number, zero or more")
        company.clock.move(seconds)
        return jsonify(now=company.clock.now().isoformat(timespec="seconds"))

    @routes.post("/reset")
    @locked
    def reset() -> Reply:
        company.reset()
        board.clear()
        return jsonify(reset=True)

    return routes


def _refuse(field: str, message: str, status: int = 400) -> Reply:
    return jsonify(error={"field": field, "message": message}), status


def _whole_argument(name: str, default: int) -> int:
    text = request.args.get(name)
    if text is not None and not text.isdigit():
        raise ValueError(f"{name}: must be a whole number")
    return default if text is None else int(text)


def _object() -> dict[str, Any]:
    raw = request.get_json(force=True, silent=True) if request.get_data() else {}
    if not isinstance(raw, dict):
        raise ValueError("body: must be a JSON object")
    return raw


def _orders_to_deliver(company: Company, wanted: Mapping[str, Any]) -> list[Row]:
    """The open, confirmed orders a request means, oldest first."""
    ways = [name for name in ("count", "doc_entries", "all") if wanted.get(name)]
    if len(ways) != 1:
        raise ValueError("count: say exactly one of count, doc_entries, all")
    table = company.tables["Orders"]
    if "doc_entries" in ways:
        rows = [table.get(entry) for entry in wanted["doc_entries"]]
        if None in rows:
            raise ValueError(f"doc_entries: no order {wanted['doc_entries'][rows.index(None)]}")
        chosen = [row for row in rows if row is not None]
    else:
        chosen = list(table)
    chosen = [row for row in chosen if row.get("DocumentStatus", OPEN) == OPEN and row.get("Confirmed") != NO]
    if "count" in ways:
        if not isinstance(wanted["count"], int):
            raise ValueError("count: must be a whole number")
        chosen = chosen[: wanted["count"]]
    return chosen


def _total(row: Row) -> Decimal:
    """The total in the document's own currency."""
    return row["DocTotal"] if row["DocCurrency"] == LOCAL_CURRENCY else row["DocTotalFc"]


def _told_order(row: Row) -> dict[str, Any]:
    return {
        "doc_entry": row["DocEntry"],
        "doc_num": row["DocNum"],
        "key": row.get("U_DW_KEY"),
        "num_at_card": row.get("NumAtCard"),
        "card_code": row["CardCode"],
        "currency": row["DocCurrency"],
        "total": str(_total(row)),
        "live": is_live(row),
        "open": row.get("DocumentStatus", OPEN) == OPEN,
        "lines": [
            {
                "item_code": line["ItemCode"],
                "quantity": str(line["Quantity"]),
                "open_quantity": str(line["RemainingOpenQuantity"]),
                "key": line.get("U_DW_LINE"),
            }
            for line in row["DocumentLines"]
        ],
    }


def _told_draft(row: Row) -> dict[str, Any]:
    return {**_told_order(row), "authorization": row["AuthorizationStatus"]}


def _state(company: Company, all_keys: bool) -> dict[str, Any]:
    """Counts and totals. ``duplicates`` names every key that more than one live order carries, drafts beside."""
    orders, notes = company.tables["Orders"], company.tables["DeliveryNotes"]
    live = [row for row in orders if is_live(row)]
    keys = Counter(row.get("U_DW_KEY") for row in live)
    without_key = keys.pop(None, 0)
    totals: dict[str, Decimal] = {}
    for row in live:
        totals[row["DocCurrency"]] = totals.get(row["DocCurrency"], Decimal(0)) + _total(row)
    told: dict[str, Any] = {
        "orders": {
            "live": len(live),
            "open": sum(row.get("DocumentStatus", OPEN) == OPEN for row in live),
            "closed": sum(row.get("DocumentStatus", OPEN) != OPEN for row in live),
            "cancelled": len(orders) - len(live),
            "without_key": without_key,
            "distinct_keys": len(keys),
        },
        "duplicates": {key: count for key, count in sorted(keys.items()) if count > 1},
        "drafts": dict(Counter(row["AuthorizationStatus"] for row in company.tables["Drafts"])),
        "deliveries": {
            "live": sum(is_live(row) for row in notes),
            "cancelled": sum(row.get("CancelStatus") == "csYes" for row in notes),
            "cancellations": sum(row.get("CancelStatus") == "csCancellation" for row in notes),
        },
        "totals": {currency: str(total) for currency, total in sorted(totals.items())},
        "sessions": len(company.sessions),
    }
    if all_keys:
        told["keys"] = dict(sorted(keys.items()))
    return told
