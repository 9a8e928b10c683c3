"""``datawald config``: connections, flows and value maps from a TOML file into the core, checked before anything is written.

::

    [connections.mage2_us]          the fields of ``ConnectionBody``
    [flows.orders_us]               the fields of ``FlowBody``
    [maps.carriers]                 the values themselves
"""

from __future__ import annotations

import difflib
import json
import re
import sys
import tomllib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import click
from pydantic import BaseModel, ValidationError

from datawald import config as settings
from datawald.api.wire import ConnectionBody, FlowBody
from datawald.cli import output
from datawald.cli.command import Noun, Verb
from datawald.cli.core import connect, flow_named
from datawald.cli.output import Output, Stop
from datawald.domain import registry
from datawald.domain.agent import Agent, EntityMapping, Source, Target
from datawald.domain.connection import MAP, with_maps
from datawald.domain.errors import BadInput, DataWaldError, Misconfigured, NotFound
from datawald.sealed import check_reference, seal
from flask_dwconnector import DWConnector

B = TypeVar("B", bound=BaseModel)

KINDS = ("maps", "connections", "flows")
#: Stands for a secret that the core has and nobody shows; applied, it leaves that secret as it is.
HIDDEN = "***"

_NAME = re.compile(r"[a-z0-9_]{1,60}")
_BARE = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Mistake:
    """Something in a file that the core would refuse, or a worker would stumble over."""

    #: ``flows.orders_us.source``.
    where: str
    what: str
    fix: str = ""


@dataclass
class Written:
    """A file as it is meant, and what is wrong with it."""

    connections: dict[str, ConnectionBody] = field(default_factory=dict)
    flows: dict[str, FlowBody] = field(default_factory=dict)
    maps: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: Flows for which the file says nothing about ``enabled``: it stays as it is.
    silent: set[str] = field(default_factory=set)
    mistakes: list[Mistake] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def wrong(self, where: str, what: str, fix: str = "") -> None:
        self.mistakes.append(Mistake(where, what, fix))


@click.group(
    cls=Noun,
    examples=(
        ("datawald config check shop.toml", "is the file right? Asks nobody"),
        ("datawald config apply shop.toml", "write it into the core"),
        ("datawald config enable orders_us", "from now on the flow runs by itself"),
    ),
)
def config() -> None:
    """Connections, flows and value maps: what every process must see alike.

    They stand in a TOML file with a table for each: [connections.NAME], [flows.NAME], [maps.NAME].
    """


_file = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))


# --- check -------------------------------------------------------------------------------------------------------------


@config.command(cls=Verb, examples=(("datawald config check shop.toml", "names file, table, field and the fix"),))
@_file
def check(file: Path) -> int:
    """Check FILE against the installed agents and entities, without asking anybody.

    Exit code 1 if anything is wrong with it.
    """
    out = output.current()
    written = read(file)
    _report(out, file, written)
    if not written.mistakes:
        found = ", ".join(output.plural(len(getattr(written, kind)), kind[:-1]) for kind in reversed(KINDS))
        out.say(f"{file}: {found}; nothing wrong")
    return 1 if written.mistakes else 0


def _report(out: Output, file: Path, written: Written) -> None:
    out.document(
        {
            "file": str(file),
            "ok": not written.mistakes,
            "mistakes": [{"where": one.where, "what": one.what, "fix": one.fix} for one in written.mistakes],
            "notes": written.notes,
        }
    )
    if written.mistakes:
        rows = [(one.where, one.what, one.fix) for one in written.mistakes]
        out.table((f"wrong in {file}", "what", "fix"), rows)
    for note in written.notes:
        out.note(note)


