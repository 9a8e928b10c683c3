"""A whole DataWald over RabbitMQ, the broker of production: processes get killed, and so does the broker.

One DataWald and one node serve all tests of this file, in their order; each leaves both running.
"""

from __future__ import annotations

import dataclasses
import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection
from kombu.exceptions import OperationalError

from datawald.cli.services import Services
from datawald.cli.supervisor import Service
from datawald.config import Settings
from datawald.usecases.tick import tick
from datawald.worker.bells import Bell, CeleryBells, Line
from datawald.worker.celery import TICK, create_celery
from flask_dwconnector import DWConnector
from tests.broker import rabbitmq
from tests.broker.rabbitmq import RabbitMQ
from tests.spine.conftest import (
    Spine,
    installed,  # noqa: F401 - a fixture
    wait_for,
)

#: Leases of seconds, so that what a killed worker held is soon free again.
TOML = "lease_s = 3\npull_lease_s = 5\ntick_s = 0.5\nquiet_factor = 0\n"
SINCE = {"start_from": "2020-01-01T00:00:00Z"}
#: No request of the API may wait for the broker. It answers in some 30 ms; this is for a machine that is busy.
PROMPT_S = 1.0
#: No process may take longer to end, whatever the broker does.
ENDED_S = 8.0


class House:
    """A DataWald between a shop, a till and books of paper."""

    def __init__(self, spine: Spine, node: RabbitMQ, folder: Path) -> None:
        self.spine, self.node = spine, node
        self.services = spine.services
        self.shop, self.books = folder / "shop", folder / "books"
        for one in (self.shop, self.books):
            one.mkdir()
        paper = {"endpoint": "http://localhost", "deadline_s": 1, "server_may_work_s": 1, "claim_size": 4}
        spine.configure(
            {
                "shop": paper | {"agent": "paper_shop", "settings": {"folder": str(self.shop)}},
                "till": paper | {"agent": "paper_shop", "settings": {"folder": str(self.shop)}},
                "books": paper | {"agent": "paper_books", "settings": {"folder": str(self.books)}},
            },
            {
                source: {"entity": "coupon", "source": source, "target": "books", "enabled": False} | SINCE
                for source in ("shop", "till")
            },
        )
        self.counted = 0
        self.worker_api = DWConnector(self.services.core_url, self.services.worker_key)

    def print_coupons(self, count: int) -> set[str]:
        """New coupons in the shop; the files that they are to become in the books."""
        codes = [f"C{self.counted + n}" for n in range(count)]
        self.counted += count
        for code in codes:
            (self.shop / f"{code}.json").write_text(json.dumps({"code": code, "percent": 10}))
        return {f"shop.{code}.json" for code in codes}

    def stage(self, count: int) -> tuple[set[str], float]:
        """Stages coupons as a till's worker does, a request each. What is to arrive, and the longest request in seconds."""
        self.spine.api.ask_for_run("till")
        lease = self.worker_api.lease_flow("till")
        assert lease, "a worker took the till's flow; none listens to it"
        longest, files = 0.0, set()
        for _ in range(count):
            self.counted += 1
            code = f"T{self.counted}"
            item = {
                "src_id": code,
                "stamp": "2026-01-01T00:00:00Z",
                "payload": {"code": code, "percent": "10"},
                "raw": {},
            }
            body = {"flow": "till", "token": lease["token"], "read_began_ms": lease["now_ms"], "records": [item]}
            began = time.monotonic()
            assert self.worker_api.stage("coupon", body) == ["new"]
            longest = max(longest, time.monotonic() - began)
            files.add(f"till.{code}.json")
        self.worker_api.save_flow("till", lease["token"], then="finish")
        return files, longest

    def undelivered(self) -> list[object]:
        """What is still on its way, with every hop of it."""
        found = [one for one in self.spine.core.store.records.find({}) if one.tx_status.value != "S"]
        return [(one.id, one.tx_status, one.due_ms, self.spine.core.now_ms(), one.retries, one.hops()) for one in found]

    def until_arrived(self, files: set[str], timeout_s: float = 20) -> float:
        """Seconds until these are in the books and reported."""
        began = time.monotonic()
        wait_for(lambda: files <= {file.name for file in self.books.iterdir()}, timeout_s, self._missing(files))
        wait_for(lambda: set(self.spine.statuses()) == {"delivered"}, timeout_s, self.undelivered)
        return time.monotonic() - began

    def _missing(self, files: set[str]) -> Callable[[], Any]:
        return lambda: (sorted(files - {file.name for file in self.books.iterdir()}), self.spine.statuses())

    def end(self, *names: str) -> dict[str, float]:
        """Asks services to end as an operator's system does, and returns how long each took, in seconds."""
        leaving = {one.service.name: one for one in self.services.running() if one.service.name in names}
        began = time.monotonic()
        for one in leaving.values():
            one.process.send_signal(one.service.ends_with)
        took = {}
        while len(took) < len(names) and time.monotonic() - began < 30:
            took |= {
                name: round(time.monotonic() - began, 1)
                for name, one in leaving.items()
                if name not in took and one.process.poll() is not None
            }
            time.sleep(0.05)
        assert set(took) == set(names), "a process does not end"
        for name in names:
            self.services.forget(name)
        return took

    def heard(self) -> str:
        """What the workers have logged since they were ready."""
        logs = [self.services.folder / f"logs/{name}.log" for name in ("worker", "worker2")]
        return "".join(log.read_text().rpartition(" ready.")[2] for log in logs)

    def pids(self) -> dict[str, int]:
        self.services.check()
        return {one.service.name: one.pid for one in self.services.running()}

    def waiting(self, queue: str) -> int:
        """Messages that nobody has fetched."""
        with Connection(self.node.url) as connection, connection.channel() as channel:
            return int(channel.queue_declare(queue, passive=True).message_count)


