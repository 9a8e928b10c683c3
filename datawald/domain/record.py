"""The record: one thing to be delivered, for life, and every way its status may change.

All rules of ``tx_status`` are here, as pure functions from a record to its successor. ``usecases`` call them with what
they read; ``staging`` stores the successor only if the record is still the one that was read (compare-and-set on
``rev``), and a miss reads again and decides again. So no rule needs to know who else is at work.

::

    stage ──▶ N waiting ──join──▶ P processing ──settle──▶ S delivered | I ignored | F failed | N | ? in doubt
              ▲                        │ expire
              └── replay, wake         ▼
                                       ? in doubt ──(quiet period)──join──▶ P …
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Literal

from datawald.domain.errors import Conflict
from datawald.domain.outcome import DEFAULT_WAIT_S, Outcome, OutcomeKind

#: "Not due": later than any clock, and exact in every store and in JSON.
NEVER_MS = 2**53 - 1
#: How many hops a record's own history keeps; the oldest go first.
HISTORY_LENGTH = 40
#: How many numbers a record is found by.
NUMBERS_KEPT = 30
#: How many contents of unconfirmed attempts are remembered.
ATTEMPTS_KEPT = 10
#: Missing master data is tried again by itself every 15 minutes.
MISSING_RETRY_MS = 15 * 60_000
#: Back-off of retryable outcomes: full jitter under ``min(cap, base × 2^n)``.
BACKOFF_BASE_MS = 1_000
BACKOFF_CAP_MS = 60_000


class TxStatus(StrEnum):
    """The original's letters, on the wire and in the store."""

    WAITING = "N"
    PROCESSING = "P"
    DELIVERED = "S"
    IGNORED = "I"
    FAILED = "F"
    IN_DOUBT = "?"
    DROPPED = "X"

    @property
    def long_name(self) -> str:
        return _LONG_NAMES[self]

    @classmethod
    def of(cls, text: str) -> TxStatus:
        """The status called ``text``, letter or long name. Raises ``ValueError`` naming the known ones."""
        for status in cls:
            if text in (status.value, status.long_name):
                return status
        known = ", ".join(f"{status.value} ({status.long_name})" for status in cls)
        raise ValueError(f"unknown status {text!r}; known: {known}")


_LONG_NAMES = {
    TxStatus.WAITING: "waiting",
    TxStatus.PROCESSING: "processing",
    TxStatus.DELIVERED: "delivered",
    TxStatus.IGNORED: "ignored",
    TxStatus.FAILED: "failed",
    TxStatus.IN_DOUBT: "in doubt",
    TxStatus.DROPPED: "dropped",
}


def route_name(entity: str, source: str, target: str) -> str:
    """What one flow carries: ``order:mage2_us>b1_main``."""
    return f"{entity}:{source}>{target}"


def record_id(entity: str, source: str, target: str, src_id: str) -> str:
    """The record's identity is its id, so that the store's own unique index keeps it single."""
    return f"{route_name(entity, source, target)}:{src_id}"


def lane_name(target: str, lane: str) -> str:
    """A lane of a connection, which is also its queue: ``b1_main.orders``."""
    return f"{target}.{lane}"


