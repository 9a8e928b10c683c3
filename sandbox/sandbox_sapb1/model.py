"""The entity model: which properties a type has, of what kind, and how values are read from JSON and written to it.

The model is cut from the ``$metadata`` of a real Service Layer (``schema/model.json``); values of properties that
nobody set come from recorded answers (``schema/defaults.json``); user-defined fields are added at run time.

Rows are kept sparse: a row holds only what differs from its type's defaults. A full order has five hundred
properties a row need not repeat.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from importlib import resources
from typing import Any

from sandbox_sapb1.errors import bad_value, refused, too_long, unknown_property

Row = dict[str, Any]

#: Kinds of scalar properties; an enumeration's kind is its name.
TEXT, WHOLE, NUMBER, DATE, TIME = "String", "Int32", "Double", "DateTimeOffset", "TimeOfDay"
SCALARS = frozenset({TEXT, WHOLE, NUMBER, DATE, TIME})

_DATE = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})(?:[T ].*)?")
_TIME = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?(?:\.\d+)?")


@dataclass
class UserField:
    """A user-defined field: ``U_`` plus the name it was installed under."""

    name: str
    kind: str
    size: int | None = None
    default: str | None = None
    #: value -> description; empty: anything goes.
    valid_values: dict[str, str] = field(default_factory=dict)


class EntityType:
    """One entity or complex type: its properties, defaults and user-defined fields."""

    def __init__(
        self,
        name: str,
        properties: Mapping[str, str],
        key: Iterable[str],
        navigation: Iterable[str],
        defaults: Mapping[str, Any],
        lengths: Mapping[str, int],
        types: Mapping[str, EntityType],
    ) -> None:
        self.name = name
        #: property -> kind; ``[T]`` is a collection.
        self.properties = dict(properties)
        self.key = tuple(key)
        self.navigation = frozenset(navigation)
        self.lengths = dict(lengths)
        self.user_fields: dict[str, UserField] = {}
        self._types = types
        self._complex = {
            name: kind.strip("[]")
            for name, kind in self.properties.items()
            if kind not in SCALARS and kind not in enumerations()
        }
        self._defaults = dict(defaults)
        self._template = self._build_template()

    def add_user_field(self, user_field: UserField) -> None:
        self.user_fields[user_field.name] = user_field
        self._template = self._build_template()

    def remove_user_field(self, name: str) -> None:
        self.user_fields.pop(name, None)
        self._template = self._build_template()

    def kind_of(self, name: str) -> str | None:
        """The kind of a property or user-defined field; None if there is none of that name."""
        user_field = self.user_fields.get(name)
        return user_field.kind if user_field else self.properties.get(name)

    def is_scalar(self, name: str) -> bool:
        """Whether the property can be filtered and sorted by: no collection, no complex type."""
        kind = self.kind_of(name)
        return kind is not None and (kind in SCALARS or kind in enumerations())

    def default(self, name: str) -> Any:
        return self._template.get(name)

    def _build_template(self) -> Row:
        template: Row = {}
        for name, kind in self.properties.items():
            if name in self._defaults:
                template[name] = self._defaults[name]
            elif kind.startswith("["):
                template[name] = []
            elif kind == NUMBER:
                template[name] = 0.0
            elif kind == "BoYesNoEnum":
                template[name] = "tNO"
            elif kind in SCALARS or kind in enumerations():
                template[name] = None
            else:
                template[name] = {}
            if kind == NUMBER:
                template[name] = float(template[name])
        template.update(dict.fromkeys(self.user_fields))
        return template

    def render(self, row: Row, select: Iterable[str] | None = None) -> Row:
        """The row as JSON-ready dictionary, complete or cut to ``select``; never shares anything with the row."""
        if select is None:
            told = {**self._template, **row}
            for name in [n for n in row if n.startswith("U_") and n not in self.user_fields]:
                del told[name]  # the field was removed after the row was written
        else:
            told = {name: row.get(name, self._template.get(name)) for name in select}
        for name, type_name in self._complex.items():
            value, inner = told.get(name), self._types.get(type_name)
            if value and inner is not None:
                told[name] = [inner.render(one) for one in value] if isinstance(value, list) else inner.render(value)
        return told

    def read(self, name: str, value: Any) -> Any:
        """A scalar from a request body as the row keeps it; raises the Service Layer's refusal if it cannot be."""
        user_field = self.user_fields.get(name)
        kind = self.kind_of(name)
        if kind is None:
            raise unknown_property(name, self.name)
        if value is None:
            return None
        if kind == TEXT:
            text = value if isinstance(value, str) else _plain(value)
            limit = user_field.size if user_field else self.lengths.get(name)
            if limit is not None and len(text) > limit:
                raise too_long(name, self.name)
            if user_field and user_field.valid_values and text not in user_field.valid_values:
                raise bad_value(
                    name, text, ", ".join(f"'{code}' - '{told}'" for code, told in user_field.valid_values.items())
                )
            return text
        if kind in (WHOLE, NUMBER):
            number = as_decimal(value)
            if number is None or (kind == WHOLE and number != number.to_integral_value()):
                raise refused(f"Invalid number in property '{name}' of '{self.name}'")  # text ours
            return int(number) if kind == WHOLE else number
        if kind == DATE:
            date = as_date(value)
            if date is None:
                raise refused(f"Invalid date in property '{name}' of '{self.name}'")  # text ours
            return f"{date}T00:00:00Z"
        if kind == TIME:
            time = as_time(value)
            if time is None:
                raise refused(f"Invalid time in property '{name}' of '{self.name}'")  # text ours
            return time
        member = enum_member(kind, value)
        if member is None:
            raise bad_value(name, value, ", ".join(f"'{one}'" for one in enumerations()[kind]))
        return member


