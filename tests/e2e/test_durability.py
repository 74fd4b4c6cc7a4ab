"""What was acknowledged survives `kill -9`, watches go on where they were, and containers run on."""

import asyncio
import os
import signal
from typing import Any

from pynetes.client.client import Client, Unreachable
from pynetes.machinery.errors import StatusError
from tests.e2e.conftest import Cluster, eventually, pod

OBJECTS = 1000
WRITERS = 16


def admin(cluster: Cluster) -> Client:
    return Client.from_kubeconfig(str(cluster.directory / cluster.name / "kubeconfig" / "admin.conf"))


def config_map(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"of": name}}


class Follower:
    """Watches ConfigMaps from one revision on, across broken connections, and notes every event."""

    def __init__(self, client: Client, namespace: str, revision: str) -> None:
        self.client, self.namespace, self.revision = client, namespace, revision
        self.seen: list[str] = []

    async def run(self) -> None:
        while True:
            try:
                async for kind, obj in self.client.watch(
                    "configmaps", namespace=self.namespace, resource_version=self.revision
                ):
                    self.revision = obj["metadata"]["resourceVersion"]
                    if kind == "ADDED" and obj["metadata"]["name"].startswith("made-"):
                        self.seen.append(obj["metadata"]["name"])
            except Unreachable:
                await asyncio.sleep(0.05)


async def create_all(client: Client, cluster: Cluster, acknowledged: list[str], kill_at: int) -> None:
    """Create the objects with several writers; kill the API server when `kill_at` have been acknowledged."""
    names = iter([f"made-{number}" for number in range(OBJECTS)])
    killed = False

    async def writer() -> None:
        nonlocal killed
        for name in names:
            while True:
                try:
                    await client.create("configmaps", config_map(name), namespace=cluster.namespace)
                except Unreachable:
                    await asyncio.sleep(0.05)  # no acknowledgement: it may or may not be there; ask again
                    continue
                except StatusError as error:
                    if error.reason != "AlreadyExists":
                        raise
                break
            acknowledged.append(name)
            if len(acknowledged) >= kill_at and not killed:
                killed = True
                os.kill(cluster.pid("apiserver"), signal.SIGKILL)

    await asyncio.gather(*(writer() for _ in range(WRITERS)))
    assert killed


def running(cluster: Cluster, name: str) -> tuple[str, int]:
    status = cluster.get("pod", name)["status"]["containerStatuses"][0]
    return status["containerID"], status["restartCount"]


async def test_acknowledged_writes_survive_the_death_of_the_api_server(cluster: Cluster) -> None:
    cluster.apply(pod("steady"))
    cluster.wait("condition=Ready", "pod/steady")
    before = running(cluster, "steady")
    async with admin(cluster) as client:
        listed = await client.list("configmaps", cluster.namespace)
        follower = Follower(client, cluster.namespace, listed.resource_version)
        following = asyncio.create_task(follower.run())
        acknowledged: list[str] = []
        await create_all(client, cluster, acknowledged, kill_at=OBJECTS // 2)

        stored = {o["metadata"]["name"] for o in (await client.list("configmaps", cluster.namespace)).items}
        assert set(acknowledged) <= stored
        for _ in range(300):
            if len(follower.seen) >= OBJECTS:
                break
            await asyncio.sleep(0.1)
        following.cancel()
    assert sorted(follower.seen) == sorted(f"made-{number}" for number in range(OBJECTS))
    assert running(cluster, "steady") == before


def test_the_death_of_the_kubelet_leaves_containers_running(cluster: Cluster) -> None:
    cluster.apply(pod("steady"))
    cluster.wait("condition=Ready", "pod/steady")
    before = running(cluster, "steady")
    old = cluster.pid("kubelet-node-1")
    os.kill(old, signal.SIGKILL)
    eventually(lambda: cluster.pid("kubelet-node-1") not in (0, old))
    eventually(lambda: cluster.kubectl("exec", "steady", "--", "echo", "alive", ok=False) == "alive\n")
    cluster.apply(pod("later"))
    cluster.wait("condition=Ready", "pod/later")
    assert running(cluster, "steady") == before


def test_a_stopped_cluster_comes_back_with_what_it_held(cluster: Cluster) -> None:
    cluster.apply(config_map("kept"), pod("again"))
    cluster.wait("condition=Ready", "pod/again")
    cluster.pynetes("down", timeout=120)
    cluster.pynetes("up", timeout=120)
    assert cluster.get("configmap", "kept")["data"] == {"of": "kept"}
    eventually(lambda: cluster.kubectl("exec", "again", "--", "echo", "alive", ok=False) == "alive\n", seconds=60)
