"""Speaking to a cluster's supervisor: is it there, what runs, start and stop one unit, stop everything.

One JSON object a line over a Unix socket that only the cluster's owner may open:
`{"verb": "list"}`, `{"verb": "start"|"stop"|"kill", "unit": "kubelet-node-1"}`. A `stop` is answered when it has
stopped; a `kill` is one that does not ask.
"""

import contextlib
import json
import os
import signal
import socket
from typing import Any

from pynetes.cluster.config import Cluster, ClusterError
from pynetes.machinery import clock

REQUEST_SECONDS = 20.0
STOP_SECONDS = 40.0


def supervisor_pid(cluster: Cluster) -> int | None:
    """The pid of the running supervisor, or None."""
    try:
        pid = int(cluster.path("run", "supervisor.pid").read_text())
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            arguments = file.read().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return None
    ours = b"pynetes.cluster.supervisor" in arguments and cluster.name.encode() in arguments
    return pid if ours else None


def request(cluster: Cluster, verb: str, unit: str = "") -> dict[str, Any]:
    """Send one request and return its answer; raises ClusterError if it is refused or nobody answers."""
    path = cluster.path("run", "control.sock")
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as connection:
        connection.settimeout(REQUEST_SECONDS)
        try:
            connection.connect(str(path))
            connection.sendall(json.dumps({"verb": verb, "unit": unit}).encode() + b"\n")
            answer = json.loads(connection.makefile("rb").readline() or b"{}")
        except (OSError, ValueError) as error:
            raise ClusterError(f"the supervisor of {cluster.name!r} does not answer: {error}") from error
    if "error" in answer:
        raise ClusterError(answer["error"])
    return dict(answer)


def units(cluster: Cluster) -> list[dict[str, Any]]:
    """What runs: name, node, state, pid, restarts and uptime in seconds of each unit; empty if nothing does."""
    return list(request(cluster, "list")["units"]) if supervisor_pid(cluster) else []


def stop_all(cluster: Cluster) -> None:
    """End the supervisor and with it every component; returns when they are gone."""
    pid = supervisor_pid(cluster)
    if pid is None:
        return
    os.kill(pid, signal.SIGTERM)
    deadline = clock.monotonic() + STOP_SECONDS
    while supervisor_pid(cluster) is not None:
        if clock.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            raise ClusterError(f"the supervisor ({pid}) did not stop in {STOP_SECONDS:.0f} s and was killed")
        clock.pause(0.02)
