"""Reporting: outcomes of a claim settle its records. Repeatable, and each record on its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from datawald.domain import record as rules
from datawald.domain.claim import Claim
from datawald.domain.errors import NotFound
from datawald.domain.outcome import Outcome
from datawald.domain.record import Record, Settled, TxStatus
from datawald.staging.store import Wait
from datawald.usecases.core import Core


@dataclass(frozen=True)
class Reported:
    """One record's outcome, for the version that the claim handed out."""

    id: str
    version: int
    outcome: Outcome


Verdict = Literal["taken", "late", "unknown"]


def report(core: Core, claim_id: str, reported: Sequence[Reported], misconfigured: str = "") -> dict[str, Verdict]:
    """Settles the records of a claim. Per record: taken, late (kept as evidence) or unknown.

    ``misconfigured`` says why the connection as a whole cannot work: it is paused, and probed by itself.
    Raises ``NotFound`` for a claim that never was.
    """
    claim = core.store.claims.get(claim_id)
    if claim is None:
        raise NotFound(f"there is no claim {claim_id!r}")
    quiet_ms = core.quiet_ms_of(claim.connection)
    verdicts: dict[str, Verdict] = {}
    delivered: list[Record] = []
    waiting: list[Record] = []
    left = {one.id: one for one in reported}
    while left:
        known = core.store.records.many(left)
        now_ms = core.now_ms()
        settled: dict[str, Settled] = {}
        for id, one in left.items():
            if id not in known:
                verdicts[id] = "unknown"
                continue
            settled[id] = rules.settle(
                known[id], claim_id, one.version, one.outcome, claim.intent(id), now_ms, quiet_ms, core.chance
            )
            if settled[id].record.waits_on and settled[id].record.waits_on != known[id].waits_on:
                _note_waits(core, id, settled[id].record.waits_on)
        saved = core.store.records.save_many([(known[id], what.record) for id, what in settled.items()])
        for id in saved:
            verdicts[id] = settled[id].verdict
            if settled[id].delivered:
                delivered.append(settled[id].record)
            if settled[id].record.waits_on:
                waiting.append(settled[id].record)
        left = {id: left[id] for id in settled if id not in saved}
    _close(core, claim)
    _pause_or_resume(core, claim, misconfigured)
    wake(core, [record.wake_key for record in delivered])
    _wake_if_arrived(core, waiting)
    return verdicts


def wake(core: Core, keys: Sequence[str]) -> None:
    """Makes due what waits for any of these keys."""
    left = list(keys)
    while left:
        noted = core.store.waits.many(left)
        for wait in noted.values():
            for id in wait.records:
                _wake_one(core, id, wait.id)
        # who was noted meanwhile has not been looked at yet
        left = [wait.id for wait in noted.values() if not core.store.waits.delete_as(wait)]


def _wake_one(core: Core, id: str, key: str) -> None:
    while True:
        before = core.store.records.get(id)
        if before is None or key not in before.waits_on:
            return
        after = rules.wake(before, core.now_ms())
        if after is None:
            return
        if core.store.records.save(before, after):
            core.bells.ring_lane(after.target, after.lane)
            return


def _note_waits(core: Core, id: str, keys: Sequence[str]) -> None:
    """Notes that a record waits for keys. Noted before the record says so: a note too many wakes nobody."""
    for key in keys:
        while True:
            before = core.store.waits.get(key)
            if before is None:
                if core.store.waits.insert(Wait(key, (id,))):
                    break
                continue
            after = replace(before, records=tuple(dict.fromkeys((*before.records, id))), rev=before.rev + 1)
            if core.store.waits.save(before, after):
                break


def _wake_if_arrived(core: Core, waiting: Sequence[Record]) -> None:
    """What arrived between a look-up and the storing of its "waiting" woke nobody: looked at once more."""
    for record in waiting:
        for key in record.waits_on:
            parts = key.split(":", 3)
            if len(parts) < 4:
                continue  # names nothing of ours: its time ends the wait
            entity, target, source, src_id = parts
            other = core.store.records.get(rules.record_id(entity, source, target, src_id))
            if other and other.tx_status is TxStatus.DELIVERED:
                # by itself, not by its note: whoever delivered the other may have taken the note away already
                _wake_one(core, record.id, key)


def _close(core: Core, claim: Claim) -> None:
    while claim.state == "open" and not core.store.records.in_claim(claim.id):
        if core.store.claims.save(claim, claim.closed("reported")):
            return
        again = core.store.claims.get(claim.id)
        if again is None:
            return
        claim = again


def _pause_or_resume(core: Core, claim: Claim, misconfigured: str) -> None:
    if not misconfigured and claim.probe == "N":
        return
    while True:
        connection = core.store.connections.get(claim.connection)
        if connection is None or misconfigured == connection.paused:
            return
        probe_ms = core.now_ms() + core.limits.probe_every_ms if misconfigured else 0
        after = replace(connection, paused=misconfigured, probe_ms=probe_ms, rev=connection.rev + 1)
        if core.store.connections.save(connection, after):
            return
