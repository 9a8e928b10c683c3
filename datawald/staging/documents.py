"""A collection of one kind of dataclass, written by compare-and-set on ``rev``."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Generic, TypeVar

from pymongo import ASCENDING, UpdateOne
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, DuplicateKeyError

T = TypeVar("T")

#: Rows per query: no cursor ever needs a second batch, since an embedded server answers a lost cursor with silence.
MOST_ROWS = 100
#: Documents per insert, and ids per ``$in``.
MOST_BATCH = 100


class Documents(Generic[T]):
    """Stores dataclasses with an ``id`` and a ``rev``. Subclasses name the queries of their kind."""

    def __init__(self, collection: Collection[dict[str, Any]], kind: type[T]) -> None:
        self._collection = collection
        self._kind = kind
        # mongomock, in unit tests, cannot do bulk updates with today's pymongo
        self._bulk = isinstance(collection, Collection)
        self._fields = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
        hints = typing.get_type_hints(kind)
        self._tuples = {name for name in self._fields if typing.get_origin(hints[name]) is tuple}
        self._enums: dict[str, type[Enum]] = {
            name: hint
            for name in self._fields
            if isinstance(hint := hints[name], type)
            and not isinstance(hint, types.GenericAlias)
            and issubclass(hint, Enum)
        }

    def index(self, name: str, *fields: str) -> None:
        self._collection.create_index([(field, ASCENDING) for field in fields], name=name)

    # reading

    def get(self, id: str) -> T | None:
        return self.one({"_id": id})

    def one(self, query: Mapping[str, Any]) -> T | None:
        doc = self._collection.find_one(query)
        return None if doc is None else self._load(doc)

    def many(self, ids: Iterable[str], *, leave_out: Sequence[str] = ()) -> dict[str, T]:
        """The documents of these ids that exist, by id; fields left out have their defaults."""
        found: dict[str, T] = {}
        wanted = list(dict.fromkeys(ids))
        for start in range(0, len(wanted), MOST_BATCH):
            chunk = wanted[start : start + MOST_BATCH]
            for doc in self._collection.find(
                {"_id": {"$in": chunk}}, projection=dict.fromkeys(leave_out, 0) or None, batch_size=MOST_BATCH + 1
            ):
                found[doc["_id"]] = self._load(doc)
        return found

    def find(
        self,
        query: Mapping[str, Any],
        *,
        sort: Sequence[str] = ("_id",),
        limit: int = MOST_ROWS,
        descending: bool = False,
    ) -> list[T]:
        """At most ``limit`` (≤ 100) documents in the order of ``sort``."""
        direction = -1 if descending else 1
        cursor = self._collection.find(
            query, sort=[(name, direction) for name in sort], limit=limit, batch_size=MOST_ROWS + 1
        )
        return [self._load(doc) for doc in cursor]

    def count_by(self, field: str, query: Mapping[str, Any]) -> dict[str, int]:
        """How many documents of ``query`` there are per value of ``field``."""
        rows = self._collection.aggregate([{"$match": dict(query)}, {"$group": {"_id": f"${field}", "n": {"$sum": 1}}}])
        return {str(row["_id"]): int(row["n"]) for row in rows}

    # writing

    def insert(self, document: T) -> bool:
        """Stores a new document; False if its id is taken."""
        try:
            self._collection.insert_one(self._dump(document))
        except DuplicateKeyError:
            return False
        return True

    def insert_many(self, documents: Sequence[T]) -> set[str]:
        """Stores new documents and returns the ids that were free."""
        taken: set[str] = set()
        for start in range(0, len(documents), MOST_BATCH):
            chunk = [self._dump(document) for document in documents[start : start + MOST_BATCH]]
            try:
                self._collection.insert_many(chunk, ordered=False)
            except BulkWriteError as error:
                for wrong in error.details["writeErrors"]:
                    if wrong["code"] != 11000:
                        raise
                    taken.add(chunk[wrong["index"]]["_id"])
        return {self._id(document) for document in documents} - taken

    def save(self, before: T, after: T) -> bool:
        """Stores ``after`` if the document still is ``before``; False if somebody else changed it since."""
        changed = self._changes(before, after)
        if not changed:
            return True
        return self._collection.update_one(self._as_read(before), {"$set": changed}).matched_count == 1

    def save_many(self, pairs: Sequence[tuple[T, T]]) -> set[str]:
        """As :meth:`save` for each ``(before, after)``, in one round trip where the client can. The ids that were saved.

        After a miss somewhere in a batch only those count that stand as we wrote them; one that was written and changed
        again since is told as missed, and whoever asked decides again on what is there now.
        """
        changed = [(before, after) for before, after in pairs if self._changes(before, after)]
        ids = {self._id(after) for _, after in pairs}
        if not self._bulk or len(changed) < 2:
            return ids - {self._id(after) for before, after in changed if not self.save(before, after)}
        updates = [
            UpdateOne(self._as_read(before), {"$set": self._changes(before, after)}) for before, after in changed
        ]
        if self._collection.bulk_write(updates, ordered=False).matched_count == len(changed):
            return ids
        now = self.many(self._id(after) for _, after in changed)
        return ids - {self._id(after) for _, after in changed if now.get(self._id(after)) != after}

    def put(self, document: T) -> None:
        """Stores the document whatever was there. For documents with one owner only."""
        doc = self._dump(document)
        if not self.insert(document):
            self._collection.update_one({"_id": doc["_id"]}, {"$set": {k: v for k, v in doc.items() if k != "_id"}})

    def delete(self, id: str) -> bool:
        return self._collection.delete_one({"_id": id}).deleted_count == 1

    def delete_as(self, document: T) -> bool:
        """Deletes the document if it still is what was read; False if somebody else changed it since."""
        doc = self._dump(document)
        return self._collection.delete_one({"_id": doc["_id"], "rev": doc["rev"]}).deleted_count == 1

    def delete_many(self, ids: Sequence[str]) -> int:
        return self._collection.delete_many({"_id": {"$in": list(ids)}}).deleted_count if ids else 0

    # between document and dataclass

    def _as_read(self, document: T) -> dict[str, Any]:
        return {"_id": self._id(document), "rev": document.rev}  # type: ignore[attr-defined]

    def _changes(self, before: T, after: T) -> dict[str, Any]:
        old, new = self._dump(before), self._dump(after)
        return {name: value for name, value in new.items() if name != "_id" and old[name] != value}

    def _id(self, document: T) -> str:
        return str(document.id)  # type: ignore[attr-defined]

    def _dump(self, document: T) -> dict[str, Any]:
        doc: dict[str, Any] = {}
        for name in self._fields:
            value = getattr(document, name)
            if name in self._tuples:
                value = list(value)
            elif name in self._enums:
                value = value.value
            doc["_id" if name == "id" else name] = value
        return doc

    def _load(self, doc: Mapping[str, Any]) -> T:
        values: dict[str, Any] = {}
        for name in self._fields:
            stored = "_id" if name == "id" else name
            if stored not in doc:
                continue  # a field younger than the document: its default
            value = doc[stored]
            if name in self._tuples:
                value = tuple(value)
            elif name in self._enums:
                value = self._enums[name](value)
            values[name] = value
        return self._kind(**values)
