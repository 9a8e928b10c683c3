"""The API over a store in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mongomock
import pytest
from flask.testing import FlaskClient

from datawald.api import create_app
from datawald.staging import Store
from datawald.usecases import Core, keys


class Clock:
    """Turned by hand."""

    def __init__(self) -> None:
        self.ms = 1_800_000_000_000
        self.right = True

    def now_ms(self) -> int:
        return self.ms

    def trusted(self, tolerance_ms: int) -> bool:
        return self.right


class Bells:
    """Remembers what was rung."""

    def __init__(self) -> None:
        self.rung: list[str] = []

    def ring_lane(self, connection: str, lane: str) -> None:
        self.rung.append(lane)

    def ring_flow(self, flow: str, source: str) -> None:
        self.rung.append(flow)


class Api:
    """Calls with an operator's and worker's key unless told otherwise."""

    def __init__(self, core: Core, client: FlaskClient) -> None:
        self.core = core
        self.client = client
        self.key = keys.create(core, "all", ["operator", "worker"])

    def __call__(self, method: str, path: str, body: Any = None, *, status: int = 200, key: str | None = None) -> Any:
        headers = {"x-api-key": self.key if key is None else key}
        answer = self.client.open(path, method=method, json=body, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def bells() -> Bells:
    return Bells()


@pytest.fixture
def api(clock: Clock, bells: Bells) -> Iterator[Api]:
    store = Store(mongomock.MongoClient(tz_aware=True), "api")
    core = Core(store, clock, bells)
    app = create_app(core, max_body_bytes=100_000)
    with app.test_client() as client:
        yield Api(core, client)