@dataclass(frozen=True)
class Record:
    """One staged document per (source, target, entity, src_id)."""

    id: str
    entity: str
    source: str
    target: str
    src_id: str
    #: ``<target>.<lane>``: whose worker takes it.
    lane: str
    tx_status: TxStatus
    #: When a claim may take it, milliseconds UTC; ``NEVER_MS`` where none may.
    due_ms: int
    #: Goes up with every new content. An outcome counts for the version that was claimed.
    version: int
    #: Hash of what the target receives; "" until the source gave a canonical record.
    hash: str
    #: The newest canonical record, JSON text; "" where there is none.
    payload: str
    #: The source's time of change and the core's time of staging.
    stamp_ms: int
    staged_ms: int
    created_ms: int
    changed_ms: int
    #: Counts writes of this document: the compare-and-set that everything rests on.
    rev: int = 0
    #: Plain words for the operator: why it is where it is.
    why: str = ""
    #: Why the newest read could not be mapped; the payload before it stays.
    problem: str = ""
    #: Why the source's agent does not want the newest content handed out.
    unwanted: str = ""
    #: ``<entity>:<source>><target>``: what one flow carries. One text, because an embedded store finds one field quickly.
    route: str = ""
    #: The route while a payload differs whose read overlapped (to be read again by id), else "".
    reread: str = ""
    claim_id: str = ""
    claimed_ms: int = NEVER_MS
    claimed_version: int = 0
    #: The claim in hand was given out to settle a doubt.
    claimed_in_doubt: Literal["Y", "N"] = "N"
    #: A late report may have written meanwhile: the outcome of the claim in hand is looked up once more.
    suspect: Literal["Y", "N"] = "N"
    #: The claim whose report was taken last, so that a repeated report is recognised.
    last_claim: str = ""
    #: Failed tries in a row, for the back-off.
    retries: int = 0
    tgt_id: str = ""
    #: JSON texts: links, content last confirmed, contents tried since, the target's last answer in short.
    links: str = "{}"
    sent: str = ""
    attempts: str = "[]"
    answered: str = ""
    #: Keys whose delivery wakes it.
    waits_on: tuple[str, ...] = ()
    #: The run that brought the newest content.
    sync_task: str = ""
    #: Every number people may ask by: its id in the source and its parts, its ids in the target, numbers in the links
    #: (``doc_num``), and what the entity declares. Only grows: an old number still finds the record.
    numbers: tuple[str, ...] = ()
    #: Hops, oldest first, JSON texts.
    history: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The business key, as written into the target."""
        return f"{self.source}:{self.src_id}"

    @property
    def wake_key(self) -> str:
        """What a waiter names in ``Waiting.on``: ``entity:connection:business key``."""
        return f"{self.entity}:{self.target}:{self.key}"

    def hops(self) -> list[dict[str, Any]]:
        return [json.loads(hop) for hop in self.history]

    def _next(self, now_ms: int, hop: str, facts: Mapping[str, Any] | None = None, **changes: Any) -> Record:
        """The successor, with this change in its history."""
        after = replace(self, changed_ms=now_ms, rev=self.rev + 1, **changes)
        entry: dict[str, Any] = {
            "at_ms": now_ms,
            "hop": hop,
            "from": self.tx_status.value,
            "to": after.tx_status.value,
            "version": after.version,
        }
        if after.why:
            entry["why"] = after.why
        entry |= facts or {}
        text = json.dumps(entry, ensure_ascii=False, sort_keys=True)
        return replace(after, history=(*self.history, text)[-HISTORY_LENGTH:], numbers=_numbers(after))


# --- staging -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Incoming:
    """A payload as it arrives at the core."""

    entity: str
    source: str
    target: str
    src_id: str
    lane: str
    stamp_ms: int
    read_began_ms: int
    hash: str
    payload: str
    #: Set where the source could make no canonical record: staged as failed.
    problem: str = ""
    #: Set where the source's agent does not want it handed out: staged as ignored.
    unwanted: str = ""
    sync_task: str = ""
    #: Further numbers that people know it by, besides ``src_id``.
    numbers: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return record_id(self.entity, self.source, self.target, self.src_id)


Staged = Literal["new", "newer", "same", "older"]


def first(incoming: Incoming, now_ms: int) -> Record:
    """The record of something never seen before."""
    blank = Record(
        id=incoming.id,
        entity=incoming.entity,
        source=incoming.source,
        target=incoming.target,
        src_id=incoming.src_id,
        lane=incoming.lane,
        route=route_name(incoming.entity, incoming.source, incoming.target),
        tx_status=TxStatus.WAITING,
        due_ms=now_ms,
        version=0,
        hash="",
        payload="",
        stamp_ms=incoming.stamp_ms,
        staged_ms=now_ms,
        created_ms=now_ms,
        changed_ms=now_ms,
    )
    return _renewed(blank, incoming, now_ms, {})


def stage(record: Record, incoming: Incoming, now_ms: int) -> tuple[Staged, Record]:
    """What a payload that arrives for a known record makes of it.

    A payload replaces the stored one if its read began after that one was staged. One whose read overlaps and that
    differs is not judged by stamps (they run ahead of visibility): the record is marked, and read again by id.
    """
    if _says_the_same(record, incoming):
        if incoming.read_began_ms <= record.staged_ms:
            return "same", record
        payload = record.payload if incoming.problem else incoming.payload
        if record.payload == payload and not record.reread:
            return "same", record
        # news for people only: kept, and no status moves
        return "same", replace(
            record,
            payload=payload,
            stamp_ms=incoming.stamp_ms,
            staged_ms=now_ms,
            reread="",
            rev=record.rev + 1,
        )
    if incoming.read_began_ms <= record.staged_ms:
        return "older", replace(record, reread=record.route, rev=record.rev + 1)
    return "newer", _renewed(record, incoming, now_ms, {"changed": _differences(record.payload, incoming.payload)})


def _says_the_same(record: Record, incoming: Incoming) -> bool:
    if incoming.problem:
        return record.problem == incoming.problem
    return not record.problem and record.hash == incoming.hash and record.unwanted == incoming.unwanted


def _renewed(record: Record, incoming: Incoming, now_ms: int, facts: dict[str, Any]) -> Record:
    """``record`` with new content. Under a claim or in doubt it keeps its status, and is due again once that is settled."""
    content: dict[str, Any] = {"problem": incoming.problem, "unwanted": incoming.unwanted}
    if not incoming.problem:
        # what cannot be mapped does not replace what could: a look-up may still need it
        content |= {"hash": incoming.hash, "payload": incoming.payload}
    if record.tx_status not in (TxStatus.PROCESSING, TxStatus.IN_DOUBT):
        content |= _undelivered(incoming.problem, incoming.unwanted, now_ms)
    return record._next(
        now_ms,
        "staged",
        facts | {"stamp_ms": incoming.stamp_ms, "read_began_ms": incoming.read_began_ms},
        version=record.version + 1,
        stamp_ms=incoming.stamp_ms,
        staged_ms=now_ms,
        reread="",
        retries=0,
        waits_on=(),
        sync_task=incoming.sync_task or record.sync_task,
        numbers=(*record.numbers, *incoming.numbers),
        **content,
    )


def _undelivered(problem: str, unwanted: str, now_ms: int, why: str = "") -> dict[str, Any]:
    """Where content that no attempt has carried yet stands."""
    if problem:
        return {"tx_status": TxStatus.FAILED, "due_ms": NEVER_MS, "why": problem}
    if unwanted:
        return {"tx_status": TxStatus.IGNORED, "due_ms": NEVER_MS, "why": unwanted}
    return {"tx_status": TxStatus.WAITING, "due_ms": now_ms, "why": why}


def _differences(before: str, after: str, most: int = 12) -> list[str]:
    """Names of the canonical fields that differ, dotted, at most ``most``: what the operator's diff begins with."""
    found: list[str] = []

    def walk(path: str, old: Any, new: Any) -> None:
        if old == new or len(found) >= most:
            return
        if isinstance(old, dict) and isinstance(new, dict):
            for name in sorted(old.keys() | new.keys()):
                walk(f"{path}.{name}" if path else name, old.get(name), new.get(name))
        elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
            for index, (one, other) in enumerate(zip(old, new, strict=True)):
                walk(f"{path}[{index}]", one, other)
        else:
            found.append(path)

    walk("", json.loads(before or "{}"), json.loads(after or "{}"))
    return found


