"""Runs one sandbox application in one worker process.

gunicorn with its threaded worker, for two reasons: it hands the client's socket to the application
(``gunicorn.socket``), which a fault needs to cut the connection with a TCP reset, and it keeps connections alive as
the servers we play do. A sandbox's state lives in the memory of the one worker; gunicorn's parent process only
watches it and passes signals on.
"""

from __future__ import annotations

import contextlib
import os
import selectors
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.workers.gthread import ThreadWorker

#: Seconds an idle connection is kept for the next request.
KEEPALIVE_SECONDS = 75
#: Seconds a request in flight gets when the server is told to end; then it is cut.
STOP_SECONDS = 1


class SandboxWorker(ThreadWorker):
    """The threaded worker, taught that a fault may have closed a connection already, and to stop without lingering."""

    def run(self) -> None:
        # Signals arrive on any thread; unless the main loop watches the wake-up pipe it may sleep on for a second.
        self.poller.register(self.PIPE[0], selectors.EVENT_READ, self._wake)
        super().run()

    @staticmethod
    def _wake(pipe: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(pipe, 4096)

    def finish_request(self, conn: Any, fs: Any) -> None:
        if conn.sock.fileno() == -1:  # reset by a fault: closing it again would fail and count it twice
            self.nr_conns -= 1
            return
        super().finish_request(conn, fs)

    def handle_exit(self, sig: int, frame: Any) -> None:
        super().handle_exit(sig, frame)
        # Idle connections are closed at once; waiting for a next request on them would delay the end by seconds.
        self.method_queue.defer(self.murder_keepalived, True)


class _SandboxServer(BaseApplication):
    def __init__(self, app: Flask, options: dict[str, Any]) -> None:
        self._app = app
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        return self._app


def serve(app: Flask, host: str, port: int, threads: int = 32) -> None:
    """Serve ``app`` until SIGTERM or SIGINT; does not return (ends in ``SystemExit``).

    ``threads`` bounds the requests worked at once, sleeping ones included: further ones queue.
    """
    _SandboxServer(
        app,
        {
            "bind": f"{host}:{port}",
            "workers": 1,
            "worker_class": SandboxWorker,
            "threads": threads,
            "worker_connections": 1000 + threads,
            "keepalive": KEEPALIVE_SECONDS,
            "graceful_timeout": STOP_SECONDS,
            "timeout": 0,  # a sleeping request must not look like a hung worker
            "loglevel": "warning",
            "accesslog": None,
            "control_socket_disable": True,
        },
    ).run()
