"""What a watcher sees of a pod's life, one report after the other."""

import asyncio

import pytest

from pynetes.machinery import meta
from pynetes.machinery.meta import Obj
from pynetes.testing.node import Node, is_ready, make_pod

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]


async def seen_until_deleted(node: Node, created: Obj) -> list[tuple[str, str, bool]]:
    """Phase, state of the container and whether the pod is being deleted, for each report with a container in it."""
    found = []
    selector = f"metadata.name={meta.name(created)}"
    version = created["metadata"]["resourceVersion"]
    async for kind, pod in node.client.watch("pods", "default", resource_version=version, field_selector=selector):
        states = [next(iter(each["state"])) for each in pod["status"].get("containerStatuses") or []]
        found += [(pod["status"]["phase"], state, meta.is_deleting(pod)) for state in states]
        if kind == "DELETED":
            break
    return found


async def test_a_container_that_its_probe_condemns_is_never_seen_as_ended(node: Node) -> None:
    probe = {
        "exec": {"command": ["false"]},
        "failureThreshold": 1,
        "periodSeconds": 1,
        "terminationGracePeriodSeconds": 1,
    }
    created = await node.create(make_pod("doomed", "sleep", "1800", container={"startupProbe": probe}))
    watching = asyncio.ensure_future(seen_until_deleted(node, created))
    await node.wait("doomed", lambda pod: pod["status"].get("containerStatuses", [{}])[0].get("restartCount") == 1)
    await node.delete("doomed")
    seen = await watching
    ended = [report for report in seen if report[1] == "terminated"]
    assert ended and set(ended) == {("Failed", "terminated", True)}, seen
    assert seen[-len(ended) :] == ended


async def test_readiness_is_still_asked_for_while_a_pod_ends(node: Node) -> None:
    script = "trap 'rm /tmp/ready; sleep 30' TERM; touch /tmp/ready; while true; do sleep 0.2; done"
    probe = {"exec": {"command": ["cat", "/tmp/ready"]}, "failureThreshold": 1, "periodSeconds": 1}
    container = {"readinessProbe": probe}
    pod = make_pod("ends", "sh", "-c", script, container=container, terminationGracePeriodSeconds=60)
    await node.create(pod)
    await node.wait("ends", is_ready)
    await node.client.delete("pods", "ends", "default")
    pod = await node.wait("ends", lambda pod: not is_ready(pod))
    assert "running" in pod["status"]["containerStatuses"][0]["state"]
    await node.delete("ends", grace=0)
