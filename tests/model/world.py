"""A small world for the rules of one effect: a clock that is turned by hand, a target in memory whose commits may come
late and whose clerks have a will of their own, and a core made of the real use cases and the real ``push`` over the real
staging code (mongomock underneath)."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import mongomock
from pydantic import BaseModel

from datawald.api import wire
from datawald.domain import registry
from datawald.domain.agent import (
    Absent,
    Agent,
    Delivery,
    Finding,
    Found,
    Plan,
    Several,
    Target,
    changes,
)
from datawald.domain.connection import Connection
from datawald.domain.entity import Amount, Canonical, Entity
from datawald.domain.errors import InDoubt, Misconfigured, Retryable
from datawald.domain.flow import Flow
from datawald.domain.outcome import Outcome
from datawald.domain.record import NEVER_MS, Record, TxStatus, record_id
from datawald.staging import Store
from datawald.staging.store import StoredConnection
from datawald.usecases import Core, Limits, claim, report, stage, tick
from datawald.usecases.report import Reported
from datawald.usecases.stage import StageItem
from datawald.worker.push import push

LEASE_MS = 10_000
DEADLINE_S = 2
SERVER_MAY_WORK_S = 4
MAX_CLAIMS = 2
LANE = "books.things"


class Thing(Canonical):
    """A record with two fields we write, a wish to be cancelled, and perhaps another that must be there first."""

    note: str
    amount: Amount
    cancelled: bool = False
    after: str = ""


THING = Entity(name="thing", plural="things", model=Thing, lane="things", source_side="frontend")
FIELDS = ("note", "amount")


class Killed(BaseException):
    """The worker's process is gone: nothing of it runs on."""


@dataclass
class Document:
    id: str
    key: str
    content: dict[str, Any]
    #: ``live``, ``draft`` (waits for approval), ``cancelled``, ``refused`` (a draft), ``approved`` (was a draft).
    state: str = "live"
    #: Made by a clerk's "duplicate": not ours.
    copied: bool = False
    #: Fields that a clerk changed: the value, and when (in looks and changes, not in time).
    clerks: dict[str, tuple[Any, int]] = field(default_factory=dict)


@dataclass
class World:
    """Clock and target."""

    now_ms: int = 1_000_000
    documents: list[Document] = field(default_factory=list)
    #: ``(when, what)``: writes the server still works on after the caller gave up.
    pending: list[tuple[int, Callable[[], Any]]] = field(default_factory=list)
    #: Somebody changed our password.
    locked_out: bool = False
    #: Counts looks and changes, so that what came first can be told.
    moment: int = 0
    wrongs: list[str] = field(default_factory=list)
    #: What others do while one process stands still.
    meanwhile: Callable[[], None] = lambda: None

    def pass_time(self, ms: int) -> None:
        until = self.now_ms + ms
        while self.pending and min(when for when, _ in self.pending) <= until:
            self.pending.sort(key=lambda one: one[0])
            when, what = self.pending.pop(0)
            self.now_ms = max(self.now_ms, when)
            what()
        self.now_ms = max(self.now_ms, until)

    def tick(self) -> int:
        self.moment += 1
        return self.moment

    def of(self, key: str, *states: str) -> list[Document]:
        return [one for one in self.documents if one.key == key and one.state in states]

    def live(self, key: str) -> list[Document]:
        return self.of(key, "live")

    def create(self, key: str, content: Mapping[str, Any], state: str = "live", copied: bool = False) -> Document:
        made = Document(str(len(self.documents) + 1), key, dict(content), state, copied)
        self.documents.append(made)
        return made

    def update(self, id: str, fields: Mapping[str, Any], planned_at: int) -> None:
        found = next(one for one in self.documents if one.id == id)
        for name, value in fields.items():
            theirs = found.clerks.get(name)
            if theirs and theirs[1] < planned_at:
                self.wrongs.append(f"a clerk's {name} was overwritten: {theirs[0]!r} by {value!r}")
            # a change between our look and our write is beyond anybody's reach
            found.clerks.pop(name, None)
            found.content[name] = value

    def decide(self, draft: Document, approve: bool) -> None:
        """Approval turns a draft into a document with another id."""
        draft.state = "approved" if approve else "refused"
        if approve:
            self.create(draft.key, draft.content)


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
    #: Where the look-up, the lease or the announcement is switched off, to prove that it matters.
    looks_up: bool = True
    minds_lease: bool = True
    announces: bool = True
    calm: bool = False
    #: How often a process stands still beyond its lease.
    pauses: float = 0.05

    def dies(self) -> bool:
        return not self.calm and self.chance.random() < 0.05

    def wait_ms(self) -> int:
        return 0 if self.calm else self.chance.choice([0, 0, 0, 10, 500, 3000])

    def pause_ms(self) -> int:
        """A process that stands still beyond its lease, where no write is on its way."""
        return self.chance.choice([12_000, 25_000]) if not self.calm and self.chance.random() < self.pauses else 0

    def write(self) -> str:
        if self.calm:
            return "ok"
        return self.chance.choices(["ok", "refused", "odd", "reset_after", "reset_later", "lost"], [8, 1, 1, 1, 2, 1])[
            0
        ]

    def state(self, key: str) -> str:
        return "draft" if not self.calm and self.chance.random() < 0.15 else "live"


