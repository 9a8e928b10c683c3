"""The programs of one local DataWald: store, sandboxes, API, worker, beat, all on 127.0.0.1 and under one folder.

Run by ``datawald up`` and ``datawald demo``, and by tests that need the real thing::

    with Services(folder) as services:
        services.start("store", "magento", "sap")
        services.start("api")
        …
        services.kill("api", signal.SIGKILL)
        services.start("api")

What runs them, and what becomes of them when we end, is :mod:`datawald.cli.supervisor`.
"""

from __future__ import annotations

import json
import secrets
import shlex
import shutil
import signal
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import SecretStr
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from datawald.cli.supervisor import FolderInUse, Running, Service, ServiceDied, Supervisor
from datawald.config import Settings
from datawald.domain.errors import Misconfigured
from datawald.worker.embedded_broker import spool_url

__all__ = ["PORTS", "FolderInUse", "SandboxSecrets", "ServiceDied", "Services"]

#: The ports each service would like; the next free one is taken where somebody holds it.
PORTS: Mapping[str, int] = {"store": 27117, "magento": 8081, "sap": 50001, "api": 8800}
#: Threads of the worker: its work is waiting for others.
WORKER_THREADS = 8
API_THREADS = 12

#: The zone of the SAP sandbox's company; its server keeps that zone's time.
SAP_ZONE = "Europe/Berlin"

# asked of ourselves only: a proxy that the environment names has no business in between
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class SandboxSecrets:
    """What the sandboxes ask of who calls them. Made anew for every run, so that none is ever worth stealing."""

    consumer_key: str
    consumer_secret: str
    access_token: str
    access_token_secret: str
    sap_password: str

    @classmethod
    def new(cls) -> SandboxSecrets:
        return cls(*(secrets.token_hex(16) for _ in range(5)))  # Magento's have 32 characters

    def environment(self) -> dict[str, str]:
        """As the sandboxes read them."""
        return {
            "SANDBOX_MAGENTO2_CONSUMER_KEY": self.consumer_key,
            "SANDBOX_MAGENTO2_CONSUMER_SECRET": self.consumer_secret,
            "SANDBOX_MAGENTO2_ACCESS_TOKEN": self.access_token,
            "SANDBOX_MAGENTO2_ACCESS_TOKEN_SECRET": self.access_token_secret,
            "SANDBOX_SAPB1_PASSWORD": self.sap_password,
        }


class Services(Supervisor):
    """A DataWald of one's own. ``worker_key`` and ``master_key`` are set before the worker is begun."""

    def __init__(
        self,
        folder: Path,
        *,
        ports: Mapping[str, int] | None = None,
        sandbox_secrets: SandboxSecrets | None = None,
        worker_threads: int = WORKER_THREADS,
        broker_url: str = "",
    ) -> None:
        super().__init__(folder)
        #: Where doorbells travel: a spool under the folder, unless a broker is given that somebody else runs.
        self.broker_url = broker_url or spool_url(self.folder / "broker")
        self.sandbox_secrets = sandbox_secrets or SandboxSecrets.new()
        #: The API key that the worker shows, and the key for sealed secrets.
        self.worker_key = ""
        self.master_key = ""
        #: The queues the worker listens to; none: all that the core names, and new ones as flows appear.
        self.queues: Sequence[str] = ()
        self._worker_threads = worker_threads
        wanted = dict(PORTS) | dict(ports or {})
        for service in (
            self._store(wanted["store"]),
            self._sandbox("magento", "sandbox_magento2", wanted["magento"], "/_sandbox/health"),
            self._sandbox("sap", "sandbox_sapb1", wanted["sap"], "/_sandbox/state", f"--utc-offset={_utc_offset()}"),
            # quit, not terminate: when it ends nobody of ours asks any more, and idle connections would hold it for seconds
            Service(
                "api",
                self._api_command,
                _answers("/health/ready"),
                wanted["api"],
                self.environment,
                ends_with=signal.SIGQUIT,
            ),
            Service("worker", self._worker_command, _printed(" ready."), environment=self._worker_environment),
            Service("beat", self._beat_command, _printed("ticking every"), environment=self._service_environment),
        ):
            self.services[service.name] = service

    # --- addresses ------------------------------------------------------------------------------------------------------

    @property
    def mongodb_uri(self) -> str:
        return f"mongodb://127.0.0.1:{self.port('store')}/?directConnection=true"

    @property
    def core_url(self) -> str:
        return f"http://127.0.0.1:{self.port('api')}"

    @property
    def magento_url(self) -> str:
        return f"http://127.0.0.1:{self.port('magento')}"

    @property
    def sap_url(self) -> str:
        return f"http://127.0.0.1:{self.port('sap')}"

    def environment(self) -> dict[str, str]:
        """What tells a DataWald process where everything is. Holds no key."""
        return {
            # the folder's own, so that a datawald.toml that lies about elsewhere has no part in it
            "DATAWALD_CONFIG": str(self.folder / "datawald.toml"),
            "DATAWALD_MONGODB_URI": self.mongodb_uri,
            "DATAWALD_BROKER_URL": self.broker_url,
            "DATAWALD_CORE_URL": self.core_url,
        }

    def _service_environment(self) -> dict[str, str]:
        # whether worker and beat run is read from what they log
        return self.environment() | {"DATAWALD_LOG_LEVEL": "INFO"}

    def settings(self, api_key: str = "") -> Settings:
        """Settings for speaking with this DataWald from our own process; nothing of its environment is in them."""
        return Settings.model_construct(
            mongodb_uri=self.mongodb_uri,
            broker_url=self.broker_url,
            core_url=self.core_url,
            api_key=SecretStr(api_key),
        )

    # --- the programs ---------------------------------------------------------------------------------------------------

    def _store(self, port: int) -> Service:
        """``mongod`` where it is installed, else NX-27017. A folder that holds one's data is not given to the other."""
        mongod = shutil.which("mongod")
        if not mongod and (self.folder / "store/mongod").exists():
            raise Misconfigured(f"the documents in {self.folder} are mongod's, which is not installed any more")
        if mongod and not (self.folder / "store/nx").exists():
            folder = self.folder / "store/mongod"
            command: Any = lambda port: _mongod(mongod, folder, port)  # noqa: E731
            return Service("store", command, _keeps_documents, port, begins_s=60, ends_s=15)
        pid_file, log = self.folder / "run/nx.pid", self.folder / "logs/nx.log"
        command = lambda port: _nx(self.folder / "store/nx", port, pid_file, log)  # noqa: E731
        return Service("store", command, _keeps_documents, port, stale=[pid_file, log])

    def _sandbox(self, name: str, module: str, port: int, health: str, *options: str) -> Service:
        def command(port: int) -> list[str]:
            return _python(module, "serve", "--host", "127.0.0.1", "--port", str(port), *options)

        return Service(name, command, _answers(health), port, lambda: self.sandbox_secrets.environment())

    def _api_command(self, port: int) -> list[str]:
        return _datawald("api", f"--bind=127.0.0.1:{port}", f"--threads={API_THREADS}", "--grace=2")

    def _worker_command(self, _port: int) -> list[str]:
        queues = [f"--queues={','.join(self.queues)}"] if self.queues else []
        return _datawald("worker", f"--concurrency={self._worker_threads}", "--grace=3", *queues)

    def _beat_command(self, _port: int) -> list[str]:
        return _datawald("beat")

    def _worker_environment(self) -> dict[str, str]:
        return self._service_environment() | {
            "DATAWALD_API_KEY": self.worker_key,
            "DATAWALD_MASTER_KEY": self.master_key,
        }