# --- claiming ----------------------------------------------------------------------------------------------------------


def join(record: Record, claim_id: str, now_ms: int) -> Record | None:
    """The record as part of a claim, or None if it may not be claimed now."""
    if record.due_ms > now_ms or record.tx_status in (TxStatus.PROCESSING, TxStatus.DROPPED):
        return None
    return record._next(
        now_ms,
        "claimed",
        {"claim": claim_id},
        tx_status=TxStatus.PROCESSING,
        due_ms=NEVER_MS,
        why="",
        claim_id=claim_id,
        claimed_ms=now_ms,
        claimed_version=record.version,
        claimed_in_doubt="Y" if record.tx_status is TxStatus.IN_DOUBT else "N",
        waits_on=(),
    )


def expire(record: Record, claim_id: str, intent: Mapping[str, Any] | None, now_ms: int, due_ms: int) -> Record | None:
    """The record after its claim's lease ended without a report: in doubt until ``due_ms``. None if it is not in that claim."""
    if record.tx_status is not TxStatus.PROCESSING or record.claim_id != claim_id:
        return None
    return _released(
        record,
        now_ms,
        "lease ended",
        suspect="N",  # it is looked at anyway
        tx_status=TxStatus.IN_DOUBT,
        due_ms=due_ms,
        why="the worker ended without a report; the target is looked at before anything is written again",
        attempts=_with_attempt(record.attempts, intent),
    )


