"""The supervisor of local programs: ports in use, left-overs, signals, and services that die."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from datawald.cli import processes
from datawald.cli.services import Services, read_environment, write_environment
from datawald.cli.supervisor import FolderInUse, Running, Service, ServiceDied, Supervisor

LINUX_ONLY = pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties children to their parent")


def web(name: str = "web", port: int = 18_700) -> Service:
    """A small server."""

    def command(port: int) -> list[str]:
        return [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]

    def ready(running: Running) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{running.port}/", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    return Service(name, command, ready, port, begins_s=10)


def script(name: str, code: str, ready: str = "") -> Service:
    """A program of a few words, which works once it printed ``ready``."""
    return Service(
        name,
        lambda port: [sys.executable, "-u", "-c", code],
        lambda running: any(ready in line for line in running.printed()),
        begins_s=10,
        ends_s=1,
    )


def supervisor(folder: Path, *services: Service) -> Supervisor:
    return Supervisor(folder, {service.name: service for service in services})


@pytest.fixture
def holder() -> Iterator[socket.socket]:
    """Somebody else's server, on a port of its own."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock


def alive(pid: int) -> bool:
    return bool(processes.birth(pid))


def gone(pid: int, within_s: float = 5.0) -> bool:
    ends_at = time.monotonic() + within_s
    while time.monotonic() < ends_at:
        if not alive(pid):
            return True
        time.sleep(0.05)
    return False


# --- ports -------------------------------------------------------------------------------------------------------------


def test_a_port_in_use_is_left_to_its_holder(tmp_path: Path, holder: socket.socket) -> None:
    taken = holder.getsockname()[1]
    with supervisor(tmp_path, web(port=taken)) as services:
        services.start("web")
        assert services.port("web") > taken
    with socket.create_connection(("127.0.0.1", taken), 1):
        pass  # the holder still answers


def test_a_port_lost_between_choosing_and_taking_it_is_replaced(tmp_path: Path) -> None:
    thief = socket.socket()
    service = web(port=18_750)

    def command(port: int) -> list[str]:
        if thief.getsockname()[1] == 0:
            thief.bind(("127.0.0.1", port))
            thief.listen()
        return list(service.command(port))

    with thief, supervisor(tmp_path, Service("web", command, service.ready, 18_750, begins_s=10)) as services:
        services.start("web")
        assert services.port("web") != thief.getsockname()[1]


def test_the_answer_of_somebody_elses_server_is_not_taken_for_ours(tmp_path: Path) -> None:
    with supervisor(tmp_path / "one", web(port=18_760)) as one:
        one.start("web")
        with supervisor(tmp_path / "two", web(port=18_760)) as two:
            two.start("web")
            assert two.port("web") != one.port("web")
            assert processes.listens(two.running()[0].pid, two.port("web"))
            assert not processes.listens(two.running()[0].pid, one.port("web"))


# --- left-overs --------------------------------------------------------------------------------------------------------


def test_only_processes_of_the_killed_run_are_ended(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(sleep, start_new_session=True) as ours, subprocess.Popen(sleep) as stranger:
        notes = {
            "ours": {"pid": ours.pid, "born": processes.birth(ours.pid)},
            # its id was given to somebody else since
            "stranger": {"pid": stranger.pid, "born": "another boot/12345"},
            "gone": {"pid": 2**22 - 1, "born": "x"},
        }
        for name, note in notes.items():
            (tmp_path / f"run/{name}.json").write_text(json.dumps(note))
        (tmp_path / "run/torn.json").write_text('{"pid": ')
        with supervisor(tmp_path) as services:
            assert services.left_over == ["ours"]
            assert ours.wait(5) == -signal.SIGTERM
            assert stranger.poll() is None
            assert not list((tmp_path / "run").iterdir())
        stranger.kill()


def test_a_folder_serves_one_run_at_a_time(tmp_path: Path) -> None:
    with supervisor(tmp_path):
        with pytest.raises(FolderInUse, match=str(os.getpid())), supervisor(tmp_path):
            pass
    with supervisor(tmp_path):
        pass


KILLED = """
import sys, time
from pathlib import Path
from tests.demo.test_services import supervisor, web, script
sleeper = script("sleeper", "print('up'); import time; time.sleep(99)", "up")
with supervisor(Path(sys.argv[1]), web(port=18_770), sleeper) as services:
    services.start("web", "sleeper")
    print(*[running.pid for running in services.running()], flush=True)
    time.sleep(99)
"""


def begun(code: str, *arguments: str) -> tuple[subprocess.Popen[str], list[int]]:
    root = Path(__file__).parents[2]
    run = subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True, cwd=root)
    assert run.stdout is not None
    return run, [int(word) for word in run.stdout.readline().split()]


