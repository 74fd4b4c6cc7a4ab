"""The process that keeps a cluster's components running.

It imports what the components need once, then forks each of them, so they start at once and share that memory. It
has no thread, no event loop and no gRPC channel, because all of those break in forked children: one `select` waits
for a child's death (a signal), for a request on the control socket, or for the end of a back-off. An idle cluster
never wakes it.

A unit is in one of four states, and only the functions below move it:

    STOPPED ──start──► RUNNING ──it dies──► BACKOFF ──delay over──► RUNNING
                          └──stop, kill──► STOPPING ──it dies──► STOPPED

Components die with the supervisor (the kernel tells them); containers do not, they belong to containerd's shims.
The control socket speaks one JSON object a line, see `control.py`.
"""

import ctypes
import enum
import importlib
import json
import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from pynetes.cluster import config, netns, units
from pynetes.cluster.preload import preload
from pynetes.cluster.units import Unit
from pynetes.machinery import clock, logs

log = logging.getLogger(__name__)

FIRST_DELAY, LONGEST_DELAY, STEADY_SECONDS = 0.1, 10.0, 60.0
STOP_SECONDS = 10.0
_SIGNALS = {"stop": signal.SIGTERM, "kill": signal.SIGKILL}
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_libc = ctypes.CDLL(None, use_errno=True)


class State(enum.Enum):
    """Where a unit is."""

    STOPPED = "stopped"
    RUNNING = "running"
    BACKOFF = "backoff"
    STOPPING = "stopping"


@dataclass
class Slot:
    """A unit and what became of it."""

    unit: Unit
    state: State = State.STOPPED
    pid: int = 0
    started: float = 0.0
    restarts: int = 0
    delay: float = FIRST_DELAY
    due: float | None = None
    waiting: list[socket.socket] = field(default_factory=list)


