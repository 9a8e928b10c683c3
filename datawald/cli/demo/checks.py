"""The promises the demo makes, each as a named check over what the two systems themselves hold.

Pure: no check asks anything. Our own records come in only where a check is about them (staged once, a reason for
everything that was not sent).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from datawald.cli.demo.configuration import MAGENTO, SAP
from datawald.cli.demo.systems import NEW_STREET, SapDelivery, SapOrder, SapState, ShopShipment, ShopState

#: Exceptions that a failed check names; more would hide the first.
SHOWN = 5

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Check:
    """One promise, and whether it held."""

    promise: str
    ok: bool
    #: How many things it was kept for.
    count: int
    #: What is wrong, one line each; empty where it held.
    wrong: Sequence[str] = ()


def _check(promise: str, count: int, wrong: Iterable[str]) -> Check:
    found = list(wrong)
    # a promise kept for nothing at all proves nothing
    return Check(promise, not found and count > 0, count, found or ([] if count else ["there was nothing to look at"]))


def key_of(increment_id: str) -> str:
    """The business key of an order, as it stands in SAP."""
    return f"{MAGENTO}:{increment_id}"


# --- orders ------------------------------------------------------------------------------------------------------------


def staged_once(shop: ShopState, records: Sequence[Record]) -> Check:
    staged = Counter(record["src_id"] for record in records)
    wrong = [f"order {number} of Magento is not staged" for number in shop.orders if not staged[number]]
    wrong += [f"order {number} is staged {count} times" for number, count in staged.items() if count > 1]
    wrong += [f"record {number} has no order in Magento" for number in staged if number not in shop.orders]
    return _check("every order of Magento is staged, once", len(shop.orders), wrong)


def booked_once(shop: ShopState, sap: SapState, refused: Sequence[str]) -> Check:
    """``refused`` are orders that must not be booked as they are; other checks look at them."""
    live = {key: [order.doc_num for order in orders] for key, orders in sap.live.items()}
    wanted = [number for number, order in shop.orders.items() if order.wanted and number not in refused]
    wrong = [f"order {number} is not in SAP" for number in wanted if key_of(number) not in live]
    wrong += [
        f"{key} stands in SAP {len(numbers)} times: {', '.join(map(str, numbers))}"
        for key, numbers in live.items()
        if len(numbers) > 1
    ]
    return _check("every wanted order is in SAP, exactly once", len(wanted), wrong)


def nothing_else(shop: ShopState, sap: SapState, refused: Sequence[str]) -> Check:
    wanted = {key_of(number) for number, order in shop.orders.items() if order.wanted and number not in refused}
    orders = [order for of_key in sap.live.values() for order in of_key]
    wrong = [
        f"order {order.doc_num} ({order.key or 'no key'}) is not wanted" for order in orders if order.key not in wanted
    ]
    return _check("SAP holds no order that Magento does not want", len(orders), wrong)


def totals_agree(shop: ShopState, sap: SapState) -> Check:
    wrong = _totals(shop, sap, parts=False)
    return _check("every total agrees to the cent", len(wrong), filter(None, wrong))


def remains_agree(shop: ShopState, sap: SapState) -> Check:
    """Orders cancelled in part: shop and books round what remains row by row, each in its own way."""
    wrong = _totals(shop, sap, parts=True)
    return _check("of an order cancelled in part what remains is booked", len(wrong), filter(None, wrong))


def _totals(shop: ShopState, sap: SapState, *, parts: bool) -> list[str]:
    """For every order that both hold what is wrong with its total, "" where nothing is."""
    live = sap.live
    return [
        ""
        if abs(booked.total - order.total) <= order.tolerance and booked.currency == order.currency
        else f"order {number}: {order.total} {order.currency} in Magento, "
        f"{booked.total} {booked.currency} in SAP (order {booked.doc_num})"
        for number, order in shop.orders.items()
        if order.wanted and bool(order.tolerance) == parts
        for booked in live.get(key_of(number), [])
    ]


def reasons_given(shop: ShopState, records: Sequence[Record]) -> Check:
    """What was not sent was not to be sent, and says why."""
    unsent = [record for record in records if record["status"] != "delivered"]
    wrong = []
    for record in unsent:
        order = shop.orders.get(record["src_id"])
        if record["status"] in ("processing", "in doubt"):
            wrong.append(f"order {record['src_id']} is {record['status']}: {record['why']}")
        elif order is not None and order.wanted and record["status"] != "failed":
            wrong.append(f"order {record['src_id']} is wanted and {record['status']}: {record['why']}")
        elif not record["why"]:
            wrong.append(f"order {record['src_id']} is {record['status']} and does not say why")
    return _check("what was not sent was not to be sent, and says why", len(unsent), wrong)


def none_failed(records: Sequence[Record], refused: Sequence[str] = ()) -> Check:
    failed = [
        f"{one['entity']} {one['src_id']}: {one['why']}"
        for one in records
        if one["status"] == "failed" and one["src_id"] not in refused
    ]
    plural = f"{records[0]['entity']}s" if records else "records"
    return _check(
        f"no other of the {plural} failed" if refused else f"none of the {plural} failed", len(records), failed
    )


def unexplained_refused(number: str, records: Sequence[Record]) -> Check:
    found = [record for record in records if record["src_id"] == number]
    wrong = [f"order {number}: {record['status']}: {record['why']}" for record in found if not _unexplained(record)]
    return _check("an order whose parts do not explain its total is failed, not booked", len(found), wrong)


def _unexplained(record: Record) -> bool:
    return record["status"] == "failed" and "unexplained" in record["why"]


def given_up(records: Sequence[Record], number: str, reason: str) -> Check:
    found = [record for record in records if record["src_id"] == number]
    wrong = [
        f"order {number} is {record['status']}: {record['why']}"
        for record in found
        if (record["status"], record["why"]) != ("dropped", reason)
    ]
    return _check("what a person gave up stays given up, with the reason", len(found), wrong)


# --- shipments ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parcel:
    """What a delivery of SAP is to be in Magento: the goods of one order in it."""

    delivery: SapDelivery
    order: str
    #: Units by row of the shop's order.
    rows: Mapping[str, Decimal]

    @property
    def mark(self) -> str:
        """The word in a shipment's comment that names the delivery."""
        return f"{SAP}:15.{self.delivery.doc_entry}/{key_of(self.order)}/"


