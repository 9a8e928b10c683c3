"""The Magento sandbox as a real process, and the agency on it, for the tests of the Magento agency."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from datawald.domain.agent import Delivery, FlowView, Lease
from datawald.domain.connection import Connection
from datawald.domain.outcome import Outcome
from datawald.entities.shipment import Shipment
from datawald_mage2agency import Mage2Agency

SECRETS = {
    "consumer_key": "sandboxconsumerkey00000000000001",
    "consumer_secret": "sandboxconsumersecret00000000001",
    "token": "sandboxaccesstoken00000000000001",
    "token_secret": "sandboxaccesstokensecret00000001",
}
SETTINGS: dict[str, Any] = {"store_views": {"gross": {"prices_include_tax": True}}, "ship_when": "posted"}
FLOW = FlowView("orders_us", "order", "mage2_us", "b1_main")


class Shop:
    """One running sandbox: its control routes, and agencies on it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def control(self, path: str, body: Any = None, method: str = "") -> Any:
        data = None if body is None else json.dumps(body).encode()
        verb = method or ("GET" if data is None else "POST")
        request = urllib.request.Request(f"{self.url}/_sandbox/{path}", data, method=verb)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def reset(self, orders: int = 0) -> None:
        self.control("faults", method="DELETE")
        self.control("reset", {"orders": orders})

    def fault(self, **rule: Any) -> None:
        self.control("faults", rule)

    def place(self, **what: Any) -> dict[str, Any]:
        """Place one order and return its REST document."""
        increment_id = self.control("orders/place", what)["increment_ids"][0]
        return self.order(increment_id)

    def order(self, increment_id: str) -> dict[str, Any]:
        document: dict[str, Any] = self.control(f"orders/{increment_id}")
        return document

    def shipments(self, increment_id: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.control("state")["shipments"].get(increment_id, [])
        return found

    def agency(self, kind: type[Mage2Agency] = Mage2Agency, **settings: Any) -> Mage2Agency:
        return kind(Connection("mage2_us", "mage2", self.url, SETTINGS | settings, SECRETS))


@contextmanager
def running() -> Iterator[Shop]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "sandbox_magento2", "serve", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    shop = Shop(f"http://127.0.0.1:{port}")
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                shop.control("health")
                break
            except (urllib.error.URLError, OSError):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        yield shop
    finally:
        process.terminate()
        process.wait(10)


def delivery(order: dict[str, Any], lines: dict[str, Any], number: int = 15, **more: Any) -> Delivery[Shipment]:
    """A delivery of SAP as a claim hands it over. ``lines``: quantity by Magento's item id."""
    increment_id, source = order["increment_id"], more.pop("source_code", "")
    target = {"tgt_id": more.pop("tgt_id", ""), "in_doubt": more.pop("in_doubt", False)}
    skus = {str(item["item_id"]): item["sku"] for item in order["items"]}
    shipment = Shipment(
        document=f"15.{number}",
        doc_num=str(1000 + number),
        order_key=f"mage2_us:{increment_id}",
        order_increment_id=increment_id,
        shipped_at=more.pop("shipped_at", datetime.now(UTC) - timedelta(minutes=5)),
        source_code=source,
        lines=[
            {"line_id": line_id, "sku": skus.get(line_id, line_id), "quantity": str(quantity)}
            for line_id, quantity in lines.items()
        ],
        tracks=[{"number": track} for track in more.pop("tracks", [])],
        **more,
    )
    src_id = f"15.{number}/mage2_us:{increment_id}/{source}"
    return Delivery(src_id, "shipment", "b1_main", "mage2_us", src_id, 1, shipment, **target)


def deliver(agency: Mage2Agency, *records: Delivery[Shipment]) -> list[Outcome]:
    """The outcomes of a claim, in the order of its records."""
    announced: dict[str, Any] = {}

    def announce(contents: Any) -> None:
        json.dumps(contents)  # it goes over the wire
        announced.update(contents)

    done = agency.deliver(records, Lease(time.monotonic(), 300, announce))
    assert not done.misconfigured
    for outcome in done.outcomes.values():
        json.dumps([outcome.sent, outcome.answered, outcome.links])
    return [done.outcomes[record.id] for record in records]
