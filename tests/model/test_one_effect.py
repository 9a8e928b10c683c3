"""The rules of one effect as a state machine: whatever dies, waits or comes late, one live document per record, with the
newest content; and with a rule switched off the same machine finds doubles, else it would test nothing."""

from __future__ import annotations

import random
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from datawald.domain.record import TxStatus, record_id
from datawald.usecases import tick
from tests.model.world import Script, Thing, Worked, World, make_core, put, settle, tell, work

KEYS = ("1", "2", "3")


class OneEffect(RuleBasedStateMachine):
    """Two or more workers, a source that changes its mind, a target that commits late."""

    quiet_factor: ClassVar[float] = 1.0
    looks_up: ClassVar[bool] = True

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.world = World()
        self.core = make_core(self.world, quiet_factor=self.quiet_factor, seed=seed)
        self.unreported: list[Worked] = []
        self.wanted: dict[str, Thing] = {}
        self.number = 0

    @rule(key=st.sampled_from(KEYS), cancelled=st.integers(0, 9))
    def source_changes(self, key: str, cancelled: int) -> None:
        before = self.wanted.get(key)
        if before and before.cancelled:
            return  # a cancelled order stays so
        self.number += 1
        thing = Thing(note=f"note {self.number}", amount=self.number, cancelled=cancelled == 9)
        self.world.pass_time(1)
        assert put(self.core, self.world, key, thing) in ("new", "newer")
        self.wanted[key] = thing

    @precondition(lambda self: self.wanted)
    @rule()
    def source_says_the_same_again(self) -> None:
        key = self.chance.choice(sorted(self.wanted))
        record = self.core.store.records.get(record_id("thing", "shop", "books", key))
        self.world.pass_time(1)
        assert put(self.core, self.world, key, self.wanted[key]) == "same"
        after = self.core.store.records.get(record_id("thing", "shop", "books", key))
        assert (record.tx_status, record.version) == (after.tx_status, after.version)

    @rule()
    def worker_works(self) -> None:
        worked = work(self.core, self.world, Script(self.chance, self.looks_up))
        if worked:
            self.unreported.append(worked)

    @precondition(lambda self: self.unreported)
    @rule(lost=st.integers(0, 9), again=st.booleans())
    def worker_reports(self, lost: int, again: bool) -> None:
        worked = self.unreported.pop(self.chance.randrange(len(self.unreported)))
        if lost == 9:
            return
        tell(self.core, worked)
        if again:
            tell(self.core, worked)

    @rule(ms=st.sampled_from([10, 500, 2_000, 9_000, 12_000, 30_000]))
    def time_passes(self, ms: int) -> None:
        self.world.pass_time(ms)

    @rule()
    def beat_ticks(self) -> None:
        tick.tick(self.core)

    @invariant()
    def never_two_live_documents(self) -> None:
        for key in KEYS:
            live = self.world.live(f"shop:{key}")
            assert len(live) <= 1, f"double: {live}"

    def teardown(self) -> None:
        if not hasattr(self, "core"):
            return
        while self.unreported:
            tell(self.core, self.unreported.pop())
        settle(self.core, self.world, Script(self.chance, self.looks_up, calm=True))
        self.never_two_live_documents()
        for key, thing in self.wanted.items():
            record = self.core.store.records.get(record_id("thing", "shop", "books", key))
            live = self.world.live(f"shop:{key}")
            if thing.cancelled:
                assert not live, f"{key} is cancelled and live"
                assert record.tx_status in (TxStatus.DELIVERED, TxStatus.IGNORED)
            else:
                assert [one.content["note"] for one in live] == [thing.note], f"{record}"
                assert record.tx_status is TxStatus.DELIVERED
                assert record.tgt_id == live[0].id


class WithoutQuietPeriod(OneEffect):
    quiet_factor = 0.0


class WithoutLookUp(OneEffect):
    looks_up = False


COMMON = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "derandomize": True,
    "database": None,
    "phases": [Phase.generate],
}


def test_one_effect_whatever_happens() -> None:
    run_state_machine_as_test(OneEffect, settings=settings(max_examples=120, stateful_step_count=60, **COMMON))


@pytest.mark.parametrize("machine", [WithoutQuietPeriod, WithoutLookUp])
def test_without_the_rule_the_same_machine_finds_doubles(machine: type[OneEffect]) -> None:
    found = settings(max_examples=400, stateful_step_count=60, **COMMON)
    with pytest.raises(AssertionError, match="double"):
        run_state_machine_as_test(machine, settings=found)
