"""Sessions: login, the odd cookies, the inactivity time-out, and what concurrent logins do to each other."""

from __future__ import annotations

import os
import threading
import time
import uuid

from sandbox_sapb1.clock import Clock
from sandbox_sapb1.errors import login_failed, parallel_login
from sandbox_sapb1.switches import Switches

USER_NAME = "manager"
PASSWORD_VARIABLE = "SANDBOX_SAPB1_PASSWORD"  # noqa: S105 - the name of a variable
#: What the recorded server (10.0) told.
VERSION = "1000280"
ROUTE = ".node1"


class Sessions:
    """The sessions of one company. Guarded by the company's lock, but for the time a login takes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: session id -> clock reading of its last use
        self._last_used: dict[str, float] = {}
        self._login = threading.Lock()

    def __len__(self) -> int:
        return len(self._last_used)

    def log_in(self, company: object, user: object, password: object, company_db: str, switches: Switches) -> str:
        """A new session's id. Call it without the company's lock: it takes as long as the switches say."""
        alone = self._login.acquire(blocking=False)
        try:
            if switches.login_lock and not alone:
                raise parallel_login()
            time.sleep(switches.login_seconds)
        finally:
            if alone:
                self._login.release()
        if company != company_db:
            raise login_failed(-306)
        if user != USER_NAME or password != os.environ.get(PASSWORD_VARIABLE, "sandbox"):
            raise login_failed(-304)
        session = str(uuid.uuid4())
        self._last_used[session] = self._clock.seconds()
        return session

    def use(self, session: str | None, minutes: float) -> bool:
        """Whether the session lives; if so it now counts as used."""
        last = self._last_used.get(session or "")
        if session is None or last is None:
            return False
        now = self._clock.seconds()
        if now - last > minutes * 60:
            del self._last_used[session]
            return False
        self._last_used[session] = now
        return True

    def log_out(self, session: str | None) -> None:
        self._last_used.pop(session or "", None)

    def drop_all(self) -> int:
        """Kill all sessions, as a restart of the server does."""
        count = len(self._last_used)
        self._last_used.clear()
        return count


def cookies(session: str, secure: bool) -> list[str]:
    """The two ``Set-Cookie`` values. No Path on the first; newer builds add a stray semicolon and ``Secure``."""
    ending = ";HttpOnly;;Secure;SameSite=None" if secure else ";HttpOnly;"
    return [f"B1SESSION={session}{ending}", f"ROUTEID={ROUTE}; path=/b1s"]
