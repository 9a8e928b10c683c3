"""``$filter``: parsing, evaluating, and finding the rows that can match without looking at all of them.

Played: eq ne gt ge lt le, and, or, parentheses, startswith, endswith, contains, substringof; texts with doubled
quotes, numbers, null, ``datetime'…'``. As on the real one, enumerations compare by name or database value, the time
of day in a date literal is ignored, and times compare to the minute only. Comparing with a property that is null is
never true, except ``eq null`` and ``ne null``, as in SQL.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from operator import eq, ge, gt, le, lt, ne
from typing import Any

from sandbox_sapb1.errors import NotPlayed, bad_query, bad_query_property
from sandbox_sapb1.model import (
    DATE,
    NUMBER,
    TEXT,
    TIME,
    WHOLE,
    EntityType,
    Row,
    as_date,
    as_decimal,
    as_time,
    enum_member,
)

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<text>(?:datetime)?'(?:[^']|'')*')
      | (?P<number>-?\d+(?:\.\d+)?(?![\w.]))
      | (?P<word>[A-Za-z_][\w/]*)
      | (?P<mark>[(),])
    )""",
    re.VERBOSE,
)
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {"eq": eq, "ne": ne, "gt": gt, "ge": ge, "lt": lt, "le": le}
_MIRRORED = {"eq": "eq", "ne": "ne", "gt": "lt", "ge": "le", "lt": "gt", "le": "ge"}
_FUNCTIONS: dict[str, Callable[[str, str], bool]] = {
    "startswith": str.startswith,
    "endswith": str.endswith,
    "contains": lambda text, part: part in text,
}
#: Words of OData that would change what a filter means if they were taken for property names.
_NOT_PLAYED = frozenset({"not", "add", "sub", "mul", "div", "mod", "in", "has", "any", "all", "length", "substring"})

Test = Callable[[Row], bool]


@dataclass(frozen=True)
class Comparison:
    """``property operator literal``, the literal already read as the property's kind."""

    name: str
    operator: str
    value: Any


@dataclass(frozen=True)
class Match:
    """``function(property, text)``."""

    name: str
    function: str
    value: str


@dataclass(frozen=True)
class Both:
    """All of the parts hold."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Either:
    """One of the parts holds."""

    parts: tuple[Node, ...]


Node = Comparison | Match | Both | Either


@dataclass(frozen=True)
class _Literal:
    value: str | Decimal | None


class _Parser:
    """Recursive descent over the tokens: or, and, then comparisons, functions and parentheses."""

    def __init__(self, text: str, entity_type: EntityType) -> None:
        self._type = entity_type
        self._tokens: list[tuple[str, str]] = []
        at = 0
        while at < len(text.rstrip()):
            match = _TOKEN.match(text, at)
            if match is None:
                raise bad_query()
            kind = str(match.lastgroup)
            self._tokens.append((kind, match[kind]))
            at = match.end()
        self._at = 0

    def parse(self) -> Node:
        node = self._either()
        if self._at < len(self._tokens):
            raise bad_query()
        return node

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "")

    def _take(self, mark: str | None = None) -> tuple[str, str]:
        token = self._peek()
        if token[0] == "end" or (mark is not None and token != ("mark", mark)):
            raise bad_query()
        self._at += 1
        return token

    def _either(self) -> Node:
        parts = [self._both()]
        while self._peek() == ("word", "or"):
            self._take()
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _both(self) -> Node:
        parts = [self._single()]
        while self._peek() == ("word", "and"):
            self._take()
            parts.append(self._single())
        return parts[0] if len(parts) == 1 else Both(tuple(parts))

    def _single(self) -> Node:
        kind, text = self._peek()
        if (kind, text) == ("mark", "("):
            self._take()
            node = self._either()
            self._take(")")
            return node
        if kind == "word" and text in _NOT_PLAYED:
            raise NotPlayed(f"'{text}' in $filter")
        following = self._tokens[self._at + 1] if self._at + 1 < len(self._tokens) else ("end", "")
        if kind == "word" and following == ("mark", "("):
            return self._function()
        return self._comparison()

    def _function(self) -> Node:
        function = self._take()[1]
        if function not in _FUNCTIONS and function != "substringof":
            # The real one takes an unknown function for a property that does not exist.
            raise bad_query_property(function)
        self._take("(")
        first, second = self._operand(), None
        self._take(",")
        second = self._operand()
        self._take(")")
        if self._peek() == ("word", "eq"):  # "… eq true" is an old habit of OData 2 clients
            raise NotPlayed(f"comparing the result of '{function}' in $filter")
        if function == "substringof":
            first, second, function = second, first, "contains"
        if not isinstance(first, str) or not isinstance(second, _Literal) or not isinstance(second.value, str):
            raise bad_query()
        if self._type.kind_of(first) != TEXT:
            raise bad_query()
        return Match(first, function, second.value)

    def _comparison(self) -> Node:
        left = self._operand()
        kind, operator = self._take()
        if kind != "word" or operator not in _OPERATORS:
            raise bad_query()
        right = self._operand()
        if isinstance(left, _Literal) and isinstance(right, str):
            left, right, operator = right, left, _MIRRORED[operator]
        if not isinstance(left, str) or not isinstance(right, _Literal):
            raise NotPlayed("comparing two properties or two literals in $filter")
        return Comparison(left, operator, self._literal_for(left, right.value))

    def _operand(self) -> str | _Literal:
        """A property's name, or a literal."""
        kind, text = self._take()
        if kind == "text":
            return _Literal(text[text.index("'") + 1 : -1].replace("''", "'"))
        if kind == "number":
            return _Literal(Decimal(text))
        if kind == "word" and text == "null":
            return _Literal(None)
        if kind != "word":
            raise bad_query()
        if not self._type.is_scalar(text):
            raise bad_query_property(text)
        return text

    def _literal_for(self, name: str, value: str | Decimal | None) -> Any:
        """The literal as values of that property compare; refused if it cannot be one."""
        if value is None:
            return None
        kind = self._type.kind_of(name)
        read: Any
        if kind in (NUMBER, WHOLE):
            read = as_decimal(value)
        elif kind == DATE:
            read = as_date(value)
        elif kind == TIME:
            time = as_time(value)
            read = time and time[:5]
        elif kind == TEXT:
            read = str(value)
        else:
            read = enum_member(str(kind), value)
        if read is None:
            raise bad_query()
        return read


