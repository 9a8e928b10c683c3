"""Shipments into Magento: what is there already, what is to be shipped, and shipping it.

``MAPPING`` is found through the entry point ``mage2.shipment``; the worker's ``push`` drives it. Magento's shipping is not
idempotent, cuts quantities silently, and cannot be taken back: whether it happened is read from the shipments themselves,
each of which carries the record's key as a marker in its comment.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

from datawald.domain.agent import Absent, Delivery, Finding, Found, Plan, Several, Target, Unknown
from datawald.domain.errors import DataWaldError, InDoubt, Rejected
from datawald.domain.outcome import DEFAULT_WAIT_S, Outcome
from datawald.entities.shipment import Shipment, Track
from datawald_mage2agency import markers
from datawald_mage2agency.catalogue import Catalogue, ships_together
from datawald_mage2agency.demand import Demand, Joining, Parts, demand_of, join, parts_of, sets_in, without
from datawald_mage2agency.money import ZERO
from datawald_mage2agency.money import number as decimal_of
from datawald_mage2agency.rows import Row, every_row, rows_of
from datawald_mage2agency.settings import Mage2Settings

#: Magento's answer where the source is unknown or holds too little; it says the same for other failures of saving.
_NO_STOCK = "Could not save a shipment"
#: Magento's answer where quantities or the order's state do not allow it.
_NOT_VALID = "Shipment Document Validation Error"
#: A part that goes out in another delivery's shipment is looked for again after so many seconds.
_SOON_S = 5.0


@dataclass(frozen=True)
class Situation:
    """What the look-up learnt for one record: its order, what Magento shipped of it, and what the record asks for."""

    #: The record's business key, and the connection that the order is in.
    key: str
    shop: str
    order: Mapping[str, Any]
    rows: Mapping[str, Row]
    #: Every shipment of the order.
    shipments: Sequence[Mapping[str, Any]]
    #: Those that hold goods of this record, its own first one first.
    own: Sequence[Mapping[str, Any]]
    #: How many of them were made for this record (others took parts of it along).
    made: int
    demand: Demand
    #: Whole sets, by item id of bundles shipped together, that the record's parts make by themselves.
    sets: Mapping[str, Decimal]
    #: The parts left over, which need another delivery's to make a set.
    incomplete: Parts
    joining: Joining
    now: datetime

    @property
    def order_id(self) -> int:
        return int(self.order["entity_id"])


class ShipmentTarget(Target[Shipment]):
    """Ships what a delivery of the backoffice took out of the house."""

    entity: ClassVar[str] = "shipment"

    @property
    def write_deadline_s(self) -> float:
        """A shipment, its read-back, and late tracking numbers where there is time left."""
        return 2 * float(self.agent.connection.deadline_s)

    # --- finding ------------------------------------------------------------------------------------------------------

    def find(self, records: Sequence[Delivery[Shipment]]) -> Mapping[str, Finding]:
        try:
            return self._found(records)
        except Rejected as error:  # a read that Magento refuses proves nothing about what it holds
            return {record.id: Unknown(str(error)) for record in records}

    def _found(self, records: Sequence[Delivery[Shipment]]) -> Mapping[str, Finding]:
        connector = self.agent.connector
        numbers = {record.canonical.order_increment_id for record in records}
        orders: dict[str, list[Mapping[str, Any]]] = {}
        for order in connector.orders_by_increment_id(sorted(numbers)):
            orders.setdefault(str(order["increment_id"]), []).append(order)
        # the orders first, then their shipments: one made in between shows in the shipments, which decide
        shipments: dict[int, list[Mapping[str, Any]]] = {}
        for one in connector.shipments_of(
            sorted(int(order["entity_id"]) for found in orders.values() for order in found)
        ):
            shipments.setdefault(int(one["order_id"]), []).append(one)
        catalogue = Catalogue(connector)
        rows = {number: rows_of(found[0]) for number, found in orders.items() if len(found) == 1}
        catalogue.read(row.product_id for found in rows.values() for row in found if row.is_bundle)

        findings: dict[str, Finding] = {}
        by_order: dict[tuple[str, str], list[Delivery[Shipment]]] = {}
        for record in records:
            number = record.canonical.order_increment_id
            problem = self._problem(record, orders.get(number, []))
            if problem:
                findings[record.id] = Absent({"problem": problem})
            else:
                by_order.setdefault((number, record.canonical.source_code), []).append(record)
        for (number, _), of_order in by_order.items():
            order = orders[number][0]
            made = shipments.get(int(order["entity_id"]), [])
            findings |= self._of_order(of_order, order, rows[number], made, catalogue)
        return findings

    def _problem(self, record: Delivery[Shipment], orders: Sequence[Mapping[str, Any]]) -> str:
        shipment = record.canonical
        if shipment.order_key != f"{record.target}:{shipment.order_increment_id}":
            return f"the delivery names order {shipment.order_key}, which is not one of {record.target}"
        if not orders:
            return f"the shop has no order {shipment.order_increment_id}"
        if len(orders) > 1:
            return f"the shop has {len(orders)} orders numbered {shipment.order_increment_id}: nobody can tell which is meant"
        return ""

    def _of_order(
        self,
        records: Sequence[Delivery[Shipment]],
        order: Mapping[str, Any],
        rows: Sequence[Row],
        shipments: Sequence[Mapping[str, Any]],
        catalogue: Catalogue,
    ) -> dict[str, Finding]:
        """Findings of all records of one order and source: parts of a bundle may need each other."""
        settings: Mage2Settings = self.agent.settings
        by_id = {row.item_id: row for row in every_row(tuple(rows))}
        together = {row.item_id: ships_together(catalogue.product(row.product_id)) for row in rows if row.is_bundle}
        bundles = {item_id: by_id[item_id] for item_id, whole in together.items() if whole}
        demands: dict[str, Demand] = {}
        own: dict[str, list[Own]] = {}
        sets: dict[str, dict[str, Decimal]] = {}
        leftovers: dict[str, Parts] = {}
        for record in records:
            demand = demands[record.key] = demand_of(record.canonical, rows, together, settings.substitutions)
            own[record.key] = _own(record, shipments)
            sets[record.key], leftovers[record.key] = {}, {}
            if record.canonical.cancelled:
                continue
            for item_id, delivered in demand.parts.items():
                bundle, parts = bundles[item_id], delivered
                for one in own[record.key]:
                    parts = without(parts, one.parts_of(bundle))
                whole = sets_in(bundle, parts)
                rest = without(parts, parts_of(bundle, whole))
                if whole:
                    sets[record.key][item_id] = whole
                if rest:
                    leftovers[record.key][item_id] = rest
        joinings = join(leftovers, bundles)
        findings: dict[str, Finding] = {}
        for record in records:
            key = record.key
            situation = Situation(
                key=key,
                shop=record.target,
                order=order,
                rows=by_id,
                shipments=shipments,
                own=[one.shipment for one in own[key]],
                made=sum(1 for one in own[key] if one.number),
                demand=demands[key],
                sets=sets[key],
                incomplete=leftovers[key],
                joining=joinings[key],
                now=self.now(),
            )
            findings[record.id] = _finding(own[key], situation)
        return findings

    def now(self) -> datetime:
        """The clock that waiting for tracking numbers is counted on."""
        return datetime.now(UTC)

    # --- planning -----------------------------------------------------------------------------------------------------

    def plan(self, record: Delivery[Shipment], finding: Finding) -> Plan:
        if isinstance(finding, Absent) and "problem" in finding.facts:
            return Plan("reject", finding.facts["problem"])
        situation: Situation = finding.document if isinstance(finding, Found) else finding.facts["situation"]  # type: ignore[union-attr]
        shipment = record.canonical
        number = shipment.order_increment_id
        if shipment.cancelled:
            if not situation.own:
                return Plan("skip", "taken back before it was shipped in Magento")
            names = ", ".join(str(one["increment_id"]) for one in situation.own)
            return Plan("reject", f"taken back in the backoffice, but Magento shipped it as {names}: a person decides")
        demand = situation.demand
        if demand.empty:
            if demand.strange:
                return Plan("reject", f"nothing of it belongs to order {number}: {', '.join(demand.strange)}")
            return Plan("skip", "nothing to be shipped: services, freight or rounding only")
        items, notes = _to_ship(situation)
        if items:
            return self._create(record, situation, items, (*demand.notes, *notes))
        if situation.own:
            return self._settled(record, situation, situation.own, "", demand.notes)
        state = situation.order.get("state")
        if state == "canceled":
            return Plan(
                "reject", f"order {number} is cancelled in Magento, but delivery {shipment.document} left the house"
            )
        parts = _waiting_parts(situation)
        if parts:
            return Plan("wait", **_wait_for_parts(situation, parts))
        return self._without_us(record, situation, (*demand.notes, *notes))

    def _create(
        self, record: Delivery[Shipment], situation: Situation, items: Mapping[str, Decimal], notes: tuple[str, ...]
    ) -> Plan:
        settings: Mage2Settings = self.agent.settings
        shipment, state = record.canonical, situation.order.get("state")
        number = shipment.order_increment_id
        if state == "canceled":
            return Plan(
                "reject", f"order {number} is cancelled in Magento, but delivery {shipment.document} left the house"
            )
        if state in ("holded", "payment_review"):
            return Plan(
                "wait", f"order {number} is {'on hold' if state == 'holded' else 'under payment review'} in Magento"
            )
        if settings.ship_when == "tracked" and not shipment.tracks and not situation.own:
            patience = shipment.shipped_at + timedelta(hours=settings.track_wait_h) - situation.now
            if patience > timedelta(0):
                until = min(patience.total_seconds(), settings.track_wait_h * 3600)
                return Plan("wait", "it has no tracking number yet", until_s=max(until, 1.0))
        marked = [markers.nth(record.key, situation.made + 1), *_gifts(situation)]
        body: dict[str, Any] = {
            "items": [{"order_item_id": int(item_id), "qty": units} for item_id, units in items.items()],
            "notify": self._mails(shipment),
            "appendComment": False,
            "comment": {
                "comment": markers.comment(marked, shipment.doc_num or shipment.document),
                "is_visible_on_front": 0,
            },
            "tracks": [self._track(track) for track in _distinct(shipment.tracks)],
        }
        if shipment.source_code:
            body["arguments"] = {"extension_attributes": {"source_code": shipment.source_code}}
        what = ", ".join(f"{_plain(units)} × {situation.rows[item_id].sku}" for item_id, units in items.items())
        content = _content(number, items, [track.number for track in shipment.tracks], shipment.source_code)
        return Plan("create", f"ship {what}", content=content, body=body, notes=notes, document=situation)

    def _settled(
        self,
        record: Delivery[Shipment],
        situation: Situation,
        shipments: Sequence[Mapping[str, Any]],
        why: str,
        notes: Iterable[str],
    ) -> Plan:
        """The goods are in these shipments: what may be missing are tracking numbers, and parts of bundles."""
        shipment = record.canonical
        there = {number for one in shipments for number in _track_numbers(one)}
        missing = [track for track in _distinct(shipment.tracks) if track.number not in there]
        content = _content(
            shipment.order_increment_id,
            _quantities(shipments),
            [*sorted(there), *(track.number for track in missing)],
            shipment.source_code,
        )
        common: dict[str, Any] = {
            "content": content,
            "tgt_id": str(shipments[0]["entity_id"]),
            "links": _links(situation, shipments),
            "notes": tuple(notes),
        }
        if missing:
            numbers = ", ".join(track.number for track in missing)
            body = {"tracks": [self._track(track) for track in missing]}
            why = "; ".join(part for part in (why, f"add tracking {numbers}") if part)
            return Plan("update", why, body=body, document=situation, **common)
        parts = _waiting_parts(situation)
        if parts:
            return Plan("wait", **_wait_for_parts(situation, parts), tgt_id=common["tgt_id"])
        return Plan("nothing", why, **common)

    def _without_us(self, record: Delivery[Shipment], situation: Situation, notes: tuple[str, ...]) -> Plan:
        """Nothing of it is open in Magento, and no shipment carries the record's marker."""
        rows = {*situation.demand.units, *situation.demand.parts}
        ours = f"{record.source}:"
        by_hand = [
            one
            for one in situation.shipments
            if rows & _quantities([one]).keys() and not any(word.startswith(ours) for word in markers.words_of(one))
        ]
        if not by_hand:
            return Plan("nothing", "nothing of it is open in Magento any more", notes=notes)
        # the one that holds most of it first: it is the one the record is linked to
        by_hand.sort(key=lambda one: -len(rows & _quantities([one]).keys()))
        names = ", ".join(str(one["increment_id"]) for one in by_hand)
        return self._settled(record, situation, by_hand, f"shipped by hand already ({names})", situation.demand.notes)

    # --- writing ------------------------------------------------------------------------------------------------------

    def write(self, record: Delivery[Shipment], plan: Plan) -> Outcome:
        if plan.action == "create":
            return self._ship(record, plan, plan.document)
        return self._add_tracks(record, plan, plan.document)

    def _ship(self, record: Delivery[Shipment], plan: Plan, situation: Situation) -> Outcome:
        try:
            entity_id = self.agent.connector.ship(situation.order_id, plan.body)
        except Rejected as error:
            return self._refused(record, situation, error)
        made = self._read_back(situation, f"shipped as {entity_id}")
        ours = [one for one in made if str(one["entity_id"]) == entity_id]
        if not ours:
            raise InDoubt(f"Magento answered shipment {entity_id}, but does not list it", system=record.target)
        notes = [*plan.notes]
        shipped = _quantities(ours)
        for item in plan.body["items"]:
            asked, got = item["qty"], shipped.get(str(item["order_item_id"]), ZERO)
            if got != asked:
                sku = situation.rows[str(item["order_item_id"])].sku
                notes.append(f"Magento shipped {_plain(got)} of {_plain(asked)} × {sku}")
        if not markers.words_of(ours[0]) & set(plan.body["comment"]["comment"].split()):
            notes.append("Magento does not give the shipment's comment back: it is known by its id only")
        own = [*situation.own, *ours]
        answered = {
            "shipment": str(ours[0]["increment_id"]),
            "units": _plain(decimal_of(ours[0].get("total_qty"))),
            "source": str((ours[0].get("extension_attributes") or {}).get("source_code") or ""),
        }
        tgt_id = str(own[0]["entity_id"])
        parts = _waiting_parts(situation, after=True)
        if parts:
            return Outcome.waiting(**_wait_for_parts(situation, parts), tgt_id=tgt_id)
        numbers = sorted({number for one in own for number in _track_numbers(one)})
        return Outcome.written(
            tgt_id,
            sent=_content(record.canonical.order_increment_id, _quantities(own), numbers, record.canonical.source_code),
            answered=answered,
            links=_links(situation, own),
            why=plan.why,
            notes=tuple(notes),
        )

    def _refused(self, record: Delivery[Shipment], situation: Situation, error: Rejected) -> Outcome:
        """Magento wrote nothing; what happens next depends on why."""
        if _NO_STOCK in error.message:
            source = record.canonical.source_code or "default"
            why = f"Magento does not ship it from source {source!r}: it does not exist there or holds too little"
            return Outcome.waiting(why, until_s=DEFAULT_WAIT_S)
        if _NOT_VALID in error.message:
            now = self.agent.connector.order(situation.order_id)
            if now is not None and _counters(now) != _counters(situation.order):
                return Outcome.retryable("the order was shipped or changed in Magento meanwhile", until_s=_SOON_S)
        return Outcome.rejected(str(error))

    def _add_tracks(self, record: Delivery[Shipment], plan: Plan, situation: Situation) -> Outcome:
        began, deadline = time.monotonic(), float(self.agent.connection.deadline_s)
        for track in plan.body["tracks"]:
            if time.monotonic() - began + deadline > self.write_deadline_s:
                return Outcome.waiting("further tracking numbers follow", until_s=1, tgt_id=plan.tgt_id)
            entity = {"order_id": situation.order_id, "parent_id": int(plan.tgt_id), **track}
            self.agent.connector.add_track(entity)
        made = self._read_back(situation, f"added tracks to {plan.tgt_id}")
        there = {number for one in made if str(one["entity_id"]) == plan.tgt_id for number in _track_numbers(one)}
        lost = [track["track_number"] for track in plan.body["tracks"] if track["track_number"] not in there]
        if lost:
            raise InDoubt(f"Magento took tracking {', '.join(lost)}, but does not list it", system=record.target)
        notes = [*plan.notes]
        if self._mails(record.canonical):
            try:
                self.agent.connector.write("POST", f"shipment/{plan.tgt_id}/emails")
            except DataWaldError as error:  # the tracks are there: a mail less is a warning, not a failure
                notes.append(f"the customer could not be mailed: {error}")
        parts = _waiting_parts(situation)
        if parts:
            return Outcome.waiting(**_wait_for_parts(situation, parts), tgt_id=plan.tgt_id)
        return Outcome.written(
            plan.tgt_id, sent=dict(plan.content), links=dict(plan.links), why=plan.why, notes=tuple(notes)
        )

    def _read_back(self, situation: Situation, done: str) -> list[Mapping[str, Any]]:
        """The order's shipments after a write. Raises ``InDoubt``: from now on no failure means that nothing happened."""
        try:
            made: list[Mapping[str, Any]] = self.agent.connector.shipments_of([situation.order_id])
        except DataWaldError as error:
            raise InDoubt(f"{done}, but it could not be read back: {error.message}", system=error.system) from error
        return made

    def _mails(self, shipment: Shipment) -> bool:
        return bool(self.agent.settings.notify and shipment.notify)

    def _track(self, track: Track) -> dict[str, str]:
        code: str = self.agent.carrier_for(track.carrier)
        title = track.title or (track.carrier if track.carrier != "custom" else "Tracking")
        return {"track_number": track.number, "title": title, "carrier_code": code}


