"""``searchCriteria`` and ``fields``: read from the query string, compared as the database compares, cut into pages.

Every list endpoint goes through here. What is odd is odd in Magento: an unknown condition is silently ``eq``, a sort
without direction is descending, a negative page size gives one row, and a page past the last one is empty while
``total_count`` stays true.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeVar
from urllib.parse import unquote_plus

from sandbox_magento2.errors import MagentoError, NotPlayed, bad_type, required

DATE = "date"
NUMBER = "number"
TEXT = "text"

Row = TypeVar("Row")
Columns = Mapping[str, str]

_CONDITIONS = (
    "eq neq gt gteq lt lteq in nin like nlike null notnull finset from to".split()  # the documented moreq is not one
)


@dataclass(frozen=True)
class Filter:
    """One condition on one field, as it was sent."""

    field: str
    value: str
    condition: str

    @property
    def played(self) -> str:
        """The condition that is really applied."""
        return self.condition if self.condition in _CONDITIONS else "eq"


@dataclass(frozen=True)
class Sort:
    """One sort order; ``direction`` is what was sent (None: nothing)."""

    field: str
    direction: str | None

    @property
    def descending(self) -> bool:
        """Without a direction Magento sorts descending."""
        return self.direction != "ASC"


@dataclass(frozen=True)
class Criteria:
    """A list query: groups are AND, the filters inside one are OR."""

    groups: tuple[tuple[Filter, ...], ...] = ()
    sorts: tuple[Sort, ...] = ()
    page_size: int | None = None
    current_page: int | None = None

    def echo(self) -> dict[str, Any]:
        """The ``search_criteria`` of the answer: it repeats only what was sent, and ``filter_groups`` always."""
        echo: dict[str, Any] = {
            "filter_groups": [
                {
                    "filters": [
                        {"field": one.field, "value": one.value, "condition_type": one.condition} for one in group
                    ]
                }
                for group in self.groups
            ]
        }
        if self.sorts:
            echo["sort_orders"] = [
                {"field": sort.field, **({"direction": sort.direction} if sort.direction else {})}
                for sort in self.sorts
            ]
        if self.page_size is not None:
            echo["page_size"] = self.page_size
        if self.current_page is not None:
            echo["current_page"] = self.current_page
        return echo

    def page(self, rows: Sequence[Row], repeat_last_page: bool = False) -> Sequence[Row]:
        """The asked-for page. ``repeat_last_page``: what Magento 2.3 and older did past the end."""
        if not self.page_size:
            return rows
        size = 1 if self.page_size < 0 else self.page_size
        number = max(self.current_page or 1, 1)
        if repeat_last_page and rows:
            number = min(number, -(-len(rows) // size))
        return rows[(number - 1) * size : number * size]


# --- reading the query string -----------------------------------------------------------------------------------------


def parse_query(raw: str) -> dict[str, Any]:
    """PHP's reading of a query string: ``a[b][c]=1`` nests, ``a[]`` counts, a later value replaces an earlier one."""
    tree: dict[str, Any] = {}
    for pair in raw.split("&"):
        if not pair:
            continue
        name, _, value = pair.partition("=")
        name, value = unquote_plus(name), unquote_plus(value)
        head, bracket, rest = name.partition("[")
        keys = [head.replace(".", "_").replace(" ", "_")]
        if bracket:
            keys += re.findall(r"([^\]\[]*)\]", rest)
        node = tree
        for key in keys[:-1]:
            key = key or str(len(node))
            inner = node.get(key)
            if not isinstance(inner, dict):
                inner = node[key] = {}
            node = inner
        node[keys[-1] or str(len(node))] = value
    return tree


def _one_of(tree: Mapping[str, Any], *names: str) -> Any:
    for name in names:
        if name in tree:
            return tree[name]
    return None


def _listed(value: Any, name: str) -> list[Any]:
    if value is None or value == "":
        return []
    if not isinstance(value, dict):
        raise NotPlayed(f"searchCriteria: {name} that is not a list")
    return list(value.values())


def _integer(tree: Mapping[str, Any], *names: str) -> int | None:
    value = _one_of(tree, *names)
    if value is None:
        return None
    if not isinstance(value, str) or not re.fullmatch(r"\s*[+-]?\d+\s*", value):
        raise bad_type(value, "int", names[0])
    return int(value)


def _known(tree: Mapping[str, Any], names: str, where: str) -> None:
    for name in tree:
        if name not in names.split():
            raise NotPlayed(f"searchCriteria: {where} with the key {name!r}")


