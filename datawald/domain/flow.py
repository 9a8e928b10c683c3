"""A flow: an entity going from a source connection to a target connection, and its runs, the sync tasks.

Lease, cursor and cut date of a flow are one document: whoever holds the token may move them, and a stale token is
refused. Pure functions here; ``usecases.pull`` reads and stores.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, Literal

from datawald.domain.record import NEVER_MS, route_name

TaskKind = Literal["scheduled", "asked", "full", "since", "ids"]


@dataclass(frozen=True)
class Flow:
    """One flow. Created disabled, with a ``start_from``: nobody's history moves by accident."""

    #: Its name (``orders_us``), ``[a-z0-9_]+``.
    id: str
    entity: str
    source: str
    target: str
    enabled: Literal["Y", "N"] = "N"
    #: Nothing that changed before this is read, milliseconds UTC.
    start_from_ms: int = 0
    every_ms: int = 60_000
    #: How far the cut date stays behind what was seen: rows become visible later than their stamp says.
    overlap_ms: int = 120_000
    #: JSON text, handed to the source's mapping.
    settings: str = "{}"
    #: Where the next extraction starts; 0 before the first.
    cut_ms: int = 0
    #: When ``tick`` rings it next.
    due_ms: int = 0
    token: str = ""
    lease_until_ms: int = 0
    #: The sync task in hand, "" between runs.
    task: str = ""
    #: JSON text; "" at the beginning of an extraction.
    cursor: str = ""
    #: Newest stamp seen in the extraction in hand, and the source's clock at its start.
    newest_ms: int = 0
    source_began_ms: int = 0
    #: Sync tasks that people asked for, oldest first.
    asked: tuple[str, ...] = ()
    #: Why the last try failed, and how often in a row.
    why: str = ""
    failures: int = 0
    rev: int = 0

    @property
    def route(self) -> str:
        """What its records carry as theirs."""
        return route_name(self.entity, self.source, self.target)

    def next_cut_ms(self) -> int:
        """The cut date after the extraction in hand: the smaller of the newest stamp seen and the source's clock at the
        start, minus the overlap; never backwards, and unmoved where nothing was seen."""
        if not self.newest_ms:
            return self.cut_ms
        seen = min(self.newest_ms, self.source_began_ms or self.newest_ms)
        return max(self.cut_ms, seen - self.overlap_ms)


@dataclass(frozen=True)
class SyncTask:
    """One run of a flow (the original's word)."""

    id: str
    flow: str
    entity: str
    source: str
    target: str
    kind: TaskKind
    started_ms: int
    #: Where the extraction starts, milliseconds UTC.
    since_ms: int = 0
    #: ``src_ids`` of a run by ids.
    ids: tuple[str, ...] = ()
    sync_status: Literal["Extracting", "Processing", "Completed", "Incompleted", "Fail"] = "Extracting"
    extracted_ms: int = 0
    ended_ms: int = 0
    #: How many records the source handed over, and how many it said it has: progress, not the truth.
    read: int = 0
    expected: int = 0
    why: str = ""
    rev: int = 0


def closing_status(counts: dict[str, int]) -> Literal["Completed", "Incompleted", "Fail"]:
    """How a finished run is called, from its records' statuses."""
    if counts.get("F"):
        return "Fail"
    if counts.get("?") or counts.get("N"):
        return "Incompleted"
    return "Completed"


def leased(flow: Flow, task: SyncTask, token: str, until_ms: int) -> Flow:
    """The flow under a new lease, going on with ``task`` where it stands or beginning it."""
    fresh: dict[str, Any] = {}
    if flow.task != task.id:
        fresh = {"task": task.id, "cursor": "", "newest_ms": 0, "source_began_ms": 0}
    asked = tuple(one for one in flow.asked if one != task.id)
    return replace(flow, token=token, lease_until_ms=until_ms, due_ms=NEVER_MS, asked=asked, rev=flow.rev + 1, **fresh)


def saved(flow: Flow, cursor: dict[str, Any], newest_ms: int, source_began_ms: int, until_ms: int) -> Flow:
    """The flow with its cursor after one more page, and its lease renewed."""
    return replace(
        flow,
        cursor=json.dumps(cursor),
        newest_ms=max(flow.newest_ms, newest_ms),
        source_began_ms=flow.source_began_ms or source_began_ms,
        lease_until_ms=until_ms,
        failures=0,
        why="",
        rev=flow.rev + 1,
    )


def released(flow: Flow, due_ms: int) -> Flow:
    """The flow after a bounded number of pages, the run not yet at its end."""
    return replace(flow, token="", lease_until_ms=0, due_ms=due_ms, rev=flow.rev + 1)


def finished(flow: Flow, moves_cut: bool, now_ms: int) -> Flow:
    """The flow after its run's last page."""
    return replace(
        flow,
        cut_ms=flow.next_cut_ms() if moves_cut else flow.cut_ms,
        token="",
        lease_until_ms=0,
        task="",
        cursor="",
        newest_ms=0,
        source_began_ms=0,
        due_ms=now_ms if flow.asked else now_ms + flow.every_ms,
        failures=0,
        why="",
        rev=flow.rev + 1,
    )


def failed(flow: Flow, why: str, due_ms: int) -> Flow:
    """The flow after a try that brought nothing: the run goes on where it stands, later."""
    return replace(
        flow, token="", lease_until_ms=0, due_ms=due_ms, why=why, failures=flow.failures + 1, rev=flow.rev + 1
    )


def moves_cut_date(kind: TaskKind) -> bool:
    """Only a run over everything since the cut date may move it."""
    return kind in ("scheduled", "asked", "full")
