"""Two nodes: pods and services across them, and what becomes of the pods of one whose power is cut.

The tests have a cluster of their own, in which a node is given up after 15 seconds without a sign of life instead of
50. They build on one another as little as they can: each leaves both nodes running.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import BUSYBOX, Cluster, Failed, busybox_image, container, eventually, pod, run

Obj = dict[str, Any]
NODES = ("node-1", "node-2")
# Says who it is and who asks.
SERVE = """
mkdir -p /www/cgi-bin && hostname > /www/index.html
printf '#!/bin/sh\\necho; echo $REMOTE_ADDR\\n' > /www/cgi-bin/peer && chmod 755 /www/cgi-bin/peer
exec httpd -f -p 8080 -h /www
"""
UNREACHABLE = "node.kubernetes.io/unreachable"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of two nodes."""
    if os.geteuid() != 0:
        pytest.fail("end-to-end tests start real nodes and need root")
    directory = Path(f"/tmp/pynetes-pair-{os.getpid()}")
    directory.mkdir(mode=0o700)
    places = {"PYNETES_STATE_DIR": str(directory), "KUBECONFIG": str(directory / "kubeconfig"), "HOME": str(directory)}
    made = Cluster("pair", directory, {**os.environ, **places})
    try:
        soon = "controller-manager.node-monitor-grace-period=15s"
        made.pynetes("up", "--nodes", "2", "--upstream-dns", "none", "--extra-config", soon, timeout=180)
        made.pynetes("image", "load", str(busybox_image(tmp_path_factory.mktemp("images") / "busybox.tar")))
        eventually(lambda: made.kubectl("get", "serviceaccount", "default", ok=False).startswith("NAME"))
        yield made
    finally:
        made.pynetes("delete", timeout=180)
        shutil.rmtree(directory)


@pytest.fixture
def cluster(pair: Cluster) -> Iterator[Cluster]:
    """The cluster with both nodes Ready, emptied afterwards; under this name a failure shows its state."""
    yield pair
    for node in NODES:
        pair.pynetes("node", "start", node)
    pair.kubectl("delete", "daemonset,deployment,pod,service", "--selector=component!=apiserver", "--wait=true")


def server(name: str, node: str, app: str = "", **spec: Any) -> Obj:
    """A web server on a node, part of an app (its own by default)."""
    serving = container(command=SERVE, readinessProbe={"httpGet": {"port": 8080, "path": "/"}, "periodSeconds": 1})
    return pod(name, serving, labels={"app": app or name}, nodeName=node, **spec)


def service(name: str, **spec: Any) -> Obj:
    """Port 80 of a service in front of the web servers labelled with its name."""
    ports = [{"port": 80, "targetPort": 8080}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": ports, **spec},
    }


def daemon_set(name: str) -> Obj:
    """A web server on every node."""
    made = server(name, "")
    template = {"metadata": {"labels": made["metadata"]["labels"]}, "spec": made["spec"]}
    del template["spec"]["nodeName"]
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template},
    }


def address(cluster: Cluster, name: str) -> str:
    return str(cluster.get("pod", name)["status"]["podIP"])


def fetch(cluster: Cluster, client: str, host: str, path: str = "/") -> str:
    """What a pod gets from a web server."""
    return cluster.kubectl(
        "exec", client, "--", "timeout", "3", "wget", "-q", "-O", "-", f"http://{host}{path}"
    ).strip()


def from_host(url: str) -> str:
    """What this machine gets from a web server."""
    return run("curl", "--silent", "--show-error", "--fail", "--max-time", "2", url).strip()


def on_node(cluster: Cluster, name: str, node: str) -> Obj:
    """The pod of a DaemonSet on a node."""
    listed = cluster.get("pods", "-l", f"app={name}", "--field-selector", f"spec.nodeName={node}")["items"]
    assert len(listed) == 1
    return dict(listed[0])


def condition(obj: Obj, kind: str) -> Obj:
    return next(each for each in obj["status"]["conditions"] if each["type"] == kind)


def states(cluster: Cluster) -> dict[str, str]:
    lines = cluster.pynetes("node", "list").splitlines()[1:]
    return {line.split()[0]: line.split()[1] for line in lines}


def test_pods_on_different_nodes_reach_each_other_under_their_own_addresses(cluster: Cluster) -> None:
    cluster.apply(server("one", "node-1"), server("two", "node-2"))
    cluster.wait("condition=Ready", "pod/one", "pod/two")
    for client, other in (("one", "two"), ("two", "one")):
        there = f"{address(cluster, other)}:8080"
        assert fetch(cluster, client, there) == other
        assert fetch(cluster, client, there, "/cgi-bin/peer") == f"[::ffff:{address(cluster, client)}]"


