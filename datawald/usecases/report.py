"""Reporting: outcomes of a claim settle its records. Repeatable, and each record on its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from datawald.domain import record as rules
from datawald.domain.claim import Claim
from datawald.domain.errors import NotFound
from datawald.domain.outcome import Outcome
from datawald.domain.record import Record, TxStatus
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
    connection = core.connection(claim.connection)
    quiet_ms = core.quiet_ms(connection)
    verdicts: dict[str, Verdict] = {}
    delivered: list[Record] = []
    waiting: list[Record] = []
    left = {one.id: one for one in reported}
    while left:
        known = core.store.records.many(left)
        missed: dict[str, Reported] = {}
        now_ms = core.now_ms()
        for id, one in left.items():
            before = known.get(id)
            if before is None:
                verdicts[id] = "unknown"
                continue
            settled = rules.settle(
                before, claim_id, one.version, one.outcome, claim.intent(id), now_ms, quiet_ms, core.chance
            )
            if settled.record.waits_on and settled.record.waits_on != before.waits_on:
                _note_waits(core, id, settled.record.waits_on)
            if not core.store.records.save(before, settled.record):
                missed[id] = one
                continue
            verdicts[id] = settled.verdict
            if settled.delivered:
                delivered.append(settled.record)
            if settled.record.waits_on:
                waiting.append(settled.record)
        left = missed
    _close(core, claim)
    _pause_or_resume(core, claim, misconfigured)
    wake(core, [record.wake_key for record in delivered])
    _wake_if_arrived(core, waiting)
    return verdicts


def wake(core: Core, keys: Sequence[str]) -> None:
    """Makes due what waits for any of these keys."""
    for wait in core.store.waits.many(keys).values():
        for record in core.store.records.many(wait.records).values():
            after = rules.wake(record, core.now_ms())
            if wait.id in record.waits_on and after and core.store.records.save(record, after):
                core.bells.ring_lane(record.target, record.lane)
        core.store.waits.delete(wait.id)


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
    arrived = []
    for record in waiting:
        for key in record.waits_on:
            entity, target, source, src_id = key.split(":", 3)
            other = core.store.records.get(rules.record_id(entity, source, target, src_id))
            if other and other.tx_status is TxStatus.DELIVERED:
                arrived.append(key)
    wake(core, arrived)


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
    connection = core.connection(claim.connection)
    if misconfigured == connection.paused:
        return
    probe_ms = core.now_ms() + core.limits.probe_every_ms if misconfigured else 0
    after = replace(connection, paused=misconfigured, probe_ms=probe_ms, rev=connection.rev + 1)
    core.store.connections.save(connection, after)  # a miss means that somebody else just judged it
