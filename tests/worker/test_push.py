"""``push``: what goes wrong with one record or one answer stays with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from datawald.domain.agent import Agent, Delivery, Lease
from datawald.domain.errors import Conflict
from datawald.domain.outcome import Outcome, OutcomeKind
from datawald.worker.push import push
from tests.model.world import OneAgent, Script, ThingAgent, World, make_core

PAYLOAD = {"note": "a", "amount": "1"}


class Desk:
    """A core that hands out one claim and keeps its report."""

    def __init__(self, *payloads: Mapping[str, Any], withheld: str = "") -> None:
        self.records = [
            {
                "id": f"r{number}",
                "entity": "thing",
                "source": "shop",
                "target": "books",
                "src_id": str(number),
                "version": 1,
                "payload": payload,
                "in_doubt": bool(withheld),
                "tgt_id": "",
                "sent": None,
                "attempts": [],
                "links": {},
                "withheld": withheld,
            }
            for number, payload in enumerate(payloads)
        ]
        self.outcomes: dict[str, Outcome] = {}
        self.misconfigured = ""
        self.refuses = False

    def claim(self, connection: str, lane: str) -> dict[str, Any]:
        about = {"claim_id": "c1", "entity": "thing", "lease_ms": 60_000, "probe": False, "more": False}
        return about | {"records": self.records}

    def announce(self, claim_id: str, contents: Any) -> None:
        if self.refuses:
            raise Conflict("the claim has ended")

    def report(self, claim_id: str, outcomes: Sequence[tuple[str, int, Outcome]], misconfigured: str) -> None:
        self.outcomes = {id: outcome for id, _, outcome in outcomes}
        self.misconfigured = misconfigured

    def kinds(self) -> list[OutcomeKind]:
        return [outcome.kind for outcome in self.outcomes.values()]


class CalmScript(Script):
    def __init__(self) -> None:
        super().__init__(None, calm=True)  # type: ignore[arg-type]


@pytest.fixture
def world() -> World:
    world = World()
    make_core(world)  # makes the entity known
    return world


def worked(desk: Desk, agent: Agent) -> Desk:
    push(desk, OneAgent(agent), "books", "books.things", lambda: None)  # type: ignore[arg-type]
    return desk


def test_a_payload_of_an_older_model_stops_only_itself(world: World) -> None:
    desk = worked(Desk(PAYLOAD, {"note": "b"}), ThingAgent(world, CalmScript()))
    assert desk.kinds() == [OutcomeKind.WRITTEN, OutcomeKind.REJECTED]
    assert "amount" in desk.outcomes["r1"].why


def test_one_odd_answer_to_a_write_pauses_nothing(world: World) -> None:
    class Odd(CalmScript):
        def write(self) -> str:
            return "odd"

    desk = worked(Desk(PAYLOAD), ThingAgent(world, Odd()))
    assert (desk.kinds(), desk.misconfigured) == ([OutcomeKind.RETRYABLE], "")


def test_a_wrong_password_pauses_the_connection(world: World) -> None:
    world.locked_out = True
    desk = worked(Desk(PAYLOAD), ThingAgent(world, CalmScript()))
    assert (desk.kinds(), desk.misconfigured) == ([OutcomeKind.RETRYABLE], "wrong password")


def test_a_claim_that_ended_writes_nothing(world: World) -> None:
    desk = Desk(PAYLOAD)
    desk.refuses = True
    assert worked(desk, ThingAgent(world, CalmScript())).kinds() == [OutcomeKind.NOT_TRIED]
    assert world.documents == []


def test_a_doubt_about_what_is_no_longer_wanted_makes_nothing(world: World) -> None:
    desk = worked(Desk(PAYLOAD, withheld="test order"), ThingAgent(world, CalmScript()))
    assert desk.kinds() == [OutcomeKind.SKIPPED]
    assert desk.outcomes["r0"].why == "test order"
    assert world.documents == []


@pytest.mark.parametrize(("announced", "kind"), [(True, OutcomeKind.IN_DOUBT), (False, OutcomeKind.RETRYABLE)])
def test_what_escapes_after_the_announcement_may_have_written(world: World, announced: bool, kind: OutcomeKind) -> None:
    class Stopped(ThingAgent):
        def deliver(self, records: Sequence[Delivery[Any]], lease: Lease) -> Any:
            if announced:
                lease.announce({"r0": {"note": "a"}})
            raise RuntimeError("the process is asked to stop")

    assert worked(Desk(PAYLOAD), Stopped(world, CalmScript())).kinds() == [kind]
