"""The one interface that everything turns on: an agent reads its system, says what is already there, and writes to it.

An **agency** (:class:`Agent` subclassed for one system) holds one **mapping** per entity: a :class:`Source` where the
entity is read from that system, a :class:`Target` where it is written to it. A project's **agent** subclasses the agency
and overrides single steps. None of them touches the core, the store, the broker or another system; the worker's ``pull``
and ``push`` own every loop around them.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, ClassVar, Generic, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from datawald.domain import registry
from datawald.domain.connection import Connection
from datawald.domain.entity import Canonical, Side
from datawald.domain.errors import InDoubt, Misconfigured, Rejected, Retryable
from datawald.domain.outcome import DEFAULT_WAIT_S, Outcome

C = TypeVar("C", bound=Canonical)


# --- reading -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FlowView:
    """What a source may know of the flow it reads for."""

    name: str
    entity: str
    source: str
    target: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Extracted(Generic[C]):
    """One thing read from the source: its canonical form, or why it has none."""

    #: The source's own name for it, unique within entity and connection (``increment_id`` for a Magento order).
    src_id: str
    #: The source's time of last change, UTC.
    stamp: datetime
    #: What was read, as read: kept beside the record for the operator.
    raw: Any
    canonical: C | None
    #: Why no canonical record could be made of ``raw``: the record is staged as failed with this reason.
    problem: str = ""
    #: Why this project does not want the canonical record handed out: the record is staged as ignored with this reason.
    unwanted: str = ""


@dataclass(frozen=True)
class Page(Generic[C]):
    """A bounded number of records, and where the next page begins."""

    items: Sequence[Extracted[C]]
    #: Handed back to ``extract`` to go on after this page; plain JSON.
    cursor: dict[str, Any]
    #: How many records the whole extraction has, where the source says so (for progress bars).
    expected: int | None = None
    #: False on the last page.
    more: bool = True


# --- delivering --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Delivery(Generic[C]):
    """A record as a claim hands it to the target's agent."""

    id: str
    entity: str
    source: str
    target: str
    src_id: str
    version: int
    canonical: C
    #: An earlier attempt may have been written: the find before this write is what prevents a double.
    in_doubt: bool = False
    #: The target's id as last reported, "" before.
    tgt_id: str = ""
    #: The content of the last confirmed delivery, in the target's terms; None before.
    sent: Mapping[str, Any] | None = None
    #: The contents of attempts since then, any of which may have arrived.
    attempts: Sequence[Mapping[str, Any]] = ()
    links: Mapping[str, Any] = field(default_factory=dict)
    #: Why no new document may be made of it, "" where one may: only a doubt about an earlier attempt is to be settled.
    withheld: str = ""

    @property
    def key(self) -> str:
        """The business key, written into the target: it names its source (``mage2_us:100000123``)."""
        return f"{self.source}:{self.src_id}"


@dataclass(frozen=True)
class Found:
    """The target holds a document under the record's key. This settles existence only: content is compared as always."""

    tgt_id: str
    state: Literal["live", "draft", "cancelled"]
    #: The fields we write, with the values the target holds now, in the same terms as ``Plan.content``.
    content: Mapping[str, Any]
    links: Mapping[str, Any] = field(default_factory=dict)
    #: Whatever the mapping's own ``plan`` and ``write`` need further (the raw document, say).
    document: Any = None


@dataclass(frozen=True)
class Several:
    """More than one live document under one key: nothing is written, a person decides."""

    found: Sequence[Found]


@dataclass(frozen=True)
class Absent:
    """A complete answer (all chunks, all pages, drafts first, then documents) holds no such document.

    ``facts`` carries what else the look-up learnt that ``plan`` needs (items known to the target, open quantities).
    """

    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Unknown:
    """The target did not answer completely: nothing may be written on the strength of it."""

    why: str


Finding = Found | Several | Absent | Unknown


