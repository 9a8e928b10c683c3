"""Reading a table: query options, pages, counts and links to the next page.

Paging is by ``$skip`` over the table as it is at that moment, no snapshot: an insert before the cursor repeats a row,
as on the real one. A full last page still links to the next, which is empty; ``$top`` counts down across pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any
from urllib.parse import unquote_plus

from werkzeug.datastructures import Headers

from sandbox_sapb1 import filters
from sandbox_sapb1.errors import NotPlayed, bad_query, bad_query_property
from sandbox_sapb1.model import EntityType, Row
from sandbox_sapb1.tables import Table

_PLAYED = frozenset({"$filter", "$select", "$orderby", "$top", "$skip", "$count", "$inlinecount", "$expand"})


@dataclass(frozen=True)
class Query:
    """The query options of one request, understood."""

    node: filters.Node | None
    ignore_case: bool
    select: tuple[str, ...] | None
    #: (property, descending)
    order: tuple[tuple[str, bool], ...]
    top: int | None
    skip: int
    count: bool
    #: Rows of a page; None: no paging.
    page: int | None
    #: Options a next link repeats exactly as they were sent.
    repeated: tuple[str, ...]


@dataclass(frozen=True)
class Page:
    """What a query answers: the rows, how many there are in all if that was asked, the query of the next page."""

    rows: list[Row]
    count: int | None
    next_query: str | None


def understand(
    raw_query: str, entity_type: EntityType, page_size: int, page_wanted: int | None = None, ignore_case: bool = False
) -> Query:
    """Read a query string; raises the 400 of the real one, or 501 for an option that is not played."""
    options: dict[str, str] = {}
    repeated: list[str] = []
    for part in raw_query.split("&"):
        name, _, value = part.partition("=")
        name = unquote_plus(name)
        if not name.startswith("$"):
            continue
        if name not in _PLAYED:
            raise NotPlayed(f"the query option {name}")
        options[name] = unquote_plus(value)
        if name not in ("$top", "$skip"):
            repeated.append(part)
    _refuse_expand(options.get("$expand"), entity_type)
    page = page_size if page_wanted is None else page_wanted
    return Query(
        node=filters.parse(options["$filter"], entity_type) if options.get("$filter") else None,
        ignore_case=ignore_case,
        select=_select(options.get("$select"), entity_type),
        order=_order(options.get("$orderby"), entity_type),
        top=_whole(options.get("$top")),
        skip=_whole(options.get("$skip")) or 0,
        count=options.get("$inlinecount") == "allpages" or options.get("$count") == "true",
        page=page or None,
        repeated=tuple(repeated),
    )


def _refuse_expand(expand: str | None, entity_type: EntityType) -> None:
    for name in filter(None, (part.strip() for part in (expand or "").split(","))):
        if name not in entity_type.navigation:
            raise bad_query(f"Cannot expand invalid navigation property '{name}' for entity type '{entity_type.name}'")
        raise NotPlayed(f"$expand={name}")


def _select(text: str | None, entity_type: EntityType) -> tuple[str, ...] | None:
    names = tuple(filter(None, (name.strip() for name in (text or "").split(","))))
    for name in names:
        if entity_type.kind_of(name) is None:
            raise bad_query_property(name)
    return names or None


def _order(text: str | None, entity_type: EntityType) -> tuple[tuple[str, bool], ...]:
    order = []
    for part in filter(None, (part.strip() for part in (text or "").split(","))):
        name, _, direction = part.partition(" ")
        if not entity_type.is_scalar(name):
            raise bad_query_property(name)
        if direction.strip() not in ("", "asc", "desc"):
            raise bad_query("Query string error - Invalid orderby")  # text ours
        order.append((name, direction.strip() == "desc"))
    return tuple(order)


def _whole(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdigit():
        raise bad_query("Query string error - Invalid number")  # text ours
    return int(text)


def matching(table: Table, query: Query) -> Iterator[Row]:
    """The rows a query is about, in the order of the key, looking at as few as its filter allows."""
    if query.node is None:
        return iter(table)
    test = filters.compile_test(query.node, table.type, query.ignore_case)
    exact = None if query.ignore_case else filters.exact_values(query.node, table.indexed)
    candidates: Iterable[Row] = table
    if exact is not None:
        candidates = table.find(*exact)
    elif len(table.key_names) == 1:
        bound = filters.lower_bound(query.node, table.key_names[0])
        if bound is not None:
            candidates = table.from_key(bound)
    return (row for row in candidates if test(row))


def read_page(table: Table, query: Query) -> Page:
    """One page of the rows that match."""
    rows: Iterable[Row] = matching(table, query)
    count = None
    if query.order or query.count:
        found = list(rows)
        count = len(found) if query.count else None
        for name, descending in reversed(query.order):
            found.sort(key=_sort_key(name, table.type), reverse=descending)
        rows = found
    limit = query.page if query.top is None else query.top if query.page is None else min(query.top, query.page)
    page = list(islice(rows, query.skip, None if limit is None else query.skip + limit))
    return Page(page, count, _next_query(query, len(page)))


def _sort_key(name: str, entity_type: EntityType) -> Any:
    default = entity_type.default(name)

    def key(row: Row) -> tuple[bool, Any]:
        value = row.get(name, default)
        return (value is not None, value if value is not None else 0)

    return key


def _next_query(query: Query, rows: int) -> str | None:
    if query.page is None or rows < query.page:
        return None
    parts = list(query.repeated)
    if query.top is not None:
        if query.top <= query.page:
            return None
        parts.append(f"$top={query.top - query.page}")
    parts.append(f"$skip={query.skip + query.page}")
    return "&".join(parts)


def page_preference(headers: Headers) -> tuple[int | None, dict[str, str]]:
    """The page size a request prefers (0: no paging) and the headers that confirm it."""
    for preference in (headers.get("Prefer") or "").replace(";", ",").split(","):
        name, _, value = preference.strip().partition("=")
        if name == "odata.maxpagesize" and value.isdigit():
            return int(value), {"Preference-Applied": f"odata.maxpagesize={value}"}
    size = headers.get("B1S-PageSize") or ""
    return (int(size), {}) if size.isdigit() else (None, {})