class ThingTarget(Target[Thing]):
    entity: ClassVar[str] = "thing"

    @property
    def world(self) -> World:
        return self.agent.world

    def find(self, records: Sequence[Delivery[Thing]]) -> Mapping[str, Finding]:
        self.agent.step()
        self.agent.ask()
        found = {record.id: self._finding(record) for record in records}
        self.agent.pause()
        return found

    def _finding(self, record: Delivery[Thing]) -> Finding:
        if not self.agent.script.looks_up:
            known = [one for one in self.world.documents if one.id == record.tgt_id]
            return self._found(known[0]) if known else Absent(self._facts(record))
        live = self.world.live(record.key)
        if len(live) > 1:
            return Several([self._found(one) for one in live])
        for states in (("live",), ("draft",), ("cancelled", "refused")):
            if there := self.world.of(record.key, *states):
                return self._found(there[-1])
        return Absent(self._facts(record))

    def _found(self, one: Document) -> Found:
        state: Any = "cancelled" if one.state == "refused" else one.state
        return Found(one.id, state, dict(one.content), document=self.world.tick())

    def _facts(self, record: Delivery[Thing]) -> dict[str, Any]:
        first = f"{record.source}:{record.canonical.after}"
        return {"lacks": record.canonical.after and not self.world.of(first, "live", "cancelled")}

    def plan(self, record: Delivery[Thing], finding: Finding) -> Plan:
        wanted = {"note": record.canonical.note, "amount": str(record.canonical.amount)}
        if isinstance(finding, Absent):
            if record.canonical.cancelled:
                return Plan("skip", "cancelled before it was ever sent")
            if finding.facts["lacks"]:
                on = f"thing:books:{record.source}:{record.canonical.after}"
                return Plan("wait", f"{record.canonical.after} is not there yet", on=(on,))
            return Plan("create", content=wanted)
        assert isinstance(finding, Found)
        if finding.state == "draft":
            return Plan("wait", "waits for approval", until_s=10, tgt_id=finding.tgt_id)
        if finding.state == "cancelled":
            if record.canonical.cancelled:
                return Plan("nothing", content=dict(finding.content), tgt_id=finding.tgt_id)
            return Plan("reject", f"found cancelled: {finding.tgt_id}")
        if record.canonical.cancelled:
            return Plan("cancel", content=dict(finding.content), tgt_id=finding.tgt_id)
        differing = changes(wanted, finding.content, record.sent, record.attempts)
        if not differing.send:
            return Plan("nothing", content=wanted, tgt_id=finding.tgt_id)
        return Plan("update", content=wanted, body=differing.send, tgt_id=finding.tgt_id, document=finding.document)

    def write(self, record: Delivery[Thing], plan: Plan) -> Outcome:
        script = self.agent.script
        self.agent.step()
        self.agent.ask()
        match script.write():
            case "refused":
                raise Retryable("refused")
            case "odd":
                raise Misconfigured("may not, this once")
            case "lost":
                raise InDoubt("reset before it arrived")
            case "reset_later":
                late_ms = script.chance.randrange((DEADLINE_S + SERVER_MAY_WORK_S) * 1000)
                self.world.pending.append((self.world.now_ms + late_ms, lambda: self._commit(record, plan)))
                self.world.pass_time(script.chance.choice([0, DEADLINE_S * 1000]))
                raise InDoubt("reset")
            case "reset_after":
                self._commit(record, plan)
                raise InDoubt("reset")
        made = self._commit(record, plan)
        self.agent.step()
        self.agent.pause()
        if made.state == "draft":
            return Outcome.waiting("waits for approval", until_s=10, tgt_id=made.id)
        return Outcome.written(made.id, sent=dict(plan.content))

    def _commit(self, record: Delivery[Thing], plan: Plan) -> Document:
        if plan.action == "create":
            return self.world.create(record.key, plan.content, self.agent.script.state(record.key))
        found = next(one for one in self.world.documents if one.id == plan.tgt_id)
        if plan.action == "cancel":
            found.state = "cancelled"
        elif found.state == "live":
            self.world.update(found.id, plan.body, plan.document)
        return found


class ThingAgent(Agent):
    system = "thing"
    side = "backoffice"
    settings_model = NoSettings

    def __init__(self, world: World, script: Script) -> None:
        super().__init__(Connection("books", "thing", "http://nowhere", deadline_s=DEADLINE_S))
        self.world = world
        self.script = script
        self._mappings["thing"] = ThingTarget(self)

    def probe(self) -> None:
        self.ask()

    def ask(self) -> None:
        if self.world.locked_out:
            raise Misconfigured("wrong password")

    def pause(self) -> None:
        if pause_ms := self.script.pause_ms():
            self.world.pass_time(pause_ms)
            self.world.meanwhile()

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
    misconfigured: str