def test_a_pod_in_its_nodes_network_has_the_nodes_hostname(cluster: Cluster) -> None:
    cluster.apply(server("one", "node-1", hostNetwork=True), server("two", "node-2", hostNetwork=True))
    cluster.wait("condition=Ready", "pod/one", "pod/two")
    for name, node in (("one", "node-1"), ("two", "node-2")):
        assert cluster.kubectl("exec", name, "--", "hostname").strip() == node
        assert cluster.kubectl("exec", name, "--", "cat", "/etc/hostname").strip() == node


def test_services_are_reached_from_every_node(cluster: Cluster) -> None:
    cluster.apply(server("one", "node-1"), server("two", "node-2", app="web"), service("web", type="NodePort"))
    cluster.wait("condition=Ready", "pod/one", "pod/two")
    found = cluster.get("service", "web")["spec"]
    ways = ["web", "web.default.svc.cluster.local", found["clusterIP"]]
    addresses = [
        each["address"]
        for node in cluster.get("nodes")["items"]
        for each in node["status"]["addresses"]
        if each["type"] == "InternalIP"
    ]
    assert len(addresses) == 2
    ways += [f"{each}:{found['ports'][0]['nodePort']}" for each in addresses]
    for client in ("one", "two"):
        for way in ways:
            assert eventually(lambda c=client, w=way: fetch(cluster, c, w)) == "two", (client, way)
    for way in ways[2:]:
        assert eventually(lambda w=way: from_host(f"http://{w}/")) == "two", way


def test_a_power_cut_takes_everything_that_is_not_on_disk(cluster: Cluster) -> None:
    secret = {"name": "v", "emptyDir": {"medium": "Memory"}}
    cluster.apply(server("two", "node-2", volumes=[secret]))
    cluster.wait("condition=Ready", "pod/two")
    files = cluster.directory / "pair" / "nodes" / "node-2"
    assert str(files) in Path("/proc/self/mountinfo").read_text()
    cluster.pynetes("node", "stop", "node-2")
    assert states(cluster) == {"node-1": "running", "node-2": "stopped"}
    assert str(files) not in Path("/proc/self/mountinfo").read_text()
    assert not Path("/run/netns/pynetes.pair.node-2").exists()
    assert not list(Path("/sys/fs/cgroup").glob("**/pynetes/pair/node-2"))
    commands = (file for file in Path("/proc").glob("[0-9]*/cmdline"))
    assert not [file for file in commands if str(files).encode() in _bytes(file)]
    cluster.pynetes("node", "stop", "node-2")  # a second time changes nothing
    assert (files / "kubelet").is_dir()


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


