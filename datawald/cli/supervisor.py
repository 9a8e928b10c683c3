"""Keeps local programs running: begins them in order, sees that they answer, names one that died, ends them all.

Knows nothing of DataWald; what is run stands in :mod:`datawald.cli.services`.

    <folder>/lock             held while a supervisor runs there
    <folder>/run/NAME.json    which process runs a service: what a killed supervisor leaves to its successor
    <folder>/logs/NAME.log    what the service prints; NAME.log.1 is the run before
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from datawald.cli import processes

#: Ports tried where another program takes the chosen one before our service does.
PORT_TRIES = 5
#: How long the left-overs of a killed run are asked before they are made to end.
LEFT_OVER_PATIENCE_S = 3.0
#: How long a service that is started again may wait for its own port.
OWN_PORT_PATIENCE_S = 5.0


class FolderInUse(Exception):
    """Another run works in this folder."""

    def __init__(self, folder: Path, holder: str) -> None:
        who = f"process {holder}" if holder else "another process"
        super().__init__(f"{folder} is in use by {who}: end that one, or choose another folder with --dir")


class ServiceDied(Exception):
    """A service ended by itself. ``lines`` are the last ones of its log."""

    def __init__(self, name: str, status: int | None, log: Path, lines: Sequence[str], slow: bool = False) -> None:
        self.summary = f"{name} {'does not answer' if slow else f'ended with status {status}'}"
        shown = "".join(f"\n    {line[:400]}" for line in lines) or "\n    (it printed nothing)"
        super().__init__(f"{self.summary}. Its last lines ({log}):{shown}")
        self.name = name
        self.status = status
        self.log = log
        self.lines = list(lines)


@dataclass(frozen=True)
class Service:
    """One program: how it is begun, and how one sees that it works."""

    name: str
    #: The command, given the port it shall listen on (0 where it wants none).
    command: Callable[[int], Sequence[str]]
    #: Whether it works. Asked again and again, and only once it listens on its port.
    ready: Callable[[Running], bool]
    #: The port it would like on 127.0.0.1; another one is chosen where somebody holds it. 0: it listens nowhere.
    port: int = 0
    environment: Callable[[], Mapping[str, str]] = dict
    #: How long it may take to begin, and to end.
    begins_s: float = 30.0
    ends_s: float = 4.0
    #: The signal that asks it to end.
    ends_with: int = signal.SIGTERM
    #: Files of an earlier run that would make it refuse to begin.
    stale: Sequence[Path] = ()


@dataclass
class Running:
    """A service that was begun."""

    service: Service
    process: subprocess.Popen[bytes]
    port: int
    log: Path
    #: Length of the log when it began: only what follows is its own.
    log_began: int = 0
    #: Set once it was ready.
    ready: bool = False

    @property
    def pid(self) -> int:
        return self.process.pid

    def printed(self, count: int = 12) -> list[str]:
        """The last lines it printed."""
        return processes.last_lines(self.log, count, self.log_began)

    def died(self) -> ServiceDied:
        return ServiceDied(self.service.name, self.process.returncode, self.log, self.printed())


@dataclass
class Supervisor:
    """Runs services in one folder. A context manager: leaving it ends everything it began."""

    folder: Path
    services: dict[str, Service] = field(default_factory=dict)
    #: Names of services that a killed run had left, and which were ended.
    left_over: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder = self.folder.absolute()
        self._running: dict[str, Running] = {}
        self._ports: dict[str, int] = {}
        self._lock: Any = None
        self._handlers: dict[int, Any] = {}

    # --- the folder -----------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._take_folder()
        try:
            self._end_left_overs()
            self._catch_signals()
        except BaseException:
            self._leave_folder()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self.stop_all()
        finally:
            self._release_signals()
            self._leave_folder()

    def _take_folder(self) -> None:
        for path in (self.folder, self.folder / "run", self.folder / "logs"):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (self.folder / "lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            holder = lock.read().strip()
            lock.close()
            raise FolderInUse(self.folder, holder) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock

    def _leave_folder(self) -> None:
        if self._lock is not None:
            self._lock.close()  # which lets go of it
            self._lock = None

    def _end_left_overs(self) -> None:
        """Ends what a killed run left. We hold the lock, so whoever wrote these files is gone."""
        for note in sorted((self.folder / "run").glob("*.json")):
            with suppress(OSError, ValueError, KeyError, TypeError):
                left = json.loads(note.read_text(encoding="utf-8"))
                if processes.end_strangers_child(int(left["pid"]), str(left["born"]), LEFT_OVER_PATIENCE_S):
                    self.left_over.append(note.stem)
            note.unlink(missing_ok=True)

    # --- signals --------------------------------------------------------------------------------------------------------

    def _catch_signals(self) -> None:
        """SIGTERM and SIGHUP end us as Ctrl-C does: by an exception, so that everything is left in order."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGTERM, signal.SIGHUP):
            self._handlers[number] = signal.signal(number, _leave)

    def _release_signals(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()

    # --- beginning ------------------------------------------------------------------------------------------------------

    def start(self, *names: str) -> None:
        """Begins these services, all at once, and returns when every one of them works. Raises ``ServiceDied``."""
        for name in names:
            self.begin(name)
        for name in names:
            self.wait_ready(name)

    def begin(self, name: str) -> Running:
        """Begins a service without waiting for it."""
        if name in self._running and self._running[name].process.poll() is None:
            raise ValueError(f"{name} runs already")
        service = self.services[name]
        port = self._port_for(service)
        for path in service.stale:
            path.unlink(missing_ok=True)
        log = self.folder / "logs" / f"{name}.log"
        if name not in self._ports and log.exists():
            log.replace(log.with_suffix(".log.1"))
        self._ports[name] = port
        began = log.stat().st_size if log.exists() else 0
        environment = _inherited() | dict(service.environment())
        process = processes.begin(service.command(port), environment=environment, folder=self.folder, log=log)
        running = Running(service, process, port, log, began)
        self._running[name] = running
        note = {"pid": process.pid, "born": processes.birth(process.pid), "port": port}
        (self.folder / "run" / f"{name}.json").write_text(json.dumps(note), encoding="utf-8")
        return running

    def _port_for(self, service: Service) -> int:
        """A port for a service; the one it had before, since others know it by that."""
        if not service.port:
            return 0
        had = self._ports.get(service.name)
        if not had:
            return processes.free_port(service.port, set(self._ports.values()))
        ends_at = time.monotonic() + OWN_PORT_PATIENCE_S
        while not processes.port_is_free(had):
            if time.monotonic() > ends_at:
                raise OSError(f"{service.name} cannot go on: another program took its port {had}")
            time.sleep(0.05)
        return had

    def wait_ready(self, name: str, begins_s: float | None = None) -> None:
        """Returns when the service works. Raises ``ServiceDied`` for this one, or for another that died meanwhile."""
        tries = 1
        running = self._running[name]
        ends_at = time.monotonic() + (begins_s or running.service.begins_s)
        while not self._works(running):
            self.check()
            if running.process.poll() is not None:
                lost = running.port and not running.ready and not processes.port_is_free(running.port)
                if not lost or tries == PORT_TRIES:
                    raise running.died()
                # somebody was quicker to take the port that was free a moment ago
                tries += 1
                del self._ports[name]
                self.services[name] = service = replace(running.service, port=running.port + 1)
                running = self.begin(service.name)
            elif time.monotonic() > ends_at:
                raise ServiceDied(name, None, running.log, running.printed(), slow=True)
            time.sleep(0.05)
        running.ready = True

    @staticmethod
    def _works(running: Running) -> bool:
        if running.process.poll() is not None:
            return False
        if running.port and not processes.listens(running.pid, running.port):
            return False
        return running.service.ready(running)

    def port(self, name: str) -> int:
        """The port a service has or had in this run, else the one it would like."""
        return self._ports.get(name) or self.services[name].port

    def runs(self, name: str) -> bool:
        return name in self._running and self._running[name].process.poll() is None

    def running(self) -> list[Running]:
        """What was begun and not ended by us, in order."""
        return list(self._running.values())

    def check(self) -> None:
        """Raises ``ServiceDied`` if a service ended that nobody ended. Called again and again by whoever waits."""
        for running in self._running.values():
            # of one that never worked its own ``wait_ready`` tells
            if running.ready and running.process.poll() is not None:
                raise running.died()

    # --- ending ---------------------------------------------------------------------------------------------------------

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Signals a service and all it began, and waits until it is gone. Start it again with ``start(name)``."""
        running = self._running[name]
        processes.signal_group(running.pid, number)
        self._wait_gone(running)

    def stop(self, name: str) -> None:
        """Asks a service to end, and makes it end where it does not."""
        running = self._running.get(name)
        if running is None:
            return
        if running.process.poll() is None:
            running.process.send_signal(running.service.ends_with)
        self._wait_gone(running)

    def forget(self, name: str) -> None:
        """A service that died by itself is no longer expected to run."""
        self._wait_gone(self._running[name])

    def stop_all(self) -> None:
        """Ends everything, the last begun first. A second Ctrl-C or SIGTERM meanwhile ends it at once."""
        before: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                before[number] = signal.signal(number, self._kill_all)
        try:
            for name in reversed(list(self._running)):
                self.stop(name)
        finally:
            for caught, handler in before.items():
                signal.signal(caught, handler)

    def _kill_all(self, *_: object) -> None:
        for running in list(self._running.values()):
            processes.signal_group(running.pid, signal.SIGKILL)

    def _wait_gone(self, running: Running) -> None:
        try:
            running.process.wait(running.service.ends_s)
        except subprocess.TimeoutExpired:
            pass
        # its children too, where it went without them
        processes.signal_group(running.pid, signal.SIGKILL)
        running.process.wait()
        self._running.pop(running.service.name, None)
        (self.folder / "run" / f"{running.service.name}.json").unlink(missing_ok=True)


def _leave(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _inherited() -> dict[str, str]:
    """Our environment without what would steer a DataWald or a sandbox: nothing started here meets another installation."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DATAWALD_", "SANDBOX_"))}
    local = "127.0.0.1,localhost"
    return kept | {
        "NO_PROXY": ",".join(filter(None, (kept.get("NO_PROXY") or kept.get("no_proxy"), local))),
        "no_proxy": ",".join(filter(None, (kept.get("no_proxy") or kept.get("NO_PROXY"), local))),
        "PYTHONUNBUFFERED": "1",
    }
