"""``datawald sync``: asks for a run of a flow, watches it, and says how it ended."""

from __future__ import annotations

import re
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from datawald.cli import output
from datawald.cli.command import Verb
from datawald.cli.core import connect, flow_named
from datawald.cli.output import Output, Stop
from datawald.domain.errors import Retryable
from flask_dwconnector import DWConnector

#: How a run ended, as an exit code.
EXIT = {"Completed": 0, "Fail": 3, "Incompleted": 4}
#: Nothing moved for this long: say who may be missing, seconds.
NOBODY_S = 15.0
#: A core that does not answer for this long ends the watching, seconds. The run goes on.
SILENT_S = 60.0
#: Reasons shown, the most frequent first.
MOST_REASONS = 12

_AGE = re.compile(r"(\d+)(min|m|h|d|w)")
_UNITS = {"min": "minutes", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Since(click.ParamType):
    """A moment: ISO 8601, or how long ago."""

    name = "ISO|90d"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        age = _AGE.fullmatch(value)
        if age:
            return datetime.now(UTC) - timedelta(**{_UNITS[age[2]]: int(age[1])})
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            self.fail(
                f"{value!r} is no time: write 2026-01-31, 2026-01-31T10:00:00+01:00, 90d, 12h or 30min", param, ctx
            )
        return at.astimezone(UTC)  # one without a zone is this machine's


@click.command(
    cls=Verb,
    examples=(
        ("datawald sync orders_us", "what changed since the last run, and wait for how it ends"),
        ("datawald sync orders_us --ids 100000123,100000124", "only these"),
        ("datawald sync orders_us --since 90d --dry-run", "what would happen to the last 90 days? Writes nothing"),
        ("datawald sync orders_us --full --yes --no-wait", "everything since the flow's start_from, without waiting"),
    ),
)
@click.argument("flow")
@click.option("--full", is_flag=True, help="Read everything since the flow's start_from again.")
@click.option("--since", type=Since(), help="Read what changed since then: a time, or 90d, 12h, 30min ago.")
@click.option("--ids", metavar="A,B", help="Read these ids of the source only.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done; nothing is written anywhere.")
@click.option("--no-wait", is_flag=True, help="Ask for the run, print its id, and leave.")
@click.option(
    "--timeout", type=click.FloatRange(0.1), metavar="SECONDS", help="Stop watching after so long (exit code 1)."
)
@click.option("--yes", is_flag=True, help="Do not ask before a full run.")
def sync(
    flow: str,
    full: bool,
    since: datetime | None,
    ids: str | None,
    dry_run: bool,
    no_wait: bool,
    timeout: float | None,
    yes: bool,
) -> int:
    """Run FLOW now and wait for how it ends.

    A disabled flow runs too: that is how to try one. What is the same as before is not sent again, so no run does harm.
    A time without a zone is this machine's.

    Exit code: 0 Completed, 3 Fail (at least one record failed), 4 Incompleted (records wait or are in doubt), 2 wrong
    usage, 1 any other error, 130 Ctrl-C (the run goes on).

    --dry-run reads from the source and looks up in the target, from this process: the API key needs the scope worker,
    and the connections' secrets must be known here.
    """
    if sum((full, since is not None, ids is not None)) > 1:
        raise click.UsageError("--full, --since and --ids exclude one another")
    wanted = [one.strip() for one in ids.split(",") if one.strip()] if ids is not None else []
    if ids is not None and not wanted:
        raise click.UsageError("--ids needs at least one id")
    if len(wanted) > 500:
        raise click.UsageError(f"--ids takes at most 500 ids, not {len(wanted)}")
    kind = "full" if full else "since" if since else "ids" if wanted else "asked"
    out, core = output.current(), connect()
    configured = flow_named(core, flow)
    if dry_run:
        from datawald.cli.rehearsal import rehearse

        rehearse(out, core, configured, kind, since, wanted)
        return 0
    if full:
        start = output.both(str(configured["start_from"]))
        output.confirm(f"Everything that changed since {start} is read again. Go on?", yes)
    task = core.ask_for_run(flow, kind, since=since, ids=wanted)
    if no_wait:
        out.document(task)
        if not out.json:
            click.echo(task["id"])
            out.note("The run is asked for; datawald status shows how it goes.")
        return 0
    try:
        task = _watch(out, core, task, timeout)
    except KeyboardInterrupt:
        out.note(f"run {task['id']} goes on; datawald status shows it")
        raise
    return _tell(out, core, task)


# --- watching ----------------------------------------------------------------------------------------------------------


def _watch(out: Output, core: DWConnector, task: dict[str, Any], timeout: float | None) -> dict[str, Any]:
    """The run when it has ended."""
    began = moved_at = heard_at = time.monotonic()
    seen: Any = None
    told: set[str] = set()
    # shown on standard error, and only to a person
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[numbers]}"),
        TimeElapsedColumn(),
        console=out.notes,
        disable=not out.notes.is_terminal or out.json,
        transient=True,
    )
    with bar:
        row = bar.add_task(f"{task['flow']}: asked for", total=None, numbers="")
        pause = 0.2
        while True:
            try:
                task = core.run(task["id"])
                heard_at = time.monotonic()
            except Retryable as error:
                if time.monotonic() - heard_at > SILENT_S:
                    raise Stop(
                        f"the core stopped answering ({error}); the run goes on where it can",
                        f"datawald status shows run {task['id']}",
                        code="core_unreachable",
                    ) from None
            if task["ended"]:
                return task
            now = time.monotonic()
            state = (task["sync_status"], task["read"], task["counts"])
            if state != seen:
                seen, moved_at, pause = state, now, 0.2
            bar.update(row, **_shown(task))
            if now - moved_at > NOBODY_S:
                for word in _obstacles(core, task):
                    if word not in told:
                        told.add(word)
                        out.note(word)
                moved_at = now
            if timeout is not None and now - began > timeout:
                raise Stop(
                    f"run {task['id']} is still {task['sync_status']} after {timeout:g} s; it goes on",
                    "datawald status shows it; is something in its way? datawald doctor",
                    code="timeout",
                )
            time.sleep(pause)
            pause = min(1.0, pause * 1.2)


