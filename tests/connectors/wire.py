"""A scripted TCP peer and a sandbox process, for the tests of this folder."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from typing import Any


class Peer:
    """A server that does exactly what a script says; keeps every request it read to the end."""

    def __init__(self, script: Callable[[Peer, socket.socket, int], object], tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._script, self._tls = script, tls
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                conn, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(conn, self.connections), daemon=True).start()

    def _serve(self, conn: socket.socket, number: int) -> None:
        try:
            if self._tls:
                conn = self._tls.wrap_socket(conn, server_side=True)
            self._script(self, conn, number)
        except OSError:
            pass
        finally:
            conn.close()

    def read(self, conn: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._more(conn)
        head, _, body = data.partition(b"\r\n\r\n")
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                while len(body) < int(line.split(b":")[1]):
                    body += self._more(conn)
        self.requests.append(head + b"\r\n\r\n" + body)
        return self.requests[-1]

    @staticmethod
    def _more(conn: socket.socket) -> bytes:
        chunk = conn.recv(65536)
        if not chunk:
            raise OSError("client went away")
        return chunk

    def close(self) -> None:
        self._listener.close()


def answer(body: str | bytes = "{}", status: int = 200, kind: str = "application/json", more: str = "") -> bytes:
    body = body.encode() if isinstance(body, str) else body
    return f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


def reset(conn: socket.socket) -> None:
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conn.close()


def saying(*answers: bytes) -> Callable[[Peer, socket.socket, int], object]:
    """A script that gives these answers one after another over all connections, then repeats the last."""
    left = list(answers)

    def script(peer: Peer, conn: socket.socket, _: int) -> None:
        while True:
            peer.read(conn)
            conn.sendall(left.pop(0) if len(left) > 1 else left[0])

    return script


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


class Sandbox:
    """A sandbox running as a process of its own, steered over its control routes."""

    def __init__(self, package: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process = subprocess.Popen(
            [sys.executable, "-m", package, "serve", "--port", str(self.port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        ends = time.monotonic() + 15
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            if self._process.poll() is not None or time.monotonic() > ends:
                self.stop()
                raise RuntimeError(f"{package} did not start: {(self._process.stdout or sys.stdin).read()!r}")
            time.sleep(0.05)

    def control(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            self.url + "/_sandbox" + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as reply:
            return json.loads(reply.read() or b"null")

    def fault(self, kind: str, **rule: Any) -> None:
        """Put a fault up; it stays until it has happened ``times`` times or the test ends."""
        self.control("POST", "/faults", {"kind": kind, **rule})

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