def read_criteria(query: Mapping[str, Any], page_size_limit: int = 0) -> Criteria:
    """The criteria in a parsed query string; they must be there, be it as an empty ``searchCriteria=``."""
    tree = _one_of(query, "searchCriteria", "search_criteria")
    if tree is None:
        raise required("searchCriteria")
    if not isinstance(tree, dict):
        return Criteria()
    _known(
        tree,
        "filter_groups filterGroups sortOrders sort_orders pageSize page_size currentPage current_page",
        "searchCriteria",
    )
    groups = []
    for group in _listed(_one_of(tree, "filter_groups", "filterGroups"), "filter_groups"):
        _known(group, "filters", "a filter group")
        filters = []
        for raw in _listed(group.get("filters"), "filters"):
            _known(raw, "field value condition_type conditionType", "a filter")
            condition = _one_of(raw, "condition_type", "conditionType") or "eq"
            if "field" not in raw:
                raise NotPlayed("searchCriteria: a filter without field")
            if "value" not in raw and condition not in ("null", "notnull"):
                raise NotPlayed("searchCriteria: a filter without value")
            filters.append(Filter(raw["field"], raw.get("value", ""), condition))
        if filters:
            groups.append(tuple(filters))
    sorts = []
    for raw in _listed(_one_of(tree, "sortOrders", "sort_orders"), "sortOrders"):
        _known(raw, "field direction", "a sort order")
        direction = raw.get("direction")
        if direction is not None and direction.upper() not in ("ASC", "DESC"):
            raise MagentoError(
                400,
                "The sort order has to be specified as %1 for ascending order or %2 for descending order.",
                ["ASC", "DESC"],
            )
        if "field" not in raw:
            raise NotPlayed("searchCriteria: a sort order without field")
        sorts.append(Sort(raw["field"], direction.upper() if direction else None))
    size = _integer(tree, "pageSize", "page_size")
    if page_size_limit and size is not None and size > page_size_limit:
        raise MagentoError(400, "Maximum SearchCriteria pageSize is %max", {"max": page_size_limit})
    return Criteria(tuple(groups), tuple(sorts), size, _integer(tree, "currentPage", "current_page"))


# --- comparing as the database does -----------------------------------------------------------------------------------

_DATE = re.compile(
    r"\s*(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ](\d{1,2}):(\d{1,2})(?::(\d{1,2})(\.\d+)?)?)?\s*(Z|[+-]\d\d:?\d\d)?\s*"
)


def _date(value: str) -> str | None:
    """A date as the database's column would hold it; None for garbage, which there matches everything."""
    match = _DATE.fullmatch(value)
    if not match:
        return None
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    if zone and zone != "Z":
        raise NotPlayed("searchCriteria: a time with an offset")
    text = f"{year}-{int(month):02}-{int(day):02} {int(hour or 0):02}:{int(minute or 0):02}:{int(second or 0):02}"
    return text + (fraction or "")


def _number(value: str) -> Decimal:
    """The number a text begins with, 0 if with none, as MySQL casts."""
    match = re.match(r"\s*[+-]?(\d+\.?\d*|\.\d+)", value)
    return Decimal(match.group().strip()) if match else Decimal(0)


def _comparable(kind: str, value: Any) -> Any:
    if kind == NUMBER:
        return _number(value) if isinstance(value, str) else value
    if kind == DATE:
        return value
    return str(value).casefold()


def _like(pattern: str) -> Callable[[Any], bool]:
    parts = [".*" if char == "%" else "." if char == "_" else re.escape(char) for char in pattern.casefold()]
    matches = re.compile("".join(parts), re.DOTALL).fullmatch
    return lambda value: matches(str(value).casefold()) is not None


def compile_filter(one: Filter, kind: str) -> Callable[[Any], bool]:
    """A predicate on a column's value. NULL (None) satisfies nothing but ``null``: SQL's three-valued logic."""
    condition = one.played
    if condition == "null":
        return lambda value: value is None
    if condition == "notnull":
        return lambda value: value is not None
    if condition in ("like", "nlike"):
        like = _like(one.value)
        wanted = condition == "like"
        return lambda value: value is not None and like(value) is wanted
    if condition == "finset":
        member = one.value.casefold()
        return lambda value: value is not None and member in str(value).casefold().split(",")
    if condition in ("in", "nin"):
        members = {_comparable(kind, _date(item) if kind == DATE else item) for item in one.value.split(",")}
        wanted = condition == "in"
        return lambda value: value is not None and (_comparable(kind, value) in members) is wanted
    if kind == DATE:
        bound = _date(one.value)
        if bound is None:
            return lambda value: True
    else:
        bound = _comparable(kind, one.value)
    return _comparison(condition, kind, bound)


