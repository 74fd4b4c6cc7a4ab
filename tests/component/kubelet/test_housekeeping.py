"""The node looks after itself: logs, images, evictions, its own object."""

import gzip
from pathlib import Path

import pytest

from pynetes.machinery import clock, meta
from pynetes.testing.node import BUSYBOX, Node, is_ready, make_pod

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]


async def test_the_node_reports_itself(node: Node) -> None:
    found = await node.client.get("nodes", "node-1")
    status = found["status"]
    assert status["nodeInfo"]["kubeletVersion"] == "v1.37.0"
    assert status["nodeInfo"]["containerRuntimeVersion"].startswith("containerd://")
    assert {"type": "InternalIP", "address": "127.0.0.1"} in status["addresses"]
    assert status["daemonEndpoints"]["kubeletEndpoint"]["Port"] == 10250
    assert {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]} == {
        "MemoryPressure": ("False", "KubeletHasSufficientMemory"),
        "DiskPressure": ("False", "KubeletHasNoDiskPressure"),
        "PIDPressure": ("False", "KubeletHasSufficientPID"),
        "Ready": ("True", "KubeletReady"),
    }
    assert found["metadata"]["labels"]["kubernetes.io/hostname"] == "node-1"
    assert (await node.events("node-1"))[0] == ("Starting", "Starting kubelet.")
    patch = {"status": {"nodeInfo": {"bootID": "before"}}}
    await node.client.patch("nodes", "node-1", patch, type="strategic", subresource="status")
    node.kubelet.node.poke()
    text = f"Node node-1 has been rebooted, boot id: {status['nodeInfo']['bootID']}"
    deadline = clock.monotonic() + 10
    while ("Rebooted", text) not in await node.events("node-1"):
        assert clock.monotonic() < deadline
        await clock.sleep(0.1)
    assert any(BUSYBOX in image["names"] for image in status["images"])
    await clock.sleep(0.3)
    lease = await node.client.get("leases.coordination.k8s.io", "node-1", "kube-node-lease")
    assert lease["spec"]["holderIdentity"] == "node-1" and lease["spec"]["leaseDurationSeconds"] == 40
    assert lease["metadata"]["ownerReferences"][0]["uid"] == meta.uid(found)
    drivers = await node.client.get("csinodes.storage.k8s.io", "node-1")
    assert drivers["spec"] == {"drivers": []}
    assert drivers["metadata"]["ownerReferences"][0]["uid"] == meta.uid(found)


async def test_a_log_is_rotated_without_losing_a_line(node: Node) -> None:
    script = "i=0; while true; do echo line $i; i=$((i+1)); sleep 0.01; done"
    await node.create(make_pod("chatty", "sh", "-c", script))
    await node.wait("chatty", is_ready)
    worker = node.kubelet.worker_of("default", "chatty")
    assert worker is not None
    container = worker.view.latest("app")
    assert container is not None
    path = Path(container.log_path)
    for _ in range(2):
        await clock.sleep(1.1)
        await node.kubelet.housekeeper.rotate(container.id, path)
    await clock.sleep(0.3)
    pieces = sorted(path.parent.iterdir())
    assert pieces[0].suffix == ".log" and len(pieces) == 3
    oldest = next(piece for piece in pieces if piece.suffix == ".gz")
    middle = next(piece for piece in pieces if piece.suffix not in (".gz", ".log"))
    text = gzip.decompress(oldest.read_bytes()).decode() + middle.read_text() + path.read_text()
    numbers = [int(line.rsplit(" ", 1)[1]) for line in text.splitlines()]
    assert numbers == list(range(len(numbers)))
    await node.delete("chatty")


async def test_when_memory_is_short_the_greediest_pod_goes(node: Node) -> None:
    asked = {"resources": {"requests": {"memory": "64Mi"}}}
    await node.create(make_pod("modest", "sleep", "3600", container=asked))
    await node.create(make_pod("greedy", "sh", "-c", "head -c 20m /dev/zero | tail | sleep 3600"))
    for name in ("modest", "greedy"):
        await node.wait(name, is_ready)
    await clock.sleep(0.5)
    evicted = await node.kubelet.eviction.look({"memory.available": (1 << 20, 8 << 30)})
    assert evicted is not None and meta.name(evicted.pod) == "greedy"
    pod = await node.wait("greedy", lambda pod: pod["status"]["phase"] == "Failed")
    assert pod["status"]["reason"] == "Evicted"
    assert pod["status"]["message"].startswith(
        "The node was low on resource: memory. Threshold quantity: 102400Ki, available: 1024Ki. Container app was using"
    )
    condition = meta.get_condition(pod, "DisruptionTarget")
    assert condition is not None and condition["reason"] == "TerminationByKubelet"
    found = await node.client.get("nodes", "node-1")
    for _ in range(50):
        if meta.is_condition_true(found, "MemoryPressure"):
            break
        await clock.sleep(0.05)
        found = await node.client.get("nodes", "node-1")
    assert meta.is_condition_true(found, "MemoryPressure")
    await node.create(make_pod("late", "sleep", "1"))
    pod = await node.wait("late", lambda pod: pod["status"].get("phase") == "Failed")
    assert pod["status"]["message"] == "Pod was rejected: The node had condition: [MemoryPressure]. "
    node.kubelet.eviction._pressed_until.clear()
    await node.kubelet.eviction.look({})
    for name in ("modest", "greedy", "late"):
        await node.delete(name)


async def test_an_empty_dir_over_its_limit_ends_the_pod(node: Node) -> None:
    volumes = [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]
    mounts = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    await node.create(
        make_pod("full", "sh", "-c", "head -c 2m /dev/zero > /v/f; sleep 3600", container=mounts, volumes=volumes)
    )
    await node.wait("full", is_ready)
    await clock.sleep(0.3)
    await node.kubelet.eviction.look({})
    pod = await node.wait("full", lambda pod: pod["status"]["phase"] == "Failed")
    assert pod["status"]["message"] == 'Usage of EmptyDir volume "v" exceeds the limit "1Mi". '
    await node.delete("full")


async def test_unused_images_go_and_used_ones_stay(node: Node) -> None:
    await node.create(make_pod("user", "sleep", "3600"))
    await node.wait("user", is_ready)
    node.options.minimum_image_ttl_duration = 0
    node.options.pod_infra_container_image = node.containerd.sandbox_image
    await node.kubelet.housekeeper.free(100)
    names = [name for image in await node.kubelet.runtime.list_images() for name in image.repo_tags]
    assert sorted(names) == sorted([BUSYBOX, node.containerd.sandbox_image])
    await node.delete("user")
