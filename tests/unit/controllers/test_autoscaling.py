"""The arithmetic and the pace of autoscalers."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pynetes.controllers import autoscaling_behavior as pace
from pynetes.controllers import autoscaling_math as proportion
from pynetes.controllers.autoscaling import amount
from pynetes.controllers.autoscaling_metrics import NoMetrics, Sample
from pynetes.machinery import clock
from pynetes.machinery.meta import Obj

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
EXACT = proportion.Tolerance()
TIMING = proportion.Timing()


def pod(name: str, request: str = "1", ready: str = "True", age: float = 3600, phase: str = "Running") -> Obj:
    began = clock.format_time(NOW - timedelta(seconds=age))
    return {
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "app", "resources": {"requests": {"cpu": request}}}]},
        "status": {
            "phase": phase,
            "startTime": began,
            "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": began}],
        },
    }


def samples(**milli: int) -> dict[str, Sample]:
    return {name: Sample(value, NOW, 60.0) for name, value in milli.items()}


def utilization(pods: list[Obj], used: dict[str, Sample], target: int, current: int | None = None) -> int:
    groups = proportion.group(pods, used, "cpu", TIMING, NOW)
    asked = proportion.requests(pods, "", "cpu")
    count = len(pods) if current is None else current
    return proportion.by_utilization(count, target, used, asked, groups, EXACT).replicas


@pytest.mark.parametrize(
    ("used", "expected"),
    [((300, 500, 700), 5), ((300, 310, 290), 3), ((100, 100, 100), 1), ((900, 900, 900), 9)],
)
def test_replicas_follow_the_share_of_requests(used: tuple[int, ...], expected: int) -> None:
    pods = [pod(f"p{i}") for i in range(3)]
    assert utilization(pods, samples(**{f"p{i}": value for i, value in enumerate(used)}), 30) == expected


def test_a_small_deviation_changes_nothing() -> None:
    pods = [pod("a"), pod("b")]
    assert utilization(pods, samples(a=540, b=540), 50) == 2
    assert utilization(pods, samples(a=560, b=560), 50) == 3


def test_a_pod_without_metrics_makes_the_change_smaller() -> None:
    pods = [pod("a"), pod("b"), pod("c"), pod("d")]
    assert utilization(pods, samples(a=1000, b=1000, c=1000), 50) == 6
    assert utilization(pods, samples(a=100, b=100, c=100), 50) == 3


def test_a_pod_that_starts_is_taken_to_be_idle_when_growing() -> None:
    pods = [pod("a"), pod("b"), pod("c", ready="False", age=10)]
    assert utilization(pods, samples(a=1000, b=1000, c=1000), 50) == 4


def test_pods_that_are_going_do_not_count() -> None:
    going = pod("b")
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert utilization([pod("a"), going], samples(a=1000, b=0), 50, current=1) == 2


def test_assumptions_never_turn_the_direction() -> None:
    pods = [pod("a"), *(pod(f"m{i}") for i in range(9))]
    assert utilization(pods, samples(a=600), 50) == 10


def test_without_requests_there_is_no_share() -> None:
    bare: Any = pod("a")
    del bare["spec"]["containers"][0]["resources"]
    with pytest.raises(NoMetrics, match="missing request for cpu in container app of Pod a"):
        proportion.requests([bare], "", "cpu")


def test_without_samples_nothing_is_said() -> None:
    with pytest.raises(NoMetrics, match="did not receive metrics for targeted pods"):
        utilization([pod("a", phase="Pending")], samples(a=1), 50)


def test_an_average_per_pod_and_totals() -> None:
    pods = [pod("a"), pod("b")]
    used = samples(a=20_000, b=10_000)
    groups = proportion.group(pods, used, "", TIMING, NOW)
    assert proportion.by_average(2, 10_000, used, groups, EXACT).replicas == 3
    assert proportion.by_total(3, 3, 20_000, 10_000, EXACT) == 6
    assert proportion.by_total_average(3, 80_000, 20_000, EXACT) == 4


@given(current=st.integers(1, 50), used=st.integers(1, 5000), target=st.integers(1, 100))
def test_more_use_never_means_fewer_replicas(current: int, used: int, target: int) -> None:
    pods = [pod(f"p{i}") for i in range(current)]
    less = utilization(pods, samples(**{f"p{i}": used for i in range(current)}), target)
    more = utilization(pods, samples(**{f"p{i}": used * 2 for i in range(current)}), target)
    assert more >= less


def settle(
    current: int, desired: int, memory: pace.Memory | None = None, now: float = 1000.0, **spec: Any
) -> pace.Limited:
    wanted = {"minReplicas": 1, "maxReplicas": 100, **spec}
    return pace.settle(wanted, current, desired, memory or pace.Memory(), now, 300)


def test_without_behaviour_a_step_at_most_doubles() -> None:
    assert settle(10, 50).replicas == 20
    assert settle(10, 50).limited[1] == "ScaleUpLimit"
    assert settle(1, 50).replicas == 4
    assert settle(10, 50, maxReplicas=12).limited[1] == "TooManyReplicas"
    assert settle(10, 0, minReplicas=2).limited[1] == "TooFewReplicas"
    assert settle(10, 9).limited[1] == "DesiredWithinRange"


def test_going_down_waits_for_the_highest_of_the_last_minutes() -> None:
    memory = pace.Memory([(800.0, 8), (500.0, 40)])
    held = settle(10, 3, memory)
    assert held.replicas == 8
    assert held.able is not None
    assert held.able[0] == "ScaleDownStabilized"
    assert settle(10, 3, memory, now=1200.0).replicas == 3


def test_policies_limit_the_change_of_a_period() -> None:
    up = {"scaleUp": {"policies": [{"type": "Pods", "value": 3, "periodSeconds": 60}]}}
    memory = pace.Memory()
    assert settle(10, 50, memory, behavior=up).replicas == 13
    memory.note_change(1000.0, 10, 13, 60)
    assert settle(13, 50, memory, now=1010.0, behavior=up).replicas == 13
    assert settle(13, 50, memory, now=1061.0, behavior=up).replicas == 16


def test_select_policy_chooses_the_stricter_the_looser_or_none() -> None:
    both = [{"type": "Pods", "value": 2, "periodSeconds": 60}, {"type": "Percent", "value": 50, "periodSeconds": 60}]

    def down(select: str) -> int:
        rules = {"scaleDown": {"selectPolicy": select, "policies": both, "stabilizationWindowSeconds": 0}}
        return settle(10, 1, behavior=rules).replicas

    assert down("Max") == 5
    assert down("Min") == 8
    assert down("Disabled") == 10


def test_amounts_are_written_as_quantities() -> None:
    assert amount(250) == "250m"
    assert amount(2000) == "2"
