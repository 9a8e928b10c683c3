"""How many store operations an order costs, from staging to delivered: the real use cases on a private embedded store.

Run with ``python bench/store_operations.py``. Prints the table of docs/architecture.md; passes and fails nothing.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from datawald.cli.services import Services
from datawald.domain.flow import Flow
from datawald.domain.outcome import Outcome
from datawald.entities.order import Address, Customer, Order, OrderLine
from datawald.staging import Store
from datawald.staging.clock import StoreClock
from datawald.staging.store import StoredConnection
from datawald.usecases import Core, claim, pull, report, stage, tick
from datawald.usecases.report import Reported
from datawald.usecases.stage import StageItem

#: Records per staging call, as ``pull`` sends them.
PAGE = 100


class Counting(CommandListener):
    """Counts every command that goes to the store, by its name and collection."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def started(self, event: CommandStartedEvent) -> None:
        self.seen[f"{event.command_name} {event.command.get(event.command_name)}"] += 1

    def succeeded(self, event: CommandSucceededEvent) -> None: ...

    def failed(self, event: CommandFailedEvent) -> None: ...


class Silent:
    """Bells are no operations of the store."""

    def ring_lane(self, connection: str, lane: str) -> None: ...

    def ring_flow(self, flow: str, source: str) -> None: ...


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=200)
    orders = parser.parse_args().orders
    with tempfile.TemporaryDirectory(prefix="datawald-bench-") as folder, Services(Path(folder) / "run") as services:
        services.start("store")
        listener = Counting()
        client: MongoClient[dict[str, Any]] = MongoClient(
            services.mongodb_uri, tz_aware=True, event_listeners=[listener]
        )
        store = Store(client, "bench")
        store.prepare()
        _count(Core(store, StoreClock(client), Silent()), listener, orders)


def _count(core: Core, listener: Counting, orders: int) -> None:
    core.store.connections.insert(StoredConnection("shop", "mage2", "http://shop"))
    core.store.connections.insert(StoredConnection("books", "b1", "http://books"))
    core.store.flows.insert(Flow("orders", "order", "shop", "books", enabled="Y", start_from_ms=1))
    core.now_ms()

    def part(name: str, work: Callable[[], Any]) -> Any:
        listener.seen.clear()
        began = time.monotonic()
        result = work()
        took, total = time.monotonic() - began, sum(listener.seen.values())
        print(f"{name}: {total} commands, {total / orders:.2f} per order, {took:.2f} s")
        for command, count in listener.seen.most_common():
            print(f"    {count:5} {command}")
        return result

    lease = part("take the flow's lease", lambda: pull.lease(core, "orders"))
    part(f"stage pages of {PAGE}, keeping the cursor", lambda: _stage(core, orders, lease.flow.token, lease.task.id))
    part("finish the run", lambda: pull.finish(core, "orders", lease.flow.token))
    part("claim, announce, report", lambda: _deliver(core))
    part("stage the same again", lambda: _stage(core, orders))
    part("one tick with nothing due", lambda: tick.tick(core))
    print("records by status:", core.store.records.count_by("tx_status", {}))


def _stage(core: Core, orders: int, token: str = "", sync_task: str = "") -> None:
    for start in range(0, orders, PAGE):
        numbers = range(start, min(orders, start + PAGE))
        items = [StageItem(f"{n:09d}", 1, _order(n).model_dump(mode="json"), {"entity_id": n}) for n in numbers]
        began_ms = core.now_ms() + 1
        stage.stage(
            core,
            entity="order",
            source="shop",
            target="books",
            items=items,
            read_began_ms=began_ms,
            sync_task=sync_task,
        )
        if token:
            about = {"cursor": {"page": start}, "newest_ms": 1, "source_began_ms": 1}
            pull.save(core, "orders", token, **about, read=len(items), expected=orders)


def _order(number: int) -> Order:
    line = OrderLine(line_id=str(number), sku="A", quantity=Decimal(1), net=Decimal(10), tax=Decimal("1.90"))
    return Order(
        increment_id=f"{number:09d}",
        store_view="default",
        placed_at=datetime(2026, 1, 1, tzinfo=UTC),
        currency="EUR",
        base_currency="EUR",
        customer=Customer(),
        billing=Address(),
        lines=(line,),
        grand_total=Decimal("11.90"),
    )


def _deliver(core: Core) -> None:
    while claimed := claim.claim(core, "books", "books.orders"):
        contents = {record.id: {"DocTotal": "11.90"} for record in claimed.records}
        claim.announce(core, claimed.claim.id, contents)
        outcomes = [
            Reported(record.id, record.version, Outcome.written(record.src_id, sent=contents[record.id]))
            for record in claimed.records
        ]
        report.report(core, claimed.claim.id, outcomes)


if __name__ == "__main__":
    main()
