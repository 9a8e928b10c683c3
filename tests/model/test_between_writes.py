"""What others do between two writes of one use case, and what is left where a process dies between them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from datawald.domain.outcome import Outcome
from datawald.domain.record import TxStatus
from datawald.usecases import Core, claim, configure, pull, report, tick
from datawald.usecases.report import Reported
from tests.model.world import LANE, LEASE_MS, MAX_CLAIMS, Thing, World, id_of, make_core, put


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def core(world: World) -> Core:
    return make_core(world)


def staged(core: Core, world: World, *keys: str) -> None:
    for key in keys:
        put(core, key, Thing(note="a", amount=1), world.now_ms)
    world.pass_time(1)


def claimed(core: Core) -> claim.Claimed:
    found = claim.claim(core, "books", LANE)
    assert found
    return found


def told(core: Core, given: claim.Claimed, outcome: Outcome, misconfigured: str = "") -> None:
    report.report(
        core, given.claim.id, [Reported(one.id, one.version, outcome) for one in given.records], misconfigured
    )


def before_once(documents: Any, name: str, act: Callable[[], Any]) -> None:
    """Lets somebody act before the next call of a write."""
    write = getattr(documents, name)

    def interrupted(*arguments: Any) -> Any:
        setattr(documents, name, write)
        act()
        return write(*arguments)

    setattr(documents, name, interrupted)


def deliver_one(core: Core, key: str) -> None:
    found = core.store.records.get(id_of(key))
    assert found
    core.store.records.save(found, replace(found, tx_status=TxStatus.DELIVERED, rev=found.rev + 1))
    report.wake(core, [found.wake_key])


class TestWaiting:
    KEY = "thing:books:shop:2"

    def test_delivered_between_noting_and_storing(self, core: Core, world: World) -> None:
        staged(core, world, "1")
        given = claimed(core)
        staged(core, world, "2")
        # the other one is delivered after the note and before the record says that it waits: its wake finds nobody
        before_once(core.store.records, "save", lambda: deliver_one(core, "2"))
        told(core, given, Outcome.waiting("2 first", on=(self.KEY,)))
        after = core.store.records.get(id_of("1"))
        assert after
        assert (after.tx_status, after.due_ms, after.waits_on) == (TxStatus.WAITING, world.now_ms, ())

    def test_changed_while_it_is_woken(self, core: Core, world: World) -> None:
        staged(core, world, "1", "2")
        given = claim.claim(core, "books", LANE, 1)
        assert given
        told(core, given, Outcome.waiting("2 first", on=("thing:books:shop:9",)))
        waiter = given.records[0].src_id

        def mark() -> None:  # a read that overlaps marks the record, and changes no wait
            put(core, waiter, Thing(note="b", amount=2), world.now_ms - 10_000)

        before_once(core.store.records, "save", mark)
        report.wake(core, ["thing:books:shop:9"])
        after = core.store.records.get(id_of(waiter))
        assert after
        assert (after.waits_on, after.due_ms) == ((), world.now_ms)

    def test_noted_while_others_are_woken(self, core: Core, world: World) -> None:
        staged(core, world, "1")
        given = claimed(core)
        told(core, given, Outcome.waiting("9 first", on=("thing:books:shop:9",)))
        staged(core, world, "3")
        late = claimed(core)
        before_once(
            core.store.waits,
            "delete_as",
            lambda: told(core, late, Outcome.waiting("9 first", on=("thing:books:shop:9",))),
        )
        report.wake(core, ["thing:books:shop:9"])
        for key in ("1", "3"):
            after = core.store.records.get(id_of(key))
            assert after
            assert after.waits_on == ()
        assert core.store.waits.find({}) == []

    def test_a_key_that_names_nothing_of_ours(self, core: Core, world: World) -> None:
        staged(core, world, "1")
        told(core, claimed(core), Outcome.waiting("the moon", on=("full moon",)))
        after = core.store.records.get(id_of("1"))
        assert after
        assert after.tx_status is TxStatus.WAITING


class TestPlaces:
    def test_workers_that_ask_at_once(self, core: Core, world: World) -> None:
        staged(core, world, *map(str, range(20)))
        core = replace(core, chance=random.Random(3))
        given = [claimed(core) for _ in range(MAX_CLAIMS - 1)]

        def quicker() -> None:  # asks later, is stored sooner
            world.pass_time(5)
            given.append(claimed(core))

        before_once(core.store.claims, "insert", quicker)
        assert claim.claim(core, "books", LANE) is None
        assert len(core.store.claims.live(core.connection("books"), world.now_ms)) == len(given) == MAX_CLAIMS

    def test_a_pause_beside_a_claim(self, core: Core, world: World) -> None:
        staged(core, world, "1", "2", "3")
        given = claimed(core)
        before_once(core.store.connections, "save", lambda: claimed(core))
        told(core, given, Outcome.retryable("wrong password"), misconfigured="wrong password")
        assert core.connection("books").paused == "wrong password"

    def test_a_claim_that_nobody_joins_holds_no_place(self, core: Core, world: World) -> None:
        staged(core, world, "1")
        before_once(core.store.claims, "insert", lambda: claimed(core))
        assert claim.claim(core, "books", LANE) is None
        assert len(core.store.claims.live(core.connection("books"), world.now_ms)) == 1


class TestRuns:
    def lease(self, core: Core) -> pull.FlowLease:
        pull.ask(core, "things", "asked")
        found = pull.lease(core, "things")
        assert found
        return found

    def test_configuration_changed_while_a_page_is_kept(self, core: Core, world: World) -> None:
        found = self.lease(core)
        wanted = replace(core.flow("things"), every_ms=5_000, settings='{"view": 1}')

        def change() -> None:
            before = core.flow("things")
            after = replace(before, every_ms=wanted.every_ms, settings=wanted.settings, rev=before.rev + 1)
            assert core.store.flows.save(before, after)

        before_once(core.store.flows, "save", change)
        pull.save(core, "things", found.flow.token, cursor={"a": 1}, newest_ms=5, source_began_ms=5, read=1, expected=1)
        after = core.flow("things")
        assert (after.every_ms, after.settings, after.cursor) == (5_000, '{"view": 1}', '{"a": 1}')

    def test_asked_for_while_it_ends(self, core: Core, world: World) -> None:
        found = self.lease(core)
        before_once(core.store.flows, "save", lambda: pull.ask(core, "things", "asked"))
        pull.finish(core, "things", found.flow.token)
        assert core.flow("things").due_ms == world.now_ms
        assert len(core.flow("things").asked) == 1

    @pytest.mark.parametrize("deleted", [False, True])
    def test_whoever_ended_it_died_before_saying_so(
        self, core: Core, world: World, deleted: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = self.lease(core)
        if deleted:
            core.store.flows.delete("things")
        else:
            with monkeypatch.context() as patch:
                patch.setattr(core.store.sync_tasks, "save", lambda *_: 1 / 0)
                with pytest.raises(ZeroDivisionError):
                    pull.finish(core, "things", found.flow.token)
        tick.tick(core)
        assert pull.sync_task(core, found.task.id).sync_status == "Extracting"
        world.pass_time(core.limits.pull_lease_ms)
        tick.tick(core)
        assert pull.sync_task(core, found.task.id).sync_status == "Completed"


class TestTick:
    def test_a_connection_deleted_under_a_claim_stops_nothing(self, core: Core, world: World) -> None:
        staged(core, world, "1")
        claimed(core)
        core.store.flows.delete("things")
        configure.delete_connection(core, "books")
        world.pass_time(LEASE_MS)
        tick.tick(core)
        after = core.store.records.get(id_of("1"))
        assert after
        assert after.tx_status is TxStatus.IN_DOUBT

    def test_an_entity_that_is_not_installed_stops_nothing(self, core: Core, world: World) -> None:
        staged(core, world, "1")
        core.store.flows.insert(replace(core.flow("things"), id="gone", entity="gone"))
        assert tick.tick(core).lanes_rung == 1

    def test_what_was_settled_long_ago_is_forgotten(self, core: Core, world: World) -> None:
        staged(core, world, "1")
        told(core, claimed(core), Outcome.rejected("wrong"))
        world.pass_time(core.limits.keep_ms + 1)
        staged(core, world, "2")
        kept = claimed(core)
        tick.tick(core)
        assert [one.id for one in core.store.claims.find({})] == [kept.claim.id]


def test_claims_keep_their_places_when_the_connection_is_configured(core: Core, world: World) -> None:
    staged(core, world, "1", "2", "3")
    given = claimed(core)
    before = core.connection("books")
    after = replace(before, max_claims=1, places=(), rev=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(configure.registry, "agent", lambda _: AnyAgent)
        configure.put_connection(core, after)
    live = core.store.claims.live(core.connection("books"), world.now_ms)
    assert [one.id for one in live] == [given.claim.id]
    assert claim.claim(core, "books", LANE) is None


class AnyAgent:
    secret_names = ()

    @staticmethod
    def checked_settings(*_: Any) -> None: ...
