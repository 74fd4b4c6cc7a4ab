"""StatefulSets and DaemonSets end to end against the API server."""

from typing import Any

import pytest

from pynetes.machinery import meta

World = Any
STATEFUL, DAEMONS = "statefulsets.apps", "daemonsets.apps"


def stateful(name: str = "db", replicas: int = 3, image: str = "app:1", **spec: Any) -> dict[str, Any]:
    labels = {"app": name}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": image}]}}
    wanted = {"serviceName": name, "replicas": replicas, "selector": {"matchLabels": labels}, "template": pod, **spec}
    return {"metadata": {"name": name}, "spec": wanted}


def daemons(name: str = "agent", image: str = "app:1", pod_spec: dict[str, Any] | None = None, **spec: Any) -> Any:
    labels = {"app": name}
    inner = {"containers": [{"name": "app", "image": image}], **(pod_spec or {})}
    pod = {"metadata": {"labels": labels}, "spec": inner}
    return {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": labels}, "template": pod, **spec}}


async def ready(world: World, name: str, count: int) -> bool:
    status = (await world.get(STATEFUL, name)).get("status", {})
    return status.get("readyReplicas", 0) == count and status["replicas"] == count


def image_change(image: str) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": image}]}}}}


async def test_pods_come_up_in_order_each_with_its_name_and_claim(world: World) -> None:
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    await world.create(STATEFUL, stateful(volumeClaimTemplates=[claim]))
    await world.eventually(lambda: ready(world, "db", 3))
    pods = sorted(await world.items("pods"), key=meta.name)
    assert [meta.name(p) for p in pods] == ["db-0", "db-1", "db-2"]
    stamps = [int(p["metadata"]["resourceVersion"]) for p in pods]
    assert len(set(stamps)) == 3
    first = pods[0]
    assert first["spec"]["hostname"] == "db-0"
    assert first["spec"]["subdomain"] == "db"
    assert first["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] == "db-0"
    assert first["metadata"]["labels"]["apps.kubernetes.io/pod-index"] == "0"
    assert {"name": "data", "persistentVolumeClaim": {"claimName": "data-db-0"}} in first["spec"]["volumes"]
    assert await world.names("persistentvolumeclaims") == ["data-db-0", "data-db-1", "data-db-2"]
    events = await world.eventually(lambda: world.events("SuccessfulCreate"))
    assert "create Claim data-db-0 Pod db-0 in StatefulSet db success" in events
    assert "create Pod db-0 in StatefulSet db successful" in events


async def test_an_ordered_set_stops_at_a_pod_that_is_not_ready(world: World) -> None:
    world.nodes.script = lambda pod: "NotReady" if meta.name(pod) == "db-1" else "Running"
    await world.create(STATEFUL, stateful())

    async def halted() -> bool:
        return await world.names("pods") == ["db-0", "db-1"]

    await world.eventually(halted)
    world.nodes.script = lambda pod: "Running"
    await world.nodes.retend()
    await world.eventually(lambda: ready(world, "db", 3))


async def test_a_parallel_set_does_not_wait(world: World) -> None:
    world.nodes.script = lambda pod: "Pending"
    await world.create(STATEFUL, stateful(podManagementPolicy="Parallel"))

    async def all_made() -> bool:
        return len(await world.names("pods")) == 3

    await world.eventually(all_made)


async def test_scaling_down_removes_from_the_top(world: World) -> None:
    await world.create(STATEFUL, stateful())
    await world.eventually(lambda: ready(world, "db", 3))
    await world.patch(STATEFUL, "db", {"spec": {"replicas": 1}})

    async def scaled() -> bool:
        return await world.names("pods") == ["db-0"]

    await world.eventually(scaled)


async def test_an_update_goes_down_to_the_partition_and_then_on(world: World) -> None:
    partition = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
    await world.create(STATEFUL, stateful(updateStrategy=partition))
    await world.eventually(lambda: ready(world, "db", 3))
    old = (await world.get(STATEFUL, "db"))["status"]["currentRevision"]
    await world.patch(STATEFUL, "db", image_change("app:2"))

    async def images(*wanted: str) -> bool:
        pods = sorted(await world.items("pods"), key=meta.name)
        found = tuple(p["spec"]["containers"][0]["image"] for p in pods)
        return found == wanted and await ready(world, "db", 3)

    await world.eventually(lambda: images("app:1", "app:1", "app:2"))
    status = (await world.get(STATEFUL, "db"))["status"]
    assert status["currentRevision"] == old
    assert status["updateRevision"] != old
    await world.patch(STATEFUL, "db", {"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}})
    await world.eventually(lambda: images("app:2", "app:2", "app:2"))

    async def complete() -> bool:
        status = (await world.get(STATEFUL, "db"))["status"]
        return status["currentRevision"] == status["updateRevision"] and status["currentReplicas"] == 3

    await world.eventually(complete)


async def test_a_deleted_pod_comes_back_under_its_name(world: World) -> None:
    await world.create(STATEFUL, stateful(replicas=1))
    await world.eventually(lambda: ready(world, "db", 1))
    before = meta.uid(await world.get("pods", "db-0"))
    await world.client.delete("pods", "db-0", "default")

    async def back() -> bool:
        return meta.uid(await world.get("pods", "db-0")) != before

    await world.eventually(back)


async def test_a_failed_pod_is_made_anew(world: World) -> None:
    failed: set[str] = set()

    def fail_once(pod: Any) -> str:
        if not failed:
            failed.add(meta.uid(pod))
        return "Failed" if meta.uid(pod) in failed else "Running"

    world.nodes.script = fail_once
    await world.create(STATEFUL, stateful(replicas=1))
    await world.eventually(lambda: ready(world, "db", 1))
    assert await world.eventually(lambda: world.events("RecreatingFailedPod")) == [
        "StatefulSet default/db is recreating failed Pod db-0"
    ]


async def test_a_pod_waits_until_a_claim_that_is_going_is_gone(world: World) -> None:
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    old = {"metadata": {"name": "data-db-0", "finalizers": ["example.com/hold"]}, "spec": claim}
    await world.create("persistentvolumeclaims", old)
    await world.client.delete("persistentvolumeclaims", "data-db-0", "default")
    templates = [{"metadata": {"name": "data"}, "spec": claim}]
    await world.create(STATEFUL, stateful(replicas=1, volumeClaimTemplates=templates))

    async def told() -> bool:
        return bool(await world.events("FailedCreate"))

    await world.eventually(told)
    text = "create Pod db-0 in StatefulSet db failed error: pvc data-db-0 is being deleted"
    assert set(await world.events("FailedCreate")) == {text}
    assert await world.names("pods") == []
    await world.patch("persistentvolumeclaims", "data-db-0", {"metadata": {"finalizers": None}})

    async def up() -> bool:
        return await world.names("pods") == ["db-0"]

    await world.eventually(up)


async def test_claims_are_deleted_with_a_set_that_says_so(world: World) -> None:
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    policy = {"whenDeleted": "Delete", "whenScaled": "Retain"}
    made = stateful(replicas=1, volumeClaimTemplates=[claim], persistentVolumeClaimRetentionPolicy=policy)
    await world.create(STATEFUL, made)

    async def owned() -> bool:
        return bool(meta.owner_references(await world.get("persistentvolumeclaims", "data-db-0")))

    await world.eventually(owned)
    await world.client.delete(STATEFUL, "db", "default")

    async def gone() -> bool:
        return not await world.names("persistentvolumeclaims")

    await world.eventually(gone)


async def scheduled(world: World, name: str = "agent") -> list[str]:
    pods = await world.items("pods", label_selector=f"app={name}")
    return sorted(p["spec"].get("nodeName", "") for p in pods if not meta.is_deleting(p))


async def test_claims_of_a_set_that_is_orphaned_or_anothers_stay(world: World) -> None:
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    policy = {"whenDeleted": "Delete", "whenScaled": "Delete"}
    made = stateful(volumeClaimTemplates=[claim], persistentVolumeClaimRetentionPolicy=policy)
    await world.create(STATEFUL, made)
    await world.eventually(lambda: ready(world, "db", 3))
    keeper = await world.create("configmaps", {"metadata": {"name": "keeper"}})
    reference = {**meta.owner_reference(keeper), "apiVersion": "v1", "kind": "ConfigMap"}
    await world.patch("persistentvolumeclaims", "data-db-2", {"metadata": {"ownerReferences": [reference]}})
    await world.patch(STATEFUL, "db", {"spec": {"replicas": 1}})

    async def one_left() -> bool:
        return await world.names("persistentvolumeclaims") == ["data-db-0", "data-db-2"]

    await world.eventually(one_left)
    assert meta.owner_references(await world.get("persistentvolumeclaims", "data-db-2")) == [reference]
    await world.client.delete(STATEFUL, "db", "default", propagation_policy="Orphan")
    await world.eventually(lambda: world.gone(STATEFUL, "db"))

    async def free() -> bool:
        return not meta.owner_references(await world.get("persistentvolumeclaims", "data-db-0"))

    await world.eventually(free)


async def test_a_claim_that_was_lost_before_its_pod_was_placed_is_made_again(world: World) -> None:
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    made = stateful(replicas=1, volumeClaimTemplates=[claim])
    made["spec"]["template"]["spec"]["schedulingGates"] = [{"name": "example.com/wait"}]
    await world.create(STATEFUL, made)
    await world.eventually(lambda: world.get("pods", "db-0"))
    before = meta.uid(await world.get("persistentvolumeclaims", "data-db-0"))
    await world.client.delete("persistentvolumeclaims", "data-db-0", "default")
    await world.patch("persistentvolumeclaims", "data-db-0", {"metadata": {"finalizers": None}})

    async def again() -> bool:
        return meta.uid(await world.get("persistentvolumeclaims", "data-db-0")) != before

    await world.eventually(again)


async def test_a_daemon_runs_on_every_node_also_on_later_ones(world: World) -> None:
    await world.add_node("node-2")
    await world.create(DAEMONS, daemons())

    async def on(*nodes: str) -> bool:
        return await scheduled(world) == [*nodes]

    await world.eventually(lambda: on("node-1", "node-2"))
    await world.add_node("node-3")
    await world.eventually(lambda: on("node-1", "node-2", "node-3"))

    async def counted() -> bool:
        status = (await world.get(DAEMONS, "agent"))["status"]
        counts = ("desiredNumberScheduled", "currentNumberScheduled", "numberReady", "numberAvailable")
        return all(status.get(field) == 3 for field in counts) and status["numberMisscheduled"] == 0

    await world.eventually(counted)


async def test_a_daemon_follows_its_node_selector(world: World) -> None:
    await world.create(DAEMONS, daemons(pod_spec={"nodeSelector": {"disk": "ssd"}}))

    async def on(*nodes: str) -> bool:
        status = (await world.get(DAEMONS, "agent")).get("status", {})
        return await scheduled(world) == [*nodes] and status.get("desiredNumberScheduled") == len(nodes)

    await world.eventually(on)
    await world.client.patch("nodes", "node-1", {"metadata": {"labels": {"disk": "ssd"}}})
    await world.eventually(lambda: on("node-1"))
    await world.client.patch("nodes", "node-1", {"metadata": {"labels": {"disk": None}}})
    await world.eventually(on)


async def test_a_cordoned_node_keeps_its_daemon_and_a_tainted_one_gets_none(world: World) -> None:
    await world.add_node("node-2", taints=[{"key": "dedicated", "effect": "NoSchedule"}])
    await world.client.patch("nodes", "node-1", {"spec": {"unschedulable": True}})
    await world.create(DAEMONS, daemons())

    async def on_first_only() -> bool:
        return await scheduled(world) == ["node-1"]

    await world.eventually(on_first_only)


@pytest.mark.parametrize("fence", [{"maxUnavailable": 1}, {"maxSurge": 1, "maxUnavailable": 0}])
async def test_a_new_daemon_template_is_rolled_out_to_all_nodes(world: World, fence: dict[str, int]) -> None:
    await world.add_node("node-2")
    await world.create(DAEMONS, daemons(updateStrategy={"type": "RollingUpdate", "rollingUpdate": fence}))

    async def images(image: str) -> bool:
        pods = await world.items("pods")
        status = (await world.get(DAEMONS, "agent"))["status"]
        return (
            len(pods) == 2
            and all(p["spec"]["containers"][0]["image"] == image for p in pods)
            and status.get("updatedNumberScheduled") == 2
            and status.get("numberAvailable") == 2
        )

    await world.eventually(lambda: images("app:1"))
    await world.patch(DAEMONS, "agent", image_change("app:2"))
    await world.eventually(lambda: images("app:2"))
    revisions = await world.items("controllerrevisions.apps")
    assert sorted(r["revision"] for r in revisions) == [1, 2]


async def test_on_delete_waits_for_the_user(world: World) -> None:
    await world.create(DAEMONS, daemons(updateStrategy={"type": "OnDelete"}))

    async def one() -> Any:
        (pod,) = [p for p in await world.items("pods") if not meta.is_deleting(p)]
        return pod

    pod = await world.eventually(one)
    await world.patch(DAEMONS, "agent", image_change("app:2"))

    async def seen() -> bool:
        found = await world.get(DAEMONS, "agent")
        return found["status"].get("observedGeneration") == found["metadata"]["generation"]

    await world.eventually(seen)
    assert meta.uid(await one()) == meta.uid(pod)
    await world.client.delete("pods", meta.name(pod), "default")

    async def updated() -> bool:
        return (await one())["spec"]["containers"][0]["image"] == "app:2"

    await world.eventually(updated)


async def test_a_failed_daemon_pod_is_replaced(world: World) -> None:
    failed: set[str] = set()

    def fail_once(pod: Any) -> str:
        if not failed:
            failed.add(meta.uid(pod))
        return "Failed" if meta.uid(pod) in failed else "Running"

    world.nodes.script = fail_once
    await world.create(DAEMONS, daemons())

    async def running() -> bool:
        (pod,) = await world.items("pods")
        return meta.uid(pod) not in failed and meta.is_condition_true(pod, "Ready")

    await world.eventually(running)
    (message,) = await world.events("FailedDaemonPod")
    assert "on node node-1, will try to kill it" in message


async def test_revisions_of_one_template_become_one(world: World) -> None:
    await world.create(DAEMONS, daemons())

    async def running() -> bool:
        return (await world.get(DAEMONS, "agent"))["status"].get("numberReady") == 1

    await world.eventually(running)
    (first,) = await world.items("controllerrevisions.apps")
    head = {key: first["metadata"][key] for key in ("ownerReferences", "annotations")}
    labels = {**first["metadata"]["labels"], "controller-revision-hash": "twin"}
    twin = {"metadata": {**head, "name": "twin", "labels": labels}, "data": first["data"], "revision": 2}
    (pod,) = await world.items("pods")
    await world.create("controllerrevisions.apps", twin)
    await world.patch(DAEMONS, "agent", {"metadata": {"labels": {"seen": "again"}}})

    async def one() -> bool:
        labels = meta.labels(await world.get("pods", meta.name(pod)))
        same_pod = labels["controller-revision-hash"] == "twin"
        return same_pod and await world.names("controllerrevisions.apps") == ["twin"]

    await world.eventually(one)
    assert await world.names("pods") == [meta.name(pod)]
    await world.client.delete("controllerrevisions.apps", "twin", "default")

    async def made_again() -> bool:
        return len(await world.names("controllerrevisions.apps")) == 1

    await world.eventually(made_again)
