"""Orders into SAP Business One: what is there under an order's key, what is to be done, and doing it.

``MAPPING`` is found through the entry point ``b1.order``; the worker's ``push`` drives it. How an order looks in SAP is in
``documents``; here is what happens to it over its life: made, changed, cancelled, closed, held by an approval procedure.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, ClassVar

from datawald.domain.agent import Absent, Delivery, Finding, Found, Plan, Several, Target
from datawald.domain.entity import plain_decimal
from datawald.domain.errors import DataWaldError, InDoubt, Rejected, Retryable
from datawald.domain.outcome import Outcome
from datawald.entities.order import Order
from datawald_b1agency.addresses import state_of
from datawald_b1agency.comparison import Comparison
from datawald_b1agency.documents import (
    LINES,
    Circumstances,
    Wanted,
    answered_of,
    bookable,
    drawn,
    held_content,
    is_item_of,
    lines_by_id,
    links_of,
    name_of,
    text,
    total_of,
    wanted_document,
)
from flask_b1connector import MaybeDraft

#: Object type of drafts in SAP. A waiting draft's ``tgt_id`` is ``112.<DocEntry>``: its DocEntry is no order's.
DRAFT_TYPE = "112"
#: Seconds between looks at an order that the shop holds; letting go of it is a new version, which comes by itself.
HELD_S = 1800
#: Seconds between looks at a draft that waits for approval.
APPROVAL_S = 300
#: Seconds until an order is tried again that lacks an exchange rate or an open period.
RATE_S = 900

#: What SAP says when the day is wrong, not the order: no rate for it, or its period is closed.
_NOT_TODAY = re.compile(r"exchange rate|posting period|permissible range|period .*(locked|closed)", re.IGNORECASE)
#: What SAP says when something the order names is missing or on hold in the company.
_MISSING = re.compile(r"is inactive|10000180|invalid vat group|valid tax code|no matching records", re.IGNORECASE)
#: The customer's own checks (SBO_SP_TransactionNotification): free text, never to be read into.
_OWN_CHECK = "-1116"
#: ``[ORDR.PeyMethod]``, ``[RDR1.ItemCode][line: 1]``: the refusal names a column, so it speaks of a missing code.
_COLUMN = re.compile(r"\[\w+\.\w+\]")

#: Header fields an order may change after it was booked.
_CHANGING = frozenset({"CardName", "NumAtCard", "Comments", "Rounding", "RoundingDiffAmount"})
#: What is read back of an order that was just made.
_READ_BACK = (
    *("DocEntry", "DocNum", "Cancelled", "CancelStatus", "DocumentStatus", "DocCurrency", "DocTotal", "DocTotalFc"),
    LINES,
)


@dataclass(frozen=True)
class Held:
    """What ``find`` read of an order, for ``plan`` and ``write``."""

    document: Mapping[str, Any]
    states: frozenset[str] = frozenset()

    @property
    def is_closed(self) -> bool:
        return self.document.get("DocumentStatus") == "bost_Close"

    @property
    def etag(self) -> str | None:
        """Only a well-formed one: SAP ignores any other, and the write would be blind."""
        tag = str(self.document.get("@odata.etag") or "")
        return tag if re.fullmatch(r'W/"[0-9A-F]{40}"', tag) else None

    @property
    def doc_num(self) -> str:
        return text(self.document.get("DocNum"))


@dataclass(frozen=True)
class Change:
    """What ``write`` needs for an update."""

    held: Held
    wanted: Wanted
    #: The content sent, to be read back.
    sent: Mapping[str, str]
    #: Lines to be closed, by line id.
    closing: tuple[str, ...]
    #: Whether the total must come out as wanted: not where a clerk changed amounts.
    check_total: bool


@dataclass(frozen=True)
class WrongTotal:
    """What ``write`` needs to take an order of ours back at whose total SAP arrived otherwise."""

    found: Found
    wanted: Wanted


class OrderTarget(Target[Order]):
    """Books orders, one sales order per business key."""

    entity: ClassVar[str] = "order"

    @property
    def write_deadline_s(self) -> float:
        """A POST, its read-back and, where there is time left, the cancelling of what came out wrong."""
        return 2 * float(self.agent.connection.deadline_s)

    # --- find ---------------------------------------------------------------------------------------------------------

    def find(self, records: Sequence[Delivery[Order]]) -> Mapping[str, Finding]:
        """Drafts first, then orders: an approved draft becomes an order in between, and must not be missed by both."""
        by_key = {record.key: record for record in records}
        drafts = self._drafts(by_key)
        orders = self._orders(by_key)
        live = {key for key, rows in orders.items() if any(not _is_cancelled(row) for row in rows)}
        beside = sorted(live & drafts.keys())
        if beside:
            # the draft may have become just that order while we asked
            drafts = {key: rows for key, rows in drafts.items() if key not in live} | self._drafts(beside)
        states = self.agent.lookups.states_of(place for record in records for place in self._places(record.canonical))
        findings: dict[str, Finding] = {}
        absent: list[Delivery[Order]] = []
        for key, record in by_key.items():
            found = self._finding(record, orders.get(key, []), drafts.get(key, []), states)
            if found is None:
                absent.append(record)
            else:
                findings[record.id] = found
        wanted = [record for record in absent if not record.canonical.cancelled]
        known = self.agent.lookups.items_of(line for record in wanted for line in record.canonical.lines)
        for record in absent:
            items = {line.line_id: known[line.sku] for line in record.canonical.lines if line.sku in known}
            findings[record.id] = Absent({"items": items, "states": states})
        return findings

    def _drafts(self, keys: Iterable[str]) -> dict[str, list[Mapping[str, Any]]]:
        """Drafts of orders that wait or were refused, by key. Drafts of deliveries carry their order's key too."""
        key_field = self.agent.settings.key_field
        rows = self.agent.connector.any_of(
            "Drafts",
            key_field,
            keys,
            select=(
                "DocEntry",
                "DocNum",
                "DocObjectCode",
                "DocumentStatus",
                "Cancelled",
                "AuthorizationStatus",
                key_field,
            ),
        )
        return _by_key(
            (
                row
                for row in rows
                if text(row.get("DocObjectCode")) in ("oOrders", "17")
                and row.get("DocumentStatus") != "bost_Close"
                and not _is_cancelled(row)
                # the draft of an order that was made stays in some versions, and says so
                and row.get("AuthorizationStatus") not in ("dasGenerated", "dasGeneratedbyAuthorizer")
            ),
            key_field,
            keys,
        )

    def _orders(self, keys: Iterable[str]) -> dict[str, list[Mapping[str, Any]]]:
        """Whole orders by key: few are found, and what a hook or a clerk set is among their five hundred fields."""
        key_field = self.agent.settings.key_field
        return _by_key(self.agent.connector.any_of("Orders", key_field, keys), key_field, keys)

    def _finding(
        self,
        record: Delivery[Order],
        orders: Sequence[Mapping[str, Any]],
        drafts: Sequence[Mapping[str, Any]],
        states: frozenset[str],
    ) -> Finding | None:
        live = [self._found(record, row, "live", states) for row in orders if not _is_cancelled(row)]
        waiting = [_found_draft(row) for row in drafts if not _is_refused(row)]
        if len(live) + len(waiting) > 1:
            return Several([*live, *waiting])
        if live or waiting:
            # a refused draft beside it is history
            return (live + waiting)[0]
        if drafts:
            return _found_draft(drafts[-1])
        # "replay as new" makes an order again although a cancelled one stands under its key
        if orders and not record.links.get("as_new"):
            return self._found(record, orders[-1], "cancelled", states)
        return None

    def _found(self, record: Delivery[Order], row: Mapping[str, Any], state: Any, states: frozenset[str]) -> Found:
        settings = self.agent.settings
        entry = text(row.get("DocEntry"))
        known = record.links if entry == record.tgt_id else None
        lines = lines_by_id(row, settings, record.canonical.lines, known)
        return Found(entry, state, held_content(row, lines, settings), links_of(row, lines), Held(row, states))

    def _places(self, order: Order) -> Iterator[str]:
        """States of the order's addresses, in SAP's codes."""
        settings = self.agent.settings
        for address in (order.shipping, order.billing):
            if address and (state := state_of(address, settings)):
                yield f"{settings.countries.get(address.country, address.country)}/{state}"

    # --- plan ---------------------------------------------------------------------------------------------------------

    def plan(self, record: Delivery[Order], finding: Finding) -> Plan:
        if isinstance(finding, Absent):
            return self._plan_absent(record, finding)
        if not isinstance(finding, Found):
            raise Rejected(f"nothing can be planned for {type(finding).__name__}")
        if finding.state == "draft":
            return _plan_draft(record, finding)
        if finding.state == "cancelled":
            return _plan_cancelled(record, finding)
        if record.canonical.cancelled:
            return self._plan_cancel(record, finding)
        return self._plan_change(record, finding)

    def _plan_absent(self, record: Delivery[Order], finding: Absent) -> Plan:
        order = record.canonical
        if order.cancelled:
            return Plan("skip", "cancelled in the shop, and there is no order in SAP")
        if record.tgt_id.startswith(f"{DRAFT_TYPE}.") and not record.links.get("as_new"):
            return Plan("reject", f"draft {record.tgt_id} that waited for approval is gone, and no order came of it")
        if record.tgt_id and not record.links.get("as_new"):
            return Plan(
                "reject",
                f"order {record.links.get('doc_num') or record.tgt_id} was made for it, and is not found under its key "
                f"any more: was {self.agent.settings.key_field} changed in SAP?",
            )
        if order.held:
            return Plan("wait", order.held, until_s=HELD_S)
        items: Mapping[str, str] = finding.facts.get("items", {})
        wanted = self._wanted(record, items, finding.facts.get("states", frozenset()))
        missing = sorted({line.sku for line in order.lines if line.quantity and line.line_id not in items})
        if missing:
            return Plan("missing", f"SAP has no item for the SKU {', '.join(missing)}")
        return Plan(
            "create",
            content=wanted.content(),
            body=wanted.document(),
            notes=wanted.notes,
            document=wanted,
            total=wanted.total,
        )

    def _wanted(self, record: Delivery[Order], items: Mapping[str, str], states: frozenset[str]) -> Wanted:
        """The order as it is to be, after the project's hooks. Raises ``Rejected`` where it cannot be told."""
        settings = self.agent.settings
        order = bookable(record.canonical, settings)
        about = Circumstances(record.key, self._card_code(order), self.agent.today(), items, states)
        wanted = wanted_document(order, settings, about)
        return wanted.reshaped(self.agent.document_for(order, wanted.document()), settings)

    def _card_code(self, order: Order) -> str:
        card_code = str(self.agent.card_code_for(order))
        if not card_code:
            raise Rejected(f"no card code is set for store view {order.store_view!r} in {order.currency}")
        return card_code

    def _plan_cancel(self, record: Delivery[Order], finding: Found) -> Plan:
        held: Held = finding.document
        if record.tgt_id != finding.tgt_id and (why := self._disagreement(record.canonical, finding)):
            return Plan("reject", why)
        content = dict(record.sent or {})
        plan = Plan("nothing", content=content, tgt_id=finding.tgt_id, links=finding.links, document=held)
        taken = [line for line in held.document.get(LINES) or [] if drawn(line)]
        if held.is_closed:
            why = f"order {held.doc_num} is closed in SAP already" + (", part of it delivered" if taken else "")
            return replace(plan, why=why)
        if not taken:
            return replace(plan, action="cancel", content={**content, "Cancelled": "tYES"})
        if self.agent.settings.cancel_partly_drawn == "reject":
            return Plan("reject", f"cancelled in the shop, but part of order {held.doc_num} is delivered already")
        return replace(
            plan,
            action="close",
            why=f"part of order {held.doc_num} is delivered already: its open rest is closed",
            content={**content, "DocumentStatus": "bost_Close"},
        )

    def _plan_change(self, record: Delivery[Order], finding: Found) -> Plan:
        order, held = record.canonical, finding.document
        settings = self.agent.settings
        is_linked = record.tgt_id == finding.tgt_id
        if order.held:
            return Plan("wait", order.held, until_s=HELD_S, tgt_id=finding.tgt_id)
        lines = lines_by_id(held.document, settings, order.lines, finding.links)
        items = {line_id: text(line.get("ItemCode")) for line_id, line in lines.items()}
        wanted = self._wanted(record, items, held.states)
        if not is_linked and (why := self._disagreement(order, finding)):
            return Plan("reject", why)
        compared = Comparison(record, finding, wanted, lines, self._changing())
        if not is_linked and compared.is_as_wanted and total_of(held.document, settings) != wanted.total:
            why = _totals(f"order {held.doc_num} stands at", held.document, wanted, settings)
            if not record.attempts:
                return Plan("reject", why)
            # an attempt of ours made it, and had no time to take it back
            content = {**compared.content, "Cancelled": "tYES"}
            return Plan("cancel", why, content, tgt_id=finding.tgt_id, document=WrongTotal(finding, wanted))
        plan = Plan(
            "nothing",
            "" if is_linked else f"adopted order {held.doc_num}",
            content=compared.content,
            tgt_id=finding.tgt_id,
            links=finding.links,
            notes=(*wanted.notes, *compared.notes),
        )
        if not compared.send and not compared.closing:
            return plan
        if held.is_closed and compared.only_less:
            why = f"order {held.doc_num} is closed in SAP: what is no longer wanted stays undelivered"
            return replace(plan, why=why)
        if held.is_closed:
            late = ", ".join(sorted(compared.send))
            return Plan("reject", f"changed too late: order {held.doc_num} is closed in SAP; not changed: {late}")
        change = Change(held, wanted, compared.send, compared.closing, compared.check_total)
        return replace(plan, action="update", why="", body=compared.body(), document=change)

    def _changing(self) -> frozenset[str]:
        settings = self.agent.settings
        # NumAtCard may carry the key, which never changes
        return (_CHANGING | {settings.email_udf, settings.phone_udf}) - {"", settings.key_field}

    def _disagreement(self, order: Order, finding: Found) -> str:
        """Why the document found under the key is not this order; "" if it is."""
        held: Held = finding.document
        booked = bookable(order, self.agent.settings)
        for name, value in (("CardCode", self._card_code(booked)), ("DocCurrency", booked.currency)):
            if text(held.document.get(name)) != value:
                there = held.document.get(name)
                return f"order {held.doc_num} carries this order's key, but its {name} is {there!r}, not {value!r}"
        lines = lines_by_id(held.document, self.agent.settings, order.lines, finding.links)
        for line in order.lines:
            row = lines.get(line.line_id)
            if line.quantity and (row is None or not is_item_of(row, line)):
                there = repr(text(row.get("ItemCode"))) if row else "nothing"
                return f"order {held.doc_num} carries this order's key, but for {line.sku} it holds {there}"
        return ""

    # --- write --------------------------------------------------------------------------------------------------------

    def write(self, record: Delivery[Order], plan: Plan) -> Outcome:
        ends = time.monotonic() + self.write_deadline_s
        match plan.action:
            case "create":
                return self._create(record, plan, ends)
            case "update":
                return self._update(record, plan)
            case "cancel" if isinstance(plan.document, WrongTotal):
                return self._taken_back(plan.document, ends)
            case "cancel":
                return self._end(plan, "Cancel", _is_cancelled)
            case "close":
                return self._end(plan, "Close", lambda row: row.get("DocumentStatus") == "bost_Close")
        raise ValueError(f"orders are not written by {plan.action!r}")

    def _create(self, record: Delivery[Order], plan: Plan, ends: float) -> Outcome:
        try:
            answered = self.agent.connector.create("Orders", plan.body)
        except MaybeDraft as error:
            with _after_write("looking for what became of it"):
                finding = self._look_up(record)
            if isinstance(finding, Absent):
                return _named_or_doubtful(record, error)
            return self._made(record, plan, finding, ends)
        except Rejected as error:
            return _refused(error)
        with _after_write("reading it back"):
            finding = self._read_back(record, answered)
        return self._made(record, plan, finding, ends)

    def _read_back(self, record: Delivery[Order], answered: Mapping[str, Any] | None) -> Finding:
        """What stands under the key after a POST that was answered with success.

        Some set-ups answer success with the *draft's* DocEntry: only an order that carries our key counts.
        """
        entry = (answered or {}).get("DocEntry")
        if entry is not None:
            key_field = self.agent.settings.key_field
            row = self.agent.connector.get("Orders", int(entry), select=(*_READ_BACK, key_field))
            if row and text(row.get(key_field)) == record.key and not _is_cancelled(row):
                return self._found(record, row, "live", frozenset())
        return self._look_up(record)

    def _look_up(self, record: Delivery[Order]) -> Finding:
        keys = [record.key]
        drafts, orders = self._drafts(keys), self._orders(keys)
        live = [row for row in orders.get(record.key, []) if not _is_cancelled(row)]
        if live and drafts:
            drafts = self._drafts(keys)
        return self._finding(record, live, drafts.get(record.key, []), frozenset()) or Absent()

    def _made(self, record: Delivery[Order], plan: Plan, finding: Finding, ends: float) -> Outcome:
        if isinstance(finding, Several):
            names = ", ".join(text(found.links.get("doc_num")) or found.tgt_id for found in finding.found)
            return Outcome.rejected(f"{len(finding.found)} live documents carry the key {record.key}: {names}")
        if not isinstance(finding, Found):
            raise InDoubt("SAP answered success, but no order and no draft carries the key", system=self._system)
        if finding.state == "draft":
            waiting = _plan_draft(record, finding).outcome()
            # what the draft holds is ours: once it is an order, an update must not take it for a clerk's
            return replace(waiting, sent=dict(plan.content), notes=plan.notes)
        wanted: Wanted = plan.document
        row = finding.document.document
        if total_of(row, self.agent.settings) != wanted.total:
            return self._taken_back(WrongTotal(finding, wanted), ends)
        return Outcome.written(
            finding.tgt_id,
            sent=dict(plan.content),
            answered=answered_of(row, self.agent.settings),
            links=dict(finding.links),
            notes=plan.notes,
        )

    def _taken_back(self, wrong: WrongTotal, ends: float) -> Outcome:
        """SAP arrived at another total: no live document is left behind."""
        held: Held = wrong.found.document
        entry = int(wrong.found.tgt_id)
        why = _totals("SAP arrives at", held.document, wrong.wanted, self.agent.settings)
        if time.monotonic() + self.agent.connection.deadline_s > ends:
            raise InDoubt(f"{why}; no time is left to cancel order {held.doc_num}", system=self._system)
        answered = answered_of(held.document, self.agent.settings)
        try:
            self.agent.connector.action("Orders", entry, "Cancel")
            row = self.agent.connector.get("Orders", entry, select=("DocEntry", "Cancelled", "CancelStatus"))
        except DataWaldError as error:
            return Outcome.rejected(
                f"{why}; order {held.doc_num} may still be open, cancel it in SAP: cancelling it failed: {error}",
                answered=answered,
            )
        if row is None or not _is_cancelled(row):
            return Outcome.rejected(f"{why}; order {held.doc_num} is still open, cancel it in SAP", answered=answered)
        return Outcome.rejected(f"{why}; order {held.doc_num} was cancelled again", answered=answered)

    def _update(self, record: Delivery[Order], plan: Plan) -> Outcome:
        change: Change = plan.document
        settings = self.agent.settings
        entry = int(plan.tgt_id)
        try:
            self.agent.connector.patch("Orders", entry, plan.body, change.held.etag)
        except Rejected as error:
            return _refused(error)
        with _after_write("reading it back"):
            row = self.agent.connector.get("Orders", entry)
        if row is None:
            raise InDoubt(f"order {change.held.doc_num} is not there after changing it", system=self._system)
        lines = lines_by_id(row, settings, record.canonical.lines, plan.links)
        content = held_content(row, lines, settings)
        differing = sorted(name for name, value in change.sent.items() if content.get(name, "") != value)
        differing += [
            name_of(LINES, line_id, "LineStatus")
            for line_id in change.closing
            if lines.get(line_id, {}).get("LineStatus") != "bost_Close"
        ]
        answered = answered_of(row, settings)
        if differing:
            held = ", ".join(f"{name} {content.get(name, '')!r}" for name in differing)
            return Outcome.rejected(
                f"SAP took the change of order {change.held.doc_num}, but holds {held}", answered=answered
            )
        if change.check_total and total_of(row, settings) != change.wanted.total:
            return Outcome.rejected(
                _totals(f"order {change.held.doc_num} is changed, but stands at", row, change.wanted, settings),
                answered=answered,
            )
        return Outcome.written(
            plan.tgt_id,
            sent=dict(plan.content),
            answered=answered,
            links=links_of(row, lines),
            why=f"changed: {', '.join([*sorted(change.sent), *(f'line {one} closed' for one in change.closing)])}",
            notes=plan.notes,
        )

    def _end(self, plan: Plan, action: str, is_done: Any) -> Outcome:
        """Cancel or close the order, judged by what it says of itself afterwards."""
        held: Held = plan.document
        entry = int(plan.tgt_id)
        refusal: Rejected | None = None
        try:
            self.agent.connector.action("Orders", entry, action)
        except Rejected as error:
            refusal = error
        with _after_write("reading it back"):
            row = self.agent.connector.get("Orders", entry)
        if row is None:
            raise InDoubt(f"order {held.doc_num} is not there after {action}", system=self._system)
        if is_done(row):
            return Outcome.written(
                plan.tgt_id,
                sent=dict(plan.content),
                answered=answered_of(row, self.agent.settings),
                links=dict(plan.links),
                why=plan.why or f"order {held.doc_num} is {'cancelled' if action == 'Cancel' else 'closed'}",
            )
        if refusal is not None:
            if _drawn_lines(row) != _drawn_lines(held.document):
                raise Retryable(f"order {held.doc_num} was delivered from meanwhile: {refusal.message}")
            return Outcome.rejected(f"SAP does not {action.lower()} order {held.doc_num}: {refusal.message}")
        raise InDoubt(
            f"SAP answered {action} of order {held.doc_num} with success, but it is open", system=self._system
        )

    @property
    def _system(self) -> str:
        return str(self.agent.connection.name)


