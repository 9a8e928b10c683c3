"""``datawald api``, ``worker`` and ``beat``: they wait politely, hear of new lanes, and end quickly."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from tests.cli.conftest import BIN, CommandLine, Ended, Installation, free_port


def until(installation: Installation, name: str, word: str, seconds: float = 15) -> bool:
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        if word in installation.log(name):
            return True
        time.sleep(0.05)
    return False


def test_a_worker_hears_of_lanes_that_came_later(installation: Installation, ran: Ended) -> None:
    """The flow was made when the worker ran already; that its run ended is the proof, the log says why."""
    log = installation.log("worker")
    assert '"listening to core"' in log
    assert "listening to books.orders too" in log and "listening to paper_us.pull too" in log


def test_processes_speak_json_and_show_no_secret(installation: Installation, ran: Ended) -> None:
    for name in ("api", "worker", "beat"):
        log = installation.log(name)
        assert all(line.startswith("{") for line in log.splitlines() if line), log[:2000]
        assert "very-secret-token" not in log and installation.environment["DATAWALD_API_KEY"] not in log


def test_all_three_end_quickly(installation: Installation, ran: Ended) -> None:
    endings = (signal.SIGTERM, signal.SIGINT)
    begun: dict[str, subprocess.Popen[bytes]] = {}
    words: dict[str, str] = {}
    for ending in endings:
        port = free_port()
        for name, ready, arguments in (
            ("api", "Booting worker", ["--bind", f"127.0.0.1:{port}"]),
            ("worker", "ready.", ["--queues", f"other.{ending.name.lower()}"]),
            ("beat", "ticking every", []),
        ):
            log = f"{ending.name}-{name}"
            begun[log] = installation.begin(log, str(BIN / "datawald"), name, *arguments)
            words[log] = ready
    for log, ready in words.items():
        assert until(installation, log, ready), installation.log(log)
    time.sleep(1)
    for log, process in begun.items():
        process.send_signal(signal.SIGTERM if "TERM" in log else signal.SIGINT)
    for log, process in begun.items():
        code = process.wait(8)
        assert code == 0 or (code == 130 and "INT" in log), installation.log(log)
        assert "Traceback" not in installation.log(log)


def test_a_worker_waits_for_a_core_that_is_not_up_yet(installation: Installation) -> None:
    environment = installation.environment | {"DATAWALD_CORE_URL": "http://127.0.0.1:1"}
    process = subprocess.Popen([str(BIN / "datawald"), "worker"], env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert "waiting for the core at http://127.0.0.1:1" in process.stderr.readline()
    process.terminate()
    assert process.wait(5) == 0


def test_a_worker_with_a_wrong_key_says_so(installation: Installation) -> None:
    ended = installation.run("worker", DATAWALD_API_KEY="dw_00000000_wrong")
    assert ended.code == 1
    assert "unknown API key" in ended.err and "Traceback" not in ended.err


def test_a_taken_port_is_named(installation: Installation) -> None:
    bind = installation.environment["DATAWALD_CORE_URL"].removeprefix("http://")
    ended = installation.run("api", "--bind", bind)
    assert ended.code == 1
    assert f"cannot listen on {bind}" in ended.err and "--bind HOST:PORT" in ended.err
    assert installation.run("api", "--bind", "8800").code == 2


def test_an_api_without_a_store_says_so(datawald: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATAWALD_MONGODB_URI", "mongodb://127.0.0.1:1/?directConnection=true")
    monkeypatch.setattr("datawald.logs.configure", lambda level: None)
    ended = datawald("api", "--bind", f"127.0.0.1:{free_port()}", "--wait", "0")
    assert ended.code == 1 and "the store does not answer" in ended.err


def test_a_task_that_does_not_end_does_not_keep_the_worker() -> None:
    program = "import time; from datawald.cli.worker import _leave_after; _leave_after(0.2); time.sleep(30)"
    began = time.monotonic()
    assert subprocess.run([sys.executable, "-c", program], capture_output=True).returncode == 0
    assert time.monotonic() - began < 10
