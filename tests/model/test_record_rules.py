"""The rules of ``tx_status`` one by one: what each makes of a record, and what it leaves alone."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import pytest

from datawald.domain import record as rules
from datawald.domain.errors import Conflict
from datawald.domain.outcome import DEFAULT_WAIT_S, Outcome
from datawald.domain.record import NEVER_MS, Incoming, Record, Settled, TxStatus

NOW = 1_000_000
QUIET = 9_000
N, P, S, I, F, DOUBT, X = TxStatus  # noqa: E741 - the letters of the wire


def incoming(hash: str = "h1", payload: str = "", began_ms: int = NOW, **more: Any) -> Incoming:
    payload = payload or json.dumps({"v": hash})
    if more.get("problem"):
        hash = payload = ""
    return Incoming(
        "order", "shop", "books", "7", "books.orders", began_ms, began_ms, hash, payload, sync_task="run 1", **more
    )


def record(status: TxStatus = N, **more: Any) -> Record:
    fields: dict[str, Any] = {"tx_status": status, "due_ms": NOW if status is N else NEVER_MS}
    if status is P:
        fields |= {"claim_id": "c1", "claimed_ms": NOW, "claimed_version": 1}
    if status is DOUBT:
        fields |= {"due_ms": NOW + QUIET}
    return replace(rules.first(incoming(), NOW - 1_000), **(fields | more))


def settled(before: Record, outcome: Outcome, *, version: int = 1, claim: str = "c1", intent: Any = None) -> Settled:
    return rules.settle(before, claim, version, outcome, intent, NOW, QUIET, random.Random(1))


WRITTEN = Outcome.written("d1", sent={"note": "a"})


class TestStaging:
    @pytest.mark.parametrize("status", TxStatus)
    def test_same_hash_changes_no_status(self, status: TxStatus) -> None:
        before = record(status)
        assert rules.stage(before, incoming(), NOW) == ("same", before)
        verdict, after = rules.stage(before, incoming(payload='{"v": "h1", "seen": 2}'), NOW)
        assert (verdict, after.tx_status, after.due_ms, after.version) == ("same", status, before.due_ms, 1)
        assert after.payload == '{"v": "h1", "seen": 2}'

    @pytest.mark.parametrize(("status", "then"), [(N, N), (P, P), (S, N), (I, N), (F, N), (DOUBT, DOUBT), (X, N)])
    def test_new_content_is_due_unless_an_attempt_is_open(self, status: TxStatus, then: TxStatus) -> None:
        before = record(status)
        verdict, after = rules.stage(before, incoming("h2"), NOW)
        assert (verdict, after.tx_status, after.version, after.hash) == ("newer", then, 2, "h2")
        assert after.due_ms == (before.due_ms if status in (P, DOUBT) else NOW)
        assert after.claim_id == before.claim_id

    @pytest.mark.parametrize("status", TxStatus)
    def test_content_that_cannot_be_mapped_fails_and_keeps_the_last_that_could(self, status: TxStatus) -> None:
        _, after = rules.stage(record(status), incoming(problem="no SKU"), NOW)
        assert after.tx_status == (status if status in (P, DOUBT) else F)
        assert (after.problem, after.hash, after.payload) == ("no SKU", "h1", '{"v": "h1"}')

    def test_overlapping_read_that_differs_is_marked_not_judged(self) -> None:
        before = record(S)
        verdict, after = rules.stage(before, incoming("h2", began_ms=before.staged_ms), NOW)
        assert (verdict, after.hash, after.reread, after.tx_status) == ("older", "h1", before.route, S)
        verdict, again = rules.stage(after, incoming("h2", began_ms=NOW), NOW)
        assert (verdict, again.hash, again.reread, again.tx_status) == ("newer", "h2", "", N)

    @pytest.mark.parametrize("more", [{}, {"problem": "no SKU"}])
    def test_a_later_read_that_says_the_same_takes_the_mark_away(self, more: dict[str, str]) -> None:
        _, before = rules.stage(record(S), incoming(**more, began_ms=NOW - 500), NOW - 400)
        _, marked = rules.stage(before, incoming("h2", began_ms=NOW - 1_500), NOW - 300)
        assert marked.reread
        _, after = rules.stage(marked, incoming(**more, began_ms=NOW), NOW)
        assert (after.reread, after.version) == ("", before.version)

    def test_new_content_ends_a_wait(self) -> None:
        _, after = rules.stage(record(N, waits_on=("k",), due_ms=NOW + 99, retries=3), incoming("h2"), NOW)
        assert (after.waits_on, after.due_ms, after.retries) == ((), NOW, 0)


class TestJoining:
    @pytest.mark.parametrize("status", TxStatus)
    def test_what_is_due_joins(self, status: TxStatus) -> None:
        after = rules.join(record(status, due_ms=NOW), "c2", NOW)
        if status in (P, X):
            assert after is None
        else:
            assert after
            assert (after.tx_status, after.claim_id, after.due_ms, after.claimed_ms) == (P, "c2", NEVER_MS, NOW)
            assert after.claimed_in_doubt == ("Y" if status is DOUBT else "N")

    @pytest.mark.parametrize("status", TxStatus)
    def test_what_is_not_due_does_not(self, status: TxStatus) -> None:
        assert rules.join(record(status, due_ms=NOW + 1), "c2", NOW) is None


class TestExpiring:
    @pytest.mark.parametrize("status", [one for one in TxStatus if one is not P])
    def test_only_what_is_in_the_claim(self, status: TxStatus) -> None:
        assert rules.expire(record(status), "c1", None, NOW, NOW + QUIET) is None
        assert rules.expire(record(P), "c2", None, NOW, NOW + QUIET) is None

    def test_is_in_doubt_with_what_was_announced(self) -> None:
        after = rules.expire(record(P, suspect="Y"), "c1", {"note": "a"}, NOW, NOW + QUIET)
        assert after
        assert (after.tx_status, after.due_ms, after.claim_id) == (DOUBT, NOW + QUIET, "")
        assert rules.attempts_of(after) == [{"note": "a"}]
        assert after.suspect == "N", "it is looked at anyway"


class TestSettling:
    @pytest.mark.parametrize(
        ("outcome", "status", "due_ms"),
        [
            (WRITTEN, S, NEVER_MS),
            (Outcome.unchanged("d1"), S, NEVER_MS),
            (Outcome.skipped("no"), I, NEVER_MS),
            (Outcome.rejected("wrong"), F, NEVER_MS),
            (Outcome.missing("no SKU"), F, NOW + rules.MISSING_RETRY_MS),
            (Outcome.waiting("later", until_s=7), N, NOW + 7_000),
            (Outcome.waiting("later", until_s=0), N, NOW + DEFAULT_WAIT_S * 1000),
            (Outcome.retryable("busy", until_s=3), N, NOW + 3_000),
            (Outcome.not_tried("no time"), N, NOW),
            (Outcome.in_doubt("reset"), DOUBT, NOW + QUIET),
        ],
    )
    def test_outcome(self, outcome: Outcome, status: TxStatus, due_ms: int) -> None:
        for before in (record(P), record(P, claimed_in_doubt="Y")):
            taken = settled(before, outcome, intent={"note": "b"})
            expected = status
            if before.claimed_in_doubt == "Y" and outcome.kind in ("retryable", "not_tried"):
                expected = DOUBT  # the doubt was not settled
            assert (taken.verdict, taken.record.tx_status, taken.record.due_ms) == ("taken", expected, due_ms)
            assert taken.delivered == (status is S)
            assert (taken.record.claim_id, taken.record.claimed_ms) == ("", NEVER_MS)

    @pytest.mark.parametrize("outcome", [Outcome.retryable("busy"), Outcome.not_tried("no time")])
    def test_no_try_is_due_at_once_for_ever(self, outcome: Outcome) -> None:
        after = settled(record(P, retries=1), outcome).record
        assert after.due_ms > NOW
        assert after.retries == 2

    @pytest.mark.parametrize("outcome", [WRITTEN, Outcome.rejected("wrong"), Outcome.waiting("later", on=("k",))])
    def test_content_staged_meanwhile_stays_due(self, outcome: Outcome) -> None:
        _, before = rules.stage(record(P), incoming("h2"), NOW)
        after = settled(before, outcome, version=1).record
        assert (after.tx_status, after.due_ms, after.waits_on) == (N, NOW, ())

    def test_content_staged_meanwhile_waits_for_the_quiet_period(self) -> None:
        _, before = rules.stage(record(P), incoming("h2"), NOW)
        after = settled(before, Outcome.in_doubt("reset"), version=1, intent={"note": "a"}).record
        assert (after.tx_status, after.due_ms, rules.attempts_of(after)) == (DOUBT, NOW + QUIET, [{"note": "a"}])

    @pytest.mark.parametrize("before", [WRITTEN, Outcome.rejected("wrong"), Outcome.waiting("later", on=("k",))])
    def test_a_repeated_report_is_taken_and_changes_nothing(self, before: Outcome) -> None:
        once = settled(record(P), before)
        again = settled(once.record, before)
        assert (again.verdict, again.record, again.delivered) == ("taken", once.record, once.delivered)

    def test_what_a_draft_holds_is_ours(self) -> None:
        after = settled(record(P), Outcome.waiting("approval", tgt_id="draft 1"), intent={"note": "a"}).record
        assert (after.tgt_id, rules.attempts_of(after)) == ("draft 1", [{"note": "a"}])

    def test_attempts_are_ours_until_a_content_is_confirmed(self) -> None:
        before = record(P, attempts='[{"note": "a"}]')
        assert rules.attempts_of(settled(before, Outcome.unchanged("d1")).record) == [{"note": "a"}]
        assert rules.attempts_of(settled(before, WRITTEN).record) == []

    def test_a_doubt_settled_for_content_that_cannot_be_mapped_is_a_failure(self) -> None:
        _, before = rules.stage(record(DOUBT), incoming(problem="no SKU"), NOW)
        joined = rules.join(before, "c1", before.due_ms)
        assert joined
        assert rules.withheld_why(joined) == "no SKU"
        after = settled(joined, WRITTEN, version=2).record
        assert (after.tx_status, after.why, after.tgt_id) == (F, "no SKU", "d1")

    def test_a_doubt_about_content_no_longer_wanted_stays_until_it_is_settled(self) -> None:
        _, before = rules.stage(record(DOUBT), incoming("h2", unwanted="test order"), NOW)
        joined = rules.join(before, "c1", before.due_ms)
        assert joined
        assert rules.withheld_why(joined) == "test order"
        waits = settled(joined, Outcome.waiting("approval", on=("k",)), version=2).record
        assert (waits.tx_status, waits.waits_on) == (DOUBT, ())
        assert settled(joined, Outcome.skipped("test order"), version=2).record.tx_status is I

    def test_a_replay_of_unwanted_content_is_no_doubt(self) -> None:
        replayed = rules.replay(record(I, unwanted="test order"), NOW, "me")
        joined = rules.join(replayed, "c1", NOW)
        assert joined
        assert rules.withheld_why(joined) == ""


class TestLateReports:
    @pytest.mark.parametrize("status", [N, S, I, F])
    @pytest.mark.parametrize(
        "outcome", [Outcome.in_doubt("reset"), WRITTEN, Outcome.waiting("approval", tgt_id="draft 1")]
    )
    def test_one_that_may_have_written_asks_for_a_look(self, status: TxStatus, outcome: Outcome) -> None:
        after = settled(record(status, retries=2), outcome, claim="c0", intent={"note": "z"})
        assert (after.verdict, after.record.tx_status, after.record.due_ms) == ("late", DOUBT, NOW + QUIET)
        assert (after.record.retries, after.record.waits_on) == (0, ())
        assert rules.attempts_of(after.record) == [outcome.sent or {"note": "z"}]

    @pytest.mark.parametrize("status", TxStatus)
    @pytest.mark.parametrize(
        "outcome", [Outcome.rejected("wrong"), Outcome.not_tried("no time"), Outcome.retryable("busy")]
    )
    def test_one_that_wrote_nothing_is_evidence_only(self, status: TxStatus, outcome: Outcome) -> None:
        before = record(status)
        after = settled(before, outcome, claim="c0").record
        assert (after.tx_status, after.due_ms, after.claim_id) == (status, before.due_ms, before.claim_id)
        assert after.hops()[-1]["outcome"] == outcome.kind

    def test_the_id_we_know_is_no_news(self) -> None:
        assert settled(record(S, tgt_id="d1"), WRITTEN, claim="c0").record.tx_status is S

    def test_a_quiet_period_is_never_shortened(self) -> None:
        before = record(DOUBT, due_ms=NOW + 10 * QUIET)
        assert settled(before, WRITTEN, claim="c0").record.due_ms == NOW + 10 * QUIET

    def test_what_a_person_dropped_is_a_persons_again(self) -> None:
        after = settled(record(X, why="by hand"), WRITTEN, claim="c0").record
        assert (after.tx_status, after.due_ms) == (F, NEVER_MS)
        assert "d1" in after.why
        assert "by hand" in after.why

    @pytest.mark.parametrize("outcome", [WRITTEN, Outcome.rejected("wrong"), Outcome.waiting("later", on=("k",))])
    def test_a_claim_under_suspicion_is_looked_at_once_more(self, outcome: Outcome) -> None:
        before = settled(record(P), Outcome.in_doubt("reset"), claim="c0", intent={"note": "z"}).record
        assert (before.tx_status, before.suspect, before.claim_id) == (P, "Y", "c1")
        taken = settled(before, outcome)
        assert (taken.record.tx_status, taken.record.due_ms) == (DOUBT, NOW + QUIET)
        assert (taken.record.suspect, taken.delivered, taken.record.waits_on) == ("N", False, ())
        assert {"note": "z"} in rules.attempts_of(taken.record), "what the late one may have written is still ours"


class TestPeopleAndNeighbours:
    @pytest.mark.parametrize("status", TxStatus)
    def test_wake(self, status: TxStatus) -> None:
        after = rules.wake(record(status, waits_on=("k",), due_ms=NOW + 99), NOW)
        assert (after is not None) == (status is N)
        if after:
            assert (after.due_ms, after.waits_on) == (NOW, ())
        assert rules.wake(record(N), NOW) is None

    @pytest.mark.parametrize("status", TxStatus)
    def test_replay_and_drop(self, status: TxStatus) -> None:
        before = record(status)
        if status in (P, DOUBT):
            with pytest.raises(Conflict):
                rules.replay(before, NOW, "me")
            with pytest.raises(Conflict):
                rules.drop(before, NOW, "me", "by hand")
            return
        assert (rules.replay(before, NOW, "me").tx_status, rules.replay(before, NOW, "me").due_ms) == (N, NOW)
        after = rules.drop(before, NOW, "me", "by hand")
        assert (after.tx_status, after.due_ms, after.why) == (X, NEVER_MS, "by hand")

    def test_nothing_to_send_is_not_replayed(self) -> None:
        with pytest.raises(Conflict):
            rules.replay(record(F, problem="no SKU"), NOW, "me")

    def test_every_change_is_in_the_history_and_counted(self) -> None:
        joined = rules.join(record(N), "c1", NOW)
        assert joined
        after = settled(joined, WRITTEN).record
        assert [hop["hop"] for hop in after.hops()] == ["staged", "claimed", "reported"]
        assert after.rev == 3