def _plan_draft(record: Delivery[Order], finding: Found) -> Plan:
    """A draft is never written to: it is a person's to decide on."""
    draft: Mapping[str, Any] = finding.document
    entry = text(draft.get("DocEntry"))
    if _is_refused(draft):
        if record.canonical.cancelled:
            return Plan("skip", f"cancelled in the shop, and draft {entry} was refused in SAP")
        return Plan("reject", f"draft {entry} was refused in SAP's approval procedure")
    why = f"waiting for approval in SAP as draft {entry}"
    if record.canonical.cancelled:
        why = f"cancelled in the shop, but draft {entry} still waits for approval in SAP: refuse it there"
    return Plan("wait", why, until_s=APPROVAL_S, tgt_id=finding.tgt_id)


def _plan_cancelled(record: Delivery[Order], finding: Found) -> Plan:
    held: Held = finding.document
    if record.canonical.cancelled:
        content = {**(record.sent or {}), "Cancelled": "tYES"}
        why = f"order {held.doc_num} is cancelled in SAP already"
        return Plan("nothing", why, content=content, tgt_id=finding.tgt_id, links=finding.links)
    return Plan(
        "reject",
        f"order {held.doc_num} was made for it and is cancelled in SAP; it is not made again unless it is replayed as new",
    )


