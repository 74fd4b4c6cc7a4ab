"""What users of a cluster see of the scheduler."""

from typing import Any

from pynetes.machinery import meta
from pynetes.machinery.meta import Obj
from tests.component.scheduler.conftest import World

AVAILABLE = "nodes are available"
NO_HELP = (
    "no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
)


async def test_a_pod_waits_for_a_node_and_gets_it_at_once(world: World) -> None:
    await world.pod("early")
    assert await world.refused("early") == "no nodes available to schedule pods"
    await world.node("one")
    assert await world.placed("early") == "one"
    condition = meta.get_condition(await world.client.get("pods", "early", "default"), "PodScheduled")
    assert condition is not None and condition["status"] == "True" and "reason" not in condition
    assert condition["observedGeneration"] == 1


async def test_a_placed_pod_says_where_in_the_world_it_is(world: World) -> None:
    zone = {"topology.kubernetes.io/zone": "z", "topology.kubernetes.io/region": "r"}
    await world.node("one", labels={**zone, "other": "x"})
    await world.pod("p", labels={"app": "x"})
    await world.placed("p")
    assert meta.labels(await world.client.get("pods", "p", "default")) == zone | {"app": "x"}


async def test_why_a_pod_fits_nowhere_stands_in_its_status_and_in_an_event(world: World) -> None:
    await world.node("one", cpu="1")
    await world.pod("large", cpu="2")
    message = f"0/1 {AVAILABLE}: 1 Insufficient cpu. {NO_HELP}"
    assert await world.refused("large") == message

    def wanted(event: Obj) -> bool:
        return event["reason"] == "FailedScheduling" and event["involvedObject"]["name"] == "large"

    event = await world.until("", wanted, "events")
    assert (event["type"], event["message"]) == ("Warning", message)
    assert (event["reportingComponent"], event["action"]) == ("default-scheduler", "Scheduling")
    assert event["reportingInstance"].startswith("default-scheduler-") and event["eventTime"]


async def test_a_binding_that_is_refused_is_the_schedulers_error(world: World) -> None:
    refuse = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "no-binding"},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "resourceRules": [
                    {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["pods/binding"]}
                ]
            },
            "validations": [{"expression": "false", "message": "not today"}],
        },
    }
    bound = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "no-binding"},
        "spec": {"policyName": "no-binding", "validationActions": ["Deny"]},
    }
    await world.client.create("validatingadmissionpolicies", refuse)
    await world.client.create("validatingadmissionpolicybindings", bound)
    await world.node("one")
    await world.pod("p")
    message = await world.refused("p", "SchedulerError")
    assert message.startswith('running Bind plugin "DefaultBinder": ') and message.endswith("not today")
    await world.client.delete("validatingadmissionpolicybindings", "no-binding")
    assert await world.placed("p") == "one"


async def _preempting(world: World, **victim: Any) -> None:
    for name, value in (("low", 1), ("high", 1000)):
        await world.client.create(
            "priorityclasses",
            {
                "apiVersion": "scheduling.k8s.io/v1",
                "kind": "PriorityClass",
                "metadata": {"name": name},
                "value": value,
            },
        )
    await world.node("one", cpu="1")
    await world.pod("victim", cpu="1", priorityClassName="low", **victim)
    await world.placed("victim")
    await world.pod("important", cpu="1", priorityClassName="high")


async def test_a_victim_ends_and_says_why_and_its_node_is_cleared_for_the_other(world: World) -> None:
    await _preempting(world, terminationGracePeriodSeconds=600)
    pod = await world.until("important", lambda pod: pod["status"].get("nominatedNodeName"))
    assert pod["status"]["nominatedNodeName"] == "one"
    victim = await world.until("victim", meta.is_deleting)
    condition = meta.get_condition(victim, "DisruptionTarget")
    assert condition is not None
    assert (condition["status"], condition["reason"]) == ("True", "PreemptionByScheduler")
    assert condition["observedGeneration"] == 1
    assert condition["message"] == "default-scheduler: preempting to accommodate a higher priority pod"
    await world.client.delete("pods", "victim", "default", grace_period_seconds=0)
    assert await world.placed("important") == "one"
    assert "nominatedNodeName" not in (await world.client.get("pods", "important", "default"))["status"]


async def test_a_nomination_ends_when_the_node_is_of_no_use_any_more(world: World) -> None:
    await _preempting(world, terminationGracePeriodSeconds=600)
    await world.until("important", lambda pod: pod["status"].get("nominatedNodeName"))
    await world.client.patch("nodes", "one", {"spec": {"unschedulable": True}})
    await world.client.patch("nodes", "one", {"metadata": {"labels": {"x": "y"}}})
    await world.client.delete("pods", "victim", "default", grace_period_seconds=0)
    await world.until("important", lambda pod: "nominatedNodeName" not in pod["status"])


async def test_a_provisioner_that_gives_up_sends_the_pod_elsewhere(world: World) -> None:
    await world.client.create(
        "storageclasses",
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": "late"},
            "provisioner": "example.com/csi",
            "volumeBindingMode": "WaitForFirstConsumer",
        },
    )
    spec = {
        "storageClassName": "late",
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
    }
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": spec}
    await world.client.create("persistentvolumeclaims", claim, namespace="default")
    await world.node("one")
    await world.pod("p", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}])
    selected = "volume.kubernetes.io/selected-node"
    await world.until("data", lambda claim: selected in meta.annotations(claim), "persistentvolumeclaims")
    await world.client.patch(
        "persistentvolumeclaims", "data", {"metadata": {"annotations": {selected: None}}}, namespace="default"
    )
    assert await world.refused("p", "SchedulerError") == (
        'running PreBind plugin "VolumeBinding": binding volumes: provisioning failed for PVC "data"'
    )


async def test_who_preempts_leaves_alone_what_is_cleared_for_its_equals(world: World) -> None:
    await _preempting(world, terminationGracePeriodSeconds=600)
    await world.until("important", lambda pod: pod["status"].get("nominatedNodeName"))
    await world.pod("equal", cpu="1", priorityClassName="high", nodeSelector={"here": "yes"})
    await world.client.patch("nodes", "one", {"metadata": {"labels": {"here": "yes"}}})
    await world.until("equal", lambda pod: "Insufficient cpu" in _why(pod))
    assert "nominatedNodeName" not in (await world.client.get("pods", "equal", "default"))["status"]


def _why(pod: Obj) -> str:
    return (meta.get_condition(pod, "PodScheduled") or {}).get("message", "")


async def test_a_pod_that_makes_no_sense_does_not_keep_others_waiting(world: World) -> None:
    for name in ("one", "two"):
        await world.node(name)
    preference = {"matchExpressions": [{"key": "n", "operator": "Gt", "values": ["few"]}]}
    preferred = [{"weight": 1, "preference": preference}]
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}
    await world.pod("odd", affinity=affinity)
    assert await world.refused("odd", "SchedulerError") == (
        'running PreScore plugin "NodeAffinity": values[0]: Invalid value: "few": '
        "for 'Gt', 'Lt' operators, the value must be an integer"
    )
    await world.pod("next")
    assert await world.placed("next") in ("one", "two")
