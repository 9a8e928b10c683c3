"""The shop: all state of one sandbox, behind one lock.

Orders are held in two indexes, by ``(updated_at, entity_id)`` and by ``entity_id``, because that is how they are
paged. Readers see :class:`~sandbox_magento2.order.View` objects: with the switch ``commit_lag_seconds`` a change is
stamped when it happens and becomes visible only later, as a transaction's rows do.
"""

from __future__ import annotations

import heapq
import threading
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox_magento2.catalogue import Catalogue
from sandbox_magento2.errors import MagentoError, internal_error, no_such_entity
from sandbox_magento2.money import ZERO
from sandbox_magento2.order import ORDER_COLUMNS, Order, View
from sandbox_magento2.searchcriteria import Criteria, Filter, compile_groups, date_range, matches, sort_rows

#: Results of filtered searches kept, so that the next page of the same search costs nothing.
SEARCHES_KEPT = 32
#: An entity_id behind all others, for looking up the end of a second.
_BEHIND = 1 << 62


@dataclass(frozen=True)
class StoreView:
    """A store view: where an order is placed decides currency, rate and whether prices contain tax."""

    id: int
    code: str
    name: str
    currency: str
    #: base_to_order_rate; the base currency is always EUR
    rate: str
    prices_include_tax: bool


STORE_VIEWS = (
    StoreView(1, "default", "Default Store View", "EUR", "1", False),
    StoreView(2, "us", "US View", "USD", "1.1", False),
    StoreView(3, "gross", "Gross View", "EUR", "1", True),
)


@dataclass
class Switches:
    """What can be set to play another Magento. Every field is a key of ``POST /_sandbox/switches``."""

    #: Off since 2.4.4: integration tokens are refused as bearer tokens, exactly like bogus ones.
    enable_integration_as_bearer: bool = False
    #: ACL resources the integration lacks; calls that need one get the same 401 as without a token.
    denied_resources: list[str] = field(default_factory=list)
    #: "2.4.6": a comment without status erases the order's status. "2.4.7": it keeps it, and unknown ones are refused.
    version: str = "2.4.6"
    #: What 2.3 did past the last page. 2.4 answers no rows.
    repeat_last_page: bool = False
    #: Input limit on pageSize; 0: off, as by default. Magento's own default, when on, is 300.
    page_size_limit: int = 0
    #: Seconds from a change's updated_at until readers see it.
    commit_lag_seconds: float = 0.0
    #: {"default": true}: prices of that store view include tax from now on. Orders placed before keep theirs.
    prices_include_tax: dict[str, bool] = field(default_factory=dict)
    #: Admin tokens are refused until two-factor authentication is set up.
    two_factor: bool = False
    #: Maintenance mode: 503 with an HTML page.
    maintenance: bool = False

    def set(self, changes: dict[str, Any]) -> None:
        """Set several at once; all are checked before the first is set."""
        known = {one.name: type(getattr(Switches(), one.name)) for one in fields(self)}
        for name, value in changes.items():
            if name not in known:
                raise ValueError(f"{name}: no such switch; there are {', '.join(known)}")
            wanted = (int, float) if known[name] is float else known[name]
            if not isinstance(value, wanted) or (isinstance(value, bool) and known[name] is not bool):
                raise ValueError(f"{name}: must be {known[name].__name__}")
            if name == "version" and value not in ("2.4.6", "2.4.7"):
                raise ValueError("version: 2.4.6 or 2.4.7")
        for name, value in changes.items():
            setattr(self, name, value)

    def as_json(self) -> dict[str, Any]:
        """All switches with their present values."""
        return asdict(self)


def utc_now() -> datetime:
    """The clock of the shop; tests may hand it another."""
    return datetime.now(UTC)


def stamp(moment: datetime) -> str:
    """A time as Magento stores it: UTC, to the second, whatever the store's time zone."""
    return moment.strftime("%Y-%m-%d %H:%M:%S")


