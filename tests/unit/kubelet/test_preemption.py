"""Who goes so that a critical pod fits."""

from typing import Any

from pynetes.kubelet import admission, preemption
from pynetes.machinery.meta import Obj

CRITICAL = 2_000_000_000


def pod(name: str, cpu: str = "0", memory: str = "0", guaranteed: bool = False, **spec: Any) -> Obj:
    requests = {key: text for key, text in (("cpu", cpu), ("memory", memory)) if text != "0"}
    amounts: Obj = {"requests": requests} | ({"limits": requests} if guaranteed else {})
    return {
        "metadata": {"name": name, "namespace": "d", "uid": name},
        "spec": {"containers": [{"name": "c", "resources": amounts}], **spec},
    }


def chosen(others: list[Obj], preemptor: Obj | None = None, **missing: int) -> list[str] | None:
    found = preemption.victims(preemptor or pod("critical", priority=CRITICAL), others, missing)
    return None if found is None else [each["metadata"]["name"] for each in found]


def test_the_lowest_quality_of_service_goes_first() -> None:
    others = [pod("burstable", "1"), pod("guaranteed", "1", "1Gi", guaranteed=True), pod("besteffort")]
    assert chosen(others, pods=1) == ["besteffort"]
    assert chosen(others, cpu=500) == ["burstable"]
    assert chosen(others, cpu=1500) == ["burstable", "guaranteed"]
    assert chosen(others, cpu=2500) is None


def test_the_nearest_fit_goes() -> None:
    assert chosen([pod("small", "100m"), pod("large", "1"), pod("right", "500m")], cpu=500) == ["right"]
    assert chosen([pod("small", "300m"), pod("smaller", "200m")], cpu=400) == ["small", "smaller"]


def test_critical_pods_do_not_go_for_each_other() -> None:
    equal = pod("equal", "1", priority=CRITICAL)
    assert chosen([equal], cpu=500) is None
    assert chosen([equal], pod("higher", priority=CRITICAL + 1000), cpu=500) == ["equal"]
    assert chosen([pod("other", "1", priority=5)], pod("plain", priority=4), cpu=500) is None


def test_what_is_missing() -> None:
    allocatable = {"cpu": "2", "memory": "1Gi", "pods": "2"}
    others = [pod("a", "1500m", "512Mi"), pod("b")]
    assert admission.missing(pod("new", "1", "512Mi"), others, allocatable) == {"cpu": 500, "pods": 1}
