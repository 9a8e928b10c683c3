"""The documentation keeps up with the code: what is not mentioned fails here, and so does what does not exist."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from decimal import Decimal
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, cast

import click
import pytest
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from datawald.api import create_app, wire
from datawald.api.openapi import document
from datawald.cli import config as config_command
from datawald.cli.main import cli
from datawald.config import Settings
from datawald.domain.record import TxStatus
from datawald.domain.registry import agents
from datawald.staging import Store
from datawald_b1agency import settings as b1
from datawald_mage2agency import settings as mage2

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "connectors").glob("*.md")])

#: Where each model's options are told.
SECTIONS: dict[str, type[BaseModel]] = {
    "## A connection: `[connections.NAME]`": wire.ConnectionBody,
    "## A flow: `[flows.NAME]`": wire.FlowBody,
    "## Agent `mage2`: a Magento 2 connection": mage2.Mage2Settings,
    "### `mage2`: store_views": mage2.StoreView,
    "### `mage2`: extras": mage2.ExtraAmount,
    "### A flow of orders from `mage2`": mage2.OrderFlow,
    "## Agent `b1`: a SAP Business One connection": b1.B1Settings,
    "### `b1`: taxes": b1.TaxOption,
    "### `b1`: extras": b1.ExtraOption,
    "### `b1`: rounding": b1.RoundingOptions,
    "### `b1`: static": b1.StaticOptions,
    "### `b1`: carriers": b1.CarrierOption,
}


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """What stands below a heading, up to the next one of any level."""
    assert f"\n{heading}\n" in text, f"no section {heading!r}"
    return re.split(r"\n#+ ", text.split(f"\n{heading}\n", 1)[1])[0]


def rows(text: str) -> dict[str, list[str]]:
    """Rows of a table by the name in the first cell."""
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells and (name := re.fullmatch(r"`([A-Za-z0-9_]+)`", cells[0])):
            found[name[1]] = cells[1:]
    return found


def written(field: FieldInfo) -> str | None:
    """A default as the tables write it; None for one that is told in words."""
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is None or value is PydanticUndefined:
        return "none"
    if isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
        return None
    if isinstance(value, Decimal):
        return f"`{value}`"
    return f"`{json.dumps(list(value) if isinstance(value, tuple) else value)}`"


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_option_and_its_default_are_told(heading: str) -> None:
    told = rows(section(page("docs/configuration.md"), heading))
    fields = SECTIONS[heading].model_fields
    assert sorted(told) == sorted(fields)
    for name, field in fields.items():
        default = written(field)
        assert default is None or told[name][0] == default, name
        assert len(told[name][1]) > 10, f"{name} is told in no words"


def test_every_setting_and_its_default_are_told() -> None:
    told = rows(section(page("docs/configuration.md"), "## Settings of a process"))
    fields = {f"DATAWALD_{name.upper()}": field for name, field in Settings.model_fields.items()}
    for name, field in fields.items():
        assert told[name][0] == written(field), name
    assert set(told) == set(fields)


def test_every_secret_is_told() -> None:
    text = section(page("docs/configuration.md"), "### Secrets")
    for point in _ours("datawald.agents"):
        assert f"`{point}`" in page("docs/configuration.md"), f"agent {point}"
        for name in agents()[point].secret_names:
            assert f"`{name}`" in text, name


def test_every_entity_is_told() -> None:
    for name in _ours("datawald.entities"):
        for where in ("docs/architecture.md", "docs/configuration.md"):
            assert f"`{name}`" in page(where), f"{name} is not in {where}"


def test_every_status_is_told() -> None:
    for where in ("README.md", "docs/architecture.md"):
        for status in TxStatus:
            assert f"| `{status.value}` | {status.long_name} |" in page(where), f"{status!r} is not in {where}"


def test_every_make_target_is_told_and_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", page("Makefile"), re.M))
    told = set(re.findall(r"`make ([a-z-]+)[^`]*`|^make ([a-z-]+)", page("README.md"), re.M))
    named = {one or other for one, other in told}
    assert named == targets


def test_every_route_is_told_and_exists() -> None:
    paths = document(create_app(cast(Any, None), max_body_bytes=1))["paths"]
    # the routes of an entity are the same for all
    routes = {
        f"{verb.upper()} {re.sub(r'^/api/records/[a-z_]+', '/api/records/{entity}', path)}"
        for path, verbs in paths.items()
        for verb in verbs
    }
    told = set(re.findall(r"`((?:GET|POST|PUT|DELETE) /[^`?]*)`", section(page("docs/architecture.md"), "## The wire")))
    assert told == routes


def test_every_collection_is_told() -> None:
    told = set(rows(section(page("docs/architecture.md"), "## What is stored")))
    prepared = re.findall(r'database\["(\w+)"\]', (ROOT / "datawald/staging/store.py").read_text(encoding="utf-8"))
    assert told == set(prepared), Store


@pytest.mark.parametrize("file", PAGES, ids=lambda file: str(file.relative_to(ROOT)))
def test_links_lead_somewhere(file: Path) -> None:
    prose = re.sub(r"```.*?```", "", file.read_text(encoding="utf-8"), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        there = (file.parent / name) if name else file
        assert there.exists(), f"{file.name} links to {target}"
        if anchor:
            assert anchor in _anchors(there), f"{file.name} links to {target}"


# the facts are rules for more than what is built yet, commands among them
@pytest.mark.parametrize(
    "file", [file for file in PAGES if file.parent.name != "facts"], ids=lambda file: str(file.relative_to(ROOT))
)
def test_commands_exist(file: Path) -> None:
    """``datawald status``, alone between backticks or at the beginning of a line of a block."""
    for words in _commands(file.read_text(encoding="utf-8")):
        command: click.Command = cli
        for word in words:
            if not isinstance(command, click.Group):
                break
            if word.startswith("-"):
                continue
            found = command.get_command(click.Context(command), word)
            assert found, f"{file.name}: there is no `datawald {' '.join(words)}`"
            command = found
        known = {name for one in (command, cli) for param in one.params for name in param.opts}
        for word in words:
            assert not re.fullmatch(r"--[a-z-]+", word) or word in known | {"--help"}, f"{file.name}: {' '.join(words)}"


def test_files_that_are_named_exist() -> None:
    names = {path.name for path in ROOT.rglob("*.py") if ".venv" not in path.parts}
    text = page("docs/architecture.md")
    for name in set(re.findall(r"`(?:[\w/]+/)?(\w+\.py)", text)):
        assert name in names, name
    for name in set(re.findall(r"`((?:datawald|bench|tests)/[\w/]+\.py)", text)):
        assert (ROOT / name).exists(), name


def test_functions_that_are_named_exist() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in _sources())
    for cell in re.findall(r"`([^`]+)`", section(page("docs/architecture.md"), "## One order, from Magento to SAP")):
        for name in re.findall(r"(?:: |, )?\b(_?[a-z]\w+|[A-Z]\w+\.\w+)$", cell.split(": ")[-1]):
            assert re.search(rf"\b{name.split('.')[-1]}\b", source), cell


def test_the_readmes_python_runs() -> None:
    for block in re.findall(r"```python\n(.*?)```", page("README.md"), re.S):
        exec(compile(block, "README.md", "exec"), {})


def test_the_readmes_configuration_is_right(tmp_path: Path) -> None:
    block = re.search(r"```toml\n(.*?)```", page("README.md"), re.S)
    assert block and tomllib.loads(block[1])
    file = tmp_path / "shop.toml"
    file.write_text(block[1], encoding="utf-8")
    assert config_command.read(file).mistakes == []


def _ours(group: str) -> list[str]:
    return [point.name for point in distribution("datawald").entry_points if point.group == group]


def _sources() -> Iterator[Path]:
    for room in ("datawald", "frontend", "backoffice", "connectors"):
        yield from (ROOT / room).rglob("*.py")


def _anchors(file: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def _commands(text: str) -> Iterator[list[str]]:
    for quoted in re.findall(r"`datawald ([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.S)):
        yield from _words(quoted)
    for block in re.findall(r"```(?:\w*)\n(.*?)```", text, re.S):
        for line in block.splitlines():
            if typed := re.match(r"\s*(?:\$ )?(?:[\w./]*bin/)?datawald ([a-z-].*)", line):
                yield from _words(typed[1])


def _words(text: str) -> Iterator[list[str]]:
    # a usage line's placeholders are no commands
    command = re.split(r"\s#|\s\||[…\[]", text)[0].strip()
    try:
        yield shlex.split(command)
    except ValueError:
        return
