"""Sessions of the Service Layer: logged in one at a time, shared by a bounded number of requests, renewed when gone.

Used by :mod:`flask_b1connector.connector` only. A session costs seconds to begin, sticks to one node of SAP's balancer
(``ROUTEID``) and dies after 30 idle minutes; parallel logins fail with "SAML Login Failed" (``sapb1.md`` §1, §6).
"""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from datawald.domain.errors import Misconfigured, Retryable

#: Requests at once on one session: SAP works those of one session one after another on one node, more only queue.
REQUESTS_PER_SESSION = 4
#: After a refused login every thread gets the same error without asking again for this long. SAP locks a user after a
#: few wrong passwords, and thirty workers would need a second for that.
LOGIN_PAUSE_S = 30.0


@dataclass(eq=False)
class Session:
    """One login: the two cookies, sent by hand, since strict jars drop SAP's (no path, odd attributes)."""

    cookie: str
    busy: int = field(default=0)


class SessionPool:
    """Hands out sessions, at most ``sessions`` of them, each to at most ``REQUESTS_PER_SESSION`` requests at once."""

    def __init__(self, login: Callable[[float], str], *, sessions: int, system: str) -> None:
        """``login(ends)`` logs in before that moment of the monotonic clock and returns the Cookie header."""
        self._login = login
        self._most = max(1, sessions)
        self._system = system
        self._live: list[Session] = []
        self._logging_in = False
        self._refused: tuple[float, Misconfigured] | None = None
        self._changed = threading.Condition()

    @contextmanager
    def session(self, ends: float) -> Iterator[Session]:
        """A session for one request; waits for a free one, or logs in, until ``ends`` (monotonic).

        Raises Retryable if none gets free in time, Misconfigured if the login is refused.
        """
        session = self._take(ends)
        try:
            yield session
        finally:
            with self._changed:
                session.busy -= 1
                self._changed.notify_all()

    def drop(self, session: Session) -> None:
        """The server does not know this session any more (or it is of no use): nobody gets it again."""
        with self._changed:
            if session in self._live:
                self._live.remove(session)
            self._changed.notify_all()

    def drain(self) -> list[Session]:
        """All sessions, taken out of the pool, for logging out."""
        with self._changed:
            gone, self._live = self._live, []
            return gone

    def _take(self, ends: float) -> Session:
        with self._changed:
            while True:
                session = min(self._live, key=lambda one: one.busy, default=None)
                if session is not None and session.busy < REQUESTS_PER_SESSION:
                    session.busy += 1
                    return session
                if len(self._live) < self._most and not self._logging_in:
                    if self._refused and self._refused[0] > time.monotonic():
                        raise copy.copy(self._refused[1])  # each thread its own: a raised error grows a traceback
                    self._logging_in = True
                    break
                left = ends - time.monotonic()
                if left <= 0:
                    raise Retryable("no session of SAP Business One got free in time", system=self._system)
                self._changed.wait(left)
        # Only this thread logs in; the others use the live sessions or wait.
        session = None
        try:
            session = Session(self._login(ends), busy=1)
            return session
        except Misconfigured as exc:
            self._refused = (time.monotonic() + LOGIN_PAUSE_S, exc)
            raise
        finally:
            with self._changed:
                self._logging_in = False
                if session is not None:
                    self._refused = None
                    self._live.append(session)
                self._changed.notify_all()