def _comparison(condition: str, kind: str, bound: Any) -> Callable[[Any], bool]:
    match condition:
        case "neq":
            return lambda value: value is not None and _comparable(kind, value) != bound
        case "gt":
            return lambda value: value is not None and _comparable(kind, value) > bound
        case "gteq" | "from":
            return lambda value: value is not None and _comparable(kind, value) >= bound
        case "lt":
            return lambda value: value is not None and _comparable(kind, value) < bound
        case "lteq" | "to":
            return lambda value: value is not None and _comparable(kind, value) <= bound
    return lambda value: value is not None and _comparable(kind, value) == bound


def date_range(one: Filter) -> tuple[str, str] | None:
    """The condition (gt, gteq, lt, lteq) and bound of a filter that an index by that date answers all by itself."""
    condition = {"from": "gteq", "to": "lteq"}.get(one.played, one.played)
    bound = _date(one.value) if condition in ("gt", "gteq", "lt", "lteq") else None
    return (condition, bound) if bound else None


UnknownField = Callable[[str], Exception]


def compile_groups(
    groups: Iterable[tuple[Filter, ...]], columns: Columns, unknown_field: UnknownField
) -> list[list[tuple[str, Callable[[Any], bool]]]]:
    """Predicates per group; a field that is no column raises what ``unknown_field`` makes of it."""
    compiled = []
    for group in groups:
        one_group = []
        for one in group:
            if one.field not in columns:
                raise unknown_field(one.field)
            one_group.append((one.field, compile_filter(one, columns[one.field])))
        compiled.append(one_group)
    return compiled


def matches(compiled: list[list[tuple[str, Callable[[Any], bool]]]], value_of: Callable[[str], Any]) -> bool:
    """Whether one row passes all groups."""
    for group in compiled:
        for name, predicate in group:
            if predicate(value_of(name)):
                break
        else:
            return False
    return True


def sort_rows(
    rows: list[Row],
    sorts: Iterable[Sort],
    columns: Columns,
    value_of: Callable[[Row, str], Any],
    unknown_field: UnknownField,
) -> list[Row]:
    """Sorted by the database's rules: NULL is the smallest value; ties keep the order of the rows given."""
    for sort in reversed(list(sorts)):
        if sort.field not in columns:
            raise unknown_field(sort.field)
        kind, name = columns[sort.field], sort.field

        def key(row: Row, kind: str = kind, name: str = name) -> tuple[bool, Any]:
            value = value_of(row, name)
            return (False, 0) if value is None else (True, _comparable(kind, value))

        rows.sort(key=key, reverse=sort.descending)
    return rows


def search(
    rows: Iterable[Mapping[str, Any]], criteria: Criteria, columns: Columns, unknown_field: UnknownField
) -> list[Mapping[str, Any]]:
    """All rows of a small table that match, sorted; the caller cuts the page."""
    compiled = compile_groups(criteria.groups, columns, unknown_field)
    found = [row for row in rows if matches(compiled, row.get)]
    return sort_rows(found, criteria.sorts, columns, lambda row, name: row.get(name), unknown_field)


# --- fields= ----------------------------------------------------------------------------------------------------------


@dataclass
class FieldTree:
    """What ``fields=items[entity_id,items[sku]],total_count`` asks for; an empty tree keeps the whole value."""

    names: dict[str, FieldTree] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> FieldTree | None:
        """None if the text is not well formed, to which Magento answers ``[]`` with status 200."""
        tree, at = cls._parse_list(text, 0)
        return tree if tree is not None and at == len(text) else None

    @classmethod
    def _parse_list(cls, text: str, at: int) -> tuple[FieldTree | None, int]:
        tree = cls()
        while True:
            match = re.compile(r"\w+").match(text, at)
            if not match:
                return None, at
            name, at = match.group(), match.end()
            tree.names[name] = cls()
            if text[at : at + 1] == "[":
                inner, at = cls._parse_list(text, at + 1)
                if inner is None or text[at : at + 1] != "]":
                    return None, at
                at += 1
                tree.names[name] = inner
            if text[at : at + 1] != ",":
                return tree, at
            at += 1

    def prune(self, value: Any) -> Any:
        """The value with only the asked-for keys; a list is pruned row by row."""
        if not self.names:
            return value
        if isinstance(value, list):
            return [self.prune(row) for row in value]
        if not isinstance(value, Mapping):
            return value
        return {name: inner.prune(value[name]) for name, inner in self.names.items() if name in value}