def _talkative(worker: Service, name: str) -> Service:
    """A worker that logs every bell it hears."""
    environment = worker.environment
    return dataclasses.replace(worker, name=name, environment=lambda: {**environment(), "DATAWALD_LOG_LEVEL": "DEBUG"})


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """Begun, and not waited for: it takes seconds."""
    rabbitmq.require()
    node = RabbitMQ(tmp_path_factory.mktemp("rabbitmq"))
    try:
        node.begin()
        yield node
    finally:
        node.close()


@pytest.fixture(scope="module")
def house(node: RabbitMQ, installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:  # noqa: F811
    folder = tmp_path_factory.mktemp("house")
    with pytest.MonkeyPatch.context() as patch, Services(folder / "services", broker_url=node.url) as services:
        patch.setenv("PYTHONPATH", str(installed))
        (services.folder / "datawald.toml").write_text(TOML)
        for name in ("worker", "worker2"):
            services.services[name] = _talkative(services.services["worker"], name)
        house = House(Spine(services), node, folder)
        services.queues = [queue for queue in services.queues if queue != "till.pull"]
        node.wait_ready()
        services.start("worker", "beat")
        yield house


def test_coupons_travel_over_quorum_queues(house: House) -> None:
    files = house.print_coupons(25)
    task = house.spine.run("shop")
    assert (task["sync_status"], task["counts"]) == ("Completed", {"S": 25})
    assert files <= {file.name for file in house.books.iterdir()}
    queues = house.node.queues("type", "durable", "auto_delete")
    # these and no other
    assert set(queues) == {"core", "books.bulk", "shop.pull"}
    assert set(map(tuple, queues.values())) == {("quorum", "true", "false")}


def test_the_howto_grants_what_these_tests_were_granted() -> None:
    granted = f"'{rabbitmq.CONFIGURE}' '{rabbitmq.WRITE}' '{rabbitmq.READ}'"
    assert granted in (Path(__file__).parents[2] / "docs/howto/rabbitmq.md").read_text()


def test_a_late_bell_is_not_heard(house: House) -> None:
    house.end("worker", "beat")
    app = create_celery(house.services.settings())
    CeleryBells(app, ttl_s=1).ring_lane("books", "books.bulk")
    wait_for(lambda: house.waiting("books.bulk") == 1, 5)
    wait_for(lambda: house.waiting("books.bulk") == 0, 5)
    house.services.start("worker", "worker2")  # the second is for the next test
    CeleryBells(app, ttl_s=10).ring(TICK, "core", {})
    wait_for(lambda: f"Task {TICK}" in house.heard(), 10)
    assert "Task datawald.push" not in house.heard()
    house.services.start("beat")


def test_the_others_go_on_without_a_killed_worker(house: House) -> None:
    files = house.print_coupons(60)
    house.spine.api.ask_for_run("shop")
    wait_for(lambda: len(files & {file.name for file in house.books.iterdir()}) > 8, 20)
    house.services.kill("worker2", signal.SIGKILL)
    print(f"the others had everything after {house.until_arrived(files):.1f} s")


def test_a_killed_broker_costs_time_and_nothing_else(house: House) -> None:
    pids = house.pids()
    files = house.print_coupons(40)
    house.spine.api.ask_for_run("shop")
    wait_for(lambda: len(files & {file.name for file in house.books.iterdir()}) > 4, 20)
    house.node.kill()
    staged, longest = house.stage(30)
    assert longest < PROMPT_S
    house.node.start()
    print(
        f"longest request {longest * 1000:.0f} ms; everything there {house.until_arrived(files | staged):.1f} s after"
    )
    assert house.pids() == pids


def test_a_broker_that_does_not_answer_holds_nobody(house: House) -> None:
    pids = house.pids()
    files, _ = house.stage(2)
    house.until_arrived(files)
    line = Line(create_celery(house.services.settings()))
    line.send(Bell(TICK, "core", {}, time.monotonic() + 5))
    house.node.signal(signal.SIGSTOP)
    try:
        staged, longest = house.stage(30)
        began = time.monotonic()
        tick(house.spine.core)
        ticked = time.monotonic() - began
        # as API and beat are now: with a connection from before, and a queue that is still to be declared
        began = time.monotonic()
        with pytest.raises(OperationalError):
            line.send(Bell(TICK, "nobody.orders", {}, began + 5))
        assert time.monotonic() - began < ENDED_S
        more, later = house.stage(10)
        assert max(longest, later, ticked) < PROMPT_S
        assert house.pids() == pids
        ended = house.end("worker", "beat", "api")
        print(f"longest request {max(longest, later) * 1000:.0f} ms, tick {ticked * 1000:.0f} ms, ended after {ended}")
        assert max(ended.values()) < ENDED_S
        # nor is it needed to begin
        house.services.start("api", "beat")
        house.services.begin("worker")
        last, longest = house.stage(2)
        assert longest < PROMPT_S
    finally:
        house.node.signal(signal.SIGCONT)
    house.services.wait_ready("worker")
    print(f"everything there {house.until_arrived(staged | more | last):.1f} s after it goes on")


def test_a_broker_that_blocks_publishers_holds_nobody(house: House) -> None:
    pids = house.pids()
    files, _ = house.stage(2)
    house.until_arrived(files)
    house.node.ctl("set_vm_memory_high_watermark", "0.0001")
    staged, longest = house.stage(30)
    began = time.monotonic()
    tick(house.spine.core)
    ticked = time.monotonic() - began
    time.sleep(2)  # every publisher has met it now
    assert "waiting" in house.spine.statuses()
    more, later = house.stage(10)
    assert max(longest, later, ticked) < PROMPT_S
    ended = house.end("worker", "beat")
    print(f"longest request {max(longest, later) * 1000:.0f} ms, tick {ticked * 1000:.0f} ms, ended after {ended}")
    assert max(ended.values()) < ENDED_S
    house.node.ctl("set_vm_memory_high_watermark", "0.4")
    house.services.start("worker", "beat")
    print(f"everything there {house.until_arrived(staged | more):.1f} s after the alarm")
    assert set(house.pids()) == set(pids)


def test_a_queue_that_is_refused_holds_no_other(house: House, caplog: pytest.LogCaptureFixture) -> None:
    with Connection(house.node.url) as connection, connection.channel() as channel:
        channel.queue_declare("books.old", durable=True, auto_delete=False)  # classic, as of an older installation
    bells = CeleryBells(create_celery(house.services.settings()), ttl_s=10)
    for _ in range(3):
        bells.ring_lane("books", "books.old")
    bells.ring_lane("nobody", "nobody.bulk")
    wait_for(lambda: _exists(house, "nobody.bulk") and house.waiting("nobody.bulk") == 1, 3)
    told = [line.getMessage() for line in caplog.records if line.name == "datawald.worker.bells"]
    assert len(told) == 1 and "refuses bells for books.old" in told[0] and "x-queue-type" in told[0]


def test_tls_checks_authority_and_name(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def ring(host: str) -> None:
        url = f"amqps://{house.node.user}:{house.node.password}@{host}:{house.node.tls_port}/{rabbitmq.VHOST}"
        bell = Bell(TICK, "core", {}, time.monotonic() + 10)
        Line(create_celery(Settings(broker_url=url))).send(bell)

    with pytest.raises(OperationalError, match="certificate verify failed"):
        ring("127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(house.node.certificate))
    ring("127.0.0.1")
    with pytest.raises(OperationalError, match="not valid for '127.0.0.2'"):
        ring("127.0.0.2")


def _exists(house: House, queue: str) -> bool:
    with Connection(house.node.url) as connection, connection.channel() as channel, suppress(connection.channel_errors):
        channel.queue_declare(queue, passive=True)
        return True
    return False
