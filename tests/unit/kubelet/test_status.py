"""The pod's status as a pure function."""

from typing import Any

import pytest

from pynetes.kubelet.observed import Container, PodView, Sandbox
from pynetes.kubelet.reporter import status_patch
from pynetes.kubelet.status import Facts, Readiness, make_status
from pynetes.machinery import meta


def pod(**fields: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "namespace": "ns", "uid": "u", "generation": 3},
        "spec": {"containers": [{"name": "app", "image": "i"}], **fields},
    }


def view(*containers: Container, sandbox: bool = True) -> PodView:
    made = PodView(sandboxes=[Sandbox("s", 0, True, 1, ips=["10.0.0.1"])] if sandbox else [])
    for container in containers:
        made.put(container)
    return made


def container(state: str = "running", name: str = "app", code: int = 0, attempt: int = 0) -> Container:
    return Container(
        f"{name}-{attempt}", name, "s", state, attempt, created_at=attempt + 1, started_at=10**9, exit_code=code,  # type: ignore[arg-type]  # a literal by another name
        finished_at=2 * 10**9 if state == "exited" else 0,
    )  # fmt: skip


def status(made: dict[str, Any], seen: PodView, **facts: Any) -> dict[str, Any]:
    defaults: dict[str, Any] = {"old": {}, "failures": {}, "readiness": Readiness(), "host_ips": ["192.0.2.1"]}
    return make_status(Facts(pod=made, view=seen, **(defaults | facts)))


def conditions(found: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c.get("reason", "")) for c in found["conditions"]}


def test_a_pod_that_has_just_arrived() -> None:
    found = status(pod(), PodView())
    assert found["phase"] == "Pending" and found["hostIP"] == "192.0.2.1" and "podIP" not in found
    assert found["containerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert conditions(found) == {
        "PodReadyToStartContainers": ("False", ""),
        "Initialized": ("True", ""),
        "Ready": ("False", "ContainersNotReady"),
        "ContainersReady": ("False", "ContainersNotReady"),
        "PodScheduled": ("True", ""),
    }
    assert found["observedGeneration"] == 3 and all(c["observedGeneration"] == 3 for c in found["conditions"])


def test_a_running_pod() -> None:
    found = status(pod(), view(container()))
    assert found["phase"] == "Running" and found["podIP"] == "10.0.0.1"
    assert {state for state, _ in conditions(found).values()} == {"True"}
    assert found["containerStatuses"][0]["state"] == {"running": {"startedAt": "1970-01-01T00:00:01Z"}}


@pytest.mark.parametrize(
    ("policy", "code", "phase"),
    [
        ("Always", 0, "Running"),
        ("OnFailure", 0, "Succeeded"),
        ("OnFailure", 1, "Running"),
        ("Never", 0, "Succeeded"),
        ("Never", 1, "Failed"),
    ],
)
def test_phases_of_a_pod_whose_container_ended(policy: str, code: int, phase: str) -> None:
    assert status(pod(restartPolicy=policy), view(container("exited", code=code)))["phase"] == phase


@pytest.mark.parametrize(("code", "phase"), [(0, "Succeeded"), (137, "Failed")])
def test_a_terminated_pod_is_final_whatever_its_policy(code: int, phase: str) -> None:
    assert status(pod(restartPolicy="Always"), view(container("exited", code=code)), terminal=True)["phase"] == phase


def test_a_final_phase_never_changes_again() -> None:
    assert status(pod(), view(container()), old={"phase": "Failed"})["phase"] == "Failed"


