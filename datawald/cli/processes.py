"""Processes of this machine: begin one, know it again, look at its port and its log, end it.

Used by :mod:`datawald.cli.services` only. A process is known by its id *and* the moment it began: an id alone may have
gone to a stranger since.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_LAUNCH = Path(__file__).with_name("launch.py")
_PROC = Path("/proc")
#: TCP state "listen", as /proc/net/tcp writes it.
_LISTEN = "0A"


def begin(
    command: Sequence[str], *, environment: Mapping[str, str], folder: Path, log: Path
) -> subprocess.Popen[bytes]:
    """Begins a process in a group of its own, so that the terminal's Ctrl-C reaches only us; it ends when we end.

    Call it from the main thread: Linux ties "when we end" to the thread that began it.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(_LAUNCH), str(os.getpid()), *command],
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def birth(pid: int) -> str:
    """When the process began, in words that only it has; "" if there is none (a zombie is none)."""
    if _PROC.joinpath("self").exists():
        fields, boot = _stat(pid), ""
        with suppress(OSError):  # some containers hide it
            boot = _PROC.joinpath("sys/kernel/random/boot_id").read_text().strip()
        # state is the third field, the moment of birth in ticks since boot the twenty-second
        return f"{boot}/{fields[19]}" if fields and fields[0] not in "ZX" else ""
    listed = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return " ".join(listed.stdout.split())


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the name, which may itself hold spaces and brackets."""
    try:
        return _PROC.joinpath(str(pid), "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def signal_group(leader: int, number: int) -> bool:
    """Signals a process and all it began; False if none of them is left."""
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):  # macOS answers the latter for a group of zombies
        return False
    return True


def end_strangers_child(pid: int, born: str, patience_s: float) -> bool:
    """Ends a process that an earlier run began, with all it began itself. False if it is not that process any more."""
    if not born or birth(pid) != born:
        return False
    for number in (signal.SIGTERM, signal.SIGKILL):
        signal_group(pid, number)
        ends_at = time.monotonic() + patience_s
        while time.monotonic() < ends_at:
            if birth(pid) != born:
                return True
            time.sleep(0.05)
    return True


def port_is_free(port: int) -> bool:
    """Whether nobody holds the port on 127.0.0.1, as a server would ask."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # servers set it too: a port that only waits out old connections is free
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            return False
    return True


def free_port(wanted: int, taken: set[int]) -> int:
    """``wanted`` or the next port above it that is free and not in ``taken``."""
    for port in range(wanted, min(wanted + 500, 65_536)):
        if port not in taken and port_is_free(port):
            return port
    raise OSError(errno.EADDRINUSE, f"no port is free from {wanted} on")


def listens(leader: int, port: int) -> bool:
    """Whether the process, or one that it began, is who listens on the port. True where the system does not tell.

    Two runs that begin at once may choose the same port; the answer of the other's server must not pass for ours.
    """
    tcp = _PROC / "net/tcp"
    if not tcp.exists():
        return True
    wanted = f"0100007F:{port:04X}"
    rows = (line.split() for line in tcp.read_text().splitlines()[1:])
    sockets = {f"socket:[{row[9]}]" for row in rows if row[1] == wanted and row[3] == _LISTEN}
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        fields = _stat(int(entry.name))
        if len(fields) < 3 or fields[2] != str(leader):
            continue
        with suppress(OSError):
            for descriptor in (entry / "fd").iterdir():
                with suppress(OSError):
                    if os.readlink(descriptor) in sockets:
                        return True
    return False


def last_lines(log: Path, count: int = 12, since: int = 0) -> list[str]:
    """The last lines that were written after the first ``since`` bytes."""
    try:
        with log.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(since, end - 64 * 1024))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()][-count:]
