"""What a pod asks for in total, and what objects count for in a quota."""

from typing import Any

import pytest

from pynetes.machinery import quota
from pynetes.machinery.pod_totals import pod_total


def container(cpu: str = "", limit: str = "", **more: Any) -> dict[str, Any]:
    resources = {"requests": {"cpu": cpu} if cpu else {}, "limits": {"cpu": limit} if limit else {}}
    return {"name": "c", "resources": resources, **more}


def shown(amounts: Any) -> dict[str, str]:
    return quota.as_strings(amounts)


@pytest.mark.parametrize(
    ("spec", "total"),
    [
        ({"containers": [container("1"), container("500m")]}, "1500m"),
        ({"containers": [container("1")], "initContainers": [container("3"), container("2")]}, "3"),
        ({"containers": [container("1")], "initContainers": [container("1", restartPolicy="Always")]}, "2"),
        (
            {
                "containers": [container("1")],
                "initContainers": [container("1", restartPolicy="Always"), container("2")],
            },
            "3",
        ),
        ({"containers": [container("1")], "overhead": {"cpu": "100m"}}, "1100m"),
        ({"containers": [container("1")], "resources": {"requests": {"cpu": "4"}}}, "4"),
    ],
)
def test_a_pod_asks_for_the_larger_of_both_phases(spec: dict[str, Any], total: str) -> None:
    assert shown(pod_total(spec, "requests")) == {"cpu": total}


def test_overhead_only_raises_limits_that_are_there() -> None:
    spec = {"containers": [container("1", "2")], "overhead": {"cpu": "1", "memory": "1Gi"}}
    assert shown(pod_total(spec, "limits")) == {"cpu": "3"}


def test_services_count_their_node_ports() -> None:
    def used(**spec: Any) -> dict[str, str]:
        found = shown(quota.usage("services", {"metadata": {}, "spec": {"ports": [{"port": 1}, {"port": 2}], **spec}}))
        return {name: found[f"services.{name}"] for name in ("nodeports", "loadbalancers")}

    assert used() == {"nodeports": "0", "loadbalancers": "0"}
    assert used(type="NodePort") == {"nodeports": "2", "loadbalancers": "0"}
    assert used(type="LoadBalancer") == {"nodeports": "2", "loadbalancers": "1"}
    assert used(type="LoadBalancer", allocateLoadBalancerNodePorts=False) == {"nodeports": "0", "loadbalancers": "1"}


def test_claims_count_for_their_class_too() -> None:
    claim = {"metadata": {}, "spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "1Gi"}}}}
    assert shown(quota.usage("persistentvolumeclaims", claim)) == {
        "count/persistentvolumeclaims": "1",
        "persistentvolumeclaims": "1",
        "requests.storage": "1Gi",
        "fast.storageclass.storage.k8s.io/persistentvolumeclaims": "1",
        "fast.storageclass.storage.k8s.io/requests.storage": "1Gi",
    }


def test_a_pod_that_has_ended_is_an_object_but_uses_nothing() -> None:
    pod = {"metadata": {}, "spec": {"containers": [container("1")]}, "status": {"phase": "Succeeded"}}
    assert shown(quota.usage("pods", pod)) == {"count/pods": "1"}


@pytest.mark.parametrize(
    ("kind", "name", "counts"),
    [
        ("pods", "cpu", True),
        ("pods", "requests.nvidia.com/gpu", True),
        ("pods", "hugepages-2Mi", True),
        ("pods", "services", False),
        ("services", "services.nodeports", True),
        ("deployments.apps", "count/deployments.apps", True),
        ("deployments.apps", "count/deployments.extensions", False),
        ("persistentvolumeclaims", "gold.storageclass.storage.k8s.io/requests.storage", True),
    ],
)
def test_which_resource_concerns_which_objects(kind: str, name: str, counts: bool) -> None:
    assert quota.concerns(kind, name) is counts
