"""Agencies that break one promise each: the kit catches every one of them."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from datawald_coupons.coupon import Coupon
from datawald_till import agency
from datawald_till import coupon as right

from datawald import http
from datawald.domain.agent import Absent, Delivered, Delivery, Finding, Lease, Page, Plan
from datawald.domain.errors import DataWaldError, InDoubt, Misconfigured, Rejected, Retryable
from datawald.domain.outcome import Outcome
from datawald.testing import Wire
from tests.conformance.test_till import TestCouponsFromTheOffice as FromTheOffice
from tests.conformance.test_till import TestCouponsIntoTheTill as IntoTheTill
from tests.conformance.till_server import TillServer


class Broken:
    """Builds the agency of the till around a mapping that is broken."""

    mapping_class: type[Any]
    parent: type[Any] = agency.TillAgency

    @property
    def agency(self) -> Any:
        broken = self.mapping_class

        class Agency(self.parent):  # type: ignore[name-defined,misc]
            def mapping(self, entity: str) -> Any:
                return broken(self)

        return Agency


# --- targets ----------------------------------------------------------------------------------------------------------


class Blind(right.CouponTarget):
    """Does not look before it writes."""

    def find(self, records: Sequence[Delivery[Coupon]]) -> Mapping[str, Finding]:
        return {record.id: Absent() for record in records}


class Trusting(right.CouponTarget):
    """Takes a till that is down for an empty one."""

    def find(self, records: Sequence[Delivery[Coupon]]) -> Mapping[str, Finding]:
        try:
            return super().find(records)
        except Retryable:
            return {record.id: Absent() for record in records}


class Forgetful(right.CouponTarget):
    """Looks up the first record of a batch only."""

    def find(self, records: Sequence[Delivery[Coupon]]) -> Mapping[str, Finding]:
        return super().find(records[:1])


class Hasty(right.CouponTarget):
    """Sends a write again when its answer is lost."""

    def write(self, record: Delivery[Coupon], plan: Plan) -> Outcome:
        try:
            return super().write(record, plan)
        except InDoubt:
            return super().write(record, plan)


class Optimist(right.CouponTarget):
    """Says that nothing was written when an answer is lost."""

    def write(self, record: Delivery[Coupon], plan: Plan) -> Outcome:
        try:
            return super().write(record, plan)
        except InDoubt as error:
            raise Retryable(error.message) from error


class Boaster(right.CouponTarget):
    """Calls written what it only sent."""

    def write(self, record: Delivery[Coupon], plan: Plan) -> Outcome:
        try:
            return super().write(record, plan)
        except InDoubt:
            return Outcome.written("1", sent=dict(plan.content))


class Copying(right.CouponTarget):
    """Makes a new voucher out of every change."""

    def plan(self, record: Delivery[Coupon], finding: Finding) -> Plan:
        plan = super().plan(record, finding)
        return replace(plan, action="create") if plan.action == "update" else plan


class Asking(right.CouponTarget):
    """Asks the till while it plans."""

    def plan(self, record: Delivery[Coupon], finding: Finding) -> Plan:
        self.agent.connector.by_reference([record.key])
        return super().plan(record, finding)


class Reading(right.CouponTarget):
    """Reads a file while it plans."""

    def plan(self, record: Delivery[Coupon], finding: Finding) -> Plan:
        with open(__file__) as file:
            file.readline()
        return super().plan(record, finding)


class Eager(right.CouponTarget):
    """Writes while it looks."""

    def find(self, records: Sequence[Delivery[Coupon]]) -> Mapping[str, Finding]:
        findings = super().find(records)
        for record in records:
            if isinstance(findings[record.id], Absent):
                self.agent.connector.create(record.canonical.content() | {"reference": record.key})
        return findings


class Floating(right.CouponTarget):
    """Tells amounts as floats."""

    def write(self, record: Delivery[Coupon], plan: Plan) -> Outcome:
        return replace(super().write(record, plan), answered={"percent": float(plan.content["percent"])})


class Exact(right.CouponTarget):
    """Tells amounts as Decimal, which JSON does not know."""

    def plan(self, record: Delivery[Coupon], finding: Finding) -> Plan:
        plan = super().plan(record, finding)
        return replace(plan, content={**plan.content, "percent": Decimal(str(plan.content["percent"]))})


class Liar(right.CouponTarget):
    """Announces one thing and says that it sent another."""

    def write(self, record: Delivery[Coupon], plan: Plan) -> Outcome:
        outcome = super().write(record, plan)
        return replace(outcome, sent={**plan.content, "colour": "blue"})


class Timeless(right.CouponTarget):
    """Thinks that its writes take no time."""

    write_deadline_s = 0.0


class Mute(right.CouponTarget):
    """Rejects without a word."""

    def write(self, record: Delivery[Coupon], plan: Plan) -> Outcome:
        try:
            return super().write(record, plan)
        except Rejected:
            return Outcome.rejected("")


class Fragile(agency.TillAgency):
    """Lets the refusal of one record stop its batch."""

    def deliver(self, records: Sequence[Delivery[Any]], lease: Lease) -> Delivered:
        plans = self.rehearse(records)
        lease.announce({record_id: plan.content for record_id, plan in plans.items()})
        target = self.target("coupon")
        return Delivered({record.id: target.write(record, plans[record.id]) for record in records})


class Silent(agency.TillAgency):
    """Has no outcome for what it could not write."""

    def deliver(self, records: Sequence[Delivery[Any]], lease: Lease) -> Delivered:
        done = super().deliver(records, lease)
        return Delivered({id: outcome for id, outcome in done.outcomes.items() if outcome.tgt_id})


class Secretive(agency.TillAgency):
    """Writes without telling the core before."""

    def deliver(self, records: Sequence[Delivery[Any]], lease: Lease) -> Delivered:
        return super().deliver(records, Lease(0, float("inf"), lambda contents: None))


class Tardy(agency.TillAgency):
    """Tells the core what it has written already."""

    def deliver(self, records: Sequence[Delivery[Any]], lease: Lease) -> Delivered:
        announced: dict[str, Any] = {}
        done = super().deliver(records, Lease(0, float("inf"), announced.update))
        lease.announce(announced)
        return done


class Babbling(agency.TillAgency):
    """Shows its secrets to whoever prints it."""

    def __repr__(self) -> str:
        return f"Till({self.connection.secrets})"


class Patient(agency.TillAgency):
    """Takes a wrong password for bad weather."""

    def probe(self) -> None:
        try:
            super().probe()
        except Misconfigured as error:
            raise Retryable(error.message) from error


class Quoting(agency.TillAgency):
    """Quotes the key that was refused."""

    def probe(self) -> None:
        try:
            super().probe()
        except Misconfigured as error:
            raise Misconfigured(f"the key {self.connection.secrets['api_key']} is refused") from error


# --- sources ----------------------------------------------------------------------------------------------------------


class Unbounded(right.CouponSource):
    """Puts everything on one page."""

    def extract(self, flow: Any, since: datetime, cursor: Any) -> Iterator[Page[Coupon]]:
        items = [item for page in super().extract(flow, since, cursor) for item in page.items]
        yield Page(items, {"after": 0}, more=False)


class Restarting(right.CouponSource):
    """Begins at the beginning, whatever the cursor says."""

    def extract(self, flow: Any, since: datetime, cursor: Any) -> Iterator[Page[Coupon]]:
        return super().extract(flow, since, None)


class Swallowing(right.CouponSource):
    """Ends well when the till goes away."""

    def extract(self, flow: Any, since: datetime, cursor: Any) -> Iterator[Page[Coupon]]:
        try:
            yield from super().extract(flow, since, cursor)
        except Retryable:
            yield Page((), {"after": 0}, more=False)


class Ageless(right.CouponSource):
    """Reads everything, however old."""

    def extract(self, flow: Any, since: datetime, cursor: Any) -> Iterator[Page[Coupon]]:
        return super().extract(flow, since.replace(year=2000), cursor)


class Naive(right.CouponSource):
    """Tells times without a zone."""

    def _extracted(self, voucher: Mapping[str, Any]) -> Any:
        item = super()._extracted(voucher)
        return replace(item, stamp=item.stamp.replace(tzinfo=None))


class Restless(right.CouponSource):
    """Hands out another record every time."""

    reads = 0

    def _extracted(self, voucher: Mapping[str, Any]) -> Any:
        Restless.reads += 1
        item = super()._extracted(voucher)
        return replace(item, canonical=Coupon(code=voucher["code"], percent=Restless.reads))


class TwoFaced(right.CouponSource):
    """Hands out another record when it is asked for one by its id."""

    def extract_ids(self, flow: Any, src_ids: Sequence[str]) -> Iterator[Page[Coupon]]:
        for page in super().extract_ids(flow, src_ids):
            yield Page([replace(one, canonical=Coupon(code=one.src_id, percent=1)) for one in page.items], {})


class Squeamish(right.CouponSource):
    """Stops at the first odd voucher."""

    def _extracted(self, voucher: Mapping[str, Any]) -> Any:
        item = super()._extracted(voucher)
        if item.problem:
            raise ValueError(item.problem)
        return item


class Pointing(right.CouponSource):
    """Keeps a place in its cursor that no JSON can tell."""

    def extract(self, flow: Any, since: datetime, cursor: Any) -> Iterator[Page[Coupon]]:
        for page in super().extract(flow, since, cursor):
            yield replace(page, cursor={**page.cursor, "since": since})


def of_mapping(kind: type[Any]) -> type[Any]:
    """The till's own test class, put to this mapping."""
    is_target = issubclass(kind, right.CouponTarget)
    parent, base = (agency.TillAgency, IntoTheTill) if is_target else (agency.TillOffice, FromTheOffice)
    return type(kind.__name__, (Broken, base), {"mapping_class": kind, "parent": parent})


