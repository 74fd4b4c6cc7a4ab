"""Node health, tolerations and ranges."""

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pynetes.controllers import node_health as health
from pynetes.controllers.node_ipam import first_free
from pynetes.controllers.podgc import surplus
from pynetes.machinery import meta
from pynetes.machinery.meta import Obj
from pynetes.machinery.tolerations import seconds_tolerated, tolerates, untolerated


def node(*conditions: tuple[str, str], **spec: Any) -> Obj:
    found = [{"type": kind, "status": status, "reason": "r"} for kind, status in conditions]
    return {
        "metadata": {"name": "n", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": spec,
        "status": {"conditions": found},
    }


def test_silence_makes_every_watched_condition_unknown() -> None:
    found = {c["type"]: c for c in health.silenced(node(("Ready", "True"), ("NetworkUnavailable", "False")), "now")}
    assert found["Ready"]["reason"] == "NodeStatusUnknown"
    assert found["Ready"]["lastTransitionTime"] == "now"
    assert found["DiskPressure"]["reason"] == "NodeStatusNeverUpdated"
    assert found["DiskPressure"]["message"] == "Kubelet never posted node status."
    assert found["NetworkUnavailable"]["status"] == "False"
    silent = node(("Ready", "Unknown"))
    assert health.silenced(silent, "now")[0] == health.conditions(silent)[0]


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (node(("Ready", "True")), set()),
        (node(("Ready", "False")), {"node.kubernetes.io/not-ready"}),
        (node(("Ready", "Unknown")), {"node.kubernetes.io/unreachable"}),
        (
            node(("Ready", "True"), ("MemoryPressure", "True"), ("PIDPressure", "True")),
            {"node.kubernetes.io/memory-pressure", "node.kubernetes.io/pid-pressure"},
        ),
        (node(("Ready", "True"), unschedulable=True), {"node.kubernetes.io/unschedulable"}),
    ],
)
def test_conditions_call_for_taints(subject: Obj, expected: set[str]) -> None:
    assert health.no_schedule_taints(subject) == expected


def test_only_condition_taints_are_touched() -> None:
    own = {"key": "dedicated", "effect": "NoSchedule"}
    old = {"key": "node.kubernetes.io/disk-pressure", "effect": "NoSchedule"}
    made = health.with_no_schedule([own, old], {"node.kubernetes.io/not-ready"})
    assert [t["key"] for t in made] == ["dedicated", "node.kubernetes.io/not-ready"]
    assert health.with_no_schedule([own], set()) == [own]


def test_not_ready_and_unreachable_replace_each_other() -> None:
    first = health.with_no_execute([], health.NOT_READY)
    assert [t["key"] for t in first] == [health.NOT_READY]
    second = health.with_no_execute(first, health.UNREACHABLE)
    assert [t["key"] for t in second] == [health.UNREACHABLE]
    assert health.with_no_execute(second, health.UNREACHABLE) == second
    assert health.with_no_execute(second, None) == []


@pytest.mark.parametrize(
    ("ready", "state"),
    [
        ([], "Normal"),
        ([True] * 3, "Normal"),
        ([True, False, False], "Normal"),
        ([False] * 3 + [True] * 3, "Normal"),
        ([False] * 4 + [True] * 3, "PartialDisruption"),
        ([False] * 4, "FullDisruption"),
        ([False], "FullDisruption"),
    ],
)
def test_the_state_of_a_zone(ready: list[bool], state: str) -> None:
    assert health.zone_state(ready, 0.55) == state


def test_a_half_dead_zone_is_evicted_slowly_or_not_at_all() -> None:
    rates = {"primary": 0.1, "secondary": 0.01}
    assert health.eviction_rate("Normal", 10, large=50, **rates) == 0.1
    assert health.eviction_rate("PartialDisruption", 10, large=50, **rates) == 0
    assert health.eviction_rate("PartialDisruption", 60, large=50, **rates) == 0.01


TAINT = {"key": "k", "value": "v", "effect": "NoExecute"}


@pytest.mark.parametrize(
    ("toleration", "expected"),
    [
        ({"key": "k", "operator": "Equal", "value": "v", "effect": "NoExecute"}, True),
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "value": "w"}, False),
        ({"key": "k", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"operator": "Exists", "effect": "NoSchedule"}, False),
        ({"key": "other", "operator": "Exists"}, False),
    ],
)
def test_whether_a_toleration_covers_a_taint(toleration: Obj, expected: bool) -> None:
    assert tolerates(toleration, TAINT) is expected


def test_the_shortest_tolerance_counts_and_one_uncovered_taint_is_enough() -> None:
    forever = {"key": "k", "operator": "Exists"}
    brief = {**forever, "tolerationSeconds": 30}
    assert seconds_tolerated([forever], [TAINT]) is None
    assert seconds_tolerated([forever, brief], [TAINT]) == 30
    assert seconds_tolerated([{**brief, "tolerationSeconds": -1}], [TAINT]) == 0
    assert seconds_tolerated([brief], [TAINT, {"key": "x", "effect": "NoExecute"}]) == 0
    assert untolerated([brief], [TAINT], ["NoSchedule"]) == []


def test_ranges_are_given_in_order_and_around_what_is_taken() -> None:
    cluster = ipaddress.ip_network("10.244.0.0/16")
    first = first_free(cluster, 24, [])
    assert str(first) == "10.244.0.0/24"
    taken = [ipaddress.ip_network("10.244.0.0/23"), ipaddress.ip_network("10.99.0.0/16")]
    assert str(first_free(cluster, 24, taken)) == "10.244.2.0/24"
    assert first_free(ipaddress.ip_network("10.0.0.0/24"), 25, [ipaddress.ip_network("10.0.0.0/24")]) is None
    assert str(first_free(ipaddress.ip_network("fd00::/48"), 64, [])) == "fd00::/64"


@given(st.integers(1, 40))
def test_no_two_nodes_share_a_range(count: int) -> None:
    cluster = ipaddress.ip_network("10.0.0.0/18")
    taken: list[Any] = []
    for _ in range(count):
        found = first_free(cluster, 24, taken, ipaddress.ip_network("10.0.3.0/24"))
        assert found is not None
        assert not any(found.overlaps(other) for other in taken)
        taken.append(found)


def test_evicted_pods_are_cleaned_up_first_then_the_oldest() -> None:
    def ended(name: str, created: str, reason: str = "") -> Obj:
        return {
            "metadata": {"name": name, "creationTimestamp": created},
            "status": {"phase": "Failed", "reason": reason},
        }

    pods = [ended("old", "1"), ended("new", "3"), ended("evicted", "2", "Evicted")]
    assert [meta.name(p) for p in surplus(pods, 1)] == ["evicted", "old"]
    assert surplus(pods, 3) == []
