"""Configuration that every process must see alike: connections, flows, value maps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from datawald.domain import registry
from datawald.domain.connection import MAP, with_maps
from datawald.domain.errors import BadInput, Conflict, NotFound
from datawald.domain.flow import Flow
from datawald.sealed import check_reference
from datawald.staging.store import StoredConnection, ValueMap
from datawald.usecases.core import Core


def put_connection(core: Core, connection: StoredConnection) -> StoredConnection:
    """Stores a connection, new or changed. Raises ``BadInput`` naming what is wrong with it."""
    agent = registry.agent(connection.agent)
    secrets: dict[str, str] = json.loads(connection.secrets)
    for name, reference in secrets.items():
        if agent.secret_names and name not in agent.secret_names:
            known = ", ".join(agent.secret_names)
            raise BadInput(f"{connection.agent} knows no secret {name!r}; known: {known}", field=f"secrets.{name}")
        check_reference(reference, f"secrets.{name}")
    agent.checked_settings(connection.id, filled_settings(core, connection))
    if connection.max_claims < 1 or connection.claim_size < 1:
        raise BadInput("max_claims and claim_size are at least 1", field="max_claims")
    if connection.deadline_s * 1000 * 2 > core.limits.lease_ms:
        raise BadInput(
            f"a request may take {connection.deadline_s} s, more than half of a claim's lease "
            f"({core.limits.lease_ms / 1000:g} s, DATAWALD_LEASE_S): nothing would ever be written",
            field="deadline_s",
        )
    while True:
        before = core.store.connections.get(connection.id)
        if before is None:
            if core.store.connections.insert(connection):
                return connection
            continue
        after = replace(connection, paused=before.paused, probe_ms=0, places=before.places, rev=before.rev + 1)
        if core.store.connections.save(before, after):
            return after


def filled_settings(core: Core, connection: StoredConnection) -> dict[str, Any]:
    """A connection's settings as its agent gets them, maps filled in. Raises ``BadInput`` naming an unknown map."""
    maps = {one.id: json.loads(one.values) for one in core.store.maps.find({})}
    return with_maps(json.loads(connection.settings), maps)


def put_flow(core: Core, wanted: Flow) -> Flow:
    """Stores a flow, new or changed; where it stands is kept. Raises ``BadInput``, ``NotFound``."""
    entity = registry.entity(wanted.entity)
    source, target = core.connection(wanted.source), core.connection(wanted.target)
    if wanted.source == wanted.target:
        raise BadInput("source and target are the same connection", field="target")
    for end, connection, side in (("source", source, entity.source_side), ("target", target, entity.target_side)):
        agent_side = registry.agent(connection.agent).side
        if agent_side != side:
            raise BadInput(f"the {end} of {entity.name} is a {side}; {connection.id} is a {agent_side}", field=end)
    if not wanted.start_from_ms:
        raise BadInput("a flow needs a start_from: nothing that changed before it is read", field="start_from")
    while True:
        before = core.store.flows.get(wanted.id)
        if before is None:
            if core.store.flows.insert(replace(wanted, due_ms=core.now_ms())):
                return wanted
            continue
        if (before.entity, before.source, before.target) != (wanted.entity, wanted.source, wanted.target):
            raise Conflict(f"flow {wanted.id} is {before.entity} {before.source} to {before.target}: make another one")
        after = replace(
            before,
            enabled=wanted.enabled,
            start_from_ms=wanted.start_from_ms,
            every_ms=wanted.every_ms,
            overlap_ms=wanted.overlap_ms,
            settings=wanted.settings,
            due_ms=before.due_ms if before.token else core.now_ms(),
            rev=before.rev + 1,
        )
        if core.store.flows.save(before, after):
            return after


def put_map(core: Core, name: str, values: Mapping[str, Any]) -> ValueMap:
    """Stores a value map, new or changed."""
    while True:
        before = core.store.maps.get(name)
        text = json.dumps(dict(values), ensure_ascii=False, sort_keys=True)
        if before is None:
            after = ValueMap(name, text)
            if core.store.maps.insert(after):
                return after
        else:
            after = replace(before, values=text, rev=before.rev + 1)
            if core.store.maps.save(before, after):
                return after


def delete_map(core: Core, name: str) -> None:
    """Raises ``Conflict`` while a connection's settings name it, ``NotFound`` if it is not there."""
    users = [one.id for one in core.store.connections.find({}) if MAP + name in json.loads(one.settings).values()]
    if users:
        raise Conflict(f"map {name} is used by {', '.join(sorted(users))}: change their settings first")
    if not core.store.maps.delete(name):
        raise NotFound(f"there is no map {name!r}")


def delete_connection(core: Core, name: str) -> None:
    """Raises ``Conflict`` while a flow uses it, ``NotFound`` if it is not there."""
    core.connection(name)
    used = [flow.id for end in ("source", "target") for flow in core.store.flows.find({end: name})]
    if used:
        raise Conflict(f"connection {name} is used by {', '.join(sorted(set(used)))}: delete these flows first")
    core.store.connections.delete(name)


def delete_flow(core: Core, name: str) -> None:
    """Raises ``Conflict`` while records of it are on their way: without a flow nobody would ring for them."""
    flow = core.flow(name)
    if core.store.records.on_their_way(flow.route):
        raise Conflict(f"records of flow {name} are on their way: disable it, and let them settle or drop them first")
    core.store.flows.delete(name)
