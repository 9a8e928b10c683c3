"""The demo's story, act by act: orders go out, shipments come back, a few things change, and only they move.

Everything that happens in Magento and SAP is done there, by their own people; DataWald is asked for a run of a flow, as
``datawald sync`` asks, and nothing else. What each act promises is checked against what the two systems hold.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

from datawald import bootstrap, sealed
from datawald.cli.core import connect
from datawald.cli.demo import checks
from datawald.cli.demo.checks import Changes, Record
from datawald.cli.demo.configuration import MAGENTO, ORDERS, SAP, SHIPMENTS, configure
from datawald.cli.demo.report import Bar, Report
from datawald.cli.demo.systems import MISSING_SKU, SPREAD, UNEXPLAINED, Magento, Sap, SapState, ShopState
from datawald.cli.services import Services
from datawald.usecases import keys

#: A run that moves nothing for so long is stuck.
PATIENCE_S = 60.0
#: How often a run is looked at.
LOOK_S = 0.25
#: Orders of a kind that every run of the demo shows, however few orders it has.
SHOWN_KINDS = ("pending_payment", "holded", "partly_canceled")
#: Orders that the shop opens with (the recorded ones and those beside them), and one of each kind.
FEWEST_ORDERS = 14 + len(SHOWN_KINDS)

#: Orders that must not be booked as they are.
REFUSED = (UNEXPLAINED,)

#: Tries after which a flow that cannot be read is not waited for any longer.
TRIES = 3

_DONE = ("Completed", "Incompleted", "Fail")


class Stuck(Exception):
    """A run does not come to its end."""


class Story:
    """One telling of it."""

    def __init__(self, services: Services, report: Report, *, orders: int, seed: int) -> None:
        self.services = services
        self.report = report
        self.orders = max(orders, FEWEST_ORDERS)
        self.seed = seed
        self.chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
        #: What was seen last of the thing waited for.
        self._seen: tuple[Any, ...] = ()

    def tell(self) -> None:
        """All acts in order. Raises ``Stuck``, ``ServiceDied``."""
        self.begin()
        self.orders_go_out()
        self.shipments_come_back()
        self.only_the_difference()
        self.mended_and_replayed()

    # --- acts -----------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Store, sandboxes, API; keys, connections, flows; worker and beat."""
        services = self.services
        with self.report.act("Begin") as act, self.report.busy("starting store, Magento, SAP, API …"):
            services.start("store", "magento", "sap")
            services.start("api")
            services.master_key = sealed.new_master_key()
            settings = services.settings()
            core = bootstrap.make_core(settings, bootstrap.make_bells(settings))
            with closing(core.store.client):
                services.worker_key = keys.create(core, "demo worker", ["worker"])
                operator = keys.create(core, "demo operator", ["operator"])
            self.core = connect(services.settings(operator))
            configure(self.core, services)
            services.start("worker", "beat")
            self.magento = Magento(services.magento_url)
            self.sap = Sap(services.sap_url, services.sandbox_secrets.sap_password)
            act.told = "store, Magento, SAP, API, worker and beat run; two connections, two flows"

    def orders_go_out(self) -> None:
        """Customers order; the orders are booked in SAP."""
        with self.report.act("Orders") as act:
            here = len(self.magento.order_numbers())
            for kind in SHOWN_KINDS:
                self.magento.place(kind=kind, seed=f"{self.seed} {kind}")
            rest = self.orders - here - len(SHOWN_KINDS)
            if rest > 0:
                self.magento.place(rest, seed=self.seed)
            began = time.monotonic()
            self._run(ORDERS, self.orders)
            took = time.monotonic() - began
            shop, sap, records = self.magento.state(), self.sap.state(), self._records("order")
            booked = sum(len(orders) for orders in sap.live.values())
            self.report.numbers |= {
                "orders": len(shop.orders),
                "booked": booked,
                "orders_per_second": round(booked / took, 2),
            }
            act.told = (
                f"{len(shop.orders)} in Magento, {booked} booked in SAP, {len(shop.orders) - booked} not to be sent"
            )
        self.report.check(
            checks.staged_once(shop, records),
            checks.booked_once(shop, sap, REFUSED),
            checks.nothing_else(shop, sap, REFUSED),
            checks.totals_agree(shop, sap),
            checks.remains_agree(shop, sap),
            checks.reasons_given(shop, records),
            checks.unexplained_refused(UNEXPLAINED, records),
            checks.none_failed(records, REFUSED),
        )
        for record in records:
            if record["status"] != "delivered":
                self.report.unsent[(f"order {record['status']}", record["why"])] += 1
        self.report.sides.append(("orders", str(len(shop.orders)), str(len(records)), str(booked)))

    def shipments_come_back(self) -> None:
        """The warehouse delivers, in whole and in part; Magento learns of it."""
        with self.report.act("Shipments") as act:
            shop, sap = self.magento.state(), self.sap.state()
            whole, part = self._to_deliver(shop, sap)
            self.sap.deliver(whole)
            self.sap.deliver(part, partial=True)
            self._run(SHIPMENTS, len(whole) + len(part))
            shop, sap, records = self.magento.state(), self.sap.state(), self._records("shipment")
            expected = checks.parcels(shop, sap)
            services = len(sap.deliveries) - len(expected)
            self.report.numbers |= {"deliveries": len(sap.deliveries), "shipments": len(shop.shipments)}
            act.told = (
                f"{len(sap.deliveries)} deliveries in SAP ({len(part)} partial, {services} of services only), "
                f"{len(shop.shipments)} shipments in Magento"
            )
        self.report.check(
            checks.shipped_once(shop, sap),
            checks.quantities_agree(shop, sap),
            checks.tracks_arrived(shop, sap),
            checks.nobody_mailed(shop),
            checks.none_failed(records),
        )
        for record in records:
            if record["status"] != "delivered":
                self.report.unsent[(f"shipment {record['status']}", record["why"])] += 1
        self.report.sides.append(("shipments", str(len(shop.shipments)), str(len(records)), str(len(sap.deliveries))))

    def only_the_difference(self) -> None:
        """Customers move, cancel and order; one order names a SKU that SAP lacks. Everything is read again."""
        with self.report.act("Difference") as act:
            before, shipments = self.sap.state(), len(self.magento.state().shipments)
            self.done = done = self._change(self.magento.state(), before)
            self._run(ORDERS, len(done))
            self._run(SHIPMENTS, 0)
            shop, sap, records = self.magento.state(), self.sap.state(), self._records("order")
            act.told = (
                f"{len(done.moved)} addresses changed, {len(done.cancelled)} cancelled, {len(done.placed)} new, "
                f"{len(done.broken)} broken; {len(shop.orders) - len(done)} unchanged"
            )
        self.report.check(
            checks.only_difference(before, sap, done),
            checks.addresses_moved(sap, done),
            checks.cancelled_too(sap, done),
            checks.booked_once(shop, sap, [*REFUSED, *done.broken]),
            checks.totals_agree(shop, sap),
            checks.broken_named(records, sap, done, MISSING_SKU),
            checks.nothing_shipped_twice(shipments, shop),
        )

    def mended_and_replayed(self) -> None:
        """A buyer adds the missing item in SAP, and the failed order is replayed; the unexplained one is given up."""
        reason = "of the old price mode: booked by hand"
        with self.report.act("Mended") as act:
            ids = {record["src_id"]: record["id"] for record in self._records("order")}
            self.sap.add_item(MISSING_SKU)
            failed = [ids[number] for number in self.done.broken]
            self.core.call("POST", "/api/records/order/replay", json={"ids": failed})
            self.core.call("POST", "/api/records/order/drop", json={"ids": [ids[UNEXPLAINED]], "reason": reason})
            self._wait(lambda: all(self._record("order", id)["status"] == "delivered" for id in failed), failed)
            shop, sap, records = self.magento.state(), self.sap.state(), self._records("order")
            act.told = f"item {MISSING_SKU} made in SAP, {len(failed)} order replayed, 1 given up by a person"
        self.report.check(
            checks.arrived(shop, sap, self.done.broken),
            checks.given_up(records, UNEXPLAINED, reason),
            checks.booked_once(shop, sap, REFUSED),
        )
        booked = sum(len(orders) for orders in sap.live.values())
        cancelled = len(sap.orders) - booked
        self.report.sides.append(
            (
                "orders at the end",
                str(len(shop.orders)),
                str(len(records)),
                f"{booked} and {cancelled} cancelled",
            )
        )

    # --- what people do -------------------------------------------------------------------------------------------------

    def _to_deliver(self, shop: ShopState, sap: SapState) -> tuple[list[int], list[int]]:
        """DocEntries of orders to deliver in whole and in part; the rest stays open for the acts after."""
        # by key: which worker booked an order first is chance, and the story is the same for the same seed
        booked = sorted((order for order in sap.orders if order.live and order.open), key=lambda order: order.key)
        booked = [order for order in booked if order.key != checks.key_of(SPREAD)]
        self.chance.shuffle(booked)
        whole = [order.doc_entry for order in booked[: len(booked) * 45 // 100]]
        part = []
        for order in booked[len(whole) : len(booked) * 6 // 10]:
            of_shop = shop.orders[order.key.partition(":")[2]]
            first = order.lines[0]
            # half of a bundle waits for its other half: a story of its own, not this one
            if not of_shop.bundled and first.row not in of_shop.apart and first.quantity >= 2:
                part.append(order.doc_entry)
        return whole, part

    def _change(self, shop: ShopState, sap: SapState) -> Changes:
        """Changes to orders of which nothing was delivered yet."""
        drawn = {line.base[0] for delivery in sap.deliveries for line in delivery.lines if line.base}
        open_keys = {order.key for order in sap.orders if order.live and order.open and order.doc_entry not in drawn}
        free = [
            number
            for number, order in shop.orders.items()
            if order.state == "new" and not order.virtual and checks.key_of(number) in open_keys
        ]
        self.chance.shuffle(free)
        few = max(2, self.orders // 25)
        moved, cancelled = free[:few], [number for number in free[few : 2 * few - 1] if self.magento.cancel(number)]
        for number in moved:
            self.magento.change_address(number)
        placed = self.magento.place(few, seed=f"{self.seed} later", kind="simple")
        broken = self.magento.place(1, seed=f"{self.seed} broken", kind="simple", **{"break": "sku"})
        return Changes(moved, cancelled, placed, broken)

    # --- runs and records -----------------------------------------------------------------------------------------------

    def _run(self, flow: str, expected: int) -> None:
        """Asks for a run of a flow and sees it to its end."""
        task = self.core.call("POST", "/api/sync-tasks", json={"flow": flow})
        with self.report.progress(flow, expected) as bar:
            self._wait(lambda: self._is_done(task["id"], expected, bar), [f"sync task {task['id']} of flow {flow}"])

    def _is_done(self, task_id: str, expected: int, bar: Bar) -> bool:
        task = self.core.call("GET", f"/api/sync-tasks/{task_id}")
        counts = task["counts"]
        self._seen = (task["read"], task["sync_status"], tuple(sorted(counts.items())))
        if task["sync_status"] == "Extracting":
            flow = self.core.call("GET", f"/api/flows/{task['flow']}")
            if flow["failures"] >= TRIES:
                raise Stuck(f"flow {flow['name']} cannot be read: {flow['why']}")
        bar.at(sum(counts.get(letter, 0) for letter in "SIFX"), max(expected, sum(counts.values())))
        return task["sync_status"] in _DONE

    def _wait(self, done: Callable[[], bool], what: list[str]) -> None:
        self._seen = ()
        before: tuple[Any, ...] | None = None
        moved_at = time.monotonic()
        while not done():
            self.services.check()
            if self._seen != before:
                before, moved_at = self._seen, time.monotonic()
            elif time.monotonic() - moved_at > PATIENCE_S:
                raise Stuck(
                    f"{', '.join(what)}: nothing moved for {PATIENCE_S:.0f} s; last seen: {self._seen or 'nothing'}"
                )
            time.sleep(LOOK_S)

    def _record(self, entity: str, id: str) -> Record:
        record: Record = self.core.call("GET", f"/api/records/{entity}", params={"id": id})
        self._seen = (record["status"], record["why"], record["changed_ms"])
        return record

    def _records(self, entity: str) -> list[Record]:
        """Every record of one kind, as a person would page through them."""
        source = MAGENTO if entity == "order" else SAP
        found: list[Record] = []
        asked: dict[str, Any] = {"source": source, "limit": 100}
        while True:
            page = self.core.call("GET", f"/api/records/{entity}", params=asked)["records"]
            found += page
            if len(page) < asked["limit"]:
                return found
            asked |= {"before_ms": page[-1]["changed_ms"], "before_id": page[-1]["id"]}
