"""The embedded broker, with real publishers and real Celery workers that get killed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from kombu import Connection
from kombu.exceptions import OperationalError

from datawald.worker.embedded_broker import spool_url

QUEUES = ["b1_main.orders", "b1_main.bulk", "core", "orders"]  # "orders" ends as another one does

APP = """
import os
import datawald.worker.embedded_broker
from celery import Celery

app = Celery("rung", broker=os.environ["RUNG_BROKER"])
app.conf.update(
    task_default_queue="core", task_ignore_result=True, task_acks_late=True, worker_prefetch_multiplier=1,
    worker_enable_remote_control=False, broker_connection_max_retries=None, broker_connection_retry_on_startup=True,
)

@app.task(name="bell")
def bell(mark):
    with open(os.environ["RUNG_LOG"], "a") as log:  # one short write: lines of several processes do not mix
        log.write(f"{bell.request.delivery_info['routing_key']} {mark}\\n")
"""


class House:
    """A spool folder, the workers that listen to it, and what they heard."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spool = folder / "spool with space"
        self.log = folder / "log"
        self.log.touch()
        (folder / "rung.py").write_text(APP)
        self.environment = {**os.environ, "RUNG_BROKER": spool_url(self.spool), "RUNG_LOG": str(self.log)}
        self.processes: list[subprocess.Popen[bytes]] = []
        self.app = Celery("rung", broker=spool_url(self.spool))

    def worker(self, *queues: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "celery", "-A", "rung", "worker", "-P", "threads", "-c", "8", "-l", "WARNING"]
        command += ["-Q", ",".join(queues or QUEUES), "-n", f"w{len(self.processes)}@test"]
        command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        return self._start(command)

    def publisher(self, first: int, count: int, pause: float = 0.0) -> subprocess.Popen[bytes]:
        code = f"import rung, time\nfor n in range({first}, {first + count}):\n"
        code += f"    rung.bell.apply_async((n,), queue={QUEUES}[n % 4], expires=60, retry=False)\n"
        return self._start([sys.executable, "-c", f"{code}    time.sleep({pause})\n"])

    def _start(self, command: list[str]) -> subprocess.Popen[bytes]:
        with (self.folder / "output").open("ab") as output:
            process = subprocess.Popen(command, env=self.environment, cwd=self.folder, stdout=output, stderr=output)
        self.processes.append(process)
        return process

    def ring(self, mark: str, queue: str = "core", expires: float | None = 60) -> None:
        self.app.send_task("bell", (mark,), queue=queue, expires=expires, retry=False)

    def heard(self) -> list[tuple[str, str]]:
        lines = self.log.read_text().splitlines()
        return [(queue, mark) for queue, mark in (line.split(" ", 1) for line in lines)]

    def marks(self) -> set[str]:
        return {mark for _, mark in self.heard()}

    def until(self, done: Callable[[], bool], seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline:
                pytest.fail(f"it took too long; the processes said: {(self.folder / 'output').read_text()[-3000:]}")
            time.sleep(0.05)

    def close(self) -> None:
        self.app.close()
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.close()


def test_several_processes_share_the_queues(house: House) -> None:
    house.worker()
    house.worker()
    house.publisher(0, 200)
    house.publisher(200, 200)
    house.until(lambda: len(house.marks()) == 400)
    heard = house.heard()
    assert len(heard) == 400  # nobody was killed, so none came twice
    assert all(queue == QUEUES[int(mark) % 4] for queue, mark in heard)
    assert not list(house.spool.rglob("*.*.*"))


def test_a_killed_worker_leaves_a_working_broker(house: House) -> None:
    victim, _ = house.worker(), house.worker()
    publishers = [house.publisher(0, 200, 0.005), house.publisher(200, 200, 0.005)]
    house.until(lambda: len(house.marks()) > 40)
    victim.kill()
    victim.wait()
    house.worker()
    for publisher in publishers:
        assert publisher.wait(20) == 0
    house.until(lambda: len(house.marks()) >= 400 - 16)  # those in its hands may be gone: 8 at work, 8 fetched
    for n in range(8):
        house.ring(f"after-{n}", QUEUES[n % 4])
    house.until(lambda: len([mark for mark in house.marks() if mark.startswith("after-")]) == 8)


def test_the_folder_goes_away_under_all_of_them(house: House) -> None:
    workers = [house.worker(), house.worker()]
    publisher = house.publisher(0, 100, 0.03)
    house.until(lambda: len(house.marks()) > 10)
    shutil.rmtree(house.spool.rename(house.folder / "gone"))  # renamed first: rmtree loses races against a publisher
    house.until(lambda: publisher.poll() is not None)
    assert publisher.returncode == 0
    for queue in QUEUES:
        house.ring(f"after-{queue}", queue)
    house.until(lambda: {f"after-{queue}" for queue in QUEUES} <= house.marks())
    assert [worker.poll() for worker in workers] == [None, None]
    assert len(house.marks()) >= 100 + len(QUEUES) - 8  # what lay in the folder is lost, and no more


def test_a_spool_that_cannot_be_read_is_waited_for(house: House) -> None:
    worker = house.worker()
    house.ring("before")
    house.until(lambda: "before" in house.marks())
    shutil.rmtree(house.spool)
    house.spool.write_text("a file stands where the folder was")
    with pytest.raises(OperationalError):  # the publisher is told, at once
        house.ring("lost")
    time.sleep(1.5)
    assert worker.poll() is None
    house.spool.unlink()
    house.ring("after")
    house.until(lambda: "after" in house.marks())


def test_an_expired_bell_is_not_executed(house: House) -> None:
    house.ring("late", expires=0.2)
    house.ring("in time")
    time.sleep(0.3)
    house.worker()
    house.until(lambda: "in time" in house.marks())
    house.ring("later")
    house.until(lambda: "later" in house.marks())
    assert "late" not in house.marks()


def test_a_worker_that_stops_hands_back_what_it_had_fetched(house: House) -> None:
    with Connection(spool_url(house.spool)) as connection, connection.SimpleQueue("core") as queue:
        queue.put({"n": 1})
        queue.get(timeout=5)  # never acknowledged
    with Connection(spool_url(house.spool)) as connection, connection.SimpleQueue("core") as queue:
        assert queue.get(timeout=5).payload == {"n": 1}


# ------------------------------------------------------------------------------- the files, without a worker


@pytest.fixture
def channel(tmp_path: Path) -> Iterator[Any]:
    with Connection(spool_url(tmp_path / "spool")) as connection:
        yield connection.default_channel


def _message(body: str, expiration: str | None = None) -> dict[str, Any]:
    return {"body": body, "headers": {}, "properties": {"expiration": expiration} if expiration else {}}


def test_messages_come_in_the_order_they_were_put(channel: Any) -> None:
    for n in range(5):
        channel._put("core", _message(str(n)))
        time.sleep(0.002)  # within a millisecond their order is open
    assert channel._size("core") == 5
    assert [channel._get("core")["body"] for _ in range(5)] == list("01234")
    assert channel._size("core") == 0


@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"[1]", b'{"body"'], ids=repr)
def test_a_broken_file_is_dropped(channel: Any, tmp_path: Path, content: bytes) -> None:
    channel._put("core", _message("first"))
    next((tmp_path / "spool" / "core").iterdir()).write_bytes(content)  # as a power cut may leave it
    time.sleep(0.002)
    channel._put("core", _message("second"))
    assert channel._get("core")["body"] == "second"


