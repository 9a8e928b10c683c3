"""The stores the contract suite runs on: each as a private, empty database that is gone afterwards."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mongomock
import pymongo
import pytest
from store_servers import NxServer, Store

MONGOD_URI = "DATAWALD_TEST_MONGODB_URI"


@pytest.fixture(scope="session", params=["mongomock", "nx", "mongod"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Every test that asks for it runs on each of the stores."""
    if request.param == "mongomock":
        yield Store("mongomock", mongomock.MongoClient(tz_aware=True))
    elif request.param == "nx":
        server = NxServer(tmp_path_factory.mktemp("nx"))
        server.start()
        client: Any = pymongo.MongoClient(server.uri)
        try:
            yield Store("nx", client, server.uri)
        finally:
            client.close()
            server.stop()
    else:
        uri = os.environ.get(MONGOD_URI)
        if not uri:
            pytest.skip(f"THE PRODUCTION STORE WAS NOT TESTED: set {MONGOD_URI} to the URI of a MongoDB to test it")
        client = pymongo.MongoClient(uri, tz_aware=True, serverSelectionTimeoutMS=10_000)
        database = f"contract_{uuid.uuid4().hex[:12]}"
        try:
            yield Store("mongod", client, uri, database)
        finally:
            client.drop_database(database)
            client.close()


@pytest.fixture
def shared_store(store: Store) -> Store:
    """A store that several processes can use."""
    if not store.uri:
        pytest.skip(f"{store.name} lives inside one process and is not safe even under threads")
    return store


@pytest.fixture
def nx_server(tmp_path: Path) -> Iterator[NxServer]:
    """A server of the test's own, to be killed."""
    server = NxServer(tmp_path)
    server.start()
    yield server
    server.stop()
