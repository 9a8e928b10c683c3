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
    created_ms: int
    lease_until_ms: int
    #: JSON text: record id → content announced before the first write.
    intents: str = "{}"
    #: Given out on a paused connection, to find out whether it works again.
    probe: Literal["Y", "N"] = "N"
    rev: int = 0

    def closed(self, state: Literal["reported", "ended"]) -> Claim:
        """The claim after its report or its lease's end. It announces nothing more."""
        return replace(self, state=state, rev=self.rev + 1)

    def intent(self, record_id: str) -> dict[str, Any] | None:
        intents: dict[str, dict[str, Any]] = json.loads(self.intents)
        return intents.get(record_id)


def granted(lane: str, live: Sequence[Claim], max_claims: int, lanes: Sequence[str]) -> bool:
    """Whether a lane may have one more claim beside the ``live`` ones of its connection.

    Never more than ``max_claims``. One place is kept free for each of the connection's ``lanes`` that has none, so that
    catalogue traffic cannot take the last place from orders; where there are fewer places than lanes, they take turns.
    """
    taken = {one.lane for one in live}
    kept_free = sum(1 for other in lanes if other != lane and other not in taken)
    return len(live) + (kept_free if lane in taken else 0) < max_claims
