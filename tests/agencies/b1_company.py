"""The SAP Business One sandbox as a real process, and the agency on it, for the tests of the SAP agency."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from datawald.domain.agent import Delivery, FlowView, Lease, Plan
from datawald.domain.connection import Connection
from datawald.domain.outcome import Outcome, OutcomeKind
from datawald.entities.order import Order
from datawald.http import from_json
from datawald_b1agency import B1Agency
from datawald_mage2agency import Mage2Settings
from datawald_mage2agency.entities.order import canonical_order

RECORDED = Path(__file__).parents[1] / "recorded" / "magento2"
FLOW = FlowView("shipments", "shipment", "b1_main", "mage2_us")

SETTINGS: dict[str, Any] = {
    "company_db": "SBODEMO",
    "username": "manager",
    # the sandbox's server is an hour ahead of UTC all year
    "time_zone": "Etc/GMT-1",
    "local_currency": "EUR",
    "card_codes": {
        "default/EUR": "C_WEB_DEFAULT_EUR",
        "gross/EUR": "C_WEB_DEFAULT_EUR",
        "us/EUR": "C_WEB_US_EUR",
        "us/USD": "C_WEB_US_USD",
    },
    "taxes": [
        {"code": "DE-19", "vat_group": "A19"},
        {"code": "CA-8.25", "vat_group": "USCA825"},
        {"code": "", "vat_group": "A00"},
    ],
    "freight": {"*": 1},
    "rounding": {"expense_code": 2, "vat_group": "A00"},
    "regions": {"DE/BER": "BE", "DE/BAY": "BY", "DE/NRW": "NW", "DE/HAM": "HH", "DE/BAW": "BW"},
    "payment_methods": {"banktransfer": "Incoming BT"},
    "shipping_methods": {"flatrate_flatrate": 3},
    "shipment_documents": "deliveries",
}


class Company:
    """One running sandbox: its control routes, a clerk's hands in its documents, and agencies on it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def control(self, path: str, body: Any = None, method: str = "") -> Any:
        data = None if body is None else json.dumps(body).encode()
        verb = method or ("GET" if data is None else "POST")
        request = urllib.request.Request(f"{self.url}/_sandbox/{path}", data, method=verb)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from error

    def reset(self) -> None:
        self.control("reset", {})

    def switch(self, **switches: Any) -> None:
        self.control("company", switches)

    def fault(self, **rule: Any) -> None:
        self.control("faults", rule)

    def orders(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.control("orders")["orders"]
        return found

    def live(self) -> list[dict[str, Any]]:
        return [order for order in self.orders() if order["live"]]

    def deliver(self, entry: int, **how: Any) -> int:
        """Book a delivery of an order as the warehouse would; its DocEntry."""
        told = self.control("deliver", {"doc_entries": [entry], **how})["deliveries"]
        return int(told[0]["doc_entry"])

    def agency(self, kind: type[B1Agency] = B1Agency, **settings: Any) -> B1Agency:
        return kind(connection(self.url, **settings))


def connection(url: str, **settings: Any) -> Connection:
    return Connection("b1_main", "b1", url, SETTINGS | settings, {"password": "sandbox"}, deadline_s=5.0)


@contextmanager
def running() -> Iterator[Company]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "sandbox_sapb1", "serve", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    company = Company(f"http://127.0.0.1:{port}")
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                company.control("state")
                break
            except (urllib.error.URLError, OSError):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        yield company
    finally:
        process.terminate()
        process.wait(10)


class _NoProducts:
    """The catalogue of a shop that nobody is asked for."""

    def product(self, product_id: str) -> Mapping[str, Any] | None:
        return None


@cache
def recorded(name: str) -> Order:
    """A recorded Magento order as a canonical one."""
    raw = from_json((RECORDED / f"order_{name}.json").read_text())["response"]
    options = Mage2Settings(prices_include_tax="include_tax" in name)
    return canonical_order(raw, store_views={"1": "default", "2": "us"}, settings=options, products=_NoProducts())


class Ledger:
    """One record's life as the core keeps it: what a report leaves is what the next claim brings."""

    def __init__(self, agency: B1Agency, order: Order, source: str = "mage2_us") -> None:
        self.agency = agency
        src_id = order.increment_id
        self.record: Delivery[Order] = Delivery(
            f"order:{source}>b1_main:{src_id}", "order", source, "b1_main", src_id, 1, order
        )
        self.announced: dict[str, Any] = {}

    def stage(self, **changes: Any) -> None:
        order = self.record.canonical.model_copy(update=changes)
        self.record = replace(self.record, canonical=order, version=self.record.version + 1)

    def plan(self) -> Plan:
        return self.agency.rehearse([self.record])[self.record.id]

    def deliver(self) -> Outcome:
        """One claim of this record, and what its report leaves on it."""
        intents: dict[str, Any] = {}
        lease = Lease(time.monotonic(), 300.0, intents.update)
        done = self.agency.deliver([self.record], lease)
        assert not done.misconfigured
        self.announced = intents
        outcome = done.outcomes[self.record.id]
        self.settle(outcome, json.loads(json.dumps(intents)).get(self.record.id))
        return outcome

    def settle(self, outcome: Outcome, intent: Mapping[str, Any] | None) -> None:
        after: dict[str, Any] = {"in_doubt": outcome.kind is OutcomeKind.IN_DOUBT}
        if outcome.kind is OutcomeKind.IN_DOUBT and intent:
            after["attempts"] = (*self.record.attempts, intent)
        if outcome.kind in (OutcomeKind.WRITTEN, OutcomeKind.UNCHANGED):
            after["attempts"] = ()
        if outcome.tgt_id:
            after["tgt_id"] = outcome.tgt_id
        if outcome.links:
            after["links"] = outcome.links
        if outcome.sent is not None:
            after["sent"] = outcome.sent
        self.record = replace(self.record, **after)
