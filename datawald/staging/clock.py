"""The store's clock, as every process reads it."""

from __future__ import annotations

import threading
import time
from typing import Any

from pymongo import MongoClient

#: How long a measured difference between our clock and the store's is believed.
BELIEVED_S = 30.0


class StoreClock:
    """Milliseconds UTC by the store's clock, from one ``hello`` every half minute and the monotonic clock between."""

    def __init__(self, client: MongoClient[dict[str, Any]]) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._measured_at = -BELIEVED_S
        self._store_ms = 0
        self._off_ms = 0

    def now_ms(self) -> int:
        with self._lock:
            since = time.monotonic() - self._measured_at
            if since >= BELIEVED_S or self._store_ms == 0:
                self._measure()
                since = time.monotonic() - self._measured_at
            return self._store_ms + round(since * 1000)

    def trusted(self, tolerance_ms: int) -> bool:
        self.now_ms()
        return abs(self._off_ms) <= tolerance_ms

    def _measure(self) -> None:
        began = time.monotonic()
        answer = self._client.admin.command("hello")
        ended = time.monotonic()
        ours = time.time() * 1000
        local = answer.get("localTime")
        # the middle of the round trip; a server that does not tell its time is taken to share ours (it runs beside us)
        self._store_ms = round((local.timestamp() if local else ours / 1000) * 1000)
        self._measured_at = (began + ended) / 2
        self._off_ms = round(ours - self._store_ms - (ended - began) * 500)