def test_the_pods_of_a_node_without_power_are_given_up_and_come_back_with_it(cluster: Cluster) -> None:
    toleration = {"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 2}
    replicated = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "replicated"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "replicated"}},
            "template": {
                "metadata": {"labels": {"app": "replicated"}},
                "spec": {
                    "containers": [container()],
                    "terminationGracePeriodSeconds": 1,
                    "tolerations": [toleration],
                    "affinity": {
                        "nodeAffinity": {
                            "preferredDuringSchedulingIgnoredDuringExecution": [
                                {
                                    "weight": 100,
                                    "preference": {
                                        "matchExpressions": [
                                            {"key": "kubernetes.io/hostname", "operator": "In", "values": ["node-2"]}
                                        ]
                                    },
                                }
                            ]
                        }
                    },
                },
            },
        },
    }
    cluster.apply(
        daemon_set("web"),
        service("web"),
        replicated,
        pod("deleted", container(), nodeName="node-2", tolerations=[toleration], terminationGracePeriodSeconds=1),
    )
    cluster.wait("jsonpath={.status.numberReady}=2", "daemonset/web")
    cluster.wait("condition=Available", "deployment/replicated")
    cluster.wait("condition=Ready", "pod/deleted")
    first = on_node(cluster, "replicated", "node-2")["metadata"]["name"]
    before = on_node(cluster, "web", "node-2")

    cluster.pynetes("node", "stop", "node-2")
    cluster.wait("condition=Ready=Unknown", "node/node-2", seconds=40)
    node = cluster.get("node", "node-2")
    assert condition(node, "Ready")["reason"] == "NodeStatusUnknown"
    assert condition(node, "Ready")["message"] == "Kubelet stopped posting node status."
    eventually(
        lambda: (
            {(taint["key"], taint["effect"]) for taint in cluster.get("node", "node-2")["spec"].get("taints", [])}
            >= {(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")}
        )
    )
    # Its pods are not ready, so the service has one endpoint that answers.
    eventually(lambda: condition(on_node(cluster, "web", "node-2"), "Ready")["status"] == "False")
    here = on_node(cluster, "web", "node-1")["metadata"]["name"]
    way = cluster.get("service", "web")["spec"]["clusterIP"]
    eventually(lambda: from_host(f"http://{way}/") == here)
    assert {from_host(f"http://{way}/") for _ in range(10)} == {here}
    # Pods that do not tolerate it longer are being deleted, which only their kubelet can finish; others replace them.
    for name in ("deleted", first):
        eventually(lambda n=name: cluster.get("pod", n)["metadata"].get("deletionTimestamp"))
    eventually(lambda: condition(cluster.get("deployment", "replicated"), "Available")["status"] == "True")
    assert on_node(cluster, "replicated", "node-1")["metadata"]["name"] != first
    # DaemonSet pods tolerate it for ever.
    assert "deletionTimestamp" not in on_node(cluster, "web", "node-2")["metadata"]
    # One may insist.
    assert cluster.get("pod", "deleted")["status"]["phase"] == "Running"
    cluster.kubectl("delete", "pod", "deleted", "--force", "--grace-period=0")
    assert "NotFound" in cluster.kubectl("get", "pod", "deleted", ok=False)
    assert cluster.get("pod", first)["metadata"]["name"] == first

    cluster.pynetes("node", "start", "node-2")
    cluster.wait("condition=Ready", "node/node-2")
    # What was being deleted is deleted; what was to run runs again, in a new sandbox, and is counted.
    eventually(lambda: "NotFound" in cluster.kubectl("get", "pod", first, ok=False))
    cluster.wait("jsonpath={.status.numberReady}=2", "daemonset/web")
    after = on_node(cluster, "web", "node-2")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["status"]["containerStatuses"][0]["restartCount"] == 1
    assert "taints" not in cluster.get("node", "node-2")["spec"]
    there = after["metadata"]["name"]
    eventually(lambda: {from_host(f"http://{way}/") for _ in range(10)} == {here, there})
    runtime = str(cluster.directory / "pair" / "nodes" / "node-2" / "containerd.sock")
    running = run("ctr", "--address", runtime, "--namespace", "k8s.io", "tasks", "ls", "-q").split()
    assert len(running) == 2  # the DaemonSet's sandbox and container, nothing of the pods that are gone


def test_the_machine_reaches_services_while_the_first_node_is_off(cluster: Cluster) -> None:
    cluster.apply(server("two", "node-2"), service("two", type="LoadBalancer"))
    cluster.wait("condition=Ready", "pod/two")
    cluster.wait("jsonpath={.status.loadBalancer.ingress}", "service/two")
    found = cluster.get("service", "two")
    public = found["status"]["loadBalancer"]["ingress"][0]["ip"]
    ways = [found["spec"]["clusterIP"], public, f"{address(cluster, 'two')}:8080"]
    for way in ways:
        assert eventually(lambda w=way: from_host(f"http://{w}/")) == "two"
    cluster.pynetes("node", "stop", "node-1")
    for way in ways:
        assert eventually(lambda w=way: from_host(f"http://{w}/"), seconds=5) == "two"
    # `up` starts what does not run.
    cluster.pynetes("up", timeout=90)
    assert states(cluster) == {"node-1": "running", "node-2": "running"}
    for way in ways:
        assert eventually(lambda w=way: from_host(f"http://{w}/")) == "two"


def test_a_cluster_with_a_stopped_node_goes_down_and_comes_up_whole(cluster: Cluster) -> None:
    cluster.apply(server("two", "node-2"))
    cluster.wait("condition=Ready", "pod/two")
    cluster.pynetes("node", "stop", "node-2")
    assert BUSYBOX in cluster.pynetes("image", "ls")
    cluster.pynetes("down", timeout=90)
    cluster.pynetes("up", timeout=120)
    assert states(cluster) == {"node-1": "running", "node-2": "running"}
    eventually(lambda: cluster.get("pod", "two")["status"]["containerStatuses"][0]["restartCount"] == 1)
    cluster.wait("condition=Ready", "pod/two")


def test_a_cluster_that_comes_up_smaller_forgets_the_other_nodes(cluster: Cluster) -> None:
    names = ("get", "nodes", "-o", "jsonpath={.items[*].metadata.name}")
    cluster.pynetes("down")
    try:
        cluster.pynetes("up", "--nodes", "1", timeout=180)
        assert cluster.kubectl(*names) == "node-1"
    finally:
        cluster.pynetes("down")
        cluster.pynetes("up", "--nodes", "2", timeout=180)
    assert cluster.kubectl(*names) == "node-1 node-2"


@pytest.mark.parametrize("verb", ["stop", "start"])
def test_an_unknown_node_is_refused(cluster: Cluster, verb: str) -> None:
    with pytest.raises(Failed, match="has no node 'node-3', only node-1, node-2"):
        cluster.pynetes("node", verb, "node-3")
