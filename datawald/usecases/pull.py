"""Pulling: who may extract a flow, where it stands, and where it ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from datawald.domain import flow as rules
from datawald.domain.errors import BadInput, Conflict, NotFound
from datawald.domain.flow import Flow, SyncTask, TaskKind
from datawald.usecases.core import Core

#: A flow that could not be read is tried again after this long, doubling up to the cap.
FAILED_BASE_MS, FAILED_CAP_MS = 2_000, 60_000


@dataclass(frozen=True)
class FlowLease:
    """What a puller is given."""

    flow: Flow
    task: SyncTask
    lease_ms: int
    #: The core's clock when the lease was granted: reads are dated by it.
    now_ms: int
    #: ``src_ids`` whose payloads overlapped: to be read again first.
    reread: Sequence[str]


def ask(core: Core, name: str, kind: TaskKind, *, since_ms: int = 0, ids: Sequence[str] = ()) -> SyncTask:
    """A person wants a run of a flow now. Raises ``NotFound``, ``BadInput``."""
    if kind == "ids" and not ids:
        raise BadInput("a run by ids needs ids", field="ids")
    while True:
        flow = core.flow(name)
        task = _task(core, flow, kind, since_ms, ids)
        core.store.sync_tasks.insert(task)
        due_ms = flow.due_ms if flow.token else core.now_ms()
        after = replace(flow, asked=(*flow.asked, task.id), due_ms=due_ms, rev=flow.rev + 1)
        if core.store.flows.save(flow, after):
            core.bells.ring_flow(flow.id, flow.source)
            return task
        core.store.sync_tasks.delete(task.id)


def lease(core: Core, name: str) -> FlowLease | None:
    """The lease of a flow for one puller, or None: it is held, or nothing is to be done."""
    flow = core.flow(name)
    now_ms = core.trusted_now_ms()
    if flow.token and flow.lease_until_ms > now_ms:
        return None
    task = _in_hand(core, flow) or _asked(core, flow) or _scheduled(core, flow, now_ms)
    if task is None:
        return None
    core.store.sync_tasks.insert(task)
    after = rules.leased(flow, task, core.new_id(), now_ms + core.limits.pull_lease_ms)
    if not core.store.flows.save(flow, after):
        if task.id not in (flow.task, *flow.asked):
            core.store.sync_tasks.delete(task.id)  # made for this lease, which somebody else was quicker to take
        return None
    marked = core.store.records.to_reread(flow.route)
    return FlowLease(after, task, core.limits.pull_lease_ms, now_ms, [record.src_id for record in marked])


def save(
    core: Core,
    name: str,
    token: str,
    *,
    cursor: dict[str, Any],
    newest_ms: int,
    source_began_ms: int,
    read: int,
    expected: int,
) -> int:
    """Keeps the cursor after a page that was staged, and renews the lease. Returns the new lease in ms."""
    until_ms = core.now_ms() + core.limits.pull_lease_ms
    flow = _change(core, name, token, lambda flow: rules.saved(flow, cursor, newest_ms, source_began_ms, until_ms))
    task = core.store.sync_tasks.get(flow.task)
    if task:
        core.store.sync_tasks.save(
            task, replace(task, read=task.read + read, expected=max(task.expected, expected), rev=task.rev + 1)
        )
    return core.limits.pull_lease_ms


def hand_back(core: Core, name: str, token: str) -> None:
    """Ends the lease after a bounded number of pages: the run goes on with the next bell."""
    flow = _change(core, name, token, lambda flow: rules.released(flow, core.now_ms()))
    core.bells.ring_flow(flow.id, flow.source)


def finish(core: Core, name: str, token: str) -> None:
    """Ends the run: the cut date advances last, and only under the flow's lease."""
    task = core.store.sync_tasks.get(held(core, name, token).task)
    now_ms = core.now_ms()
    moves_cut = task is not None and rules.moves_cut_date(task.kind)
    _change(core, name, token, lambda flow: rules.finished(flow, moves_cut, now_ms))
    if task:
        core.store.sync_tasks.save(task, replace(task, sync_status="Processing", extracted_ms=now_ms, rev=task.rev + 1))


def fail(core: Core, name: str, token: str, why: str, retry_after_s: float = 0) -> None:
    """The source could not be read: the run stays where it is and is tried again later."""

    def failed(flow: Flow) -> Flow:
        wait_ms = max(round(retry_after_s * 1000), min(FAILED_CAP_MS, FAILED_BASE_MS * 2 ** min(flow.failures, 6)))
        return rules.failed(flow, why, core.now_ms() + wait_ms)

    _change(core, name, token, failed)


def held(core: Core, name: str, token: str) -> Flow:
    """The flow, if ``token`` holds it now. Raises ``Conflict``: a stale token ends the pull."""
    flow = core.flow(name)
    if not token or flow.token != token or flow.lease_until_ms <= core.now_ms():
        raise Conflict(f"the lease of flow {name} is no longer yours")
    return flow


def _change(core: Core, name: str, token: str, change: Callable[[Flow], Flow]) -> Flow:
    """Changes the flow under its lease and returns what it was. Decided again where a person asked for a run or changed
    its configuration meanwhile: what they wrote stays."""
    while True:
        before = held(core, name, token)
        if core.store.flows.save(before, change(before)):
            return before


def _in_hand(core: Core, flow: Flow) -> SyncTask | None:
    return core.store.sync_tasks.get(flow.task) if flow.task else None


def _asked(core: Core, flow: Flow) -> SyncTask | None:
    return core.store.sync_tasks.get(flow.asked[0]) if flow.asked else None


def _scheduled(core: Core, flow: Flow, now_ms: int) -> SyncTask | None:
    if flow.enabled != "Y" or flow.due_ms > now_ms:
        return None
    return _task(core, flow, "scheduled")


def _task(core: Core, flow: Flow, kind: TaskKind, since_ms: int = 0, ids: Sequence[str] = ()) -> SyncTask:
    start_ms = {"full": flow.start_from_ms, "since": since_ms, "ids": 0}.get(kind, max(flow.cut_ms, flow.start_from_ms))
    return SyncTask(
        id=core.new_id(),
        flow=flow.id,
        entity=flow.entity,
        source=flow.source,
        target=flow.target,
        kind=kind,
        started_ms=core.now_ms(),
        since_ms=max(start_ms, flow.start_from_ms) if kind != "ids" else 0,
        ids=tuple(ids),
    )


def sync_task(core: Core, id: str) -> SyncTask:
    found = core.store.sync_tasks.get(id)
    if found is None:
        raise NotFound(f"there is no sync task {id!r}")
    return found


def cursor_of(flow: Flow) -> dict[str, Any] | None:
    loaded: dict[str, Any] | None = json.loads(flow.cursor) if flow.cursor else None
    return loaded
