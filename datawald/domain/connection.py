"""A configured system, as an agent sees it: secrets opened, settings plain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from datawald.domain.errors import BadInput

#: A setting that is the text ``map:NAME`` stands for the values of that map: one table for several connections.
MAP = "map:"


@dataclass(frozen=True)
class Connection:
    """One configured system. Lives only in the process that works with it: ``secrets`` are in the clear here."""

    #: ``[a-z0-9_]+``, part of every business key: never renamed once records exist.
    name: str
    #: Entry point name in ``datawald.agents``.
    agent: str
    endpoint: str
    #: Everything else the agency documents: store views, card codes, tax map.
    settings: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    #: Total deadline of one request to the system, seconds. No write begins that the claim's lease does not outlive by it.
    deadline_s: float = 30.0


def with_maps(settings: Mapping[str, Any], maps: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """``settings`` with every ``map:NAME`` replaced by that map's values. Raises ``BadInput`` naming an unknown map."""
    filled: dict[str, Any] = {}
    for option, value in settings.items():
        if isinstance(value, str) and value.startswith(MAP):
            name = value.removeprefix(MAP)
            if name not in maps:
                known = ", ".join(sorted(maps)) or "none"
                raise BadInput(f"{option}: there is no map {name!r}; known: {known}", field=f"settings.{option}")
            filled[option] = dict(maps[name])
        else:
            filled[option] = value
    return filled
