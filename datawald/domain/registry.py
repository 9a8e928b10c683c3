"""Finds entities, agents and mappings. The built-ins enter by the same door as other packages': entry points.

Groups: ``datawald.entities`` (an :class:`~datawald.domain.entity.Entity`), ``datawald.agents`` (a subclass of
:class:`~datawald.domain.agent.Agent`), ``datawald.mappings`` (named ``<system>.<entity>``, a Source or Target class).
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from datawald.domain.errors import BadInput, Misconfigured, NotFound

if TYPE_CHECKING:
    from datawald.domain.agent import Agent, EntityMapping
    from datawald.domain.entity import Entity


@cache
def entities() -> dict[str, Entity]:
    """Every entity installed, by name. Two packages that claim one name are refused: neither may win by chance."""
    return {name: point.load() for name, point in _declared("datawald.entities").items()}


def entity(name: str) -> Entity:
    """The entity called ``name``. Raises ``NotFound`` naming the known ones."""
    known = entities()
    if name not in known:
        raise NotFound(f"unknown entity {name!r}; known: {', '.join(sorted(known))}")
    return known[name]


@cache
def agents() -> dict[str, type[Agent]]:
    """Every agency and agent installed, by the name a connection gives as its ``agent``."""
    return {name: point.load() for name, point in _declared("datawald.agents").items()}


def agent_names() -> list[str]:
    """The names a connection may give as its ``agent``; nothing is imported."""
    return sorted(_declared("datawald.agents"))


def agent(name: str) -> type[Agent]:
    """The agent class called ``name``. Raises ``BadInput`` naming the known ones."""
    known = _declared("datawald.agents")
    if name not in known:
        raise BadInput(f"unknown agent {name!r}; known: {', '.join(sorted(known))}", field="agent")
    # loaded by itself: a package that cannot be imported must not stop the connections of the others
    loaded: type[Agent] = known[name].load()
    return loaded


@cache
def mapping(system: str, entity_name: str) -> type[EntityMapping]:
    """The mapping of one entity in one system. Raises ``Misconfigured`` where none is installed."""
    point = _declared("datawald.mappings").get(f"{system}.{entity_name}")
    if point is None:
        raise Misconfigured(f"no mapping of {entity_name!r} is installed for {system}")
    loaded: type[EntityMapping] = point.load()
    return loaded


@cache
def _declared(group: str) -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=group):
        # an editable install beside its own wheel metadata names the same thing twice: that is no conflict
        if point.name in found and found[point.name].value != point.value:
            raise Misconfigured(
                f"{group}: {point.name!r} is declared by {found[point.name].value} and by {point.value}"
            )
        found[point.name] = point
    return found
