"""What a failure looks like: one line and its fix, as JSON too where asked, and never a traceback."""

from __future__ import annotations

import pytest

from datawald.cli.main import main
from tests.cli.conftest import CommandLine, Ended, Installation


def test_a_core_that_does_not_answer(datawald: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATAWALD_CORE_URL", "http://127.0.0.1:1")
    ended = datawald("status", "--json")
    assert ended.code == 1
    error = ended.json["error"]
    assert error["code"] == "core_unreachable" and error["exit_code"] == 1
    first, second = ended.err.splitlines()
    assert first.startswith("datawald: the core does not answer at http://127.0.0.1:1: ")
    assert second == "  fix: is `datawald up` running? Else set DATAWALD_CORE_URL to where the core is"


@pytest.mark.parametrize("key", ["", "dw_00000000_wrong"])
def test_a_wrong_key(datawald: CommandLine, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("DATAWALD_API_KEY", key)
    ended = datawald("status")
    assert ended.code == 1
    assert "API key" in ended.err and "datawald keys create NAME --scope operator --direct" in ended.err
    assert "wrong" not in ended.err


def test_something_that_is_no_core(datawald: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATAWALD_CORE_URL", "ftp://somewhere")
    ended = datawald("status")
    assert ended.code == 1 and "DATAWALD_CORE_URL must name a DataWald core" in ended.err


def test_a_store_that_does_not_answer(datawald: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATAWALD_MONGODB_URI", "mongodb://user:hunter2@127.0.0.1:1/?serverSelectionTimeoutMS=200")
    monkeypatch.setattr("datawald.bootstrap.STORE_DEADLINE_MS", 400)
    ended = datawald("keys", "create", "x", "--scope", "read", "--direct")
    assert ended.code == 1
    assert "the store does not answer" in ended.err and "DATAWALD_MONGODB_URI" in ended.err
    assert "hunter2" not in ended.err and len(ended.err.splitlines()) == 2


def test_wrong_settings(datawald: CommandLine, monkeypatch: pytest.MonkeyPatch, installation: Installation) -> None:
    monkeypatch.setenv("DATAWALD_TICK_S", "often")
    assert "DATAWALD_TICK_S" in datawald("status").err
    monkeypatch.delenv("DATAWALD_TICK_S")
    broken = installation.folder / "broken.toml"
    broken.write_text("core_url = \n")
    assert "broken.toml is not TOML" in datawald("--config", str(broken), "status").err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["stauts"], "No such command 'stauts'"),
        (["status", "--bogus"], "No such option '--bogus'"),
        (["records"], "Usage"),
        (["keys", "create", "x"], "Missing option '--scope'"),
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert word in said.out + said.err


def test_usage_errors_as_json(datawald: CommandLine) -> None:
    ended = datawald("status", "--json", "--bogus")
    assert ended.code == 2
    assert ended.json["error"]["code"] == "usage" and ended.json["error"]["fix"] == "datawald status --help"


def test_a_fault_of_ours_is_one_line_without_secrets(datawald: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise RuntimeError("something odd\npassword=hunter2")

    monkeypatch.setattr("datawald.cli.status.connect", fails)
    ended = datawald("status")
    assert ended.code == 1
    assert ended.err.startswith("datawald: a fault of ours: RuntimeError: something odd password=***\n")
    assert "Traceback" not in ended.err and "hunter2" not in ended.err


def test_the_core_can_be_named_on_the_command_line(installation: Installation, ran: Ended) -> None:
    ended = installation.run("--core", "http://127.0.0.1:1", "status")
    assert ended.code == 1 and "http://127.0.0.1:1" in ended.err
