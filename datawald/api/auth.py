"""Which API key a request carries, and whether it may."""

from __future__ import annotations

import threading
import time
from typing import Literal

from flask import g, request

from datawald.api.errors import Denied
from datawald.staging.store import ApiKey
from datawald.usecases import keys
from datawald.usecases.core import Core

Scope = Literal["read", "worker", "operator"]

#: A key that was right is believed this long, so that a busy worker does not cost a look-up per call; a deleted key
#: works at most this long.
BELIEVED_S = 5.0


class KeyRing:
    """Lets requests pass or not."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._lock = threading.Lock()
        self._believed: dict[str, tuple[float, ApiKey]] = {}

    def require(self, scope: Scope) -> None:
        """Lets the request pass. Raises ``Denied``: 401 for no or a wrong key, 403 for one that may not."""
        key = self._key(request.headers.get("x-api-key", ""))
        g.caller = key.name
        if scope != "read" and scope not in key.scopes:
            has = ", ".join(key.scopes)
            raise Denied(f"this key is for {has}; the call needs the scope {scope}", status=403, code="forbidden")

    def _key(self, text: str) -> ApiKey:
        if not text:
            raise Denied("no API key: send one as x-api-key (datawald keys create makes one)")
        digest = keys.hash_of(text)
        now = time.monotonic()
        with self._lock:
            known = self._believed.get(digest)
        if known and known[0] > now:
            return known[1]
        found = keys.verify(self._core, text)
        if found is None:
            raise Denied("unknown API key")
        with self._lock:
            if len(self._believed) > 1000:
                self._believed.clear()
            self._believed[digest] = (now + BELIEVED_S, found)
        return found
