"""What a DELETE comes to, case by case."""

from typing import Any

import pytest

from pynetes.apis.registry import strategy_for
from pynetes.apiserver import deletion
from pynetes.machinery import clock, resources

Obj = dict[str, Any]
PODS = strategy_for(resources.lookup("pods"))
CONFIGMAPS = strategy_for(resources.lookup("configmaps"))
NAMESPACES = strategy_for(resources.lookup("namespaces"))
EVENTS = strategy_for(resources.lookup("events"))
DEPLOYMENTS = strategy_for(resources.lookup("deployments.apps"))


def thing(**metadata: Any) -> Obj:
    return {"metadata": {"name": "a", **metadata}}


def running_pod(**metadata: Any) -> Obj:
    spec = {"nodeName": "n", "terminationGracePeriodSeconds": 30, "containers": []}
    return {"metadata": {"name": "p", **metadata}, "spec": spec, "status": {"phase": "Running"}}


def test_what_nothing_holds_is_removed() -> None:
    assert deletion.plan(CONFIGMAPS, thing(), {}).action == "remove"


def test_a_finalizer_turns_the_delete_into_a_mark() -> None:
    plan = deletion.plan(CONFIGMAPS, thing(finalizers=["a.b/c"]), {})
    assert plan.action == "update"
    assert plan.obj["metadata"]["deletionGracePeriodSeconds"] == 0
    assert clock.parse_time(plan.obj["metadata"]["deletionTimestamp"])


def test_marking_counts_as_a_change_of_generation() -> None:
    plan = deletion.plan(DEPLOYMENTS, thing(finalizers=["a.b/c"], generation=4), {})
    assert plan.obj["metadata"]["generation"] == 5


@pytest.mark.parametrize(
    ("present", "options", "expected"),
    [
        ([], {"propagationPolicy": "Orphan"}, ["orphan"]),
        ([], {"propagationPolicy": "Foreground"}, ["foregroundDeletion"]),
        ([], {"orphanDependents": True}, ["orphan"]),
        (["orphan"], {}, ["orphan"]),
        (["orphan"], {"propagationPolicy": "Foreground"}, ["foregroundDeletion"]),
        (["a.b/c", "foregroundDeletion"], {"propagationPolicy": "Background"}, ["a.b/c"]),
        (["foregroundDeletion"], {"orphanDependents": False}, []),
    ],
)
def test_the_propagation_policy_becomes_a_finalizer(present: list[str], options: Obj, expected: list[str]) -> None:
    plan = deletion.plan(CONFIGMAPS, thing(finalizers=present), options)
    assert plan.obj["metadata"].get("finalizers", []) == expected
    assert plan.action == ("update" if expected else "remove")


def test_events_have_no_dependents() -> None:
    assert deletion.plan(EVENTS, thing(), {"propagationPolicy": "Orphan"}).action == "remove"


def test_a_running_pod_gets_its_grace_period() -> None:
    plan = deletion.plan(PODS, running_pod(), {})
    assert (plan.action, plan.obj["metadata"]["deletionGracePeriodSeconds"]) == ("update", 30)
    left = clock.parse_time(plan.obj["metadata"]["deletionTimestamp"]).timestamp() - clock.time()
    assert 28 < left <= 30


def test_a_negative_grace_period_is_one_second() -> None:
    plan = deletion.plan(PODS, running_pod(), {"gracePeriodSeconds": -5})
    assert plan.obj["metadata"]["deletionGracePeriodSeconds"] == 1


def test_a_second_delete_only_shortens() -> None:
    marked = deletion.plan(PODS, running_pod(), {}).obj
    end = clock.parse_time(marked["metadata"]["deletionTimestamp"])
    assert deletion.plan(PODS, marked, {}).action == "keep"
    assert deletion.plan(PODS, marked, {"gracePeriodSeconds": 30}).action == "keep"
    shorter = deletion.plan(PODS, marked, {"gracePeriodSeconds": 10})
    assert shorter.action == "update"
    assert (end - clock.parse_time(shorter.obj["metadata"]["deletionTimestamp"])).total_seconds() == 20


def test_force_removes_unless_a_finalizer_holds() -> None:
    marked = deletion.plan(PODS, running_pod(), {}).obj
    assert deletion.plan(PODS, marked, {"gracePeriodSeconds": 0}).action == "remove"
    held = deletion.plan(PODS, running_pod(finalizers=["a.b/c"]), {"gracePeriodSeconds": 0})
    assert (held.action, held.obj["metadata"]["deletionGracePeriodSeconds"]) == ("update", 0)


@pytest.mark.parametrize(("node", "phase"), [("", "Pending"), ("n", "Succeeded"), ("n", "Failed")])
def test_a_pod_that_does_not_run_goes_at_once(node: str, phase: str) -> None:
    pod = running_pod()
    pod["spec"]["nodeName"], pod["status"]["phase"] = node, phase
    assert deletion.plan(PODS, pod, {}).action == "remove"


def test_a_namespace_waits_for_its_content() -> None:
    namespace = thing() | {"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
    plan = deletion.plan(NAMESPACES, namespace, {})
    assert plan.action == "update"
    assert plan.obj["status"]["phase"] == "Terminating"
    assert "deletionGracePeriodSeconds" not in plan.obj["metadata"]
    emptied = {**plan.obj, "spec": {}}
    assert deletion.completes(NAMESPACES, emptied, plan.obj)
    assert deletion.plan(NAMESPACES, emptied, {}).action == "remove"


def test_the_last_finalizer_completes_the_delete() -> None:
    marked = deletion.plan(CONFIGMAPS, thing(finalizers=["a.b/c", "d.e/f"]), {}).obj

    def left(*finalizers: str) -> Obj:
        return {"metadata": {**marked["metadata"], "finalizers": list(finalizers)}}

    assert not deletion.completes(CONFIGMAPS, left("a.b/c"), marked)
    assert deletion.completes(CONFIGMAPS, left(), marked)
    assert not deletion.completes(CONFIGMAPS, left(), thing(finalizers=["a.b/c"])), "it is not being deleted"


def test_a_grace_period_outlives_the_finalizers() -> None:
    marked = deletion.plan(PODS, running_pod(finalizers=["a.b/c"]), {}).obj
    free = {**marked, "metadata": {**marked["metadata"], "finalizers": []}}
    assert not deletion.completes(PODS, free, marked)