@dataclass(frozen=True)
class Plan:
    """What would be done, with what would be sent and why. Pure: a dry run stops here."""

    action: Literal["create", "update", "cancel", "close", "nothing", "skip", "wait", "reject", "missing", "retry"]
    why: str = ""
    #: All the fields the target is to hold of us, in its terms; announced to the core before the first write.
    content: Mapping[str, Any] = field(default_factory=dict)
    #: The body of the write where it differs from ``content`` (an update's changed fields only).
    body: Mapping[str, Any] = field(default_factory=dict)
    tgt_id: str = ""
    links: Mapping[str, Any] = field(default_factory=dict)
    until_s: float = 0
    on: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    #: Whatever ``write`` needs of the finding.
    document: Any = None
    #: What the target will arrive at, in the record's currency, where that is known beforehand: a dry run adds it up.
    total: Decimal | None = None

    @property
    def writes(self) -> bool:
        return self.action in ("create", "update", "cancel", "close")

    def outcome(self) -> Outcome:
        """The outcome of a plan that writes nothing."""
        match self.action:
            case "nothing":
                sent = dict(self.content) or None
                return Outcome.unchanged(self.tgt_id, sent=sent, links=dict(self.links), why=self.why, notes=self.notes)
            case "skip":
                return Outcome.skipped(self.why)
            case "wait":
                wait = self.until_s or DEFAULT_WAIT_S
                return Outcome.waiting(self.why, until_s=wait, on=self.on, tgt_id=self.tgt_id)
            case "reject":
                return Outcome.rejected(self.why)
            case "missing":
                return Outcome.missing(self.why, until_s=self.until_s)
            case "retry":
                return Outcome.retryable(self.why, until_s=self.until_s)
        raise ValueError(f"a plan to {self.action} has no outcome before it is written")


