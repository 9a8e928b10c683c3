"""``datawald demo`` as people run it: a process of its own, judged by what it prints and what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from datawald.cli import processes

DEMO = [sys.executable, "-m", "datawald.cli.main", "demo", "--orders", "20"]


def environment(temporary: Path) -> dict[str, str]:
    """Of somebody who has a DataWald of his own, which the demo must not touch."""
    elsewhere = {"DATAWALD_MONGODB_URI": "mongodb://127.0.0.1:1/", "DATAWALD_CORE_URL": "http://127.0.0.1:1"}
    return os.environ | elsewhere | {"TMPDIR": str(temporary), "http_proxy": "http://127.0.0.1:1"}


def pids(temporary: Path) -> list[int]:
    """The processes of the run that goes on in a temporary folder."""
    found = []
    for note in temporary.glob("datawald-demo-*/run/*.json"):
        try:
            found.append(int(json.loads(note.read_text())["pid"]))
        except (OSError, ValueError):
            continue
    return found


@pytest.mark.timeout(120)
def test_every_promise_holds(tmp_path: Path) -> None:
    abandoned = tmp_path / "datawald-demo-killed"
    (abandoned / "run").mkdir(parents=True)
    (abandoned / "lock").write_text("1\n")
    run = subprocess.run(
        [*DEMO, "--json"], env=environment(tmp_path), cwd=tmp_path, capture_output=True, text=True, timeout=110
    )
    told: dict[str, Any] = json.loads(run.stdout)
    assert run.returncode == 0, [check for check in told["checks"] if not check["ok"]] or told["trouble"]
    assert told["ok"] and told["trouble"] == ""
    assert told["orders"] == 20
    assert [act["act"] for act in told["acts"]] == ["Begin", "Orders", "Shipments", "Difference", "Mended"]
    assert all(check["ok"] and check["count"] for check in told["checks"])
    assert not list(tmp_path.iterdir()), "it takes everything away, and what a killed run had left"


def test_a_program_that_dies_is_named_and_its_log_kept(tmp_path: Path) -> None:
    command = [*DEMO, "--orders", "2000"]
    with subprocess.Popen(command, env=environment(tmp_path), cwd=tmp_path, stdout=subprocess.PIPE, text=True) as run:
        ends_at = time.monotonic() + 30
        while len(pids(tmp_path)) < 6 and time.monotonic() < ends_at:
            time.sleep(0.05)
        note = next(tmp_path.glob("datawald-demo-*/run/api.json"))
        os.killpg(json.loads(note.read_text())["pid"], signal.SIGKILL)
        said, _ = run.communicate(timeout=60)
    assert run.returncode == 1
    assert "api ended with status -9" in said
    log = next(line.strip() for line in said.splitlines() if line.strip().endswith("api.log"))
    assert Path(log).exists()


def test_ctrl_c_ends_everything(tmp_path: Path) -> None:
    with subprocess.Popen(
        DEMO, env=environment(tmp_path), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        ends_at = time.monotonic() + 30
        while len(pids(tmp_path)) < 4 and time.monotonic() < ends_at:
            time.sleep(0.05)
        begun = pids(tmp_path)
        run.send_signal(signal.SIGINT)
        said, errors = run.communicate(timeout=20)
    assert run.returncode == 130
    assert len(begun) >= 4
    assert not any(processes.birth(pid) for pid in begun)
    assert "Traceback" not in said + errors
    assert not list(tmp_path.iterdir())
