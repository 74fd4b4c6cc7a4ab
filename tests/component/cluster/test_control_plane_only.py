"""A control plane without nodes, from `up` to `delete`: no root, no containerd, nothing left behind."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from pynetes.kubelet.cgroups import Cgroups

ROOT = Path(__file__).parents[3]
NOBODY = 65534

Run = subprocess.CompletedProcess[str]
Pynetes = Callable[..., Run]


@pytest.fixture
def home() -> Iterator[Path]:
    """A short path (sockets lie below it) that the unprivileged user owns."""
    path = Path(tempfile.mkdtemp(prefix="pynetes-cp-", dir="/tmp"))
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def pynetes(home: Path) -> Iterator[Pynetes]:
    """Runs pynetes as a user without rights, who finds no system program but Python's own."""
    environment = {"HOME": str(home), "PATH": "/nonexistent", "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    dropped = ["--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups", "--bounding-set=-all"]
    unprivileged = ["/usr/bin/setpriv", *dropped] if os.geteuid() == 0 else []

    def run(*arguments: str) -> Run:
        command = [*unprivileged, sys.executable, "-m", "pynetes", *arguments]
        return subprocess.run(
            command, env=environment, cwd="/", capture_output=True, text=True, check=False, timeout=120
        )

    yield run
    run("delete")


def succeeded(done: Run) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def runs(pid: int) -> bool:
    """Whether a process runs; one that ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_an_unprivileged_user_runs_a_control_plane(pynetes: Pynetes, home: Path) -> None:
    assert "API server ready at https://127.0.0.1:" in succeeded(pynetes("up", "--control-plane-only"))
    config = home / ".kube" / "config"
    assert yaml.safe_load(config.read_text())["current-context"] == "pynetes-default"
    state = home / ".local" / "share" / "pynetes" / "default"
    assert state.is_dir()

    rows = {line.split()[0]: line.split()[1] for line in succeeded(pynetes("status")).splitlines()[1:5]}
    assert rows == dict.fromkeys(("supervisor", "apiserver", "controller-manager", "scheduler"), "running")

    def kubectl(*arguments: str) -> str:
        command = ["kubectl", "--kubeconfig", str(config), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ}).stdout

    kubectl("create", "deployment", "web", "--image=none.test/web")
    deadline = time.monotonic() + 20
    while not (pods := json.loads(kubectl("get", "pods", "-o", "json"))["items"]):
        assert time.monotonic() < deadline, "the controllers made no pod"
        time.sleep(0.05)
    assert pods[0]["status"]["phase"] == "Pending"

    pids = [int(file.read_text()) for file in (state / "run").glob("*.pid")]
    assert len(pids) == 4
    succeeded(pynetes("up", "--control-plane-only"))
    assert sorted(pids) == sorted(int(file.read_text()) for file in (state / "run").glob("*.pid"))

    succeeded(pynetes("down"))
    assert not any(runs(pid) for pid in pids)
    assert pynetes("status").returncode == 1
    succeeded(pynetes("up"))
    assert "web" in kubectl("get", "deployments")

    succeeded(pynetes("delete"))
    assert not state.exists()
    assert yaml.safe_load(config.read_text())["contexts"] == []


def test_nodes_without_rights_are_refused_with_the_way_out(pynetes: Pynetes, home: Path) -> None:
    done = pynetes("up")
    assert done.returncode == 1
    assert "nodes need root; as another user: pynetes up --control-plane-only" in done.stderr
    assert not (home / ".local").exists()


def test_an_api_server_that_cannot_start_is_told_at_once(pynetes: Pynetes, home: Path) -> None:
    succeeded(pynetes("up", "--control-plane-only"))
    succeeded(pynetes("down"))
    store = home / ".local" / "share" / "pynetes" / "default" / "store.db"
    store.unlink()
    store.mkdir()
    began = time.monotonic()
    done = pynetes("up")
    assert done.returncode == 1
    assert time.monotonic() - began < 30
    assert done.stderr.splitlines()[-1].startswith("pynetes: the API server cannot start: ")
    assert done.stderr.endswith("see: pynetes logs apiserver\n")


@pytest.mark.skipif(not os.access("/sys/fs/cgroup", os.W_OK) or os.geteuid() != 0, reason="cannot make cgroups here")
def test_a_namesake_of_another_user_keeps_its_cgroups(pynetes: Pynetes) -> None:
    theirs = Cgroups("/pynetes/namesake")
    theirs.set_up()
    try:
        succeeded(pynetes("up", "--control-plane-only", "--name", "namesake"))
        succeeded(pynetes("down", "--name", "namesake"))
        succeeded(pynetes("delete", "--name", "namesake"))
        assert theirs.file("memory", "/pynetes/namesake/kubepods/besteffort", "cgroup.procs").exists()
    finally:
        asyncio.run(theirs.remove_all())
