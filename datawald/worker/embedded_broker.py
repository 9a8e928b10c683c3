"""A broker without a server: messages are files in a spool folder. The default where no RabbitMQ is configured.

Used through Celery like any other broker: import this module (it registers the scheme), then
``broker_url = "spool:///var/lib/datawald/broker"``. Why none of kombu's own: docs/decisions/0003-embedded-broker.md.

    <folder>/<queue>/<when>-<expires>-<random>.bell    a message, both times in milliseconds, 0 = never expires
    <folder>/<queue>/<random>.part                     a message that is still being written

Nobody holds a file open or a lock, so a process may be killed, and the folder removed, at any moment: the next
publish makes the folder anew and workers go on polling it. What such an accident costs is messages, and they are
doorbells, which the store rings again. All processes must see the same local folder; network file systems are not for this.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
import uuid
from collections import deque
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from kombu.transport import TRANSPORT_ALIASES, virtual

SCHEME = "spool"

#: A publisher clears a queue of expired messages this often (seconds), so that a queue nobody reads stays small.
SWEEP_EVERY = 30.0

#: A half-written file this old (seconds) belongs to a publisher that was killed.
ABANDONED_AFTER = 60.0

#: Celery waits for messages in bouts of 2 s, and only between two bouts confirms what is done and notices that it is to
#: end. Shorter bouts: neither takes seconds.
LONGEST_WAIT = 0.5

_MESSAGE = re.compile(r"(?P<when>\d+)-(?P<expires>\d+)-[0-9a-f]+\.bell")

logger = logging.getLogger(__name__)


def spool_url(folder: str | Path) -> str:
    """The ``broker_url`` for a spool folder."""
    return f"{SCHEME}://{quote(Path(folder).absolute().as_posix())}"


def _expired(name: str, now_ms: int) -> bool:
    match = _MESSAGE.fullmatch(name)
    return match is not None and 0 < int(match["expires"]) <= now_ms


class Channel(virtual.Channel):
    """Puts, takes and counts the message files of a queue."""

    def __init__(self, connection: Any, **kwargs: Any) -> None:
        super().__init__(connection, **kwargs)
        self.folder = Path(unquote(urlsplit(connection.client.hostname).path))
        self._listed: dict[str, deque[str]] = {}
        self._swept: dict[str, float] = {}

    def _queue_folder(self, queue: str) -> Path:
        # quote() leaves dots alone; "." and ".." would leave the spool
        name = quote(queue, safe="")
        return self.folder / (name if name.strip(".") else name.replace(".", "%2E"))

    def _names(self, queue: str) -> list[str]:
        """The waiting messages, oldest first. A folder that is not there is an empty queue."""
        try:
            entries = os.listdir(self._queue_folder(queue))
        except FileNotFoundError:
            return []
        return sorted(name for name in entries if _MESSAGE.fullmatch(name))

    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        now_ms = time.time_ns() // 1_000_000
        ttl_ms = message["properties"].get("expiration")
        expires_ms = now_ms + int(float(ttl_ms)) if ttl_ms is not None else 0
        # the leading time is padded so that names sort by age
        name = f"{now_ms:015d}-{expires_ms}-{uuid.uuid4().hex}.bell"
        text = json.dumps(message)
        try:
            self._write(self._queue_folder(queue), name, text)
        except FileNotFoundError:  # the folder is not there yet, or went away between our two steps
            self._write(self._queue_folder(queue), name, text)
        self._sweep(queue)

    @staticmethod
    def _write(folder: Path, name: str, text: str) -> None:
        """The rename makes the message visible whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f"{uuid.uuid4().hex}.part"
        try:
            part.write_text(text, encoding="utf-8")
            part.rename(folder / name)
        except OSError:
            with suppress(OSError):
                part.unlink()
            raise

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        """Take the oldest message. Many may read a file, but only one process succeeds in unlinking it: it has the message."""
        listed = self._listed.setdefault(queue, deque())
        if not listed:  # one listing serves many gets
            listed.extend(self._names(queue))
        folder = self._queue_folder(queue)
        while listed:
            name = listed.popleft()
            path = folder / name
            try:
                data = path.read_bytes()
                path.unlink()
            except FileNotFoundError:  # another has it
                continue
            except PermissionError:
                if os.name != "nt":
                    raise  # a folder that is not ours; passing over it would leave the worker deaf
                continue  # Windows: another is reading it
            if _expired(name, time.time_ns() // 1_000_000):
                continue
            try:
                return dict(json.loads(data))
            except (ValueError, TypeError):
                # nothing was synced to disk, so a power cut may leave an empty file; it must not stop the worker
                logger.warning("dropped an unreadable message from %s", queue)
        raise Empty

    def _sweep(self, queue: str) -> None:
        """Remove what expired and what killed publishers left."""
        now = time.monotonic()
        if now - self._swept.get(queue, float("-inf")) < SWEEP_EVERY:
            return
        self._swept[queue] = now
        wall = time.time()
        with suppress(FileNotFoundError), os.scandir(self._queue_folder(queue)) as entries:
            for entry in entries:
                with suppress(OSError):
                    abandoned = entry.name.endswith(".part") and wall - entry.stat().st_mtime > ABANDONED_AFTER
                    if abandoned or _expired(entry.name, int(wall * 1000)):
                        os.unlink(entry.path)

    def _size(self, queue: str) -> int:
        return len(self._names(queue))

    def _purge(self, queue: str) -> int:
        removed = 0
        for name in self._names(queue):
            with suppress(OSError):
                (self._queue_folder(queue) / name).unlink()
                removed += 1
        return removed


class Transport(virtual.Transport):
    """What kombu needs to know of the spool: direct exchanges only, polled, and the URL is ours to read."""

    Channel = Channel

    can_parse_url = True
    driver_type = "spool"
    driver_name = "spool"
    polling_interval = 0.25

    # a full disk or a forbidden folder is a lost connection: Celery then waits and tries again instead of ending
    connection_errors: tuple[Any, ...] = (*virtual.Transport.connection_errors, OSError)

    implements = virtual.Transport.implements.extend(exchange_type=frozenset(["direct"]))

    def drain_events(self, connection: Any, timeout: float | None = None, **kwargs: Any) -> Any:
        return super().drain_events(connection, timeout=min(timeout, LONGEST_WAIT) if timeout else timeout, **kwargs)

    def driver_version(self) -> str:
        return "1"

    def as_uri(self, uri: str, include_password: bool = False, mask: str = "**") -> str:
        return uri


TRANSPORT_ALIASES[SCHEME] = f"{__name__}:Transport"
