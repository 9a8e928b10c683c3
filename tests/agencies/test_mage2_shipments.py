"""Shipments into the running Magento sandbox: one delivery, one shipment, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from mage2_shop import Shop, deliver, delivery, running

from datawald.domain.agent import Absent, Found, Several
from datawald.domain.outcome import Outcome, OutcomeKind
from datawald_mage2agency import markers


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Shop]:
    with running() as shop:
        yield shop


@pytest.fixture
def shop(sandbox: Shop) -> Shop:
    sandbox.reset()
    return sandbox


def item(order: dict[str, Any], sku: str, **where: Any) -> str:
    """The item id of the row with that SKU."""
    (found,) = [
        row
        for row in order["items"]
        if row["sku"] == sku and all(row.get(name) == value for name, value in where.items())
    ]
    return str(found["item_id"])


def kinds(outcomes: list[Outcome]) -> list[str]:
    return [outcome.kind.value for outcome in outcomes]


# --- one delivery, one shipment ---------------------------------------------------------------------------------------


def test_create_and_repeat(shop: Shop) -> None:
    order = shop.order("000000001")
    record = delivery(order, {"1": 2, "2": 1}, tracks=["T1"])
    agency = shop.agency()
    (done,) = deliver(agency, record)
    assert done.kind is OutcomeKind.WRITTEN, done.why
    (made,) = shop.shipments("000000001")
    assert done.tgt_id == str(made["entity_id"])
    assert {row["order_item_id"]: row["qty"] for row in made["items"]} == {1: 2, 2: 1}
    assert made["tracks"] == ["T1"] and made["comments"] == ["Delivery 1015\nb1_main:15.15/mage2_us:000000001/"]
    assert done.sent == {"order": "000000001", "source_code": "", "items": {"1": "2", "2": "1"}, "tracks": ["T1"]}
    assert done.links["doc_num"] == made["increment_id"] and set(done.links["lines"]) == {"1", "2"}
    assert done.notes == () and shop.control("state")["mails"] == []
    # again: by a worker that knows nothing of the first time
    (again,) = deliver(shop.agency(), record)
    assert again.kind is OutcomeKind.UNCHANGED and again.tgt_id == done.tgt_id and again.links == done.links
    assert len(shop.shipments("000000001")) == 1


@pytest.mark.parametrize("fault", ["reset_after_commit", "reset_before", "status"])
def test_a_lost_answer_is_in_doubt_and_found_by_its_marker(shop: Shop, fault: str) -> None:
    order = shop.order("000000001")
    record = delivery(order, {"1": 2})
    extra = {"status": 502} if fault == "status" else {}
    shop.fault(kind=fault, method="POST", path="*/order/1/ship", times=1, **extra)
    (lost,) = deliver(shop.agency(), record)
    assert lost.kind is OutcomeKind.IN_DOUBT
    (settled,) = deliver(shop.agency(), delivery(order, {"1": 2}, in_doubt=True))
    arrived = fault == "reset_after_commit"
    assert settled.kind is (OutcomeKind.UNCHANGED if arrived else OutcomeKind.WRITTEN)
    (made,) = shop.shipments("000000001")
    assert settled.tgt_id == str(made["entity_id"])


def test_a_shipment_that_cannot_be_read_back_is_in_doubt(shop: Shop) -> None:
    record = delivery(shop.order("000000001"), {"1": 1})
    agency = shop.agency()
    plans = agency.rehearse([record])
    shop.fault(kind="status", status=503, method="GET", path="*/shipments", times=20)
    target = agency.target("shipment")
    with pytest.raises(Exception, match="could not be read back") as error:
        target.write(record, plans[record.id])
    assert type(error.value).__name__ == "InDoubt"
    shop.control("faults", method="DELETE")
    assert kinds(deliver(agency, record)) == ["unchanged"]


def test_an_incomplete_look_up_raises_before_any_write(shop: Shop) -> None:
    shop.fault(kind="status", status=503, method="GET", path="*/shipments", times=20)
    with pytest.raises(Exception, match="503") as error:
        deliver(shop.agency(), delivery(shop.order("000000001"), {"1": 1}))
    assert type(error.value).__name__ == "Retryable"
    assert shop.shipments("000000001") == []


def test_two_deliveries_from_two_sources(shop: Shop) -> None:
    order = shop.order("000000014")
    here = delivery(order, {"26": 5}, source_code="wh2")
    there = delivery(order, {"26": 3}, source_code="wh3")
    assert here.key != there.key
    assert kinds(deliver(shop.agency(), here, there)) == ["written", "written"]
    assert [(one["source_code"], one["items"][0]["qty"]) for one in shop.shipments("000000014")] == [
        ("wh2", 5),
        ("wh3", 3),
    ]
    assert kinds(deliver(shop.agency(), here, there)) == ["unchanged", "unchanged"]
    assert len(shop.shipments("000000014")) == 2


def test_two_shipments_under_one_marker_are_named(shop: Shop) -> None:
    record = delivery(shop.order("000000001"), {"1": 1})
    comment = {"comment": markers.comment([record.key], "1015"), "is_visible_on_front": 0}
    for _ in range(2):
        shop.control("orders/000000001/ship", {"items": [{"order_item_id": 1, "qty": 1}], "comment": comment})
    finding = shop.agency().target("shipment").find([record])[record.id]
    assert isinstance(finding, Several)
    (outcome,) = deliver(shop.agency(), record)
    assert outcome.kind is OutcomeKind.REJECTED
    assert all(one["increment_id"] in outcome.why for one in shop.shipments("000000001"))


def test_a_key_that_begins_like_another(shop: Shop) -> None:
    order = shop.order("000000014")
    (first,) = deliver(shop.agency(), delivery(order, {"26": 2}, source_code="wh2"))
    without = delivery(order, {"26": 1})
    assert delivery(order, {"26": 2}, source_code="wh2").key.startswith(without.key)
    assert isinstance(shop.agency().target("shipment").find([without])[without.id], Absent)
    assert first.kind is OutcomeKind.WRITTEN


# --- quantities -------------------------------------------------------------------------------------------------------


def test_partial_deliveries(shop: Shop) -> None:
    order = shop.order("000000001")
    assert (
        kinds(deliver(shop.agency(), delivery(order, {"2": 1}, 1), delivery(order, {"2": 2, "1": 2}, 2)))
        == ["written"] * 2
    )
    assert [sum(row["qty"] for row in one["items"]) for one in shop.shipments("000000001")] == [1, 4]


def test_above_the_open_quantity_the_open_part_ships_with_a_warning(shop: Shop) -> None:
    order = shop.order("000000001")
    (done,) = deliver(shop.agency(), delivery(order, {"1": 5, "2": 3}))
    assert done.kind is OutcomeKind.WRITTEN
    assert done.notes == ("5 × SIMPLE-1 delivered, 2 open in Magento",)
    assert {row["order_item_id"]: row["qty"] for row in shop.shipments("000000001")[0]["items"]} == {1: 2, 2: 3}


def test_two_deliveries_of_the_same_units_in_one_claim(shop: Shop) -> None:
    order = shop.order("000000001")
    # both are planned against two open units; Magento refuses what the first one left of the second
    first, second = deliver(shop.agency(), delivery(order, {"1": 2}, 1), delivery(order, {"1": 2}, 2))
    assert first.kind is OutcomeKind.WRITTEN and second.kind is OutcomeKind.RETRYABLE
    (after,) = deliver(shop.agency(), delivery(order, {"1": 2}, 2))
    assert after.kind is OutcomeKind.UNCHANGED and after.why == "nothing of it is open in Magento any more"
    assert len(shop.shipments("000000001")) == 1


def test_cut_by_magento_is_seen_in_the_read_back(shop: Shop) -> None:
    order = shop.order("000000001")
    record, agency = delivery(order, {"1": 2}), shop.agency()
    plans = agency.rehearse([record])
    shop.control("orders/000000001/ship", {"items": [{"order_item_id": 1, "qty": 1}]})
    done = agency.target("shipment").write(record, plans[record.id])
    assert done.notes == ("Magento shipped 1 of 2 × SIMPLE-1",)
    assert done.sent == {"order": "000000001", "source_code": "", "items": {"1": "1"}, "tracks": []}


def test_configurable_by_its_parent_row(shop: Shop) -> None:
    order = shop.order("000000002")
    rows = [item(order, "CFG-1-M", product_type=kind) for kind in ("configurable", "simple")]
    for number, line in enumerate(rows):
        (done,) = deliver(shop.agency(), delivery(order, {line: 1}, number))
        assert done.kind is OutcomeKind.WRITTEN and list(done.links["lines"]) == [line]
    assert [one["items"][0]["order_item_id"] for one in shop.shipments("000000002")] == [3, 3]


def test_bundle_shipped_separately_by_its_parts(shop: Shop) -> None:
    order = shop.order("000000002")
    (done,) = deliver(shop.agency(), delivery(order, {"9": 2, "10": 3}, 1))
    assert done.kind is OutcomeKind.WRITTEN and set(done.links["lines"]) == {"9", "10"} and done.notes == ()
    (by_set,) = deliver(shop.agency(), delivery(order, {"8": 1}, 2))  # booked as one line: a set is 1 + 2
    assert by_set.notes == ("1 × SIMPLE-1 delivered, 0 open in Magento", "2 × SIMPLE-2 delivered, 1 open in Magento")
    shipped = {row["item_id"]: row["qty_shipped"] for row in shop.order("000000002")["items"]}
    assert (shipped[9], shipped[10]) == (2, 4)


def test_services_and_strangers_are_left_out(shop: Shop) -> None:
    order = shop.order("000000002")
    (service,) = deliver(shop.agency(), delivery(order, {"11": 1}, 1))
    assert service.kind is OutcomeKind.SKIPPED
    (strange,) = deliver(shop.agency(), delivery(order, {"FREE-PEN": 1}, 2))
    assert strange.kind is OutcomeKind.REJECTED and "1 × FREE-PEN" in strange.why
    (some,) = deliver(shop.agency(), delivery(order, {"FREE-PEN": 1, "3": 1}, 3))
    assert some.kind is OutcomeKind.WRITTEN and some.notes == ("not part of the order, left out: 1 × FREE-PEN",)


def test_lines_are_found_by_sku_and_substitution(shop: Shop) -> None:
    order = shop.order("000000001")
    agency = shop.agency(substitutions={"SIMPLE-9": "SIMPLE-2"})
    (done,) = deliver(agency, delivery(order, {"simple-1": 1, "SIMPLE-9": 1}))
    assert done.notes == ("SIMPLE-9 was delivered instead of SIMPLE-2",)
    assert {row["order_item_id"] for row in shop.shipments("000000001")[0]["items"]} == {1, 2}


# --- bundles shipped together -----------------------------------------------------------------------------------------


def bundle(shop: Shop) -> tuple[dict[str, Any], str, str, str, int]:
    """An order of bundles shipped together (1 × DW-0001 and 2 × DW-0002 each): bundle row, part rows, sets."""
    for seed in range(100):
        order = shop.place(kind="bundle_dynamic", store="default", seed=str(seed))
        parent = order["items"][0]
        if parent["sku"] == "DW-BND-DYN" and parent["qty_ordered"] == 3:
            return order, str(parent["item_id"]), item(order, "DW-0001"), item(order, "DW-0002"), 3
    raise AssertionError("no such order was made up")


def sets_shipped(shop: Shop, order: dict[str, Any]) -> list[int]:
    return [one["items"][0]["qty"] for one in shop.shipments(order["increment_id"])]


def test_together_ships_whole_sets(shop: Shop) -> None:
    order, parent, one, two, _ = bundle(shop)
    (done,) = deliver(shop.agency(), delivery(order, {one: 2, two: 4}))
    assert done.kind is OutcomeKind.WRITTEN and sets_shipped(shop, order) == [2]
    made = shop.shipments(order["increment_id"])[0]
    assert [row["order_item_id"] for row in made["items"]] == [int(parent)]
    assert set(done.links["lines"]) == {one, two} and len(set(done.links["lines"].values())) == 1
    assert kinds(deliver(shop.agency(), delivery(order, {parent: 1}, 16))) == ["written"]
    assert sets_shipped(shop, order) == [2, 1]


def test_together_waits_for_the_rest_of_a_set(shop: Shop) -> None:
    order, _, one, two, _ = bundle(shop)
    (waits,) = deliver(shop.agency(), delivery(order, {one: 1, two: 1}))
    assert waits.kind is OutcomeKind.WAITING and 0 < waits.until_s <= 300 and waits.tgt_id == ""
    assert "1 × DW-0001, 1 × DW-0002 of bundle DW-BND-DYN waits for the rest of the set" in waits.why
    assert sets_shipped(shop, order) == []


def test_together_ships_the_whole_sets_and_keeps_waiting_with_the_rest(shop: Shop) -> None:
    order, _, one, two, _ = bundle(shop)
    early = delivery(order, {one: 3, two: 2}, 1)
    (waits,) = deliver(shop.agency(), early)
    assert waits.kind is OutcomeKind.WAITING and "2 × DW-0001 of bundle" in waits.why and waits.tgt_id
    assert sets_shipped(shop, order) == [1]
    assert kinds(deliver(shop.agency(), early)) == ["waiting"] and sets_shipped(shop, order) == [1]
    # the rest comes with another delivery, which alone makes no set either
    late = delivery(order, {two: 4}, 2, tracks=["LATE"])
    first, second = deliver(shop.agency(), early, late)
    assert first.kind is OutcomeKind.WRITTEN and first.tgt_id == waits.tgt_id
    assert second.kind is OutcomeKind.WAITING and "one shipment with b1_main:15.1/" in second.why
    assert sets_shipped(shop, order) == [1, 2]
    # found by its marker in the other's shipment, where its tracking number is added
    (settled,) = deliver(shop.agency(), late)
    assert settled.kind is OutcomeKind.WRITTEN and settled.sent is not None and settled.sent["tracks"] == ["LATE"]
    assert kinds(deliver(shop.agency(), early, late)) == ["unchanged", "unchanged"]
    assert sets_shipped(shop, order) == [1, 2]


def test_a_lost_answer_while_parts_are_joined(shop: Shop) -> None:
    order, _, one, two, _ = bundle(shop)
    records = delivery(order, {one: 3}, 1), delivery(order, {two: 6}, 2)
    shop.fault(kind="reset_after_commit", method="POST", path="*/ship", times=1)
    assert kinds(deliver(shop.agency(), *records)) == ["in_doubt", "waiting"]
    assert kinds(deliver(shop.agency(), *records)) == ["unchanged", "unchanged"]
    assert sets_shipped(shop, order) == [3]


def test_parts_of_a_bundle_that_was_shipped_by_hand_wait_no_more(shop: Shop) -> None:
    order, _, one, _, _ = bundle(shop)
    record = delivery(order, {one: 1})
    assert kinds(deliver(shop.agency(), record)) == ["waiting"]
    shop.control(f"orders/{order['increment_id']}/ship", {})
    (done,) = deliver(shop.agency(), record)
    assert done.kind is OutcomeKind.UNCHANGED and "shipped by hand already" in done.why


# --- shipped by hand, and tracking numbers ----------------------------------------------------------------------------


def test_shipped_by_hand_already(shop: Shop) -> None:
    order = shop.order("000000001")
    shop.control("orders/000000001/ship", {"tracks": [{"track_number": "HAND", "title": "DHL", "carrier_code": "dhl"}]})
    (made,) = shop.shipments("000000001")
    (done,) = deliver(shop.agency(), delivery(order, {"1": 2, "2": 3}))
    assert done.kind is OutcomeKind.UNCHANGED and done.tgt_id == str(made["entity_id"])
    assert done.why == f"shipped by hand already ({made['increment_id']})"
    tracked = delivery(order, {"1": 2, "2": 3}, tracks=["HAND", "OURS"])
    (added,) = deliver(shop.agency(), tracked)
    assert added.kind is OutcomeKind.WRITTEN and added.tgt_id == done.tgt_id
    assert kinds(deliver(shop.agency(), tracked)) == ["unchanged"]
    (made,) = shop.shipments("000000001")
    assert made["tracks"] == ["HAND", "OURS"]


def test_late_tracks_are_added_once(shop: Shop) -> None:
    order = shop.order("000000001")
    agency = shop.agency(carriers={"DHL Express": "dhl"})
    (first,) = deliver(agency, delivery(order, {"1": 1}))
    late = delivery(order, {"1": 1}, tracks=["A", "B", "A"])
    (added,) = deliver(agency, late)
    assert added.kind is OutcomeKind.WRITTEN and added.tgt_id == first.tgt_id and added.why == "add tracking A, B"
    assert kinds(deliver(agency, late)) == ["unchanged"]
    assert shop.shipments("000000001")[0]["tracks"] == ["A", "B"]
    shop.fault(kind="reset_after_commit", method="POST", path="*/shipment/track", times=1)
    more = delivery(order, {"1": 1}, tracks=["A", "B", "C"])
    assert kinds(deliver(agency, more)) == ["in_doubt"]
    assert kinds(deliver(agency, more)) == ["unchanged"]
    assert shop.shipments("000000001")[0]["tracks"] == ["A", "B", "C"]


def test_carriers(shop: Shop) -> None:
    agency = shop.agency(carriers={"DHL Express": "dhl"})
    assert [agency.carrier_for(name) for name in ("dhl express", "ups", "custom", "Hermes")] == [
        "dhl",
        "ups",
        "custom",
        "custom",
    ]


def test_it_waits_for_a_tracking_number_for_a_day(shop: Shop) -> None:
    order = shop.order("000000001")
    agency = shop.agency(ship_when="tracked")
    (waits,) = deliver(agency, delivery(order, {"1": 1}, shipped_at=datetime.now(UTC) - timedelta(hours=20)))
    assert waits.kind is OutcomeKind.WAITING and waits.why == "it has no tracking number yet"
    assert waits.until_s == pytest.approx(4 * 3600, abs=60)
    assert kinds(deliver(agency, delivery(order, {"1": 1}, tracks=["T"]))) == ["written"]
    old = delivery(order, {"2": 1}, 2, shipped_at=datetime.now(UTC) - timedelta(hours=25))
    assert kinds(deliver(agency, old)) == ["written"]


def test_mails_only_where_both_say_so(shop: Shop) -> None:
    order = shop.order("000000001")
    deliver(shop.agency(), delivery(order, {"1": 1}, 1, notify=True))
    deliver(shop.agency(notify=True), delivery(order, {"1": 1}, 2))
    assert shop.control("state")["mails"] == []
    mailing = shop.agency(notify=True)
    deliver(mailing, delivery(order, {"2": 1}, 3, notify=True))
    assert len(shop.control("state")["mails"]) == 1
    deliver(mailing, delivery(order, {"2": 1}, 3, notify=True, tracks=["LATE"]))
    assert len(shop.control("state")["mails"]) == 2
    deliver(mailing, delivery(order, {"2": 1}, 3, notify=True, tracks=["LATE"]))
    assert len(shop.control("state")["mails"]) == 2


# --- not now, and not at all ------------------------------------------------------------------------------------------


def test_too_little_in_the_source_waits(shop: Shop) -> None:
    order = shop.order("000000014")
    for source in ("wh2", "nope"):
        (waits,) = deliver(shop.agency(), delivery(order, {"26": 8}, source_code=source))
        assert waits.kind is OutcomeKind.WAITING and f"source {source!r}" in waits.why
    assert shop.shipments("000000014") == []


def test_held_order_waits_and_cancelled_order_is_a_persons(shop: Shop) -> None:
    shop.control("orders/000000001/change", {"what": "hold"})
    (held,) = deliver(shop.agency(), delivery(shop.order("000000001"), {"1": 1}))
    assert held.kind is OutcomeKind.WAITING and "on hold" in held.why
    (cancelled,) = deliver(shop.agency(), delivery(shop.order("000000007"), {"19": 1}))
    assert cancelled.kind is OutcomeKind.REJECTED and "is cancelled in Magento" in cancelled.why


def test_taken_back(shop: Shop) -> None:
    order = shop.order("000000001")
    (never,) = deliver(shop.agency(), delivery(order, {"1": 1}, cancelled=True))
    assert never.kind is OutcomeKind.SKIPPED
    deliver(shop.agency(), delivery(order, {"1": 1}))
    (after,) = deliver(shop.agency(), delivery(order, {"1": 1}, cancelled=True))
    assert after.kind is OutcomeKind.REJECTED and shop.shipments("000000001")[0]["increment_id"] in after.why
    assert len(shop.shipments("000000001")) == 1


def test_unknown_orders(shop: Shop) -> None:
    order = shop.order("000000001")
    (unknown,) = deliver(shop.agency(), delivery(order | {"increment_id": "999"}, {"1": 1}))
    assert unknown.kind is OutcomeKind.REJECTED and unknown.why == "the shop has no order 999"
    other = delivery(order, {"1": 1})
    other = type(other)(
        **{**other.__dict__, "canonical": other.canonical.model_copy(update={"order_key": "uk:000000001"})}
    )
    assert kinds(deliver(shop.agency(), other)) == ["rejected"]


def test_a_dry_run_says_what_it_would_do(shop: Shop) -> None:
    record = delivery(shop.order("000000001"), {"1": 2, "2": 1})
    agency = shop.agency()
    plan = agency.rehearse([record])[record.id]
    assert (plan.action, plan.why) == ("create", "ship 2 × SIMPLE-1, 1 × SIMPLE-2")
    assert shop.shipments("000000001") == []
    deliver(agency, record)
    finding = agency.target("shipment").find([record])[record.id]
    assert isinstance(finding, Found) and finding.content["items"] == {"1": "2", "2": "1"}
    assert Decimal(finding.content["items"]["1"]) == 2


# --- all of it at once ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_deliveries_in_random_pieces_ship_every_unit_once(shop: Shop, seed: int) -> None:
    """A mixed order leaves the house in four pieces, some answers get lost, claims are of any size: each unit ships once."""
    chance = Random(seed)
    order = shop.place(kind="mixed", store=chance.choice(["default", "us"]), seed=f"pieces {seed}")
    by_id = {row["item_id"]: row for row in order["items"]}
    pieces: list[dict[str, Any]] = [{} for _ in range(4)]
    for row in order["items"]:
        parent = by_id.get(row.get("parent_item_id"), row)
        if row["product_type"] == "bundle" or (parent is not row and parent["product_type"] == "configurable"):
            continue  # the backoffice books a bundle's parts, and a configurable as one line
        for _ in range(row["qty_ordered"]):
            piece = chance.choice(pieces)
            piece[str(row["item_id"])] = piece.get(str(row["item_id"]), 0) + 1
    records = [delivery(order, piece, number, tracks=[f"T{number}"]) for number, piece in enumerate(pieces) if piece]
    for kind in ("reset_after_commit", "reset_before"):
        shop.fault(kind=kind, method="POST", probability=0.25, seed=seed)
    left = list(records)
    for _ in range(100):
        claim = chance.sample(left, chance.randint(1, len(left)))
        for record, outcome in zip(claim, deliver(shop.agency(), *claim), strict=True):
            assert outcome.kind is not OutcomeKind.REJECTED, outcome.why
            if outcome.kind in (OutcomeKind.WRITTEN, OutcomeKind.UNCHANGED, OutcomeKind.SKIPPED):
                left.remove(record)
        if not left:
            break
    assert not left
    shop.control("faults", method="DELETE")
    shipped: dict[int, int] = {}
    for made in shop.shipments(order["increment_id"]):
        for row in made["items"]:
            shipped[row["order_item_id"]] = shipped.get(row["order_item_id"], 0) + row["qty"]
    for row in order["items"]:
        parts = [one for one in order["items"] if one.get("parent_item_id") == row["item_id"]]
        separately = row["product_type"] == "bundle" and any(one["item_id"] in shipped for one in parts)
        if not row["is_virtual"] and "parent_item_id" not in row and not separately:
            assert shipped[row["item_id"]] == row["qty_ordered"], row["sku"]
        if separately:
            assert {one["item_id"]: shipped[one["item_id"]] for one in parts} == {
                one["item_id"]: one["qty_ordered"] for one in parts
            }
    for made in shop.shipments(order["increment_id"]):
        assert len(made["tracks"]) == len(set(made["tracks"]))
    assert set(kinds(deliver(shop.agency(), *records))) <= {"unchanged", "skipped"}