def read(file: Path) -> Written:
    """The file, and every mistake in it. Stops where it is no TOML at all."""
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Stop(f"{file} is not TOML: {error}", code="bad_input") from None
    written = Written()
    for kind, tables in document.items():
        if kind not in KINDS:
            written.wrong(kind, "unknown table", _nearest(kind, KINDS))
        elif not isinstance(tables, dict):
            written.wrong(kind, "not a table", f"write [{kind}.NAME]")
        else:
            for name, fields in tables.items():
                _table(written, kind, name, fields)
    # the whole file first: what uses a map or a connection may stand before it
    for name, connection in written.connections.items():
        _connection(written, name, connection)
    for name, flow in written.flows.items():
        _flow(written, name, flow)
    return written


def _table(written: Written, kind: str, name: str, fields: Any) -> None:
    where = f"{kind}.{name}"
    if not _NAME.fullmatch(name):
        written.wrong(where, "not a name", "a name is 1 to 60 of a-z, 0-9 and _")
    if not isinstance(fields, dict):
        written.wrong(where, "not a table", f"write [{kind}.NAME], and the fields below it")
    elif kind == "maps":
        written.maps[name] = json.loads(json.dumps(fields, default=str))
    elif kind == "connections":
        body = _body(written, where, ConnectionBody, fields)
        if body:
            written.connections[name] = body
    else:
        flow = _body(written, where, FlowBody, fields)
        if flow:
            written.flows[name] = flow
            if "enabled" not in fields:
                written.silent.add(name)


def _body(written: Written, where: str, model: type[B], fields: Mapping[str, Any]) -> B | None:
    try:
        return model.model_validate(dict(fields))
    except ValidationError as error:
        _each(written, where, error, model)
        return None


def _each(
    written: Written, where: str, error: ValidationError, model: type[BaseModel], unjudged: Collection[str] = ()
) -> None:
    """Every wrong field of a table, by name."""
    for one in error.errors():
        if one["loc"] and one["loc"][0] in unjudged:
            continue
        path = ".".join((where, *map(str, one["loc"])))
        match one["type"]:
            case "extra_forbidden":
                known = model.model_fields if len(one["loc"]) == 1 else ()
                written.wrong(path, "unknown field", _nearest(str(one["loc"][-1]), known))
            case "missing":
                written.wrong(path, "missing", f"add {one['loc'][-1]}")
            case _:
                written.wrong(path, one["msg"].removeprefix("Value error, "), _shown(one.get("input")))


def _shown(value: Any) -> str:
    # a table may hold a secret that somebody wrote in the wrong place: only plain values are shown
    return "" if isinstance(value, dict | list) or value is None else f"it is {str(value)[:60]!r}"


def _nearest(word: str, known: Any) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(word, names, 1)
    if near:
        return f"did you mean {near[0]}?"
    return f"known: {', '.join(names)}" if names else "take it out"


def _agent(written: Written, where: str, name: str) -> type[Agent] | None:
    try:
        return registry.agent(name)
    except BadInput as error:
        written.wrong(f"{where}.agent", error.message)
    except Exception as error:  # a package's own, at its import
        written.wrong(f"{where}.agent", f"{name} is installed but cannot be loaded: {type(error).__name__}: {error}")
    return None


def _connection(written: Written, name: str, body: ConnectionBody) -> None:
    where = f"connections.{name}"
    for secret, reference in body.secrets.items():
        if reference == HIDDEN:
            continue
        try:
            check_reference(reference, secret)
        except BadInput as error:
            written.wrong(f"{where}.secrets.{secret}", error.message, "datawald config seal")
    agent = _agent(written, where, body.agent)
    if agent is None:
        return
    for secret in body.secrets:
        if agent.secret_names and secret not in agent.secret_names:
            fix = _nearest(secret, agent.secret_names)
            written.wrong(f"{where}.secrets.{secret}", f"{body.agent} knows no such secret", fix)
    elsewhere = _maps_elsewhere(written, where, body.settings)
    # what stands in the core cannot be judged here: an empty table takes its place, and what is said of it is not told
    maps = written.maps | {map: {} for map in elsewhere.values()}
    try:
        agent.checked_settings(name, with_maps(body.settings, maps))
    except Misconfigured as error:
        if isinstance(error.__cause__, ValidationError):
            _each(written, f"{where}.settings", error.__cause__, agent.settings_model, set(elsewhere))
        elif not elsewhere:
            written.wrong(f"{where}.settings", error.message)


