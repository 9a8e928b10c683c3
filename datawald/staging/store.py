"""Every collection of the core, with the queries that use cases ask by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pymongo import MongoClient
from pymongo.database import Database

from datawald.domain.claim import Claim
from datawald.domain.flow import Flow, SyncTask
from datawald.domain.record import NEVER_MS, Record
from datawald.staging.documents import MOST_ROWS, Documents


@dataclass(frozen=True)
class Raw:
    """What a source sent, as it sent it: the newest for each record, JSON text."""

    id: str
    read_ms: int
    text: str
    rev: int = 0


@dataclass(frozen=True)
class StoredConnection:
    """A connection as configured. Secrets are references or sealed; nothing here opens them."""

    id: str
    agent: str
    endpoint: str
    #: JSON texts.
    settings: str = "{}"
    secrets: str = "{}"
    #: How many claims may be alive at once: the connection's concurrency.
    max_claims: int = 10
    #: Records per claim.
    claim_size: int = 10
    #: Total deadline of one request to it, seconds.
    deadline_s: int = 30
    #: How long its server may still work on a request after we gave up on it, seconds.
    server_may_work_s: int = 60
    #: Why it is paused; "" while it works. A paused connection gets one probe a minute.
    paused: str = ""
    probe_ms: int = 0
    #: Ids of the claims that hold its places; those that ended are left out at the next change.
    places: tuple[str, ...] = ()
    rev: int = 0


@dataclass(frozen=True)
class ApiKey:
    """An API key. Only its hash is stored."""

    id: str
    name: str
    scopes: tuple[str, ...]
    hash: str
    created_ms: int
    rev: int = 0


@dataclass(frozen=True)
class ValueMap:
    """A named table of values (tax codes, carriers), JSON text."""

    id: str
    values: str
    rev: int = 0


@dataclass(frozen=True)
class Wait:
    """Who waits for a key. Its id is the key: lists cannot be searched in every store."""

    id: str
    records: tuple[str, ...]
    rev: int = 0


class Records(Documents[Record]):
    def due(self, lane: str, now_ms: int, limit: int) -> list[tuple[str, str]]:
        """``(id, entity)`` of the records of a lane that may be claimed, longest due first."""
        rows = self._collection.find(
            {"lane": lane, "due_ms": {"$lte": now_ms}},
            projection={"entity": 1},
            sort=[("due_ms", 1), ("_id", 1)],
            limit=limit,
            batch_size=MOST_ROWS + 1,
        )
        return [(row["_id"], row["entity"]) for row in rows]

    def claimed_before(self, moment_ms: int) -> list[Record]:
        """Records that have been in a claim since before a moment."""
        return self.find({"claimed_ms": {"$lte": moment_ms}}, sort=("claimed_ms",))

    def in_claim(self, claim_id: str) -> set[str]:
        """Ids of the records of a claim."""
        rows = self._collection.find({"claim_id": claim_id}, projection={"_id": 1}, batch_size=MOST_ROWS + 1)
        return {row["_id"] for row in rows}

    def on_their_way(self, route: str) -> bool:
        """Whether any record of a route is due, now or later, or in a claim."""
        due = {"route": route, "due_ms": {"$lt": NEVER_MS}}
        claimed = {"route": route, "claimed_ms": {"$lt": NEVER_MS}}
        return any(self.find(query, limit=1) for query in (due, claimed))

    def to_reread(self, route: str) -> list[Record]:
        return self.find({"reread": route})

    def counts_of(self, sync_task: str) -> dict[str, int]:
        """How many records of a run there are per ``tx_status``."""
        return self.count_by("tx_status", {"sync_task": sync_task})

    def put_off_in(self, sync_task: str) -> list[Record]:
        """Records of a run that are due now or later, soonest first."""
        return self.find({"sync_task": sync_task, "due_ms": {"$lt": NEVER_MS}}, sort=("due_ms",))


class Claims(Documents[Claim]):
    def live(self, connection: StoredConnection, now_ms: int) -> list[Claim]:
        """Claims that still hold a place on a connection, oldest first."""
        # what they announced is text by the kilobyte, and nobody asks here
        holders = self.many(connection.places, leave_out=["intents"]).values()
        alive = [claim for claim in holders if claim.state == "open" and claim.lease_until_ms > now_ms]
        return sorted(alive, key=lambda claim: (claim.created_ms, claim.id))

    def forget(self, before_ms: int) -> int:
        """Deletes some of what was settled long ago."""
        old = self.find({"created_ms": {"$lte": before_ms}}, sort=("created_ms",))
        return self.delete_many([claim.id for claim in old if claim.state != "open"])

    def overdue(self, now_ms: int) -> list[Claim]:
        open_claims = self.find({"state": "open"}, sort=("lease_until_ms",))
        return [claim for claim in open_claims if claim.lease_until_ms <= now_ms]


class Flows(Documents[Flow]):
    def due(self, now_ms: int) -> list[Flow]:
        return self.find({"due_ms": {"$lte": now_ms}}, sort=("due_ms",))

    def lease_ended(self, now_ms: int) -> list[Flow]:
        """Flows whose puller went away without a word."""
        return self.find({"lease_until_ms": {"$gt": 0, "$lte": now_ms}}, sort=("lease_until_ms",))


class SyncTasks(Documents[SyncTask]):
    def processing(self) -> list[SyncTask]:
        return self.find({"sync_status": "Processing"}, sort=("started_ms",))

    def extracting_since(self, before_ms: int) -> list[SyncTask]:
        """Runs begun before a moment whose extraction is not known to have ended."""
        return [task for task in self.find({"sync_status": "Extracting"}) if task.started_ms <= before_ms]

    def forget(self, before_ms: int) -> int:
        """Deletes some of what was closed long ago."""
        old = self.find({"started_ms": {"$lte": before_ms}}, sort=("started_ms",))
        return self.delete_many([task.id for task in old if task.ended_ms])


class Store:
    """The database of one DataWald."""

    def __init__(self, client: MongoClient[dict[str, Any]], name: str) -> None:
        self.client = client
        self.database: Database[dict[str, Any]] = client[name]
        self.records = Records(self.database["records"], Record)
        self.raws = Documents(self.database["raws"], Raw)
        self.claims = Claims(self.database["claims"], Claim)
        self.waits = Documents(self.database["waits"], Wait)
        self.flows = Flows(self.database["flows"], Flow)
        self.sync_tasks = SyncTasks(self.database["sync_tasks"], SyncTask)
        self.connections = Documents(self.database["connections"], StoredConnection)
        self.keys = Documents(self.database["keys"], ApiKey)
        self.maps = Documents(self.database["maps"], ValueMap)

    def prepare(self) -> None:
        """Makes the indexes. Safe to call by every process at every start."""
        # NX-27017 finds by a field quickly only where it is the last of some index: hence the single ones beside the pairs
        for field in (
            "lane",
            "due_ms",
            "claimed_ms",
            "claim_id",
            "sync_task",
            "route",
            "reread",
            "src_id",
            "tgt_id",
            "tx_status",
            "entity",
            "changed_ms",
        ):
            self.records.index(field, field)
        self.records.index("lane_due", "lane", "due_ms")
        self.records.index("task_due", "sync_task", "due_ms")
        self.claims.index("state", "state")
        self.claims.index("created_ms", "created_ms")
        self.sync_tasks.index("sync_status", "sync_status")
        self.sync_tasks.index("started_ms", "started_ms")

    def ping(self) -> None:
        """Raises pymongo's error if the server does not answer."""
        self.client.admin.command("ping")

    def about(self) -> dict[str, Any]:
        """Which server this is: an embedded one is for trying out and small shops."""
        info = self.client.server_info()
        if "version" not in info:  # an embedded one knows the command by its other spelling only
            info = self.client.admin.command("buildInfo")
        embedded = info.get("process") == "nx_27017"
        return {"name": "NX-27017" if embedded else "MongoDB", "version": info.get("version", ""), "embedded": embedded}

    def put_raws(self, raws: Sequence[Raw]) -> None:
        """Keeps the newest raw payload of each record."""
        fresh = self.raws.insert_many(raws)
        for raw in raws:
            if raw.id not in fresh:
                self.raws.put(raw)

    def list_records(
        self, filters: Mapping[str, Any], *, before_ms: int, limit: int, before_id: str = "", ids: Iterable[str] = ()
    ) -> list[Record]:
        """Records of exact ``filters``, newest change first.

        A batch is staged in one millisecond, so a page ends in the middle of one: ``before_id`` goes on there.
        """
        query: dict[str, Any] = dict(filters)
        if ids:
            query["_id"] = {"$in": list(ids)}
        found: list[Record] = []
        if before_ms and before_id and "_id" not in query:
            same = query | {"changed_ms": before_ms, "_id": {"$lt": before_id}}
            found = self.records.find(same, sort=("_id",), descending=True, limit=limit)
        if before_ms:
            query["changed_ms"] = {"$lt": before_ms}
        if len(found) < limit:
            found += self.records.find(query, sort=("changed_ms", "_id"), descending=True, limit=limit - len(found))
        return found
