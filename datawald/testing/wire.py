"""Where an agency's requests leave this process: counted, and cut where a test wants it. Used by the conformance kit.

It sits where requests hands a prepared request to its adapter, below every :class:`datawald.http.HttpSession`: above it
everything is the agency's and the connector's own code. A connector that speaks without ``HttpSession`` is not seen here;
its test module then has to give the fault hooks itself.
"""

from __future__ import annotations

import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import requests
from requests.adapters import HTTPAdapter

#: What may not happen while nobody is to be asked, besides talking: Python's own names of audit events.
_IO = frozenset(
    {"open", "os.listdir", "os.remove", "os.rename", "socket.connect", "sqlite3.connect", "subprocess.Popen"}
)
#: Methods through which bytes leave.
_SENDING = ((socket.socket, ("send", "sendall", "sendto", "sendmsg")), (ssl.SSLSocket, ("send", "sendall", "sendto")))


class Wire:
    """All requests of this process that go through an ``HttpSession``, and a pair of scissors."""

    def __init__(self) -> None:
        #: ``GET /rest/V1/orders``, as sent, repeated ones included.
        self.requests: list[str] = []
        self._until_cut: int | None = None
        self._is_worked = False
        #: Whether the cut was reached.
        self.was_cut = False

    def cut(self, number: int, *, worked: bool) -> None:
        """From the ``number``-th request on nothing is answered: the system went away just then.

        ``worked``: that one request still arrived and was worked, only its answer is lost. Ends with :meth:`mend`.
        """
        self._until_cut, self._is_worked, self.was_cut = number, worked, False

    def mend(self) -> None:
        self._until_cut = None

    @contextmanager
    def tapped(self) -> Iterator[Wire]:
        """While it lasts every request passes through this wire."""
        whole = HTTPAdapter.send

        def send(adapter: HTTPAdapter, request: requests.PreparedRequest, *args: Any, **how: Any) -> requests.Response:
            return self._send(lambda: whole(adapter, request, *args, **how), request)

        HTTPAdapter.send = send  # type: ignore[method-assign,assignment]
        try:
            yield self
        finally:
            HTTPAdapter.send = whole  # type: ignore[method-assign]

    def _send(self, send: Callable[[], requests.Response], request: requests.PreparedRequest) -> requests.Response:
        self.requests.append(f"{request.method} {request.path_url.partition('?')[0]}")
        if self._until_cut is None:
            return send()
        self._until_cut -= 1
        if self._until_cut > 0:
            return send()
        self.was_cut = True
        if self._until_cut == 0 and self._is_worked:
            send().close()
            raise ConnectionResetError("the conformance kit lost the answer")
        raise ConnectionRefusedError("the conformance kit cut the wire")


# --- silence ----------------------------------------------------------------------------------------------------------

_listening = threading.local()  # .heard: what this thread did while nobody was to be asked
_is_hooked = False


@contextmanager
def silence() -> Iterator[list[str]]:
    """Gives a list of everything this thread did that is I/O: bytes sent, connections, files, processes."""
    global _is_hooked
    if not _is_hooked:  # an audit hook cannot be taken back: one for good, deaf outside of this block
        sys.addaudithook(_hear)
        _is_hooked = True
    heard: list[str] = []
    before = {(kind, name): kind.__dict__.get(name) for kind, names in _SENDING for name in names}
    for kind, name in before:
        setattr(kind, name, _heard(name, getattr(kind, name)))
    _listening.heard = heard
    try:
        yield heard
    finally:
        _listening.heard = None
        for (kind, name), method in before.items():
            if method is None:
                delattr(kind, name)
            else:
                setattr(kind, name, method)


def _heard(name: str, method: Any) -> Any:
    def sending(*args: Any, **kwargs: Any) -> Any:
        heard = getattr(_listening, "heard", None)
        if heard is not None:
            heard.append(f"socket.{name}")
        return method(*args, **kwargs)

    return sending


def _hear(event: str, args: tuple[Any, ...]) -> None:
    if event in _IO:
        heard = getattr(_listening, "heard", None)
        if heard is not None:
            heard.append(f"{event} {args[0] if args and isinstance(args[0], str) else ''}".rstrip())
