"""A table of rows with its key, its indexes and its order."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from typing import Any

from sandbox_sapb1.model import EntityType, Row

Key = Any


class Table:
    """Rows of one entity set by key, in the order of the key. Guarded by the company's lock."""

    def __init__(self, entity_type: EntityType, indexed: Iterable[str] = ()) -> None:
        self.type = entity_type
        self.key_names = entity_type.key
        self.indexed = frozenset(indexed)
        self._rows: dict[Key, Row] = {}
        self._order: list[Key] = []
        self._indexes: dict[str, dict[Any, set[Key]]] = {name: {} for name in self.indexed}

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return (self._rows[key] for key in self._order)

    def key_of(self, row: Row) -> Key:
        """The key: one value, or a tuple where the type has several."""
        values = tuple(row[name] for name in self.key_names)
        return values[0] if len(values) == 1 else values

    def get(self, key: Key) -> Row | None:
        return self._rows.get(key)

    def add(self, row: Row) -> None:
        key = self.key_of(row)
        if key in self._rows:
            raise KeyError(key)
        self._rows[key] = row
        insort(self._order, key)
        for name in self.indexed:
            self._indexes[name].setdefault(row.get(name), set()).add(key)

    def remove(self, key: Key) -> None:
        row = self._rows.pop(key)
        del self._order[bisect_left(self._order, key)]
        for name in self.indexed:
            self._indexes[name][row.get(name)].discard(key)

    def reindex(self, row: Row, name: str, old: Any) -> None:
        """Tell the indexes that the row's value of ``name`` is no longer ``old``."""
        if name in self.indexed and row.get(name) != old:
            key = self.key_of(row)
            self._indexes[name][old].discard(key)
            self._indexes[name].setdefault(row.get(name), set()).add(key)

    def find(self, name: str, values: Iterable[Any]) -> list[Row]:
        """Rows whose indexed property has one of the values, in the order of the key."""
        index = self._indexes[name]
        keys = sorted(set().union(*(index.get(value, ()) for value in values)))
        return [self._rows[key] for key in keys]

    def from_key(self, lowest: Key) -> Iterator[Row]:
        """Rows whose key is ``lowest`` or above."""
        for at in range(bisect_left(self._order, lowest), len(self._order)):
            yield self._rows[self._order[at]]
