"""A RabbitMQ of a test's own: another node beside whatever RabbitMQ the machine runs, and nothing shared with it.

Its own are: the node's name, the ports on 127.0.0.1, the port mapper (epmd), the cookie, and every folder and file.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from kombu import Connection

#: Where Debian's and Ubuntu's package keeps the programs. Those in ``/usr/sbin`` insist on the system's user and folders.
PROGRAMS = Path("/usr/lib/rabbitmq/bin")
INSTALL = "apt install rabbitmq-server"
#: What a user of DataWald's may make, write to and read: its queues, and exchanges of the same names. Bells are published
#: to the default exchange. As docs/howto/rabbitmq.md says.
CONFIGURE = r"^(core|[^.]+\.[^.]+)$"
WRITE = r"^(core|[^.]+\.[^.]+|amq\.default)$"
READ = CONFIGURE
VHOST = "datawald"
#: A node takes 5 s on two idle cores.
BEGINS_S = 60.0


class RabbitMQ:
    """One node. ``url`` is its broker URL; it keeps it when it is killed and begun again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.tls_port, self._dist_port, self._epmd_port, ctl_port = _free_ports(5)
        self.user, self.password = "datawald", secrets.token_hex(8)
        self.node = f"datawald-{os.getpid()}-{secrets.token_hex(3)}@localhost"
        for name in ("home", "data", "log"):
            (folder / name).mkdir(parents=True)
        self._environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            # Erlang reads the cookie from here
            "HOME": str(folder / "home"),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_FLAGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_CTL_DIST_PORT_MIN": str(ctl_port),
            "RABBITMQ_CTL_DIST_PORT_MAX": str(ctl_port),
            # an empty file of ours: else the machine's /etc/rabbitmq/rabbitmq-env.conf is read
            "RABBITMQ_CONF_ENV_FILE": str(folder / "env.conf"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            # begun in the foreground, in place of the script: so the process we hold is the node itself
            "RUNNING_UNDER_SYSTEMD": "true",
        }
        (folder / "env.conf").touch()
        (folder / "enabled_plugins").write_text("[].\n")
        (folder / "advanced.config").write_text("[].\n")
        cookie = folder / "home/.erlang.cookie"
        cookie.write_text(secrets.token_hex(16))
        cookie.chmod(0o400)
        #: Who connects by TLS has to trust this. It is for 127.0.0.1.
        self.certificate = folder / "certificate.pem"
        _certify(self.certificate, folder / "key.pem")
        settings = {
            "listeners.tcp.1": f"127.0.0.1:{self.port}",
            # two addresses, so that a test has a name that the certificate lacks
            "listeners.ssl.1": f"127.0.0.1:{self.tls_port}",
            "listeners.ssl.2": f"127.0.0.2:{self.tls_port}",
            "ssl_options.certfile": str(self.certificate),
            "ssl_options.keyfile": str(folder / "key.pem"),
            "default_vhost": VHOST,
            "default_user": self.user,
            "default_pass": self.password,
            "default_user_tags.administrator": "false",
            "default_permissions.configure": CONFIGURE,
            "default_permissions.write": WRITE,
            "default_permissions.read": READ,
            "log.file.level": "info",
            # a full disk of the machine is not what is tested
            "disk_free_limit.absolute": "10MB",
        }
        lines = [f"{name} = {value}\n" for name, value in settings.items()]
        (folder / "rabbitmq.conf").write_text("".join(lines))
        self._epmd: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"amqp://{self.user}:{self.password}@127.0.0.1:{self.port}/{VHOST}"

    def start(self) -> None:
        """Begins the node and returns when it takes connections."""
        self.begin()
        self.wait_ready()

    def begin(self) -> None:
        """Begins the node without waiting for it."""
        if self._epmd is None:
            self._epmd = self._run("epmd", "-port", str(self._epmd_port), "-address", "127.0.0.1")
        self._server = self._run(str(PROGRAMS / "rabbitmq-server"))

    def wait_ready(self) -> None:
        assert self._server
        ends_at = time.monotonic() + BEGINS_S
        while True:
            with suppress(OSError), Connection(self.url, connect_timeout=2) as connection:
                connection.ensure_connection(max_retries=0, reraise_as_library_errors=False)
                return
            if self._server.poll() is not None or time.monotonic() > ends_at:
                said = (self.folder / "output").read_text(errors="replace")[-3000:]
                raise AssertionError(f"RabbitMQ did not begin (status {self._server.poll()}): {said}")
            time.sleep(0.1)

    def _run(self, *command: str) -> subprocess.Popen[bytes]:
        with (self.folder / "output").open("ab") as output:
            return subprocess.Popen(
                command,
                env=self._environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def ctl(self, *arguments: str) -> str:
        """What ``rabbitmqctl`` prints."""
        command = [str(PROGRAMS / "rabbitmqctl"), "--quiet", *arguments]
        ended = subprocess.run(
            command, env=self._environment, cwd=self.folder, capture_output=True, text=True, timeout=30
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def queues(self, *columns: str) -> dict[str, list[str]]:
        """Each queue by its name, with these columns of ``rabbitmqctl list_queues``."""
        table = self.ctl("list_queues", "-p", VHOST, "--no-table-headers", "name", *columns)
        return {row[0]: row[1:] for row in (line.split("\t") for line in table.splitlines())}

    def signal(self, number: int) -> None:
        """SIGSTOP makes it deaf with its connections open, SIGCONT lets it go on."""
        assert self._server
        self._server.send_signal(number)

    def kill(self) -> None:
        """Ends it as a power cut does, and all it began with it."""
        if self._server is not None:
            _kill(self._server)
            self._server = None

    def close(self) -> None:
        self.kill()
        if self._epmd is not None:
            _kill(self._epmd)
            self._epmd = None


def _certify(certificate: Path, key: Path) -> None:
    """A certificate for 127.0.0.1 that is its own authority."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a RabbitMQ of a test")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(signed.public_bytes(Encoding.PEM))
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _kill(process: subprocess.Popen[bytes]) -> None:
    # a session of its own, so its group holds it and its helpers and nobody else
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def installed() -> bool:
    return (PROGRAMS / "rabbitmq-server").exists() and shutil.which("epmd") is not None


def require() -> None:
    """Returns where RabbitMQ is installed, having installed it where we may; else skips, which CI never does."""
    if installed():
        return
    why = f"RabbitMQ is not installed, so nothing here was tested. Install it: {INSTALL}"
    if os.geteuid() == 0 and shutil.which("apt-get"):
        _install()
        if installed():
            return
        why = f"RabbitMQ could not be installed, so nothing here was tested. See what this says: {INSTALL}"
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


def _install() -> None:
    """Installs the package without starting the system's node."""
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        # Debian's package scripts ask this program whether they may start services; 101 is no
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        for command in (["update"], ["install", "--yes", "--no-install-recommends", "rabbitmq-server"]):
            subprocess.run(["apt-get", "-q", *command], env=environment, timeout=300, check=False)
    finally:
        if ours:
            policy.unlink()
