"""``datawald records``: found by any number, shown hop by hop, replayed and dropped."""

from __future__ import annotations

import json
import os
import subprocess
import time
import tomllib
from datetime import UTC, datetime

import pytest

from datawald.cli.core import connect
from datawald.cli.output import clean
from flask_dwconnector import DWConnector
from tests.cli.conftest import BIN, CommandLine, Ended, Installation

pytestmark = pytest.mark.usefixtures("further")

FURTHER = """\
[connections.attic]
agent = "paper_books"
endpoint = "http://attic.example"
settings = {{ file = "{folder}/books.json" }}

[flows.orders_attic]
entity = "order"
source = "paper_us"
target = "attic"
start_from = 2026-01-01T00:00:00Z

[flows.shipments_us]
entity = "shipment"
source = "books"
target = "paper_us"
start_from = 2026-01-01T00:00:00Z
"""


@pytest.fixture(scope="module")
def further(installation: Installation, ran: Ended) -> None:
    """Flows that are never run: records are staged for them from outside."""
    core = DWConnector(installation.environment["DATAWALD_CORE_URL"], installation.environment["DATAWALD_API_KEY"])
    for kind, tables in tomllib.loads(FURTHER.format(folder=installation.folder)).items():
        for name, fields in tables.items():
            put = core.put_connection if kind == "connections" else core.put_flow
            put(name, json.loads(json.dumps(fields, default=str)))


def test_list_by_status_and_flow(datawald: CommandLine) -> None:
    found = datawald("records", "list", "orders", "--status", "failed", "--flow", "orders_us", "--json").json
    numbers = {one["src_id"] for one in found["records"]}
    assert {"100000003", "100000006", "100000007"} <= numbers and "100000001" not in numbers
    assert datawald("records", "list", "--status", "F", "--json").json["records"] == found["records"]
    assert "the books refuse it" in datawald("records", "list", "--status", "failed").out


def test_the_list_says_that_there_is_more(datawald: CommandLine) -> None:
    ended = datawald("records", "list", "--limit", "2", "--json")
    assert len(ended.json["records"]) == 2 and ended.json["more"]
    assert "the last 2 of more" in datawald("records", "list", "--limit", "2").err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["bananas"], "unknown entity 'bananas'; known: order, shipment"),
        (["--status", "lost"], "is no status: waiting"),
        (["shipments", "--flow", "orders_us"], "carries order"),
        (["--flow", "orders_us", "--target", "paper_us"], "the target of flow orders_us is books"),
    ],
)
def test_a_wrong_choice_is_named(datawald: CommandLine, arguments: list[str], word: str) -> None:
    ended = datawald("records", "list", *arguments)
    assert ended.code == 2
    assert word in ended.err


def test_where_is_it_by_either_number(datawald: CommandLine) -> None:
    ended = datawald("records", "show", "100000001")
    assert ended.code == 0
    assert ended.out.startswith("order 100000001 of paper_us: delivered to books as 90")
    for word in ("staged", "claimed", "reported", "answered DocNum", "books holds of us", "UTC"):
        assert word in ended.out
    record = datawald("records", "show", "100000001", "--json").json["records"][0]
    assert datawald("records", "show", record["links"]["doc_num"], "--json").json["records"] == [record]
    assert datawald("records", "show", record["tgt_id"], "--json").json["records"] == [record]
    assert datawald("records", "show", "paper_us:100000001", "--json").json["records"] == [record]
    assert datawald("records", "show", record["id"], "--json").json["records"] == [record]


def test_what_belongs_to_an_order_is_found_by_its_number(datawald: CommandLine) -> None:
    connect().stage(
        "shipment",
        {
            "source": "books",
            "target": "paper_us",
            "records": [
                {
                    "src_id": "15.777/paper_us:100000001/default",
                    "stamp": "2026-02-01T00:00:00Z",
                    "payload": {
                        "document": "15.777",
                        "doc_num": "88001",
                        "order_key": "paper_us:100000001",
                        "order_increment_id": "100000001",
                        "shipped_at": "2026-02-01T00:00:00Z",
                        "lines": [{"line_id": "1", "sku": "PEN", "quantity": 1}],
                    },
                    "unwanted": "for a test",
                }
            ],
        },
    )
    found = datawald("records", "show", "100000001", "--json").json["records"]
    assert [one["entity"] for one in found] == ["order", "shipment"]
    for number in ("88001", "15.777"):
        assert [one["entity"] for one in datawald("records", "show", number, "--json").json["records"]] == ["shipment"]


