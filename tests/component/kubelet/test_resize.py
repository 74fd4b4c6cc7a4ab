"""Resizing running pods, and pods from files."""

import contextlib
import re

import pytest

from pynetes.machinery import clock, meta, quantity
from pynetes.machinery.errors import StatusError
from pynetes.testing.node import Node, is_ready, make_pod

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]


async def resize(node: Node, name: str, resources: dict) -> None:
    patch = {"spec": {"containers": [{"name": "app", "resources": resources}]}}
    await node.client.patch("pods", name, patch, "default", type="strategic", subresource="resize")


def amount(pod: dict, kind: str, name: str) -> str:
    return pod["status"]["containerStatuses"][0].get("resources", {}).get(kind, {}).get(name, "")


async def test_a_container_is_resized_without_a_restart(node: Node) -> None:
    before = {"requests": {"cpu": "100m", "memory": "32Mi"}, "limits": {"cpu": "200m", "memory": "64Mi"}}
    await node.create(make_pod("grows", "sleep", "3600", container={"resources": before}))
    pod = await node.wait("grows", is_ready)
    assert amount(pod, "limits", "cpu") == "200m"
    after = {"requests": {"cpu": "150m", "memory": "32Mi"}, "limits": {"cpu": "300m", "memory": "128Mi"}}
    await resize(node, "grows", after)
    pod = await node.wait("grows", lambda pod: amount(pod, "limits", "cpu") == "300m")
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
    assert pod["status"]["containerStatuses"][0]["allocatedResources"]["cpu"] == "150m"
    given = '"limits":{"cpu":"300m","memory":"128Mi"},"requests":{"cpu":"150m","memory":"32Mi"}'
    text = f'{{"containers":[{{"name":"app","resources":{{{given}}}}}],"generation":2}}'
    assert (await node.events("grows"))[-2:] == [
        ("ResizeStarted", f"Pod resize started: {text}"),
        ("ResizeCompleted", f"Pod resize completed: {text}"),
    ]
    cgroups = node.kubelet.context.cgroups
    path = cgroups.pod_path(meta.uid(pod), "Burstable")
    container_id = pod["status"]["containerStatuses"][0]["containerID"].rpartition("/")[2]
    if not cgroups.v2:
        for where in (path, f"{path}/{container_id}"):
            assert cgroups.file("cpu", where, "cpu.cfs_quota_us").read_text().strip() == "30000"
            assert cgroups.file("memory", where, "memory.limit_in_bytes").read_text().strip() == str(128 << 20)
    await node.delete("grows")


async def test_a_policy_may_ask_for_a_restart(node: Node) -> None:
    before = {"requests": {"memory": "32Mi"}, "limits": {"memory": "64Mi"}}
    policy = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    await node.create(make_pod("restarts", "sleep", "3600", container={"resources": before, "resizePolicy": policy}))
    await node.wait("restarts", is_ready)
    await resize(node, "restarts", {"requests": {"memory": "32Mi"}, "limits": {"memory": "128Mi"}})
    pod = await node.wait(
        "restarts", lambda pod: is_ready(pod) and pod["status"]["containerStatuses"][0]["restartCount"] == 1
    )
    assert amount(pod, "limits", "memory") == "128Mi"
    await node.wait("restarts", lambda pod: meta.get_condition(pod, "PodResizeInProgress") is None)
    events = [reason for reason, _ in await node.events("restarts")]
    order = ["ResizeStarted", "Killing", "ResizeCompleted"]
    assert [reason for reason in events[events.index("ResizeStarted") :] if reason in order] == order
    assert ("Killing", "Container app resize requires restart") in await node.events("restarts")
    await node.delete("restarts")


async def test_a_pod_is_resized_as_a_whole(node: Node) -> None:
    before = {"requests": {"cpu": "50m", "memory": "32Mi"}, "limits": {"cpu": "100m", "memory": "64Mi"}}
    await node.create(make_pod("whole", "sleep", "3600", resources=before))
    pod = await node.wait("whole", is_ready)
    assert pod["status"]["resources"] == before
    after = {"requests": {"cpu": "60m", "memory": "32Mi"}, "limits": {"cpu": "200m", "memory": "128Mi"}}
    patch = {"spec": {"resources": after}}
    await node.client.patch("pods", "whole", patch, "default", type="strategic", subresource="resize")
    pod = await node.wait("whole", lambda pod: pod["status"]["resources"] == after)
    assert pod["status"]["allocatedResources"] == after["requests"]
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
    reasons = [reason for reason, _ in await node.events("whole") if reason.startswith("Resize")]
    assert reasons == ["ResizeStarted", "ResizeCompleted"]
    cgroups = node.kubelet.context.cgroups
    path = cgroups.pod_path(meta.uid(pod), "Burstable")
    container_id = pod["status"]["containerStatuses"][0]["containerID"].rpartition("/")[2]
    if not cgroups.v2:
        for where in (path, f"{path}/{container_id}"):  # the container has no limits of its own
            assert cgroups.file("cpu", where, "cpu.cfs_quota_us").read_text().strip() == "20000"
            assert cgroups.file("memory", where, "memory.limit_in_bytes").read_text().strip() == str(128 << 20)
    await node.delete("whole")


