"""What the use cases need from outside, as protocols: the composition root hands in the real ones, tests their own."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """The one clock deadlines are counted on: the store's."""

    def now_ms(self) -> int:
        """Milliseconds UTC."""

    def trusted(self, tolerance_ms: int) -> bool:
        """Whether this process's own clock agrees with the store's within ``tolerance_ms``."""


class Bells(Protocol):
    """Rings doorbells. Never blocks, never raises: a lost bell costs time, the store rings again."""

    def ring_lane(self, connection: str, lane: str) -> None:
        """ "This lane has work": a ``push`` for it."""

    def ring_flow(self, flow: str, source: str) -> None:
        """ "This flow is due": a ``pull`` for it."""