def _maps_elsewhere(written: Written, where: str, settings: Mapping[str, Any]) -> dict[str, str]:
    """Options set to ``map:NAME`` whose map is not in the file, and that map's name."""
    found = {
        option: value.removeprefix(MAP)
        for option, value in settings.items()
        if isinstance(value, str) and value.startswith(MAP) and value.removeprefix(MAP) not in written.maps
    }
    for option, map in found.items():
        written.notes.append(
            f"{where}.settings.{option}: map {map} is not in this file; it must be in the core already"
        )
    return found


def _flow(written: Written, name: str, flow: FlowBody) -> None:
    where = f"flows.{name}"
    try:
        entity = registry.entity(flow.entity)
    except (BadInput, NotFound) as error:
        written.wrong(f"{where}.entity", error.message)
        return
    if flow.source == flow.target:
        written.wrong(f"{where}.target", "source and target are the same connection")
    ends: tuple[tuple[str, str, str, type[EntityMapping]], ...] = (
        ("source", flow.source, entity.source_side, Source),
        ("target", flow.target, entity.target_side, Target),
    )
    for end, connection, side, kind in ends:
        body = written.connections.get(connection)
        if body is None:
            written.notes.append(f"{where}.{end}: {connection} is not in this file; it must be in the core already")
            continue
        agent = _agent(Written(), where, body.agent)
        if agent is None:
            continue  # said where the connection stands
        if agent.side != side:
            what = f"the {end} of {entity.plural} is a {side}; {connection} is a {agent.side}"
            written.wrong(f"{where}.{end}", what, "is source and target the wrong way round?")
            continue
        try:
            mapping = registry.mapping(agent.system, entity.name)
        except Misconfigured as error:
            written.wrong(f"{where}.{end}", error.message)
            continue
        if not issubclass(mapping, kind):
            verb = "read" if end == "source" else "written"
            written.wrong(f"{where}.{end}", f"{entity.plural} cannot be {verb} there")
        elif issubclass(mapping, Source) and mapping.flow_settings_model:
            _body(written, f"{where}.settings", mapping.flow_settings_model, flow.settings)


# --- apply -------------------------------------------------------------------------------------------------------------


@config.command(
    cls=Verb,
    examples=(
        ("datawald config apply shop.toml --dry-run", "what would change?"),
        ("datawald config apply shop.toml", "write it; what is the same is left alone"),
    ),
)
@_file
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
def apply(file: Path, dry_run: bool) -> None:
    """Write the connections, flows and maps of FILE into the core.

    FILE is checked first; with a mistake in it nothing is written. What the core has and FILE does not is left as it is.
    A flow that is new is disabled unless FILE says enabled = true; of one that is there, enabled stays as it is unless FILE
    says it.
    """
    out = output.current()
    written = read(file)
    if written.mistakes:
        first = written.mistakes[0]
        if not out.json:
            _report(out, file, written)
        raise Stop(
            f"{file}: {first.where}: {first.what}; nothing was written",
            first.fix or f"datawald config check {file} names every mistake",
            code="bad_input",
        )
    for note in written.notes:
        out.note(note)
    core = connect()
    done: list[dict[str, Any]] = []
    for kind, name, before, wanted in _steps(core, written, file):
        changed = sorted(key for key in wanted if before is not None and before.get(key) != wanted[key])
        state = "new" if before is None else "changed" if changed else "same"
        if state != "same" and not dry_run:
            with _table_of(file, kind, name):
                _put(core, kind, name, wanted)
        done.append({"kind": kind[:-1], "name": name, "state": state, "changed": changed})
    out.document({"file": str(file), "dry_run": dry_run, "applied": done})
    out.table(
        ("", "name", "would be" if dry_run else "is", "changed"),
        [(one["kind"], one["name"], one["state"], ", ".join(one["changed"])) for one in done],
    )
    asleep = [name for name, flow in written.flows.items() if not flow.enabled]
    if asleep and not dry_run:
        out.note(
            f"disabled: {', '.join(asleep)}. datawald sync FLOW tries one, datawald config enable FLOW lets it run."
        )


