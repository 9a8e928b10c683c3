"""Celery's worker and beat, less what they would do to the broker. Named by string in :mod:`datawald.worker.celery`:
importing Celery's worker takes a while, and the API needs neither."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, ClassVar

from celery import beat
from celery.worker import consumer

from datawald.worker.bells import CeleryBells
from datawald.worker.celery import TICK_TTL_S

#: A worker looks this often (seconds) whether it is to end.
LOOK_S = 1.0
#: How long the broker may take for one answer when a worker leaves (seconds). A goodbye asks about five times.
GOODBYE_S = 0.5


class Consumer(consumer.Consumer):
    """A worker's side of the broker.

    Where it finds quorum queues Celery prepares for tasks that are to run later: 28 quorum queues and as many exchanges,
    made at every start. No task of ours is to run later, since what is due stands in the store.
    """

    def register_with_event_loop(self, hub: Any) -> None:
        super().register_with_event_loop(hub)
        # a signal does not wake the loop (Python takes up the interrupted wait again): idle, it would see after up to ten
        # seconds that it is to end, and have no time left for what is at work
        hub.call_repeatedly(LOOK_S, _nothing)

    def stop(self) -> None:
        with suppress(AttributeError):  # another transport has no socket
            if self.connection.connected:
                self.connection.connection.sock.settimeout(GOODBYE_S)
        super().stop()

    class Blueprint(consumer.Consumer.Blueprint):
        default_steps: ClassVar[list[str]] = [
            step for step in consumer.Consumer.Blueprint.default_steps if not str(step).endswith(":DelayedDelivery")
        ]


def _nothing() -> None:
    pass


class Beat(beat.Scheduler):
    """Rings the tick as everybody rings: off its own path, and by a clock that nobody sets.

    Celery's own publishes between two looks at the clock: a broker that does not answer holds it for seconds, also when it
    is to end, and every tick of an outage leaves a traceback in the log. And it goes by the time of day: set back by a
    minute, it would not tick for a minute.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._bells = CeleryBells(self.app, ttl_s=TICK_TTL_S)

    def tick(self, *_: Any, **__: Any) -> float:
        """One round of Celery's loop. Returns the seconds until the next."""
        entry = self.app.conf.beat_schedule["tick"]
        self._bells.ring(entry["task"], entry["options"]["queue"], {})
        return float(entry["schedule"])
