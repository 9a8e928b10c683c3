"""The processes of an installation: ``datawald api``, ``datawald worker``, ``datawald beat``.

Each runs in the foreground, writes JSON lines to standard error, and ends quickly on SIGTERM and Ctrl-C.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
import warnings
from typing import Any, NoReturn

import click

from datawald import config, logs
from datawald.cli.command import Verb
from datawald.cli.core import connect
from datawald.cli.output import Stop
from datawald.domain.errors import Retryable

log = logging.getLogger("datawald.cli")

#: Pauses between two looks at what is not up yet, seconds.
LOOK_AGAIN_S = 2.0
#: A connection of a client is kept longer than the client keeps it: else it may close while a request is on its way.
KEEPALIVE_S = 15
#: Chatter of Celery that would be a line every second: of the tick.
CHATTY = ("celery.beat", "celery.worker.strategy", "celery.app.trace")


# --- api ---------------------------------------------------------------------------------------------------------------


@click.command(
    cls=Verb,
    examples=(
        ("datawald api", "on 127.0.0.1:8800"),
        ("datawald api --bind 0.0.0.0:8800 --workers 2 --threads 16", "behind a load balancer or in a container"),
    ),
)
@click.option("--bind", default="127.0.0.1:8800", show_default=True, metavar="HOST:PORT", help="Where to listen.")
@click.option("--threads", type=click.IntRange(1, 200), default=8, show_default=True, help="Requests at a time.")
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes; each has its threads."
)
@click.option("--wait", type=click.FloatRange(0), default=60, show_default=True, help="Seconds to wait for the store.")
@click.option("--grace", type=click.IntRange(0), default=8, show_default=True, help="Seconds requests may take to end.")
def api(bind: str, threads: int, workers: int, wait: float, grace: int) -> int:
    """Serve the API: gunicorn with threads over datawald.wsgi:application.

    Needs the store (DATAWALD_MONGODB_URI) and the broker (DATAWALD_BROKER_URL). It waits for the store; without the broker
    it serves all the same, and what is due is rung later.
    """
    settings = config.load()
    logs.configure(settings.log_level)
    _check_free(bind)
    _end_on_sigterm()
    _wait_for_store(settings, wait)
    from gunicorn.app.base import BaseApplication
    from gunicorn.glogging import Logger
    from gunicorn.util import import_app

    class JsonLines(Logger):
        """gunicorn's own lines, through our handler."""

        def setup(self, cfg: Any) -> None:
            super().setup(cfg)
            self.error_log.handlers[:] = []
            self.error_log.propagate = True

    class Server(BaseApplication):
        """gunicorn with our options and nobody else's: it reads neither the command line nor files."""

        def load_config(self) -> None:
            wanted = {
                "bind": bind,
                "worker_class": "gthread",
                "workers": workers,
                "threads": threads,
                "graceful_timeout": grace,
                "keepalive": KEEPALIVE_S,
                "timeout": 60,
                "logger_class": JsonLines,
                "proc_name": "datawald-api",
                # it would be made in the user's home, and two APIs would share it
                "control_socket_disable": True,
            }
            for name, value in wanted.items():
                if name in self.cfg.settings:  # older versions lack the newest
                    self.cfg.set(name, value)

        def load(self) -> Any:
            return import_app("datawald.wsgi:application")

    try:
        Server().run()
    except SystemExit as leaving:  # gunicorn always leaves like this
        return leaving.code if isinstance(leaving.code, int) else 0
    return 0


