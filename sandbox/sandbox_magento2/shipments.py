"""Shipments and their tracks: which rows a request really ships, the silent cuts, and what it changes in the order."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_DOWN, Decimal
from typing import Any

from sandbox_magento2.actions import can_ship, comment_row, integer, only, requested_items, set_state, settle_state
from sandbox_magento2.errors import MagentoError, NotPlayed, no_such_entity, required
from sandbox_magento2.money import ZERO
from sandbox_magento2.order import Item, Order
from sandbox_magento2.searchcriteria import DATE, NUMBER, TEXT
from sandbox_magento2.shop import Shop

#: What shipments can be searched and sorted by.
SHIPMENT_COLUMNS = {
    **dict.fromkeys(
        "billing_address_id customer_id email_sent entity_id order_id send_email shipment_status shipping_address_id "
        "store_id total_qty total_weight".split(),
        NUMBER,
    ),
    "increment_id": TEXT,
    "created_at": DATE,
    "updated_at": DATE,
}

#: Magento's one answer to everything that goes wrong while a shipment is saved: a wrong source, too little in it.
_COULD_NOT_SAVE = "Could not save a shipment, see error log for details"


def ship(shop: Shop, order: Order, body: Mapping[str, Any]) -> str:
    """Make a shipment and return its id, as text. The same request sent again makes another one while units are open."""
    if body.get("packages"):
        raise NotPlayed("ship: the field 'packages'")
    wanted = requested_items(body)
    tracks = body.get("tracks") or []
    for track in tracks:
        only(track, "track_number title carrier_code extension_attributes", "tracks")
    rows = _rows_to_ship(order, wanted)
    problems = _problems(order, wanted, rows, tracks)
    if problems:
        raise MagentoError(400, "\n".join(["Shipment Document Validation Error(s):", *problems]))
    source = _source(body)
    if not shop.catalogue.take(source, _units(shop, order, rows)):
        raise MagentoError(400, _COULD_NOT_SAVE)
    with shop.changing(order):
        document = _write(shop, order, rows, source)
        for track in tracks:
            document["tracks"].append(_track(shop, order.id, document["entity_id"], track))
        notify = bool(body.get("notify"))
        comment_row(shop, body, document, notify and bool(body.get("appendComment")))
        if notify:
            _mail(shop, order, document)
        if order.data["state"] == "new":
            set_state(order, "processing")
        settle_state(order)
    return str(document["entity_id"])


def _source(body: Mapping[str, Any]) -> str:
    arguments = body.get("arguments") or {}
    only(arguments, "extension_attributes", "arguments")
    extension = arguments.get("extension_attributes") or {}
    only(extension, "source_code", "arguments.extension_attributes")
    # Without a code it is this one, even where it does not belong to the store's stock.
    return extension.get("source_code") or "default"


def _rows_to_ship(order: Order, wanted: dict[int, Decimal]) -> list[tuple[Item, Decimal]]:
    """The rows of the shipment. Too much is cut to what is open, without a word; an unknown row is passed over."""
    rows = []
    for item in order.items:
        if item["is_virtual"]:
            continue
        if order.is_dummy(item, shipping=True):
            # The bundle of separately shipped parts comes along with them, as one, however many they are.
            parts = [child for child in order.children(item) if _units_of(order, child, wanted) > 0]
            if parts and order.ships_separately(item):
                rows.append((item, Decimal(1)))
            continue
        units = _units_of(order, item, wanted)
        if units > 0:
            rows.append((item, units))
    return rows


def _units_of(order: Order, item: Item, wanted: dict[int, Decimal]) -> Decimal:
    asked = wanted.get(item["item_id"], ZERO) if wanted else Decimal(item["qty_ordered"])
    units = min(asked, order.to_ship(item))
    return units if item["is_qty_decimal"] else units.to_integral_value(ROUND_DOWN)


def _problems(
    order: Order, wanted: dict[int, Decimal], rows: list[tuple[Item, Decimal]], tracks: list[dict[str, Any]]
) -> list[str]:
    problems = []
    if order.data["state"] in ("payment_review", "holded", "canceled") or order.data["is_virtual"]:
        status = order.data.get("status", "")
        problems.append(f"A shipment cannot be created when an order has a status of {status}")
    elif not can_ship(order):
        problems.append("The order does not allow a shipment to be created.")
    if not rows:
        problems.append("You can't create a shipment without products.")
    problems += ["Please enter a tracking number." for track in tracks if not track.get("track_number")]
    for item_id in wanted:
        item = order.item(item_id)
        if item is not None:
            problems += _wrong_bundle_row(order, item)
    return problems


def _wrong_bundle_row(order: Order, item: Item) -> list[str]:
    """A bundle asked for by the wrong row. Wording from Magento's own validator; it was not recorded."""
    bundle = item.get("parent_item", item)
    if bundle["product_type"] != "bundle" or not order.is_dummy(item, shipping=True):
        return []
    kind, instead = (
        ("Separately", "Bundle product options") if item is bundle else ("Together", "Bundle product itself")
    )
    return [
        f'Cannot create shipment as bundle product "{bundle["sku"]}" has shipment type "{kind}". '
        f"{instead} should be shipped instead."
    ]