def _shown(task: dict[str, Any]) -> dict[str, Any]:
    counts: dict[str, int] = task["counts"]
    settled = sum(number for letter, number in counts.items() if letter not in ("N", "P"))
    extracting = task["sync_status"] == "Extracting"
    total = max(task["expected"], task["read"]) if extracting else sum(counts.values())
    done = task["read"] if extracting else settled
    read = f"{task['read']}/{task['expected']} read" if task["expected"] else f"{task['read']} read"
    numbers = ", ".join(
        f"{counts[letter]} {name}" for letter, name in output.LETTERS.items() if counts.get(letter) and letter != "I"
    )
    return {
        "description": f"{task['flow']}: {'reading' if extracting else 'delivering'}",
        "total": total or None,
        "completed": done if total else 0,
        "numbers": f"{read}, {numbers}" if numbers else read,
    }


def _obstacles(core: DWConnector, task: dict[str, Any]) -> list[str]:
    """Why nothing moves, as far as the core knows."""
    try:
        flow = core.flow(task["flow"])
        paused = {one["name"]: one["paused"] for one in core.connections() if one["paused"]}
    except Retryable:
        return []
    found = []
    if flow["why"]:
        found.append(f"{task['source']} could not be read: {flow['why']} (it is tried again)")
    if task["target"] in paused:
        found.append(f"{task['target']} is paused: {paused[task['target']]} (it is probed every minute)")
    if not found and task["sync_status"] == "Extracting" and not task["read"] and flow["running"] != task["id"]:
        found.append("no worker has taken the run yet: are `datawald worker` and `datawald beat` running?")
    return found


# --- how it ended ------------------------------------------------------------------------------------------------------


def _tell(out: Output, core: DWConnector, task: dict[str, Any]) -> int:
    reasons = _reasons(core, task)
    exit_code = EXIT.get(task["sync_status"], 1)
    out.document({**task, "counts": output.named_counts(task["counts"]), "reasons": reasons, "exit_code": exit_code})
    if out.json:
        return exit_code
    changed = sum(task["counts"].values())
    out.table(
        (task["flow"], task["sync_status"]),
        [
            ("read", f"{task['read']:,}"),
            ("the same as before", f"{max(0, task['read'] - changed):,}"),
            *(
                (output.cell(name), f"{task['counts'][letter]:,}")
                for letter, name in output.LETTERS.items()
                if task["counts"].get(letter)
            ),
        ],
    )
    if reasons:
        out.table(
            ("records", "status", "why", "such as"),
            [(one["records"], one["status"], one["why"], ", ".join(one["such_as"])) for one in reasons],
        )
        out.say("datawald records show NUMBER shows one with every hop.", style="dim")
    return exit_code


def _reasons(core: DWConnector, task: dict[str, Any]) -> list[dict[str, Any]]:
    """Why records failed, are in doubt or wait: equal reasons together, the most frequent first."""
    found: Counter[tuple[str, str]] = Counter()
    such_as: dict[tuple[str, str], list[str]] = {}
    for letter in ("F", "?", "N"):
        if not task["counts"].get(letter):
            continue
        for record in core.find_records(task["entity"], sync_task=task["id"], status=letter, limit=1000):
            reason = (record["status"], plain_reason(record["why"], record["src_id"]))
            found[reason] += 1
            examples = such_as.setdefault(reason, [])
            if len(examples) < 3:
                examples.append(record["src_id"])
    return [
        {"records": number, "status": status, "why": why, "such_as": such_as[status, why]}
        for (status, why), number in found.most_common(MOST_REASONS)
    ]


def plain_reason(why: str, src_id: str) -> str:
    """A reason without the record's own number, so that equal ones are told once."""
    return " ".join(why.replace(src_id, "…").split()) if src_id else why
