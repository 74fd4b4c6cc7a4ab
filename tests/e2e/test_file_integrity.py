"""The file-integrity sidecar (examples/hello-server): a changed page ends the app, which returns with the original."""

import shutil
import subprocess
import urllib.request
from pathlib import Path

from tests.e2e.conftest import ROOT, Cluster, eventually

EXAMPLE = ROOT / "examples" / "hello-server"
PAGE = "Hello, world!\n"


def fetch(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/", timeout=5) as answer:
        return str(answer.read().decode())


def try_fetch(address: str) -> str:
    try:
        return fetch(address)
    except OSError as error:
        return f"no answer: {error}"


def restarts(cluster: Cluster) -> dict[str, int]:
    statuses = cluster.get("pod", "hello-server")["status"]["containerStatuses"]
    return {status["name"]: status["restartCount"] for status in statuses}


def test_a_changed_page_is_noticed_and_the_original_served_again(cluster: Cluster, tmp_path: Path) -> None:
    for file in ("Dockerfile.server", "Dockerfile.fim", "index.html", "fim"):
        shutil.copy(EXAMPLE / file, tmp_path)
    shutil.copy("/bin/busybox", tmp_path)
    for image, file in (("hello-server", "Dockerfile.server"), ("fim", "Dockerfile.fim")):
        cluster.pynetes("image", "build", "-t", f"pynetes.local/{image}:v1", "-f", str(tmp_path / file), str(tmp_path))
    for manifest in ("hello_server_pod.yaml", "hello_load_balancer_service.yaml"):
        cluster.kubectl("apply", "-f", str(EXAMPLE / manifest))
    cluster.wait("condition=Ready", "pod/hello-server")
    address = eventually(
        lambda: cluster.kubectl("get", "service", "hello-server", "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}")
    )
    eventually(lambda: try_fetch(address) == PAGE)

    change = "echo hacked > /www/index.html"
    cluster.kubectl("exec", "hello-server", "-c", "hello-server", "--", "/bin/busybox", "sh", "-c", change)

    eventually(lambda: restarts(cluster)["hello-server"] == 1, seconds=60)
    cluster.wait("condition=Ready", "pod/hello-server")
    eventually(lambda: try_fetch(address) == PAGE)
    assert restarts(cluster) == {"hello-server": 1, "fim": 0}


def test_the_sidecar_has_only_the_capabilities_it_names(cluster: Cluster) -> None:
    cluster.kubectl("apply", "-f", str(EXAMPLE / "hello_server_pod.yaml"))
    cluster.wait("condition=Ready", "pod/hello-server")
    status = cluster.kubectl("exec", "hello-server", "-c", "fim", "--", "/bin/busybox", "cat", "/proc/self/status")
    effective = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff"))
    dac_read_search, kill, ptrace = 1 << 2, 1 << 5, 1 << 19
    assert int(effective, 16) == dac_read_search | kill | ptrace
    # Both containers' processes are seen from either.
    seen = cluster.kubectl("exec", "hello-server", "-c", "fim", "--", "/bin/busybox", "ps")
    assert "httpd" in seen and subprocess.list2cmdline(["tail"]) in seen
