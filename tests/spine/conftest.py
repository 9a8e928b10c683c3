"""A whole DataWald of real processes for a test: store, API, worker, beat, and what the test adds."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from datawald.bootstrap import make_bells, make_core
from datawald.cli.services import Services
from datawald.sealed import new_master_key
from datawald.usecases import keys
from flask_dwconnector import DWConnector

PACKAGE = Path(__file__).parents[1] / "throwaway"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, installed into a folder of its own."""
    source = tmp_path_factory.mktemp("source") / "package"
    shutil.copytree(PACKAGE, source, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "build"))
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", folder, source], check=True, capture_output=True, text=True, timeout=120)
    return folder


@pytest.fixture
def with_coupons(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every process of the test sees the package, as if it were installed beside DataWald."""
    monkeypatch.setenv("PYTHONPATH", str(installed))


class Spine:
    """A running DataWald and an operator's way in."""

    def __init__(self, services: Services) -> None:
        self.services = services
        services.start("store")
        settings = services.settings()
        self.core = make_core(settings, make_bells(settings))
        services.worker_key = keys.create(self.core, "worker", ["worker"])
        services.master_key = new_master_key()
        self._operator_key = keys.create(self.core, "operator", ["operator"])
        services.start("api")

    @property
    def api(self) -> DWConnector:
        return DWConnector(self.services.core_url, self._operator_key)

    def configure(self, connections: dict[str, Any], flows: dict[str, Any]) -> None:
        for name, body in connections.items():
            self.api.call("PUT", f"/api/connections/{name}", json=body)
        for name, body in flows.items():
            self.api.call("PUT", f"/api/flows/{name}", json=body)
        worker = DWConnector(self.services.core_url, self.services.worker_key)
        self.services.queues = worker.queues()

    def records(self, **filters: Any) -> list[dict[str, Any]]:
        return list(self.api.call("GET", "/api/records", params={"limit": 100} | filters)["records"])

    def statuses(self, **filters: Any) -> dict[str, int]:
        counted: dict[str, int] = {}
        for record in self.records(**filters):
            counted[record["status"]] = counted.get(record["status"], 0) + 1
        return counted

    def run(self, flow: str, timeout_s: float = 60, **body: Any) -> dict[str, Any]:
        """A run of a flow, waited for."""
        task = self.api.call("POST", "/api/sync-tasks", json={"flow": flow} | body)
        return wait_for(
            lambda: self._ended(task["id"]), timeout_s, lambda: self.api.call("GET", f"/api/sync-tasks/{task['id']}")
        )

    def _ended(self, id: str) -> Any:
        task = self.api.call("GET", f"/api/sync-tasks/{id}")
        return task if task["ended"] else None


def wait_for(question: Callable[[], Any], timeout_s: float, tell: Callable[[], Any] = lambda: "") -> Any:
    """The first true answer. Fails with what ``tell`` says when the time is over."""
    ends_at = time.monotonic() + timeout_s
    while time.monotonic() < ends_at:
        if answer := question():
            return answer
        time.sleep(0.1)
    raise AssertionError(f"not within {timeout_s} s: {tell()}")


@pytest.fixture
def spine(tmp_path: Path) -> Iterator[Spine]:
    with Services(tmp_path / "services") as services:
        yield Spine(services)
