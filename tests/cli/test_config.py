"""``datawald config``: mistakes are named offline, with the fix; what is applied is what the file says."""

from __future__ import annotations

import io
import tomllib
from pathlib import Path

import pytest

from datawald.cli.core import connect
from datawald.sealed import open_secret
from tests.cli.conftest import CommandLine, Ended, Installation

WRONG = """\
[connection.x]
agent = "paper_shop"

[connections.US]
agent = "paper_shop"
endpoint = "http://shop.example"
settings = { file = "f" }

[connections.one]
agent = "paper_shopp"
endpoint = "http://shop.example"

[connections.two]
agent = "paper_shop"
endpoint = "shop.example"

[connections.three]
agent = "paper_shop"
endpoint = "http://shop.example"
settings = { flie = "f", page_size = "many" }
secrets = { tokn = "env:X", token = "very-secret-token" }

[connections.four]
agent = "paper_books"
endpoint = "http://books.example"
settings = { file = "f" }

[connections.five]
agent = "torn"
endpoint = "http://books.example"

[connections.six]
agent = "paper_shop"
endpoint = "http://shop.example"
settings = { file = "f" }

[flows.a]
entity = "ordr"
source = "six"
target = "four"
start_from = 2026-01-01T00:00:00Z

[flows.b]
entity = "order"
source = "four"
target = "six"
start_from = 2026-01-01
evry_s = 5

[flows.c]
entity = "order"
source = "four"
target = "six"
start_from = 2026-01-01T00:00:00Z

[flows.d]
entity = "order"
source = "six"
target = "four"
start_from = 2026-01-01T00:00:00Z
settings = { store_view = ["de"] }

[flows.e]
entity = "shipment"
source = "four"
target = "six"
start_from = 2026-01-01T00:00:00Z
"""