class Desk:
    """The core as ``push`` reaches it, without HTTP between; reports are kept, to be told when the test wants it."""

    def __init__(self, core: Core, script: Script) -> None:
        self.core = core
        self.script = script
        self.reported: list[Worked] = []

    def claim(self, connection: str, lane: str, limit: int = 0) -> dict[str, Any]:
        claimed = claim.claim(self.core, connection, lane, limit)
        return wire.claimed(claimed) if claimed else {"claim_id": None}

    def announce(self, claim_id: str, contents: Mapping[str, Mapping[str, Any]]) -> None:
        if not self.script.announces:
            return
        if self.script.minds_lease:
            claim.announce(self.core, claim_id, contents)
            return
        found = self.core.store.claims.get(claim_id)
        assert found
        self.core.store.claims.save(found, replace(found, intents=json.dumps(contents), rev=found.rev + 1))

    def report(self, claim_id: str, outcomes: Sequence[tuple[str, int, Outcome]], misconfigured: str = "") -> None:
        self.reported.append(Worked(claim_id, [Reported(*one) for one in outcomes], misconfigured))


class OneAgent:
    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def get(self, name: str) -> Agent:
        return self._agent


class Interrupted:
    """Everything that happens between two writes of one process: before any write of the core another may act."""

    def __init__(self, core: Core, chance: random.Random) -> None:
        self.chance = chance
        self.often = 0.0
        self.act: Callable[[], None] = lambda: None
        self._inside = False
        for documents in (core.store.records, core.store.claims, core.store.connections, core.store.waits):
            for name in ("insert", "save", "delete_as"):
                setattr(documents, name, self._before(getattr(documents, name)))

    def _before(self, write: Callable[..., Any]) -> Callable[..., Any]:
        def interrupted(*arguments: Any) -> Any:
            if self.chance.random() < self.often:
                self.others()
            return write(*arguments)

        return interrupted

    def others(self, times: int = 1) -> None:
        """What others do now; they themselves are not interrupted."""
        if not self._inside:
            with self.undisturbed():
                for _ in range(times):
                    self.act()

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        before, self._inside = self._inside, True
        try:
            yield
        finally:
            self._inside = before


def make_core(world: World, *, quiet_factor: float = 1.0, seed: int = 0) -> Core:
    registry.entities()["thing"] = THING
    store = Store(mongomock.MongoClient(tz_aware=True), "model")
    limits = Limits(lease_ms=LEASE_MS, quiet_factor=quiet_factor)
    core = Core(store, WorldClock(world), Silent(), limits, random.Random(seed))
    books = StoredConnection(
        "books",
        "thing",
        "http://nowhere",
        max_claims=MAX_CLAIMS,
        claim_size=2,
        deadline_s=DEADLINE_S,
        server_may_work_s=SERVER_MAY_WORK_S,
    )
    store.connections.insert(books)
    store.flows.insert(Flow("things", "thing", "shop", "books", start_from_ms=1))
    return core


def id_of(src_id: str) -> str:
    return record_id("thing", "shop", "books", src_id)


def put(core: Core, src_id: str, thing: Thing, began_ms: int) -> str:
    """The source hands a thing in whose reading began at ``began_ms``."""
    item = StageItem(src_id, began_ms, thing.model_dump(mode="json"))
    return stage.stage(core, entity="thing", source="shop", target="books", items=[item], read_began_ms=began_ms)[0]


def work(core: Core, world: World, script: Script) -> Worked | None:
    """A worker takes a claim and delivers it. None where there was nothing, or where it died on the way."""
    desk = Desk(core, script)
    agents = OneAgent(ThingAgent(world, script))
    # a worker that does not mind its lease thinks that no time passes
    started = world.now_ms
    monotonic = (lambda: world.now_ms / 1000) if script.minds_lease else (lambda: started / 1000)
    try:
        push(desk, agents, "books", LANE, lambda: None, monotonic)  # type: ignore[arg-type]
    except Killed:
        return None
    return desk.reported[0] if desk.reported else None


def tell(core: Core, worked: Worked) -> dict[str, str]:
    return dict(report.report(core, worked.claim_id, worked.outcomes, worked.misconfigured))


def settle(core: Core, world: World, script: Script, rounds: int = 900) -> None:
    """A calm world: ticks, workers and clerks who decide, until nothing moves any more."""
    for _ in range(rounds):
        tick.tick(core)
        for _ in range(20):
            worked = work(core, world, script)
            if worked is None:
                break
            tell(core, worked)
        for draft in [one for one in world.documents if one.state == "draft"]:
            world.decide(draft, approve=True)
        moving = unsettled(core)
        if not moving and not world.pending:
            return
        due = min((one.due_ms for one in moving if one.due_ms > world.now_ms), default=0)
        # nothing happens before the first is due, but leases end and late commits arrive
        world.pass_time(max(200, min(due - world.now_ms, 1000)))
    raise AssertionError(f"still on their way: {[(r.id, r.tx_status, r.why, r.history[-3:]) for r in unsettled(core)]}")


def unsettled(core: Core) -> list[Record]:
    moving = (TxStatus.WAITING, TxStatus.PROCESSING, TxStatus.IN_DOUBT)
    return [one for one in core.store.records.find({}) if one.tx_status in moving or one.due_ms < NEVER_MS]