def test_a_half_written_file_is_not_a_message_and_is_swept(channel: Any, tmp_path: Path) -> None:
    channel._put("core", _message("first"))
    channel._get("core")
    part = tmp_path / "spool" / "core" / "00.part"
    part.write_text("{")
    assert channel._size("core") == 0
    os.utime(part, (1, 1))
    channel._swept.clear()
    channel._put("core", _message("second"))
    assert not part.exists()


def test_a_queue_that_nobody_reads_does_not_grow(channel: Any) -> None:
    for _ in range(50):
        channel._put("b1_gone.orders", _message("x", expiration="10"))
    time.sleep(0.02)
    channel._swept.clear()
    channel._put("b1_gone.orders", _message("x"))
    assert channel._size("b1_gone.orders") == 1


def test_a_queue_name_cannot_leave_the_spool(channel: Any, tmp_path: Path) -> None:
    for queue in ("../x", "..", ".", "a/b", "/etc"):
        channel._put(queue, _message(queue))
        assert channel._get(queue)["body"] == queue
    assert [entry.name for entry in tmp_path.iterdir()] == ["spool"]


def test_a_purge_empties_one_queue(channel: Any) -> None:
    channel._put("a", _message("x"))
    channel._put("b.a", _message("x"))
    assert channel._purge("a") == 1
    assert (channel._size("a"), channel._size("b.a")) == (0, 1)


def test_the_url_names_the_folder(tmp_path: Path) -> None:
    url = spool_url(tmp_path / "with space")
    assert url.startswith("spool:///") and " " not in url
    with Connection(url) as connection:
        assert connection.default_channel.folder == tmp_path / "with space"
        assert json.dumps(connection.as_uri()) == json.dumps(url)
