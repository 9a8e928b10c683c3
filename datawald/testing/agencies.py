"""The promises of DataWald, as tests that any agency can be put to.

A test module subclasses :class:`TargetConformance` for an entity its system takes, :class:`SourceConformance` for one it
gives. It needs a fixture ``system``: the system under test, as empty as after installing, anew for every test; inside the
class it is ``self.system``. What a subclass has to give raises ``NotImplementedError``; what it may give is skipped with a
word about what then stays unproven.

Records live by the core's own rules (:mod:`datawald.testing.life`), agencies are built anew for every claim, as if each
were worked by another process, and what stands in the system is asked past the agency: ``count``.
"""

# ruff: noqa: S101 - these are tests: pytest shows what an assert saw

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

import pytest

from datawald import http
from datawald.domain import registry
from datawald.domain.agent import (
    Absent,
    Agent,
    Delivered,
    Delivery,
    Extracted,
    Finding,
    FlowView,
    Found,
    Lease,
    Page,
    Plan,
    Target,
    Unknown,
)
from datawald.domain.connection import Connection
from datawald.domain.entity import Canonical
from datawald.domain.errors import Conflict, DataWaldError, Misconfigured, NotFound, Retryable
from datawald.domain.outcome import Outcome, OutcomeKind
from datawald.domain.record import TxStatus
from datawald.testing.life import Life
from datawald.testing.plain import assert_plain, through_json
from datawald.testing.wire import Wire, silence

#: A claim's lease in these tests, seconds: longer than any of them.
LEASE_S = 600.0
#: A record that is not delivered after so many undisturbed claims never will be.
MOST_CLAIMS = 4
#: Requests of one delivery or one extraction that are cut one after another, at most.
MOST_CUTS = 25

#: "It is there": what may be said only of what is there.
_THERE = (OutcomeKind.WRITTEN, OutcomeKind.UNCHANGED)
#: "I wrote nothing": what may be said only where nothing was written.
_NOT_THERE = (OutcomeKind.RETRYABLE, OutcomeKind.NOT_TRIED, OutcomeKind.SKIPPED)


