"""Numbers: requests, limits, quality of service, eviction, fields."""

from typing import Any

import pytest

from pynetes.kubelet import fields, machine, resources
from pynetes.kubelet.cgroups import weight
from pynetes.kubelet.env import service_variables
from pynetes.kubelet.eviction import shortages


def pod(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    named = [{"name": f"c{index}", "resources": entry} for index, entry in enumerate(containers)]
    return {"metadata": {"name": "p"}, "spec": {"containers": named, **spec}}


FULL = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1000m", "memory": "1024Mi"}}


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (pod({}), "BestEffort"),
        (pod(FULL), "Guaranteed"),
        (pod(FULL, {}), "Burstable"),
        (pod({"limits": FULL["limits"]}), "Guaranteed"),
        (pod({"requests": {"cpu": "1m"}}), "Burstable"),
        (pod({"requests": {"cpu": "0"}}), "BestEffort"),
        (pod({"requests": {"cpu": "1"}, "limits": {"cpu": "2", "memory": "1Gi"}}), "Burstable"),
    ],
)
def test_quality_of_service(made: dict[str, Any], expected: str) -> None:
    assert resources.qos_class(made) == expected


@pytest.mark.parametrize(("milli", "expected"), [(0, 2), (1, 2), (100, 102), (1000, 1024), (10**9, 262144)])
def test_cpu_shares(milli: int, expected: int) -> None:
    assert resources.shares(milli) == expected


@pytest.mark.parametrize(("milli", "expected"), [(0, 0), (1, 1000), (500, 50000), (2000, 200000)])
def test_cpu_quota(milli: int, expected: int) -> None:
    assert resources.quota(milli) == expected


@pytest.mark.parametrize(("shares", "expected"), [(2, 1), (1024, 39), (262144, 10000)])
def test_shares_on_the_scale_of_cgroup_v2(shares: int, expected: int) -> None:
    assert weight(shares) == expected


@pytest.mark.parametrize(
    ("made", "score"),
    [
        (pod(FULL), -997),
        (pod({}), 1000),
        (pod({"requests": {"memory": "4Gi"}}), 500),
        (pod({"requests": {"memory": "1"}}), 999),
        (pod({"requests": {"memory": "8Gi"}}), 3),
        (pod({}, priority=2_000_000_000), -997),
    ],
)
def test_who_is_killed_first(made: dict[str, Any], score: int) -> None:
    assert resources.oom_score(made, made["spec"]["containers"][0], 8 << 30) == score


def test_a_pods_sum_counts_init_containers_by_their_peak_and_sidecars_beside() -> None:
    made = pod({"requests": {"cpu": "100m"}}, {"requests": {"cpu": "200m"}}, overhead={"cpu": "10m"})
    made["spec"]["initContainers"] = [
        {"name": "side", "restartPolicy": "Always", "resources": {"requests": {"cpu": "50m"}}},
        {"name": "big", "resources": {"requests": {"cpu": "900m"}}},
    ]
    assert resources.total(made, "requests", "cpu", milli=True) == (960, True)


def test_a_pod_is_limited_only_when_every_container_is() -> None:
    limits = resources.pod_limits(pod(FULL, {"requests": {"cpu": "1"}}))
    assert limits.cpu_quota is None and limits.memory is None and limits.cpu_shares == 2048
    limits = resources.pod_limits(pod(FULL))
    assert (limits.cpu_quota, limits.memory) == (100000, 1 << 30)


def test_thresholds_and_shortages() -> None:
    assert machine.threshold("10%", 1000) == 100 and machine.threshold("1Ki", 0) == 1024
    signals = {"memory.available": (50, 1000), "nodefs.available": (500, 1000), "nodefs.inodesFree": (0, 0)}
    rules = {"memory.available": "10%", "nodefs.available": "10%", "nodefs.inodesFree": "5%"}
    assert [found.signal for found in shortages(signals, rules)] == ["memory.available"]


def test_allocatable_is_what_is_left() -> None:
    total = {"cpu": "2", "memory": "4096Ki", "ephemeral-storage": "1000", "pods": "110"}
    left = machine.allocatable(total, [{"cpu": "150m"}], {"memory.available": "1Mi", "nodefs.available": "10%"})
    assert left == {"cpu": "1850m", "memory": "3072Ki", "ephemeral-storage": "900", "pods": "110"}


