"""``datawald demo``: a Magento shop and an SAP company on this machine, orders out, shipments back, every promise checked.

``configuration`` is what is configured, ``systems`` the two sandboxes, ``story`` what happens, ``checks`` what must hold,
``report`` how it is told.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click
from rich.console import Console

from datawald.cli import output
from datawald.cli.command import Verb
from datawald.cli.demo.report import Report, places_to_look
from datawald.cli.demo.story import Story, Stuck
from datawald.cli.services import ServiceDied, Services
from datawald.domain.errors import DataWaldError

_PREFIX = "datawald-demo-"
#: A folder with this file in it is left alone: somebody asked to keep it.
_KEPT = "kept"
#: What a shell says of a program ended by Ctrl-C.
INTERRUPTED = 130


@click.command(
    cls=Verb,
    examples=(
        ("datawald demo", "200 orders"),
        ("datawald demo --orders 20", "as few as make sense: done in seconds"),
        ("datawald demo --keep", "look at the store and the logs afterwards"),
    ),
)
@click.option(
    "--orders", default=200, show_default=True, envvar="ORDERS", type=click.IntRange(1, 20_000), help="Orders."
)
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same orders.")
@click.option("--keep", is_flag=True, help="Keep the folder with store and logs, and say where it is.")
@click.pass_context
def demo(context: click.Context, orders: int, seed: int, keep: bool) -> None:
    """Show DataWald at work between a Magento and an SAP that are simulated here.

    Starts everything on free ports of 127.0.0.1 and in a folder of its own, places orders in Magento, books them in SAP,
    brings shipments back, changes a few orders, and checks every promise against what both systems hold. Ends all it
    started. Exit code 0: every promise held. 1: one did not, and it says which and where to look.
    """
    # whatever proxy the environment names, all of this stays on this machine
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
    out = output.current()
    report = Report(Console(quiet=out.json, soft_wrap=True))
    try:
        with _folder(keep) as folder:
            _tell(folder, report, orders, seed)
            if not report.ok:
                (folder / _KEPT).touch()
                report.look = places_to_look(folder, ("worker", "api", "beat", "magento", "sap", "store"))
    except KeyboardInterrupt:
        out.note("\n  Stopped; everything that was started has ended.")
        context.exit(INTERRUPTED)
    out.document(report.as_json())
    report.conclude()
    if keep and report.ok and not out.json:
        out.note(f"  Kept: {folder}")
    context.exit(0 if report.ok else 1)


def _tell(folder: Path, report: Report, orders: int, seed: int) -> None:
    """The story in a folder, and how it ended."""
    try:
        with Services(folder) as services:
            story = Story(services, report, orders=orders, seed=seed)
            report.title(f"DataWald: {story.orders} orders from Magento to SAP, and their shipments back")
            if story.orders > orders:
                report.note(f"The shop opens with orders in it: {story.orders} is the least.")
            if services.left_over:
                report.note(f"Ended what a killed run had left: {', '.join(services.left_over)}.")
            try:
                story.tell()
            except (DataWaldError, OSError):
                services.check()  # where a program died, that is the reason, and what we ran into is its consequence
                raise
    except (ServiceDied, Stuck, DataWaldError, OSError) as error:
        report.trouble = str(error)
    finally:
        report.seconds = time.monotonic() - report.began


@contextmanager
def _folder(keep: bool) -> Iterator[Path]:
    """A new folder for one run; those that killed runs left are taken away first."""
    for left in _abandoned():
        with suppress(Exception), Services(left):  # which ends what still runs there
            pass
        shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    if keep:
        (folder / _KEPT).touch()
    try:
        yield folder
    finally:
        if not (folder / _KEPT).exists():
            shutil.rmtree(folder, ignore_errors=True)


def _abandoned() -> Iterator[Path]:
    """Our own folders of runs that ended without taking them away, and in which nobody runs now."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            about = folder.lstat()
            if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid() or (folder / _KEPT).exists():
                continue
            with (folder / "lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                began = bool(lock.read())  # one that is just beginning has not written its id yet
            if began:
                yield folder
