"""Fixtures of the connector tests."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator

import pytest
from wire import Peer


@pytest.fixture
def peer() -> Iterator[Callable[..., Peer]]:
    """Makes scripted servers, closed after the test."""
    made: list[Peer] = []

    def make(script: Callable[[Peer, socket.socket, int], object], tls: ssl.SSLContext | None = None) -> Peer:
        made.append(Peer(script, tls))
        return made[-1]

    yield make
    for one in made:
        one.close()
