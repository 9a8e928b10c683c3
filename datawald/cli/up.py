"""``datawald up``: a whole DataWald on this machine, kept running until Ctrl-C.

For trying out, for developing, and for small shops that one machine serves. What runs is in :mod:`datawald.cli.services`.
"""

from __future__ import annotations

import os
import shlex
import time
from collections import deque
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import click
from rich.table import Table

from datawald import bootstrap, sealed
from datawald.cli import output
from datawald.cli.command import Verb
from datawald.cli.core import connect as connect_core
from datawald.cli.demo.configuration import configure
from datawald.cli.output import Output, Stop
from datawald.cli.services import (
    FolderInUse,
    SandboxSecrets,
    ServiceDied,
    Services,
    read_environment,
    write_environment,
)
from datawald.usecases import keys

#: How often everything is looked at, seconds.
LOOK_S = 1.0
#: A service that dies more often than so many times within so many seconds is not begun again.
DEATHS, WITHIN_S = 3, 60.0

#: The API keys in the environment file: the person's own, and the one the worker shows.
KEY, WORKER_KEY, MASTER_KEY = "DATAWALD_API_KEY", "UP_WORKER_KEY", "DATAWALD_MASTER_KEY"
TITLES = {"store": "store", "magento": "Magento sandbox", "sap": "SAP sandbox", "api": "API"}


@click.command(
    cls=Verb,
    examples=(
        ("datawald up", "store, API, worker, beat, and a Magento and an SAP to play with"),
        ("datawald up --connect", "with the two connected: two connections, and a flow each way"),
        ("datawald up --no-sandbox --dir /srv/datawald", "for systems of your own"),
    ),
)
@click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where everything is kept. Default: var where that is here, else ~/.local/share/datawald.",
)
@click.option("--no-sandbox", is_flag=True, help="Without the Magento and SAP sandboxes.")
@click.option("--connect", is_flag=True, help="Make connections to the sandboxes and a flow each way, disabled.")
def up(folder: Path | None, no_sandbox: bool, connect: bool) -> None:
    """Run a whole DataWald on this machine until Ctrl-C: store, API, worker, beat, and a Magento and an SAP to play with.

    Everything listens on 127.0.0.1 only. Where a port is taken the next free one is used. What DataWald knows is kept in
    the folder and is there again next time; the sandboxes forget everything when they end.
    """
    out = output.current()
    if no_sandbox and connect:
        raise click.UsageError("--connect connects the sandboxes, and --no-sandbox leaves them out")
    folder = (folder or _default_folder()).absolute()
    kept = read_environment(folder / "env")
    try:
        with Services(folder, sandbox_secrets=_sandbox_secrets(kept)) as services:
            if services.left_over:
                out.note(f"Ended what a killed run had left: {', '.join(services.left_over)}.")
            try:
                _begin(services, kept, sandboxes=not no_sandbox, connect=connect)
                _tell(out, services)
                _keep_running(out, services)
            except KeyboardInterrupt:
                out.note("Ending …")
        out.note("Everything has ended.")
    except FolderInUse as error:
        raise Stop(str(error), "end the other one, or name another folder with --dir", code="in_use") from None
    except ServiceDied as error:
        out.note(str(error))
        raise Stop(error.summary, f"its log is {error.log}", code="service_died") from None


def _default_folder() -> Path:
    here = Path("var")
    if here.is_dir():
        return here
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "datawald"


def _sandbox_secrets(kept: Mapping[str, str]) -> SandboxSecrets:
    """Those of the run before: connections hold them sealed."""
    names = SandboxSecrets.new().environment()
    if all(name in kept for name in names):
        return SandboxSecrets(*(kept[name] for name in names))
    return SandboxSecrets.new()


# --- beginning ---------------------------------------------------------------------------------------------------------


def _begin(services: Services, kept: Mapping[str, str], *, sandboxes: bool, connect: bool) -> None:
    services.start("store", *(("magento", "sap") if sandboxes else ()))
    services.start("api")
    services.master_key = kept.get(MASTER_KEY) or sealed.new_master_key()
    settings = services.settings()
    core = bootstrap.make_core(settings, bootstrap.make_bells(settings))
    with closing(core.store.client):
        # the store keeps only hashes of keys: the file is where they live on
        own, worker = (kept.get(name, "") for name in (KEY, WORKER_KEY))
        if not own or not keys.verify(core, own):
            own = keys.create(core, "up", ["operator", "worker"])
        if not worker or not keys.verify(core, worker):
            worker = keys.create(core, "up worker", ["worker"])
    services.worker_key = worker
    variables = services.environment() | {KEY: own, WORKER_KEY: worker, MASTER_KEY: services.master_key}
    variables |= services.sandbox_secrets.environment()
    if sandboxes:
        variables |= {"SANDBOX_MAGENTO2_URL": services.magento_url, "SANDBOX_SAPB1_URL": services.sap_url}
    write_environment(services.folder / "env", variables, "what `datawald up` runs; it holds keys")
    if connect:
        configure(connect_core(services.settings(own)), services)
    services.start("worker", "beat")


def _tell(out: Output, services: Services) -> None:
    variables = read_environment(services.folder / "env")
    addresses = {name: f"http://127.0.0.1:{services.port(name)}" for name in TITLES if services.runs(name)}
    addresses["store"] = services.mongodb_uri
    secret = {"API key": variables[KEY], "master key": variables[MASTER_KEY]}
    out.document(
        {
            "folder": str(services.folder),
            "env": str(services.folder / "env"),
            "addresses": addresses,
            "api_key": variables[KEY],
            "master_key": variables[MASTER_KEY],
            "pids": {running.service.name: running.pid for running in services.running()},
        }
    )
    table = Table(box=None, padding=(0, 2), show_header=False)
    for name, address in addresses.items():
        table.add_row(TITLES[name], address)
    for name, key in secret.items():
        table.add_row(name, key)
    table.add_row("folder", str(services.folder))
    if not out.json:
        out.say()
        out.say("  DataWald runs on this machine.", "bold")
        out.say()
        out.console.print(table, soft_wrap=True)
        out.say()
        out.say("  In another terminal:")
        out.say(f"    source {shlex.quote(str(services.folder / 'env'))}")
        out.say("    datawald status")
        out.say()
        out.say("  Ctrl-C ends everything.")
        out.say()


# --- running -----------------------------------------------------------------------------------------------------------


def _keep_running(out: Output, services: Services) -> None:
    """Sees that everything goes on. Raises ``ServiceDied`` for a service that cannot be kept alive."""
    deaths: dict[str, deque[float]] = {}
    while True:
        time.sleep(LOOK_S)
        try:
            services.check()
        except ServiceDied as died:
            times = deaths.setdefault(died.name, deque(maxlen=DEATHS))
            times.append(time.monotonic())
            if len(times) == DEATHS and times[-1] - times[0] < WITHIN_S:
                raise
            out.note(f"{died}\n{died.name} is started again.")
            services.forget(died.name)
            services.start(died.name)