def of_agency(kind: type[Any]) -> type[Any]:
    return type(kind.__name__, (IntoTheTill,), {"agency": kind})


CAUGHT = [
    (of_mapping(Blind), "the_same_again_changes_nothing", "in_doubt: .* it was sent, but the till holds"),
    (of_mapping(Blind), "a_worker_that_dies_doubles_nothing", "not delivered|tgt_id|== 1"),
    (of_mapping(Blind), "absent_is_said_only_of_what_is_not_there", "it is there"),
    (of_mapping(Trusting), "a_look_up_that_breaks_off_is_no_absence", "request 1 failed"),
    (of_mapping(Trusting), "a_system_that_is_down_is_tried_again", "DID NOT RAISE"),
    (of_mapping(Forgetful), "absent_is_said_only_of_what_is_not_there", "names every record"),
    (of_mapping(Hasty), "a_lost_answer_is_in_doubt_and_then_adopted", "the answer was lost|in_doubt|== 1"),
    (of_mapping(Hasty), "whenever_the_system_goes_away_nothing_is_doubled_or_lost", "gone at request"),
    (of_mapping(Optimist), "a_lost_answer_is_in_doubt_and_then_adopted", "retryable"),
    (of_mapping(Optimist), "whenever_the_system_goes_away_nothing_is_doubled_or_lost", "1 there, and it is retryable"),
    (of_mapping(Boaster), "a_server_error_on_a_write_is_in_doubt", "it is written"),
    (of_mapping(Copying), "a_change_is_an_update", "in_doubt|tgt_id|== 1"),
    (of_mapping(Asking), "a_plan_asks_nobody", "socket.send"),
    (of_mapping(Reading), "a_plan_asks_nobody", "open .*test_the_kit"),
    (of_mapping(Eager), "a_rehearsal_writes_nothing", "wrote"),
    (of_mapping(Eager), "nothing_is_written_that_was_not_announced", "before it was announced"),
    (of_mapping(Floating), "a_first_delivery_makes_one_document_that_is_found_again", "answered.percent is a float"),
    (of_mapping(Exact), "a_first_delivery_makes_one_document_that_is_found_again", "content.percent is a Decimal"),
    (of_mapping(Liar), "a_first_delivery_makes_one_document_that_is_found_again", "not what was announced"),
    (of_mapping(Timeless), "a_lease_that_is_about_to_end_writes_nothing", "the deadline of one request"),
    (of_mapping(Mute), "one_bad_record_does_not_stop_its_batch", "without a reason"),
    (of_agency(Fragile), "one_bad_record_does_not_stop_its_batch", "at most 100"),
    (of_agency(Silent), "one_bad_record_does_not_stop_its_batch", "every record of a claim"),
    (of_agency(Secretive), "nothing_is_written_that_was_not_announced", "DID NOT RAISE"),
    (of_agency(Secretive), "a_first_delivery_makes_one_document_that_is_found_again", "without being announced"),
    (of_agency(Secretive), "a_lease_that_is_about_to_end_writes_nothing", "written"),
    (of_agency(Tardy), "nothing_is_written_that_was_not_announced", "before it was announced"),
    (of_agency(Babbling), "secrets_are_told_nowhere", "the secret 'api_key' is told"),
    (of_agency(Patient), "a_wrong_password_is_misconfigured_and_stays_secret", "HTTP 401"),
    (of_agency(Quoting), "a_wrong_password_is_misconfigured_and_stays_secret", "the secret 'api_key' is told"),
    (of_mapping(Unbounded), "everything_is_read_in_bounded_pages", "pages of"),
    (of_mapping(Restarting), "an_extraction_resumes_from_every_cursor", "resumed from"),
    (of_mapping(Swallowing), "a_system_that_goes_away_is_not_an_empty_one", "ended well"),
    (of_mapping(Swallowing), "a_system_that_is_down_is_tried_again", "DID NOT RAISE"),
    (of_mapping(Ageless), "what_is_older_is_left_out", "SAVE1"),
    (of_mapping(Naive), "stamps_have_a_zone", "no zone"),
    (of_mapping(Restless), "reading_twice_gives_the_same", "=="),
    (of_mapping(TwoFaced), "named_records_are_the_same_records", "SAVE1"),
    (of_mapping(Squeamish), "what_cannot_be_mapped_is_told_and_stops_nothing", "voucher ODD"),
    (of_mapping(Pointing), "an_extraction_resumes_from_every_cursor", "cursor.since is a datetime"),
]


@pytest.mark.parametrize(
    ("case", "promise", "said"), CAUGHT, ids=[f"{case.__name__}-{promise}" for case, promise, _ in CAUGHT]
)
def test_it_is_caught(
    case: type[Any],
    promise: str,
    said: str,
    till: TillServer,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "BACKOFF_S", 0.001)
    one = case()
    one.system, one.wire = till, Wire()
    method = getattr(one, f"test_{promise}")
    given = {"caplog": caplog, "worked": True}
    wanted = {name: given[name] for name in inspect.signature(method).parameters}
    caught = (AssertionError, DataWaldError, ValueError, pytest.fail.Exception)
    with one.wire.tapped(), pytest.raises(caught, match=said):
        method(**wanted)


def test_without_pytest_it_says_so() -> None:
    code = "import sys; sys.modules['pytest'] = None; import datawald.testing"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.returncode and "datawald.testing is for tests and needs pytest" in done.stderr
