"""``datawald records``: find them, see every hop of one, replay or drop them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC
from typing import Any

import click
from rich.text import Text

from datawald.cli import output
from datawald.cli.command import Noun, Verb
from datawald.cli.core import connect, entity_named, flow_named
from datawald.cli.output import Output, Stop
from datawald.domain import registry
from datawald.domain.errors import NotFound
from flask_dwconnector import DWConnector

#: Records told whole at once; more are listed.
MOST_WHOLE = 5
#: Ids per call.
BATCH = 100

STATUSES = ("waiting", "processing", "delivered", "ignored", "failed", "in doubt", "dropped")


class Status(click.ParamType):
    """A status by letter or long name; ``in_doubt`` and ``in-doubt`` are ``in doubt``."""

    name = "STATUS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        word = str(value).replace("_", " ").replace("-", " ").lower()
        if word in STATUSES:
            return word
        if str(value).upper() in output.LETTERS:
            return output.LETTERS[str(value).upper()]
        self.fail(f"{value!r} is no status: {', '.join(STATUSES)}", param, ctx)


def _filters(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that choose records."""
    for option in reversed(
        (
            click.option("--status", type=Status(), help="waiting, delivered, failed, … or its letter."),
            click.option("--entity", help="order, shipment, …"),
            click.option("--flow", help="Those of this flow."),
            click.option("--source", help="Those that come from this connection."),
            click.option("--target", help="Those that go to this connection."),
            click.option("--run", "sync_task", metavar="ID", help="Those that this run brought."),
            click.option("--q", help="An id, or any number in either system."),
        )
    ):
        command = option(command)
    return command


@click.group(
    cls=Noun,
    examples=(
        ("datawald records show 100000123", "where is order 100000123?"),
        ("datawald records list orders --status failed", "what needs a person?"),
        ("datawald records replay --status failed --entity order", "the cause is mended: try them again"),
    ),
)
def records() -> None:
    """Records: what was read from one system, and what became of it in the other."""


# --- list --------------------------------------------------------------------------------------------------------------


@records.command(
    "list",
    cls=Verb,
    examples=(
        ("datawald records list orders --status failed", "failed orders, the last changed first"),
        ("datawald records list --flow orders_us --limit 20", "the last 20 of a flow"),
        ("datawald records list --q 100000123", "all that a number stands for"),
    ),
)
@click.argument("entity_word", metavar="[ENTITY]", required=False)
@_filters
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many at most.")
def list_records(entity_word: str | None, limit: int, **chosen: Any) -> None:
    """List records, the last changed first. ENTITY is order, orders, shipment, …"""
    out, core = output.current(), connect()
    entity, filters = _asked(core, entity_word, chosen)
    found = list(core.find_records(entity, limit=limit + 1, **filters))
    more = len(found) > limit
    found = found[:limit]
    out.document({"records": found, "more": more})
    if not found:
        out.say("no such record")
        return
    _list(out, found)
    if more:
        out.note(f"the last {limit} of more: --limit shows further ones, --status, --flow and --q choose")