def _units(shop: Shop, order: Order, rows: list[tuple[Item, Decimal]]) -> dict[str, Decimal]:
    units: dict[str, Decimal] = {}
    for item, quantity in rows:
        if not order.is_dummy(item, shipping=True):
            for sku, more in order.stock_units(item, quantity, shop.catalogue).items():
                units[sku] = units.get(sku, ZERO) + more
    return units


def _write(shop: Shop, order: Order, rows: list[tuple[Item, Decimal]], source: str) -> dict[str, Any]:
    now, shipment_id = shop.now(), shop.next_id("shipment")
    items = []
    total = ZERO
    for item, units in rows:
        items.append(
            {
                "entity_id": shop.next_id("shipment_item"),
                "name": item["name"],
                "parent_id": shipment_id,
                "price": item["price"],
                "product_id": item["product_id"],
                "sku": item["sku"],
                "weight": item["weight"],
                "order_item_id": item["item_id"],
                "qty": units,
            }
        )
        item["qty_shipped"] = item["qty_shipped"] + units
        item["updated_at"] = now
        if not order.is_dummy(item, shipping=True):
            total += units
    document: dict[str, Any] = {
        "billing_address_id": order.data["billing_address_id"],
        "created_at": now,
        "entity_id": shipment_id,
        "increment_id": shop.next_increment_id("shipment", order.data["store_id"]),
        "order_id": order.id,
        "packages": [],
        "shipping_address_id": order.column("shipping_address_id"),
        "store_id": order.data["store_id"],
        "total_qty": total,
        "updated_at": now,
        "items": items,
        "tracks": [],
        "comments": [],
        "extension_attributes": {"source_code": source},
    }
    if "customer_id" in order.data:
        document["customer_id"] = order.data["customer_id"]
    shop.shipments[shipment_id] = document
    shop.shipments_of[order.id].append(document)
    return document


def _track(shop: Shop, order_id: int, shipment_id: int, sent: Mapping[str, Any]) -> dict[str, Any]:
    now = shop.now()
    return {
        "order_id": order_id,
        "created_at": now,
        "entity_id": shop.next_id("track"),
        "parent_id": shipment_id,
        "updated_at": now,
        "weight": sent.get("weight"),
        "qty": sent.get("qty"),
        "description": sent.get("description"),
        "track_number": sent.get("track_number"),
        "title": sent.get("title"),
        "carrier_code": sent.get("carrier_code"),
    }


def _mail(shop: Shop, order: Order, document: Mapping[str, Any]) -> None:
    shop.mails.append({"kind": "shipment", "order": order.data["increment_id"], "document": document["increment_id"]})


def shipment(shop: Shop, shipment_id: int) -> dict[str, Any]:
    """The shipment with that id, or 404."""
    document = shop.shipments.get(shipment_id)
    if document is None:
        raise no_such_entity()
    return document


def add_track(shop: Shop, body: Mapping[str, Any]) -> dict[str, Any]:
    """A late track: neither the order nor the shipment is bumped, and the same number may be added twice."""
    if "entity" not in body:
        raise required("entity")
    sent = body["entity"]
    only(
        sent,
        "order_id created_at entity_id parent_id updated_at weight qty description track_number title carrier_code "
        "extension_attributes",
        "entity",
    )
    document = shop.shipments.get(integer(sent.get("parent_id"), "parent_id"))
    if document is None or document["order_id"] != integer(sent.get("order_id"), "order_id"):
        # Refused with 400; the wording was not recorded.
        raise MagentoError(400, "Could not save the shipment tracking.")
    track = _track(shop, document["order_id"], document["entity_id"], sent)
    document["tracks"].append(track)
    return track


def send_mail(shop: Shop, shipment_id: int) -> bool:
    """Mail the customer (again) about a shipment."""
    document = shipment(shop, shipment_id)
    _mail(shop, shop.order(document["order_id"]), document)
    return True
