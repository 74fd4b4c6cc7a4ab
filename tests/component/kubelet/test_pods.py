"""Pods on a real node: how they start, end, fail and come back."""

import pytest

from pynetes.machinery import clock
from pynetes.testing.node import Node, is_ready, make_pod

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]


async def test_a_pod_runs_and_reports_everything(node: Node) -> None:
    began = clock.monotonic()
    await node.create(make_pod("first", "sleep", "3600"))
    pod = await node.wait("first", is_ready)
    took = clock.monotonic() - began
    print("running after", took)
    status = pod["status"]
    assert status["phase"] == "Running"
    assert status["podIP"].startswith("10.99.0.")
    assert status["hostIP"] == "127.0.0.1"
    assert status["qosClass"] == "BestEffort"
    assert {c["type"]: c["status"] for c in status["conditions"]} == {
        "PodReadyToStartContainers": "True",
        "Initialized": "True",
        "Ready": "True",
        "ContainersReady": "True",
        "PodScheduled": "True",
    }
    container = status["containerStatuses"][0]
    assert container["restartCount"] == 0 and container["ready"] and container["started"]
    assert container["containerID"].startswith("containerd://")
    reasons = [reason for reason, _ in await node.events("first")]
    assert reasons == ["Pulled", "Created", "Started"]
    await node.delete("first")
