"""The fault switches, on a real process: what the client sees and what the application did."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask, request

import sandbox_faults

FAULTS = "/_sandbox/faults"


def counting_app() -> Flask:
    """Counts the bodies it was sent."""
    app = Flask(__name__)
    bodies: list[str] = []

    @app.post("/things/<name>")
    def add(name: str) -> Any:
        bodies.append(request.get_data(as_text=True))
        return {"name": name, "count": len(bodies)}

    @app.get("/things")
    def things() -> Any:
        return {"bodies": bodies}

    @app.get("/_sandbox/bodies")
    def seen() -> Any:
        return {"bodies": bodies}

    sandbox_faults.install(app)
    return app


class Process:
    """One running counting application."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.popen = subprocess.Popen([sys.executable, __file__, str(self.port)])
        deadline = time.monotonic() + 20
        while True:
            try:
                requests.get(self.url + FAULTS, timeout=1)
                break
            except requests.ConnectionError:
                assert self.popen.poll() is None and time.monotonic() < deadline, "the sandbox does not start"
                time.sleep(0.05)

    def fault(self, **rule: Any) -> int:
        answer = requests.post(self.url + FAULTS, json=rule, timeout=5)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def post(self, name: str = "a", body: str = "x", timeout: float = 5) -> requests.Response:
        return requests.post(f"{self.url}/things/{name}", data=body, timeout=timeout)

    def bodies(self) -> list[str]:
        return requests.get(f"{self.url}/_sandbox/bodies", timeout=5).json()["bodies"]

    def stop(self) -> None:
        self.popen.terminate()
        self.popen.wait(10)


@pytest.fixture(scope="module")
def process() -> Iterator[Process]:
    running = Process()
    yield running
    running.stop()


@pytest.fixture
def sandbox(process: Process) -> Iterator[Process]:
    yield process
    requests.delete(process.url + FAULTS, timeout=5)


def test_without_faults_requests_pass(sandbox: Process) -> None:
    before = len(sandbox.bodies())
    assert sandbox.post(body="plain").json()["count"] == before + 1


def test_a_reset_before_leaves_no_trace(sandbox: Process) -> None:
    before = sandbox.bodies()
    sandbox.fault(kind="reset_before", method="POST", path="/things/*", times=1)
    with pytest.raises(requests.ConnectionError, match="[Rr]eset"):
        sandbox.post(body="lost")
    assert sandbox.bodies() == before
    assert sandbox.post().status_code == 200


def test_a_reset_after_commit_was_worked_once(sandbox: Process) -> None:
    before = sandbox.bodies()
    sandbox.fault(kind="reset_after_commit", method="POST", path="/things/*", times=1)
    with pytest.raises(requests.ConnectionError, match="[Rr]eset"):
        sandbox.post(body="done")
    assert sandbox.bodies() == [*before, "done"]


def test_a_late_commit_happens_after_the_client_has_given_up(sandbox: Process) -> None:
    before = sandbox.bodies()
    sandbox.fault(kind="reset_commit_later", method="POST", times=1, seconds=0.4)
    started = time.monotonic()
    with pytest.raises(requests.ConnectionError, match="[Rr]eset"):
        sandbox.post(body="late")
    assert time.monotonic() - started < 0.3
    assert sandbox.bodies() == before
    time.sleep(0.6)
    assert sandbox.bodies() == [*before, "late"]


def test_a_kept_alive_connection_is_reset_too(sandbox: Process) -> None:
    with requests.Session() as session:
        session.get(f"{sandbox.url}/things", timeout=5)
        sandbox.fault(kind="reset_after_commit", path="/things", times=1)
        with pytest.raises(requests.ConnectionError, match="[Rr]eset"):
            session.get(f"{sandbox.url}/things", timeout=5)
        assert session.get(f"{sandbox.url}/things", timeout=5).status_code == 200