def _found_draft(row: Mapping[str, Any]) -> Found:
    entry = text(row.get("DocEntry"))
    return Found(f"{DRAFT_TYPE}.{entry}", "draft", {}, {"doc_num": f"draft {entry}"}, row)


def _is_cancelled(row: Mapping[str, Any]) -> bool:
    return row.get("Cancelled") == "tYES" or row.get("CancelStatus") in ("csYes", "csCancellation")


def _is_refused(draft: Mapping[str, Any]) -> bool:
    return draft.get("AuthorizationStatus") in ("dasRejected", "dasCancelled")


def _drawn_lines(row: Mapping[str, Any]) -> list[Decimal]:
    return [drawn(line) for line in row.get(LINES) or []]


def _by_key(
    rows: Iterable[Mapping[str, Any]], key_field: str, keys: Iterable[str]
) -> dict[str, list[Mapping[str, Any]]]:
    """Rows under each key exactly: a database that ignores case finds the neighbour's too."""
    wanted = set(keys)
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        key = text(row.get(key_field))
        if key in wanted:
            found.setdefault(key, []).append(row)
    return found


@contextmanager
def _after_write(doing: str) -> Iterator[None]:
    """From here on something may have been written: whatever fails leaves the record in doubt."""
    try:
        yield
    except DataWaldError as error:
        raise InDoubt(f"it was sent, but {doing} failed: {error.message}", system=error.system) from error


def _refused(error: Rejected) -> Outcome:
    """What SAP's refusal means: it wrote nothing."""
    if error.code != _OWN_CHECK:
        if _NOT_TODAY.search(error.message):
            return Outcome.waiting(error.message, until_s=RATE_S)
        if _MISSING.search(error.message):
            return Outcome.missing(error.message)
    return Outcome.rejected(error.message)


def _named_or_doubtful(record: Delivery[Order], error: MaybeDraft) -> Outcome:
    """-2028 on a POST, and neither draft nor order: a code is missing, if the refusal names one or has come before."""
    if _COLUMN.search(error.message) or record.attempts:
        return Outcome.missing(error.message)
    return Outcome.in_doubt(error.message)


def _totals(what: str, document: Mapping[str, Any], wanted: Wanted, settings: Any) -> str:
    there = total_of(document, settings)
    return (
        f"{what} {plain_decimal(there)}, the shop's total is {plain_decimal(wanted.total)} "
        f"{text(document.get('DocCurrency'))}"
    )


MAPPING = OrderTarget
