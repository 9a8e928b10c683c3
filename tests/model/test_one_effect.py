"""The rules of one effect as a state machine: whatever dies, waits, comes late or happens in between, one live document
per record, with the newest content and the clerks' own changes; and with a rule switched off the same machine finds what
that rule prevents, else it would test nothing."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from datawald.domain.record import TxStatus
from datawald.usecases import records as people
from datawald.usecases import tick
from tests.model.world import (
    FIELDS,
    MAX_CLAIMS,
    Interrupted,
    Script,
    Thing,
    Worked,
    World,
    id_of,
    make_core,
    put,
    settle,
    tell,
    work,
)

#: "3" always comes after "1": it waits until that is delivered.
KEYS = ("1", "2", "3", "4", "5")


#: What happens, the frequent more often.
ACTS = (
    *["source_changes"] * 3,
    *["another_read_begins", "a_read_arrives", "a_read_arrives", "marked_records_are_read_again"],
    "source_says_the_same_again",
    *["worker_works"] * 6,
    *["worker_reports"] * 5,
    *["time_passes"] * 3,
    *["beat_ticks"] * 3,
    "operator_acts",
    *["clerk_changes_a_field", "clerk_decides", "clerk_duplicates", "clerk_cancels"],
    "somebody_changes_the_password",
)


@dataclass(frozen=True)
class Read:
    """The source was asked; its answer is on the way."""

    key: str
    thing: Thing
    began_ms: int


class OneEffect(RuleBasedStateMachine):
    """Workers, operators, clerks, a source that changes its mind, a target that commits late."""

    quiet_factor: ClassVar[float] = 1.0
    looks_up: ClassVar[bool] = True
    minds_lease: ClassVar[bool] = True
    announces: ClassVar[bool] = True
    compares_versions: ClassVar[bool] = True
    rereads: ClassVar[bool] = True
    pauses: ClassVar[float] = 0.05

    @initialize(seed=st.integers(0, 2**32), often=st.sampled_from([0.0, 0.05, 0.25]))
    def begin(self, seed: int, often: float) -> None:
        self.chance = random.Random(seed)
        self.world = World()
        self.core = make_core(self.world, quiet_factor=self.quiet_factor, seed=seed)
        self.reads: list[Read] = []
        self.unreported: list[Worked] = []
        self.wanted: dict[str, Thing] = {}
        self.dropped: set[str] = set()
        self.copied: set[str] = set()
        self.withdrawn: set[str] = set()
        self.was_locked_out = False
        self.number = 0
        self.between = Interrupted(self.core, self.chance)
        self.between.often = often
        self.between.act = self._something_in_between
        self.world.meanwhile = lambda: self.between.others(times=self.chance.randrange(8))

    def _script(self, calm: bool = False) -> Script:
        return Script(self.chance, self.looks_up, self.minds_lease, self.announces, calm, self.pauses)

    def _rarely(self) -> bool:
        return self.chance.random() < 0.15

    def _something_in_between(self) -> None:
        """What another process does between two writes of this one."""
        acts = [self.beat_ticks, self.worker_works, self.clerk_decides]
        if self.reads:
            acts.append(self.a_read_arrives)
        if self.unreported:
            acts += [self._report_one] * 3
        self.chance.choice(acts)()

    @rule(acts=st.lists(st.sampled_from(ACTS), min_size=10, max_size=40))
    def a_while(self, acts: list[str]) -> None:
        # one rule of many acts: as rules of their own, few of them would meet in one example
        for act in acts:
            getattr(self, act)()
            self.never_two_live_documents()
            self.nobody_overwrites_a_clerk()
            self.nobody_waits_for_what_is_there()
            self.never_more_claims_than_places()
            self.one_odd_answer_pauses_nothing()

    # the source

    def source_changes(self) -> None:
        key = self.chance.choice(KEYS)
        before = self.wanted.get(key)
        if before and before.cancelled:
            return  # a cancelled order stays so
        self.number += 1
        thing = Thing(note=f"note {self.number}", amount=self.number, after="1" if key == "3" else "")
        if before and self.chance.random() < 0.5:  # one field only: the other is none of our business then
            kept = self.chance.choice(FIELDS)
            thing = thing.model_copy(update={kept: getattr(before, kept)})
        if key != "1" and self._rarely():
            thing = thing.model_copy(update={"cancelled": True})
        self.wanted[key] = thing
        self._read(key)  # every change is read, sooner or later
        if self.chance.random() < 0.6:
            self._arrive(self.reads.pop())

    def _read(self, key: str) -> None:
        self.world.pass_time(1)
        self.reads.append(Read(key, self.wanted[key], self.world.now_ms))
        self.world.pass_time(1)

    def _arrive(self, read: Read) -> None:
        put(self.core, read.key, read.thing, read.began_ms)

    def another_read_begins(self) -> None:
        if self.wanted:
            self._read(self.chance.choice(sorted(self.wanted)))

    def a_read_arrives(self) -> None:
        if self.reads:
            self._arrive(self.reads.pop(self.chance.randrange(len(self.reads))))

    def marked_records_are_read_again(self) -> None:
        if not self.rereads:
            return
        for record in self.core.store.records.to_reread("thing:shop>books"):
            self._read(record.src_id)
            self._arrive(self.reads.pop())

    def source_says_the_same_again(self) -> None:
        if not self.wanted:
            return
        before = self.core.store.records.get(id_of(self.chance.choice(sorted(self.wanted))))
        if before is None:
            return
        self.world.pass_time(1)
        with self.between.undisturbed():
            assert put(self.core, before.src_id, Thing.model_validate_json(before.payload), self.world.now_ms) == "same"
        after = self.core.store.records.get(before.id)
        assert (before.tx_status, before.version) == (after.tx_status, after.version)
        if self.wanted[before.src_id].content_hash() != before.hash:
            self._read(before.src_id)  # what was handed in was old: the source is asked once more

    # workers and beat

    def worker_works(self) -> None:
        worked = work(self.core, self.world, self._script())
        if worked:
            self.unreported.append(worked)

    def worker_reports(self) -> None:
        if self.unreported and self._rarely():
            self.unreported.pop(self.chance.randrange(len(self.unreported)))  # lost on the way
        elif self.unreported:
            self._report_one(again=self.chance.random() < 0.3)

    def _report_one(self, again: bool = False) -> None:
        worked = self.unreported.pop(self.chance.randrange(len(self.unreported)))
        if not self.compares_versions:
            known = self.core.store.records.many(one.id for one in worked.outcomes)
            worked.outcomes = [replace(one, version=known[one.id].version) for one in worked.outcomes]
        tell(self.core, worked)
        if again:
            with self.between.undisturbed():
                before = {one.id: self.core.store.records.get(one.id) for one in worked.outcomes}
                verdicts = tell(self.core, worked)
                after = {one.id: self.core.store.records.get(one.id) for one in worked.outcomes}
            for id, verdict in verdicts.items():
                if verdict == "taken":
                    assert before[id] == after[id], "a repeated report changed the record"

    def time_passes(self) -> None:
        self.world.pass_time(self.chance.choice([10, 500, 500, 2_000, 9_000, 12_000, 30_000]))

    def beat_ticks(self) -> None:
        tick.tick(self.core)

    # people

    def operator_acts(self) -> None:
        if not self.wanted:
            return
        key = self.chance.choice(sorted(self.wanted))
        record = self.core.store.records.get(id_of(key))
        if record is None:
            return
        with self.between.undisturbed():
            if self._rarely() and key != "1":
                done = people.drop(self.core, [record.id], "me", "by hand")[record.id] == "dropped"
                if done:
                    self.dropped.add(key)
            else:
                done = people.replay(self.core, [record.id], "me")[record.id] == "replayed"
        if record.tx_status in (TxStatus.PROCESSING, TxStatus.IN_DOUBT):
            assert not done, "a person shortened a claim or a quiet period"

    def clerk_changes_a_field(self) -> None:
        name = self.chance.choice(FIELDS)
        live = [one for one in self.world.documents if one.state == "live" and not one.copied]
        if live:
            self.number += 1
            document = self.chance.choice(live)
            document.content[name] = f"clerk {self.number}"
            document.clerks[name] = (document.content[name], self.world.tick())

    def clerk_decides(self) -> None:
        """Approves or refuses a draft. The one that others wait for is never refused."""
        drafts = [one for one in self.world.documents if one.state == "draft"]
        if drafts:
            draft = self.chance.choice(drafts)
            self.world.decide(draft, approve=draft.key == "shop:1" or self.chance.random() < 0.8)

    def clerk_duplicates(self) -> None:
        live = [one for one in self.world.documents if one.state == "live"]
        if live and self._rarely():
            document = self.chance.choice(live)
            self.world.create(document.key, document.content, copied=True)
            self.copied.add(document.key)

    def clerk_cancels(self) -> None:
        live = [one for one in self.world.documents if one.state == "live" and one.key not in self.copied]
        if live and self._rarely():
            document = self.chance.choice(live)
            document.state = "cancelled"
            self.withdrawn.add(document.key)

    def somebody_changes_the_password(self) -> None:
        self.world.locked_out = not self.world.locked_out and self._rarely()
        self.was_locked_out |= self.world.locked_out

    # what must hold at any time

    def never_two_live_documents(self) -> None:
        for key in KEYS:
            live = [one for one in self.world.of(f"shop:{key}", "live", "draft") if not one.copied]
            assert len(live) <= 1, f"double: {live}"

    def nobody_overwrites_a_clerk(self) -> None:
        assert not self.world.wrongs

    def nobody_waits_for_what_is_there(self) -> None:
        records = {one.wake_key: one for one in self.core.store.records.find({})}
        for record in records.values():
            for key in record.waits_on:
                there = key in records and records[key].tx_status is TxStatus.DELIVERED
                assert not there, f"{record.id} was not woken by {key}"

    def never_more_claims_than_places(self) -> None:
        now_ms = self.world.now_ms
        live = [one for one in self.core.store.claims.find({"state": "open"}) if one.lease_until_ms > now_ms]
        assert len(live) <= MAX_CLAIMS

    def one_odd_answer_pauses_nothing(self) -> None:
        assert self.was_locked_out or not self.core.connection("books").paused

    def teardown(self) -> None:
        if not hasattr(self, "core"):
            return
        self.between.often = 0.0
        self.world.locked_out = False
        self.wanted.setdefault("1", Thing(note="first", amount=1))
        self._read("1")  # what others wait for comes in the end
        self.chance.shuffle(self.reads)
        while self.reads:
            self.a_read_arrives()
        while self.rereads and self.core.store.records.to_reread("thing:shop>books"):
            self.marked_records_are_read_again()
        while self.unreported:
            self._report_one()
        self._all_settles()
        # an operator looks at what clerks doubled: only then can it be known
        for key in self.copied:
            people.replay(self.core, [id_of(key.removeprefix("shop:"))], "me")
        self._all_settles()
        assert not self.core.connection("books").paused
        for key in self.wanted:
            self._check(key)

    def _all_settles(self) -> None:
        settle(self.core, self.world, self._script(calm=True))
        self.never_two_live_documents()
        self.nobody_overwrites_a_clerk()
        self.nobody_waits_for_what_is_there()

    def _check(self, key: str) -> None:
        thing = self.wanted[key]
        record = self.core.store.records.get(id_of(key))
        live = self.world.live(f"shop:{key}")
        status = record.tx_status
        told = f"in the end: {thing} as {live}, {record}"
        assert not record.waits_on, told
        if key in self.dropped and (status is TxStatus.DROPPED or record.why.startswith("dropped (")):
            return  # a person took it on
        if len(live) > 1:
            assert status is TxStatus.FAILED, told
            assert all(one.id in record.why for one in live), told
        elif thing.cancelled:
            assert not live, told
            assert status in (TxStatus.DELIVERED, TxStatus.IGNORED), told
        elif not live:
            assert self.world.of(f"shop:{key}", "refused") or f"shop:{key}" in self.withdrawn, told
            assert status in (TxStatus.FAILED, TxStatus.DELIVERED), told
        else:
            newest = {"note": thing.note, "amount": str(thing.amount)}
            newest |= {name: value for name, (value, _) in live[0].clerks.items()}
            assert live[0].content == newest, told
            assert status is TxStatus.DELIVERED, told
            assert record.tgt_id == live[0].id, told


class WithoutQuietPeriod(OneEffect):
    quiet_factor = 0.0


class WithoutLookUp(OneEffect):
    looks_up = False


class WithoutLease(OneEffect):
    """Workers that write on after their lease, and do not ask whether the claim is still theirs."""

    minds_lease = False
    pauses = 0.4


class WithoutIntents(OneEffect):
    announces = False


class WithoutVersions(OneEffect):
    compares_versions = False


class WithoutRereading(OneEffect):
    rereads = False


COMMON = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "derandomize": True,
    "database": None,
    "phases": [Phase.generate],
}


def test_one_effect_whatever_happens() -> None:
    run_state_machine_as_test(OneEffect, settings=settings(max_examples=70, stateful_step_count=10, **COMMON))


@pytest.mark.parametrize(
    ("machine", "found"),
    [
        (WithoutQuietPeriod, "double"),
        (WithoutLookUp, "double|in the end"),
        (WithoutLease, "double"),
        (WithoutIntents, "in the end"),
        (WithoutVersions, "in the end"),
        (WithoutRereading, "in the end"),
    ],
)
def test_without_the_rule_the_same_machine_finds(machine: type[OneEffect], found: str) -> None:
    with pytest.raises(AssertionError, match=found):
        run_state_machine_as_test(machine, settings=settings(max_examples=200, stateful_step_count=10, **COMMON))
