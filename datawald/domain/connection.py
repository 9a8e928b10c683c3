"""A configured system, as an agent sees it: secrets opened, settings plain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


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
