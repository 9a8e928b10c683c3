"""Makes agents from connections, and keeps them while the connection stays as it is."""

from __future__ import annotations

import threading
import time
from typing import Any

from datawald.domain import registry
from datawald.domain.agent import Agent
from datawald.domain.connection import Connection
from datawald.sealed import open_secret
from flask_dwconnector import DWConnector

#: A changed connection is noticed within this time.
BELIEVED_S = 10.0


class Agents:
    """The agents of one process, by connection. Safe for threads; the connectors inside pool their connections."""

    def __init__(self, core: DWConnector, master_key: str) -> None:
        self._core = core
        self._master_key = master_key
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, dict[str, Any], Agent]] = {}

    def get(self, name: str) -> Agent:
        """The agent of a connection. Raises ``NotFound``, ``Misconfigured``."""
        with self._lock:
            known = self._known.get(name)
            if known and time.monotonic() - known[0] < BELIEVED_S:
                return known[2]
            setup = self._core.agent_setup(name)
            setup.pop("paused", None)
            agent = known[2] if known and known[1] == setup else self._make(name, setup)
            self._known[name] = (time.monotonic(), setup, agent)
            return agent

    def _make(self, name: str, setup: dict[str, Any]) -> Agent:
        opened = {secret: open_secret(text, self._master_key) for secret, text in setup["secrets"].items()}
        connection = Connection(
            name=name,
            agent=setup["agent"],
            endpoint=setup["endpoint"],
            settings=setup["settings"],
            secrets=opened,
            deadline_s=float(setup["deadline_s"]),
        )
        return registry.agent(connection.agent)(connection)
