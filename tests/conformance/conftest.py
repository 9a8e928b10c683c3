"""The packages of the how-tos, installed as their authors would install them, and a till."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from datawald.domain import registry
from tests.conformance.till_server import TillServer

HERE = Path(__file__).parent
#: Somebody else's packages: an entity with two systems, and one more system for it.
PACKAGES = {"coupons": HERE.parent / "throwaway", "till": HERE / "till"}
#: So that the test modules can be collected; their entry points are found once they are installed.
sys.path[:0] = [str(folder) for folder in PACKAGES.values()]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the packages are installed in."""
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    left_out = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
    for name, folder in PACKAGES.items():
        shutil.copytree(folder, source / name, ignore=left_out)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    command = [*pip, "--target", str(site), *(str(source / name) for name in PACKAGES)]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    return site


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Their entry points are seen by this test, and by no other."""
    monkeypatch.syspath_prepend(str(site))
    known = (registry.entities, registry.agents, registry.mapping, registry._declared)
    for one in known:
        one.cache_clear()
    yield
    for one in known:
        one.cache_clear()


@pytest.fixture
def till(installed: None) -> Iterator[TillServer]:
    server = TillServer()
    try:
        yield server
    finally:
        server.stop()
