"""The rows that `kubectl get` shows, cell by cell."""

from typing import Any

import pytest

from pynetes.apis.registry import strategy_for
from pynetes.machinery import clock, resources

NOW = clock.parse_time("2026-01-01T12:00:00Z").timestamp()
TEN_MINUTES_AGO = "2026-01-01T11:50:00Z"


class _Noon(clock.SystemClock):
    def time(self) -> float:
        return NOW


@pytest.fixture(autouse=True)
def noon():
    with clock.use(_Noon()):
        yield


def row(resource: str, obj: dict[str, Any]) -> dict[str, Any]:
    """The cells of an object by column."""
    kind = strategy_for(resources.lookup(resource))
    metadata = {"name": "x", "namespace": "default", "creationTimestamp": TEN_MINUTES_AGO, **obj.get("metadata", {})}
    cells = kind.row(obj | {"metadata": metadata})
    return dict(zip([column.name for column in kind.columns], cells, strict=True))


def narrow(resource: str, obj: dict[str, Any]) -> list[Any]:
    """The cells that are shown without `-o wide`."""
    kind = strategy_for(resources.lookup(resource))
    return [cell for cell, column in zip(row(resource, obj).values(), kind.columns, strict=True) if not column.priority]


# Pods.


def pod(containers: list[Any], *, init: list[Any] = (), sidecars: int = 0, **status: Any) -> dict[str, Any]:
    inits = [{"name": f"i{n}", **({"restartPolicy": "Always"} if n < sidecars else {})} for n in range(len(init))]
    return {
        "spec": {"containers": [{"name": f"c{n}"} for n in range(len(containers))], "initContainers": inits},
        "status": {
            "phase": "Running",
            "containerStatuses": [{"name": f"c{n}", **state} for n, state in enumerate(containers)],
            "initContainerStatuses": [{"name": f"i{n}", **state} for n, state in enumerate(init)],
            **status,
        },
    }


