"""Rings doorbells over Celery, off the caller's path."""

from __future__ import annotations

import logging
import queue
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from celery import Celery

from datawald.domain.record import lane_name
from datawald.worker.celery import CONFIRM_WITHIN_S, PULL, PUSH

log = logging.getLogger(__name__)

#: More bells than this waiting means that the broker does not take them: the rest is not worth keeping.
MOST_WAITING = 1000
#: A broker that takes no bells is left alone this long (seconds).
PAUSE_S = 1.0


@dataclass(frozen=True)
class Bell:
    task: str
    queue: str
    arguments: dict[str, Any]
    #: When it is no longer worth hearing, by the monotonic clock.
    ends_at: float


class CeleryBells:
    """Publishes bells from a thread of its own. A bell that cannot be published is dropped: the store rings again."""

    def __init__(self, app: Celery, *, ttl_s: float) -> None:
        self._app = app
        self._ttl_s = ttl_s
        self._waiting: queue.Queue[Bell] = queue.Queue(MOST_WAITING)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def ring_lane(self, connection: str, lane: str) -> None:
        self.ring(PUSH, lane, {"connection": connection, "lane": lane})

    def ring_flow(self, flow: str, source: str) -> None:
        self.ring(PULL, lane_name(source, "pull"), {"flow": flow})

    def ring(self, task: str, to: str, arguments: dict[str, Any]) -> None:
        """Rings a task of a queue. Returns at once and never raises, whatever the broker does."""
        with self._lock:
            # begun at the first bell, not at import: threads do not survive gunicorn's and Celery's forks
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._publish, name="bells", daemon=True)
                self._thread.start()
        # a full queue: the broker takes none, which the thread has told
        with suppress(queue.Full):
            self._waiting.put_nowait(Bell(task, to, arguments, time.monotonic() + self._ttl_s))

    def _publish(self) -> None:
        line = Line(self._app)
        answered = True
        refused: set[str] = set()
        while True:
            bell = self._waiting.get()
            if bell.ends_at <= time.monotonic():
                continue
            try:
                line.send(bell)
            except Refused as error:
                # one queue's trouble (of another type, or forbidden): the others' bells go on
                if bell.queue not in refused:
                    log.error("the broker refuses bells for %s: %s", bell.queue, error)
                refused.add(bell.queue)
            except Exception as error:  # whatever the broker's library raises
                # once for each outage: ticks and stage calls go on ringing
                if answered:
                    log.warning(
                        "the broker takes no bells (%s: %s); the store rings again", type(error).__name__, error
                    )
                answered = False
                # those that wait would fail one by one, each after its time-out, and be stale when it answers again
                self._forget_waiting()
                time.sleep(PAUSE_S)
            else:
                if not answered:
                    log.warning("the broker takes bells again")
                answered = True
                refused.discard(bell.queue)

    def _forget_waiting(self) -> None:
        with suppress(queue.Empty):
            while True:
                self._waiting.get_nowait()


class Refused(Exception):
    """The broker answers, and does not take this bell."""


class Line:
    """A connection to the broker, for one thread. Made at the first bell, and anew after each failure.

    Not from Celery's pool: that one hands a connection on which a confirmation is overdue to the next caller, and waits
    without end for a broker that is away.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._connection: Any = None

    def send(self, bell: Bell) -> None:
        """Returns when the broker has the bell. Raises ``Refused``, or what the broker's library raises, in seconds."""
        used = self._connection is not None
        try:
            self._try(bell)
        except Refused:
            raise
        except Exception:
            if not used:
                raise
            # it may have been dead since long: a broker that was started again
            self._try(bell)

    def _try(self, bell: Bell) -> None:
        try:
            self._send(bell)
        except Exception as error:
            # asked before hanging up: each transport has its own
            refusals = self._connection.channel_errors
            self._hang_up()
            if isinstance(error, refusals):
                raise Refused(str(error)) from error
            raise

    def _send(self, bell: Bell) -> None:
        if self._connection is None:
            self._connection = self._app.connection_for_write()
        if not self._connection.connected:
            # every address of a cluster once, and no waiting in between
            tries = len(self._connection.alt or [None])
            self._connection.ensure_connection(max_retries=tries - 1, interval_start=0, interval_step=0)
        self._app.send_task(
            bell.task,
            kwargs=bell.arguments,
            queue=bell.queue,
            expires=max(0.0, bell.ends_at - time.monotonic()),
            producer=self._app.amqp.Producer(self._connection, auto_declare=False),
            confirm_timeout=CONFIRM_WITHIN_S,
            retry=False,
            ignore_result=True,
        )

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            # without saying goodbye: the broker may not answer
            with suppress(Exception):
                connection.collect()