def test_a_status_fault_answers_for_the_application(sandbox: Process) -> None:
    before = sandbox.bodies()
    sandbox.fault(
        kind="status", status=429, retry_after=1.2, body="slow down", content_type="text/plain", method="POST", times=1
    )
    answer = sandbox.post()
    assert (answer.status_code, answer.text, answer.headers["Retry-After"]) == (429, "slow down", "2")
    assert answer.headers["Content-Type"] == "text/plain"
    assert sandbox.bodies() == before
    sandbox.fault(kind="status", status=502, times=1)
    assert "<html>" in sandbox.post().text


def test_latency_does_not_queue_requests(sandbox: Process) -> None:
    sandbox.fault(kind="latency", seconds=0.3, method="POST")
    started = time.monotonic()
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda number: sandbox.post(str(number)), range(10)))
    assert {answer.status_code for answer in answers} == {200}
    assert 0.3 <= time.monotonic() - started < 1.5


def test_a_drip_outlives_a_read_timeout(sandbox: Process) -> None:
    sandbox.fault(kind="drip", seconds=0.03, method="POST", times=1)
    started = time.monotonic()
    answer = sandbox.post(timeout=0.2)  # counts between bytes only: a client needs a total deadline of its own
    assert answer.json()["name"] == "a"
    assert time.monotonic() - started > 0.5


def test_every_nth_and_times(sandbox: Process) -> None:
    rule = sandbox.fault(kind="status", status=503, every=3, method="POST")
    assert [sandbox.post().status_code for _ in range(6)] == [200, 200, 503, 200, 200, 503]
    listed = requests.get(sandbox.url + FAULTS, timeout=5).json()["faults"]
    assert [(one["id"], one["matched"], one["fired"]) for one in listed] == [(rule, 6, 2)]
    assert requests.delete(f"{sandbox.url}{FAULTS}/{rule}", timeout=5).status_code == 200
    assert requests.delete(f"{sandbox.url}{FAULTS}/{rule}", timeout=5).status_code == 404
    sandbox.fault(kind="status", status=503, times=2, method="POST")
    assert [sandbox.post().status_code for _ in range(3)] == [503, 503, 200]


def test_probability_is_repeatable(sandbox: Process) -> None:
    def run() -> list[int]:
        rule = sandbox.fault(kind="status", status=500, probability=0.5, seed=7, method="POST")
        codes = [sandbox.post().status_code for _ in range(12)]
        requests.delete(f"{sandbox.url}{FAULTS}/{rule}", timeout=5)
        return codes

    first = run()
    assert set(first) == {200, 500}
    assert run() == first


def test_control_routes_are_never_at_fault(sandbox: Process) -> None:
    sandbox.fault(kind="reset_before", path="*")
    assert requests.get(sandbox.url + FAULTS, timeout=5).status_code == 200


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ({"kind": "explode"}, "kind"),
        ({"kind": "latency"}, "seconds"),
        ({"kind": "latency", "seconds": "1"}, "seconds"),
        ({"kind": "status"}, "status"),
        ({"kind": "status", "status": 99}, "status"),
        ({"kind": "reset_before", "times": 0}, "times"),
        ({"kind": "reset_before", "every": 1.5}, "every"),
        ({"kind": "reset_before", "probability": 2}, "probability"),
        ({"kind": "reset_before", "path": "things"}, "path"),
        ({"kind": "reset_before", "colour": "red"}, "colour"),
        ([], "rule"),
    ],
)
def test_a_bad_rule_is_refused_by_name(sandbox: Process, rule: Any, field: str) -> None:
    answer = requests.post(sandbox.url + FAULTS, json=rule, timeout=5)
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, field)


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_though_a_connection_is_idle(ending: signal.Signals) -> None:
    running = Process()
    with requests.Session() as session:
        session.get(f"{running.url}/things", timeout=5)
        started = time.monotonic()
        running.popen.send_signal(ending)
        running.popen.wait(10)
    assert time.monotonic() - started < 2  # about 0.3 s; the rest is for a busy machine
    with pytest.raises(requests.ConnectionError):
        requests.get(running.url, timeout=1)


if __name__ == "__main__":
    os.chdir(Path(__file__).parent)
    sandbox_faults.serve(counting_app(), "127.0.0.1", int(sys.argv[1]))