@dataclass(frozen=True)
class EntitySet:
    """One entity set as the metadata names it."""

    name: str
    type_name: str
    table: str | None
    etag: bool


class Model:
    """All types and sets of one company; it grows by user-defined fields."""

    def __init__(self) -> None:
        raw = _resource("schema/model.json")
        defaults = _resource("schema/defaults.json")
        lengths = seed("lengths")
        self.types: dict[str, EntityType] = {}
        for name, told in raw["types"].items():
            self.types[name] = EntityType(
                name,
                told["props"],
                told["key"],
                told["navigation"],
                defaults.get(name, {}),
                lengths.get(name, {}),
                self.types,
            )
        self.sets = {
            name: EntitySet(name, told["type"], told["table"], told["etag"])
            for name, told in raw["entity_sets"].items()
        }
        self.operations = frozenset(raw["operations"])


@cache
def enumerations() -> dict[str, dict[str, str | None]]:
    """enumeration -> member -> database value, where it is known."""
    return _resource("schema/model.json")["enums"]


def enum_member(kind: str, value: Any) -> str | None:
    """The member a request means: by its name (``cCustomer``) or its database value (``C``)."""
    members = enumerations()[kind]
    if value in members:
        return str(value)
    return next((name for name, code in members.items() if code is not None and code == str(value)), None)


def as_decimal(value: Any) -> Decimal | None:
    """A JSON number, or a text that holds one: numeric strings are accepted in requests."""
    if isinstance(value, bool):
        return None
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def as_date(value: Any) -> str | None:
    """``2026-01-31`` out of ``2026-01-31``, ``20260131`` or either with a time, which is ignored."""
    match = _DATE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    try:
        return datetime(*map(int, match.groups())).strftime("%Y-%m-%d")  # type: ignore[arg-type]  # noqa: DTZ001
    except ValueError:
        return None


def as_time(value: Any) -> str | None:
    """``HH:MM:SS`` out of a time with or without seconds."""
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    hours, minutes, seconds = int(match[1]), int(match[2]), int(match[3] or 0)
    return f"{hours:02}:{minutes:02}:{seconds:02}" if hours < 24 and minutes < 60 and seconds < 60 else None


def seed(name: str) -> dict[str, Any]:
    """A fresh copy of one of the seed files."""
    return _resource(f"seed/{name}.json")


def _plain(value: Any) -> str:
    return json.dumps(value, default=str) if isinstance(value, list | dict) else str(value)


def _resource(path: str) -> dict[str, Any]:
    return json.loads(resources.files("sandbox_sapb1").joinpath(path).read_text("utf-8"))
