"""Magento's ``searchCriteria`` query parameters, and its times. Used by the connector for every list it reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from datawald.domain.errors import BadInput

#: field, condition (``eq``, ``gt``, ``gteq``, ``in``, …), value. Magento takes an unknown condition silently as eq.
Filter = tuple[str, str, str]

CONDITIONS = frozenset(
    "eq neq gt gteq lt lteq in nin like nlike null notnull finset from to".split(),
)


def criteria(
    groups: Iterable[Sequence[Filter]], *, sort: Sequence[str] = (), page_size: int, page: int = 1
) -> list[tuple[str, str]]:
    """Query parameters for ``groups`` of filters (OR within a group, AND between them), sorted ascending by ``sort``.

    The direction is always sent: without it Magento sorts descending.
    """
    pairs: list[tuple[str, str]] = []
    for g, group in enumerate(groups):
        for f, (field, condition, value) in enumerate(group):
            if condition not in CONDITIONS:
                raise BadInput(f"Magento has no condition {condition}", field=field)
            at = f"searchCriteria[filter_groups][{g}][filters][{f}]"
            pairs += [(f"{at}[field]", field), (f"{at}[condition_type]", condition), (f"{at}[value]", value)]
    for s, field in enumerate(sort):
        at = f"searchCriteria[sortOrders][{s}]"
        pairs += [(f"{at}[field]", field), (f"{at}[direction]", "ASC")]
    pairs += [("searchCriteria[pageSize]", str(page_size)), ("searchCriteria[currentPage]", str(page))]
    return pairs


def stamp(moment: datetime, field: str = "updated_at") -> str:
    """``moment`` as Magento stores it: UTC, whole seconds, ``YYYY-MM-DD HH:MM:SS``. A time without zone is BadInput."""
    if moment.tzinfo is None:
        raise BadInput("the time has no zone", field=field)
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