def _steps(
    core: DWConnector, written: Written, file: Path
) -> Iterator[tuple[str, str, dict[str, Any] | None, dict[str, Any]]]:
    """Kind, name, what the core has and what the file wants, in the order in which one needs the other."""
    maps = core.maps()
    for name, values in written.maps.items():
        yield "maps", name, maps.get(name), values
    known = {one["name"]: one for one in core.connections()}
    for name, connection in written.connections.items():
        wanted = connection.model_dump(mode="json")
        there = known.get(name)
        wanted["secrets"], secrets = _secrets(core, name, there, wanted["secrets"], file)
        yield "connections", name, _plain(there | {"secrets": secrets}) if there else None, _plain(wanted)
    flows = {one["name"]: one for one in core.flows()}
    for name, flow in written.flows.items():
        there = flows.get(name)
        if there and name in written.silent:
            flow.enabled = there["enabled"]
        before = _as_body(there).model_dump(mode="json") if there else None
        yield "flows", name, _plain(before) if before else None, _plain(flow.model_dump(mode="json"))


def _secrets(
    core: DWConnector, name: str, there: Mapping[str, Any] | None, wanted: dict[str, str], file: Path
) -> tuple[dict[str, str], dict[str, str]]:
    """The references that are wanted, with what is hidden filled in, and those that the core has (as far as we may see)."""
    known: dict[str, str] = dict(there["secrets"]) if there else {}
    if there:
        try:
            known = core.agent_setup(name)["secrets"]
        except Misconfigured as error:
            if error.status != 403:
                raise
    filled = {secret: known.get(secret, HIDDEN) if text == HIDDEN else text for secret, text in wanted.items()}
    left = [secret for secret, text in filled.items() if text == HIDDEN]
    if left:
        raise Stop(
            f"{file}: connections.{name}.secrets.{left[0]}: {HIDDEN} keeps what the core has, and we cannot see that",
            "write env:NAME, file:PATH or a sealed one, or use a key with the scope worker",
            code="bad_input",
        )
    return filled, known