def parcels(shop: ShopState, sap: SapState) -> list[Parcel]:
    """The parcels that Magento is to know: deliveries of goods, not of services."""
    orders = sap.by_entry
    found = []
    for delivery in sap.deliveries:
        rows: dict[str, dict[str, Decimal]] = {}
        for line in delivery.lines:
            base = orders.get(line.base[0]) if line.base else None
            if base is None or line.base is None or not base.key.startswith(f"{MAGENTO}:"):
                continue
            row = next((one.row for one in base.lines if one.number == line.base[1]), "")
            if row:
                of_order = rows.setdefault(base.key.partition(":")[2], {})
                of_order[row] = of_order.get(row, Decimal(0)) + line.quantity
        found += [Parcel(delivery, number, units) for number, units in rows.items() if not shop.orders[number].virtual]
    return found


def shipped_once(shop: ShopState, sap: SapState) -> Check:
    by_mark: dict[str, list[ShopShipment]] = {}
    for shipment in shop.shipments:
        for word in {word for comment in shipment.comments for word in comment.split()}:
            by_mark.setdefault(word, []).append(shipment)
    expected = parcels(shop, sap)
    wrong = []
    for parcel in expected:
        made = by_mark.get(parcel.mark, [])
        if len(made) != 1 or made[0].order != parcel.order:
            names = ", ".join(one.increment_id for one in made) or "none"
            wrong.append(f"delivery {parcel.delivery.doc_num} of order {parcel.order}: shipments {names}")
    if len(shop.shipments) > len(expected):
        wrong.append(f"Magento has {len(shop.shipments)} shipments for {len(expected)} deliveries")
    return _check("every delivery of SAP is a shipment in Magento, exactly once", len(expected), wrong)


def quantities_agree(shop: ShopState, sap: SapState) -> Check:
    """Row by row; of a bundle that ships as one piece Magento counts the bundle, SAP its parts."""
    wrong, count = [], 0
    shipped = _by_mark(shop)
    for parcel in parcels(shop, sap):
        order, made = shop.orders[parcel.order], shipped.get(parcel.mark)
        if made is None:
            continue  # named by the check before
        count += 1
        for row, units in parcel.rows.items():
            there = made.quantities.get(row)
            if there is None and row in order.apart:
                continue
            if there != units:
                wrong.append(
                    f"order {parcel.order}, row {row}: {units} delivered ({parcel.delivery.doc_num}), "
                    f"{there or 0} shipped ({made.increment_id})"
                )
    return _check("every shipment holds what was delivered", count, wrong)


