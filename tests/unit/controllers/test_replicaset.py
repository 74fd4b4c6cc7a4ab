"""How many pods, and which go first."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pynetes.controllers.expectations import Expectations
from pynetes.controllers.pod_ranking import deletion_order
from pynetes.controllers.replicaset import BURST, calculate_status, plan
from pynetes.machinery import clock, meta
from pynetes.machinery.meta import Obj

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(seconds_ago: float) -> str:
    return clock.format_time(NOW - timedelta(seconds=seconds_ago))


def pod(name: str, **options: Any) -> Obj:
    age = options.get("age", 100)
    made: Obj = {
        "metadata": {"name": name, "uid": name, "creationTimestamp": at(age), "labels": {"app": "web"}},
        "spec": {"nodeName": options.get("node", "n1")},
        "status": {"phase": options.get("phase", "Running")},
    }
    if options.get("ready", True):
        since = at(options.get("ready_for", age))
        made["status"]["conditions"] = [{"type": "Ready", "status": "True", "lastTransitionTime": since}]
    if "cost" in options:
        made["metadata"]["annotations"] = {"controller.kubernetes.io/pod-deletion-cost": options["cost"]}
    if "restarts" in options:
        made["status"]["containerStatuses"] = [{"restartCount": options["restarts"]}]
    return made


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (pod("b", node=""), pod("a")),
        (pod("b", phase="Pending"), pod("a", phase="Unknown")),
        (pod("b", phase="Unknown"), pod("a")),
        (pod("b", ready=False), pod("a")),
        (pod("b", cost="-5"), pod("a", cost="0")),
        (pod("b", cost="junk"), pod("a", cost="1")),
        (pod("b", ready_for=2, age=100), pod("a", ready_for=90, age=100)),
        (pod("b", restarts=3), pod("a", restarts=1)),
        (pod("b", ready=False, age=5), pod("a", ready=False, age=500)),
    ],
    ids=["unplaced", "pending", "unknown", "unready", "cheap", "bad-cost", "ready-briefly", "restarted", "young"],
)
def test_the_least_loss_goes_first(first: Obj, second: Obj) -> None:
    for order in ([first, second], [second, first]):
        assert [meta.name(p) for p in deletion_order(order, [], NOW)] == ["b", "a"]


def test_pods_that_share_a_node_go_before_those_alone() -> None:
    crowd = [pod("x", node="n1"), pod("y", node="n1"), pod("z", node="n2")]
    assert meta.name(deletion_order(crowd, crowd, NOW)[-1]) == "z"


def test_the_order_does_not_depend_on_the_input() -> None:
    pods = [pod(f"p{i}", age=100 + i % 7, ready_for=10 + i % 5, restarts=i % 3) for i in range(40)]
    wanted = [meta.name(p) for p in deletion_order(pods, pods, NOW)]
    for seed in range(5):
        random.Random(seed).shuffle(pods)
        assert [meta.name(p) for p in deletion_order(pods, pods, NOW)] == wanted


def test_a_plan_creates_or_deletes_at_most_a_burst() -> None:
    assert plan(3, [], [], NOW).create == 3
    assert plan(5000, [], [], NOW).create == BURST
    assert [meta.name(p) for p in plan(1, [pod("a"), pod("b", ready=False)], [], NOW).delete] == ["b"]
    done = plan(1, [pod("a")], [], NOW)
    assert (done.create, done.delete) == (0, ())


def owner(**spec: Any) -> Obj:
    template = {"metadata": {"labels": {"app": "web"}}}
    return {
        "kind": "ReplicaSet",
        "metadata": {"name": "web", "generation": 4},
        "spec": {"replicas": 3, "template": template, **spec},
    }


def test_status_counts_ready_available_and_terminating() -> None:
    going = pod("going")
    going["metadata"]["deletionTimestamp"] = at(0)
    pods = [pod("a"), pod("b", ready_for=1), pod("c", ready=False), going]
    status = calculate_status(owner(minReadySeconds=10), pods, None, NOW)
    assert status == {
        "replicas": 3,
        "fullyLabeledReplicas": 3,
        "readyReplicas": 2,
        "availableReplicas": 1,
        "observedGeneration": 4,
        "terminatingReplicas": 1,
    }


def test_a_failure_becomes_a_condition_and_goes_with_success() -> None:
    failed = calculate_status(owner(), [], ("FailedCreate", "quota"), NOW)
    (condition,) = failed["conditions"]
    assert (condition["type"], condition["reason"], condition["message"]) == ("ReplicaFailure", "FailedCreate", "quota")
    cured = calculate_status({**owner(), "status": failed}, [], None, NOW)
    assert "conditions" not in cured
    assert cured["replicas"] == 0


def test_expectations_block_until_everything_is_observed() -> None:
    expected = Expectations()
    assert expected.satisfied("k")
    expected.expect("k", creations=2, deletions=["p"])
    expected.creation_observed("k")
    assert not expected.satisfied("k")
    expected.creation_observed("k")
    assert not expected.satisfied("k")
    expected.deletion_observed("k", "other")
    assert not expected.satisfied("k")
    expected.deletion_observed("k", "p")
    assert expected.satisfied("k")


def test_expectations_that_are_never_met_expire() -> None:
    class Later:
        now = 0.0

        def time(self) -> float:
            return self.now

        def monotonic(self) -> float:
            return self.now

        async def sleep(self, seconds: float) -> None:
            raise AssertionError

    later = Later()
    with clock.use(later):
        expected = Expectations()
        expected.expect("k", creations=1)
        later.now = 299
        assert not expected.satisfied("k")
        later.now = 301
        assert expected.satisfied("k")
