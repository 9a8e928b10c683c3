"""Claiming: due records of one entity are leased to one worker. The claim is stored before anything is written outside."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from datawald.domain import claim as claims
from datawald.domain import record as rules
from datawald.domain import registry
from datawald.domain.claim import Claim
from datawald.domain.errors import BadInput, Conflict, NotFound
from datawald.domain.record import Record
from datawald.staging.store import StoredConnection
from datawald.usecases.core import Core


@dataclass(frozen=True)
class Claimed:
    """What a worker is given."""

    claim: Claim
    #: What remains of the lease when the answer leaves the core.
    lease_ms: int
    records: Sequence[Record]
    #: There is more to claim in this lane.
    more: bool


def lanes_of(core: Core, connection: str) -> list[str]:
    """The lanes of a connection: those of the entities that flows bring to it."""
    flows = core.store.flows.find({"target": connection})
    # a flow whose entity's package is not installed here must not stop the others
    known = [registry.entities()[flow.entity] for flow in flows if flow.entity in registry.entities()]
    return sorted({rules.lane_name(connection, entity.lane) for entity in known})


def claim(core: Core, connection: str, lane: str, limit: int = 0) -> Claimed | None:
    """One claim of what is due in a lane, or None: nothing is due, every place is taken, or the connection is paused.

    Raises ``NotFound`` for an unknown connection, ``ClockOff`` where this process's clock is not to be trusted.
    """
    configured = core.connection(connection)
    now_ms = core.trusted_now_ms()
    probe = bool(configured.paused)
    size = 1 if probe else min(limit or configured.claim_size, configured.claim_size)
    candidates = core.store.records.due(lane, now_ms, min(100, 4 * size + 1))
    lanes = lanes_of(core, connection)
    # most bells that find a busy connection end here, before anything is written
    if not candidates or not claims.granted(
        lane, core.store.claims.live(configured, now_ms), configured.max_claims, lanes
    ):
        return None
    if probe and not _takes_probe(core, configured, now_ms):
        return None
    entity = candidates[0][1]
    mine = Claim(
        id=core.new_id(),
        connection=connection,
        lane=lane,
        entity=entity,
        state="open",
        created_ms=now_ms,
        lease_until_ms=now_ms + core.limits.lease_ms,
        probe="Y" if probe else "N",
    )
    core.store.claims.insert(mine)
    if not _takes_place(core, mine, lanes):
        core.store.claims.delete(mine.id)
        return None
    # the last one only tells whether there is more
    joined = _join(core, mine, [id for id, of in candidates[: 4 * size] if of == entity], size)
    if not joined:
        core.store.claims.delete(mine.id)
        return None
    return Claimed(
        claim=mine,
        lease_ms=max(0, mine.lease_until_ms - core.now_ms()),
        records=joined,
        more=len(candidates) > len(joined),
    )


def _join(core: Core, claim: Claim, candidates: list[str], size: int) -> list[Record]:
    """The records that joined. Workers that ask at once begin at different places, so that they seldom meet."""
    windows = [candidates[start : start + size] for start in range(0, len(candidates), size)]
    chosen = windows[core.chance.randrange(len(windows))]
    known = core.store.records.many(chosen)
    able = [
        (known[id], after)
        for id in chosen
        if id in known and (after := rules.join(known[id], claim.id, claim.created_ms)) is not None
    ]
    joined = core.store.records.save_many(able)
    return [after for _, after in able if after.id in joined]


def _takes_place(core: Core, claim: Claim, lanes: Sequence[str]) -> bool:
    """Whether the claim gets one of the connection's places. One document holds them all, so that of several workers who
    ask at once, however slowly, no more than ``max_claims`` get one."""
    while True:
        before = core.connection(claim.connection)
        live = core.store.claims.live(before, claim.created_ms)
        if not claims.granted(claim.lane, live, before.max_claims, lanes):
            return False
        places = (*(one.id for one in live), claim.id)
        if core.store.connections.save(before, replace(before, places=places, rev=before.rev + 1)):
            return True


def _takes_probe(core: Core, connection: StoredConnection, now_ms: int) -> bool:
    """Whether this is the one claim a minute that a paused connection gets."""
    if connection.probe_ms > now_ms:
        return False
    later = replace(connection, probe_ms=now_ms + core.limits.probe_every_ms, rev=connection.rev + 1)
    return core.store.connections.save(connection, later)


def announce(core: Core, claim_id: str, contents: Mapping[str, Mapping[str, Any]]) -> None:
    """Keeps what a worker is about to send, before it sends it.

    Raises ``Conflict`` if the claim has ended: the worker must write nothing then.
    """
    while True:
        found = core.store.claims.get(claim_id)
        if found is None:
            raise NotFound(f"there is no claim {claim_id!r}")
        if found.state != "open" or found.lease_until_ms <= core.now_ms():
            raise Conflict(f"claim {claim_id} has ended: nothing may be written under it")
        unknown = set(contents) - core.store.records.in_claim(claim_id)
        if unknown:
            raise BadInput(f"not in this claim: {', '.join(sorted(unknown))}", field="contents")
        intents = json.loads(found.intents) | {id: dict(content) for id, content in contents.items()}
        text = json.dumps(intents, ensure_ascii=False, sort_keys=True)
        if core.store.claims.save(found, replace(found, intents=text, rev=found.rev + 1)):
            return