def _plain(document: Mapping[str, Any]) -> dict[str, Any]:
    """Through JSON, so that numbers and times of both sides compare as equal."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(document), default=float))
    return plain


def _put(core: DWConnector, kind: str, name: str, wanted: Mapping[str, Any]) -> None:
    match kind:
        case "maps":
            core.put_map(name, wanted)
        case "connections":
            core.put_connection(name, wanted)
        case _:
            core.put_flow(name, wanted)


@contextmanager
def _table_of(file: Path, kind: str, name: str) -> Iterator[None]:
    """Names the table that the core refused."""
    try:
        yield
    except (BadInput, Misconfigured) as error:
        if getattr(error, "status", None) in (401, 403):
            raise
        field = f".{error.field}" if isinstance(error, BadInput) and error.field else ""
        raise Stop(
            f"{file}: {kind}.{name}{field}: {error.message}",
            "what stands before it is written already; mend it and apply again",
            code="bad_input",
        ) from None
    except DataWaldError as error:
        if error.status is None:
            raise
        raise Stop(f"{file}: {kind}.{name}: {error.message}", code="conflict") from None


# --- show --------------------------------------------------------------------------------------------------------------


@config.command(
    cls=Verb,
    examples=(
        ("datawald config show > shop.toml", "what the core has, as a file that can be edited and applied"),
        ("datawald config show --json | jq .flows", "for a script"),
    ),
)
def show() -> None:
    """Print the connections, flows and maps of the core as TOML that `config apply` takes.

    Secrets are shown as ***; applied, that keeps what the core has.
    """
    out, core = output.current(), connect()
    connections, flows, maps = core.connections(), core.flows(), core.maps()
    out.document({"connections": connections, "flows": flows, "maps": maps})
    if out.json:
        return
    tables: list[tuple[str, Mapping[str, Any]]] = []
    for one in connections:
        fields = {name: one[name] for name in ConnectionBody.model_fields if name not in ("settings", "secrets")}
        tables.append((f"connections.{_key(one['name'])}", fields))
        for part in ("settings", "secrets"):
            if one[part]:
                tables.append((f"connections.{_key(one['name'])}.{part}", one[part]))
    for one in flows:
        fields = {name: one[name] for name in FlowBody.model_fields if name != "settings"}
        tables.append((f"flows.{_key(one['name'])}", fields))
        if one["settings"]:
            tables.append((f"flows.{_key(one['name'])}.settings", one["settings"]))
    tables += [(f"maps.{_key(name)}", values) for name, values in sorted(maps.items())]
    click.echo("\n\n".join(_toml(name, fields) for name, fields in tables))


def _toml(name: str, fields: Mapping[str, Any]) -> str:
    lines = [f"{_key(key)} = {_value(value)}" for key, value in fields.items() if value is not None]
    return "\n".join([f"[{name}]", *lines])


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _value(name)


def _value(value: Any) -> str:
    """A JSON value as TOML; null has none and is left out."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        inside = ", ".join(f"{_key(key)} = {_value(one)}" for key, one in value.items() if one is not None)
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(one) for one in value if one is not None)}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value)


# --- one thing at a time -----------------------------------------------------------------------------------------------


@config.command(
    "seal",
    cls=Verb,
    examples=(
        ("datawald config seal", "asks for the secret, without showing it"),
        ("pass show shop/token | datawald config seal", "from a pipe"),
    ),
)
def seal_command() -> None:
    """Seal a secret with the master key (DATAWALD_MASTER_KEY), so that it may stand in a file and in the core.

    Reads the secret from a prompt or from a pipe, never from the command line, where others could see it. Prints sealed:…,
    which is what a connection's secret is set to.
    """
    out = output.current()
    master_key = settings.load().master_key.get_secret_value()
    if sys.stdin.isatty():
        plain = str(click.prompt("Secret", hide_input=True, err=True))
    else:
        plain = sys.stdin.read().rstrip("\r\n")
    if not plain:
        raise Stop("there is no secret to seal", "type it, or pipe it in", code="usage", exit_code=2)
    sealed = seal(plain, master_key)
    out.document({"sealed": sealed})
    if not out.json:
        click.echo(sealed)


@config.command(cls=Verb, examples=(("datawald config enable orders_us", "it runs by itself from now on"),))
@click.argument("flow")
def enable(flow: str) -> None:
    """Let FLOW run by itself from now on."""
    _set_enabled(flow, True)


@config.command(cls=Verb, examples=(("datawald config disable orders_us", "it stops after the run in hand"),))
@click.argument("flow")
def disable(flow: str) -> None:
    """Stop FLOW from running by itself.

    A run in hand goes on to its end, and what is staged is delivered. `datawald sync` still runs it.
    """
    _set_enabled(flow, False)


def _set_enabled(name: str, enabled: bool) -> None:
    out, core = output.current(), connect()
    before = flow_named(core, name)
    body = _as_body(before)
    body.enabled = enabled
    after = core.put_flow(name, body.model_dump(mode="json")) if before["enabled"] != enabled else before
    out.document(after)
    start = output.both(str(after["cut_date"] or after["start_from"]))
    out.say(
        f"{name} is {'enabled' if enabled else 'disabled'}; {'it reads' if enabled else 'it has read'} from {start}"
    )


def _as_body(flow: Mapping[str, Any]) -> FlowBody:
    """A flow of the core as what would make it again."""
    return FlowBody.model_validate({name: flow[name] for name in FlowBody.model_fields})