@LINUX_ONLY
def test_children_end_with_a_killed_parent(tmp_path: Path) -> None:
    run, pids = begun(KILLED, str(tmp_path))
    assert len(pids) == 2 and all(map(alive, pids))
    run.kill()
    run.wait()
    assert all(map(gone, pids))
    with supervisor(tmp_path, web(port=18_770)) as services:
        services.start("web")
        assert services.port("web") == 18_770


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 1), (signal.SIGTERM, 143)])
def test_a_signal_ends_everything(tmp_path: Path, number: int, status: int) -> None:
    run, pids = begun(KILLED, str(tmp_path))
    began = time.monotonic()
    run.send_signal(number)
    assert run.wait(10) in (status, -number)
    assert time.monotonic() - began < 5
    assert not any(map(alive, pids))
    assert not list((tmp_path / "run").iterdir())


# --- dying -------------------------------------------------------------------------------------------------------------


def test_a_service_that_does_not_begin_is_named_with_its_last_lines(tmp_path: Path) -> None:
    with supervisor(
        tmp_path, script("broken", "print('no such thing as luck'); raise SystemExit(3)", "up")
    ) as services:
        with pytest.raises(ServiceDied) as died:
            services.start("broken")
    assert died.value.status == 3
    assert "broken ended with status 3" in str(died.value)
    assert "no such thing as luck" in str(died.value)


def test_a_service_that_dies_later_is_noticed_and_can_begin_again(tmp_path: Path) -> None:
    with supervisor(tmp_path, web(port=18_780)) as services:
        services.start("web")
        services.check()
        port = services.port("web")
        os.kill(services.running()[0].pid, signal.SIGKILL)
        while services.runs("web"):
            time.sleep(0.02)
        with pytest.raises(ServiceDied, match="web ended with status -9"):
            services.check()
        services.forget("web")
        services.check()
        services.start("web")
        assert services.port("web") == port  # others know it by that


def test_one_that_does_not_want_to_end_is_made_to(tmp_path: Path) -> None:
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up'); time.sleep(99)"
    with supervisor(tmp_path, script("stubborn", stubborn, "up")) as services:
        services.start("stubborn")
        pid = services.running()[0].pid
        began = time.monotonic()
        services.stop("stubborn")
    assert not alive(pid) and time.monotonic() - began < 3


# --- the real thing ----------------------------------------------------------------------------------------------------


def test_store_and_api_are_killed_and_begin_again(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    # a stale pid file that names somebody who lives: the store alone would refuse to begin
    (tmp_path / "run/nx.pid").write_text(str(os.getpid()))
    # ports that no other run on this machine would like to have while ours are down
    ports = {"store": 30_000 + os.getpid() % 1000, "api": 31_000 + os.getpid() % 1000}
    with Services(tmp_path, ports=ports) as services:
        services.start("store")
        services.start("api")
        for name in ("api", "store"):
            port = services.port(name)
            services.kill(name)
            assert not services.runs(name)
            services.start(name)
            assert services.port(name) == port
        services.check()


def test_up_runs_until_ctrl_c(tmp_path: Path, holder: socket.socket) -> None:
    command = [sys.executable, "-m", "datawald.cli.main", "up", "--no-sandbox", "--dir", str(tmp_path), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        text = ""
        while not text.rstrip().endswith("\n}"):
            text += run.stdout.readline()
        told = json.loads(text)
        assert set(told["pids"]) == {"store", "api", "worker", "beat"}
        env = tmp_path / "env"
        assert env.stat().st_mode & 0o777 == 0o600
        assert read_environment(env)["DATAWALD_API_KEY"] == told["api_key"]
        run.send_signal(signal.SIGINT)
        assert run.wait(15) == 0
    assert not any(alive(pid) for pid in told["pids"].values())


def test_the_environment_file_survives_any_value(tmp_path: Path) -> None:
    variables = {"A": "plain", "B": 'it\'s $HOME; `x` "y"', "C": ""}
    write_environment(tmp_path / "env", variables, "a title")
    assert read_environment(tmp_path / "env") == variables
    shell = subprocess.run(
        ["sh", "-c", f'. {tmp_path / "env"}; printf \'%s|%s|%s\' "$A" "$B" "$C"'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shell.stdout.split("|") == list(variables.values())
