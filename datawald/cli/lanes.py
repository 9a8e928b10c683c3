"""A running worker that listens to lanes of flows made after it started.

Celery binds a worker to its queues at the start. This step asks the core for its queues every few seconds and adds what is
new; a lane whose flow is gone stays, and costs nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from typing import Any

from celery import Celery, bootsteps

log = logging.getLogger(__name__)


def follow_lanes(app: Celery, ask: Callable[[], Collection[str]], every_s: float) -> None:
    """Makes the workers of ``app`` add the queues that ``ask`` names and that they do not listen to yet.

    ``ask`` may raise: then nothing changes until it answers again.
    """

    class NewLanes(bootsteps.StartStopStep):
        """Begins with every connection to the broker and ends with it, as Celery's own steps do."""

        requires = ("celery.worker.consumer.tasks:Tasks",)

        def __init__(self, consumer: Any, **options: Any) -> None:
            super().__init__(consumer, **options)
            self._over = threading.Event()

        def start(self, consumer: Any) -> None:
            self._over = threading.Event()
            threading.Thread(target=self._follow, args=(consumer, self._over), name="lanes", daemon=True).start()

        def stop(self, consumer: Any) -> None:
            self._over.set()

        def _follow(self, consumer: Any, over: threading.Event) -> None:
            while not over.wait(every_s):
                try:
                    wanted = ask()
                except Exception as error:
                    log.debug("the core does not name its queues: %s", error)
                    continue
                if set(wanted) - set(app.amqp.queues.consume_from):
                    # in the consumer's own thread: a channel must not be used by two
                    consumer.call_soon(self._add, consumer, wanted, over)

        def _add(self, consumer: Any, wanted: Collection[str], over: threading.Event) -> None:
            for name in sorted(set(wanted) - set(app.amqp.queues.consume_from)):
                if over.is_set():
                    return  # the connection ended meanwhile; the next one asks again
                log.info("listening to %s too", name)
                # looked up first, so that it is declared as the queues of the start are (a quorum queue, say)
                _ = app.amqp.queues[name]
                try:
                    consumer.add_task_queue(name)
                except Exception:
                    # given back, or the next round would take it for done
                    app.amqp.queues.deselect(name)
                    raise

    app.steps["consumer"].add(NewLanes)