def _asked(core: DWConnector, entity_word: str | None, chosen: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The entity and the filters of the API that the options mean."""
    words = [word for word in (entity_word, chosen.get("entity")) if word]
    names = {entity_named(word) for word in words}
    if len(names) > 1:
        raise click.UsageError("ENTITY and --entity name different entities")
    entity = names.pop() if names else ""
    filters = {name: chosen[name] for name in ("status", "source", "target", "sync_task", "q") if chosen.get(name)}
    if chosen.get("flow"):
        flow = flow_named(core, chosen["flow"])
        if entity and entity != flow["entity"]:
            raise click.UsageError(f"flow {chosen['flow']} carries {flow['entity']}, not {entity}")
        for end in ("source", "target"):
            if filters.get(end, flow[end]) != flow[end]:
                raise click.UsageError(f"the {end} of flow {chosen['flow']} is {flow[end]}")
        entity = str(flow["entity"])
        filters |= {"source": flow["source"], "target": flow["target"]}
    return entity, filters


def _list(out: Output, found: Sequence[Mapping[str, Any]]) -> None:
    out.table(
        ("entity", "number", "from → to", "status", "there", "changed", "why"),
        [
            (
                one["entity"],
                one["src_id"],
                f"{one['source']} → {one['target']}",
                one["status"],
                number_there(one),
                output.local(one["changed"]),
                one["why"],
            )
            for one in found
        ],
    )


def number_there(record: Mapping[str, Any]) -> str:
    """What people call it in the target: its number, and the id where that is another."""
    links, id = record["links"], str(record["tgt_id"])
    names = [str(links[name]) for name in ("doc_num", "increment_id") if links.get(name)]
    if names and id and names[0] != id:
        return f"{names[0]} (id {id})"
    return names[0] if names else id


# --- show --------------------------------------------------------------------------------------------------------------


@records.command(
    cls=Verb,
    examples=(
        ("datawald records show 100000123", "a number of the shop, or of the books: everything it stands for"),
        ("datawald records show 'order:mage2_us>b1_main:100000123'", "exactly one record, by its id"),
        ("datawald records show 100000123 --payload", "with the whole record as read and as sent"),
    ),
)
@click.argument("number")
@click.option("--payload", is_flag=True, help="Show the canonical record and the raw payload too.")
def show(number: str, payload: bool) -> None:
    """Show what became of a record, hop by hop.

    NUMBER is any number that it has in either system (the shop's order number, SAP's document number) or the record's id.
    What belongs to it, such as the shipments of an order, is shown too.
    """
    out, core = output.current(), connect()
    found = _found(core, number)
    whole = [core.record(one["id"]) for one in found[:MOST_WHOLE]]
    out.document({"records": whole})
    if out.json:
        return
    for index, record in enumerate(whole):
        if index:
            out.say()
        _show(out, record, payload)
    if len(found) > MOST_WHOLE:
        out.say()
        out.say(f"{len(found) - MOST_WHOLE} more:")
        _list(out, found[MOST_WHOLE:])


def _found(core: DWConnector, number: str) -> list[dict[str, Any]]:
    """What a number or an id stands for, orders first. Stops where it stands for nothing."""
    found = list(core.find_records(q=number, limit=50))
    if not found:
        raise Stop(
            f"nothing here has the number {number!r}",
            "was it read yet? datawald sync FLOW --ids NUMBER reads it now; datawald status shows what is read",
            code="not_found",
        )
    own = [one for one in found if number in (one["id"], one["src_id"], one["tgt_id"])]
    return own + [one for one in found if one not in own]


def _show(out: Output, record: Mapping[str, Any], payload: bool) -> None:
    out.console.print(_headline(record))
    facts = [
        ("id", record["id"]),
        ("there", number_there(record)),
        ("changed at the source", output.both(record["stamp"])),
        ("first seen", output.both(record["created"])),
        ("version", record["version"]),
        ("due", output.both(record["due"])),
        ("waits for", ", ".join(record["waits_on"])),
        ("cannot be mapped", record["problem"]),
        ("last run", record["sync_task"]),
    ]
    out.table(("", ""), [(name, value) for name, value in facts if value not in ("", None)])
    out.table(
        ("when", "UTC", "hop", "became", "what"),
        [
            (
                output.local(hop["at"]),
                _utc(hop["at"]),
                hop["hop"],
                output.LETTERS.get(hop["to"], hop["to"]),
                _what(hop),
            )
            for hop in record["hops"]
        ],
    )
    if record["answered"]:
        out.say(f"{record['target']} answered: {_short(record['answered'])}")
    if record["sent"]:
        _content(out, f"{record['target']} holds of us", record["sent"], payload)
    for number, attempt in enumerate(record["attempts"], 1):
        out.say(f"attempt {number} since then, not confirmed, differs by: {_difference(record['sent'] or {}, attempt)}")
    if record["links"].get("lines"):
        out.say(f"lines: {_short(record['links']['lines'])}")
    if payload:
        _content(out, "the record as read", record["payload"], True)
        _content(out, f"as {record['source']} sent it", record["raw"], True)
    elif record["payload"]:
        out.say("--payload shows the record as read and as sent.", style="dim")


def _headline(record: Mapping[str, Any]) -> Text:
    """The answer to "where is it?" in one line."""
    status = record["status"]
    there = number_there(record)
    text = Text()
    text.append(output.clean(f"{record['entity']} {record['src_id']} of {record['source']}: "), style="bold")
    text.append(status, style=output.STYLES.get(status, ""))
    words = f" to {record['target']} as {there}" if status == "delivered" else f" for {record['target']}"
    if there and status != "delivered":
        words += f" (there it is {there})"
    text.append(output.clean(f"{words}, {output.ago(record['changed'])}"))
    if record["why"]:
        text.append(output.clean(f": {record['why']}"))
    if status == "waiting" and record["due"]:
        text.append(f"; due {output.ago(record['due'])}")
    return text


def _utc(text: str) -> str:
    at = output.moment(text)
    return f"{at.astimezone(UTC):%H:%M:%S.%f}"[:-3] if at else ""


def _what(hop: Mapping[str, Any]) -> str:
    """The facts of a hop in words."""
    words = []
    if hop.get("outcome"):
        words.append(str(hop["outcome"]).replace("_", " "))
    if hop.get("why"):
        words.append(str(hop["why"]))
    if hop.get("tgt_id"):
        words.append(f"id {hop['tgt_id']}")
    if hop.get("changed"):
        words.append(f"changed: {', '.join(hop['changed'])}")
    if hop.get("answered"):
        words.append(f"answered {_short(hop['answered'])}")
    words += [str(note) for note in hop.get("notes", ())]
    if hop.get("by"):
        words.append(f"by {hop['by']}")
    if hop.get("claim"):
        words.append(f"claim {str(hop['claim'])[:8]}")
    return "; ".join(words)


def _short(value: Any, most: int = 400) -> str:
    if isinstance(value, Mapping):
        text = ", ".join(f"{name} {part}" for name, part in value.items())
    else:
        text = str(value)
    return text if len(text) <= most else text[: most - 1] + "…"


def _difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    names = [name for name in dict.fromkeys([*before, *after]) if before.get(name) != after.get(name)]
    return _short({name: f"{before.get(name, '-')} → {after.get(name, '-')}" for name in names}) or "nothing"


def _content(out: Output, title: str, content: Any, whole: bool) -> None:
    if not content:
        return
    if whole:
        out.say(f"{title}:")
        out.say(json.dumps(content, ensure_ascii=False, indent=2))
    else:
        out.say(f"{title}: {_short(content)}")


# --- replay, drop ------------------------------------------------------------------------------------------------------


@records.command(
    cls=Verb,
    examples=(
        ("datawald records replay 100000123", "one, by any number that is its own"),
        ("datawald records replay --status failed --entity order", "all failed orders; asks first"),
        ("datawald records replay --flow orders_us --status dropped --yes", "without asking"),
        ("datawald records replay 100000123 --as-new", "it was cancelled in the target and is wanted again"),
    ),
)
@click.argument("numbers", metavar="[NUMBER]...", nargs=-1)
@_filters
@click.option("--as-new", is_flag=True, help="As if the target had never held it: make again what was cancelled there.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def replay(numbers: tuple[str, ...], as_new: bool, yes: bool, **chosen: Any) -> int:
    """Make records due again: they are looked up in the target and delivered where they are not there.

    By NUMBER or id, or all that --status and the other options choose. One that is being worked, or that is in doubt, is
    refused: it settles by itself. Exit code 1 if any was refused.

    --as-new forgets which document of the target was its own, so that one found cancelled there is made again; it always
    asks.
    """
    core = connect()
    ids = _chosen_ids(core, numbers, chosen)
    if as_new:
        return _steer(
            ids, "replayed", "Replay as new", yes, lambda entity, batch: core.replay(entity, batch, as_new=True)
        )
    return _steer(ids, "replayed", "Replay", yes or bool(numbers), core.replay)


@records.command(
    cls=Verb,
    examples=(
        ("datawald records drop 100000123 --reason 'booked by hand as 4711'", "it is not delivered any more"),
        ("datawald records drop --flow orders_us --status failed --reason 'test orders'", "all that match; asks first"),
    ),
)
@click.argument("numbers", metavar="[NUMBER]...", nargs=-1)
@_filters
@click.option("--reason", required=True, help="Why; it stays on the record.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def drop(numbers: tuple[str, ...], reason: str, yes: bool, **chosen: Any) -> int:
    """Give records up: they are not delivered any more, until new content arrives or they are replayed.

    By NUMBER or id, or all that --status and the other options choose. Exit code 1 if any was refused.
    """
    if not reason.strip():
        raise click.UsageError("--reason must say why: it stays on the record")
    core = connect()
    ids = _chosen_ids(core, numbers, chosen)
    return _steer(ids, "dropped", "Drop", yes or bool(numbers), lambda entity, batch: core.drop(entity, batch, reason))


def _chosen_ids(core: DWConnector, numbers: Sequence[str], chosen: Mapping[str, Any]) -> list[str]:
    entity, filters = _asked(core, None, chosen)
    if numbers:
        return list(dict.fromkeys(_id_of(core, number, entity, filters) for number in numbers))
    if not filters.get("status") and not filters.get("sync_task") and not filters.get("q"):
        raise click.UsageError("name records by number, or choose them with --status, --run or --q")
    # all ids first: what is replayed changes, and would wander through the pages
    return [one["id"] for one in core.find_records(entity, limit=0, **filters)]


def _id_of(core: DWConnector, number: str, entity: str, filters: Mapping[str, Any]) -> str:
    """The one record that ``number`` names. Stops where it is none, or several."""
    found = list(core.find_records(entity, limit=20, **filters, q=number))
    if not found:
        raise NotFound(f"nothing has the number {number!r}", system="core")
    exact = [one for one in found if one["id"] == number]
    own = exact or [one for one in found if number in (one["src_id"], one["tgt_id"])] or found
    if len(own) > 1:
        ids = ", ".join(f"'{one['id']}'" for one in own)
        raise Stop(f"{number!r} names {len(own)} records", f"name one: {ids}", code="ambiguous", exit_code=2)
    return str(own[0]["id"])


def _steer(
    ids: Sequence[str], done: str, verb: str, sure: bool, change: Callable[[str, Sequence[str]], Mapping[str, str]]
) -> int:
    """Changes records batch by batch, after asking where they were chosen by a filter."""
    out = output.current()
    if ids:
        output.confirm(f"{verb} {output.plural(len(ids), 'record')}?", sure)
    verdicts: dict[str, str] = {}
    for entity, batch in _batches(ids):
        verdicts |= change(entity, batch)
    refused = {id: verdict for id, verdict in verdicts.items() if verdict != done}
    out.document({"records": verdicts, done: len(verdicts) - len(refused), "refused": len(refused)})
    if not ids:
        out.say("no such record")
    else:
        out.say(f"{done} {output.plural(len(verdicts) - len(refused), 'record')}")
    if refused:
        out.table(("refused", "why"), sorted(refused.items())[:50])
    return 1 if refused else 0


def _batches(ids: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Ids of one entity together, in what a call takes. An id begins with its entity."""
    known = registry.entities()
    for entity, group in itertools.groupby(sorted(ids), key=lambda id: id.split(":", 1)[0]):
        if entity not in known:
            raise Stop(f"the entity {entity!r} is not installed here", code="bad_input", exit_code=2)
        listed = list(group)
        for start in range(0, len(listed), BATCH):
            yield entity, listed[start : start + BATCH]
