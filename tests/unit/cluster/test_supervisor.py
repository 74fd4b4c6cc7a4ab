"""The supervisor with real children: what dies comes back, what is stopped stays down, and nothing is left behind."""

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pynetes.cluster import control
from pynetes.cluster.config import Cluster, ClusterError

# A supervisor of the units given as JSON; its command line is that of the real one as far as `control` looks at it.
PROGRAM = """
import json, sys
from pynetes.cluster import config, supervisor
from pynetes.cluster.units import Unit
from pynetes.machinery import logs
_, module, name, units = sys.argv
cluster = config.require(name)
logs.setup(0, cluster.log("supervisor"))
supervisor.STOP_SECONDS = 0.5
it = supervisor.Supervisor(cluster)
it.slots = {unit["name"]: supervisor.Slot(Unit(**unit)) for unit in json.loads(units)}
cluster.path("run", "supervisor.pid").write_text(str(__import__("os").getpid()))
it.run()
cluster.path("run", "supervisor.pid").unlink()
"""


def until(check: Callable[[], Any], seconds: float = 10) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
    return found


@pytest.fixture
def start(cluster: Cluster) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts a supervisor over programs: name → command line."""
    started: list[subprocess.Popen[bytes]] = []

    def runs() -> bool:
        with contextlib.suppress(ClusterError):  # it does not listen yet
            return all(found["state"] != "stopped" for found in control.units(cluster))
        return False

    def go(**commands: list[str]) -> subprocess.Popen[bytes]:
        cluster.path("logs").mkdir(exist_ok=True)
        units = [{"name": name, "command": command} for name, command in commands.items()]
        command = [sys.executable, "-c", PROGRAM, "pynetes.cluster.supervisor", cluster.name, json.dumps(units)]
        started.append(subprocess.Popen(command))
        until(lambda: control.supervisor_pid(cluster) and runs())
        return started[-1]

    yield go
    for process in started:
        process.kill()
        process.wait()


def unit(cluster: Cluster, name: str) -> dict[str, Any]:
    return next(found for found in control.units(cluster) if found["name"] == name)


def alive(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


SLEEP = ["sleep", "1000"]
STUBBORN = ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done"]


def test_it_starts_its_units_and_says_what_runs(cluster: Cluster, start: Any) -> None:
    start(a=SLEEP, b=SLEEP)
    a, b = control.units(cluster)
    assert (a["name"], a["state"], a["restarts"]) == ("a", "running", 0)
    assert alive(a["pid"]) and alive(b["pid"])
    assert cluster.path("run", "a.pid").read_text() == f"{a['pid']}\n"


def test_what_is_killed_comes_back(cluster: Cluster, start: Any) -> None:
    start(a=SLEEP, b=SLEEP)
    first, other = unit(cluster, "a")["pid"], unit(cluster, "b")["pid"]
    os.kill(first, signal.SIGKILL)
    again = until(lambda: unit(cluster, "a")["pid"] not in (0, first) and unit(cluster, "a"))
    assert (again["state"], again["restarts"]) == ("running", 1)
    assert unit(cluster, "b")["pid"] == other


def test_what_keeps_dying_is_started_ever_more_slowly(cluster: Cluster, start: Any) -> None:
    start(a=["sh", "-c", "date +%s.%N; exit 3"], z=SLEEP)
    log = cluster.log("a")
    until(lambda: len(log.read_text().split()) >= 4)
    times = [float(line) for line in log.read_text().split()]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert gaps[0] >= 0.1 and gaps[1] >= 0.2 and gaps[2] >= 0.4
    assert unit(cluster, "a")["state"] in ("backoff", "running")


def test_stopped_stays_down_until_started(cluster: Cluster, start: Any) -> None:
    start(a=SLEEP)
    pid = unit(cluster, "a")["pid"]
    answer = control.request(cluster, "stop", "a")
    assert (answer["state"], answer["pid"]) == ("stopped", 0)
    assert not alive(pid)
    time.sleep(0.3)
    assert unit(cluster, "a")["state"] == "stopped"
    assert control.request(cluster, "start", "a")["state"] == "running"
    assert control.request(cluster, "start", "a")["pid"] == unit(cluster, "a")["pid"]


def test_what_does_not_stop_is_killed(cluster: Cluster, start: Any) -> None:
    start(a=STUBBORN)
    until(lambda: "up" in cluster.log("a").read_text())
    began = time.monotonic()
    assert control.request(cluster, "stop", "a")["state"] == "stopped"
    assert 0.4 < time.monotonic() - began < 5


def test_a_kill_does_not_ask_and_is_final(cluster: Cluster, start: Any) -> None:
    start(a=["sh", "-c", "trap 'echo bye; exit' TERM; echo up; while :; do sleep 0.1; done"])
    until(lambda: "up" in cluster.log("a").read_text())
    answer = control.request(cluster, "kill", "a")
    assert (answer["state"], answer["pid"], answer["restarts"]) == ("stopped", 0, 0)
    assert "bye" not in cluster.log("a").read_text()
    time.sleep(0.3)
    assert unit(cluster, "a")["state"] == "stopped"
    assert control.request(cluster, "kill", "a")["state"] == "stopped"
    assert control.request(cluster, "start", "a")["state"] == "running"


def test_stopping_what_backs_off_ends_the_retries(cluster: Cluster, start: Any) -> None:
    start(a=["false"], z=SLEEP)
    until(lambda: unit(cluster, "a")["state"] == "backoff")
    assert control.request(cluster, "stop", "a")["state"] == "stopped"
    restarts = unit(cluster, "a")["restarts"]
    time.sleep(0.5)
    assert unit(cluster, "a")["restarts"] == restarts


def test_a_program_that_does_not_exist_backs_off(cluster: Cluster, start: Any) -> None:
    start(a=["/no/such/program"], z=SLEEP)
    assert unit(cluster, "a")["state"] == "backoff"
    assert "/no/such/program" in cluster.log("supervisor").read_text()


def test_the_end_of_the_supervisor_is_the_end_of_all(cluster: Cluster, start: Any) -> None:
    process = start(a=SLEEP, b=STUBBORN, c=["false"])
    pids = [found["pid"] for found in control.units(cluster)]
    process.terminate()
    assert process.wait(timeout=10) == 0
    assert not any(alive(pid) for pid in pids if pid)
    assert control.supervisor_pid(cluster) is None
    assert control.units(cluster) == []
    assert not cluster.path("run", "control.sock").exists()


def test_children_die_with_a_killed_supervisor(cluster: Cluster, start: Any) -> None:
    process = start(a=SLEEP)
    pid = unit(cluster, "a")["pid"]
    process.kill()
    process.wait()
    until(lambda: not alive(pid))
    with pytest.raises(ClusterError, match="does not answer"):
        control.request(cluster, "list")


def test_stop_all_waits_for_the_end(cluster: Cluster, start: Any) -> None:
    process = start(a=SLEEP)
    pid = unit(cluster, "a")["pid"]
    assert control.supervisor_pid(cluster) == process.pid
    control.stop_all(cluster)
    assert not alive(pid)
    control.stop_all(cluster)


def test_the_socket_is_the_owners_alone(cluster: Cluster, start: Any) -> None:
    start(a=SLEEP)
    assert cluster.path("run", "control.sock").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"nonsense\n", "not a request"),
        (b"[]\n", "not a request"),
        (b"7\n", "not a request"),
        (b"\xff\xff\n", "not a request"),
        (b'{"verb": "start", "unit": "none"}\n', "no unit named 'none'"),
        (b'{"verb": "explode", "unit": "a"}\n', "unknown verb 'explode'"),
        (b'{"verb": ["start"], "unit": ["a"]}\n', "no unit named"),
    ],
)
def test_senseless_requests_are_refused_and_do_no_harm(cluster: Cluster, start: Any, sent: bytes, answer: str) -> None:
    start(a=SLEEP)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(cluster.path("run", "control.sock")))
        connection.sendall(sent)
        assert answer in json.loads(connection.makefile("rb").readline())["error"]
    assert unit(cluster, "a")["state"] == "running"


def test_a_client_that_says_nothing_stops_nobody_for_long(cluster: Cluster, start: Any) -> None:
    start(a=SLEEP)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(cluster.path("run", "control.sock")))
        assert unit(cluster, "a")["state"] == "running"


def test_a_pid_file_left_by_a_crash_names_nobody(cluster: Cluster) -> None:
    cluster.path("run").mkdir()
    cluster.path("run", "supervisor.pid").write_text(str(os.getpid()))
    assert control.supervisor_pid(cluster) is None
    cluster.path("run", "supervisor.pid").write_text("nonsense")
    assert control.supervisor_pid(cluster) is None