class Lease:
    """How long the claim in hand may still write, counted from *before* it was asked for, on the monotonic clock."""

    def __init__(
        self,
        asked_at: float,
        lease_s: float,
        announce: Callable[[Mapping[str, Mapping[str, Any]]], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ends_at = asked_at + lease_s
        self._announce = announce
        self._monotonic = monotonic
        #: Writes may have begun: nothing is written before it is announced.
        self.announced = False

    def outlives(self, deadline_s: float) -> bool:
        """Whether a request begun now ends, at its total deadline, before the lease does."""
        return self._monotonic() + deadline_s < self._ends_at

    def announce(self, contents: Mapping[str, Mapping[str, Any]]) -> None:
        """Tell the core what is about to be sent, by record id. Raises if the core did not take it: write nothing then."""
        if contents:
            self._announce(contents)
            self.announced = True


@dataclass
class Delivered:
    """What :meth:`Agent.deliver` did: an outcome per record, and what it learnt of the connection."""

    outcomes: dict[str, Outcome]
    #: Why the whole connection seems wrongly configured; "" if it does not.
    misconfigured: str = ""


# --- what an agency writes ---------------------------------------------------------------------------------------------


class EntityMapping:
    """An entity's mapping in one agency. ``self.agent`` gives the connector, the settings and the project's hooks."""

    entity: ClassVar[str]

    def __init__(self, agent: Any) -> None:
        self.agent = agent


class Source(EntityMapping, ABC, Generic[C]):
    """The reading half: turns the system's payloads into canonical records."""

    #: The flow's ``settings``, typed, so that ``datawald config check`` can judge them; None: they are not judged.
    flow_settings_model: ClassVar[type[BaseModel] | None] = None

    @abstractmethod
    def extract(self, flow: FlowView, since: datetime, cursor: dict[str, Any] | None) -> Iterator[Page[C]]:
        """Pages of what changed at or after ``since``, in the order of change, from ``cursor`` where given.

        Only what the flow's target is to have. Raises ``Retryable`` or ``Misconfigured``.
        """

    @abstractmethod
    def extract_ids(self, flow: FlowView, src_ids: Sequence[str]) -> Iterator[Page[C]]:
        """The named records, read now. One that the source does not have is left out."""

    def clock(self) -> datetime:
        """The source's clock, for the cut date. Override where the source's differs from ours."""
        return datetime.now(UTC)


class Target(EntityMapping, ABC, Generic[C]):
    """The writing half. ``find`` once for a batch, then ``plan`` and ``write`` record by record."""

    @property
    def write_deadline_s(self) -> float:
        """Total seconds of one :meth:`write`: none begins that the lease does not outlive by it. Override where a write
        makes several requests; by default it is the connection's deadline of one."""
        return float(self.agent.connection.deadline_s)

    @abstractmethod
    def find(self, records: Sequence[Delivery[C]]) -> Mapping[str, Finding]:
        """What the target holds under each record's key, by record id. Raises ``Retryable`` or ``Misconfigured``."""

    @abstractmethod
    def plan(self, record: Delivery[C], finding: Finding) -> Plan:
        """What is to be done. Pure: no I/O. ``Unknown`` and ``Several`` are settled before it is called."""

    @abstractmethod
    def write(self, record: Delivery[C], plan: Plan) -> Outcome:
        """Does what the plan says and judges by what the target says it holds.

        May raise ``Retryable`` (nothing was written), ``Rejected``, ``InDoubt``, ``Misconfigured``; anything else that
        escapes counts as in doubt.
        """


@dataclass(frozen=True)
class Check:
    """One line of ``datawald doctor``: what was looked at, whether it is well, and how to mend it."""

    name: str
    ok: bool
    detail: str = ""
    fix: str = ""


class Agent(ABC):
    """One configured system. Subclassed by :class:`datawald_frontend.Frontend` and :class:`datawald_backoffice.Backoffice`."""

    #: The system's word: mappings are declared under it (entry point ``datawald.mappings``, name ``<system>.<entity>``).
    system: ClassVar[str]
    #: Which end of a flow the system is.
    side: ClassVar[Side]

    #: The connection's ``settings``, typed; every option documented on the model.
    settings_model: ClassVar[type[BaseModel]]
    #: Names of the secrets a connection of this kind may hold.
    secret_names: ClassVar[tuple[str, ...]] = ()
    #: Further commands, ``datawald <system> <verb> [CONNECTION]``: name of a method without arguments that yields
    #: :class:`Check` lines, and what it does in a sentence. A person asks for them and is asked first: they may write.
    verbs: ClassVar[Mapping[str, str]] = MappingProxyType({})

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.settings = self.checked_settings(connection.name, connection.settings)
        self._mappings: dict[str, EntityMapping] = {}

    @classmethod
    def checked_settings(cls, connection: str, settings: Mapping[str, Any]) -> Any:
        """The settings as ``settings_model``. Raises ``Misconfigured`` naming each wrong field and what is wrong with it."""
        try:
            return cls.settings_model.model_validate(dict(settings))
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
            raise Misconfigured(f"settings: {wrong}", system=connection) from error

    # what a system gives

    def doctor(self) -> Iterator[Check]:
        """Checks of this system that ``datawald doctor`` prints, one by one. Reads only."""
        try:
            self.probe()
        except (Retryable, Misconfigured) as error:
            yield Check("reachable", False, str(error))
        else:
            yield Check("reachable", True, self.connection.endpoint)

    @abstractmethod
    def probe(self) -> None:
        """A cheap authorised read. Returns if the system answers; raises ``Retryable`` or ``Misconfigured`` if not."""

    # what a project overrides

    def enrich(self, entity: str, canonical: Canonical, raw: Any) -> Canonical:
        """The canonical record as this project wants it. Called once per record read; return a changed copy."""
        return canonical

    def unwanted(self, entity: str, canonical: Canonical, raw: Any) -> str:
        """Why this project does not hand the record out; "" to hand it out. Asked in the source's agent after ``enrich``.

        The record is staged as ignored with this reason, so that an operator sees it and why.
        """
        return ""

    def skip(self, entity: str, canonical: Canonical) -> str:
        """Why this project does not want the record delivered; "" to deliver it. Asked in the target's agent."""
        return ""

    # what is the same for every system

    def mapping(self, entity: str) -> EntityMapping:
        """This agency's mapping of ``entity``, its own or one declared by another package."""
        if entity not in self._mappings:
            self._mappings[entity] = registry.mapping(self.system, entity)(self)
        return self._mappings[entity]

    def source(self, entity: str) -> Source[Any]:
        mapping = self.mapping(entity)
        if not isinstance(mapping, Source):
            raise Misconfigured(
                f"{self.system} has no Source for {entity!r}: it cannot be read", system=self.connection.name
            )
        return mapping

    def target(self, entity: str) -> Target[Any]:
        mapping = self.mapping(entity)
        if not isinstance(mapping, Target):
            raise Misconfigured(
                f"{self.system} has no Target for {entity!r}: it cannot be written", system=self.connection.name
            )
        return mapping

    def extract(self, flow: FlowView, since: datetime, cursor: dict[str, Any] | None = None) -> Iterator[Page[Any]]:
        return map(self._enriched(flow.entity), self.source(flow.entity).extract(flow, since, cursor))

    def extract_ids(self, flow: FlowView, src_ids: Sequence[str]) -> Iterator[Page[Any]]:
        return map(self._enriched(flow.entity), self.source(flow.entity).extract_ids(flow, src_ids))

    def rehearse(self, records: Sequence[Delivery[Any]]) -> dict[str, Plan]:
        """A dry run: what would be done with each record, by id. The same code as :meth:`deliver`, stopped after ``plan``."""
        if not records:
            return {}
        target = self.target(records[0].entity)
        unwanted = {
            record.id: why
            for record in records
            if (why := record.withheld or self.skip(record.entity, record.canonical))
        }
        findings = target.find(records)
        plans = {}
        for record in records:
            plan = self._plan(target, record, findings.get(record.id, Unknown("the look-up did not name this record")))
            if record.id in unwanted and (plan.action == "create" or (record.withheld and plan.action == "missing")):
                plan = Plan("skip", unwanted[record.id])
            plans[record.id] = plan
        return plans

    def deliver(self, records: Sequence[Delivery[Any]], lease: Lease) -> Delivered:
        """Find once, then plan and write each, one after another: one outcome per record.

        All ``records`` are of one entity. Raises ``Retryable`` or ``Misconfigured`` only before the first write.
        """
        plans = self.rehearse(records)
        lease.announce({record_id: plan.content for record_id, plan in plans.items() if plan.writes})
        done = Delivered({})
        for record in records:
            plan = plans[record.id]
            if not plan.writes:
                done.outcomes[record.id] = plan.outcome()
            elif done.misconfigured:
                done.outcomes[record.id] = Outcome.not_tried(f"connection paused: {done.misconfigured}")
            else:
                done.outcomes[record.id] = self._write(record, plan, lease, done)
        return done

    def _write(self, record: Delivery[Any], plan: Plan, lease: Lease, done: Delivered) -> Outcome:
        target = self.target(record.entity)
        if not lease.outlives(target.write_deadline_s):
            return Outcome.not_tried("the claim's lease would end before the write's deadline")
        try:
            return target.write(record, plan)
        except Retryable as error:
            return Outcome.retryable(str(error), until_s=error.retry_after or 0)
        except Rejected as error:
            return Outcome.rejected(str(error))
        except Misconfigured as error:
            done.misconfigured = str(error)
            return Outcome.retryable(str(error))
        except InDoubt as error:
            return Outcome.in_doubt(str(error))
        except Exception as error:  # whatever it was, it may have been after the commit
            return Outcome.in_doubt(f"{type(error).__name__} while writing: {error}")

    def _plan(self, target: Target[Any], record: Delivery[Any], finding: Finding) -> Plan:
        if isinstance(finding, Unknown):
            return Plan("retry", f"the look-up was incomplete: {finding.why}")
        if isinstance(finding, Several):
            names = ", ".join(str(found.links.get("doc_num") or found.tgt_id) for found in finding.found)
            return Plan("reject", f"{len(finding.found)} live documents carry the key {record.key}: {names}")
        try:
            return target.plan(record, finding)
        except Rejected as error:
            return Plan("reject", str(error))
        except Exception as error:  # a mapping that cannot cope with this record must not stop its batch
            return Plan("reject", f"the mapping could not plan it: {type(error).__name__}: {error}")

    def _enriched(self, entity: str) -> Callable[[Page[Any]], Page[Any]]:
        def one(item: Extracted[Any]) -> Extracted[Any]:
            if item.canonical is None:
                return item
            try:
                enriched = self.enrich(entity, item.canonical, item.raw)
                unwanted = item.unwanted or self.unwanted(entity, enriched, item.raw)
            except Exception as error:  # a project's hook must not stop the page
                return Extracted(item.src_id, item.stamp, item.raw, None, f"a hook of this project failed: {error}")
            return Extracted(item.src_id, item.stamp, item.raw, enriched, unwanted=unwanted)

        def page(page: Page[Any]) -> Page[Any]:
            return Page([one(item) for item in page.items], page.cursor, page.expected, page.more)

        return page


@dataclass(frozen=True)
class Changes:
    """The outcome of comparing what we want with what the target holds."""

    #: Fields to send: they differ, and the value found there is one of ours.
    send: dict[str, Any]
    #: Fields left alone: somebody changed them in the target. ``name -> value found``.
    kept: dict[str, Any]


def changes(
    wanted: Mapping[str, Any],
    found: Mapping[str, Any],
    sent: Mapping[str, Any] | None,
    attempts: Sequence[Mapping[str, Any]] = (),
) -> Changes:
    """Which fields an update sends: ours that changed, never a clerk's.

    A value found that equals the one last sent, *or that of any attempt since*, is ours. Where nothing was ever confirmed
    (an adopted document) every attempt counts, and without one the found value is somebody's and stays.
    """
    ours = [known for known in (sent, *attempts) if known is not None]
    send: dict[str, Any] = {}
    kept: dict[str, Any] = {}
    for name, value in wanted.items():
        there = found.get(name)
        if there == value:
            continue
        if any(known.get(name) == there for known in ours):
            send[name] = value
        elif sent is not None and sent.get(name) == value:
            continue  # we did not change it; what a clerk did with it is theirs
        else:
            kept[name] = there
    return Changes(send, kept)
