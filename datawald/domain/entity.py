"""What an entity is: a canonical model and a declaration.

An entity (``order``, ``shipment``, …) is declared once, in ``datawald/entities/<name>.py`` or in another package through
the entry point group ``datawald.entities``. Routes, lanes, queues, CLI verbs and pages follow from the declaration.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, PlainSerializer


class Information:
    """Marks a canonical field that is for people only: the target does not receive it, so it is outside the hash.

    Use as ``Annotated[str, INFORMATION]``.
    """


INFORMATION = Information()


def plain_decimal(value: Decimal) -> str:
    """``Decimal`` as text without exponent or trailing zeros, so that equal amounts are equal text."""
    if value == 0:
        return "0"
    return format(value.normalize(), "f")


def as_utc(value: datetime) -> datetime:
    """An aware time in UTC.

    Raises ``ValueError`` for a time without a zone: guessing one is how orders land on the wrong day.
    """
    if value.tzinfo is None:
        raise ValueError("a time needs a zone, e.g. 2026-01-31T10:00:00Z")
    return value.astimezone(UTC)


#: An amount or a quantity. ``Decimal`` in Python, text in JSON.
Amount = Annotated[Decimal, PlainSerializer(plain_decimal, return_type=str, when_used="json")]
#: An aware UTC time. ISO 8601 text in JSON.
Moment = Annotated[datetime, AfterValidator(as_utc)]


class Canonical(BaseModel):
    """Base of every canonical model: immutable, and nothing unknown slips through."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    def content(self) -> dict[str, Any]:
        """The JSON form of what the target receives: everything but the fields marked ``INFORMATION``."""
        dumped = self.model_dump(mode="json")
        return {name: _content_of(getattr(self, name), dumped[name]) for name in self._received()}

    def content_hash(self) -> str:
        """SHA-256 (hex) of :meth:`content`. Staging compares it: the same hash changes no status."""
        text = json.dumps(self.content(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    @classmethod
    def _received(cls) -> list[str]:
        return [
            name
            for name, field in cls.model_fields.items()
            if not any(isinstance(mark, Information) for mark in field.metadata)
        ]


def _content_of(value: Any, dumped: Any) -> Any:
    """The dumped form of ``value`` without the information fields of models inside it."""
    if isinstance(value, Canonical):
        return value.content()
    if isinstance(value, list | tuple):
        return [_content_of(one, plain) for one, plain in zip(value, dumped, strict=True)]
    return dumped


Side = Literal["frontend", "backoffice"]


@dataclass(frozen=True)
class Entity:
    """A kind of record that DataWald moves."""

    #: Singular, ``[a-z][a-z0-9_]*``: the word on the wire, in the CLI and in the store.
    name: str
    #: Plural, for people: ``datawald records list``, pages, progress bars.
    plural: str
    #: The canonical model that is staged.
    model: type[Canonical]
    #: Class of work: the queue ``<target connection>.<lane>``. Entities in one lane share its workers, so catalogue traffic
    #: in ``bulk`` never stands before an order in ``orders``.
    lane: str
    #: Which side holds the truth. ``frontend``: records go to the backoffice; ``backoffice``: the other way.
    source_side: Side
    #: Top-level fields of the model with numbers that people ask by, besides the ``src_id`` (a delivery's ``doc_num``).
    numbers: tuple[str, ...] = ()

    @property
    def target_side(self) -> Side:
        return "backoffice" if self.source_side == "frontend" else "frontend"
