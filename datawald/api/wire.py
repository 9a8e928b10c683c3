"""The JSON of the API, in both directions, as models: what they say is what ``/openapi.json`` says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from datawald.domain.entity import Moment
from datawald.domain.flow import Flow, SyncTask
from datawald.domain.outcome import Outcome, OutcomeKind
from datawald.domain.record import NEVER_MS, Record, attempts_of, links_of, withheld_why
from datawald.staging.store import StoredConnection
from datawald.usecases.claim import Claimed
from datawald.usecases.pull import FlowLease, cursor_of

Name = Annotated[str, Field(pattern=r"^[a-z0-9_]+$", max_length=60)]
Ids = Annotated[list[str], Field(min_length=1, max_length=100)]


def moment(ms: int) -> str | None:
    """Milliseconds as ISO 8601 text for people; None for "not set" and "never"."""
    if not 0 < ms < NEVER_MS:
        return None
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def milliseconds(at: datetime) -> int:
    return round(at.timestamp() * 1000)


class Body(BaseModel):
    """Base of request bodies: unknown fields are mistakes."""

    model_config = ConfigDict(extra="forbid")


# --- the worker's half -------------------------------------------------------------------------------------------------


class ClaimBody(Body):
    connection: Name
    lane: str = Field(max_length=120)
    limit: int = Field(0, ge=0, le=100)


class AnnounceBody(Body):
    #: Record id → the content about to be sent.
    contents: dict[str, dict[str, Any]]


class ReportedOutcome(Body):
    id: str
    version: int
    outcome: OutcomeKind
    tgt_id: str = ""
    links: dict[str, Any] = {}
    sent: dict[str, Any] | None = None
    answered: dict[str, Any] | None = None
    why: str = Field("", max_length=4000)
    until_ms: int = Field(0, ge=0)
    on: list[str] = Field([], max_length=50)
    notes: list[str] = Field([], max_length=50)

    def as_outcome(self) -> Outcome:
        return Outcome(
            kind=self.outcome,
            why=self.why,
            tgt_id=self.tgt_id,
            links=self.links,
            sent=self.sent,
            answered=self.answered,
            until_s=self.until_ms / 1000,
            on=tuple(self.on),
            notes=tuple(self.notes),
        )


class ReportBody(Body):
    claim_id: str
    outcomes: list[ReportedOutcome] = Field(max_length=100)
    #: Why the whole connection cannot work, where a probe said so too.
    misconfigured: str = Field("", max_length=2000)


class FlowSave(Body):
    token: str
    cursor: dict[str, Any] | None = None
    newest_ms: int = Field(0, ge=0)
    source_began_ms: int = Field(0, ge=0)
    read: int = Field(0, ge=0)
    expected: int = Field(0, ge=0)
    #: ``save`` keeps the cursor and renews the lease; the others end it.
    then: Literal["save", "hand_back", "finish", "fail"] = "save"
    why: str = Field("", max_length=2000)
    retry_after_ms: int = Field(0, ge=0)


class StagedRecord(Body):
    src_id: str = Field(min_length=1, max_length=300)
    stamp: Moment
    payload: dict[str, Any] | None = None
    raw: Any = None
    problem: str = Field("", max_length=4000)
    unwanted: str = Field("", max_length=4000)


class StageBody(Body):
    """Under a flow's lease (``token``), or from outside (no token, ``source`` and ``target`` instead)."""

    flow: Name | None = None
    token: str = ""
    source: Name | None = None
    target: Name | None = None
    #: When the reading of these records began, by the core's clock; now if it is not known.
    read_began_ms: int = Field(0, ge=0)
    records: list[StagedRecord] = Field(min_length=1, max_length=500)


def claimed(claim: Claimed) -> dict[str, Any]:
    return {
        "claim_id": claim.claim.id,
        "entity": claim.claim.entity,
        "lease_ms": claim.lease_ms,
        "probe": claim.claim.probe == "Y",
        "more": claim.more,
        "records": [
            {
                "id": record.id,
                "entity": record.entity,
                "source": record.source,
                "target": record.target,
                "src_id": record.src_id,
                "version": record.version,
                "payload": json.loads(record.payload),
                "in_doubt": record.claimed_in_doubt == "Y",
                "tgt_id": record.tgt_id,
                "sent": json.loads(record.sent) if record.sent else None,
                "attempts": attempts_of(record),
                "links": links_of(record),
                "withheld": withheld_why(record),
            }
            for record in claim.records
        ],
    }


def flow_lease(lease: FlowLease) -> dict[str, Any]:
    return {
        "token": lease.flow.token,
        "flow": lease.flow.id,
        "entity": lease.flow.entity,
        "source": lease.flow.source,
        "target": lease.flow.target,
        "settings": json.loads(lease.flow.settings),
        "sync_task": lease.task.id,
        "kind": lease.task.kind,
        "since": moment(lease.task.since_ms),
        "ids": list(lease.task.ids),
        "cursor": cursor_of(lease.flow),
        "reread": list(lease.reread),
        "lease_ms": lease.lease_ms,
        "now_ms": lease.now_ms,
    }


# --- people's half -----------------------------------------------------------------------------------------------------


class ReplayBody(Body):
    ids: Ids
    #: Forget which document of the target was its own: one found cancelled there is made again.
    as_new: bool = False


class DropBody(Body):
    ids: Ids
    reason: str = Field(min_length=1, max_length=1000)