# --- reporting ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Settled:
    """What a report made of a record."""

    verdict: Literal["taken", "late"]
    record: Record
    #: Whether the record now counts as delivered, so that its waiters are woken.
    delivered: bool = False


def settle(
    record: Record,
    claim_id: str,
    version: int,
    outcome: Outcome,
    intent: Mapping[str, Any] | None,
    now_ms: int,
    quiet_ms: int,
    chance: random.Random,
) -> Settled:
    """What an outcome makes of the record.

    ``intent`` is what the claim announced for it, ``quiet_ms`` the quiet period's length. An outcome of an earlier claim
    is kept as evidence, and if it may have written, the record is looked up once more.
    """
    if record.tx_status is TxStatus.PROCESSING and record.claim_id == claim_id:
        return _settled(record, version, outcome, intent, now_ms, quiet_ms, chance)
    if record.last_claim == claim_id:
        # the same report once more; what it could not finish the first time (waking) is done again
        return Settled("taken", record, record.tx_status is TxStatus.DELIVERED)
    return Settled("late", _with_evidence(record, claim_id, outcome, intent, now_ms, quiet_ms))


def _settled(
    record: Record,
    version: int,
    outcome: Outcome,
    intent: Mapping[str, Any] | None,
    now_ms: int,
    quiet_ms: int,
    chance: random.Random,
) -> Settled:
    was_in_doubt = record.claimed_in_doubt == "Y"
    # only the doubt was to be settled: until it is, no claim may make a document of this
    withheld = bool(withheld_why(record))
    changes: dict[str, Any] = {"why": outcome.why, "due_ms": NEVER_MS, "retries": 0}
    until_ms = round(outcome.until_s * 1000)
    match outcome.kind:
        case OutcomeKind.WRITTEN | OutcomeKind.UNCHANGED:
            changes["tx_status"] = TxStatus.DELIVERED
            if outcome.sent is not None:
                changes["attempts"] = "[]"
        case OutcomeKind.SKIPPED:
            changes["tx_status"] = TxStatus.IGNORED
        case OutcomeKind.REJECTED:
            changes["tx_status"] = TxStatus.FAILED
        case OutcomeKind.MISSING:
            changes |= {"tx_status": TxStatus.FAILED, "due_ms": now_ms + (until_ms or MISSING_RETRY_MS)}
        case OutcomeKind.WAITING:
            changes |= {
                "tx_status": TxStatus.IN_DOUBT if withheld else TxStatus.WAITING,
                "due_ms": now_ms + (until_ms or DEFAULT_WAIT_S * 1000),
                "waits_on": () if withheld else outcome.on,
                # a draft holds what was announced, and so will the document that it becomes
                "attempts": _with_attempt(record.attempts, intent),
            }
        case OutcomeKind.RETRYABLE:
            changes |= {
                "tx_status": TxStatus.IN_DOUBT if was_in_doubt else TxStatus.WAITING,
                "due_ms": now_ms + (until_ms or backoff_ms(record.retries, chance)),
                "retries": record.retries + 1,
            }
        case OutcomeKind.NOT_TRIED:
            changes |= {
                "tx_status": TxStatus.IN_DOUBT if was_in_doubt else TxStatus.WAITING,
                # at once the first time; whatever kept it from its turn may go on doing so
                "due_ms": now_ms + (until_ms or (backoff_ms(record.retries, chance) if record.retries else 0)),
                "retries": record.retries + 1,
            }
        case OutcomeKind.IN_DOUBT:
            changes |= {
                "tx_status": TxStatus.IN_DOUBT,
                "due_ms": now_ms + quiet_ms,
                "attempts": _with_attempt(record.attempts, intent),
            }
    delivered = changes["tx_status"] is TxStatus.DELIVERED
    if (record.version != version or record.problem) and changes["tx_status"] is not TxStatus.IN_DOUBT:
        # whatever became of the old content, the new one is due, or fails for what is wrong with it
        changes |= _undelivered(record.problem, record.unwanted, now_ms, "newer content was staged meanwhile")
        changes["waits_on"] = ()
    if record.suspect == "Y":
        changes |= {
            "tx_status": TxStatus.IN_DOUBT,
            "due_ms": now_ms + quiet_ms,
            "suspect": "N",
            "waits_on": (),
            # what the late one may have written is still ours
            "attempts": _with_attempt(record.attempts, intent),
            "why": "a late report may have written too; the target is looked at once more",
        }
        delivered = False
    if outcome.tgt_id:
        changes["tgt_id"] = outcome.tgt_id
    if outcome.links:
        changes["links"] = json.dumps(outcome.links, ensure_ascii=False, sort_keys=True)
    if outcome.sent is not None:
        changes["sent"] = json.dumps(outcome.sent, ensure_ascii=False, sort_keys=True)
    if outcome.answered is not None:
        changes["answered"] = json.dumps(outcome.answered, ensure_ascii=False, sort_keys=True)
    after = _released(record, now_ms, "reported", _evidence(record.claim_id, outcome), **changes)
    return Settled("taken", replace(after, last_claim=record.claim_id), delivered)


