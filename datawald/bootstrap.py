"""The composition root: builds the real parts from settings and hands them to those who use them."""

from __future__ import annotations

from typing import Any

from celery import Celery
from flask import Flask
from pymongo import MongoClient

from datawald import logs
from datawald.api import create_app
from datawald.config import Settings
from datawald.domain.ports import Bells
from datawald.staging import Store
from datawald.staging.clock import StoreClock
from datawald.usecases import Core, Limits
from datawald.worker import tasks
from datawald.worker.agents import Agents
from datawald.worker.bells import CeleryBells
from datawald.worker.celery import create_celery
from flask_dwconnector import DWConnector

#: No call to the store may take longer: a worker's lease runs meanwhile.
STORE_DEADLINE_MS = 10_000


def make_client(settings: Settings) -> MongoClient[dict[str, Any]]:
    """A client of the store. Made after a fork, never before: a client from before is unsafe."""
    return MongoClient(
        settings.mongodb_uri,
        tz_aware=True,
        timeoutMS=STORE_DEADLINE_MS,
        serverSelectionTimeoutMS=STORE_DEADLINE_MS // 2,
        appname="datawald",
    )


def make_core(settings: Settings, bells: Bells) -> Core:
    """The core over the store that ``settings`` name. Raises pymongo's error if it does not answer."""
    client = make_client(settings)
    store = Store(client, settings.database)
    store.prepare()
    limits = Limits(
        lease_ms=round(settings.lease_s * 1000),
        pull_lease_ms=round(settings.pull_lease_s * 1000),
        quiet_factor=settings.quiet_factor,
    )
    return Core(store, StoreClock(client), bells, limits)


def make_bells(settings: Settings, app: Celery | None = None) -> CeleryBells:
    return CeleryBells(app or create_celery(settings), ttl_s=Limits().bell_ttl_s)


def make_worker(settings: Settings) -> Celery:
    """The Celery application with its tasks, as ``celery -A datawald.celeryapp worker`` and beat run it."""
    app = create_celery(settings)
    bells = make_bells(settings, app)
    tasks.register(
        app,
        make_connector=lambda: DWConnector(settings.core_url, settings.api_key.get_secret_value()),
        make_agents=lambda connector: Agents(connector, settings.master_key.get_secret_value()),
        make_core=lambda: make_core(settings, bells),
        ring_lane=bells.ring_lane,
    )
    return app


def make_app(settings: Settings) -> Flask:
    """The API, as gunicorn serves it."""
    logs.configure(settings.log_level)
    return create_app(make_core(settings, make_bells(settings)), max_body_bytes=settings.max_body_bytes)
