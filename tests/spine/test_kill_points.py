"""Processes that really die, at named points and at random: nothing is lost and nothing is doubled.

One DataWald with leases of seconds serves every test here; each test places orders of its own, and all of them are matched
against what the SAP sandbox itself holds.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from datawald.cli import processes
from datawald.cli.demo.configuration import MAGENTO, MAGENTO_SETTINGS, SAP, SAP_SETTINGS
from datawald.cli.demo.systems import Magento
from datawald.cli.services import Services, call_sandbox
from datawald.sealed import seal
from tests.spine.conftest import Spine, wait_for

LEASE_S, DEADLINE_S, SERVER_MAY_WORK_S = 5, 1, 5

TOML = f"lease_s = {LEASE_S}\npull_lease_s = 5\ntick_s = 0.5\n"


class Trading(Spine):
    """Orders from the Magento sandbox into the SAP sandbox."""

    def __init__(self, services: Services, toml: str = TOML, agent: str = "b1", claim_size: int = 4) -> None:
        services.folder.mkdir(parents=True, exist_ok=True)
        (services.folder / "datawald.toml").write_text(toml)
        services.start("magento", "sap")
        super().__init__(services)
        self.magento = Magento(services.magento_url)
        self._setup(agent, claim_size)
        services.start("worker", "beat")

    def _setup(self, agent: str, claim_size: int) -> None:
        secrets = self.services.sandbox_secrets
        opened = {
            "consumer_key": secrets.consumer_key,
            "consumer_secret": secrets.consumer_secret,
            "token": secrets.access_token,
            "token_secret": secrets.access_token_secret,
        }
        shop = {
            "agent": "mage2",
            "endpoint": self.services.magento_url,
            "settings": MAGENTO_SETTINGS | {"page_size": 5},
            "deadline_s": 2,
            "secrets": {name: seal(plain, self.services.master_key) for name, plain in opened.items()},
        }
        books = {
            "agent": agent,
            "endpoint": self.services.sap_url,
            "settings": SAP_SETTINGS,
            "secrets": {"password": seal(secrets.sap_password, self.services.master_key)},
            "deadline_s": DEADLINE_S,
            "server_may_work_s": SERVER_MAY_WORK_S,
            "claim_size": claim_size,
        }
        flow = {
            "entity": "order",
            "source": MAGENTO,
            "target": SAP,
            "start_from": "2020-01-01T00:00:00Z",
            "enabled": True,
            "every_s": 1,
        }
        self.configure({MAGENTO: shop, SAP: books}, {"orders": flow})

    def place(self, count: int) -> list[str]:
        return self.magento.place(count, kind="simple")

    def fault(self, kind: str, method: str, path: str, **how: Any) -> None:
        call_sandbox(
            self.services.sap_url, "POST", "/_sandbox/faults", {"kind": kind, "method": method, "path": path} | how
        )

    def heal(self) -> None:
        for url in (self.services.sap_url, self.services.magento_url):
            call_sandbox(url, "DELETE", "/_sandbox/faults")

    def live(self) -> dict[str, int]:
        """Live orders in SAP by business key, as SAP itself counts them."""
        state = call_sandbox(self.services.sap_url, "GET", "/_sandbox/state?keys=all")
        return {key: int(count) for key, count in state["keys"].items()}

    def in_sap(self, numbers: list[str]) -> int:
        live = self.live()
        return sum(1 for number in numbers if live.get(f"{MAGENTO}:{number}"))

    def restart(self, name: str) -> None:
        self.services.kill(name)
        self.services.start(name)

    def all_arrive_once(self, numbers: list[str], timeout_s: float = 60) -> None:
        """Every order is in SAP exactly once, and the core knows it."""
        wait_for(lambda: self.in_sap(numbers) == len(numbers), timeout_s, lambda: self.open_records(numbers))
        wait_for(lambda: not self.open_records(numbers), timeout_s, lambda: self.open_records(numbers))
        # a commit may still be on its way when the record is settled: only then would a double show
        doubled = {key: count for key, count in self.live().items() if count > 1}
        assert not doubled

    def open_records(self, numbers: list[str]) -> list[Any]:
        found = []
        for status in ("waiting", "processing", "in doubt", "failed"):
            records = self.records(status=status, source=MAGENTO)
            found += [(one["src_id"], status, one["why"], one["due"]) for one in records if one["src_id"] in numbers]
        missing = [number for number in numbers if not self.core.store.records.find({"src_id": number})]
        return found + [(number, "not staged") for number in missing]


@pytest.fixture(scope="module")
def trading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trading]:
    with Services(tmp_path_factory.mktemp("kill") / "services") as services:
        yield Trading(services)


@pytest.fixture(autouse=True)
def healed(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "trading" in request.fixturenames:
        request.getfixturevalue("trading").heal()


def test_worker_killed_after_the_claim(trading: Trading) -> None:
    trading.fault("latency", "GET", "/b1s/v2/Drafts*", seconds=0.8)  # the look-up comes between claim and write
    numbers = trading.place(6)
    wait_for(lambda: trading.records(status="processing"), 15)
    trading.services.kill("worker")
    assert trading.in_sap(numbers) == 0
    trading.heal()
    trading.services.start("worker")
    trading.all_arrive_once(numbers)


def test_worker_killed_after_the_commit_before_the_report(trading: Trading) -> None:
    # the order is booked, and its answer drips so slowly that the worker dies waiting for it
    trading.fault("drip", "POST", "/b1s/v2/Orders", seconds=0.5)
    numbers = trading.place(3)
    wait_for(lambda: trading.in_sap(numbers), 15)
    trading.services.kill("worker")
    trading.heal()
    trading.services.start("worker")
    trading.all_arrive_once(numbers)
    told = [trading.core.store.records.find({"src_id": number})[0].hops() for number in numbers]
    assert any(hop["hop"] == "lease ended" for hops in told for hop in hops)


def test_a_staged_record_whose_bell_was_lost(trading: Trading) -> None:
    trading.services.kill("worker")
    trading.services.kill("beat")
    numbers = trading.place(4)
    trading.services.start("worker")  # nobody ticks: the flow is rung by hand, its lane by the staging call
    trading.api.call("POST", "/api/sync-tasks", json={"flow": "orders"})
    wait_for(lambda: trading.core.store.records.find({"src_id": numbers[-1]}), 15)
    trading.services.kill("worker")
    shutil.rmtree(trading.services.folder / "broker", ignore_errors=True)
    trading.services.start("worker", "beat")
    trading.all_arrive_once(numbers)


def test_puller_killed_between_a_page_and_the_cut_date(trading: Trading) -> None:
    numbers = trading.place(12)  # three pages
    call_sandbox(
        trading.services.magento_url,
        "POST",
        "/_sandbox/faults",
        {"kind": "latency", "method": "GET", "path": "*/V1/orders*", "seconds": 1.0},
    )
    wait_for(lambda: trading.core.store.records.find({"src_id": numbers[0]}), 15)
    before = trading.core.flow("orders").cut_ms
    trading.services.kill("worker")
    trading.heal()
    assert trading.core.flow("orders").cut_ms == before
    trading.services.start("worker")
    trading.all_arrive_once(numbers)


def test_api_killed_in_mid_report(trading: Trading) -> None:
    numbers = trading.place(8)
    wait_for(lambda: trading.in_sap(numbers), 15)
    # the store stands still, so the report hangs inside the API, and the API dies with it
    store = next(one for one in trading.services.running() if one.service.name == "store")
    processes.signal_group(store.pid, signal.SIGSTOP)
    try:
        time.sleep(1.0)
        trading.services.kill("api")
    finally:
        processes.signal_group(store.pid, signal.SIGCONT)
    trading.services.start("api")
    trading.all_arrive_once(numbers)


def test_store_killed_in_mid_flow(trading: Trading) -> None:
    numbers = trading.place(12)
    wait_for(lambda: trading.in_sap(numbers), 15)
    trading.restart("store")
    trading.all_arrive_once(numbers)


def test_the_brokers_files_gone(trading: Trading) -> None:
    numbers = trading.place(12)
    wait_for(lambda: trading.in_sap(numbers), 15)
    shutil.rmtree(trading.services.folder / "broker", ignore_errors=True)
    trading.all_arrive_once(numbers + trading.place(3))


def test_sap_down_for_a_while_needs_no_hand(trading: Trading) -> None:
    trading.fault("status", "*", "/b1s/v2/*", status=502, body="<html>Bad Gateway</html>", content_type="text/html")
    numbers = trading.place(4)
    waiting = wait_for(lambda: [one for one in trading.records(status="waiting") if one["why"]], 20)
    assert "502" in waiting[0]["why"]
    trading.heal()
    trading.all_arrive_once(numbers)


def test_two_workers_one_paused_beyond_its_lease(trading: Trading) -> None:
    services = trading.services
    services.services["worker2"] = replace(services.services["worker"], name="worker2")
    services.start("worker2")
    try:
        trading.fault("latency", "POST", "/b1s/v2/Orders", seconds=0.3)
        numbers = trading.place(16)
        wait_for(lambda: trading.in_sap(numbers), 15)
        paused = next(one for one in services.running() if one.service.name == "worker")
        os.killpg(paused.pid, signal.SIGSTOP)
        time.sleep(LEASE_S + 2)
        os.killpg(paused.pid, signal.SIGCONT)
        trading.all_arrive_once(numbers)
    finally:
        services.stop("worker2")


def test_random_kills_with_commits_later_than_a_lease(trading: Trading) -> None:
    """Twenty kills by a seeded chance, while SAP resets connections and books seconds later, beyond the lease."""
    chance = random.Random(20)
    trading.fault("reset_after_commit", "POST", "/b1s/v2/Orders", probability=0.15, seed=1)
    trading.fault("reset_commit_later", "POST", "/b1s/v2/Orders", probability=0.15, seed=2, seconds=LEASE_S + 0.5)
    numbers: list[str] = []
    for _ in range(20):
        numbers += trading.place(2)
        time.sleep(chance.uniform(0.1, 0.9))
        trading.restart(chance.choice(["worker", "worker", "worker", "api", "store", "beat"]))
    trading.heal()
    trading.all_arrive_once(numbers, timeout_s=90)


@pytest.mark.parametrize("rule", ["quiet period", "look-up"])
def test_without_the_rule_there_are_doubles(rule: str, installed: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """The same days with a rule switched off: doubles, or the tests above would prove nothing."""
    monkeypatch.setenv("PYTHONPATH", str(installed))
    toml = TOML + ("quiet_factor = 0\n" if rule == "quiet period" else "")
    with Services(tmp_path / "services") as services:
        trading = Trading(services, toml, agent="b1_blind" if rule == "look-up" else "b1")
        trading.fault("reset_commit_later", "POST", "/b1s/v2/Orders", times=2, seconds=LEASE_S)
        numbers = trading.place(4)
        wait_for(lambda: any(count > 1 for count in trading.live().values()), 40, lambda: trading.open_records(numbers))
