"""What users do with kubectl to workloads and nodes: roll, undo, scale, drain. Through every kubectl found."""

import time

from tests.e2e.conftest import BUSYBOX, Cluster, eventually, pod
from tests.e2e.kubectl import deployment, start

# -- workloads ------------------------------------------------------------------------------------------------------


def test_scale_and_autoscale(k: Cluster) -> None:
    k.apply(deployment("d", 1))
    assert k.kubectl("scale", "deployment", "d", "--replicas=3") in (
        "deployment.apps/d scaled\n", "deployment.extensions/d scaled\n")  # fmt: skip
    eventually(lambda: k.kubectl("get", "deployment", "d", "--no-headers").split()[1] == "3/3")
    refused = k.kubectl("scale", "deployment", "d", "--current-replicas=1", "--replicas=5", ok=False)
    assert "Expected replicas to be 1, was 3" in refused
    k.kubectl("scale", "rs", "-l", "app=d", "--replicas=3")
    k.kubectl("autoscale", "deployment", "d", "--max=5")
    assert k.get("hpa", "d")["spec"]["maxReplicas"] == 5


def test_a_rollout_is_followed_undone_and_restarted(k: Cluster) -> None:
    k.apply(deployment("d", 2))
    rolled = 'deployment "d" successfully rolled out'
    assert rolled in k.kubectl("rollout", "status", "deployment/d", "--timeout=60s")
    k.kubectl("set", "env", "deployment/d", "VERSION=2")
    k.kubectl("annotate", "deployment", "d", "kubernetes.io/change-cause=second")
    assert rolled in k.kubectl("rollout", "status", "deployment/d", "--timeout=60s")
    history = k.kubectl("rollout", "history", "deployment/d")
    assert [line.split() for line in history.splitlines()[1:] if line] == [
        ["REVISION", "CHANGE-CAUSE"], ["1", "<none>"], ["2", "second"]
    ]  # fmt: skip
    assert "VERSION:\t2" in k.kubectl("rollout", "history", "deployment/d", "--revision=2")
    assert k.kubectl("rollout", "undo", "deployment/d") == "deployment.apps/d rolled back\n"
    assert rolled in k.kubectl("rollout", "status", "deployment/d", "--timeout=60s")
    assert "env" not in k.get("deployment", "d")["spec"]["template"]["spec"]["containers"][0]
    assert k.get("deployment", "d")["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"
    before = {p["metadata"]["uid"] for p in k.get("pods")["items"]}
    assert k.kubectl("rollout", "restart", "deployment/d") == "deployment.apps/d restarted\n"
    assert rolled in k.kubectl("rollout", "status", "deployment/d", "--timeout=60s")
    running = [p for p in k.get("pods")["items"] if "deletionTimestamp" not in p["metadata"]]
    assert len(running) == 2
    assert not before & {p["metadata"]["uid"] for p in running}


def test_a_paused_deployment_waits_for_resume(k: Cluster) -> None:
    k.apply(deployment("d", 1))
    k.kubectl("rollout", "status", "deployment/d", "--timeout=60s")
    assert k.kubectl("rollout", "pause", "deployment/d") == "deployment.apps/d paused\n"
    assert k.kubectl("set", "image", "deployment/d", f"c={BUSYBOX}-none") == "deployment.apps/d image updated\n"
    k.kubectl("set", "image", "deployment/d", f"c={BUSYBOX}")
    k.kubectl("set", "resources", "deployment/d", "--limits=memory=64Mi")
    time.sleep(0.5)
    assert len(k.get("rs")["items"]) == 1
    assert k.kubectl("rollout", "resume", "deployment/d") == "deployment.apps/d resumed\n"
    k.kubectl("rollout", "status", "deployment/d", "--timeout=60s")
    eventually(lambda: len(k.get("rs")["items"]) == 2)


def test_set_image_rolls_pods(k: Cluster) -> None:
    k.apply(deployment("d", 1))
    k.kubectl("rollout", "status", "deployment/d", "--timeout=60s")
    assert k.get("pods")["items"][0]["status"]["containerStatuses"][0]["imageID"]
    k.kubectl("set", "image", "deployment/d", "c=127.0.0.1:1/none:1")
    text = k.kubectl("rollout", "status", "deployment/d", "--timeout=2s", ok=False)
    assert "0 out of 1 new replicas have been updated" in text or "1 old replicas are pending termination" in text
    assert "timed out waiting for the condition" in text


# -- nodes ----------------------------------------------------------------------------------------------------------


def test_a_cordoned_node_takes_no_pods(k: Cluster) -> None:
    assert k.kubectl("cordon", "node-1") == "node/node-1 cordoned\n"
    try:
        assert "Ready,SchedulingDisabled" in k.kubectl("get", "node", "node-1")
        k.apply(pod("p"))
        message = "0/1 nodes are available: 1 node(s) were unschedulable."
        eventually(lambda: message in k.kubectl("get", "events", "--field-selector", "reason=FailedScheduling"))
        assert k.kubectl("get", "pod", "p", "--no-headers").split()[2] == "Pending"
    finally:
        k.kubectl("uncordon", "node-1")
    k.wait("condition=Ready", "pod/p")


def test_drain_evicts_what_can_be_evicted(k: Cluster) -> None:
    k.apply(pod("bare"), deployment("d", 1))
    k.wait("condition=Ready", "pod/bare")
    k.kubectl("rollout", "status", "deployment/d", "--timeout=60s")
    selected = ["drain", "node-1", "--pod-selector=app in (bare,d)", "--ignore-daemonsets"]
    try:
        assert "cannot delete" in k.kubectl(*selected, ok=False)
        text = k.kubectl(*selected, "--force", "--timeout=60s", ok=False)
        assert "evicting pod" in text
        assert "node/node-1 drained" in text or "node/node-1 evicted" in text
        assert "NotFound" in k.kubectl("get", "pod", "bare", ok=False)
    finally:
        k.kubectl("uncordon", "node-1")
    k.kubectl("rollout", "status", "deployment/d", "--timeout=60s")


def test_a_taint_keeps_pods_away_and_sends_them_off(k: Cluster) -> None:
    start(k, pod("old"))
    k.kubectl("taint", "node", "node-1", "e2e=only:NoExecute")
    try:
        eventually(lambda: "NotFound" in k.kubectl("get", "pod", "old", ok=False))
        k.apply(pod("no"), pod("yes", tolerations=[{"key": "e2e", "operator": "Exists"}]))
        k.wait("condition=Ready", "pod/yes")
        message = "0/1 nodes are available: 1 node(s) had untolerated taint"
        eventually(lambda: message in k.kubectl("describe", "pod", "no"))
    finally:
        k.kubectl("taint", "node", "node-1", "e2e-")
    k.wait("condition=Ready", "pod/no")