def parse(text: str, entity_type: EntityType) -> Node:
    """The filter as a tree; raises the Service Layer's 400 for what it would refuse."""
    return _Parser(text, entity_type).parse()


def comparable(entity_type: EntityType, name: str) -> Callable[[Any], Any]:
    """How a stored value of that property is prepared for comparing."""
    kind = entity_type.kind_of(name)
    if kind == DATE:
        return lambda value: value[:10]
    if kind == TIME:
        return lambda value: value[:5]  # minutes: the real one does not compare seconds
    return lambda value: value


def compile_test(node: Node, entity_type: EntityType, ignore_case: bool = False) -> Test:
    """A function that says whether a row matches."""
    if isinstance(node, Both):
        tests = [compile_test(part, entity_type, ignore_case) for part in node.parts]
        return lambda row: all(test(row) for test in tests)
    if isinstance(node, Either):
        tests = [compile_test(part, entity_type, ignore_case) for part in node.parts]
        return lambda row: any(test(row) for test in tests)
    name, default = node.name, entity_type.default(node.name)
    fold: Callable[[Any], Any] = str.casefold if ignore_case else str
    if isinstance(node, Match):
        function, part = _FUNCTIONS[node.function], fold(node.value)

        def matches(row: Row) -> bool:
            value = row.get(name, default)
            return value is not None and function(fold(value), part)

        return matches
    if node.value is None:
        if node.operator not in ("eq", "ne"):
            raise bad_query()
        wanted_null = node.operator == "eq"
        return lambda row: (row.get(name, default) is None) == wanted_null
    prepare, operator, literal = comparable(entity_type, name), _OPERATORS[node.operator], node.value
    if ignore_case and isinstance(literal, str) and entity_type.kind_of(name) == TEXT:
        prepare, literal = fold, fold(literal)

    def compares(row: Row) -> bool:
        value = row.get(name, default)
        return value is not None and operator(prepare(value), literal)

    return compares


def exact_values(node: Node, indexed: frozenset[str]) -> tuple[str, frozenset[Any]] | None:
    """One indexed property and the values it must have in every match, where the filter says so.

    ``U_DW_KEY eq 'a' or U_DW_KEY eq 'b'`` need not look at a hundred thousand orders.
    """
    if isinstance(node, Comparison) and node.operator == "eq" and node.value is not None and node.name in indexed:
        return node.name, frozenset({node.value})
    if isinstance(node, Both):
        return next((found for part in node.parts if (found := exact_values(part, indexed))), None)
    if isinstance(node, Either):
        parts = [exact_values(part, indexed) for part in node.parts]
        known = [part for part in parts if part is not None]
        if len(known) == len(parts) and len({name for name, _ in known}) == 1:
            return known[0][0], frozenset().union(*(values for _, values in known))
    return None


def lower_bound(node: Node, key: str) -> Decimal | None:
    """The smallest key a match can have, where the filter says so: keyset paging need not start from the first row."""
    if isinstance(node, Comparison) and node.name == key and node.operator in ("gt", "ge"):
        return node.value
    if isinstance(node, Both):
        bounds = [bound for part in node.parts if (bound := lower_bound(part, key)) is not None]
        return max(bounds, default=None)
    return None