# --- what the shipments hold ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Own:
    """A shipment that holds goods of one record."""

    shipment: Mapping[str, Any]
    #: Which of the shipments made for the record it is, from 1; 0 for another record's that took parts of it along.
    number: int
    #: The parts of bundles it took of the record, by item id, where its marker says so.
    taken: Mapping[str, Decimal] | None

    def parts_of(self, bundle: Row) -> Mapping[str, Decimal]:
        """What of this bundle's parts the shipment took of the record."""
        if self.taken is not None:
            return self.taken
        return parts_of(bundle, _quantities([self.shipment]).get(bundle.item_id, ZERO))


def _own(record: Delivery[Shipment], shipments: Sequence[Mapping[str, Any]]) -> list[Own]:
    """The shipments that hold goods of the record, those made for it first.

    One without a readable marker counts where the record was linked to it before.
    """
    found: list[Own] = []
    for one in shipments:
        words = markers.words_of(one)
        nth = max((markers.own_number(word, record.key) for word in words), default=0)
        taken = next((parts for word in words if (parts := markers.taken(word, record.key)) is not None), None)
        if not nth and taken is None and str(one["entity_id"]) == record.tgt_id:
            nth = 1
        if nth or taken is not None:
            found.append(Own(one, nth, taken))
    return sorted(found, key=lambda each: (each.number == 0, each.number, int(each.shipment["entity_id"])))


