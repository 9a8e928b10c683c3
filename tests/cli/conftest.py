"""A real core for the command line: a private store, ``datawald api``, ``worker`` and ``beat``, and two paper systems."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from datawald.cli.main import main
from datawald.domain import registry

BIN = Path(sys.executable).parent
ENTRY_POINTS = """\
[datawald.entities]
order = datawald.entities.order:ENTITY
shipment = datawald.entities.shipment:ENTITY

[datawald.agents]
paper_shop = paper_systems:PaperShop
paper_books = paper_systems:PaperBooks
torn = paper_systems:NotThere

[datawald.mappings]
paper_shop.order = paper_systems:ShopOrders
paper_books.order = paper_systems:BooksOrders
"""


SHOP_TOML = """\
[connections.paper_us]
agent = "paper_shop"
endpoint = "http://shop.example"
settings = {{ file = "{folder}/shop.json" }}
secrets = {{ token = "env:PAPER_TOKEN" }}

[connections.books]
agent = "paper_books"
endpoint = "http://books.example"
settings = {{ file = "{folder}/books.json" }}

[flows.orders_us]
entity = "order"
source = "paper_us"
target = "books"
start_from = 2026-01-01T00:00:00Z

[maps.carriers]
"DHL Express" = "dhl"
"""


@dataclass
class Ended:
    """A command that ran, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Installation:
    """A running core and its folder."""

    folder: Path
    environment: dict[str, str]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def shop(self) -> Path:
        return self.folder / "shop.json"

    @property
    def books(self) -> Path:
        return self.folder / "books.json"

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def begin(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command, env=self.environment, cwd=self.folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        self.processes[name] = process
        return process

    def end(self) -> None:
        # the core last: whoever still works would wait for it
        for process in reversed(self.processes.values()):
            process.terminate()
            try:
                process.wait(12)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def run(self, *arguments: str, **environment: str) -> Ended:
        """The real command, as a process of its own."""
        done = subprocess.run(
            [str(BIN / "datawald"), *arguments],
            env=self.environment | environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def orders(self, *orders: dict[str, Any]) -> None:
        """Puts orders into the shop, changed now."""
        content = json.loads(self.shop.read_text()) if self.shop.exists() else {"orders": []}
        kept = [row for row in content["orders"] if row["id"] not in {order["id"] for order in orders}]
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        content["orders"] = kept + [{"updated": stamp, "total": "10.00", "sku": "PEN", **order} for order in orders]
        part = self.shop.with_suffix(".part")
        part.write_text(json.dumps(content))
        part.rename(self.shop)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str, seconds: float = 30) -> bool:
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    return False


@pytest.fixture(scope="session")
def paper_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package with the paper systems, installed as any other: by its entry points."""
    folder = tmp_path_factory.mktemp("paper")
    shutil.copy(Path(__file__).with_name("paper_systems.py"), folder)
    info = folder / "paper_systems-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: paper-systems\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return folder


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory, paper_folder: Path) -> Iterator[Installation]:
    """A core with a flow of paper orders, enabled, and a key that may do everything."""
    folder = tmp_path_factory.mktemp("installation")
    store, api = free_port(), free_port()
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ},
        "PYTHONPATH": str(paper_folder),
        "DATAWALD_CONFIG": str(folder / "datawald.toml"),
        "DATAWALD_MONGODB_URI": f"mongodb://127.0.0.1:{store}/?directConnection=true",
        "DATAWALD_BROKER_URL": f"spool://{folder}/spool",
        "DATAWALD_CORE_URL": f"http://127.0.0.1:{api}",
        "DATAWALD_TICK_S": "0.3",
        "DATAWALD_MASTER_KEY": "bWFzdGVya2V5bWFzdGVya2V5bWFzdGVya2V5MTIzNDU=",
        "PAPER_TOKEN": "very-secret-token",
    }
    made = Installation(folder, environment)
    made.shop.write_text(json.dumps({"orders": []}))
    made.books.write_text(json.dumps({"booked": {}}))
    try:
        store_command = ["--data-dir", str(folder / "data"), "--host", "127.0.0.1", "-p", str(store)]
        store_command += ["--pid-file", str(folder / "nx.pid"), "--log-file", str(folder / "nx.log")]
        made.begin("store", str(BIN / "nx-27017"), *store_command)
        # begun before the store answers: it waits for it
        made.begin("api", str(BIN / "datawald"), "api", "--bind", f"127.0.0.1:{api}", "--threads", "4")
        assert answers(f"http://127.0.0.1:{api}/health/ready"), made.log("api")
        created = made.run("keys", "create", "tests", "--scope", "operator", "--scope", "worker", "--direct", "--json")
        assert created.code == 0, created.err
        environment["DATAWALD_API_KEY"] = created.json["key"]
        (folder / "shop.toml").write_text(SHOP_TOML.format(folder=folder))
        made.begin("worker", str(BIN / "datawald"), "worker", "--concurrency", "4", "--look-every", "0.5")
        made.begin("beat", str(BIN / "datawald"), "beat")
        yield made
    finally:
        made.end()


@pytest.fixture
def in_process(installation: Installation, monkeypatch: pytest.MonkeyPatch, paper_folder: Path) -> None:
    """This process as one of the installation's."""
    for name, value in installation.environment.items():
        if name not in ("PATH", "HOME", "LANG", "TMPDIR"):
            monkeypatch.setenv(name, value)
    monkeypatch.chdir(installation.folder)
    monkeypatch.syspath_prepend(str(paper_folder))
    for known in (registry.entities, registry.agents, registry.mapping, registry._declared):
        known.cache_clear()


@dataclass
class CommandLine:
    """``datawald`` in this process, for speed: the same ``main`` as the command's."""

    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str) -> Ended:
        self.capsys.readouterr()
        code = main(arguments)
        said = self.capsys.readouterr()
        return Ended(code, said.out, said.err)


@pytest.fixture(scope="session")
def ran(installation: Installation) -> Ended:
    """The first run of the flow, with one order of every fate: each test reads what became of it."""
    applied = installation.run("config", "apply", "shop.toml")
    assert applied.code == 0, applied.err
    installation.orders(
        {"id": "100000001"},
        {"id": "100000002", "total": "1234.50", "name": "Evil \x1b[2J Name"},
        {"id": "100000003", "sku": "REJECT"},
        {"id": "100000004", "sku": "REJECT"},
        {"id": "100000005", "sku": "WAIT"},
        {"id": "100000006", "sku": "MISSING"},
        {"id": "100000007", "sku": "UNREADABLE"},
        {"id": "100000008", "sku": "TEST"},
    )
    return installation.run("sync", "orders_us", "--json")


@pytest.fixture
def datawald(in_process: None, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(capsys)
