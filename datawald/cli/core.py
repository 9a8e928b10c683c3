"""How commands reach the core: this process's settings, and a connector for people's patience."""

from __future__ import annotations

from datawald import config
from datawald.cli.output import Stop
from datawald.domain import registry
from datawald.domain.errors import BadInput, NotFound
from flask_dwconnector import DWConnector

#: A person waits: after this many further tries a silent core is reported.
RETRIES = 2


def connect(settings: config.Settings | None = None) -> DWConnector:
    """The core that the settings name, with this process's key."""
    settings = settings or config.load()
    return DWConnector(settings.core_url, settings.api_key.get_secret_value(), read_retries=RETRIES)


def flow_named(core: DWConnector, name: str) -> dict[str, object]:
    """A flow. Stops with the names of those that there are."""
    try:
        return core.flow(name)
    except NotFound:
        known = ", ".join(str(flow["name"]) for flow in core.flows())
        raise Stop(
            f"there is no flow {name!r}",
            f"known: {known}" if known else "there is none yet: datawald config apply FILE makes flows",
            code="not_found",
        ) from None


def entity_named(text: str) -> str:
    """The entity called ``text``, in singular or plural. Stops with the known ones."""
    known = registry.entities()
    for name, entity in known.items():
        if text in (name, entity.plural):
            return name
    raise BadInput(f"unknown entity {text!r}; known: {', '.join(sorted(known))}", field="ENTITY")