# --- commands ----------------------------------------------------------------------------------------------------------


def _python(module: str, *arguments: str) -> list[str]:
    """A module of this very installation, whatever PATH says."""
    return [sys.executable, "-m", module, *arguments]


def _utc_offset() -> float:
    """Hours that the company's zone is ahead of UTC now."""
    offset = datetime.now(ZoneInfo(SAP_ZONE)).utcoffset()
    return offset.total_seconds() / 3600 if offset else 0.0


def _datawald(*arguments: str) -> list[str]:
    return _python("datawald.cli.main", *arguments)


def _nx(folder: Path, port: int, pid_file: Path, log: Path) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    places = ["--data-dir", str(folder), "--pid-file", str(pid_file), "--log-file", str(log)]
    # not ``python -m nx_27017``: the package has no __main__
    return _python("nx_27017.nx_27017", *places, "--host", "127.0.0.1", "--port", str(port))


def _mongod(program: str, folder: Path, port: int) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    small = ["--wiredTigerCacheSizeGB", "0.25", "--nounixsocket"]
    return [program, "--dbpath", str(folder), "--bind_ip", "127.0.0.1", "--port", str(port), *small]


# --- whether they work -------------------------------------------------------------------------------------------------


def _answers(path: str) -> Any:
    """A check that asks an HTTP server."""

    def ready(running: Running) -> bool:
        with suppress(OSError, urllib.error.URLError, ValueError):
            with _opener.open(f"http://127.0.0.1:{running.port}{path}", timeout=2) as answer:
                return bool(answer.status == 200)
        return False

    return ready


def _printed(text: str) -> Any:
    """A check that reads the log, for programs that listen nowhere."""

    def ready(running: Running) -> bool:
        return any(text in line for line in running.printed(200))

    return ready


def _keeps_documents(running: Running) -> bool:
    """The store takes a document and gives it back."""
    uri = f"mongodb://127.0.0.1:{running.port}/?directConnection=true"
    mark = {"_id": socket.gethostname(), "pid": running.pid}
    with (
        suppress(PyMongoError),
        MongoClient[dict[str, Any]](uri, timeoutMS=3000, serverSelectionTimeoutMS=500) as client,
    ):
        probes = client["datawald_health"]["probes"]
        probes.delete_one({"_id": mark["_id"]})
        probes.insert_one(dict(mark))
        return probes.find_one({"_id": mark["_id"]}) == mark
    return False


# --- for other commands ------------------------------------------------------------------------------------------------


def write_environment(path: Path, variables: Mapping[str, str], title: str) -> None:
    """Writes a file to be read by ``source``. Only its owner may read it: it holds keys."""
    lines = [f"# {title}", *(f"export {name}={shlex.quote(value)}" for name, value in variables.items())]
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600, exist_ok=False)
    fresh.write_text("\n".join(lines) + "\n", encoding="utf-8")
    fresh.replace(path)


def read_environment(path: Path) -> dict[str, str]:
    """What :func:`write_environment` wrote; empty where there is no such file."""
    if not path.exists():
        return {}
    words = [shlex.split(line, comments=True) for line in path.read_text(encoding="utf-8").splitlines()]
    pairs = [line[1].partition("=") for line in words if len(line) == 2 and line[0] == "export"]
    return {name: value for name, _, value in pairs}


def open_local(request: urllib.request.Request) -> Any:
    """The answer of a server of ours, past any proxy. Raises urllib's errors."""
    return _opener.open(request, timeout=60)


def call_sandbox(url: str, method: str, path: str, body: object = None) -> Any:
    """A sandbox's control route; its JSON."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{url}{path}", data=data, method=method)  # noqa: S310 - our own, on 127.0.0.1
    request.add_header("content-type", "application/json")
    with open_local(request) as answer:
        return json.loads(answer.read() or b"null")