def _gifts(situation: Situation) -> list[str]:
    """Markers of who gave which parts to the shipment, where they are not all of one record."""
    gifts = {giver: dict(parts) for giver, parts in situation.joining.gifts.items()}
    if gifts:
        own = gifts[situation.key]
        for item_id, units in situation.sets.items():
            for part, more in parts_of(situation.rows[item_id], units).items():
                own[part] = own.get(part, ZERO) + more
    return [markers.took(giver, parts) for giver, parts in gifts.items()]


def _finding(own: Sequence[Own], situation: Situation) -> Finding:
    if not own:
        return Absent({"situation": situation})
    numbers = [one.number for one in own if one.number]
    if len(numbers) != len(set(numbers)):
        return Several([_as_found([one.shipment], situation) for one in own if one.number])
    return _as_found([one.shipment for one in own], situation)


def _as_found(shipments: Sequence[Mapping[str, Any]], situation: Situation) -> Found:
    tracks = sorted({number for one in shipments for number in _track_numbers(one)})
    source = str((shipments[0].get("extension_attributes") or {}).get("source_code") or "")
    return Found(
        tgt_id=str(shipments[0]["entity_id"]),
        state="live",
        content=_content(str(situation.order["increment_id"]), _quantities(shipments), tracks, source),
        links=_links(situation, shipments),
        document=situation,
    )