class Shop:
    """One Magento shop in memory. Call its methods with :attr:`lock` held: it serialises writers as order locks do."""

    def __init__(self, catalogue: Catalogue, clock: Callable[[], datetime] = utc_now) -> None:
        self.lock = threading.RLock()
        self.catalogue = catalogue
        self.switches = Switches()
        self.clock = clock
        self.orders: dict[int, Order] = {}
        self.shipments: dict[int, dict[str, Any]] = {}
        self.shipments_of: dict[int, list[dict[str, Any]]] = defaultdict(list)
        self.invoices: dict[int, dict[str, Any]] = {}
        #: Mails the shop would have sent: {"kind", "order", "document"}.
        self.mails: list[dict[str, Any]] = []
        self._ids: dict[str, int] = defaultdict(int)
        self._increments: dict[str, int] = {}
        self._by_updated: list[tuple[str, int]] = []
        self._by_entity: list[int] = []
        self._waiting: list[tuple[datetime, int, View]] = []
        self._searches: dict[Any, tuple[int, list[View]]] = {}
        self._revision = 0
        self._reports = 0

    # --- ids and times ------------------------------------------------------------------------------------------------

    def now(self) -> str:
        """The present second."""
        return stamp(self.clock())

    def next_id(self, kind: str) -> int:
        """The next entity id of a table."""
        self._ids[kind] += 1
        return self._ids[kind]

    def keep_above(self, kind: str, used: int) -> None:
        """Never hand out an id up to ``used`` again."""
        self._ids[kind] = max(self._ids[kind], used)

    def next_increment_id(self, kind: str, store_id: int) -> str:
        """The next number shown to people: every document type of every store view counts by itself."""
        number = self._ids[f"{kind}/{store_id}"] = self._ids[f"{kind}/{store_id}"] + 1
        return f"{store_id}{number:09}" if store_id > 1 else f"{number:09}"

    def increment_used(self, kind: str, increment_id: str) -> None:
        """Never hand out that increment id again."""
        store_id = int(increment_id[0]) if len(increment_id) == 10 else 1
        self.keep_above(f"{kind}/{store_id}", int(increment_id[-9:]))

    def internal_error(self) -> MagentoError:
        """A 500 with a report id of its own."""
        self._reports += 1
        return internal_error(self._reports)

    def prices_include_tax(self, view: StoreView) -> bool:
        """The price mode new orders of a store view are placed in."""
        return self.switches.prices_include_tax.get(view.code, view.prices_include_tax)

    # --- orders -------------------------------------------------------------------------------------------------------

    def add(self, order: Order) -> None:
        """Take in a newly placed order."""
        increment_id = order.data["increment_id"]
        if order.id in self.orders or increment_id in self._increments:
            raise ValueError(f"order {order.id} / {increment_id} is there already")
        self.orders[order.id] = order
        self._increments[increment_id] = order.id
        self.keep_above("order", order.id)
        self.increment_used("order", increment_id)
        for item in order.items:
            self.keep_above("item", item["item_id"])
        for address in (order.data["billing_address"], order.shipping.get("address")):
            if address:
                self.keep_above("address", address["entity_id"])
        self.keep_above("quote", order.data["quote_id"])
        self._commit(order)

    def order(self, entity_id: int) -> Order:
        """The order with that entity_id, or 404."""
        order = self.orders.get(entity_id)
        if order is None:
            raise no_such_entity()
        return order

    def order_by_increment(self, increment_id: str) -> Order | None:
        """The order people know by that number."""
        entity_id = self._increments.get(increment_id)
        return None if entity_id is None else self.orders[entity_id]

    @contextmanager
    def changing(self, order: Order, bump: bool = True) -> Iterator[None]:
        """Around every change of an order. ``bump`` says whether the change moves ``updated_at``."""
        if self.switches.commit_lag_seconds or self._waiting:
            order.latest.freeze()
        yield
        due = max(order.data["grand_total"] - order.data.get("total_paid", ZERO), ZERO)
        base_due = max(order.data["base_grand_total"] - order.data.get("base_total_paid", ZERO), ZERO)
        order.data["total_due"], order.data["base_total_due"] = due, base_due
        if bump:
            order.data["updated_at"] = self.now()
        self._commit(order)

    def _commit(self, order: Order) -> None:
        order.latest = View(order, self.next_id("commit"))
        lag = self.switches.commit_lag_seconds
        if lag:
            due = self.clock() + timedelta(seconds=lag)
            heapq.heappush(self._waiting, (due, order.latest.number, order.latest))
        else:
            self._publish(order.latest)

    def _publish(self, view: View) -> None:
        seen = view.order.view
        if seen is None:
            insort(self._by_entity, view.order.id)
        elif seen.number > view.number:
            return  # the lag was switched down meanwhile: a newer state is visible already
        else:
            del self._by_updated[bisect_left(self._by_updated, seen.key)]
        view.order.view = view
        insort(self._by_updated, view.key)
        self._revision += 1

    # --- reading ------------------------------------------------------------------------------------------------------

    def visible(self, entity_id: int) -> View:
        """What readers see of an order, or 404."""
        self._publish_due()
        order = self.orders.get(entity_id)
        if order is None or order.view is None:
            raise no_such_entity()
        return order.view

    def find_orders(self, criteria: Criteria) -> tuple[Sequence[View], int]:
        """One page of orders and how many there are in all."""
        self._publish_due()
        key = (criteria.groups, criteria.sorts)
        revision, found = self._searches.get(key, (-1, []))
        if revision != self._revision:
            found = self._search(criteria)
            self._searches.pop(key, None)
            self._searches[key] = (self._revision, found)
            while len(self._searches) > SEARCHES_KEPT:
                del self._searches[next(iter(self._searches))]
        return criteria.page(found, self.switches.repeat_last_page), len(found)

    def _search(self, criteria: Criteria) -> list[View]:
        for sort in criteria.sorts:
            if sort.field not in ORDER_COLUMNS:
                raise self.internal_error()
        compiled = compile_groups(criteria.groups, ORDER_COLUMNS, lambda name: self.internal_error())
        ids, sorted_already, answered = self._candidates(criteria)
        compiled = [group for number, group in enumerate(compiled) if number not in answered]
        views = [view for entity_id in ids if (view := self.orders[entity_id].view) is not None]
        if compiled:
            views = [view for view in views if matches(compiled, view.column)]
        if not sorted_already:
            sort_rows(views, criteria.sorts, ORDER_COLUMNS, View.column, lambda name: self.internal_error())
        return views

    def _candidates(self, criteria: Criteria) -> tuple[list[int], bool, set[int]]:
        """Ids from an index, whether they stand in the asked-for order, and the groups that need no more checking."""
        single = {number: group[0] for number, group in enumerate(criteria.groups) if len(group) == 1}
        for one in single.values():
            if one.played in ("eq", "in") and one.field in ("entity_id", "increment_id"):
                named = self._named(one)
                if named is not None:
                    return sorted(named), False, set()
        index, answered = self._by_updated, set()
        low, high = 0, len(index)
        for number, one in single.items():
            bounds = date_range(one) if one.field == "updated_at" else None
            if bounds:
                condition, bound = bounds
                # Above every id of that second, or below it.
                at = bisect_left(index, (bound, _BEHIND if condition in ("gt", "lteq") else -1))
                low, high = (max(low, at), high) if condition in ("gt", "gteq") else (low, min(high, at))
                answered.add(number)
        sorts = [(sort.field, sort.descending) for sort in criteria.sorts]
        for descending in (False, True):
            if sorts in ([("updated_at", descending)], [("updated_at", descending), ("entity_id", descending)]):
                ids = [entity_id for _, entity_id in index[low:high]]
                return (ids[::-1] if descending else ids), True, answered
            if sorts == [("entity_id", descending)] and not answered:
                ids = self._by_entity[self._first_entity(single.values()) :]
                return (ids[::-1] if descending else ids), True, answered
        ids = sorted(entity_id for _, entity_id in index[low:high]) if answered else list(self._by_entity)
        return ids, not sorts, answered

    def _named(self, one: Filter) -> set[int] | None:
        """The orders a filter names one by one; None if it must be compared row by row."""
        values = one.value.split(",") if one.played == "in" else [one.value]
        if not all(value.isdigit() for value in values):
            return None
        if one.field == "entity_id":
            return {int(value) for value in values} & self.orders.keys()
        return {self._increments[value] for value in values if value in self._increments}

    def _first_entity(self, single: Iterable[Filter]) -> int:
        """Where to start walking by ``entity_id gt last``."""
        starts = [
            bisect_left(self._by_entity, int(one.value))
            for one in single
            if one.field == "entity_id" and one.played in ("gt", "gteq", "from") and one.value.isdigit()
        ]
        return max(starts, default=0)

    def _publish_due(self) -> None:
        while self._waiting and self._waiting[0][0] <= self.clock():
            self._publish(heapq.heappop(self._waiting)[2])
