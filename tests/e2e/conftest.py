"""End-to-end tests: a real cluster with real containers, driven by real kubectl.

One cluster serves the whole session; each test gets a namespace of its own, which is deleted after it. State lives in
a temporary directory, kubeconfig included, and everything is removed at the end, whatever happened. Images are made
from the machine's own BusyBox, so nothing is pulled.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pynetes.cluster import oci

ROOT = Path(__file__).parents[2]
PYNETES = [sys.executable, "-m", "pynetes"]
BUSYBOX = "pynetes.test/busybox:1"


class Failed(AssertionError):
    """A command failed; says which, and what it printed."""


def run(
    *command: str, env: dict[str, str] | None = None, stdin: str = "", timeout: float = 120, ok: bool = True
) -> str:
    """Run a command; returns what it printed on standard output."""
    done = subprocess.run(command, env=env, input=stdin, capture_output=True, text=True, timeout=timeout, check=False)
    if ok and done.returncode != 0:
        raise Failed(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout if ok else done.stdout + done.stderr


def eventually(check: Any, seconds: float = 30, every: float = 0.1) -> Any:
    """Call `check` until it returns something true (which is returned); an AssertionError counts as not yet."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if result := check():
                return result
            problem = f"still {result!r}"
        except AssertionError as error:
            problem = str(error)
        if time.monotonic() > deadline:
            raise Failed(f"not within {seconds} s: {problem}")
        time.sleep(every)


@dataclass
class Cluster:
    """A running cluster and the ways to speak to it."""

    name: str
    directory: Path
    environment: dict[str, str]
    kubectl_binary: str = "kubectl"
    namespace: str = "default"
    made: list[str] = field(default_factory=list)

    def pynetes(self, *arguments: str, **more: Any) -> str:
        return run(*PYNETES, *arguments, "--name", self.name, env=self.environment, **more)

    def kubectl(self, *arguments: str, **more: Any) -> str:
        return run(self.kubectl_binary, "-n", self.namespace, *arguments, env=self.environment, **more)

    def get(self, *arguments: str) -> Any:
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def apply(self, *objects: dict[str, Any]) -> None:
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(listed))

    def popen(self, *arguments: str, **more: Any) -> "subprocess.Popen[bytes]":
        command = [self.kubectl_binary, "-n", self.namespace, *arguments]
        return subprocess.Popen(command, env=self.environment, **more)

    def wait(self, condition: str, *what: str, seconds: int = 60) -> None:
        self.kubectl("wait", f"--for={condition}", *what, f"--timeout={seconds}s", timeout=seconds + 30)

    def pid(self, component: str) -> int:
        """The component's process, or 0 while it has none."""
        file = self.directory / self.name / "run" / f"{component}.pid"
        return int(file.read_text()) if file.exists() else 0

    def diagnose(self) -> str:
        parts = [self.kubectl("get", "pods,events", "-o", "wide", ok=False)]
        logs = sorted(self.directory.joinpath(self.name, "logs").glob("*.log"))
        parts += [f"--- {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-25:]) for log in logs]
        return "\n".join(parts)


def busybox_image(archive: Path, name: str = BUSYBOX) -> Path:
    """An image with BusyBox and links for all its commands."""
    files: dict[str, oci.File] = {"/bin/busybox": oci.File(Path("/bin/busybox"), mode=0o755)}
    for applet in run("/bin/busybox", "--list").split():
        if applet != "busybox":
            files[f"/bin/{applet}"] = oci.File(link="/bin/busybox")
    files["/etc/passwd"] = oci.File(b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n")
    files["/etc/group"] = oci.File(b"root:x:0:\nnobody:x:65534:\n")
    files["/tmp"] = oci.File(directory=True, mode=0o1777)
    files["/root"] = oci.File(directory=True, mode=0o700)
    oci.write_image(archive, name, files, oci.ImageConfig(command=["/bin/sh"], env={"PATH": "/bin"}))
    return archive


@pytest.fixture(scope="session")
def session_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if os.geteuid() != 0:
        pytest.fail("end-to-end tests start real nodes and need root")
    # Short: a socket's path has at most 107 characters.
    directory = Path(f"/tmp/pynetes-e2e-{os.getpid()}")
    directory.mkdir(mode=0o700)
    environment = {
        **os.environ,
        "PYNETES_STATE_DIR": str(directory),
        "KUBECONFIG": str(directory / "kubeconfig"),
        "HOME": str(directory),
    }
    # A cluster's name is the whole machine's, so two sessions at once need two.
    cluster = Cluster(f"e2e-{os.getpid()}", directory, environment)
    try:
        cluster.pynetes("up", "--upstream-dns", "none", timeout=180)
        archive = busybox_image(tmp_path_factory.mktemp("images") / "busybox.tar")
        cluster.pynetes("image", "load", str(archive))
        yield cluster
    finally:
        cluster.pynetes("delete", timeout=180)
        shutil.rmtree(directory)


_serial = iter(range(10**6))


@pytest.fixture
def cluster(session_cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The session's cluster, in a namespace of the test's own."""
    namespace = f"test-{next(_serial)}"
    mine = Cluster(session_cluster.name, session_cluster.directory, session_cluster.environment, namespace=namespace)
    mine.kubectl("create", "namespace", namespace)
    eventually(lambda: mine.kubectl("get", "serviceaccount", "default", ok=False).startswith("NAME"))
    yield mine
    mine.kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Show the cluster's state beside a failure."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]  # pluggy's result
    found = item.funcargs.get("cluster") if isinstance(item, pytest.Function) else None
    if report.when == "call" and report.failed and isinstance(found, Cluster):
        report.sections.append(("cluster", found.diagnose()))


def kubectls() -> list[str]:
    """Every kubectl to test with: the machine's, and those of other versions that lie beside it."""
    found = [path for name in ("kubectl",) if (path := shutil.which(name))]
    old = ROOT / ".venv" / "kubectl-debian" / "usr" / "bin" / "kubectl"
    return [*found, *([str(old)] if old.exists() else [])]


@pytest.fixture(
    params=kubectls(), ids=lambda path: run(path, "version", "--client", "-o", "json", ok=True) and Path(path).parts[-4]
)
def any_kubectl(cluster: Cluster, request: pytest.FixtureRequest) -> Cluster:
    """The cluster through each kubectl."""
    cluster.kubectl_binary = request.param
    return cluster


@pytest.fixture
def k(any_kubectl: Cluster) -> Cluster:
    """The same, by the short name that tests of kubectl use on every line."""
    return any_kubectl


def container(name: str = "c", command: str = "sleep 3600", **more: Any) -> dict[str, Any]:
    return {"name": name, "image": BUSYBOX, "command": ["/bin/sh", "-c", command], **more}


def pod(name: str, *containers: dict[str, Any], labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels or {"app": name}},
        "spec": {"containers": list(containers) or [container()], "terminationGracePeriodSeconds": 0, **spec},
    }
