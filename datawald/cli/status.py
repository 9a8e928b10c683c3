"""``datawald status``: flows, connections, live claims and the last runs."""

from __future__ import annotations

import time
from typing import Any

import click
from rich.console import Group
from rich.live import Live
from rich.text import Text

from datawald.cli import output
from datawald.cli.command import Verb
from datawald.cli.core import connect
from datawald.cli.output import STYLES, clean, table
from flask_dwconnector import DWConnector


@click.command(
    cls=Verb,
    examples=(
        ("datawald status", "flows with their records, connections, claims, the last runs"),
        ("datawald status --watch", "the same, again every two seconds, until Ctrl-C"),
        ("datawald status --json | jq '.flows[] | {name, counts}'", "for a script"),
    ),
)
@click.option("--watch", is_flag=True, help="Look again until Ctrl-C.")
@click.option("--every", type=click.FloatRange(0.2), default=2.0, show_default=True, help="Seconds between two looks.")
@click.option("--runs", type=click.IntRange(0, 100), default=5, show_default=True, help="How many of the last runs.")
def status(watch: bool, every: float, runs: int) -> None:
    """The state of everything at a glance.

    Flows with where they stand and their records by status; connections, and why one is paused; claims that are being
    worked; the last runs.
    """
    out, core = output.current(), connect()
    if not watch:
        state = _state(core, runs)
        out.document(state)
        if not out.json:
            out.console.print(_page(state))
        return
    try:
        if out.json or not out.console.is_terminal:
            while True:
                state = _state(core, runs)
                out.line(state)
                if not out.json:
                    out.console.print(_page(state))
                time.sleep(every)
        with Live(console=out.console, screen=True, auto_refresh=False) as live:
            while True:
                live.update(_page(_state(core, runs)), refresh=True)
                time.sleep(every)
    except KeyboardInterrupt:
        raise click.exceptions.Exit(0) from None  # that is how a watch ends


def _state(core: DWConnector, runs: int) -> dict[str, Any]:
    state = core.status()
    for flow in state["flows"]:
        flow["counts"] = output.named_counts(flow["counts"])
    state["runs"] = core.runs(limit=runs) if runs else []
    for run in state["runs"]:
        run["counts"] = output.named_counts(run["counts"])
    return state


def _page(state: dict[str, Any]) -> Group:
    now = output.moment(state["now"])
    flows = [
        (
            flow["name"],
            f"{flow['entity']}: {flow['source']} → {flow['target']}",
            "enabled" if flow["enabled"] else "disabled",
            "running" if flow["running"] else output.ago(flow["due"], now) if flow["enabled"] else "",
            output.local(flow["cut_date"]),
            _counts(flow["counts"]),
        )
        for flow in state["flows"]
    ]
    connections = [
        (
            one["name"],
            one["agent"],
            one["endpoint"],
            "paused" if one["paused"] else "well",
            f"{len(one['claims'])} of {one['max_claims']}",
            one["paused"],
        )
        for one in state["connections"]
    ]
    claims = [
        (one["name"], claim["lane"], claim["entity"], output.ago(claim["since"], now), output.ago(claim["until"], now))
        for one in state["connections"]
        for claim in one["claims"]
    ]
    parts: list[Any] = []
    if flows:
        parts.append(table(("flow", "carries", "state", "next run", "cut date", "records"), flows))
    else:
        parts.append(Text("No flow yet: datawald config apply FILE makes connections and flows.\n"))
    parts += [
        Text(clean(f"{flow['name']}: {flow['why']} (tried {flow['failures']} times)\n"), style="red")
        for flow in state["flows"]
        if flow["why"]
    ]
    if connections:
        parts.append(table(("connection", "agent", "endpoint", "state", "claims", "why"), connections))
    if claims:
        parts.append(table(("claim on", "lane", "entity", "taken", "lease ends"), claims))
    if state["runs"]:
        runs = [
            (
                one["flow"],
                one["kind"],
                one["sync_status"],
                output.local(one["started"]),
                f"{one['read']} of {one['expected']}" if one["expected"] else one["read"],
                _counts(one["counts"]),
                one["id"],
            )
            for one in state["runs"]
        ]
        parts.append(table(("last runs", "kind", "ended", "started", "read", "records", "id"), runs))
    store = state["store"]
    kind = " (embedded: for trying out and small shops)" if store["embedded"] else ""
    parts.append(Text(f"{output.local(state['now'])}   store: {store['name']} {store['version']}{kind}", style="dim"))
    return Group(*parts)


def _counts(named: dict[str, int]) -> Text:
    text = Text()
    for name, number in named.items():
        if number:
            words = name.replace("_", " ")
            text.append(", " if text else "")
            text.append(f"{number} {words}", style=STYLES.get(words, ""))
    return text
