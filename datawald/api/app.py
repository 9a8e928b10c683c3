"""The Flask application: routes, request ids, limits, errors."""

from __future__ import annotations

import logging
import re
import time
import uuid
from importlib.metadata import version

from flask import Flask, Response, g, request
from flask_restful import Resource

from datawald import logs
from datawald.api import errors
from datawald.api.auth import KeyRing
from datawald.api.resources import health, people, records, worker
from datawald.domain import registry
from datawald.domain.errors import NotFound
from datawald.usecases.core import Core

log = logging.getLogger(__name__)

_REQUEST_ID = re.compile(r"^[A-Za-z0-9_-]{1,64}$")


def create_app(core: Core, *, max_body_bytes: int) -> Flask:
    """The API over ``core``."""
    app = Flask("datawald", static_folder=None)
    app.config["DATAWALD_VERSION"] = version("datawald")
    app.config["MAX_CONTENT_LENGTH"] = max_body_bytes
    app.extensions["datawald"] = core
    app.extensions["datawald_keys"] = KeyRing(core)
    app.register_error_handler(Exception, errors.answer)
    app.before_request(_begin)
    app.after_request(_end)
    app.register_blueprint(health.blueprint)
    _routes(errors.EnvelopeApi(app))
    app.add_url_rule("/api/records/<path:rest>", "unknown_entity", _unknown_entity, methods=["GET", "POST"])
    return app


def _routes(api: errors.EnvelopeApi) -> None:
    def at(path: str, resource: type[Resource], name: str, **arguments: str) -> None:
        api.add_resource(resource, path, endpoint=name, resource_class_kwargs=arguments)

    at("/api/records", records.Records, "records")
    for name in registry.entities():
        at(f"/api/records/{name}", records.EntityRecords, f"records_{name}", entity=name)
        at(f"/api/records/{name}/replay", records.Replay, f"replay_{name}", entity=name)
        at(f"/api/records/{name}/drop", records.Drop, f"drop_{name}", entity=name)
    at("/api/links", records.Links, "links")
    at("/api/claims", worker.Claims, "claims")
    at("/api/claims/<claim_id>", worker.Claim, "claim")
    at("/api/reports", worker.Reports, "reports")
    at("/api/flows", people.Flows, "flows")
    at("/api/flows/<name>", people.Flow, "flow")
    at("/api/flows/<name>/lease", worker.FlowLease, "flow_lease")
    at("/api/connections", people.Connections, "connections")
    at("/api/connections/<name>", people.Connection, "connection")
    at("/api/connections/<name>/agent", worker.AgentSetup, "connection_agent")
    at("/api/queues", worker.Queues, "queues")
    at("/api/maps", people.Maps, "maps")
    at("/api/maps/<name>", people.Map, "map")
    at("/api/keys", people.Keys, "keys")
    at("/api/keys/<key_id>", people.Key, "key")
    at("/api/sync-tasks", people.SyncTasks, "sync_tasks")
    at("/api/sync-tasks/<task_id>", people.SyncTask, "sync_task")
    at("/api/status", people.Status, "status")


def _begin() -> None:
    given = request.headers.get("x-request-id", "")
    g.request_id = given if _REQUEST_ID.match(given) else uuid.uuid4().hex[:16]
    g.began = time.monotonic()
    logs.about.set({"request_id": g.request_id})


def _end(response: Response) -> Response:
    response.headers["x-request-id"] = g.get("request_id", "")
    took_ms = round((time.monotonic() - g.get("began", time.monotonic())) * 1000)
    log.info("%s %s %s in %s ms", request.method, request.path, response.status_code, took_ms)
    return response


def _unknown_entity(rest: str) -> Response:
    """What is asked under a name that no installed entity has."""
    registry.entity(rest.split("/")[0])
    raise NotFound(f"there is no {rest} under /api/records")
