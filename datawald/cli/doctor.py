"""``datawald doctor``: everything an installation needs, looked at from this process, with the fix for what is not well.

It looks at all of it: what fails first hides nothing behind it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import click
from cryptography.fernet import Fernet
from rich.text import Text

from datawald import config, logs
from datawald.cli import output
from datawald.cli.command import Verb
from datawald.cli.core import connect
from datawald.cli.main import explain
from datawald.domain.agent import Check
from datawald.domain.errors import DataWaldError, Misconfigured
from datawald.sealed import SEALED
from flask_dwconnector import DWConnector

AREAS = ("core", "key", "store", "clock", "broker", "secrets", "work", "connections")
#: Exit code where something is not well.
NOT_WELL = 5
#: A flow that should have been read this long ago is waiting for somebody who is not there.
OVERDUE = timedelta(seconds=60)
BROKER_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Finding:
    """A check, and what it is about."""

    area: str
    check: Check

    def row(self) -> tuple[str, str, str, Text]:
        text = output.cell(self.check.detail)
        if self.check.fix:
            text.append(output.clean(f"{'; ' if self.check.ok else chr(10) + 'fix: '}{self.check.fix}"), style="bold")
        return self.area.removeprefix("connections "), self.check.name, "well" if self.check.ok else "not well", text

    def document(self) -> dict[str, Any]:
        one = self.check
        return {"area": self.area, "check": one.name, "ok": one.ok, "detail": one.detail, "fix": one.fix}


@click.command(
    cls=Verb,
    examples=(
        ("datawald doctor", "look at everything"),
        ("datawald doctor --skip broker --skip connections", "from a machine that sees the core only"),
        ("datawald doctor --json", "for a monitor: exit code 5 where something is not well"),
    ),
)
@click.option("--skip", type=click.Choice(AREAS), multiple=True, help="Do not look at this; may be given again.")
def doctor(skip: tuple[str, ...]) -> int:
    """Check everything this installation needs, and say how to mend what is not well.

    The core and its store, this process's key, the clocks, the broker, the secrets, whether anybody works, and each
    connection with the checks of its own system. What it says of the broker and of secrets is as this process is
    configured: run it where the worker runs, as the worker runs. It reads only.

    Exit code: 0 all is well, 5 something is not.
    """
    out = output.current()
    settings = config.load()
    core = connect(settings)
    findings = [
        Finding(area, check)
        for area, check in _checks(settings, core)
        if area not in skip and area.split()[0] not in skip
    ]
    well = all(finding.check.ok for finding in findings)
    out.document({"ok": well, "checks": [finding.document() for finding in findings]})
    out.table(("", "check", "state", "what was seen"), [finding.row() for finding in findings])
    wrong = sum(not finding.check.ok for finding in findings)
    out.say("All is well." if well else f"{output.plural(wrong, 'thing is', 'things are')} not well.")
    return 0 if well else NOT_WELL


def _checks(settings: config.Settings, core: DWConnector) -> Iterator[tuple[str, Check]]:
    reached = _core(settings, core)
    yield "core", reached
    state: dict[str, Any] = {}
    scopes: set[str] = set()
    setups: dict[str, dict[str, Any]] = {}
    if reached.ok:
        asked_ms = time.time() * 1000
        try:
            state = core.status()
            answered_ms = time.time() * 1000
            scopes = _scopes(core)
            setups = _setups(core, state, scopes)
        except DataWaldError as error:
            yield "key", _wrong("known", error)
        if scopes:
            yield "key", _key(scopes)
        if state:
            yield "store", _store(state["store"])
            yield "clock", _clock(settings, state["now_ms"], asked_ms, answered_ms)
    yield "broker", _broker(settings)
    yield "secrets", _master_key(settings, setups)
    if state:
        for check in _work(state):
            yield "work", check
        yield from _connections(settings, core, state, scopes)


def _wrong(name: str, error: Exception, fix: str = "") -> Check:
    problem = explain(error)
    return Check(name, False, problem.message, fix or problem.fix)


def _core(settings: config.Settings, core: DWConnector) -> Check:
    try:
        core.ready()
    except DataWaldError as error:
        return _wrong("answers", error)
    return Check("answers", True, settings.core_url)


# --- the key, the store, the clock -------------------------------------------------------------------------------------


def _scopes(core: DWConnector) -> set[str]:
    """What the key may, found by asking for something that each scope allows."""
    found = {"read"}
    for scope, ask in (("worker", core.queues), ("operator", core.keys)):
        try:
            ask()
        except Misconfigured as error:
            if error.status != 403:
                raise
        else:
            found.add(scope)
    return found


def _key(scopes: set[str]) -> Check:
    return Check("known", True, f"it may {', '.join(sorted(scopes, key=('read', 'worker', 'operator').index))}")


def _store(store: dict[str, Any]) -> Check:
    name = f"{store['name']} {store['version']}"
    if store["embedded"]:
        return Check(
            "answers",
            True,
            f"{name}, embedded: for trying out and small shops",
            "for more: a MongoDB replica set, its URI as DATAWALD_MONGODB_URI",
        )
    return Check("answers", True, name)


def _clock(settings: config.Settings, core_ms: int, asked_ms: float, answered_ms: float) -> Check:
    off_ms = (asked_ms + answered_ms) / 2 - core_ms
    # what the round trip leaves open is not held against the clock
    off_ms = max(0.0, abs(off_ms) - (answered_ms - asked_ms) / 2)
    most_s = settings.lease_s / 10
    return Check(
        "agrees",
        off_ms <= most_s * 1000,
        f"{off_ms / 1000:.1f} s apart from the store's, at most {most_s:g} s are allowed",
        ""
        if off_ms <= most_s * 1000
        else "keep the clocks of all machines by NTP: a process whose clock is off works nothing",
    )


# --- the broker --------------------------------------------------------------------------------------------------------


def _broker(settings: config.Settings) -> Check:
    from datawald.worker.celery import create_celery

    fix = "DATAWALD_BROKER_URL says where it is; is it running? Without RabbitMQ, spool:///FOLDER needs no server"
    parts = urlsplit(settings.broker_url)
    if parts.scheme == "spool":
        return _spool(Path(unquote(parts.path)))
    try:
        connection = create_celery(settings).connection_for_write()
    except Exception as error:  # kombu raises whatever a transport's module does
        return Check("answers", False, f"{type(error).__name__}: {logs.redact(str(error))}", fix)
    shown = connection.as_uri()
    try:
        with connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=BROKER_TIMEOUT_S)
    except Exception as error:  # of amqp, of a socket, of kombu
        return Check("answers", False, f"{shown}: {type(error).__name__}: {logs.redact(str(error))}", fix)
    return Check("answers", True, shown)


def _spool(folder: Path) -> Check:
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return Check("answers", True, f"spool://{folder}, embedded: all processes must see this same local folder")
    return Check("answers", False, f"spool://{folder} cannot be written", f"make {there} writable for this user")


# --- secrets and work --------------------------------------------------------------------------------------------------


def _setups(core: DWConnector, state: dict[str, Any], scopes: set[str]) -> dict[str, dict[str, Any]]:
    if "worker" not in scopes:
        return {}
    return {one["name"]: core.agent_setup(one["name"]) for one in state["connections"]}


def _master_key(settings: config.Settings, setups: dict[str, dict[str, Any]]) -> Check:
    key = settings.master_key.get_secret_value()
    sealed = [
        name for name, setup in setups.items() if any(ref.startswith(SEALED) for ref in setup["secrets"].values())
    ]
    if not key:
        if sealed:
            fix = "set DATAWALD_MASTER_KEY to the key that sealed them"
            return Check("master key", False, f"not set, but {', '.join(sealed)} has sealed secrets", fix)
        return Check("master key", True, "not set; no connection we see has a sealed secret")
    try:
        Fernet(key)
    except ValueError:
        return Check(
            "master key", False, "it is not 32 bytes in url-safe base64", "datawald keys master prints a new one"
        )
    return Check(
        "master key", True, f"set; {output.plural(len(sealed), 'connection has', 'connections have')} sealed secrets"
    )


def _work(state: dict[str, Any]) -> Iterator[Check]:
    now = output.moment(state["now"])
    enabled = [flow for flow in state["flows"] if flow["enabled"]]
    overdue = []
    for flow in enabled:
        due = output.moment(flow["due"])
        if due and now and not flow["why"] and now - due > OVERDUE:
            overdue.append(f"{flow['name']} since {output.ago(flow['due'], now)}")
    if not state["flows"]:
        yield Check("flows", True, "none yet", "datawald config apply FILE makes connections and flows")
    elif overdue:
        yield Check(
            "flows are read",
            False,
            f"due, but nobody reads them: {', '.join(overdue)}",
            "are datawald beat and datawald worker running, with the same broker and the same core?",
        )
    else:
        yield Check("flows are read", True, f"{len(enabled)} of {len(state['flows'])} enabled, none overdue")
    for flow in state["flows"]:
        if flow["why"]:
            why = f"{flow['why']} (tried {flow['failures']} times)"
            yield Check(f"flow {flow['name']}", False, why, f"look at the connection {flow['source']} below")


# --- the connections ---------------------------------------------------------------------------------------------------


def _connections(
    settings: config.Settings, core: DWConnector, state: dict[str, Any], scopes: set[str]
) -> Iterator[tuple[str, Check]]:
    paused = {one["name"]: one["paused"] for one in state["connections"]}
    if paused and "worker" not in scopes:
        fix = "use a key with it: datawald keys create NAME --scope operator --scope worker"
        yield "connections", Check("looked at", False, "the key lacks the scope worker", fix)
        return
    from datawald.worker.agents import Agents

    agents = Agents(core, settings.master_key.get_secret_value())

    def look(name: str) -> list[Check]:
        try:
            return list(agents.get(name).doctor())
        except DataWaldError as error:
            return [_wrong("opens", error)]
        except Exception as error:  # of an agency's own: the others are looked at all the same
            return [Check("opens", False, f"{type(error).__name__}: {logs.redact(str(error))}")]

    with ThreadPoolExecutor(max_workers=8) as pool:
        for name, checks in zip(paused, pool.map(look, paused), strict=True):
            area = f"connections {name}"
            if paused[name]:
                fix = "mend what the lines below say; it is probed every minute and goes on by itself"
                yield area, Check("works", False, f"paused: {paused[name]}", fix)
            for check in checks:
                yield area, check
