"""What to do next, as a pure decision."""

import itertools
from typing import Any

import pytest

from pynetes.kubelet import spec
from pynetes.kubelet.observed import Container, PodView, Sandbox
from pynetes.kubelet.plan import Health, Plan, make_plan

_times = itertools.count(1)


def pod(**fields: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "namespace": "ns", "uid": "u"},
        "spec": {"containers": [{"name": "app", "image": "i"}], **fields},
    }


def view(*containers: Container, ready: bool = True) -> PodView:
    made = PodView(sandboxes=[Sandbox("s", 0, ready, 1, ips=["10.0.0.1"])])
    for container in containers:
        made.put(container)
    return made


def running(name: str = "app", image: str = "i") -> Container:
    digest = spec.container_hash({"name": name, "image": image})
    return Container(f"{name}-id", name, "s", "running", hash=digest, created_at=next(_times))


def ended(name: str = "app", code: int = 0) -> Container:
    return Container(f"{name}-id", name, "s", "exited", exit_code=code, created_at=next(_times))


def names(containers: list[dict[str, Any]]) -> list[str]:
    return [container["name"] for container in containers]


def plan(made: dict[str, Any], seen: PodView, health: Health | None = None) -> Plan:
    return make_plan(made, seen, health or Health())


def test_a_new_pod_needs_a_sandbox_first() -> None:
    found = plan(pod(), PodView())
    assert found.new_sandbox and not found.sandbox_changed and not found.start


def test_a_dead_sandbox_is_replaced() -> None:
    found = plan(pod(), view(ended(), ready=False))
    assert found.new_sandbox and found.sandbox_changed


def test_a_dead_sandbox_is_not_replaced_when_all_is_done() -> None:
    assert plan(pod(restartPolicy="Never"), view(ended(), ready=False)).finished
    assert plan(pod(restartPolicy="OnFailure"), view(ended(), ready=False)).finished
    assert not plan(pod(restartPolicy="OnFailure"), view(ended(code=1), ready=False)).finished


def test_an_app_starts_in_a_ready_sandbox() -> None:
    assert names(plan(pod(), view()).start) == ["app"]
    assert plan(pod(), view(running())) == Plan()


@pytest.mark.parametrize(
    ("policy", "code", "starts"),
    [
        ("Always", 0, True),
        ("Always", 1, True),
        ("OnFailure", 0, False),
        ("OnFailure", 1, True),
        ("Never", 0, False),
        ("Never", 1, False),
    ],
)
def test_restart_policies(policy: str, code: int, starts: bool) -> None:
    found = plan(pod(restartPolicy=policy), view(ended(code=code)))
    assert (names(found.start) == ["app"]) == starts and found.finished != starts


def test_a_rule_for_an_exit_code_overrides_the_policy() -> None:
    rules = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]
    container = {"name": "app", "image": "i", "restartPolicy": "Never", "restartPolicyRules": rules}
    made = pod(containers=[container], restartPolicy="Never")
    assert names(plan(made, view(ended(code=42))).start) == ["app"]
    assert plan(made, view(ended(code=1))).finished


def test_init_containers_go_one_by_one() -> None:
    made = pod(initContainers=[{"name": "one", "image": "i"}, {"name": "two", "image": "i"}])
    assert names(plan(made, view()).start_init) == ["one"]
    assert plan(made, view(running("one"))) == Plan()
    assert names(plan(made, view(ended("one"))).start_init) == ["two"]
    found = plan(made, view(ended("one"), ended("two")))
    assert names(found.start) == ["app"] and not found.start_init


def test_a_failed_init_container_is_repeated_or_ends_the_pod() -> None:
    init = [{"name": "one", "image": "i"}]
    assert names(plan(pod(initContainers=init), view(ended("one", 1))).start_init) == ["one"]
    assert plan(pod(initContainers=init, restartPolicy="Never"), view(ended("one", 1))).finished


def test_what_follows_a_sidecar_waits_until_it_has_started() -> None:
    sidecar = {"name": "side", "image": "i", "restartPolicy": "Always"}
    made = pod(initContainers=[sidecar])
    assert names(plan(made, view()).start_init) == ["side"]
    assert names(plan(made, view(running("side"))).start) == ["app"]
    probed = pod(initContainers=[{**sidecar, "startupProbe": {"exec": {}}}])
    assert not plan(probed, view(running("side"))).start
    assert names(plan(probed, view(running("side")), Health(started={"side-id": True})).start) == ["app"]


def test_a_sidecar_is_restarted_beside_running_apps_and_does_not_keep_a_pod_alive() -> None:
    made = pod(initContainers=[{"name": "side", "image": "i", "restartPolicy": "Always"}], restartPolicy="Never")
    assert names(plan(made, view(ended("side"), running())).start_init) == ["side"]
    found = plan(made, view(running("side"), ended()))
    assert found.finished and not found.start_init


def test_a_failed_liveness_probe_stops_and_restarts() -> None:
    health = Health(failed={"app-id": ("liveness", 7.0)})
    (stop,) = plan(pod(), view(running()), health).stop
    assert stop.message == "Container app failed liveness probe, will be restarted" and stop.probe_grace == 7.0
    found = plan(pod(restartPolicy="Never"), view(running()), health)
    assert found.stop[0].message == "Container app failed liveness probe"


def test_a_changed_image_replaces_the_container() -> None:
    (stop,) = plan(pod(), view(running(image="old"))).stop
    assert stop.message == "Container app definition changed, will be restarted"


def test_ephemeral_containers_start_once() -> None:
    made = pod(ephemeralContainers=[{"name": "debug", "image": "i"}])
    assert names(plan(made, view(running())).start_ephemeral) == ["debug"]
    assert not plan(made, view(running(), ended("debug", 1))).start_ephemeral


def test_a_pod_with_one_finished_and_one_running_container_goes_on() -> None:
    made = pod(containers=[{"name": "app", "image": "i"}, {"name": "other", "image": "i"}], restartPolicy="Never")
    assert plan(made, view(ended(), running("other"))) == Plan()