def test_fields() -> None:
    made: dict[str, Any] = {
        "metadata": {"name": "n", "namespace": "s", "labels": {"b": "2", "a": 'q"'}, "annotations": {"x": "l\nm"}},
        "spec": {"nodeName": "node"},
    }
    assert fields.field_value(made, "metadata.labels") == 'a="q\\""\nb="2"'
    assert fields.field_value(made, "metadata.annotations") == 'x="l\\nm"'
    assert fields.field_value(made, "metadata.labels['b']") == "2"
    assert fields.field_value(made, "metadata.labels['absent']") == ""
    assert fields.field_value(made, "spec.nodeName") == "node"
    with pytest.raises(fields.FieldError):
        fields.field_value(made, "spec.nope")


@pytest.mark.parametrize(
    ("resource", "divisor", "expected"),
    [
        ("limits.cpu", "1", "2"),
        ("limits.cpu", "1m", "1250"),
        ("requests.cpu", "1", "0"),
        ("limits.memory", "1Mi", "64"),
        ("limits.memory", None, str(64 << 20)),
        ("limits.ephemeral-storage", "1Ki", "10"),
    ],
)
def test_resource_fields(resource: str, divisor: str | None, expected: str) -> None:
    container = {"resources": {"limits": {"cpu": "1250m", "memory": "64Mi"}}}
    reference = {"resource": resource} | ({"divisor": divisor} if divisor else {})
    assert fields.resource_value({}, container, reference, {"ephemeral-storage": "10Ki"}) == expected


def service(name: str, namespace: str = "ns", ip: str = "10.0.0.1", **spec: Any) -> dict[str, Any]:
    ports = [{"port": 80, "name": "web"}, {"port": 53, "protocol": "UDP", "name": "dns-udp"}]
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"clusterIP": ip, "ports": ports, **spec}}


def test_service_variables() -> None:
    every = [
        service("a-b"),
        service("headless", ip="None"),
        service("elsewhere", "other"),
        service("kubernetes", "default", "10.0.0.2"),
        service("outside", ip="", type="ExternalName"),
    ]
    found = service_variables("ns", every, links=True)
    assert found["A_B_SERVICE_HOST"] == "10.0.0.1" and found["A_B_SERVICE_PORT"] == "80"
    assert found["A_B_SERVICE_PORT_DNS_UDP"] == "53"
    assert found["A_B_PORT"] == "tcp://10.0.0.1:80" and found["A_B_PORT_53_UDP_PROTO"] == "udp"
    assert found["KUBERNETES_SERVICE_HOST"] == "10.0.0.2"
    assert {name.split("_")[0] for name in found} == {"A", "KUBERNETES"}
    assert {name.split("_")[0] for name in service_variables("ns", every, links=False)} == {"KUBERNETES"}


def test_a_pods_own_limits_hold_for_containers_without() -> None:
    level = {"requests": {"memory": "2Gi"}, "limits": {"cpu": "500m", "memory": "3Gi"}}
    made = pod({}, {"requests": {"memory": "1Gi"}, "limits": {"memory": "1Gi"}}, resources=level)
    plain, limited = (resources.container_resources(made, each, 8 << 30) for each in made["spec"]["containers"])
    assert (plain.cpu_quota, plain.cpu_shares, plain.memory_limit_in_bytes) == (50000, 512, 3 << 30)
    assert (limited.cpu_quota, limited.memory_limit_in_bytes) == (50000, 1 << 30)
    assert (plain.oom_score_adj, limited.oom_score_adj) == (1000 - 1000 // 16, 1000 - 1500 // 8)


def test_a_sidecar_outlives_the_app_when_memory_is_short() -> None:
    made = pod({"requests": {"memory": "2Gi"}})
    sidecar = {"name": "s", "restartPolicy": "Always", "resources": {}}
    made["spec"]["initContainers"] = [sidecar]
    assert resources.oom_score(made, sidecar, 8 << 30) == 750