def _with_evidence(
    record: Record, claim_id: str, outcome: Outcome, intent: Mapping[str, Any] | None, now_ms: int, quiet_ms: int
) -> Record:
    hop = _evidence(claim_id, outcome)
    may_have_written = (
        outcome.kind is OutcomeKind.IN_DOUBT
        or (outcome.kind is OutcomeKind.WRITTEN and outcome.tgt_id != record.tgt_id)
        or (outcome.kind is OutcomeKind.WAITING and bool(outcome.tgt_id))
    )
    if not may_have_written:
        return record._next(now_ms, "late report", hop)
    attempts = _with_attempt(record.attempts, outcome.sent or intent)
    if record.tx_status is TxStatus.PROCESSING:
        return record._next(now_ms, "late report", hop, suspect="Y", attempts=attempts)
    if record.tx_status is TxStatus.IN_DOUBT:
        return record._next(now_ms, "late report", hop, attempts=attempts, due_ms=max(record.due_ms, now_ms + quiet_ms))
    if record.tx_status is TxStatus.DROPPED:
        # a person gave it up: the look-up might make it, so a person decides again
        return record._next(
            now_ms,
            "late report",
            hop,
            tx_status=TxStatus.FAILED,
            attempts=attempts,
            why=f"dropped ({record.why}), but a late report says that it may have been written: look for {record.key} "
            f"{outcome.tgt_id}".rstrip(),
        )
    return record._next(
        now_ms,
        "late report",
        hop,
        tx_status=TxStatus.IN_DOUBT,
        due_ms=now_ms + quiet_ms,
        retries=0,
        waits_on=(),
        attempts=attempts,
        why="a late report may have written; the target is looked at once more",
    )


def _evidence(claim_id: str, outcome: Outcome) -> dict[str, Any]:
    entry: dict[str, Any] = {"claim": claim_id, "outcome": outcome.kind.value}
    if outcome.why:
        entry["why"] = outcome.why
    if outcome.tgt_id:
        entry["tgt_id"] = outcome.tgt_id
    if outcome.answered:
        entry["answered"] = outcome.answered
    if outcome.notes:
        entry["notes"] = list(outcome.notes)
    return entry


