"""The sandbox's clock: the server's local time, and the passing of time for sessions.

Documents show the server's *local* time although their dates end in ``Z``; a recorded server was six hours behind
UTC. The zone is a fixed offset, so that runs in any zone look the same.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta


class Clock:
    """Runs at real speed from a starting point and can be moved forward; ``restart`` takes the moves back."""

    def __init__(self, start: datetime | None = None, utc_offset_hours: float = 1.0) -> None:
        #: ``start`` is local time without a zone; None takes the real time in the server's zone.
        self._given = start is not None
        self._start = start or (datetime.now(UTC) + timedelta(hours=utc_offset_hours)).replace(tzinfo=None)
        self._began = time.monotonic()
        self._moved = 0.0
        self._lock = threading.Lock()
        self.utc_offset_hours = utc_offset_hours

    def seconds(self) -> float:
        """Seconds since the sandbox began, moves included; only differences mean anything."""
        return time.monotonic() - self._began + self._moved

    def now(self) -> datetime:
        """Local time of the server, without a zone."""
        return self._start + timedelta(seconds=self.seconds())

    def move(self, seconds: float) -> None:
        """Let ``seconds`` pass at once."""
        if seconds < 0:
            raise ValueError("time only moves forward")
        with self._lock:
            self._moved += seconds

    def restart(self) -> None:
        """Back to the given starting point, or to the real time where none was given."""
        with self._lock:
            self._moved = 0.0
            if self._given:
                self._began = time.monotonic()

    def date_stamp(self) -> str:
        """Today as v2 writes dates: midnight with a ``Z`` that is not true."""
        return f"{self.now():%Y-%m-%d}T00:00:00Z"

    def time_stamp(self) -> str:
        """The time of day, to the second."""
        return f"{self.now():%H:%M:%S}"