def die_with_parent(name: str) -> None:
    """In a child: ask for SIGTERM when the supervisor dies, and take a telling process name."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    _libc.prctl(_PR_SET_NAME, f"pyn-{name}".encode()[:15], 0, 0, 0)


class Supervisor:
    """Runs the units of one cluster until told to stop."""

    def __init__(self, cluster: config.Cluster) -> None:
        self.cluster = cluster
        self.slots = {unit.name: Slot(unit) for unit in units.all_units(cluster)}
        self._selector = selectors.DefaultSelector()
        self._leaving = False
        cluster.path("run").mkdir(exist_ok=True, mode=0o700)
        cluster.path("logs").mkdir(exist_ok=True, mode=0o700)

    # -- the loop ---------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Start everything, keep it running, return when everything has stopped."""
        self._listen_for_signals()
        self._listen_for_requests()
        for slot in self.slots.values():
            self._start(slot)
        while not (self._leaving and all(slot.state is State.STOPPED for slot in self.slots.values())):
            for key, _ in self._selector.select(self._seconds_until_due()):
                key.data(key.fileobj)
            self._act_on_due()
        self.cluster.path("run", "control.sock").unlink(missing_ok=True)

    def _seconds_until_due(self) -> float | None:
        dues = [slot.due for slot in self.slots.values() if slot.due is not None]
        return max(0.0, min(dues) - clock.monotonic()) if dues else None

    def _act_on_due(self) -> None:
        """Start what has waited long enough; kill what did not stop in time."""
        now = clock.monotonic()
        for slot in self.slots.values():
            if slot.due is None or slot.due > now:
                continue
            slot.due = None
            if slot.state is State.BACKOFF:
                self._start(slot)
            elif slot.state is State.STOPPING:
                log.warning("%s did not stop in %.0f s; killing it", slot.unit.name, STOP_SECONDS)
                os.kill(slot.pid, signal.SIGKILL)

    def _listen_for_signals(self) -> None:
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        self._selector.register(reader, selectors.EVENT_READ, self._on_signals)

    def _on_signals(self, reader: int) -> None:
        for number in os.read(reader, 4096):
            if number in (signal.SIGTERM, signal.SIGINT):
                self._leave()
        self._reap()

    def _leave(self) -> None:
        """Stop everything; `run` returns when all is down."""
        self._leaving = True
        for slot in self.slots.values():
            self._stop(slot)

    # -- units ------------------------------------------------------------------------------------------------------

    def _start(self, slot: Slot) -> None:
        if slot.state in (State.RUNNING, State.STOPPING):
            return
        try:
            slot.pid = self._spawn(slot.unit) if slot.unit.command else self._fork(slot.unit)
        except OSError as error:
            log.error("%s cannot start: %s", slot.unit.name, error)
            self._back_off(slot)
            return
        slot.state, slot.started, slot.due = State.RUNNING, clock.monotonic(), None
        self.cluster.path("run", f"{slot.unit.name}.pid").write_text(f"{slot.pid}\n")
        log.info("%s runs as %d", slot.unit.name, slot.pid)

    def _stop(self, slot: Slot, how: signal.Signals = signal.SIGTERM) -> None:
        if slot.state is State.BACKOFF:
            slot.state, slot.due = State.STOPPED, None
        elif slot.state is State.RUNNING or (slot.state is State.STOPPING and how is signal.SIGKILL):
            slot.state, slot.due = State.STOPPING, clock.monotonic() + STOP_SECONDS
            os.kill(slot.pid, how)

    def _back_off(self, slot: Slot) -> None:
        slot.state, slot.due = State.BACKOFF, clock.monotonic() + slot.delay
        slot.delay = min(slot.delay * 2, LONGEST_DELAY)

    def _reap(self) -> None:
        """Collect every child that has died."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            slot = next((s for s in self.slots.values() if s.pid == pid), None)
            if slot is not None:
                self._on_death(slot, os.waitstatus_to_exitcode(status))

    def _on_death(self, slot: Slot, code: int) -> None:
        slot.pid = 0
        self.cluster.path("run", f"{slot.unit.name}.pid").unlink(missing_ok=True)
        if slot.state is State.STOPPING:
            slot.state, slot.due = State.STOPPED, None
            log.info("%s stopped", slot.unit.name)
        else:
            if clock.monotonic() - slot.started > STEADY_SECONDS:
                slot.delay = FIRST_DELAY
            slot.restarts += 1
            log.warning("%s ended with %d; starting it again in %.1f s", slot.unit.name, code, slot.delay)
            self._back_off(slot)
        for connection in slot.waiting:
            self._reply(connection, self._describe(slot))
        slot.waiting.clear()

    def _spawn(self, unit: Unit) -> int:
        """Start a program; it writes to the unit's log file."""

        def prepare() -> None:
            if unit.netns:
                netns.enter_named(unit.netns)
                netns.take_hostname(unit.node)
            die_with_parent(unit.name)
            signal.pthread_sigmask(signal.SIG_SETMASK, [])

        with self.cluster.log(unit.name).open("ab") as output:
            process = subprocess.Popen(
                unit.command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, preexec_fn=prepare
            )
        process.returncode = 0  # this loop reaps by itself; Popen must not
        return process.pid

    def _fork(self, unit: Unit) -> int:
        """Fork a component from this process."""
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            self._become(unit)
            code = int(importlib.import_module(f"{unit.module}.main").main(unit.arguments) or 0)
        except SystemExit as leaving:
            code = leaving.code if isinstance(leaving.code, int) else 1
        except BaseException:  # noqa: BLE001 -- the child's last line of defence: say why, then end
            traceback.print_exc()
        finally:
            logging.shutdown()
            os._exit(code)

    def _become(self, unit: Unit) -> None:
        """In a fresh child: drop what is the supervisor's, and take on the unit's log, name and network."""
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
            else:
                os.close(key.fd)
        self._selector.close()
        die_with_parent(unit.name)
        file = self.cluster.log(unit.name)
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        os.close(descriptor)
        logs.setup(int(os.environ.get("PYNETES_VERBOSITY", "0")), file)
        if unit.netns:
            netns.enter_named(unit.netns)

    # -- requests on the control socket -----------------------------------------------------------------------------

    def _listen_for_requests(self) -> None:
        path = self.cluster.path("run", "control.sock")
        path.unlink(missing_ok=True)
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        server.bind(str(path))
        path.chmod(0o600)
        server.listen(8)
        self._selector.register(server, selectors.EVENT_READ, self._on_connection)

    def _on_connection(self, server: socket.socket) -> None:
        connection, _ = server.accept()
        self._selector.register(connection, selectors.EVENT_READ, self._on_request)

    def _on_request(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        connection.settimeout(1.0)
        try:
            request = json.loads(connection.recv(65536) or b"{}")
            verb, name = str(request.get("verb")), str(request.get("unit", ""))
        except (OSError, ValueError, AttributeError) as error:
            self._reply(connection, {"error": f"not a request: {error}"})
            return
        slot = self.slots.get(name)
        if verb == "list":
            self._reply(connection, {"units": [self._describe(s) for s in self.slots.values()]})
        elif slot is None:
            self._reply(connection, {"error": f"no unit named {name!r}"})
        elif verb == "start":
            self._stop_backing_off(slot)
            self._start(slot)
            self._reply(connection, self._describe(slot))
        elif verb in _SIGNALS:
            self._stop(slot, _SIGNALS[verb])
            if slot.state is State.STOPPING:
                slot.waiting.append(connection)
            else:
                self._reply(connection, self._describe(slot))
        else:
            self._reply(connection, {"error": f"unknown verb {verb!r}"})

    def _stop_backing_off(self, slot: Slot) -> None:
        if slot.state is State.BACKOFF:
            slot.state, slot.due, slot.delay = State.STOPPED, None, FIRST_DELAY

    @staticmethod
    def _describe(slot: Slot) -> dict[str, Any]:
        uptime = clock.monotonic() - slot.started if slot.state is State.RUNNING else 0.0
        return {
            "name": slot.unit.name,
            "node": slot.unit.node,
            "state": slot.state.value,
            "pid": slot.pid,
            "restarts": slot.restarts,
            "uptime": uptime,
        }

    @staticmethod
    def _reply(connection: socket.socket, answer: dict[str, Any]) -> None:
        try:
            connection.sendall(json.dumps(answer).encode() + b"\n")
        except OSError as error:
            log.info("a control client went away: %s", error)
        finally:
            connection.close()


def main(name: str) -> int:
    """Supervise the cluster called `name` until SIGTERM."""
    cluster = config.require(name)
    logs.setup(0, cluster.log("supervisor"))
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    preload(cluster)
    pid_file = cluster.path("run", "supervisor.pid")
    supervisor = Supervisor(cluster)
    pid_file.write_text(f"{os.getpid()}\n")
    try:
        supervisor.run()
    finally:
        pid_file.unlink(missing_ok=True)
    return 0


def _command(cluster: config.Cluster) -> list[str]:
    """How a supervisor is started; `control.supervisor_pid` recognizes it by this."""
    return [sys.executable, "-m", "pynetes.cluster.supervisor", cluster.name]


def become(cluster: config.Cluster) -> NoReturn:
    """Make this process the cluster's supervisor, in the foreground of whoever started it."""
    cluster.path("logs").mkdir(exist_ok=True, mode=0o700)
    sys.stdout.flush()
    os.execv(sys.executable, _command(cluster))


def launch(cluster: config.Cluster) -> int:
    """Start a supervisor that outlives this process; returns its pid."""
    cluster.path("logs").mkdir(exist_ok=True, mode=0o700)
    output = Path(cluster.log("supervisor"))
    with output.open("ab") as log_file:
        process = subprocess.Popen(
            _command(cluster),
            stdin=subprocess.DEVNULL,
            stdout=log_file,
            stderr=log_file,
            start_new_session=True,
            cwd="/",
        )
    return process.pid


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