def test_a_back_off_shows_the_last_state() -> None:
    failures = {"app": ("CrashLoopBackOff", "back-off 10s")}
    found = status(pod(), view(container("exited", code=1)), failures=failures)
    (entry,) = found["containerStatuses"]
    assert entry["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    assert entry["lastState"]["terminated"]["exitCode"] == 1
    assert found["phase"] == "Running"


def test_a_restarted_container_shows_the_one_before() -> None:
    found = status(pod(), view(container("exited", code=1), container(attempt=1)))
    (entry,) = found["containerStatuses"]
    assert "running" in entry["state"] and entry["restartCount"] == 1
    assert entry["lastState"]["terminated"]["exitCode"] == 1


def test_init_containers_hold_the_pod_in_pending() -> None:
    made = pod(initContainers=[{"name": "one", "image": "i"}])
    found = status(made, view(container(name="one")))
    assert found["phase"] == "Pending"
    assert found["containerStatuses"][0]["state"] == {"waiting": {"reason": "PodInitializing"}}
    condition = meta.get_condition({"status": found}, "Initialized")
    assert condition and condition["message"] == "containers with incomplete status: [one]"
    found = status(made, view(container("exited", name="one"), container()))
    assert found["phase"] == "Running" and conditions(found)["Initialized"] == ("True", "")
    assert found["initContainerStatuses"][0]["ready"]


def test_probes_decide_ready_and_started() -> None:
    made = pod(containers=[{"name": "app", "image": "i", "readinessProbe": {"exec": {}}, "startupProbe": {"exec": {}}}])
    (entry,) = status(made, view(container()))["containerStatuses"]
    assert (entry["started"], entry["ready"]) == (False, False)
    readiness = Readiness(ready={"app-0": True}, started={"app-0": True})
    (entry,) = status(made, view(container()), readiness=readiness)["containerStatuses"]
    assert (entry["started"], entry["ready"]) == (True, True)


def test_a_readiness_gate_that_nobody_opened() -> None:
    found = status(pod(readinessGates=[{"conditionType": "x"}]), view(container()))
    condition = meta.get_condition({"status": found}, "Ready")
    assert condition and condition["message"] == 'corresponding condition of pod readiness gate "x" does not exist.'
    assert conditions(found)["ContainersReady"] == ("True", "")


def test_a_lost_container_was_killed() -> None:
    old = {"containerStatuses": [{"name": "app", "state": {"running": {}}, "restartCount": 2, "imageID": "x"}]}
    (entry,) = status(pod(), view(), old=old)["containerStatuses"]
    assert entry["restartCount"] == 3
    assert entry["lastState"]["terminated"]["reason"] == "ContainerStatusUnknown"
    assert entry["lastState"]["terminated"]["exitCode"] == 137


def test_a_decision_of_the_node_stands_above_all() -> None:
    found = status(pod(), view(container("exited")), finished=("Failed", "Evicted", "low"), disruption="low")
    assert (found["phase"], found["reason"], found["message"]) == ("Failed", "Evicted", "low")
    assert conditions(found)["DisruptionTarget"] == ("True", "TerminationByKubelet")


def test_a_pod_is_over_only_when_nothing_of_it_runs() -> None:
    facts = {"old": {"phase": "Running"}, "finished": ("Failed", "DeadlineExceeded", "late")}
    found = status(pod(), view(container()), **facts)
    assert found["phase"] == "Running" and not found.keys() & {"reason", "message"}
    found = status(pod(), view(container("exited")), **facts)
    assert (found["phase"], found["reason"]) == ("Failed", "DeadlineExceeded")
    sidecar = {"name": "side", "image": "i", "restartPolicy": "Always"}
    made = pod(restartPolicy="Never", initContainers=[sidecar, {"name": "init", "image": "i"}])
    failed, beside = container("exited", "init", code=1), container("running", "side")
    assert status(made, view(failed, beside), old={"phase": "Pending"})["phase"] == "Pending"
    assert status(made, view(failed, container("exited", "side")), old={"phase": "Pending"})["phase"] == "Failed"


def test_a_pod_whose_containers_all_start_anew_is_not_over() -> None:
    rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}
    sidecar = {"name": "side", "image": "i", "restartPolicy": "Always", "restartPolicyRules": [rule]}
    made = pod(restartPolicy="Never", initContainers=[sidecar])
    seen = view(container("exited", "side", code=42), container("exited", code=137))
    assert status(made, seen, old={"phase": "Running"}, restarting=True)["phase"] == "Running"


def test_a_transition_time_moves_only_with_the_status() -> None:
    first = status(pod(), view(container()))
    for condition in first["conditions"]:
        condition["lastTransitionTime"] = "2020-01-01T00:00:00Z"
    again = status(pod(), view(container()), old=first)
    assert {c["lastTransitionTime"] for c in again["conditions"]} == {"2020-01-01T00:00:00Z"}
    assert status_patch(first, again) == {}


def test_a_patch_holds_only_what_changed() -> None:
    first = status(pod(), view(container()))
    second = status(pod(), view(container("exited", code=1)), old=first)
    patch = status_patch(first, second)
    assert set(patch) == {"containerStatuses", "conditions"}
    assert {c["type"] for c in patch["conditions"]} == {"Ready", "ContainersReady"}


def test_a_patch_replaces_addresses_and_leaves_foreign_conditions() -> None:
    known = {"podIPs": [{"ip": "10.0.0.9"}], "podIP": "10.0.0.9", "conditions": [{"type": "foreign", "status": "True"}]}
    patch = status_patch(known, {"podIPs": [{"ip": "10.0.0.1"}], "podIP": "10.0.0.1", "conditions": []})
    assert patch == {"podIP": "10.0.0.1", "podIPs": [{"$patch": "replace"}, {"ip": "10.0.0.1"}]}


def test_a_reason_that_went_is_removed_from_a_condition() -> None:
    known = {"conditions": [{"type": "Ready", "status": "False", "reason": "R", "message": "M"}]}
    patch = status_patch(known, {"conditions": [{"type": "Ready", "status": "True"}]})
    assert patch["conditions"] == [{"reason": None, "message": None, "type": "Ready", "status": "True"}]


def test_a_rejected_pod_says_why_and_shows_no_containers() -> None:
    found = status(pod(), PodView(), rejection=("OutOfcpu", "too much"))
    assert {key: found[key] for key in ("phase", "reason", "message")} == {
        "phase": "Failed",
        "reason": "OutOfcpu",
        "message": "Pod was rejected: too much",
    }
    assert "containerStatuses" not in found and "conditions" not in found
    assert status(pod(), PodView(), old=found, terminal=True) == found
