"""Which nodes run a daemon."""

from datetime import UTC, datetime, timedelta
from typing import Any

from pynetes.controllers import daemonset_plan as planning
from pynetes.machinery import clock, meta
from pynetes.machinery.meta import Obj

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def daemons(pod_spec: Obj | None = None, **spec: Any) -> Obj:
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "a", "namespace": "d", "uid": "ds", "generation": 1},
        "spec": {"template": {"metadata": {"labels": {"app": "a"}}, "spec": pod_spec or {}}, **spec},
    }


def node(name: str, labels: dict[str, str] | None = None, *taints: Obj) -> Obj:
    return {"metadata": {"name": name, "labels": labels or {}}, "spec": {"taints": [*taints]}}


def pod(name: str, on: str = "n1", digest: str = "new", **options: Any) -> Obj:
    made: Obj = {
        "metadata": {
            "name": name,
            "uid": name,
            "creationTimestamp": options.get("created", "2026-01-01T00:00:00Z"),
            "labels": {"controller-revision-hash": digest},
        },
        "spec": {"nodeName": on},
        "status": {"phase": options.get("phase", "Running")},
    }
    if options.get("ready", True):
        moment = clock.format_time(NOW - timedelta(minutes=5))
        made["status"]["conditions"] = [{"type": "Ready", "status": "True", "lastTransitionTime": moment}]
    return made


def taint(key: str, effect: str = "NoSchedule") -> Obj:
    return {"key": key, "effect": effect}


def test_daemons_bear_what_ails_a_node_but_not_its_dedication() -> None:
    for key in ("unschedulable", "disk-pressure", "memory-pressure", "pid-pressure"):
        assert planning.should_run(daemons(), node("n", {}, taint(f"node.kubernetes.io/{key}"))) == (True, True)
    not_ready = taint("node.kubernetes.io/not-ready", "NoExecute")
    assert planning.should_run(daemons(), node("n", {}, not_ready)) == (True, True)
    assert planning.should_run(daemons(), node("n", {}, taint("dedicated"))) == (False, True)
    assert planning.should_run(daemons(), node("n", {}, taint("dedicated", "NoExecute"))) == (False, False)


def test_only_host_network_daemons_run_where_there_is_no_network() -> None:
    cut_off = node("n", {}, taint("node.kubernetes.io/network-unavailable"))
    assert planning.should_run(daemons(), cut_off)[0] is False
    assert planning.should_run(daemons({"hostNetwork": True}), cut_off)[0] is True


def test_selectors_and_affinity_choose_the_nodes() -> None:
    assert planning.should_run(daemons({"nodeSelector": {"a": "b"}}), node("n")) == (False, False)
    assert planning.should_run(daemons({"nodeSelector": {"a": "b"}}), node("n", {"a": "b"})) == (True, True)
    term = {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["x"]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    picky = daemons({"affinity": {"nodeAffinity": required}})
    assert planning.should_run(picky, node("n", {"zone": "y"})) == (False, False)
    assert planning.should_run(picky, node("n", {"zone": "x"})) == (True, True)


def test_a_daemon_pod_is_pinned_to_its_node() -> None:
    made = planning.new_pod(daemons({"containers": []}), "n7", "hash")
    assert planning.target_node(made) == "n7"
    assert meta.labels(made)["controller-revision-hash"] == "hash"
    keys = {t["key"] for t in made["spec"]["tolerations"]}
    assert "node.kubernetes.io/unschedulable" in keys


def names(pods: list[Obj]) -> list[str]:
    return sorted(meta.name(p) for p in pods)


def test_every_node_gets_one_and_no_other_keeps_any() -> None:
    nodes = [node("n1"), node("n2"), node("n3", {}, taint("x", "NoExecute"))]
    by_node = {"n1": [pod("a"), pod("b", created="2026-01-02T00:00:00Z")], "n3": [pod("c", "n3")]}
    plan = planning.manage(daemons(), nodes, by_node, "new", NOW)
    assert plan.create == ["n2"]
    assert names(plan.delete) == ["b", "c"]


def test_ended_pods_are_reported() -> None:
    plan = planning.manage(daemons(), [node("n1")], {"n1": [pod("a", phase="Failed", ready=False)]}, "new", NOW)
    assert [(where, meta.name(p)) for where, p in plan.failed] == [("n1", "a")]
    assert not plan.create


def test_pods_for_nodes_that_are_gone_go_if_they_were_never_placed() -> None:
    waiting = pod("w", "")
    plan = planning.manage(daemons(), [], {"gone": [waiting], "other": [pod("p", "other")]}, "new", NOW)
    assert names(plan.delete) == ["w"]


def test_a_roll_takes_broken_old_pods_and_as_many_good_ones_as_may_miss() -> None:
    nodes = [node(f"n{i}") for i in range(4)]
    by_node = {f"n{i}": [pod(f"p{i}", f"n{i}", "old", ready=i != 3)] for i in range(4)}
    plan = planning.roll(daemons(), nodes, by_node, "new", NOW)
    assert names(plan.delete) == ["p0", "p3"]


def test_a_roll_waits_for_new_pods_to_become_available() -> None:
    nodes = [node("n1"), node("n2")]
    by_node = {"n1": [pod("a", "n1", "new", ready=False)], "n2": [pod("b", "n2", "old")]}
    assert planning.roll(daemons(), nodes, by_node, "new", NOW).delete == []


def test_surging_adds_the_new_before_the_old_goes() -> None:
    surging = daemons(updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}})
    nodes = [node("n1"), node("n2")]
    by_node = {"n1": [pod("a", "n1", "old")], "n2": [pod("b", "n2", "old")]}
    plan = planning.roll(surging, nodes, by_node, "new", NOW)
    assert (plan.create, plan.delete) == (["n1"], [])
    by_node["n1"].append(pod("c", "n1", "new"))
    assert names(planning.roll(surging, nodes, by_node, "new", NOW).delete) == ["a"]
    by_node["n1"][1] = pod("c", "n1", "new", ready=False)
    waiting = planning.roll(surging, nodes, by_node, "new", NOW)
    assert (waiting.create, waiting.delete) == ([], [])
    assert planning.manage(surging, nodes, by_node, "new", NOW).delete == []


def test_of_two_pods_on_a_node_the_elder_counts() -> None:
    elder, younger = pod("a", digest="old", created="2025-01-01T00:00:00Z"), pod("b")
    status = planning.calculate_status(daemons(), [node("n1")], {"n1": [younger, elder]}, "new", NOW)
    assert (status["numberReady"], status["updatedNumberScheduled"]) == (1, 0)


def test_the_status_counts_nodes() -> None:
    nodes = [node("n1"), node("n2"), node("n3", {}, taint("x"))]
    by_node = {"n1": [pod("a")], "n3": [pod("c", "n3")]}
    status = planning.calculate_status(daemons(), nodes, by_node, "new", NOW)
    assert status["desiredNumberScheduled"] == 2
    assert status["currentNumberScheduled"] == 1
    assert status["numberMisscheduled"] == 1
    assert status["numberReady"] == 1
    assert status["updatedNumberScheduled"] == 1
    assert status["numberUnavailable"] == 1
