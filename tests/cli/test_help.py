"""Help that teaches: every command has it, with examples that are valid, and docs/cli.md says the same."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from datawald.cli.command import Lazy, LazyGroup
from datawald.cli.main import COMMANDS, cli, main
from datawald.cli.reference import commands, render

EVERY = dict(commands(cli, "datawald"))
DOCS = Path(__file__).parents[2] / "docs" / "cli.md"


def examples() -> Iterator[str]:
    for command in EVERY.values():
        for typed, _ in getattr(command, "examples", ()):
            yield typed


@pytest.mark.parametrize("typed", EVERY)
def test_every_command_has_help_and_an_example(typed: str) -> None:
    command = EVERY[typed]
    assert command.help, f"{typed} needs a docstring"
    assert getattr(command, "examples", ()), f"{typed} needs an example"
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, f"{typed} {option.opts[0]} needs help"


@pytest.mark.parametrize("typed", EVERY)
def test_help_is_printed(typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*typed.split()[1:], "--help"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Usage: ")
    assert "Examples:" in printed and "--json" in printed


@pytest.mark.parametrize("typed", sorted(set(examples())))
def test_examples_are_valid(typed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsed as they stand: an option that was renamed must not live on in an example."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.toml").touch()
    inner = re.search(r"\$\((.*)\)", typed)
    command_line = next(part for part in re.split(r"[|>](?=\s)", inner[1] if inner else typed) if "datawald" in part)
    words = shlex.split(command_line)
    assert words[0] == "datawald"
    command: click.Command = cli
    words = words[1:]
    if words and words[0] == "--debug":
        words = words[1:]
    while isinstance(command, click.Group):
        below = command.get_command(click.Context(command), words[0])
        assert below is not None, f"there is no {words[0]}"
        command, words = below, words[1:]
    command.make_context("datawald", words)


def test_the_overview_names_every_command_without_importing_it() -> None:
    program = (
        "import sys; from datawald.cli.main import main; code = main(['--help']); "
        "assert not {'flask', 'pydantic', 'celery', 'pymongo', 'requests'} & set(sys.modules), 'slow'; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name, lazy in COMMANDS.items():
        if lazy.installed() and not lazy.hidden:
            assert f"  {name} " in done.stdout and lazy.short_help in done.stdout


def test_a_command_that_is_not_installed_leaves_the_others_alone(capsys: pytest.CaptureFixture[str]) -> None:
    group = LazyGroup(
        name="datawald",
        lazy={
            "gone": Lazy("datawald.cli.gone", "gone", "Not there"),
            "keys": Lazy("datawald.cli.keys", "keys", "There"),
        },
    )
    assert group.list_commands(click.Context(group)) == ["keys"]
    with pytest.raises(click.UsageError, match="No such command 'gone'"):
        group.main(["gone"], standalone_mode=False)


def test_the_reference_is_current() -> None:
    current = render(cli, "datawald")
    assert DOCS.read_text(encoding="utf-8") == current, "datawald reference > docs/cli.md"


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"datawald, version \d+\.\d+\.\d+.*\n", capsys.readouterr().out)
