"""What became of one record of a claim, as the agent that tried it tells it.

An outcome says what was seen; which ``tx_status`` follows from it is decided in :mod:`datawald.domain.record` alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class OutcomeKind(StrEnum):
    """The word on the wire (``POST /api/reports``)."""

    WRITTEN = "written"  # the target holds it, by this write, and said so when read back
    UNCHANGED = "unchanged"  # the target holds this content already
    SKIPPED = "skipped"  # not wanted in the target, nothing to send
    REJECTED = "rejected"  # the record is wrong: a person decides
    MISSING = "missing"  # rejected for master data that no flow of ours brings: tried again by itself
    WAITING = "waiting"  # not yet: tried again at a time or when a key is delivered
    RETRYABLE = "retryable"  # the target would not take it now, and nothing was written
    NOT_TRIED = "not_tried"  # the claim ended before this record's turn
    IN_DOUBT = "in_doubt"  # it may have been written: look before anything is written again


#: Waiting without a time of its own is tried again after five minutes.
DEFAULT_WAIT_S = 300


@dataclass(frozen=True)
class Outcome:
    """One record's outcome. Build it with the classmethods: each asks for what its kind needs."""

    kind: OutcomeKind
    #: For the operator, in plain words. Empty only where nothing needs saying.
    why: str = ""
    #: The target's id of the document (``DocEntry`` in SAP, shipment ``entity_id`` in Magento).
    tgt_id: str = ""
    #: Which part there is which part here, e.g. ``{"doc_num": "1001", "lines": {"11": "0"}}``.
    links: dict[str, Any] = field(default_factory=dict)
    #: The content the target now holds of us, in the target's terms.
    sent: dict[str, Any] | None = None
    #: What the target answered, in short: numbers and totals an operator asks for.
    answered: dict[str, Any] | None = None
    #: Seconds until it is due again (waiting, retryable, missing); 0 lets the core choose.
    until_s: float = 0
    #: Keys (``entity:connection:business key``) whose delivery ends the wait early.
    on: tuple[str, ...] = ()
    #: Warnings worth showing beside a success: a cut field, a clerk's value kept.
    notes: tuple[str, ...] = ()

    @classmethod
    def written(
        cls,
        tgt_id: str,
        *,
        sent: dict[str, Any],
        answered: dict[str, Any] | None = None,
        links: dict[str, Any] | None = None,
        why: str = "",
        notes: tuple[str, ...] = (),
    ) -> Outcome:
        return cls(OutcomeKind.WRITTEN, why, tgt_id, links or {}, sent, answered, notes=notes)

    @classmethod
    def unchanged(
        cls,
        tgt_id: str,
        *,
        sent: dict[str, Any] | None = None,
        links: dict[str, Any] | None = None,
        why: str = "",
        notes: tuple[str, ...] = (),
    ) -> Outcome:
        return cls(OutcomeKind.UNCHANGED, why, tgt_id, links or {}, sent, notes=notes)

    @classmethod
    def skipped(cls, why: str) -> Outcome:
        return cls(OutcomeKind.SKIPPED, why)

    @classmethod
    def rejected(cls, why: str, *, answered: dict[str, Any] | None = None) -> Outcome:
        return cls(OutcomeKind.REJECTED, why, answered=answered)

    @classmethod
    def missing(cls, why: str, *, until_s: float = 0, answered: dict[str, Any] | None = None) -> Outcome:
        """Master data is missing in the target (a SKU, a code, a rate): failed, and tried again by itself."""
        return cls(OutcomeKind.MISSING, why, until_s=until_s, answered=answered)

    @classmethod
    def waiting(
        cls, why: str, *, until_s: float = DEFAULT_WAIT_S, on: tuple[str, ...] = (), tgt_id: str = ""
    ) -> Outcome:
        return cls(OutcomeKind.WAITING, why, tgt_id, until_s=until_s, on=on)

    @classmethod
    def retryable(cls, why: str, *, until_s: float = 0) -> Outcome:
        return cls(OutcomeKind.RETRYABLE, why, until_s=until_s)

    @classmethod
    def not_tried(cls, why: str) -> Outcome:
        return cls(OutcomeKind.NOT_TRIED, why)

    @classmethod
    def in_doubt(cls, why: str) -> Outcome:
        return cls(OutcomeKind.IN_DOUBT, why)
