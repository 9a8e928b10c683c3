"""A claim: records of one entity leased to one worker, stored before anything is written outside.

How many claims a connection has alive is its concurrency; :func:`granted` is the rule.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal


@dataclass(frozen=True)
class Claim:
    """One claim. Its records carry its id; it carries what was about to be sent for each."""

    id: str
    connection: str
    #: ``<connection>.<lane>``.
    lane: str
    entity: str
    #: ``open`` until its report (``reported``) or until its lease ran out (``ended``).
    state: Literal["open", "reported", "ended"]
    #: The connection while the claim is open, "" afterwards: how its live claims are found.
    place: str
    created_ms: int
    lease_until_ms: int
    #: JSON text: record id → content announced before the first write.
    intents: str = "{}"
    #: Given out on a paused connection, to find out whether it works again.
    probe: Literal["Y", "N"] = "N"
    rev: int = 0

    def closed(self, state: Literal["reported", "ended"]) -> Claim:
        """The claim after its report or its lease's end. It announces nothing more."""
        return replace(self, state=state, place="", rev=self.rev + 1)

    def intent(self, record_id: str) -> dict[str, Any] | None:
        intents: dict[str, dict[str, Any]] = json.loads(self.intents)
        return intents.get(record_id)


def granted(claim: Claim, live: Sequence[Claim], max_claims: int, lanes: Sequence[str]) -> bool:
    """Whether ``claim``, already stored among ``live``, may keep its place.

    Claims are granted in the order of their making, so that of several workers who asked at once the same ones win in
    everybody's eyes. One place is kept free for each of the connection's ``lanes`` that has none, so that catalogue
    traffic cannot take the last place from orders.
    """
    taken: dict[str, int] = {}
    for one in sorted(live, key=lambda other: (other.created_ms, other.id)):
        total = sum(taken.values())
        kept_free = sum(1 for lane in lanes if lane != one.lane and not taken.get(lane))
        may = total + kept_free < max_claims or (not taken.get(one.lane) and total < max(max_claims, len(lanes)))
        if one.id == claim.id:
            return may
        if may:
            taken[one.lane] = taken.get(one.lane, 0) + 1
    return False