RUNNING = {"ready": True, "restartCount": 0, "state": {"running": {}}}
WAITING = {"ready": False, "restartCount": 0, "state": {"waiting": {"reason": "ContainerCreating"}}}
CRASHING = {
    "ready": False,
    "restartCount": 3,
    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
    "lastState": {"terminated": {"exitCode": 1, "finishedAt": "2026-01-01T11:55:00Z"}},
}
DONE = {"ready": False, "restartCount": 0, "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}
FAILED = {"ready": False, "restartCount": 0, "state": {"terminated": {"exitCode": 3, "reason": "Error"}}}
KILLED = {"ready": False, "restartCount": 0, "state": {"terminated": {"exitCode": 137, "signal": 9}}}
NO_REASON = {"ready": False, "restartCount": 0, "state": {"terminated": {"exitCode": 3}}}
INIT_WAITS = {"ready": False, "restartCount": 0, "state": {"waiting": {"reason": "PodInitializing"}}}
DELETED = {"metadata": {"deletionTimestamp": "2026-01-01T11:59:00Z"}}
INITIALIZED = [{"type": "Initialized", "status": "True"}]

PODS = [
    ("no status yet", pod([], phase="Pending"), "0/0", "Pending", "0"),
    ("running", pod([RUNNING]), "1/1", "Running", "0"),
    ("creating", pod([WAITING], phase="Pending"), "0/1", "ContainerCreating", "0"),
    ("crash loop", pod([CRASHING]), "0/1", "CrashLoopBackOff", "3 (5m ago)"),
    ("completed", pod([DONE], phase="Succeeded"), "0/1", "Completed", "0"),
    ("failed", pod([FAILED], phase="Failed"), "0/1", "Error", "0"),
    ("killed", pod([KILLED], phase="Failed"), "0/1", "Signal:9", "0"),
    ("exit code only", pod([NO_REASON], phase="Failed"), "0/1", "ExitCode:3", "0"),
    ("first init of two", pod([WAITING], init=[INIT_WAITS, INIT_WAITS], phase="Pending"), "0/1", "Init:0/2", "0"),
    ("second init of two", pod([WAITING], init=[DONE, INIT_WAITS], phase="Pending"), "0/1", "Init:1/2", "0"),
    ("init failed", pod([WAITING], init=[FAILED], phase="Pending"), "0/1", "Init:Error", "0"),
    ("init crashing", pod([WAITING], init=[CRASHING], phase="Pending"), "0/1", "Init:CrashLoopBackOff", "3 (5m ago)"),
    ("init exit code", pod([WAITING], init=[NO_REASON], phase="Pending"), "0/1", "Init:ExitCode:3", "0"),
    (
        "sidecar counts",
        pod([RUNNING], init=[{**RUNNING, "started": True}], sidecars=1, conditions=INITIALIZED),
        "2/2",
        "Running",
        "0",
    ),
    ("evicted", pod([], phase="Failed", reason="Evicted"), "0/0", "Evicted", "0"),
    ("terminating", pod([RUNNING]) | DELETED, "1/1", "Terminating", "0"),
    ("node lost", pod([RUNNING], reason="NodeLost") | DELETED, "1/1", "Unknown", "0"),
    ("one done, one runs", pod([DONE, RUNNING]), "1/2", "NotReady", "0"),
    (
        "one done, one ready",
        pod([DONE, RUNNING], conditions=[{"type": "Ready", "status": "True"}]),
        "1/2",
        "Running",
        "0",
    ),
    (
        "gated",
        pod(
            [],
            phase="Pending",
            conditions=[{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}],
        ),
        "0/0",
        "SchedulingGated",
        "0",
    ),
]


@pytest.mark.parametrize(("what", "given", "ready", "status", "restarts"), PODS, ids=[each[0] for each in PODS])
def test_pods(what, given, ready, status, restarts):
    assert narrow("pods", given) == ["x", ready, status, restarts, "10m"]


def test_pods_wide():
    cells = row(
        "pods",
        {
            "spec": {"nodeName": "n1", "containers": [], "readinessGates": [{"conditionType": "a"}]},
            "status": {"podIPs": [{"ip": "10.0.0.1"}], "conditions": [{"type": "a", "status": "True"}]},
        },
    )
    assert (cells["IP"], cells["Node"], cells["Nominated Node"], cells["Readiness Gates"]) == (
        "10.0.0.1",
        "n1",
        "<none>",
        "1/1",
    )


# Everything else.

TEMPLATE = {
    "metadata": {"labels": {"a": "b"}},
    "spec": {"containers": [{"name": "c1", "image": "i1"}, {"name": "c2", "image": "i2"}]},
}
SELECTOR = {"matchLabels": {"b": "2", "a": "1"}}

ROWS: list[tuple[str, dict[str, Any], list[Any]]] = [
    (
        "services",
        {"spec": {"type": "ClusterIP", "clusterIP": "10.96.0.1", "ports": [{"port": 443, "protocol": "TCP"}]}},
        ["x", "ClusterIP", "10.96.0.1", "<none>", "443/TCP", "10m"],
    ),
    (
        "services",
        {
            "spec": {
                "type": "NodePort",
                "clusterIP": "10.96.0.2",
                "ports": [
                    {"port": 80, "nodePort": 30080, "protocol": "TCP"},
                    {"port": 53, "nodePort": 30053, "protocol": "UDP"},
                ],
            }
        },
        ["x", "NodePort", "10.96.0.2", "<none>", "80:30080/TCP,53:30053/UDP", "10m"],
    ),
    (
        "services",
        {"spec": {"type": "LoadBalancer", "clusterIP": "10.96.0.3"}},
        ["x", "LoadBalancer", "10.96.0.3", "<pending>", "<none>", "10m"],
    ),
    (
        "services",
        {
            "spec": {"type": "LoadBalancer", "clusterIP": "10.96.0.3", "externalIPs": ["9.9.9.9"]},
            "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.5"}, {"ip": "1.2.3.4"}]}},
        },
        ["x", "LoadBalancer", "10.96.0.3", "1.2.3.4,1.2.3.5,9.9.9.9", "<none>", "10m"],
    ),
    (
        "services",
        {"spec": {"type": "ExternalName", "externalName": "example.com"}},
        ["x", "ExternalName", "<none>", "example.com", "<none>", "10m"],
    ),
    (
        "deployments",
        {
            "spec": {"replicas": 3, "template": TEMPLATE, "selector": SELECTOR},
            "status": {"readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 1},
        },
        ["x", "2/3", 3, 1, "10m"],
    ),
    (
        "replicasets",
        {"spec": {"replicas": 3, "template": TEMPLATE}, "status": {"replicas": 2, "readyReplicas": 1}},
        ["x", 3, 2, 1, "10m"],
    ),
    ("replicationcontrollers", {"spec": {"replicas": 3}, "status": {"replicas": 2}}, ["x", 3, 2, 0, "10m"]),
    ("statefulsets", {"spec": {"replicas": 3}, "status": {"readyReplicas": 1}}, ["x", "1/3", "10m"]),
    (
        "daemonsets",
        {
            "spec": {"template": {"spec": {"nodeSelector": {"os": "linux"}}}},
            "status": {
                "desiredNumberScheduled": 5,
                "currentNumberScheduled": 4,
                "numberReady": 3,
                "updatedNumberScheduled": 2,
                "numberAvailable": 1,
            },
        },
        ["x", 5, 4, 3, 2, 1, "os=linux", "10m"],
    ),
    (
        "jobs",
        {
            "spec": {"completions": 3, "parallelism": 1},
            "status": {
                "succeeded": 3,
                "startTime": "2026-01-01T11:50:00Z",
                "completionTime": "2026-01-01T11:51:30Z",
                "conditions": [{"type": "Complete", "status": "True"}],
            },
        },
        ["x", "Complete", "3/3", "90s", "10m"],
    ),
    ("jobs", {"spec": {"parallelism": 4}}, ["x", "Running", "0/1 of 4", "", "10m"]),
    (
        "cronjobs",
        {
            "spec": {"schedule": "*/5 * * * *", "suspend": False},
            "status": {"lastScheduleTime": "2026-01-01T11:58:00Z", "active": [{}]},
        },
        ["x", "*/5 * * * *", "<none>", "False", 1, "2m", "10m"],
    ),
    (
        "nodes",
        {
            "metadata": {"labels": {"node-role.kubernetes.io/control-plane": "", "kubernetes.io/role": "a"}},
            "spec": {"unschedulable": True},
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "nodeInfo": {"kubeletVersion": "v1.37.0"},
            },
        },
        ["x", "Ready,SchedulingDisabled", "a,control-plane", "10m", "v1.37.0"],
    ),
    (
        "nodes",
        {"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}},
        ["x", "NotReady", "<none>", "10m", ""],
    ),
    ("nodes", {}, ["x", "Unknown", "<none>", "10m", ""]),
    ("namespaces", {"status": {"phase": "Terminating"}}, ["x", "Terminating", "10m"]),
    ("configmaps", {"data": {"a": "1"}, "binaryData": {"b": "MQ=="}}, ["x", 2, "10m"]),
    ("secrets", {"type": "Opaque", "data": {"a": "MQ=="}}, ["x", "Opaque", 1, "10m"]),
    ("serviceaccounts", {"secrets": [{"name": "s"}]}, ["x", 1, "10m"]),
    (
        "endpoints",
        {
            "subsets": [
                {
                    "addresses": [{"ip": f"10.0.0.{n}"} for n in range(1, 5)],
                    "ports": [{"port": 80}],
                }
            ]
        },
        ["x", "10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 1 more...", "10m"],
    ),
    (
        "endpointslices",
        {
            "addressType": "IPv4",
            "ports": [{"port": 80}, {"port": None}],
            "endpoints": [{"addresses": ["10.0.0.1"]}],
        },
        ["x", "IPv4", "80,*", "10.0.0.1", "10m"],
    ),
    ("endpointslices", {"addressType": "IPv4"}, ["x", "IPv4", "<unset>", "<unset>", "10m"]),
    (
        "persistentvolumes",
        {
            "spec": {
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteMany", "ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Retain",
                "claimRef": {"namespace": "ns", "name": "c"},
                "storageClassName": "fast",
            },
            "status": {"phase": "Bound"},
        },
        ["x", "1Gi", "RWO,RWX", "Retain", "Bound", "ns/c", "fast", "<unset>", "", "10m"],
    ),
    (
        "persistentvolumeclaims",
        {
            "spec": {"volumeName": "v", "storageClassName": "fast", "resources": {"requests": {"storage": "1Gi"}}},
            "status": {"phase": "Bound", "capacity": {"storage": "2Gi"}, "accessModes": ["ReadWriteOnce"]},
        },
        ["x", "Bound", "v", "2Gi", "RWO", "fast", "<unset>", "10m"],
    ),
    (
        "persistentvolumeclaims",
        {"spec": {"accessModes": ["ReadWriteOnce"]}, "status": {"phase": "Pending"}},
        ["x", "Pending", "", "", "", "", "<unset>", "10m"],
    ),
    (
        "ingresses",
        {
            "spec": {
                "ingressClassName": "nginx",
                "rules": [{"host": f"h{n}.example.com"} for n in range(1, 5)],
                "tls": [{}],
            },
            "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}},
        },
        [
            "x",
            "nginx",
            "h1.example.com,h2.example.com,h3.example.com + 1 more...",
            "1.2.3.4",
            "80, 443",
            "10m",
        ],
    ),
    ("ingresses", {"spec": {"defaultBackend": {}}}, ["x", "<none>", "*", "", "80", "10m"]),
    (
        "horizontalpodautoscalers",
        {
            "spec": {
                "scaleTargetRef": {"kind": "Deployment", "name": "web"},
                "minReplicas": 2,
                "maxReplicas": 5,
                "metrics": [
                    {
                        "type": "Resource",
                        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
                    }
                ],
            },
            "status": {"currentReplicas": 3},
        },
        ["x", "Deployment/web", "cpu: <unknown>/80%", "2", 5, 3, "10m"],
    ),
    (
        "poddisruptionbudgets",
        {"spec": {"minAvailable": "50%"}, "status": {"disruptionsAllowed": 2}},
        ["x", "50%", "N/A", 2, "10m"],
    ),
    (
        "rolebindings",
        {"roleRef": {"kind": "ClusterRole", "name": "edit"}},
        ["x", "ClusterRole/edit", "10m"],
    ),
    (
        "storageclasses",
        {
            "metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
            "provisioner": "p",
            "reclaimPolicy": "Delete",
            "volumeBindingMode": "Immediate",
        },
        ["x (default)", "p", "Delete", "Immediate", "false", "10m"],
    ),
    (
        "priorityclasses",
        {"value": 5, "preemptionPolicy": "Never"},
        ["x", 5, False, "10m", "Never"],
    ),
    ("leases", {"spec": {"holderIdentity": "me"}}, ["x", "me", "10m"]),
    (
        "events",
        {
            "type": "Normal",
            "reason": "Pulled",
            "involvedObject": {"kind": "Pod", "name": "p"},
            "message": "done ",
            "lastTimestamp": "2026-01-01T11:59:00Z",
            "firstTimestamp": "2026-01-01T11:50:00Z",
            "count": 4,
        },
        ["60s", "Normal", "Pulled", "pod/p", "done"],
    ),
    (
        "networkpolicies",
        {"spec": {"podSelector": {"matchLabels": {"a": "b"}}}},
        ["x", "a=b", "10m"],
    ),
    (
        "resourcequotas",
        {"status": {"hard": {"pods": "5", "limits.cpu": "2"}, "used": {"pods": "1"}}},
        ["x", "pods: 1/5", "limits.cpu: 0/2", "10m"],
    ),
    (
        "controllerrevisions",
        {
            "metadata": {
                "ownerReferences": [
                    {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "u", "controller": True}
                ]
            },
            "revision": 2,
        },
        ["x", "daemonset.apps/d", 2, "10m"],
    ),
    (
        "apiservices",
        {
            "spec": {"service": {"namespace": "n", "name": "s"}},
            "status": {"conditions": [{"type": "Available", "status": "False", "reason": "MissingEndpoints"}]},
        },
        ["x", "n/s", "False (MissingEndpoints)", "10m"],
    ),
]


