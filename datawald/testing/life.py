"""One record's life without a store: staged, claimed and settled by the rules the core goes by. Used by the kit.

What a report leaves on a record is what the next claim brings, and both go through JSON, as between core and worker.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from datawald.domain import record as rules
from datawald.domain.agent import Delivery
from datawald.domain.entity import Canonical
from datawald.domain.outcome import Outcome
from datawald.domain.record import Incoming, Record, TxStatus

#: Any quiet period will do: the clock of a life is moved to where the next claim may take the record.
QUIET_MS = 60_000


class Life:
    """One record, from its first staging on."""

    def __init__(self, entity: str, source: str, target: str, src_id: str, canonical: Canonical) -> None:
        self._model = type(canonical)
        self._about: dict[str, Any] = {"entity": entity, "source": source, "target": target, "src_id": src_id}
        self._now_ms = round(datetime.now(UTC).timestamp() * 1000)
        self._claims = 0
        self._chance = random.Random(0)  # noqa: S311 - repeatable, not secret
        self.record: Record = rules.first(self._incoming(canonical), self._now_ms)

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def key(self) -> str:
        """The business key, as the target carries it."""
        return self.record.key

    @property
    def status(self) -> TxStatus:
        return self.record.tx_status

    def stage(self, canonical: Canonical) -> None:
        """The source hands out new content."""
        self._now_ms += 1000
        _, self.record = rules.stage(self.record, self._incoming(canonical), self._now_ms)

    def claimed(self) -> Delivery[Any]:
        """The record as the next claim hands it to an agent. One that is settled is replayed, as by a person."""
        self._now_ms += 1000
        if self.record.due_ms == rules.NEVER_MS:
            self.record = rules.replay(self.record, self._now_ms, "the conformance kit")
        self._now_ms = max(self._now_ms, self.record.due_ms)
        self._claims += 1
        joined = rules.join(self.record, f"claim {self._claims}", self._now_ms)
        if joined is None:
            raise RuntimeError(f"{self.id} cannot be claimed: it is {self.status.long_name}")
        self.record = joined
        return Delivery(
            id=joined.id,
            entity=joined.entity,
            source=joined.source,
            target=joined.target,
            src_id=joined.src_id,
            version=joined.version,
            canonical=self._model.model_validate_json(joined.payload),
            in_doubt=joined.claimed_in_doubt == "Y",
            tgt_id=joined.tgt_id,
            sent=json.loads(joined.sent) if joined.sent else None,
            attempts=json.loads(joined.attempts),
            links=json.loads(joined.links),
        )

    def settle(self, outcome: Outcome, intent: Mapping[str, Any] | None) -> None:
        """The worker reports. ``intent``: what it announced for this record, if anything."""
        settled = rules.settle(
            self.record,
            self.record.claim_id,
            self.record.claimed_version,
            outcome,
            intent,
            self._now_ms,
            QUIET_MS,
            self._chance,
        )
        self.record = settled.record

    def expire(self, intent: Mapping[str, Any] | None) -> None:
        """The worker died: its lease ends without a report."""
        due_ms = self._now_ms + QUIET_MS
        expired = rules.expire(self.record, self.record.claim_id, intent, self._now_ms, due_ms)
        if expired is None:
            raise RuntimeError(f"{self.id} is in no claim")
        self.record = expired

    def _incoming(self, canonical: Canonical) -> Incoming:
        return Incoming(
            **self._about,
            lane=f"{self._about['target']}.lane",
            stamp_ms=self._now_ms,
            read_began_ms=self._now_ms,
            hash=canonical.content_hash(),
            payload=canonical.model_dump_json(),
        )