class ConnectionBody(Body):
    agent: str
    endpoint: str = Field(pattern=r"^https?://")
    settings: dict[str, Any] = {}
    #: Name → ``env:NAME``, ``file:PATH`` or ``sealed:…``.
    secrets: dict[str, str] = {}
    max_claims: int = Field(10, ge=1, le=100)
    claim_size: int = Field(10, ge=1, le=100)
    deadline_s: int = Field(30, ge=1, le=600)
    server_may_work_s: int = Field(60, ge=0, le=3600)

    def stored(self, name: str) -> StoredConnection:
        return StoredConnection(
            id=name,
            agent=self.agent,
            endpoint=self.endpoint,
            settings=json.dumps(self.settings, ensure_ascii=False),
            secrets=json.dumps(self.secrets),
            max_claims=self.max_claims,
            claim_size=self.claim_size,
            deadline_s=self.deadline_s,
            server_may_work_s=self.server_may_work_s,
        )


class FlowBody(Body):
    entity: Name
    source: Name
    target: Name
    enabled: bool = False
    start_from: Moment
    every_s: float = Field(60, ge=1)
    overlap_s: float = Field(120, ge=0)
    settings: dict[str, Any] = {}

    def stored(self, name: str) -> Flow:
        return Flow(
            id=name,
            entity=self.entity,
            source=self.source,
            target=self.target,
            enabled="Y" if self.enabled else "N",
            start_from_ms=milliseconds(self.start_from),
            every_ms=round(self.every_s * 1000),
            overlap_ms=round(self.overlap_s * 1000),
            settings=json.dumps(self.settings, ensure_ascii=False),
        )


class MapBody(Body):
    values: dict[str, Any]


class KeyBody(Body):
    name: str = Field(min_length=1, max_length=100)
    scopes: list[Literal["read", "worker", "operator"]] = Field(min_length=1)


class SyncTaskBody(Body):
    flow: Name
    kind: Literal["asked", "full", "since", "ids"] = "asked"
    since: Moment | None = None
    ids: list[str] = Field([], max_length=500)


def connection(stored: StoredConnection, *, with_secrets: bool = False) -> dict[str, Any]:
    """A connection for people: of its secrets only the names. For workers, their references too, sealed as they are."""
    secrets: dict[str, str] = json.loads(stored.secrets)
    return {
        "name": stored.id,
        "agent": stored.agent,
        "endpoint": stored.endpoint,
        "settings": json.loads(stored.settings),
        "secrets": secrets if with_secrets else {name: "***" for name in secrets},
        "max_claims": stored.max_claims,
        "claim_size": stored.claim_size,
        "deadline_s": stored.deadline_s,
        "server_may_work_s": stored.server_may_work_s,
        "paused": stored.paused,
    }


def flow(stored: Flow) -> dict[str, Any]:
    return {
        "name": stored.id,
        "entity": stored.entity,
        "source": stored.source,
        "target": stored.target,
        "enabled": stored.enabled == "Y",
        "start_from": moment(stored.start_from_ms),
        "every_s": stored.every_ms / 1000,
        "overlap_s": stored.overlap_ms / 1000,
        "settings": json.loads(stored.settings),
        "cut_date": moment(stored.cut_ms),
        "due": moment(stored.due_ms),
        "running": stored.task,
        "why": stored.why,
        "failures": stored.failures,
    }


def sync_task(stored: SyncTask, counts: Mapping[str, int]) -> dict[str, Any]:
    return {
        "id": stored.id,
        "flow": stored.flow,
        "entity": stored.entity,
        "source": stored.source,
        "target": stored.target,
        "kind": stored.kind,
        "sync_status": stored.sync_status,
        "since": moment(stored.since_ms),
        "started": moment(stored.started_ms),
        "extracted": moment(stored.extracted_ms),
        "ended": moment(stored.ended_ms),
        "read": stored.read,
        "expected": stored.expected,
        "counts": dict(counts),
        "why": stored.why,
    }


def record_line(record: Record) -> dict[str, Any]:
    """A record in a list."""
    return {
        "id": record.id,
        "entity": record.entity,
        "source": record.source,
        "target": record.target,
        "src_id": record.src_id,
        "tx_status": record.tx_status.value,
        "status": record.tx_status.long_name,
        "why": record.why,
        "version": record.version,
        "tgt_id": record.tgt_id,
        "links": links_of(record),
        "stamp": moment(record.stamp_ms),
        "staged": moment(record.staged_ms),
        "changed": moment(record.changed_ms),
        "changed_ms": record.changed_ms,
        "due": moment(record.due_ms),
        "sync_task": record.sync_task,
    }


def record_whole(record: Record, raw: str | None) -> dict[str, Any]:
    """A record with everything known of it: what was read, sent and answered, and every hop."""
    hops = [{"at": moment(hop.pop("at_ms")), **hop} for hop in record.hops()]
    return record_line(record) | {
        "created": moment(record.created_ms),
        "hash": record.hash,
        "problem": record.problem,
        "waits_on": list(record.waits_on),
        "payload": json.loads(record.payload) if record.payload else None,
        "raw": json.loads(raw) if raw else None,
        "sent": json.loads(record.sent) if record.sent else None,
        "attempts": attempts_of(record),
        "answered": json.loads(record.answered) if record.answered else None,
        "hops": hops,
    }
