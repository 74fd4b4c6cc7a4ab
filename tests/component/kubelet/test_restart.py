"""A kubelet that dies: what runs goes on running, what happened meanwhile is noticed."""

import pytest

from pynetes.machinery import clock, meta
from pynetes.testing.node import BUSYBOX, Node, is_ready, make_pod, state

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]


async def test_running_containers_are_adopted(node: Node) -> None:
    probe = {"exec": {"command": ["true"]}, "periodSeconds": 1}
    await node.create(make_pod("adopted", "sleep", "3600", container={"readinessProbe": probe, "startupProbe": probe}))
    before = await node.wait("adopted", is_ready)
    seen: list[bool] = []
    await node.restart_kubelet()
    after = await node.wait("adopted", lambda pod: seen.append(is_ready(pod)) or len(seen) > 0)
    worker = None
    for _ in range(50):
        worker = node.kubelet.worker_of("default", "adopted")
        if worker is not None and worker.view.running():
            break
        await clock.sleep(0.05)
    assert worker is not None
    after = await node.get("adopted")
    assert is_ready(after) and all(seen)
    assert after["status"]["containerStatuses"] == before["status"]["containerStatuses"]
    assert after["status"]["podIP"] == before["status"]["podIP"]
    assert await node.exec(after, "echo", "alive") == "alive\n"
    await node.delete("adopted")


async def test_what_happened_meanwhile_is_noticed(node: Node) -> None:
    await node.create(make_pod("ends", "sh", "-c", "sleep 1; exit 0", restartPolicy="Never"))
    await node.create(make_pod("deleted", "sleep", "3600"))
    await node.create(make_pod("forced", "sleep", "3600"))
    for name in ("deleted", "forced"):
        await node.wait(name, is_ready)
    await node.wait("ends", lambda pod: "running" in state(pod))
    await node.stop_kubelet()
    await node.client.delete("pods", "deleted", "default")
    await node.client.delete("pods", "forced", "default", grace_period_seconds=0)
    await clock.sleep(1.2)
    await node.restart_kubelet()
    await node.wait("ends", lambda pod: pod["status"]["phase"] == "Succeeded")
    await node.delete("deleted")
    await node.delete("ends")
    for _ in range(100):
        left = await node.kubelet.runtime.list_pod_sandboxes()
        if not left:
            break
        await clock.sleep(0.05)
    assert not left
    assert not list((node.options.root_dir / "pods").iterdir())


async def test_a_container_killed_behind_our_back_is_restarted(node: Node) -> None:
    await node.create(make_pod("killed", "sleep", "3600", container={"image": BUSYBOX}))
    pod = await node.wait("killed", is_ready)
    container_id = pod["status"]["containerStatuses"][0]["containerID"].rpartition("/")[2]
    await node.kubelet.runtime.stop_container(container_id, 0)
    pod = await node.wait(
        "killed", lambda pod: is_ready(pod) and pod["status"]["containerStatuses"][0]["restartCount"] == 1
    )
    assert pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 137
    await node.delete("killed")


async def test_a_lost_sandbox_is_made_anew(node: Node) -> None:
    await node.create(make_pod("sandbox", "sleep", "3600"))
    await node.wait("sandbox", is_ready)
    (sandbox,) = [s for s in await node.kubelet.runtime.list_pod_sandboxes() if s.metadata.name == "sandbox"]
    await node.kubelet.runtime.stop_pod_sandbox(sandbox.id)
    await node.wait("sandbox", lambda pod: is_ready(pod) and pod["status"]["containerStatuses"][0]["restartCount"] == 1)
    text = "Pod sandbox changed, it will be killed and re-created."
    assert ("SandboxChanged", text) in await node.events("sandbox")
    await node.delete("sandbox")


async def test_a_runtime_that_restarts_is_waited_for(node: Node) -> None:
    await node.create(make_pod("outlives", "sleep", "3600"))
    before = await node.wait("outlives", is_ready)
    await node.containerd.stop()
    await until_node(node, "False")
    found = await node.client.get("nodes", "node-1")
    condition = meta.get_condition(found, "Ready")
    assert (
        condition and condition["reason"] == "KubeletNotReady" and "container runtime is down" in condition["message"]
    )
    await node.create(make_pod("waits", "sleep", "3600"))
    await node.containerd.start()
    await until_node(node, "True")
    await node.wait("waits", is_ready)
    after = await node.get("outlives")
    assert after["status"]["containerStatuses"] == before["status"]["containerStatuses"]
    await node.client.delete("pods", "waits", "default")
    await node.delete("outlives")
    await node.delete("waits")


async def until_node(node: Node, status: str) -> None:
    for _ in range(400):
        condition = meta.get_condition(await node.client.get("nodes", "node-1"), "Ready")
        if condition is not None and condition["status"] == status:
            return
        await clock.sleep(0.05)
    raise AssertionError(f"the node's Ready condition did not become {status}")
