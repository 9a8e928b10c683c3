"""WSGI middleware that acts the faults out, between the web server and a sandbox's application."""

from __future__ import annotations

import errno
import io
import math
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any

from sandbox_faults.board import FaultBoard
from sandbox_faults.rules import (
    DRIP,
    RESET_AFTER_COMMIT,
    RESET_BEFORE,
    RESET_COMMIT_LATER,
    STATUS,
    FaultRule,
)

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]

#: Paths under it steer the sandbox: no fault ever touches them, or a bad rule could not be taken back.
CONTROL_PREFIX = "/_sandbox/"

#: struct linger {on, 0 seconds}: closing the socket then sends RST instead of FIN.
_LINGER_NONE = struct.pack("ii", 1, 0)


class FaultMiddleware:
    """Applies a board's faults to every request outside :data:`CONTROL_PREFIX`."""

    def __init__(self, application: Application, board: FaultBoard) -> None:
        self._application = application
        self._board = board

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path.startswith(CONTROL_PREFIX):
            return self._application(environ, start_response)
        seconds, rule = self._board.draw(environ.get("REQUEST_METHOD", ""), path)
        if seconds:
            time.sleep(seconds)
        if rule is None:
            return self._application(environ, start_response)
        if rule.kind == STATUS:
            return _answer_status(rule, start_response)
        if rule.kind == DRIP:
            return _Drip(self._application(environ, start_response), rule.seconds)
        # From here on the body is read first: a client still sending would see its pipe break, not a reset.
        detached = _detached(environ)
        if rule.kind == RESET_BEFORE:
            raise _reset(environ)
        if rule.kind == RESET_AFTER_COMMIT:
            _work(self._application, detached)
            raise _reset(environ)
        if rule.kind == RESET_COMMIT_LATER:
            later = threading.Timer(rule.seconds, _work, (self._application, detached))
            later.daemon = True
            later.start()
            raise _reset(environ)
        raise AssertionError(f"fault kind {rule.kind} has no action")


def _answer_status(rule: FaultRule, start_response: StartResponse) -> Iterable[bytes]:
    status = rule.status or 500
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Fault"
    body = rule.body if rule.body is not None else f"<html><body>{status} {phrase} (sandbox fault)</body></html>"
    payload = body.encode()
    headers = [
        ("Content-Type", rule.content_type or "text/html; charset=utf-8"),
        ("Content-Length", str(len(payload))),
    ]
    if rule.retry_after is not None:
        # The header knows whole seconds only; rounding down would invite the client too early.
        headers.append(("Retry-After", str(math.ceil(rule.retry_after))))
    start_response(f"{status} {phrase}", headers)
    return [payload]


class _Drip:
    """A response body handed out one byte at a time."""

    def __init__(self, body: Iterable[bytes], seconds: float) -> None:
        self._body = body
        self._seconds = seconds

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._body:
            for at in range(len(chunk)):
                time.sleep(self._seconds)
                yield chunk[at : at + 1]

    def close(self) -> None:
        close = getattr(self._body, "close", None)
        if close is not None:
            close()


def _detached(environ: Environ) -> Environ:
    """A copy of the request that outlives its connection: body read to the end, socket left out."""
    length = environ.get("CONTENT_LENGTH")
    stream = environ["wsgi.input"]
    body = stream.read(int(length)) if length else stream.read() if environ.get("wsgi.input_terminated") else b""
    copy = {name: value for name, value in environ.items() if name != "gunicorn.socket"}
    copy["wsgi.input"] = io.BytesIO(body)
    copy["CONTENT_LENGTH"] = str(len(body))
    copy.pop("HTTP_TRANSFER_ENCODING", None)
    return copy


def _work(application: Application, environ: Environ) -> None:
    """Let the application work the request to its end; nobody gets the answer."""

    def start_response(*_: Any) -> Callable[[bytes], None]:
        return lambda _: None

    body = application(environ, start_response)
    try:
        for _ in body:
            pass
    finally:
        close = getattr(body, "close", None)
        if close is not None:
            close()


def _reset(environ: Environ) -> ConnectionResetError:
    """Cut the client's TCP connection with an RST; returns the exception that tells the server to forget it.

    Under a server that does not hand out its socket (a test client) only the exception remains.
    """
    connection = environ.get("gunicorn.socket")
    if isinstance(connection, socket.socket):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
        connection.close()
    return ConnectionResetError(errno.ECONNRESET, "connection reset by a sandbox fault")
