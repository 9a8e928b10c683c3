"""``datawald status``, ``doctor`` and ``keys``."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import time

import pytest
from cryptography.fernet import Fernet

from datawald.cli.core import connect
from tests.cli.conftest import BIN, CommandLine, Ended, Installation


def test_status_at_a_glance(ran: Ended, datawald: CommandLine) -> None:
    told = datawald("status").out
    for word in ("order: paper_us → books", "delivered", "paper_shop", "last runs", "NX-27017", "embedded"):
        assert word in told
    state = datawald("--json", "status").json
    assert {flow["name"]: flow["counts"] for flow in state["flows"]}["orders_us"]["failed"] >= 4
    assert state["store"]["embedded"] is True
    assert {run["flow"] for run in state["runs"]} == {"orders_us"}


def test_status_can_be_watched_on_a_terminal(installation: Installation, ran: Ended) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(BIN / "datawald", ["datawald", "status", "--watch", "--every", "0.2"], installation.environment)
    seen = b""
    ends_at = time.monotonic() + 10
    while b"paper_us" not in seen and time.monotonic() < ends_at:
        seen += os.read(terminal, 65536)
    assert b"\x1b[" in seen, "a terminal gets colours"
    os.kill(pid, signal.SIGINT)
    try:
        while os.read(terminal, 65536):
            pass
    except OSError:
        pass
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(terminal)


def test_the_doctor_says_that_all_is_well(ran: Ended, datawald: CommandLine) -> None:
    ended = datawald("doctor")
    assert ended.code == 0, ended.out
    assert "All is well." in ended.out
    for word in ("it may read, worker, operator", "NX-27017", "spool://", "a pencil is there", "http://shop.example"):
        assert word in ended.out


def test_the_doctor_names_what_is_not_well(installation: Installation, ran: Ended, datawald: CommandLine) -> None:
    content = json.loads(installation.books.read_text())
    installation.books.write_text(json.dumps(content | {"closed": True}))
    try:
        ended = datawald("doctor", "--json")
    finally:
        installation.books.write_text(json.dumps(content))
    assert ended.code == 5
    wrong = [one for one in ended.json["checks"] if not one["ok"]]
    assert ("connections books", "reachable") in [(one["area"], one["check"]) for one in wrong]
    assert all("the paper is locked away" in one["detail"] for one in wrong)


def test_the_doctor_looks_on_where_the_core_is_silent(datawald: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATAWALD_CORE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("DATAWALD_MASTER_KEY", "short")
    monkeypatch.setenv("DATAWALD_BROKER_URL", "amqp://guest:secret@127.0.0.1:1//")
    ended = datawald("doctor", "--json")
    assert ended.code == 5
    wrong = {one["area"]: one for one in ended.json["checks"] if not one["ok"]}
    assert set(wrong) == {"core", "broker", "secrets"}
    assert "datawald up" in wrong["core"]["fix"] and "DATAWALD_BROKER_URL" in wrong["broker"]["fix"]
    assert "secret@" not in ended.out
    assert datawald("doctor", "--skip", "core", "--skip", "broker", "--skip", "secrets").code == 0


def test_keys_are_made_listed_and_deleted(datawald: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    created = datawald("keys", "create", "reader", "--scope", "read")
    key = created.out.strip()
    assert re.fullmatch(r"dw_[0-9a-f]{8}_\S{40,}", key)
    listed = datawald("keys", "list")
    assert "reader" in listed.out and key not in listed.out
    monkeypatch.setenv("DATAWALD_API_KEY", key)
    refused = datawald("keys", "list", "--json")
    assert refused.code == 1 and refused.json["error"]["code"] == "forbidden"
    assert "needs the scope operator" in refused.err and "fix: use a key that has it" in refused.err
    looked = datawald("doctor", "--json")
    assert looked.code == 5
    assert "lacks the scope worker" in json.dumps([one for one in looked.json["checks"] if not one["ok"]])
    monkeypatch.undo()


def test_a_deleted_key_is_gone(datawald: CommandLine) -> None:
    key = datawald("keys", "create", "short lived", "--scope", "operator", "--json").json["key"]
    id = key.split("_")[1]
    assert datawald("keys", "delete", key, "--yes").out == f"deleted {id} (short lived)\n"
    assert id not in {one["id"] for one in connect().keys()}
    again = datawald("keys", "delete", id, "--yes")
    assert again.code == 1 and f"there is no API key '{id}'" in again.err


def test_a_master_key(datawald: CommandLine) -> None:
    assert Fernet(datawald("keys", "master").out.strip())


def test_an_agency_adds_commands_under_its_systems_name(
    installation: Installation, ran: Ended, datawald: CommandLine
) -> None:
    told = datawald("paper_books", "--help").out
    assert "sharpen" in told and "Sharpen the pencil." in told and "Examples:" in told
    assert "add --yes" in datawald("paper_books", "sharpen", "books").err
    ended = datawald("paper_books", "sharpen", "books", "--yes", "--json")
    assert ended.code == 0, ended.err
    assert ended.json["checks"] == [{"check": "pencil", "ok": True, "detail": "books", "fix": "buy another one"}]
    wrong = datawald("paper_books", "sharpen", "paper_us", "--yes")
    assert wrong.code == 1 and "the agent of paper_us knows no sharpen" in wrong.err
    assert datawald("paper_shop", "sharpen").code == 2
