"""The tick: what is due stands in the store; the tick looks, ends what ran out, and rings. Two at once do no harm."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from datawald.domain import flow as flow_rules
from datawald.domain import record as rules
from datawald.domain.claim import Claim
from datawald.domain.record import Record, TxStatus
from datawald.usecases.claim import lanes_of
from datawald.usecases.core import Core


@dataclass
class Ticked:
    """What one tick did."""

    flows_rung: int = 0
    lanes_rung: int = 0
    claims_ended: int = 0
    records_in_doubt: int = 0
    tasks_closed: int = 0


def tick(core: Core) -> Ticked:
    """One round. Raises ``ClockOff`` where this process's clock is not to be trusted."""
    now_ms = core.trusted_now_ms()
    done = Ticked()
    _end_claims(core, now_ms, done)
    _ring_flows(core, now_ms, done)
    _ring_lanes(core, now_ms, done)
    _end_extractions(core, now_ms)
    _close_tasks(core, now_ms, done)
    _forget(core, now_ms)
    return done


def _end_claims(core: Core, now_ms: int, done: Ticked) -> None:
    for claim in core.store.claims.overdue(now_ms):
        # ended first: from here on the claim announces nothing more, so its intents are complete
        if core.store.claims.save(claim, claim.closed("ended")):
            done.claims_ended += 1
    # a record may have joined a claim that ended meanwhile, so the records' own times decide
    for record in core.store.records.claimed_before(now_ms - core.limits.lease_ms):
        held = core.store.claims.get(record.claim_id)
        if held and held.state == "open":
            continue
        ended_ms = held.lease_until_ms if held else record.claimed_ms + core.limits.lease_ms
        due_ms = ended_ms + core.quiet_ms_of(record.target)
        after = rules.expire(record, record.claim_id, held.intent(record.id) if held else None, now_ms, due_ms)
        if after and core.store.records.save(record, after):
            done.records_in_doubt += 1


def _ring_flows(core: Core, now_ms: int, done: Ticked) -> None:
    for flow in core.store.flows.lease_ended(now_ms):
        why = "the worker that read it ended without a word"
        core.store.flows.save(flow, flow_rules.failed(flow, why, now_ms))
    for flow in core.store.flows.due(now_ms):
        if flow.token and flow.lease_until_ms > now_ms:
            continue
        if flow.enabled == "Y" or flow.asked or flow.task:
            core.bells.ring_flow(flow.id, flow.source)
            done.flows_rung += 1


def _ring_lanes(core: Core, now_ms: int, done: Ticked) -> None:
    for connection in core.store.connections.find({}):
        lanes = lanes_of(core, connection.id)
        live: list[Claim] | None = None
        for lane in lanes:
            most = connection.max_claims * connection.claim_size
            due = len(core.store.records.due(lane, now_ms, min(100, most)))
            if not due:
                continue
            if connection.paused:
                bells = 1 if connection.probe_ms <= now_ms else 0
            else:
                live = core.store.claims.live(connection, now_ms) if live is None else live
                bells = min(connection.max_claims - len(live), math.ceil(due / connection.claim_size))
            for _ in range(bells):
                core.bells.ring_lane(connection.id, lane)
            done.lanes_rung += max(0, bells)


def _end_extractions(core: Core, now_ms: int) -> None:
    """Runs that no flow holds any more: whoever ended them died before it could say so here, or the flow is deleted."""
    for task in core.store.sync_tasks.extracting_since(now_ms - core.limits.pull_lease_ms):
        flow = core.store.flows.get(task.flow)
        if flow and (flow.task == task.id or task.id in flow.asked):
            continue
        after = replace(task, sync_status="Processing", extracted_ms=now_ms, rev=task.rev + 1)
        core.store.sync_tasks.save(task, after)


def _forget(core: Core, now_ms: int) -> None:
    core.store.claims.forget(now_ms - core.limits.keep_ms)
    core.store.sync_tasks.forget(now_ms - core.limits.keep_ms)


def _close_tasks(core: Core, now_ms: int, done: Ticked) -> None:
    for task in core.store.sync_tasks.processing():
        # the cheap question first: while anything is due nobody needs counts
        put_off = core.store.records.put_off_in(task.id)
        if any(one.due_ms <= now_ms or _in_quiet_period(one) for one in put_off):
            continue
        counts = core.store.records.counts_of(task.id)
        if counts.get(TxStatus.PROCESSING.value):
            continue
        if not counts and task.kind == "scheduled":
            core.store.sync_tasks.delete(task.id)  # nothing was new: not worth a line in the list
            continue
        status = flow_rules.closing_status(counts)
        after = replace(task, sync_status=status, ended_ms=now_ms, rev=task.rev + 1)
        if core.store.sync_tasks.save(task, after):
            done.tasks_closed += 1


def _in_quiet_period(record: Record) -> bool:
    """In doubt, and not yet looked up. One whose look-up was tried and put off waits for a later time like any other."""
    return record.tx_status is TxStatus.IN_DOUBT and not record.retries