def _check_free(bind: str) -> None:
    """Stops where the port is taken: gunicorn would try for seconds and name no way out."""
    host, _, port = bind.rpartition(":")
    if not host or not port.isdigit():
        raise click.BadParameter("write HOST:PORT, such as 127.0.0.1:8800", param_hint="--bind")
    host = host.strip("[]")
    try:
        with socket.create_server((host, int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            pass
    except OSError as error:
        raise Stop(
            f"cannot listen on {bind}: {error.strerror or error}", "--bind HOST:PORT names another place"
        ) from None


def _wait_for_store(settings: config.Settings, wait_s: float) -> None:
    from pymongo import MongoClient
    from pymongo.errors import ConfigurationError, InvalidURI, PyMongoError

    ends_at = time.monotonic() + wait_s
    told = False
    while True:
        client: Any = None
        try:
            # closed before gunicorn forks: a client from before a fork is unsafe
            client = MongoClient(settings.mongodb_uri, serverSelectionTimeoutMS=1500)
            client.admin.command("ping")
            return
        except (ConfigurationError, InvalidURI) as error:
            raise Stop(f"DATAWALD_MONGODB_URI: {logs.redact(str(error))}", code="misconfigured") from None
        except PyMongoError:
            if time.monotonic() + LOOK_AGAIN_S > ends_at:
                raise
            if not told:
                log.warning("waiting for the store")
                told = True
            time.sleep(LOOK_AGAIN_S)
        finally:
            if client is not None:
                client.close()


# --- worker ------------------------------------------------------------------------------------------------------------


@click.command(
    cls=Verb,
    examples=(
        ("datawald worker", "all lanes, new ones too as flows appear"),
        ("datawald worker --queues b1_main.orders,b1_main.bulk", "beside SAP: only its lanes, and no store needed"),
        ("datawald worker --queues core", "the tick only"),
    ),
)
@click.option(
    "--queues", metavar="A,B", help="Only these; without it, all that the core names, and new ones as they come."
)
@click.option(
    "--look-every",
    type=click.FloatRange(0.1),
    default=5,
    show_default=True,
    metavar="SECONDS",
    help="How often to ask the core for new lanes, without --queues.",
)
@click.option(
    "--concurrency", type=click.IntRange(1, 500), default=10, show_default=True, help="Threads: tasks at a time."
)
@click.option(
    "--grace", type=click.FloatRange(0), default=8, show_default=True, help="Seconds running tasks may take to end."
)
def worker(queues: str | None, look_every: float, concurrency: int, grace: float) -> int:
    """Answer the doorbells: read flows, deliver records, and tick.

    Needs the broker (DATAWALD_BROKER_URL), the core (DATAWALD_CORE_URL, DATAWALD_API_KEY with the scope worker), the
    connections' secrets, and for the queue core the store. It waits for a core that is not up yet.

    On SIGTERM and Ctrl-C nothing new is begun, and running tasks get --grace seconds to end. What does not end in time is
    looked up in the target before anything is written again: nothing is lost or doubled.
    """
    settings = config.load()
    logs.configure(settings.log_level)
    _end_on_sigterm()
    names = [one.strip() for one in (queues or "").split(",") if one.strip()]
    if queues is not None and not names:
        raise click.BadParameter("name at least one", param_hint="--queues")
    core = connect(settings)
    asked = names or _queues(core, settings.core_url)
    from celery import signals

    from datawald.cli.lanes import follow_lanes

    app = _celery(settings)
    if not names:
        follow_lanes(app, core.queues, look_every)
    asked_by: list[str] = []

    def ends(sig: str = "", **_: object) -> None:
        asked_by.append(sig)
        _leave_after(grace)

    signals.worker_shutting_down.connect(ends)
    log.info("listening to %s", ", ".join(asked))
    working = app.Worker(
        queues=asked,
        pool_cls="threads",
        concurrency=concurrency,
        hostname=f"datawald@{socket.gethostname()}-{os.getpid()}",
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        loglevel=settings.log_level,
        quiet=True,
    )
    working.start()
    return 130 if "SIGINT" in asked_by else int(working.exitcode or 0)


def _queues(core: Any, url: str) -> list[str]:
    """The core's queues, once it answers."""
    told = False
    while True:
        try:
            queues: list[str] = core.queues()
            return queues
        except Retryable as error:
            if not told:
                log.warning("waiting for the core at %s: %s", url, error)
                told = True
            time.sleep(LOOK_AGAIN_S)


def _leave_after(grace: float) -> None:
    """Ends the process even where a task does not end: its claim's lease does, and its records are looked up."""

    def leave() -> None:
        log.warning("tasks are still running; what they were about is looked up by the next worker")
        sys.stderr.flush()
        os._exit(0)

    timer = threading.Timer(grace, leave)
    timer.daemon = True
    timer.start()


# --- beat --------------------------------------------------------------------------------------------------------------


@click.command(cls=Verb, examples=(("datawald beat", "one is enough; two do no harm"),))
def beat() -> int:
    """Ring the tick, every second or so (DATAWALD_TICK_S).

    Needs the broker only. It keeps nothing: what is due stands in the store, and a tick that is lost or doubled does no
    harm.
    """
    settings = config.load()
    logs.configure(settings.log_level)
    _end_on_sigterm()
    app = _celery(settings)
    log.info("ticking every %g s", settings.tick_s)
    try:
        app.Beat(loglevel=settings.log_level, quiet=True).run()
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 0
    return 0


# --- all three ---------------------------------------------------------------------------------------------------------


def _celery(settings: config.Settings) -> Any:
    """The Celery application, with our logs and less of its chatter."""
    from celery import signals

    from datawald.bootstrap import make_worker

    # a listener is what keeps Celery from its own handlers
    signals.setup_logging.connect(_logs_are_set_up)
    if settings.log_level != "DEBUG":
        for name in CHATTY:
            logging.getLogger(name).setLevel(logging.WARNING)
    # in a container everybody is root, and nothing of ours unpickles
    warnings.filterwarnings("ignore", message=".*superuser privileges.*")
    return make_worker(settings)


def _logs_are_set_up(**_: object) -> None: ...


def _end_on_sigterm() -> None:
    """Until gunicorn and Celery bring their own handlers."""

    def leave(*_: object) -> NoReturn:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, leave)
