"""``datawald sync``: exit codes that scripts can use, plain reasons, and a dry run that writes nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import click
import pytest

from datawald.cli.core import connect
from datawald.cli.sync import Since
from tests.cli.conftest import BIN, CommandLine, Ended, Installation

TORN = """\
[connections.torn_shop]
agent = "paper_shop"
endpoint = "http://torn.example"
settings = { file = "not-there.json" }

[flows.orders_torn]
entity = "order"
source = "torn_shop"
target = "books"
start_from = 2026-01-01T00:00:00Z
"""


@pytest.fixture
def torn(installation: Installation, ran: Ended, in_process: None) -> Iterator[str]:
    """A flow whose source cannot be read: its runs do not end."""
    (installation.folder / "torn.toml").write_text(TORN)
    applied = installation.run("config", "apply", "torn.toml")
    assert applied.code == 0, applied.err
    yield "orders_torn"
    core = connect()
    core.call("DELETE", "/api/flows/orders_torn")
    core.call("DELETE", "/api/connections/torn_shop")


def test_a_run_with_a_failed_record_ends_with_3(ran: Ended) -> None:
    assert ran.code == 3, ran.err
    task = ran.json
    assert task["sync_status"] == "Fail" and task["exit_code"] == 3
    assert task["read"] == 8
    assert {name: number for name, number in task["counts"].items() if number} == {
        "delivered": 2,
        "waiting": 1,
        "failed": 4,
        "ignored": 1,
    }
    first = task["reasons"][0]
    assert (first["records"], first["status"], first["why"]) == (2, "failed", "order …: the books refuse it")
    assert set(first["such_as"]) == {"100000003", "100000004"}
    assert "the item MISSING is not known in the books" in [one["why"] for one in task["reasons"]]


def test_a_run_that_waits_ends_with_4(installation: Installation, ran: Ended, datawald: CommandLine) -> None:
    installation.orders({"id": "200000001", "sku": "WAIT"})
    ended = datawald("sync", "orders_us", "--ids", "200000001")
    assert ended.code == 4, ended.err
    assert "Incompleted" in ended.out and "the order is on hold" in ended.out


def test_a_run_that_is_done_ends_with_0(installation: Installation, ran: Ended) -> None:
    installation.orders({"id": "200000002"})
    ended = installation.run("sync", "orders_us", "--ids", "200000002")
    assert ended.code == 0, ended.err
    assert "Completed" in ended.out
    assert "\x1b[" not in ended.out + ended.err, "colours only on a terminal"


def test_without_waiting_the_id_is_printed(ran: Ended, datawald: CommandLine) -> None:
    ended = datawald("sync", "orders_us", "--ids", "100000001", "--no-wait")
    assert ended.code == 0
    assert connect().run(ended.out.strip())["kind"] == "ids"


def test_a_dry_run_says_what_would_be_and_writes_nothing(
    installation: Installation, ran: Ended, datawald: CommandLine
) -> None:
    installation.orders(
        {"id": "300000001", "total": "99.90"},
        {"id": "300000002", "sku": "REJECT"},
        {"id": "300000003", "sku": "WAIT"},
        {"id": "300000004", "sku": "MISSING"},
        {"id": "300000005", "sku": "UNREADABLE"},
        {"id": "300000006", "sku": "TEST"},
    )
    ids = ",".join(f"30000000{number}" for number in range(1, 7)) + ",100000001"
    books, run = installation.books.read_text(), connect().runs(limit=1)[0]["id"]
    told = datawald("sync", "orders_us", "--dry-run", "--ids", ids, "--json").json
    assert told["read"] == 7
    assert told["actions"] == {
        "create": 1,
        "wait": 1,
        "missing": 1,
        "reject": 1,
        "problem": 1,
        "unwanted": 1,
        "same": 1,
    }
    assert told["totals"] == [{"action": "create", "currency": "EUR", "total": "99.90"}]
    assert {"records": 1, "action": "wait", "why": "the order is on hold", "such_as": ["300000003"]} in told["reasons"]
    assert installation.books.read_text() == books
    assert connect().runs(limit=1)[0]["id"] == run
    assert not list(connect().find_records(q="300000001"))
    words = datawald("sync", "orders_us", "--dry-run", "--since", "90d").out
    assert "Nothing is written anywhere" in words and "99.90 EUR" in words


def test_a_dry_run_sees_an_update(installation: Installation, ran: Ended, datawald: CommandLine) -> None:
    installation.orders({"id": "100000002", "total": "1300.00"})
    told = datawald("sync", "orders_us", "--dry-run", "--ids", "100000002", "--json").json
    assert told["actions"] == {"update": 1}
    installation.orders({"id": "100000002", "total": "1234.50"})


def test_a_full_run_asks_first(ran: Ended, installation: Installation) -> None:
    ended = installation.run("sync", "orders_us", "--full")
    assert ended.code == 2
    assert "add --yes" in ended.err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--full", "--ids", "1"], "exclude one another"),
        (["--since", "yesterday"], "is no time"),
        (["--ids", " , "], "at least one id"),
        (["--ids", ",".join(map(str, range(501)))], "at most 500"),
    ],
)
def test_wrong_usage_ends_with_2(datawald: CommandLine, arguments: list[str], word: str) -> None:
    ended = datawald("sync", "orders_us", *arguments)
    assert ended.code == 2
    assert word in ended.err


def test_an_unknown_flow_names_the_known(ran: Ended, datawald: CommandLine) -> None:
    ended = datawald("sync", "orders_eu")
    assert ended.code == 1
    assert "there is no flow 'orders_eu'" in ended.err and "known: " in ended.err and "orders_us" in ended.err


def test_ctrl_c_and_time_out_leave_the_run_alone(torn: str, installation: Installation, datawald: CommandLine) -> None:
    ended = datawald("sync", torn, "--timeout", "0.5", "--json")
    assert ended.code == 1
    assert ended.json["error"]["code"] == "timeout"
    watching = subprocess.Popen(
        [str(BIN / "datawald"), "sync", torn],
        env=installation.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    ends_at = time.monotonic() + 10
    while len(connect().runs(torn)) < 2 and time.monotonic() < ends_at:
        time.sleep(0.1)
    time.sleep(0.3)
    watching.send_signal(signal.SIGINT)
    out, err = watching.communicate(timeout=10)
    assert watching.returncode == 130
    assert "goes on" in err and "Traceback" not in err


@pytest.mark.parametrize(
    ("text", "age"), [("90d", timedelta(days=90)), ("12h", timedelta(hours=12)), ("30min", timedelta(minutes=30))]
)
def test_an_age(text: str, age: timedelta) -> None:
    at = Since().convert(text, None, None)
    assert abs(datetime.now(UTC) - age - at) < timedelta(seconds=5)


def test_a_time() -> None:
    assert Since().convert("2026-01-31T10:00:00+01:00", None, None) == datetime(2026, 1, 31, 9, tzinfo=UTC)
    assert Since().convert("2026-01-31", None, None) == datetime(2026, 1, 31).astimezone(UTC)
    with pytest.raises(click.BadParameter):
        Since().convert("soon", None, None)


def test_json_is_one_document(ran: Ended) -> None:
    assert json.loads(ran.out)["flow"] == "orders_us"