def test_a_number_that_stands_for_nothing(datawald: CommandLine) -> None:
    ended = datawald("records", "show", "424242")
    assert ended.code == 1
    assert "nothing here has the number '424242'" in ended.err and "datawald sync FLOW --ids" in ended.err


def test_what_a_customer_typed_does_not_steer_the_terminal(datawald: CommandLine) -> None:
    shown = datawald("records", "show", "100000002", "--payload")
    assert "Evil" in shown.out and "\x1b" not in shown.out
    assert clean("a\x1b[2J\u202eb\tc\n") == "a\ufffd[2J\ufffdb\tc\n"


def test_replay_and_drop_by_number(datawald: CommandLine) -> None:
    assert datawald("records", "drop", "100000004", "--reason", "booked by hand").out == "dropped 1 record\n"
    shown = datawald("records", "show", "100000004").out
    assert "dropped for books" in shown and "booked by hand" in shown and "by tests" in shown
    assert datawald("records", "replay", "100000004").out == "replayed 1 record\n"
    ends_at = time.monotonic() + 10
    while connect().record("order:paper_us>books:100000004")["status"] != "failed" and time.monotonic() < ends_at:
        time.sleep(0.1)
    assert connect().record("order:paper_us>books:100000004")["status"] == "failed"


def test_replay_as_new_always_asks(installation: Installation, datawald: CommandLine) -> None:
    unsure = installation.run("records", "replay", "100000003", "--as-new")
    assert unsure.code == 2 and "Replay as new 1 record?" in unsure.err
    assert datawald("records", "replay", "100000003", "--as-new", "--yes").out == "replayed 1 record\n"
    assert "replayed as new" in datawald("records", "show", "100000003").out


def test_what_cannot_be_replayed_is_named(datawald: CommandLine) -> None:
    ended = datawald("records", "replay", "100000007", "--json")
    assert ended.code == 1
    assert ended.json["refused"] == 1
    assert "no canonical record" in next(iter(ended.json["records"].values()))


def test_replay_needs_a_choice_and_drop_a_reason(datawald: CommandLine) -> None:
    assert "choose them with --status" in datawald("records", "replay", "--entity", "order").err
    assert "Missing option '--reason'" in datawald("records", "drop", "100000001").err
    assert "must say why" in datawald("records", "drop", "100000001", "--reason", " ").err


def test_all_of_a_choice_page_by_page(installation: Installation, datawald: CommandLine) -> None:
    """A batch is staged in one millisecond, and 250 are three pages: none is lost, none told twice."""
    stamp = datetime.now(UTC).isoformat()
    payload = {
        "store_view": "default",
        "placed_at": stamp,
        "currency": "EUR",
        "base_currency": "EUR",
        "customer": {},
        "billing": {},
        "lines": [{"line_id": "1", "sku": "WAIT", "quantity": 1, "net": 0, "tax": 0}],
        "grand_total": "0",
    }
    rows = [
        {
            "src_id": f"B{number:03}",
            "stamp": stamp,
            "unwanted": "old",
            "payload": payload | {"increment_id": f"B{number:03}"},
        }
        for number in range(250)
    ]
    connect().stage("order", {"source": "paper_us", "target": "attic", "records": rows})
    found = datawald("records", "list", "--target", "attic", "--limit", "1000", "--json").json["records"]
    assert len({one["id"] for one in found}) == len(found) == 250
    unsure = installation.run("records", "drop", "--target", "attic", "--status", "ignored", "--reason", "test")
    assert unsure.code == 2 and "Drop 250 records?" in unsure.err
    chosen = ["--target", "attic", "--yes", "--json"]
    dropped = datawald("records", "drop", "--status", "ignored", "--reason", "test", *chosen)
    assert dropped.json["dropped"] == 250
    assert datawald("records", "replay", "--status", "dropped", *chosen).json["replayed"] == 250


def test_a_number_of_several_must_be_chosen(datawald: CommandLine) -> None:
    rows = [{"src_id": "T1", "stamp": "2026-02-01T00:00:00Z", "problem": "none"}]
    for target in ("books", "attic"):
        connect().stage("order", {"source": "paper_us", "target": target, "records": rows})
    ended = datawald("records", "replay", "T1")
    assert ended.code == 2
    assert "names 2 records" in ended.err and "'order:paper_us>attic:T1'" in ended.err


def test_a_reader_that_leaves_early_is_no_failure(installation: Installation) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [str(BIN / "datawald"), "records", "list", "--json"],
        env=installation.environment,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr
    assert json.dumps(done.stderr) == '""'
