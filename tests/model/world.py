"""A small world for the rules of one effect: a clock that is turned by hand, a target in memory whose commits may come
late, and a core made of the real use cases over the real staging code (mongomock underneath)."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import mongomock
from pydantic import BaseModel

from datawald.domain import registry
from datawald.domain.agent import Absent, Agent, Delivery, Finding, Found, Lease, Plan, Several, Target, changes
from datawald.domain.connection import Connection
from datawald.domain.entity import Amount, Canonical, Entity
from datawald.domain.errors import InDoubt, Retryable
from datawald.domain.outcome import Outcome
from datawald.domain.record import NEVER_MS, TxStatus
from datawald.staging import Store
from datawald.staging.store import StoredConnection
from datawald.usecases import Core, Limits, claim, report, stage, tick
from datawald.usecases.report import Reported
from datawald.usecases.stage import StageItem

LEASE_MS = 10_000
DEADLINE_S = 2
SERVER_MAY_WORK_S = 4


class Thing(Canonical):
    """A record with one field we write, and a wish to be cancelled."""

    note: str
    amount: Amount
    cancelled: bool = False


THING = Entity(name="thing", plural="things", model=Thing, lane="things", source_side="frontend")


class Killed(BaseException):
    """The worker's process is gone: nothing of it runs on."""


@dataclass
class Document:
    id: str
    key: str
    content: dict[str, Any]
    state: str = "live"


@dataclass
class World:
    """Clock and target."""

    now_ms: int = 1_000_000
    documents: list[Document] = field(default_factory=list)
    #: ``(when, what)``: writes the server still works on after the caller gave up.
    pending: list[tuple[int, Any]] = field(default_factory=list)
    commits: int = 0

    def pass_time(self, ms: int) -> None:
        until = self.now_ms + ms
        while self.pending and min(when for when, _ in self.pending) <= until:
            self.pending.sort(key=lambda one: one[0])
            when, what = self.pending.pop(0)
            self.now_ms = max(self.now_ms, when)
            what()
        self.now_ms = until

    def live(self, key: str) -> list[Document]:
        return [one for one in self.documents if one.key == key and one.state == "live"]

    def create(self, key: str, content: Mapping[str, Any]) -> Document:
        self.commits += 1
        made = Document(str(len(self.documents) + 1), key, dict(content))
        self.documents.append(made)
        return made


class WorldClock:
    def __init__(self, world: World) -> None:
        self._world = world

    def now_ms(self) -> int:
        return self._world.now_ms

    def trusted(self, tolerance_ms: int) -> bool:
        return True


class Silent:
    def ring_lane(self, connection: str, lane: str) -> None: ...

    def ring_flow(self, flow: str, source: str) -> None: ...


class NoSettings(BaseModel):
    pass


@dataclass
class Script:
    """What befalls one delivery: when it is killed, how each write ends, how time passes. Drawn at random."""

    chance: random.Random
    #: Where the look-up is switched off, to prove that it matters.
    looks_up: bool = True
    calm: bool = False

    def dies(self) -> bool:
        return not self.calm and self.chance.random() < 0.06

    def wait_ms(self) -> int:
        return 0 if self.calm else self.chance.choice([0, 0, 10, 500, 3000])

    def write(self) -> str:
        if self.calm:
            return "ok"
        return self.chance.choices(["ok", "refused", "reset_after", "reset_later"], [6, 1, 1, 2])[0]


class ThingTarget(Target[Thing]):
    entity: ClassVar[str] = "thing"

    @property
    def world(self) -> World:
        return self.agent.world

    def find(self, records: Sequence[Delivery[Thing]]) -> Mapping[str, Finding]:
        self.agent.step()
        return {record.id: self._finding(record) for record in records}

    def _finding(self, record: Delivery[Thing]) -> Finding:
        if not self.agent.script.looks_up:
            return Absent() if not record.tgt_id else self._document(record.tgt_id)
        live = self.world.live(record.key)
        if len(live) > 1:
            return Several([Found(one.id, "live", one.content) for one in live])
        if live:
            return Found(live[0].id, "live", live[0].content)
        gone = [one for one in self.world.documents if one.key == record.key]
        return Found(gone[-1].id, "cancelled", gone[-1].content) if gone else Absent()

    def _document(self, id: str) -> Finding:
        found = next(one for one in self.world.documents if one.id == id)
        return Found(found.id, found.state, found.content)  # type: ignore[arg-type]

    def plan(self, record: Delivery[Thing], finding: Finding) -> Plan:
        wanted = {"note": record.canonical.note, "amount": str(record.canonical.amount)}
        if isinstance(finding, Absent):
            if record.canonical.cancelled:
                return Plan("skip", "cancelled before it was ever sent")
            return Plan("create", content=wanted)
        assert isinstance(finding, Found)
        if finding.state == "cancelled":
            if record.canonical.cancelled:
                return Plan("nothing", content=dict(finding.content), tgt_id=finding.tgt_id)
            return Plan("reject", f"found cancelled: {finding.tgt_id}")
        if record.canonical.cancelled:
            return Plan("cancel", content=dict(finding.content), tgt_id=finding.tgt_id)
        differing = changes(wanted, finding.content, record.sent, record.attempts)
        if not differing.send:
            return Plan("nothing", content=wanted, tgt_id=finding.tgt_id)
        return Plan("update", content=wanted, body=differing.send, tgt_id=finding.tgt_id)

    def write(self, record: Delivery[Thing], plan: Plan) -> Outcome:
        self.agent.step()
        how = self.agent.script.write()
        if how == "refused":
            raise Retryable("refused")
        if how == "reset_later":
            late_ms = self.agent.script.chance.randrange((DEADLINE_S + SERVER_MAY_WORK_S) * 1000)
            self.world.pending.append((self.world.now_ms + late_ms, lambda: self._commit(record, plan)))
            self.world.pass_time(self.agent.script.chance.choice([0, DEADLINE_S * 1000]))
            raise InDoubt("reset")
        tgt_id = self._commit(record, plan)
        if how == "reset_after":
            raise InDoubt("reset")
        self.agent.step()
        return Outcome.written(tgt_id, sent=dict(plan.content))

    def _commit(self, record: Delivery[Thing], plan: Plan) -> str:
        if plan.action == "create":
            return self.world.create(record.key, plan.content).id
        found = next(one for one in self.world.documents if one.id == plan.tgt_id)
        if plan.action == "cancel":
            found.state = "cancelled"
        elif found.state == "live":
            found.content |= plan.body
        return found.id