def tracks_arrived(shop: ShopState, sap: SapState) -> Check:
    shipped = _by_mark(shop)
    found = [(parcel, shipped[parcel.mark]) for parcel in parcels(shop, sap) if parcel.mark in shipped]
    wrong = [
        f"shipment {made.increment_id}: {', '.join(made.tracks) or 'no track'}, not {parcel.delivery.tracking}"
        for parcel, made in found
        if list(made.tracks) != [parcel.delivery.tracking]
    ]
    return _check("every shipment carries its tracking number, once", len(found), wrong)


def nobody_mailed(shop: ShopState) -> Check:
    wrong = [f"the shop mailed {shop.mails} times"] if shop.mails else []
    return _check("no customer was mailed", len(shop.shipments), wrong)


def _by_mark(shop: ShopState) -> dict[str, ShopShipment]:
    return {
        word: shipment
        for shipment in shop.shipments
        for comment in shipment.comments
        for word in comment.split()
        if word.startswith(f"{SAP}:")
    }


# --- changes -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Changes:
    """What people did in Magento between two looks at SAP."""

    moved: Sequence[str] = ()
    cancelled: Sequence[str] = ()
    placed: Sequence[str] = ()
    broken: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.moved) + len(self.cancelled) + len(self.placed) + len(self.broken)


def only_difference(before: SapState, after: SapState, done: Changes) -> Check:
    """SAP counts the writes to each document itself (its DataVersion)."""
    known = {order.doc_entry: order for order in before.orders}
    written = [order for order in after.orders if order != known.get(order.doc_entry)]
    expected = {key_of(number) for number in (*done.moved, *done.cancelled, *done.placed)}
    wrong = [
        f"order {order.doc_num} ({order.key}) was written, and nothing had changed"
        for order in written
        if order.key not in expected
    ]
    untouched = expected - {order.key for order in written}
    wrong += [f"{key} changed in Magento, and nothing was written to SAP" for key in sorted(untouched)]
    wrong += [
        f"order {order.doc_num} ({order.key}) was written {order.version - known[order.doc_entry].version} times"
        for order in written
        if order.doc_entry in known and order.version - known[order.doc_entry].version > 1
    ]
    return _check("only what changed was written to SAP, each order once", len(written), wrong)


def addresses_moved(sap: SapState, done: Changes) -> Check:
    live = sap.live
    wrong = [
        f"order {number}: {' / '.join(_streets(live.get(key_of(number), [])))}"
        for number in done.moved
        if _streets(live.get(key_of(number), [])) != [NEW_STREET]
    ]
    return _check("changed addresses stand in SAP", len(done.moved), wrong)


def cancelled_too(sap: SapState, done: Changes) -> Check:
    held = {order.key: order for order in sap.orders}
    live = sap.live
    wrong = [f"order {number} is not there any more" for number in done.cancelled if key_of(number) not in held]
    wrong += [f"order {number} still counts in SAP" for number in done.cancelled if key_of(number) in live]
    return _check("orders cancelled in Magento are cancelled in SAP", len(done.cancelled), wrong)


def broken_named(records: Sequence[Record], sap: SapState, done: Changes, sku: str) -> Check:
    """The order that cannot be booked is failed, says what is missing, and left nothing behind."""
    by_number = {record["src_id"]: record for record in records}
    wrong = []
    for number in done.broken:
        record = by_number.get(number)
        if record is None:
            wrong.append(f"order {number} is not staged")
        elif record["status"] != "failed" or sku not in record["why"]:
            wrong.append(f"order {number} is {record['status']}: {record['why'] or 'no reason'}")
        if key_of(number) in sap.live:
            wrong.append(f"order {number} is in SAP all the same")
    return _check("the order that cannot be booked is failed and says why", len(done.broken), wrong)


def arrived(shop: ShopState, sap: SapState, numbers: Sequence[str]) -> Check:
    live = sap.live
    wrong = []
    for number in numbers:
        booked = live.get(key_of(number), [])
        if len(booked) != 1 or booked[0].total != shop.orders[number].total:
            wrong.append(
                f"order {number}: {', '.join(f'{one.doc_num} over {one.total}' for one in booked) or 'not in SAP'}"
            )
    return _check("mended and replayed, it arrives", len(numbers), wrong)


def _streets(orders: Sequence[SapOrder]) -> list[str]:
    return [order.street for order in orders]


def nothing_shipped_twice(before: int, shop: ShopState) -> Check:
    """Deliveries were read again, and orders that were shipped meanwhile too."""
    wrong = [f"{before} shipments before, {len(shop.shipments)} now"] if len(shop.shipments) != before else []
    return _check("running again ships nothing twice", len(shop.shipments), wrong)