def _quantities(shipments: Iterable[Mapping[str, Any]]) -> dict[str, Decimal]:
    """Units by the order's item id."""
    units: dict[str, Decimal] = {}
    for one in shipments:
        for item in one.get("items") or []:
            item_id = str(item["order_item_id"])
            units[item_id] = units.get(item_id, ZERO) + decimal_of(item.get("qty"))
    return units


def _track_numbers(shipment: Mapping[str, Any]) -> list[str]:
    return [str(track.get("track_number") or "") for track in shipment.get("tracks") or []]


def _links(situation: Situation, shipments: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Which line of the delivery is which row of which shipment; a part shipped with its bundle is the bundle's row."""
    rows = {str(item["order_item_id"]): str(item["entity_id"]) for one in shipments for item in one.get("items") or []}
    lines = {line: rows[row] for line, row in situation.demand.rows.items() if row in rows}
    return {
        "doc_num": ", ".join(str(one["increment_id"]) for one in shipments),
        "order": str(situation.order["entity_id"]),
        "lines": lines,
    }


def _content(order: str, items: Mapping[str, Decimal], tracks: Iterable[str], source: str) -> dict[str, Any]:
    """What Magento is to hold, in plain JSON."""
    return {
        "order": order,
        "source_code": source,
        "items": {item_id: _plain(units) for item_id, units in sorted(items.items())},
        "tracks": sorted(set(tracks)),
    }


def _counters(order: Mapping[str, Any]) -> Any:
    """What decides whether a shipment is valid."""
    fields = ("item_id", "qty_shipped", "qty_canceled", "qty_refunded")
    return order.get("state"), [[str(item.get(field)) for field in fields] for item in order.get("items") or []]


# --- what is to be shipped --------------------------------------------------------------------------------------------


def _to_ship(situation: Situation) -> tuple[dict[str, Decimal], list[str]]:
    """Units by item id that are still to be shipped and that Magento has open, and what had to be left out."""
    # what was not open when the record's first shipment was made stays out of it: it was warned of then
    wanted = {} if situation.made else dict(situation.demand.units)
    for sets in (situation.sets, situation.joining.sets):
        for item_id, units in sets.items():
            wanted[item_id] = wanted.get(item_id, ZERO) + units
    items, notes = {}, []
    for item_id, units in wanted.items():
        row = situation.rows[item_id]
        granted = min(units, row.open)
        if granted < units:
            notes.append(f"{_plain(units)} × {row.sku} delivered, {_plain(row.open)} open in Magento")
        if granted > 0:
            items[item_id] = granted
    return items, notes


def _waiting_parts(situation: Situation, *, after: bool = False) -> Parts:
    """Parts that wait for another delivery's to make a set, as long as Magento has any of their bundle open.

    ``after``: once the record's shipment went out, which takes whole sets and what others help to complete.
    """
    waiting: Parts = {}
    for item_id, parts in situation.incomplete.items():
        leaving = ZERO
        if after:
            leaving = situation.sets.get(item_id, ZERO) + situation.joining.sets.get(item_id, ZERO)
            parts = without(parts, situation.joining.gifts.get(situation.key, {}))
        if parts and situation.rows[item_id].open > leaving:
            waiting[item_id] = parts
    return waiting


def _wait_for_parts(situation: Situation, parts: Parts) -> dict[str, Any]:
    """Why it waits, for how many seconds at most, and for which record."""
    leader = situation.joining.leader
    if leader:
        why = f"its parts go out in one shipment with {leader}"
        return {"why": why, "until_s": _SOON_S, "on": (f"shipment:{situation.shop}:{leader}",)}
    words = []
    for item_id, left in parts.items():
        named = ", ".join(f"{_plain(units)} × {situation.rows[part].sku}" for part, units in left.items())
        words.append(f"{named} of bundle {situation.rows[item_id].sku}")
    why = f"{'; '.join(words)} waits for the rest of the set: Magento ships it in whole sets only"
    return {"why": why, "until_s": _next_round(situation)}


def _next_round(situation: Situation) -> float:
    """Seconds to the next full five minutes: deliveries that wait for each other's parts then meet in one claim."""
    return max(DEFAULT_WAIT_S - situation.now.timestamp() % DEFAULT_WAIT_S, 1.0)


def _distinct(tracks: Iterable[Track]) -> list[Track]:
    return list({track.number: track for track in tracks if track.number}.values())


def _plain(quantity: Decimal) -> str:
    return format(quantity.normalize(), "f") if quantity else "0"


MAPPING = ShipmentTarget
