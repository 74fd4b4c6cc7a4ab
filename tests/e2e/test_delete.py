"""`pynetes delete` in the worst moment: pods are on their way, and half of each is there."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Cluster, eventually


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    directory = Path(f"/tmp/pynetes-del-{os.getpid()}")
    directory.mkdir(mode=0o700)
    made = Cluster(
        f"del-{os.getpid()}",
        directory,
        {**os.environ, "PYNETES_STATE_DIR": str(directory), "KUBECONFIG": str(directory / "kubeconfig")},
    )
    try:
        made.pynetes("up", "--nodes", "2", "--upstream-dns", "none", timeout=180)
        yield made
    finally:
        made.pynetes("delete", timeout=180, ok=False)  # the test did, unless it failed before
        shutil.rmtree(directory)


def traces(cluster: Cluster) -> list[str]:
    """Processes, mounts, cgroups, network namespaces and links of the cluster."""
    mine = str(cluster.directory).encode()
    found = [f"process {file.parent.name}" for file in Path("/proc").glob("[0-9]*/cmdline") if mine in _bytes(file)]
    found += [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if mine.decode() in line]
    found += map(str, Path("/sys/fs/cgroup").glob(f"**/pynetes/{cluster.name}"))
    return found + [str(file) for file in Path("/run/netns").iterdir() if cluster.name in file.name]


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


def test_a_cluster_deleted_while_pods_start_leaves_nothing(cluster: Cluster) -> None:
    cluster.kubectl("create", "deployment", "many", "--image=127.0.0.1:1/none:1", "--replicas=24")
    eventually(lambda: any("/netns/cni-" in trace for trace in traces(cluster)), every=0.01)
    cluster.pynetes("delete", timeout=180)
    assert traces(cluster) == []
