"""The how-tos say what is so: every block of code is a part of a file that runs, and what they claim is looked up.

A block is announced by a comment above it: ``<!-- from FILE -->`` (an excerpt), ``<!-- config -->`` (connections and flows),
``<!-- routes -->``, ``<!-- promises CLASS -->`` (a table that is made here: run this file as a program to write it).
"""

from __future__ import annotations

import inspect
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import click
import pytest

from datawald import testing
from datawald.api import create_app
from datawald.cli.main import cli
from datawald.domain.agent import Agent
from datawald.domain.connection import Connection
from datawald_b1agency import B1Agency
from datawald_mage2agency import Mage2Agency
from datawald_mage2agent import Mage2Agent
from tests.agencies.b1_company import recorded
from tests.conformance.test_mage2agency import TestOrdersOutOfMagento as OrdersOutOfMagento
from tests.conformance.test_mage2agency import sandbox, system

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "howto").glob("write-*.md"))
#: Kind, what stands behind it, language, code.
Block = tuple[str, str, str, str]

__all__ = ["sandbox", "system"]  # fixtures


# --- an agent of one's own --------------------------------------------------------------------------------------------


def test_purchase_orders_look_alike() -> None:
    agent = Mage2Agent(Connection("mage2_us", "mage2_sample", "https://shop.example"))
    order = recorded("customer").model_copy(update={"po_number": "po-77", "store_view": "us"})
    assert agent.enrich("order", order, {}).po_number == "US/PO-77"


class TestOrdersOfOurShop(OrdersOutOfMagento):
    agency = Mage2Agent


# --- the pages --------------------------------------------------------------------------------------------------------


def blocks(page: Path) -> Iterator[Block]:
    found = re.finditer(r"(?:<!-- (\w+) ?(\S*) -->\n)?```(\w+)\n(.*?)^```$", page.read_text(), re.M | re.S)
    yield from (cast(Block, tuple(part or "" for part in one.groups())) for one in found)


def all_blocks() -> list[tuple[Path, Block]]:
    return [(page, block) for page in PAGES for block in blocks(page)]


def test_every_python_block_is_an_excerpt() -> None:
    assert len(PAGES) == 3
    for page, (kind, source, language, code) in all_blocks():
        if language == "python":
            assert kind == "from", f"{page.name}: a block of code comes from a file that runs:\n{code}"
        if kind == "from":
            assert code in (ROOT / source).read_text(), f"{page.name}: {source} has not this text:\n{code}"


def test_every_file_that_is_named_is_there() -> None:
    for page in PAGES:
        for name in re.findall(r"`((?:tests|datawald|frontend|backoffice|docs)/[\w/.-]+)`", page.read_text()):
            there = (ROOT / name).exists() or "coupon" in name  # the page has you write that one
            assert there, f"{page.name}: there is no {name}"
        for name in re.findall(r"\]\(([\w./-]+)(?:#[\w-]+)?\)", page.read_text()):
            assert (page.parent / name).exists(), f"{page.name}: the link to {name} leads nowhere"


@pytest.fixture
def our_shop(tmp_path: Path) -> Path:
    """What ``write-an-agent.md`` has you do: copy a sample, rename it, declare it, install it."""
    page = ROOT / "docs" / "howto" / "write-an-agent.md"
    (pyproject,) = [code for _, _, language, code in blocks(page) if language == "toml" and "[project]" in code]
    folder, there = tmp_path / "our-shop", tmp_path / "site"
    shutil.copytree(ROOT / "frontend" / "datawald_mage2agent", folder / "our_shop")
    for file in (folder / "our_shop").glob("*.py"):
        text = file.read_text().replace("datawald_mage2agent", "our_shop").replace("Mage2Agent", "OurShop")
        file.write_text(text)
    (folder / "pyproject.toml").write_text(pyproject)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", there, folder], check=True, timeout=120)
    return there


def test_every_configuration_is_right(site: Path, our_shop: Path, tmp_path: Path) -> None:
    configs = [(page, code) for page, (kind, _, _, code) in all_blocks() if kind == "config"]
    assert len(configs) == 3
    for page, code in configs:
        file = tmp_path / f"{page.stem}.toml"
        file.write_text(code)
        command = [sys.executable, "-m", "datawald.cli.main", "config", "check", str(file)]
        env = {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{our_shop}"}
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 and "nothing wrong" in done.stdout, f"{page.name}: {done.stdout}{done.stderr}"


def test_the_routes_of_an_entity(installed: None) -> None:
    app = create_app(cast(Any, None), max_body_bytes=1000)
    ours = {
        f"{verb} {rule.rule}"
        for rule in app.url_map.iter_rules()
        for verb in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule.startswith("/api/records/coupon")
    }
    (told,) = [code for _, (kind, _, _, code) in all_blocks() if kind == "routes"]
    assert set(told.split("\n")) - {""} == ours


def test_the_commands_that_are_named_exist() -> None:
    lines = [line for _, (_, _, language, code) in all_blocks() if language == "sh" for line in code.splitlines()]
    told = [line.split()[1:] for line in lines if line.startswith("datawald ")]
    assert len(told) > 5
    for words in told:
        command: click.Command = cli
        while isinstance(command, click.Group):
            below = command.get_command(click.Context(command), words[0])
            assert below is not None, f"datawald has no {' '.join(words)}"
            command, words = below, words[1:]
        options = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
        assert {word for word in words if word.startswith("--")} <= options, words


def test_the_steps_that_can_be_overridden() -> None:
    page = (ROOT / "docs" / "howto" / "write-an-agent.md").read_text()
    of = {"every agency": Agent, "`Mage2Agency`": Mage2Agency, "`B1Agency`": B1Agency}
    steps = re.findall(r"^\| `(\w+)\(([^)]*)\)` \| ([^|]+) \|", page, re.M)
    assert len(steps) == 6
    for name, arguments, whose in steps:
        told = [one.strip() for one in arguments.split(",")]
        assert list(inspect.signature(getattr(of[whose], name)).parameters) == ["self", *told]


def promises(name: str) -> str:
    """The tests of a class of the kit as a table: its name in words, and the first sentence of what it proves."""
    kind = getattr(testing, name)
    rows = ["| test | promise |", "|---|---|"]
    for one, method in vars(kind).items():
        if one.startswith("test_"):
            said = " ".join((inspect.getdoc(method) or "").split("\n\n")[0].split()).replace("|", "\\|")
            rows.append(f"| `{one}` | {said.replace('``', '`')} |")
    return "\n".join(rows)


def with_promises(text: str) -> str:
    for name in ("TargetConformance", "SourceConformance"):
        mark = f"<!-- promises {name} -->\n"
        before, _, after = text.partition(mark)
        after = re.sub(r"\A\n*(\|.*\n)*\n*", "", after)
        text = f"{before}{mark}\n{promises(name)}\n\n{after}"
    return text


def test_every_promise_is_told() -> None:
    page = ROOT / "docs" / "howto" / "write-an-agency.md"
    assert page.read_text() == with_promises(page.read_text()), f"run: python -m {__name__}"


def test_every_toml_block_is_toml() -> None:
    for _, (_, _, language, code) in all_blocks():
        if language == "toml":
            tomllib.loads(code)


if __name__ == "__main__":
    page = ROOT / "docs" / "howto" / "write-an-agency.md"
    page.write_text(with_promises(page.read_text()))
