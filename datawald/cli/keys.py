"""``datawald keys``: API keys, and the master key that seals secrets."""

from __future__ import annotations

import click

from datawald import config
from datawald.cli import output
from datawald.cli.command import Noun, Verb
from datawald.cli.core import connect
from datawald.domain.errors import NotFound

SCOPES = ("read", "worker", "operator")


@click.group(
    cls=Noun,
    examples=(
        ("datawald keys create me --scope operator --direct", "the very first key, on the store's own machine"),
        ("datawald keys create worker1 --scope worker", "a key for a worker"),
    ),
)
def keys() -> None:
    """API keys: who may do what.

    read looks; worker claims, stages, reports and is given sealed secrets; operator configures, asks for runs, replays
    and drops. Every key may read.
    """


@keys.command(
    cls=Verb,
    examples=(
        ("datawald keys create me --scope operator --scope worker", "a key that may do everything"),
        ("export DATAWALD_API_KEY=$(datawald keys create me --scope operator --direct)", "the very first key"),
    ),
)
@click.argument("name")
@click.option("--scope", "scopes", type=click.Choice(SCOPES), multiple=True, required=True, help="May be given again.")
@click.option("--direct", is_flag=True, help="Straight to the store (DATAWALD_MONGODB_URI), without the API and a key.")
def create(name: str, scopes: tuple[str, ...], direct: bool) -> None:
    """Make an API key called NAME and print it: the only time it is ever shown.

    The first key cannot come through the API, which asks for one: --direct writes it straight into the store.
    """
    out = output.current()
    wanted = list(dict.fromkeys(scopes))
    key = _create_direct(name, wanted) if direct else connect().create_key(name, wanted)
    out.document({"key": key, "name": name, "scopes": wanted})
    if not out.json:
        click.echo(key)
        out.note(f"{name}: {', '.join(wanted)}. Keep it: it is not shown again. Use it as DATAWALD_API_KEY.")


def _create_direct(name: str, scopes: list[str]) -> str:
    from datawald.bootstrap import make_core
    from datawald.usecases import keys as usecase

    core = make_core(config.load(), _NoBells())
    try:
        return usecase.create(core, name, scopes)
    finally:
        core.store.client.close()


class _NoBells:
    """Making a key rings nothing."""

    def ring_lane(self, connection: str, lane: str) -> None: ...

    def ring_flow(self, flow: str, source: str) -> None: ...


@keys.command("list", cls=Verb, examples=(("datawald keys list", "who has a key, and what for"),))
def list_keys() -> None:
    """List the API keys by id and name; never the keys themselves."""
    out = output.current()
    found = connect().keys()
    out.document({"keys": found})
    out.table(
        ("id", "name", "scopes", "created"),
        [(one["id"], one["name"], ", ".join(one["scopes"]), output.local(one["created"])) for one in found],
    )


@keys.command(cls=Verb, examples=(("datawald keys delete 1f0a9c3e", "the id is the middle part of dw_1f0a9c3e_…"),))
@click.argument("key_id", metavar="ID")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(key_id: str, yes: bool) -> None:
    """Delete an API key; whoever uses it is refused within seconds."""
    out, core = output.current(), connect()
    if key_id.startswith("dw_"):  # somebody pasted the whole key: its id is enough, and the rest is nobody's business
        key_id = key_id.split("_")[1]
    named = {one["id"]: one["name"] for one in core.keys()}
    if key_id not in named:
        raise NotFound(f"there is no API key {key_id!r}; datawald keys list shows them", system="core")
    output.confirm(f"Delete the key {key_id} ({named[key_id]})?", yes)
    core.delete_key(key_id)
    out.document({"deleted": key_id, "name": named[key_id]})
    out.say(f"deleted {key_id} ({named[key_id]})")


@keys.command(cls=Verb, examples=(("datawald keys master", "print a new one, for DATAWALD_MASTER_KEY"),))
def master() -> None:
    """Print a new master key.

    Every process that seals or opens secrets needs the same one as DATAWALD_MASTER_KEY. Lose it, and every sealed secret
    is lost with it; replace it, and they have to be sealed anew.
    """
    from datawald.sealed import new_master_key

    out = output.current()
    key = new_master_key()
    out.document({"master_key": key})
    if not out.json:
        click.echo(key)
        out.note("Keep it where secrets are kept. Use it as DATAWALD_MASTER_KEY.")