class ThingAgent(Agent):
    system = "thing"
    side = "backoffice"
    settings_model = NoSettings

    def __init__(self, world: World, script: Script) -> None:
        super().__init__(Connection("books", "thing", "http://nowhere", deadline_s=DEADLINE_S))
        self.world = world
        self.script = script
        self._mappings["thing"] = ThingTarget(self)

    def probe(self) -> None: ...

    def step(self) -> None:
        """Between any two steps time may pass and the process may die."""
        self.world.pass_time(self.script.wait_ms())
        if self.script.dies():
            raise Killed


@dataclass
class Worked:
    """A claim that was delivered and not yet reported."""

    claim_id: str
    outcomes: list[Reported]


def make_core(world: World, *, quiet_factor: float = 1.0, seed: int = 0) -> Core:
    registry.entities()["thing"] = THING
    store = Store(mongomock.MongoClient(tz_aware=True), "model")
    limits = Limits(lease_ms=LEASE_MS, quiet_factor=quiet_factor)
    core = Core(store, WorldClock(world), Silent(), limits, random.Random(seed))
    store.connections.insert(
        StoredConnection(
            "books",
            "thing",
            "http://nowhere",
            max_claims=4,
            claim_size=2,
            deadline_s=DEADLINE_S,
            server_may_work_s=SERVER_MAY_WORK_S,
        )
    )
    return core


def put(core: Core, world: World, src_id: str, thing: Thing, read_ago_ms: int = 0) -> str:
    """The source hands a thing in, read some time ago."""
    item = StageItem(src_id, world.now_ms, thing.model_dump(mode="json"))
    began = world.now_ms - read_ago_ms
    return stage.stage(core, entity="thing", source="shop", target="books", items=[item], read_began_ms=began)[0]


def work(core: Core, world: World, script: Script) -> Worked | None:
    """A worker takes a claim and delivers it. None where there was nothing, or where it died on the way."""
    asked_ms = world.now_ms
    claimed = claim.claim(core, "books", "books.things")
    if claimed is None:
        return None
    try:
        if script.dies():
            return None
        lease = Lease(
            asked_ms / 1000,
            claimed.lease_ms / 1000,
            lambda contents: claim.announce(core, claimed.claim.id, contents),
            monotonic=lambda: world.now_ms / 1000,
        )
        agent = ThingAgent(world, script)
        records = [
            Delivery(
                record.id,
                "thing",
                record.source,
                record.target,
                record.src_id,
                record.version,
                Thing.model_validate_json(record.payload),
                record.claimed_in_doubt == "Y",
                record.tgt_id,
                _json(record.sent),
                _json(record.attempts) or [],
            )
            for record in claimed.records
        ]
        try:
            done = agent.deliver(records, lease).outcomes
        except Exception as error:  # before the first write: as ``push`` does
            done = {record.id: Outcome.not_tried(str(error)) for record in records}
    except Killed:
        return None
    return Worked(claimed.claim.id, [Reported(record.id, record.version, done[record.id]) for record in records])


def tell(core: Core, worked: Worked) -> None:
    report.report(core, worked.claim_id, worked.outcomes)


def settle(core: Core, world: World, script: Script, rounds: int = 400) -> None:
    """A calm world: ticks and workers until nothing moves any more."""
    for _ in range(rounds):
        tick.tick(core)
        for _ in range(20):
            worked = work(core, world, script)
            if worked is None:
                break
            tell(core, worked)
        if not unsettled(core):
            return
        world.pass_time(1000)
    raise AssertionError(f"still on their way: {[(r.id, r.tx_status, r.why) for r in unsettled(core)]}")


def unsettled(core: Core) -> list[Any]:
    moving = (TxStatus.WAITING, TxStatus.PROCESSING, TxStatus.IN_DOUBT)
    return [one for one in core.store.records.find({}) if one.tx_status in moving or one.due_ms < NEVER_MS]


def _json(text: str) -> Any:
    return json.loads(text) if text else None
