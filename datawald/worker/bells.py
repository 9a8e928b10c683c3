"""Rings doorbells over Celery, off the caller's path."""

from __future__ import annotations

import logging
import queue
import threading
from typing import Any

from celery import Celery

from datawald.domain.record import lane_name
from datawald.worker.celery import PULL, PUSH

log = logging.getLogger(__name__)

#: More bells than this waiting means that the broker does not take them: the rest is not worth keeping.
MOST_WAITING = 1000


class CeleryBells:
    """Publishes bells from a thread of its own. A bell that cannot be published is dropped: the store rings again."""

    def __init__(self, app: Celery, *, ttl_s: float) -> None:
        self._app = app
        self._ttl_s = ttl_s
        self._waiting: queue.Queue[tuple[str, str, dict[str, Any]]] = queue.Queue(MOST_WAITING)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def ring_lane(self, connection: str, lane: str) -> None:
        self._ring(PUSH, lane, {"connection": connection, "lane": lane})

    def ring_flow(self, flow: str, source: str) -> None:
        self._ring(PULL, lane_name(source, "pull"), {"flow": flow})

    def _ring(self, task: str, to: str, arguments: dict[str, Any]) -> None:
        with self._lock:
            # begun at the first bell, not at import: threads do not survive gunicorn's and Celery's forks
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._publish, name="bells", daemon=True)
                self._thread.start()
        try:
            self._waiting.put_nowait((task, to, arguments))
        except queue.Full:
            log.warning("the broker takes no bells; the store rings again")

    def _publish(self) -> None:
        while True:
            task, to, arguments = self._waiting.get()
            try:
                self._app.send_task(
                    task, kwargs=arguments, queue=to, expires=self._ttl_s, retry=False, ignore_result=True
                )
            except Exception as error:  # whatever the broker's library raises
                log.warning("a bell for %s was lost (%s); the store rings again", to, type(error).__name__)