def _released(record: Record, now_ms: int, hop: str, facts: Mapping[str, Any] | None = None, **changes: Any) -> Record:
    """The record out of its claim."""
    freed: dict[str, Any] = {"claim_id": "", "claimed_ms": NEVER_MS, "claimed_in_doubt": "N"}
    return record._next(now_ms, hop, facts, **(freed | changes))


def _with_attempt(attempts: str, intent: Mapping[str, Any] | None) -> str:
    if not intent:
        return attempts
    known: list[Mapping[str, Any]] = json.loads(attempts)
    if intent in known:
        return attempts
    return json.dumps([*known, dict(intent)][-ATTEMPTS_KEPT:], ensure_ascii=False, sort_keys=True)


def backoff_ms(retries: int, chance: random.Random) -> int:
    """Full jitter: anything from half a second up to ``min(cap, base × 2^retries)``."""
    ceiling = min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** min(retries, 10))
    return 500 + chance.randrange(ceiling)


# --- people and neighbours ---------------------------------------------------------------------------------------------


def wake(record: Record, now_ms: int) -> Record | None:
    """The record due now because what it waited for arrived. None if it does not wait."""
    if record.tx_status is not TxStatus.WAITING or not record.waits_on:
        return None
    return record._next(now_ms, "woken", due_ms=min(record.due_ms, now_ms), waits_on=())


def replay(record: Record, now_ms: int, by: str, *, as_new: bool = False) -> Record:
    """The record due again because a person asked. Raises ``Conflict`` where a claim or a quiet period runs.

    ``as_new`` forgets which document of the target was its own, so that one found cancelled there is made again; a live one
    is still found by its key and adopted.
    """
    _refuse_running(record, "replayed")
    if record.problem:
        raise Conflict(f"{record.id} has no canonical record to send: {record.problem}")
    forgotten = {"tgt_id": "", "sent": "", "attempts": "[]", "links": '{"as_new": true}'} if as_new else {}
    return record._next(
        now_ms,
        "replayed as new" if as_new else "replayed",
        {"by": by},
        tx_status=TxStatus.WAITING,
        due_ms=now_ms,
        why="replayed by a person",
        retries=0,
        waits_on=(),
        **forgotten,
    )


def drop(record: Record, now_ms: int, by: str, reason: str) -> Record:
    """The record given up by a person, with a reason. Raises ``Conflict`` where a claim or a quiet period runs."""
    _refuse_running(record, "dropped")
    return record._next(
        now_ms, "dropped", {"by": by}, tx_status=TxStatus.DROPPED, due_ms=NEVER_MS, why=reason, waits_on=()
    )


def _refuse_running(record: Record, verb: str) -> None:
    if record.tx_status in (TxStatus.PROCESSING, TxStatus.IN_DOUBT):
        raise Conflict(
            f"{record.id} is {record.tx_status.long_name} and cannot be {verb} now: "
            "it settles by itself when its claim or quiet period ends"
        )


def _numbers(record: Record) -> tuple[str, ...]:
    """What the record is found by. ``src_id`` may be composed (``15.5001/mage2_us:100000123/main``): each part counts."""
    parts = [part for part in re.split("[/:]", record.src_id) if re.search(r"\d", part)]
    linked = [str(value) for value in json.loads(record.links).values() if type(value) is int or isinstance(value, str)]
    found = dict.fromkeys([*record.numbers, record.src_id, *parts, record.tgt_id, *linked])
    return tuple(number for number in found if number and number not in (record.source, record.target))[:NUMBERS_KEPT]


def withheld_why(record: Record) -> str:
    """Why no new document may be made of a record in a claim: only a doubt about earlier content is to be settled, the
    newest content is not for delivery. "" where it may be made; a person's replay of unwanted content is no doubt."""
    return (record.problem or record.unwanted) if record.claimed_in_doubt == "Y" else ""


def links_of(record: Record) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(record.links)
    return loaded


def attempts_of(record: Record) -> Sequence[dict[str, Any]]:
    loaded: list[dict[str, Any]] = json.loads(record.attempts)
    return loaded