async def test_memory_is_not_taken_away_while_it_is_used(node: Node) -> None:
    before = {"requests": {"memory": "32Mi"}, "limits": {"memory": "32Mi"}}
    await node.create(make_pod("shrinks", "sleep", "3600", container={"resources": before}))
    await node.wait("shrinks", is_ready)
    await resize(node, "shrinks", {"requests": {"memory": "10Ki"}, "limits": {"memory": "10Ki"}})
    pod = await node.wait("shrinks", lambda pod: meta.get_condition(pod, "PodResizeInProgress"))
    condition = meta.get_condition(pod, "PodResizeInProgress")
    assert condition and condition["reason"] == "Error"
    assert re.search(r"memory limit \(10240\) below current usage \(\d+\)", condition["message"])
    assert pod["status"]["containerStatuses"][0]["allocatedResources"] == {"memory": "10Ki"}
    assert amount(pod, "limits", "memory") == "32Mi"
    await resize(node, "shrinks", before)
    pod = await node.wait("shrinks", lambda pod: meta.get_condition(pod, "PodResizeInProgress") is None)
    assert pod["status"]["containerStatuses"][0]["allocatedResources"] == {"memory": "32Mi"}
    reasons = [reason for reason, _ in await node.events("shrinks") if reason.startswith("Resize")]
    assert reasons == ["ResizeStarted", "ResizeError", "ResizeCompleted"]
    await node.delete("shrinks")


async def test_deferred_resizes_are_tried_by_priority(node: Node) -> None:
    await node.client.create("priorityclasses", {"metadata": {"name": "above"}, "value": 1000})
    parts = quantity.milli(node.kubelet.node.allocatable["cpu"]) // 10

    def cpu(part: int) -> dict:
        return {"requests": {"cpu": f"{part * parts}m"}}

    await node.create(make_pod("big", "sleep", "3600", container={"resources": cpu(6)}))
    await node.create(make_pod("low", "sleep", "3600", container={"resources": cpu(1)}))
    high = make_pod("high", "sleep", "3600", container={"resources": cpu(1)}, priorityClassName="above")
    await node.create(high)
    for name in ("big", "low", "high"):
        await node.wait(name, is_ready)
    for name in ("low", "high"):
        await resize(node, name, cpu(6))
        pod = await node.wait(name, lambda pod: meta.get_condition(pod, "PodResizePending"))
        pending = meta.get_condition(pod, "PodResizePending")
        assert pending and pending["reason"] == "Deferred"
        assert pod["status"]["containerStatuses"][0]["allocatedResources"] == cpu(1)["requests"]
    # A container that starts anew meanwhile gets what was promised, no more.
    worker = node.kubelet.worker_of("default", "low")
    assert worker is not None
    await node.kubelet.runtime.stop_container(worker.view.running()[0].id, 0)
    pod = await node.wait(
        "low", lambda pod: is_ready(pod) and pod["status"]["containerStatuses"][0]["restartCount"] == 1
    )
    assert meta.get_condition(pod, "PodResizePending") and amount(pod, "requests", "cpu") == cpu(1)["requests"]["cpu"]
    message = next(text for reason, text in await node.events("low") if reason == "ResizeDeferred")
    assert message.startswith('Pod resize Deferred: {"containers":[')
    await node.delete("big")
    await node.wait("high", lambda pod: amount(pod, "requests", "cpu") == cpu(6)["requests"]["cpu"])
    pod = await node.get("low")
    assert meta.get_condition(pod, "PodResizePending") and amount(pod, "requests", "cpu") == cpu(1)["requests"]["cpu"]
    await node.delete("high")
    await node.wait("low", lambda pod: amount(pod, "requests", "cpu") == cpu(6)["requests"]["cpu"])
    await node.delete("low")


MANIFEST = """
apiVersion: v1
kind: Pod
metadata: {name: fixed, labels: {tier: node}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: app, image: "pynetes.local/busybox:1", imagePullPolicy: Never, command: [sleep, "%s"]}
"""


async def test_a_static_pod_runs_and_is_mirrored(node: Node) -> None:
    directory = node.options.root_dir.parent / "manifests"
    node.options.pod_manifest_path = str(directory)
    await node.restart_kubelet()
    for _ in range(100):
        if directory.is_dir():
            break
        await clock.sleep(0.02)
    file = directory / "fixed.yaml"
    file.write_text(MANIFEST % 1000)
    await appears(node, "fixed-node-1")
    pod = await node.wait("fixed-node-1", is_ready)
    assert pod["metadata"]["ownerReferences"][0]["kind"] == "Node"
    assert clock.parse_time(pod["metadata"]["annotations"]["kubernetes.io/config.seen"]) <= clock.now()
    first = pod["status"]["containerStatuses"][0]["containerID"]
    await node.client.delete("pods", "fixed-node-1", "default", grace_period_seconds=0)
    await appears(node, "fixed-node-1")
    pod = await node.wait("fixed-node-1", is_ready)
    assert pod["status"]["containerStatuses"][0]["containerID"] == first
    file.write_text(MANIFEST % 2000)
    for _ in range(300):
        with contextlib.suppress(StatusError):
            pod = await node.get("fixed-node-1")
            if is_ready(pod) and pod["status"]["containerStatuses"][0]["containerID"] != first:
                break
        await clock.sleep(0.1)
    assert pod["spec"]["containers"][0]["command"] == ["sleep", "2000"]
    file.unlink()
    for _ in range(300):
        if not await node.kubelet.runtime.list_pod_sandboxes():
            break
        await clock.sleep(0.1)
    assert not await node.kubelet.runtime.list_pod_sandboxes()
    await node.delete("fixed-node-1", grace=0)


async def appears(node: Node, name: str) -> None:
    for _ in range(300):
        with contextlib.suppress(StatusError):
            await node.get(name)
            return
        await clock.sleep(0.1)
    raise AssertionError(f"{name} did not appear")
