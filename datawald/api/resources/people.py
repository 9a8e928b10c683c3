"""Configuration, runs and the state of things: what people and the command line ask."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from datawald.api import wire
from datawald.api.routing import CoreResource, route
from datawald.domain.claim import Claim
from datawald.domain.errors import BadInput, NotFound
from datawald.usecases import configure, keys, pull, status
from datawald.usecases.core import Core


class TaskQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    flow: str = ""
    limit: int = Field(20, ge=1, le=100)


class Connections(CoreResource):
    @route("read")
    def get(self) -> dict[str, Any]:
        """Every connection, without secrets."""
        return {"connections": [wire.connection(one) for one in self.core.store.connections.find({})]}


class Connection(CoreResource):
    @route("read")
    def get(self, name: str) -> dict[str, Any]:
        """One connection, without secrets."""
        return wire.connection(self.core.connection(name))

    @route("operator", body=wire.ConnectionBody)
    def put(self, name: str, body: wire.ConnectionBody) -> dict[str, Any]:
        """Make or change a connection."""
        return wire.connection(configure.put_connection(self.core, body.stored(_name(name))))

    @route("operator")
    def delete(self, name: str) -> dict[str, Any]:
        """Delete a connection that no flow uses."""
        configure.delete_connection(self.core, name)
        return {"deleted": name}


class Flows(CoreResource):
    @route("read")
    def get(self) -> dict[str, Any]:
        """Every flow, with its cut date and what it is doing."""
        return {"flows": [wire.flow(one) for one in self.core.store.flows.find({})]}


class Flow(CoreResource):
    @route("read")
    def get(self, name: str) -> dict[str, Any]:
        """One flow."""
        return wire.flow(self.core.flow(name))

    @route("operator", body=wire.FlowBody)
    def put(self, name: str, body: wire.FlowBody) -> dict[str, Any]:
        """Make or change a flow; where it stands is kept."""
        return wire.flow(configure.put_flow(self.core, body.stored(_name(name))))

    @route("operator")
    def delete(self, name: str) -> dict[str, Any]:
        """Delete a flow none of whose records is on its way. What it brought stays on record."""
        configure.delete_flow(self.core, name)
        return {"deleted": name}


class Maps(CoreResource):
    @route("read")
    def get(self) -> dict[str, Any]:
        """Every value map."""
        return {"maps": {one.id: json.loads(one.values) for one in self.core.store.maps.find({})}}


class Map(CoreResource):
    @route("read")
    def get(self, name: str) -> dict[str, Any]:
        """One value map."""
        found = self.core.store.maps.get(name)
        if found is None:
            raise NotFound(f"there is no map {name!r}")
        return {"name": name, "values": json.loads(found.values)}

    @route("operator", body=wire.MapBody)
    def put(self, name: str, body: wire.MapBody) -> dict[str, Any]:
        """Make or change a value map."""
        stored = configure.put_map(self.core, _name(name), body.values)
        return {"name": name, "values": json.loads(stored.values)}

    @route("operator")
    def delete(self, name: str) -> dict[str, Any]:
        """Delete a value map that no connection uses."""
        configure.delete_map(self.core, name)
        return {"deleted": name}


class Keys(CoreResource):
    @route("operator")
    def get(self) -> dict[str, Any]:
        """Every API key, by id, name and scope."""
        found = self.core.store.keys.find({})
        return {
            "keys": [
                {"id": one.id, "name": one.name, "scopes": list(one.scopes), "created": wire.moment(one.created_ms)}
                for one in found
            ]
        }

    @route("operator", body=wire.KeyBody, status=201)
    def post(self, body: wire.KeyBody) -> dict[str, Any]:
        """Make an API key. The answer is the only place where it is ever shown."""
        return {"key": keys.create(self.core, body.name, body.scopes), "name": body.name, "scopes": body.scopes}


class Key(CoreResource):
    @route("operator")
    def delete(self, key_id: str) -> dict[str, Any]:
        """Delete an API key; it stops working within seconds."""
        if not self.core.store.keys.delete(key_id):
            raise NotFound(f"there is no API key {key_id!r}")
        return {"deleted": key_id}


class SyncTasks(CoreResource):
    @route("read", query=TaskQuery)
    def get(self, query: TaskQuery) -> dict[str, Any]:
        """Runs, newest first, with their records counted by status."""
        filters = {"flow": query.flow} if query.flow else {}
        found = self.core.store.sync_tasks.find(filters, sort=("started_ms",), descending=True, limit=query.limit)
        return {"sync_tasks": [_task(self.core, one.id) for one in found]}

    @route("operator", body=wire.SyncTaskBody, status=201)
    def post(self, body: wire.SyncTaskBody) -> dict[str, Any]:
        """Ask for a run of a flow now."""
        if body.kind == "since" and body.since is None:
            raise BadInput("a run since a date needs that date", field="since")
        since_ms = wire.milliseconds(body.since) if body.since else 0
        task = pull.ask(self.core, body.flow, body.kind, since_ms=since_ms, ids=body.ids)
        return wire.sync_task(task, {})


class SyncTask(CoreResource):
    @route("read")
    def get(self, task_id: str) -> dict[str, Any]:
        """One run, with its records counted by status."""
        return _task(self.core, task_id)


class Status(CoreResource):
    @route("read")
    def get(self) -> dict[str, Any]:
        """The state of everything at a glance."""
        core = self.core
        now_ms = core.now_ms()
        return {
            "now": wire.moment(now_ms),
            "now_ms": now_ms,
            "store": core.store.about(),
            "flows": [wire.flow(flow) | {"counts": status.counts(core, flow)} for flow in core.store.flows.find({})],
            "connections": [
                wire.connection(one) | {"claims": [_claim(claim) for claim in core.store.claims.live(one, now_ms)]}
                for one in core.store.connections.find({})
            ],
        }


def _task(core: Core, id: str) -> dict[str, Any]:
    task = pull.sync_task(core, id)
    return wire.sync_task(task, core.store.records.counts_of(id))


def _claim(claim: Claim) -> dict[str, Any]:
    return {
        "id": claim.id,
        "lane": claim.lane,
        "entity": claim.entity,
        "since": wire.moment(claim.created_ms),
        "until": wire.moment(claim.lease_until_ms),
    }


def _name(text: str) -> str:
    if not text or len(text) > 60 or not all(char in "abcdefghijklmnopqrstuvwxyz0123456789_" for char in text):
        raise BadInput("a name is 1 to 60 of a-z, 0-9 and _", field="name")
    return text
