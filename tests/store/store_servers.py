"""What a store under test is, and how a private NX-27017 is started and killed.

Beside conftest.py because the client processes of the suite import it, too, and every folder has a "conftest" of its own.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class Store:
    """One store under test. ``uri`` is empty where the store lives inside this process."""

    name: str
    client: Any
    uri: str = ""
    database: str = "contract"

    def collection(self) -> Any:
        """A collection nobody else uses."""
        return self.client[self.database][f"c_{uuid.uuid4().hex[:12]}"]


class NxServer:
    """A private NX-27017 on its own data directory, which outlives a kill."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}/?directConnection=true&tz_aware=true&serverSelectionTimeoutMS=10000"

    def start(self) -> None:
        self.data.mkdir(parents=True, exist_ok=True)
        command = [str(Path(sys.executable).with_name("nx-27017")), "--data-dir", str(self.data)]
        command += ["--host", "127.0.0.1", "-p", str(self.port)]
        command += ["--pid-file", str(self.folder / "nx.pid"), "--log-file", str(self.folder / "nx.log")]
        with (self.folder / "nx.out").open("ab") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, cwd=self.folder)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        self.stop()
        raise RuntimeError(f"NX-27017 did not start: {(self.folder / 'nx.out').read_text(errors='replace')[-2000:]}")

    def kill(self) -> None:
        """As a power cut would: no chance to say goodbye."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