def test_every_mistake_is_named(datawald: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(WRONG)
    ended = datawald("config", "check", str(file), "--json")
    assert ended.code == 1
    mistakes = {one["where"]: (one["what"], one["fix"]) for one in ended.json["mistakes"]}
    assert mistakes["connection"] == ("unknown table", "did you mean connections?")
    assert mistakes["connections.US"][0] == "not a name"
    assert mistakes["connections.one.agent"][0].startswith("unknown agent 'paper_shopp'; known: ")
    assert mistakes["connections.two.endpoint"][1] == "it is 'shop.example'"
    assert mistakes["connections.three.settings.flie"] == ("unknown field", "did you mean file?")
    assert mistakes["connections.three.settings.file"] == ("missing", "add file")
    assert "valid integer" in mistakes["connections.three.settings.page_size"][0]
    assert mistakes["connections.three.secrets.tokn"][1] == "did you mean token?"
    assert "never in the clear" in mistakes["connections.three.secrets.token"][0]
    assert "cannot be loaded" in mistakes["connections.five.agent"][0]
    assert mistakes["flows.a.entity"][0] == "unknown entity 'ordr'; known: order, shipment"
    assert mistakes["flows.b.evry_s"][1] == "did you mean every_s?"
    assert "needs a zone" in mistakes["flows.b.start_from"][0]
    assert "the source of orders is a frontend; four is a backoffice" in mistakes["flows.c.source"][0]
    assert mistakes["flows.d.settings.store_view"][1] == "did you mean store_views?"
    assert "no mapping of 'shipment' is installed for paper_books" in mistakes["flows.e.source"][0]
    assert "very-secret-token" not in ended.out + ended.err
    words = datawald("config", "check", str(file))
    assert f"wrong in {file}" in words.out and "did you mean page" not in words.out


def test_a_setting_may_be_a_map(datawald: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "maps.toml"
    text = '[connections.x]\nagent = "paper_shop"\nendpoint = "http://x.example"\n'
    text += 'settings = { file = "f", carriers = "map:carriers" }\n'
    file.write_text(text + "[maps.carriers]\nDHL = 3\n")
    ended = datawald("config", "check", str(file), "--json")
    assert [one["where"] for one in ended.json["mistakes"]] == ["connections.x.settings.carriers.DHL"]
    file.write_text(text)
    ended = datawald("config", "check", str(file), "--json")
    assert ended.code == 0
    assert ended.json["notes"] == [
        "connections.x.settings.carriers: map carriers is not in this file; it must be in the core already"
    ]


def test_a_file_that_is_no_toml(datawald: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "no.toml"
    file.write_text("[connections\n")
    ended = datawald("config", "check", str(file))
    assert ended.code == 1 and "is not TOML" in ended.err and "line 1" in ended.err
    assert datawald("config", "check", str(tmp_path / "gone.toml")).code == 2


def test_nothing_is_written_of_a_file_with_mistakes(ran: Ended, datawald: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text('[maps.fine]\na = "b"\n[flows.x]\nentity = "order"\n')
    ended = datawald("config", "apply", str(file))
    assert ended.code == 1
    assert "nothing was written" in ended.err and "add source" in ended.err
    assert "fine" not in connect().maps()


def test_what_the_core_refuses_is_named_by_its_table(ran: Ended, datawald: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "late.toml"
    file.write_text(
        '[flows.late]\nentity="order"\nsource="paper_us"\ntarget="nowhere"\nstart_from=2026-01-01T00:00:00Z\n'
    )
    ended = datawald("config", "apply", str(file))
    assert ended.code == 1
    assert "flows.late: there is no connection 'nowhere'" in ended.err
    assert "nowhere is not in this file" in ended.err


def test_applying_twice_changes_nothing(ran: Ended, datawald: CommandLine) -> None:
    ended = datawald("config", "apply", "shop.toml", "--json")
    assert {one["state"] for one in ended.json["applied"]} == {"same"}


def test_what_changes_is_said_first(installation: Installation, ran: Ended, datawald: CommandLine) -> None:
    text = (installation.folder / "shop.toml").read_text()
    (installation.folder / "faster.toml").write_text(text.replace('target = "books"', 'target = "books"\nevery_s = 30'))
    told = datawald("config", "apply", "faster.toml", "--dry-run", "--json").json
    assert [(one["name"], one["changed"]) for one in told["applied"] if one["state"] != "same"] == [
        ("orders_us", ["every_s"])
    ]
    assert connect().flow("orders_us")["every_s"] == 60


def test_enabled_stays_as_it_is_where_the_file_is_silent(ran: Ended, datawald: CommandLine) -> None:
    assert "orders_us is enabled" in datawald("config", "enable", "orders_us").out
    assert datawald("config", "apply", "shop.toml").code == 0
    assert connect().flow("orders_us")["enabled"]
    assert "orders_us is disabled" in datawald("config", "disable", "orders_us").out
    assert not connect().flow("orders_us")["enabled"]


def test_what_is_shown_can_be_applied(installation: Installation, ran: Ended, datawald: CommandLine) -> None:
    shown = datawald("config", "show").out
    assert tomllib.loads(shown)["maps"]["carriers"] == {"DHL Express": "dhl"}
    assert tomllib.loads(shown)["connections"]["paper_us"]["secrets"] == {"token": "***"}
    (installation.folder / "shown.toml").write_text(shown)
    applied = datawald("config", "apply", "shown.toml", "--json")
    assert applied.code == 0, applied.err
    assert {one["state"] for one in applied.json["applied"]} == {"same"}
    assert connect().agent_setup("paper_us")["secrets"] == {"token": "env:PAPER_TOKEN"}


def test_a_secret_is_sealed_from_a_pipe(
    installation: Installation, datawald: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("hunter2\n"))
    sealed = datawald("config", "seal").out.strip()
    assert open_secret(sealed, installation.environment["DATAWALD_MASTER_KEY"]) == "hunter2"
    monkeypatch.setattr("sys.stdin", io.StringIO("hunter2\n"))
    monkeypatch.setenv("DATAWALD_MASTER_KEY", "")
    ended = datawald("config", "seal")
    assert ended.code == 1 and "set DATAWALD_MASTER_KEY" in ended.err and "hunter2" not in ended.err
