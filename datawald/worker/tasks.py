"""The three tasks. A message carries no record: it says "this lane has work" and may be lost, doubled or late."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from celery import Celery

from datawald import logs
from datawald.usecases import Core
from datawald.usecases import tick as ticks
from datawald.worker.agents import Agents
from datawald.worker.celery import PULL, PUSH, TICK
from datawald.worker.pull import pull
from datawald.worker.push import push
from flask_dwconnector import DWConnector

T = TypeVar("T")


class Once:
    """Makes a thing at its first use, in the process that uses it: clients of store and broker do not survive a fork."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: list[Any] = []

    def __call__(self) -> Any:
        with self._lock:
            if not self._made:
                self._made.append(self._make())
            return self._made[0]


def register(
    app: Celery,
    *,
    make_connector: Callable[[], DWConnector],
    make_agents: Callable[[DWConnector], Agents],
    make_core: Callable[[], Core],
    ring_lane: Callable[[str, str], None],
) -> None:
    """Registers the tasks. Only ``tick`` needs the store itself; a worker that stands beside a target never does."""
    connector = Once(make_connector)
    agents = Once(lambda: make_agents(connector()))
    core = Once(make_core)

    @app.task(name=PUSH)
    def push_task(connection: str, lane: str) -> None:
        logs.about.set({"lane": lane})
        push(connector(), agents(), connection, lane, lambda: ring_lane(connection, lane))

    @app.task(name=PULL)
    def pull_task(flow: str) -> None:
        logs.about.set({"flow": flow})
        pull(connector(), agents(), flow)

    @app.task(name=TICK)
    def tick_task() -> None:
        logs.about.set({"task": "tick"})
        ticks.tick(core())
