"""What SAP is asked about and remembered for a while: which items and states exist. Used by ``entities/order.py``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from datawald.entities.order import OrderLine
from flask_b1connector import B1Connector

K = TypeVar("K")
V = TypeVar("V")

#: Seconds an item is taken for existing without asking again: items are rarely removed, and SAP refuses then anyway.
ITEM_S = 300.0
#: States hardly ever change; what is unknown is asked about again after this too.
STATE_S = 600.0
#: Answers kept; beyond it everything is forgotten and asked again.
MOST = 50_000


class Remembered(Generic[K, V]):
    """Answers with the time they were given."""

    def __init__(self, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._monotonic = monotonic
        self._answers: dict[K, tuple[float, V]] = {}

    def get(self, key: K) -> V | None:
        told = self._answers.get(key)
        if told is None or self._monotonic() - told[0] > self._seconds:
            return None
        return told[1]

    def put(self, key: K, value: V) -> None:
        if len(self._answers) >= MOST:
            self._answers.clear()
        self._answers[key] = (self._monotonic(), value)


class Lookups:
    """Items and states of one company."""

    def __init__(self, connector: B1Connector, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._connector = connector
        self._items: Remembered[str, str] = Remembered(ITEM_S, monotonic)
        self._states: Remembered[str, bool] = Remembered(STATE_S, monotonic)

    def items_of(self, lines: Iterable[OrderLine]) -> dict[str, str]:
        """SAP's item per SKU of ``lines``, by the SKU itself or, where SAP does not know it, by one of its alternatives.

        A SKU without an item is left out. What is missing is asked for again every time: somebody is about to make it.
        """
        lines = list(lines)
        known = self._items_called({line.sku for line in lines})
        missing = [line for line in lines if line.sku not in known and line.sku_alternatives]
        if missing:
            others = self._items_called({sku for line in missing for sku in line.sku_alternatives})
            for line in missing:
                item = next((others[sku] for sku in line.sku_alternatives if sku in others), None)
                if item is not None:
                    known[line.sku] = item
        return known

    def _items_called(self, skus: set[str]) -> dict[str, str]:
        found = {sku: item for sku in skus if (item := self._items.get(sku)) is not None}
        asked = sorted(sku for sku in skus if sku and sku not in found)
        # HANA compares case-sensitively, SQL Server does not: the answers are compared here
        fresh = {sku: sku for sku in self._codes(asked, ignore_case=False) if sku in asked}
        missing = [sku for sku in asked if sku not in fresh]
        if missing:
            by_fold: dict[str, list[str]] = {}
            for code in self._codes(missing, ignore_case=True):
                by_fold.setdefault(code.casefold(), []).append(code)
            # two items that differ by case only: nobody can tell which one is meant
            fresh |= {sku: codes[0] for sku in missing if len(codes := by_fold.get(sku.casefold(), [])) == 1}
        for sku, item in fresh.items():
            self._items.put(sku, item)
        return found | fresh

    def _codes(self, skus: list[str], ignore_case: bool) -> list[str]:
        if not skus:
            return []
        rows = self._connector.any_of("Items", "ItemCode", skus, select="ItemCode", ignore_case=ignore_case)
        return [str(row["ItemCode"]) for row in rows]

    def states_of(self, places: Iterable[str]) -> frozenset[str]:
        """Those of ``places`` (``<country>/<state>``, SAP's codes) that SAP knows."""
        known = set()
        for place in set(places):
            exists = self._states.get(place)
            if exists is None:
                country, _, state = place.partition("/")
                # asked one by one: the set's key has two parts, and one code stands in several countries
                found = self._connector.get("States", {"Code": state, "Country": country}, select="Code")
                exists = found is not None
                self._states.put(place, exists)
            if exists:
                known.add(place)
        return frozenset(known)