class Conformance:
    """What both halves share: the agency, how to reach its system, and the system's accidents."""

    #: The agency or agent under test.
    agency: ClassVar[type[Agent]]
    #: The entity's name.
    entity: ClassVar[str]
    #: The fixture ``system``.
    system: Any

    # what a test module gives

    def connection(self) -> Connection:
        """A connection to :attr:`system`, secrets in the clear, with a short ``deadline_s``."""
        raise NotImplementedError(f"{type(self).__name__}.connection")

    # what it may give

    def refuse_connection(self) -> None:
        """From now on the system answers no request. By default the wire is cut, for connectors on ``HttpSession``."""
        self.wire.cut(1, worked=False)

    def recover(self) -> None:
        """The system answers again, and holds what it held."""
        self.wire.mend()

    def wrong_password(self) -> Connection:
        """A connection that the system does not let in. By default every secret stands backwards: mistyped, its length right."""
        connection = self.connection()
        if not connection.secrets:
            pytest.skip("the connection has no secrets: that a wrong one pauses it is not proven")
        wrong = {name: _mistyped(secret) for name, secret in connection.secrets.items()}
        return replace(connection, secrets=wrong)

    # what the tests work with

    #: Every request of the agency passes through it.
    wire: Wire

    @pytest.fixture(autouse=True)
    def _under_test(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        # a read that fails is tried again at once: how long to wait is the session's matter, not the agency's
        monkeypatch.setattr(http, "BACKOFF_S", 0.001)
        self.system = request.getfixturevalue("system")
        self.wire = Wire()
        with self.wire.tapped():
            yield

    def agent(self, connection: Connection | None = None) -> Any:
        """The agency as another process would build it, remembering nothing."""
        return self.agency(connection or self.connection())

    def needs_wire(self, what: str) -> None:
        if not self.wire.requests:
            pytest.skip(f"this connector does not speak through datawald.http.HttpSession: {what} is not proven")


class TargetConformance(Conformance):
    """An entity that the system takes: whatever happens on the way, every record has exactly one effect."""

    #: The connection that records come from: the first half of their business key.
    source: ClassVar[str] = "source"

    # what a test module gives

    def sample(self, number: int) -> Canonical:
        """The canonical record of that number, ready to be delivered; another number is another record.

        Asked once per number and test. What the record needs in the system (an order to be shipped) is made here.
        """
        raise NotImplementedError(f"{type(self).__name__}.sample")

    def src_id(self, canonical: Any) -> str:
        """The source's id of a sample."""
        raise NotImplementedError(f"{type(self).__name__}.src_id")

    def count(self, key: str) -> int:
        """How many live documents the system holds under a business key, asked past the agency and its connector."""
        raise NotImplementedError(f"{type(self).__name__}.count")

    # what it may give

    def changed(self, canonical: Any) -> Canonical:
        """The same record after a change that the target is to take over."""
        pytest.skip("no changed() is given: that a change updates and creates nothing is not proven")

    def refused(self) -> Canonical:
        """A record that cannot be delivered, for what it says itself."""
        pytest.skip("no refused() is given: that a bad record does not stop its batch is not proven")

    def reset_after_commit(self) -> None:
        """The system works the next write to its end, and its answer is lost."""
        pytest.skip("no reset_after_commit() is given: that a lost answer is in doubt is not proven")

    def server_error_on_write(self) -> None:
        """The next write is answered with a server error, and not worked."""
        pytest.skip("no server_error_on_write() is given: that a server error is in doubt is not proven")

    # what the tests work with

    def life(self, number: int) -> Life:
        """Sample ``number``, staged."""
        return self._staged(self.sample(number))

    def _staged(self, canonical: Canonical) -> Life:
        return Life(self.entity, self.source, self.connection().name, self.src_id(canonical), canonical)

    def deliver(self, *lives: Life) -> list[Outcome]:
        """One claim of these records, worked and reported as the worker does it; what it may not do is checked always."""
        records = [life.claimed() for life in lives]
        announced: dict[str, Any] = {}
        try:
            done = self.agent().deliver(records, Lease(time.monotonic(), LEASE_S, _keeping(announced)))
        except Retryable as error:
            done = Delivered({record.id: Outcome.retryable(str(error)) for record in records})
        assert not done.misconfigured, f"the connection is called wrong: {done.misconfigured}"
        assert set(done.outcomes) == {record.id for record in records}, "every record of a claim has one outcome"
        for life in lives:
            outcome = done.outcomes[life.id]
            _assert_tellable(outcome)
            if outcome.kind is OutcomeKind.WRITTEN:
                assert life.id in announced, f"{life.id} was written without being announced"
                assert outcome.sent == announced[life.id], "what is said to be sent is not what was announced"
            life.settle(outcome, announced.get(life.id))
        return [done.outcomes[life.id] for life in lives]

    def until_delivered(self, life: Life) -> Outcome:
        """Claims as long as the record is not delivered, the system being well."""
        for _ in range(MOST_CLAIMS):
            (outcome,) = self.deliver(life)
            if life.status is TxStatus.DELIVERED:
                return outcome
        raise AssertionError(f"{life.id} is not delivered after {MOST_CLAIMS} claims: {outcome.kind}: {outcome.why}")

    def find(self, *lives: Life) -> Mapping[str, Finding]:
        return self.target().find([_peeked(life) for life in lives])

    def target(self) -> Target[Any]:
        target: Target[Any] = self.agent().target(self.entity)
        return target

    # --- one effect ---------------------------------------------------------------------------------------------------

    def test_a_first_delivery_makes_one_document_that_is_found_again(self) -> None:
        """A record that was never delivered makes exactly one document, found under its business key afterwards.

        Without it nothing else is worth proving; and a document that is not found again is made twice one day.
        """
        life = self.life(1)
        assert self.count(life.key) == 0, "the system is to be empty: does count() ask for the right thing?"
        (outcome,) = self.deliver(life)
        assert outcome.kind is OutcomeKind.WRITTEN, outcome.why
        assert outcome.tgt_id, "a written record has the target's id"
        assert outcome.sent, "what the target holds of us is the base of every later comparison"
        assert self.count(life.key) == 1
        found = self.find(life)[life.id]
        assert isinstance(found, Found) and found.state == "live", f"it was written, and the look-up says {found}"
        assert found.tgt_id == outcome.tgt_id
        assert _differing(outcome.sent, found) == {}, "the look-up reads other values than were sent"

    def test_the_same_again_changes_nothing(self) -> None:
        """Delivering what the target holds already is "unchanged": no write, no second document, the same id.

        Messages come twice, people replay: the promise of one effect rests on this.
        """
        life = self.life(1)
        first = self.until_delivered(life)
        for _ in range(2):
            again = life.claimed()
            announced: dict[str, Any] = {}
            done = self.agent().deliver([again], Lease(time.monotonic(), LEASE_S, _keeping(announced)))
            outcome = done.outcomes[life.id]
            assert outcome.kind is OutcomeKind.UNCHANGED, f"{outcome.kind}: {outcome.why}"
            assert outcome.tgt_id == first.tgt_id
            assert not announced, "nothing is sent, so nothing is announced"
            _assert_tellable(outcome)
            life.settle(outcome, None)
        assert self.count(life.key) == 1

    def test_a_record_nobody_remembers_is_adopted(self) -> None:
        """A core that lost its store delivers everything once more: the documents are adopted, none is made twice."""
        canonical = self.sample(1)
        first = self.until_delivered(self._staged(canonical))
        forgotten = self._staged(canonical)
        (outcome,) = self.deliver(forgotten)
        assert outcome.kind in _THERE and outcome.tgt_id == first.tgt_id, f"{outcome.kind}: {outcome.why}"
        assert self.count(forgotten.key) == 1

    def test_a_change_is_an_update(self) -> None:
        """New content changes the document that is there. It never makes another one."""
        canonical = self.sample(1)
        changed = self.changed(canonical)
        life = self._staged(canonical)
        first = self.until_delivered(life)
        before = dict(first.sent or {})
        life.stage(changed)
        assert life.status is TxStatus.WAITING, "changed() changed nothing that the target receives"
        (outcome,) = self.deliver(life)
        assert outcome.kind is OutcomeKind.WRITTEN, f"{outcome.kind}: {outcome.why}"
        assert outcome.tgt_id == first.tgt_id
        assert outcome.sent != before, "the change is not in what was sent"
        assert self.count(life.key) == 1
        (again,) = self.deliver(life)
        assert again.kind is OutcomeKind.UNCHANGED, f"{again.kind}: {again.why}"

    # --- looking up ---------------------------------------------------------------------------------------------------

    def test_absent_is_said_only_of_what_is_not_there(self) -> None:
        """The look-up of a batch names every record, and tells those that are there from those that are not."""
        there, elsewhere = self.life(1), self.life(2)
        self.until_delivered(there)
        findings = self.find(there, elsewhere)
        assert set(findings) == {there.id, elsewhere.id}, "the look-up names every record it was asked about"
        assert isinstance(findings[there.id], Found), f"it is there: {findings[there.id]}"
        assert isinstance(findings[elsewhere.id], Absent), f"it is not there: {findings[elsewhere.id]}"

    def test_a_look_up_that_breaks_off_is_no_absence(self) -> None:
        """Whichever request of a look-up fails: the answer is Retryable or Unknown. A half answer never says Absent.

        "Absent" is the permission to create. Said of a document that is there, it makes the double.
        """
        life = self.life(1)
        self.until_delivered(life)
        for number in range(1, MOST_CUTS):
            self.wire.cut(number, worked=False)
            try:
                finding = self.find(life)[life.id]
            except Retryable:
                continue
            finally:
                self.wire.mend()
            if not self.wire.was_cut:
                break
            assert isinstance(finding, Unknown), f"request {number} failed, and the look-up says {finding}"
        self.needs_wire("that a look-up which breaks off says nothing")

    def test_a_plan_asks_nobody(self) -> None:
        """Planning is pure: no request, no file, and the same answer twice. So a dry run shows what would be done."""
        there, elsewhere = self.life(1), self.life(2)
        self.until_delivered(there)
        records = [_peeked(there), _peeked(elsewhere)]
        target = self.target()
        findings = target.find(records)
        for record in records:
            first = target.plan(record, findings[record.id])  # once aloud: it may import what it needs
            with silence() as heard:
                second = target.plan(record, findings[record.id])
            assert not heard, f"while planning: {', '.join(heard)}"
            assert _as_told(first) == _as_told(second), "planning twice gives two plans"
            assert_plain(dict(first.content), "plan.content")

    def test_a_rehearsal_writes_nothing(self) -> None:
        """A dry run says what would be done, and nothing is written anywhere."""
        life = self.life(1)
        plan = self.agent().rehearse([_peeked(life)])[life.id]
        assert plan.action == "create", f"{plan.action}: {plan.why}"
        assert self.count(life.key) == 0, "the rehearsal wrote"
        (outcome,) = self.deliver(life)
        assert outcome.sent == through_json(dict(plan.content)), "what was sent is not what the rehearsal showed"

    # --- accidents ----------------------------------------------------------------------------------------------------

    def test_a_system_that_is_down_is_tried_again(self) -> None:
        """A system that does not answer: Retryable before the first write, nothing written, delivered once it is back."""
        life = self.life(1)
        record = life.claimed()
        self.refuse_connection()
        try:
            with pytest.raises(Retryable):
                self.agent().deliver([record], Lease(time.monotonic(), LEASE_S, _keeping({})))
                self.needs_wire("that a system which is down is tried again")
        finally:
            self.recover()
        assert self.count(life.key) == 0
        life.settle(Outcome.retryable("it did not answer"), None)
        self.until_delivered(life)
        assert self.count(life.key) == 1

    def test_a_lost_answer_is_in_doubt_and_then_adopted(self) -> None:
        """A write whose answer is lost may have happened: in doubt. The next claim looks and adopts; it makes no other."""
        life = self.life(1)
        self.reset_after_commit()
        (outcome,) = self.deliver(life)
        assert outcome.kind is OutcomeKind.IN_DOUBT, f"the answer was lost, and it is {outcome.kind}: {outcome.why}"
        assert life.status is TxStatus.IN_DOUBT
        assert self.count(life.key) == 1, "reset_after_commit() is to lose the answer, not the write"
        self.until_delivered(life)
        assert self.count(life.key) == 1

    def test_a_server_error_on_a_write_is_in_doubt(self) -> None:
        """A server that fails while writing may have written: in doubt. The next claim looks, and makes what is missing."""
        life = self.life(1)
        self.server_error_on_write()
        (outcome,) = self.deliver(life)
        assert outcome.kind is OutcomeKind.IN_DOUBT, f"the server failed, and it is {outcome.kind}: {outcome.why}"
        self.until_delivered(life)
        assert self.count(life.key) == 1

    @pytest.mark.parametrize("worked", [True, False], ids=["answer lost", "refused"])
    def test_whenever_the_system_goes_away_nothing_is_doubled_or_lost(self, worked: bool) -> None:
        """The system goes away at the first request of a claim, at the second …: each record has one document in the end.

        And what is said meanwhile is true: "delivered" only of what is there, "nothing was written" only where nothing is.
        """
        for number in range(1, MOST_CUTS):
            lives = [self.life(100 + 2 * number + more) for more in range(2)]
            self.wire.cut(number, worked=worked)
            outcomes = self.deliver(*lives)
            self.wire.mend()
            for life, outcome in zip(lives, outcomes, strict=True):
                there = self.count(life.key)
                said = f"gone at request {number}: {there} there, and it is {outcome.kind}: {outcome.why}"
                assert there <= 1, said
                assert there == 1 or outcome.kind not in _THERE, said
                assert there == 0 or outcome.kind not in _NOT_THERE, said
                self.until_delivered(life)
                assert self.count(life.key) == 1, f"gone at request {number}"
            if not self.wire.was_cut:
                break
        self.needs_wire("that it may go away at any request")

    @pytest.mark.parametrize("worked", [True, False], ids=["answer lost", "refused"])
    def test_whenever_the_system_goes_away_a_change_arrives(self, worked: bool) -> None:
        """The system goes away at any request of an update: the change arrives in the end, and nothing is made anew."""
        for number in range(1, MOST_CUTS):
            canonical = self.sample(100 + number)
            changed = self.changed(canonical)
            life = self._staged(canonical)
            first = self.until_delivered(life)
            life.stage(changed)
            self.wire.cut(number, worked=worked)
            (outcome,) = self.deliver(life)
            self.wire.mend()
            said = f"gone at request {number}: {outcome.kind}: {outcome.why}"
            after = self.until_delivered(life)
            assert after.tgt_id == first.tgt_id and self.count(life.key) == 1, said
            assert after.sent and after.sent != first.sent, f"the change is lost; {said}"
            found = self.find(life)[life.id]
            assert isinstance(found, Found) and _differing(after.sent, found) == {}, said
            if not self.wire.was_cut:
                break
        self.needs_wire("that it may go away at any request of an update")

    def test_a_worker_that_dies_doubles_nothing(self) -> None:
        """A worker that wrote and died before its report leaves a lease that ends: its successor adopts what it made."""
        life = self.life(1)
        record = life.claimed()
        announced: dict[str, Any] = {}
        done = self.agent().deliver([record], Lease(time.monotonic(), LEASE_S, _keeping(announced)))
        life.expire(announced.get(life.id))
        assert life.status is TxStatus.IN_DOUBT
        after = self.until_delivered(life)
        assert after.tgt_id == done.outcomes[life.id].tgt_id
        assert self.count(life.key) == 1

    def test_a_wrong_password_is_misconfigured_and_stays_secret(self, caplog: pytest.LogCaptureFixture) -> None:
        """Wrong credentials are the connection's fault, not the record's: Misconfigured, nothing written, no secret told."""
        life = self.life(1)
        caplog.set_level(logging.DEBUG)
        connection = self.wrong_password()
        agent = self.agent(connection)
        record = life.claimed()
        said: list[object] = [agent, connection]
        try:
            done = agent.deliver([record], Lease(time.monotonic(), LEASE_S, _keeping({})))
        except Misconfigured as error:
            said += _chain(error)
        else:
            assert done.misconfigured, f"it went on with a wrong password: {done.outcomes}"
            said.append(done)
        with pytest.raises(Misconfigured) as refused:
            agent.probe()
        said += _chain(refused.value)
        assert self.count(life.key) == 0
        _assert_secret(connection, said, caplog.text)

    def test_secrets_are_told_nowhere(self, caplog: pytest.LogCaptureFixture) -> None:
        """The secrets of the connection stand in no log line, outcome or representation, even where all is logged."""
        caplog.set_level(logging.DEBUG)
        life = self.life(1)
        outcome = self.until_delivered(life)
        self.agent().probe()
        connection = self.connection()
        said: list[object] = [self.agent(), connection, outcome, life.record]
        life.claimed()
        self.refuse_connection()
        try:
            self.find(life)
        except DataWaldError as error:
            said += _chain(error)
        finally:
            self.recover()
        _assert_secret(connection, said, caplog.text)

    # --- claims -------------------------------------------------------------------------------------------------------

    def test_one_bad_record_does_not_stop_its_batch(self) -> None:
        """A record that cannot be delivered gets its own outcome; its neighbours before and behind it are delivered."""
        bad, before, behind = self._staged(self.refused()), self.life(1), self.life(2)
        outcomes = self.deliver(before, bad, behind)
        assert [outcome.kind for outcome in outcomes[::2]] == [OutcomeKind.WRITTEN] * 2, outcomes
        assert outcomes[1].kind not in _THERE, f"refused() was taken: {outcomes[1]}"
        assert outcomes[1].why, "an operator is told what is wrong with it"
        assert [self.count(life.key) for life in (before, bad, behind)] == [1, 0, 1]

    def test_a_lease_that_is_about_to_end_writes_nothing(self) -> None:
        """No write begins that could outlast the lease: not tried, nothing written, delivered under the next claim."""
        life = self.life(1)
        record = life.claimed()
        agent = self.agent()
        deadline_s = agent.target(self.entity).write_deadline_s
        assert deadline_s >= agent.connection.deadline_s, "a write takes at least the deadline of one request"
        lease = Lease(time.monotonic(), deadline_s * 0.9, _keeping({}))
        outcome = agent.deliver([record], lease).outcomes[life.id]
        assert outcome.kind is OutcomeKind.NOT_TRIED, f"{outcome.kind}: {outcome.why}"
        assert self.count(life.key) == 0
        life.settle(outcome, None)
        self.until_delivered(life)
        assert self.count(life.key) == 1

    def test_nothing_is_written_that_was_not_announced(self) -> None:
        """The core refuses the announcement, since the claim is no longer this worker's: nothing is written."""
        life = self.life(1)
        record = life.claimed()

        def refuse(contents: Mapping[str, Mapping[str, Any]]) -> None:
            assert self.count(life.key) == 0, "it was written before it was announced"
            raise Conflict("the claim has ended")

        with pytest.raises(Conflict):
            self.agent().deliver([record], Lease(time.monotonic(), LEASE_S, refuse))
        assert self.count(life.key) == 0


class SourceConformance(Conformance):
    """An entity that the system gives: everything is read, once is enough, and what cannot be read is told."""

    #: The connection that records go to.
    target: ClassVar[str] = "target"
    #: Settings of the flow.
    flow_settings: ClassVar[Mapping[str, Any]] = {}
    #: Records of one page, at most. Configure :meth:`connection` so that it is small: more is made than one page holds.
    most_per_page: ClassVar[int] = 100

    # what a test module gives

    def make(self, number: int) -> str:
        """Make one more thing in the system that the flow is to read; its ``src_id``.

        Called with 1, 2, 3 …; each is to be changed at a later time, by the system's clock, than the one before.
        """
        raise NotImplementedError(f"{type(self).__name__}.make")

    # what it may give

    def change(self, src_id: str) -> None:
        """Change a thing so that the target has to know."""
        pytest.skip("no change() is given: that a change comes again, with another hash, is not proven")

    def unmappable(self) -> str:
        """Make a thing that has no canonical form; its ``src_id``."""
        pytest.skip("no unmappable() is given: that an odd thing does not stop its page is not proven")

    # what the tests work with

    @property
    def flow(self) -> FlowView:
        return FlowView("flow_under_test", self.entity, self.connection().name, self.target, dict(self.flow_settings))

    def some(self) -> list[str]:
        """More things than two pages hold; their ids."""
        return [self.make(number) for number in range(1, 2 * self.most_per_page + 2)]

    def long_ago(self) -> datetime:
        clock: datetime = self.agent().source(self.entity).clock()
        return clock - timedelta(days=2)

    def pages(self, since: datetime | None = None, cursor: dict[str, Any] | None = None) -> list[Page[Any]]:
        """A whole extraction by a process of its own."""
        return list(self.agent().extract(self.flow, since or self.long_ago(), cursor))

    def items(self, since: datetime | None = None, cursor: dict[str, Any] | None = None) -> list[Extracted[Any]]:
        return [item for page in self.pages(since, cursor) for item in page.items]

    def by_ids(self, src_ids: Sequence[str]) -> list[Extracted[Any]]:
        return [item for page in self.agent().extract_ids(self.flow, src_ids) for item in page.items]

    # --- everything, in bounded pages ---------------------------------------------------------------------------------

    def test_everything_is_read_in_bounded_pages(self) -> None:
        """Every thing is read, once where nothing changes meanwhile; no page is longer than it may be.

        Nothing holds all records in memory: an extraction of millions is as many small steps.
        """
        made = self.some()
        pages = self.pages()
        read = [item.src_id for page in pages for item in page.items]
        assert sorted(read) == sorted(made)
        sizes = [len(page.items) for page in pages]
        assert max(sizes) <= self.most_per_page, f"pages of {sizes}"
        assert [page.more for page in pages] == [True] * (len(pages) - 1) + [False], "the last page says that it is"

    def test_an_extraction_resumes_from_every_cursor(self) -> None:
        """A cursor is plain JSON, and going on from it gives exactly the rest: a worker may die between any two pages."""
        self.some()
        pages = self.pages()
        whole = [item.src_id for page in pages for item in page.items]
        read: list[str] = []
        for page in pages:
            assert_plain(page.cursor, "cursor")
            read += [item.src_id for item in page.items]
            if page.more:
                rest = self.items(cursor=through_json(page.cursor))
                assert read + [item.src_id for item in rest] == whole, f"resumed from {page.cursor}"

    def test_what_is_older_is_left_out(self) -> None:
        """``since`` is a closed range: what changed before it is not read, what changed at that moment is."""
        older, newer = self.make(1), self.make(2)
        stamps = {item.src_id: item.stamp for item in self.items()}
        assert stamps[older] < stamps[newer], "make() is to make each at a later time than the one before"
        assert [item.src_id for item in self.items(since=stamps[newer])] == [newer]

    def test_named_records_are_the_same_records(self) -> None:
        """Read by its id, a record is the one that the extraction read; an id that nobody has is left out."""
        made = self.some()
        extracted = {item.src_id: item for item in self.items()}
        named = self.by_ids([*made, "no-such-id"])
        assert sorted(item.src_id for item in named) == sorted(made)
        for item in named:
            assert item.canonical is not None, item.problem
            assert item.canonical.content_hash() == _hash(extracted[item.src_id]), item.src_id

    # --- what is read -------------------------------------------------------------------------------------------------

    def test_reading_twice_gives_the_same(self) -> None:
        """The hash of what did not change does not change, whoever reads it: the same hash is not sent again."""
        self.some()
        first, second = ({item.src_id: _hash(item) for item in self.items()} for _ in range(2))
        assert first == second

    def test_canonical_records_survive_their_journey(self) -> None:
        """What is staged is the entity's model as JSON, with the hash it had; the raw payload beside it is JSON too."""
        self.make(1)
        (item,) = self.items()
        canonical = item.canonical
        assert canonical is not None, item.problem
        try:
            model: type[Canonical] = registry.entity(self.entity).model
        except NotFound:  # not installed, only under test
            model = type(canonical)
        assert isinstance(canonical, model)
        staged = canonical.model_dump(mode="json")
        assert_plain(staged, "canonical")
        assert model.model_validate(through_json(staged)).content_hash() == canonical.content_hash()
        json.loads(http.to_json(item.raw))
        assert isinstance(item.src_id, str) and item.src_id

    def test_stamps_have_a_zone(self) -> None:
        """A time without a zone is how records are missed for an hour a year; so is a clock without one."""
        self.make(1)
        for item in self.items():
            assert item.stamp.tzinfo is not None, f"the stamp {item.stamp} has no zone"
        assert self.agent().source(self.entity).clock().tzinfo is not None, "the clock has no zone"

    def test_a_change_comes_again(self) -> None:
        """What changed is read again from its new stamp on, and its hash is another one."""
        src_id = self.make(1)
        (before,) = self.items()
        self.change(src_id)
        found = {item.src_id: item for item in self.items(since=before.stamp)}
        assert src_id in found, "the change is not read"
        assert found[src_id].stamp >= before.stamp
        assert _hash(found[src_id]) != _hash(before), "the hash did not change"

    def test_what_cannot_be_mapped_is_told_and_stops_nothing(self) -> None:
        """An odd thing becomes a record that fails with its reason, and everything around it is read as usual."""
        before = self.make(1)
        odd = self.unmappable()
        behind = self.make(2)
        found = {item.src_id: item for item in self.items()}
        assert set(found) == {before, odd, behind}
        assert found[odd].canonical is None and found[odd].problem, "it has no canonical form, and a reason"
        assert all(found[src_id].canonical is not None for src_id in (before, behind))
        (named,) = self.by_ids([odd])
        assert named.problem == found[odd].problem

    # --- accidents ----------------------------------------------------------------------------------------------------

    def test_a_system_that_goes_away_is_not_an_empty_one(self) -> None:
        """Whichever request of an extraction fails, it raises Retryable: an extraction that ends has read everything.

        Ended early in silence, it would move the cut date past what it never read.
        """
        made = self.some()
        since = self.long_ago()
        for number in range(1, MOST_CUTS):
            self.wire.cut(number, worked=False)
            read: list[str] = []
            try:
                for page in self.agent().extract(self.flow, since, None):
                    read += [item.src_id for item in page.items]
            except Retryable:
                continue
            finally:
                self.wire.mend()
            assert sorted(read) == sorted(made), f"request {number} failed, and the extraction ended well"
            if not self.wire.was_cut:
                break
        self.needs_wire("that an extraction which breaks off says so")

    def test_a_system_that_is_down_is_tried_again(self) -> None:
        """A system that does not answer is Retryable, by extraction and by id."""
        src_id = self.make(1)
        since = self.long_ago()
        self.refuse_connection()
        try:
            for read in (lambda: self.items(since), lambda: self.by_ids([src_id])):
                with pytest.raises(Retryable):
                    read()
                    self.needs_wire("that a system which is down is tried again")
        finally:
            self.recover()
        assert [item.src_id for item in self.items(since)] == [src_id]

    def test_a_wrong_password_is_misconfigured_and_stays_secret(self, caplog: pytest.LogCaptureFixture) -> None:
        """Wrong credentials are the connection's fault: Misconfigured, by reading and by probe, and no secret is told."""
        self.make(1)
        since = self.long_ago()
        caplog.set_level(logging.DEBUG)
        connection = self.wrong_password()
        agent = self.agent(connection)
        said: list[object] = [agent, connection]
        asks: list[Callable[[], object]] = [lambda: list(agent.extract(self.flow, since, None)), agent.probe]
        for ask in asks:
            with pytest.raises(Misconfigured) as refused:
                ask()
            said += _chain(refused.value)
        _assert_secret(connection, said, caplog.text)

    def test_secrets_are_told_nowhere(self, caplog: pytest.LogCaptureFixture) -> None:
        """The secrets of the connection stand in no log line, record or representation, even where all is logged."""
        self.make(1)
        caplog.set_level(logging.DEBUG)
        since = self.long_ago()
        connection = self.connection()
        said: list[object] = [self.agent(), connection, *self.items(since)]
        self.refuse_connection()
        try:
            self.items(since)
        except DataWaldError as error:
            said += _chain(error)
        finally:
            self.recover()
        _assert_secret(connection, said, caplog.text)


# --- shared -----------------------------------------------------------------------------------------------------------


def _keeping(announced: dict[str, Any]) -> Callable[[Mapping[str, Mapping[str, Any]]], None]:
    """An announcement that the core takes, as it arrives there."""

    def announce(contents: Mapping[str, Mapping[str, Any]]) -> None:
        for record_id, content in contents.items():
            assert_plain(dict(content), "content")
            announced[record_id] = through_json(dict(content))

    return announce


def _mistyped(secret: str) -> str:
    """Another secret of the same length, by which it is recognised where it is told."""
    return secret[::-1] if secret[::-1] != secret else f"{secret[1:]}!"


def _peeked(life: Life) -> Delivery[Any]:
    """The record as a claim would hand it over, without one."""
    before = life.record
    try:
        return life.claimed()
    finally:
        life.record = before


def _assert_tellable(outcome: Outcome) -> None:
    """An outcome goes over the wire, into the store and before people's eyes."""
    for name in ("sent", "answered", "links"):
        assert_plain(getattr(outcome, name), name)
    for name in ("why", "tgt_id"):
        assert type(getattr(outcome, name)) is str, f"{name} is no text: {getattr(outcome, name)!r}"
    assert_plain([*outcome.on, *outcome.notes], "on and notes")
    assert outcome.until_s >= 0
    json.dumps(outcome.until_s, allow_nan=False)
    if outcome.kind not in _THERE:
        assert outcome.why, f"{outcome.kind} without a reason: an operator has to be told"


def _differing(sent: Mapping[str, Any], found: Found) -> dict[str, tuple[Any, Any]]:
    """What was sent and what the look-up reads, where they differ. What was left to the target (empty) it may fill in."""
    read = found.content
    return {name: (value, read.get(name)) for name, value in sent.items() if value and read.get(name) != value}


def _hash(item: Extracted[Any]) -> str:
    """What staging compares; a text of its own where there is no canonical record."""
    return item.canonical.content_hash() if item.canonical is not None else f"none: {item.problem}"


def _as_told(plan: Plan) -> tuple[Any, ...]:
    """What an operator sees of a plan, and what is sent."""
    return (
        plan.action,
        plan.why,
        dict(plan.content),
        dict(plan.body),
        plan.tgt_id,
        dict(plan.links),
        plan.on,
        plan.notes,
    )


def _chain(error: BaseException | None) -> list[object]:
    """An error and everything that a traceback of it would show."""
    told: list[object] = []
    while error is not None and len(told) < 40:
        told += [error, str(error), vars(error)]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return told


def _assert_secret(connection: Connection, said: Sequence[object], logged: str) -> None:
    texts = [logged, *(repr(one) for one in said)]
    for name, secret in connection.secrets.items():
        # a shorter one stands in half of all texts
        if len(secret) >= 8:
            told = [text for text in texts if secret in text]
            assert not told, f"the secret {name!r} is told: …{_around(told[0], secret)}…"


def _around(text: str, secret: str) -> str:
    at = text.index(secret)
    return text[max(0, at - 60) : at] + "[the secret]" + text[at + len(secret) :][:30]