@pytest.mark.parametrize(
    ("resource", "obj", "cells"), ROWS, ids=[f"{resource}-{n}" for n, (resource, *_) in enumerate(ROWS)]
)
def test_rows(resource, obj, cells):
    assert narrow(resource, obj) == cells


@pytest.mark.parametrize("resource", ["deployments", "replicasets", "daemonsets", "jobs"])
def test_workloads_show_containers_images_and_selector_when_wide(resource):
    cells = row(resource, {"spec": {"template": TEMPLATE, "selector": SELECTOR}})
    assert (cells["Containers"], cells["Images"], cells["Selector"]) == ("c1,c2", "i1,i2", "a=1,b=2")


def test_nodes_wide():
    cells = row(
        "nodes",
        {
            "status": {
                "addresses": [{"type": "InternalIP", "address": "10.1.1.1"}],
                "nodeInfo": {
                    "osImage": "Debian",
                    "kernelVersion": "6.1",
                    "containerRuntimeVersion": "containerd://1.6",
                },
            }
        },
    )
    assert list(cells.values())[-5:] == ["10.1.1.1", "<none>", "Debian", "6.1", "containerd://1.6"]


@pytest.mark.parametrize("rt", resources.BUILTIN, ids=lambda rt: f"{rt.group_resource}/{rt.version}")
def test_every_kind_has_a_cell_for_every_column_even_of_an_empty_object(rt):
    kind = strategy_for(rt)
    assert len(kind.row({"metadata": {"name": "x"}})) == len(kind.columns)
    assert kind.columns[0].name == "Name" or rt.plural == "events"
