"""Deployments and ReplicaSets end to end against the API server."""

from typing import Any

from pynetes.machinery import meta

DEPLOYMENTS, SETS = "deployments.apps", "replicasets.apps"
Deployment = Any
World = Any


async def available(world: World, name: str, count: int) -> Any:
    found = await world.get(DEPLOYMENTS, name)
    status = found.get("status", {})
    fine = (
        status.get("availableReplicas", 0) == count
        and status.get("updatedReplicas", 0) == count
        and status.get("replicas", 0) == count
        and status.get("observedGeneration") == found["metadata"]["generation"]
    )
    return found if fine else None


async def test_a_deployment_brings_up_its_pods_and_says_so(world: World, deployment: Deployment) -> None:
    await world.create(DEPLOYMENTS, deployment(replicas=3))
    found = await world.eventually(lambda: available(world, "web", 3))
    assert found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"
    conditions = {c["type"]: c for c in found["status"]["conditions"]}
    assert conditions["Available"]["reason"] == "MinimumReplicasAvailable"

    async def complete() -> Any:
        conditions = (await world.get(DEPLOYMENTS, "web"))["status"]["conditions"]
        return next((c for c in conditions if c.get("reason") == "NewReplicaSetAvailable"), None)

    progress = await world.eventually(complete)
    (rs,) = await world.items(SETS)
    assert progress["message"] == f'ReplicaSet "{meta.name(rs)}" has successfully progressed.'
    assert rs["metadata"]["annotations"]["deployment.kubernetes.io/desired-replicas"] == "3"
    assert rs["metadata"]["annotations"]["deployment.kubernetes.io/max-replicas"] == "4"
    events = await world.eventually(lambda: world.events("ScalingReplicaSet"))
    assert events == [f"Scaled up replica set {meta.name(rs)} from 0 to 3"]


async def test_a_new_template_rolls_without_going_below_the_fence(world: World, deployment: Deployment) -> None:
    await world.create(
        DEPLOYMENTS,
        deployment(replicas=4, strategy={"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}),
    )
    await world.eventually(lambda: available(world, "web", 4))
    lowest, highest = 99, 0

    async def rolled() -> Any:
        nonlocal lowest, highest
        pods = [p for p in await world.items("pods") if not meta.is_deleting(p)]
        highest = max(highest, len(pods))
        lowest = min(lowest, sum(meta.is_condition_true(p, "Ready") for p in pods))
        return await available(world, "web", 4) and len(await world.names("pods")) == 4

    new = {"template": {"spec": {"containers": [{"name": "app", "image": "app:2"}]}}}
    await world.patch(DEPLOYMENTS, "web", {"spec": new})
    await world.eventually(rolled)
    assert lowest >= 4
    assert highest <= 5
    assert {p["spec"]["containers"][0]["image"] for p in await world.items("pods")} == {"app:2"}
    found = await world.get(DEPLOYMENTS, "web")
    assert found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"


async def test_undoing_reuses_the_old_replica_set_with_a_new_revision(world: World, deployment: Deployment) -> None:
    await world.create(DEPLOYMENTS, deployment(replicas=1))
    await world.eventually(lambda: available(world, "web", 1))
    (first,) = await world.names(SETS)
    for image in ("app:2", "app:1"):
        change = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": image}]}}}}
        await world.patch(DEPLOYMENTS, "web", change)
        await world.eventually(lambda: available(world, "web", 1))
    rs = await world.get(SETS, first)
    assert rs["spec"]["replicas"] == 1
    assert rs["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"
    assert rs["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] == "1"


async def test_recreate_ends_all_old_pods_before_the_first_new_one(world: World, deployment: Deployment) -> None:
    await world.create(DEPLOYMENTS, deployment(replicas=2, strategy={"type": "Recreate"}))
    await world.eventually(lambda: available(world, "web", 2))
    mixed: list[set[str]] = []

    async def rolled() -> Any:
        mixed.append({p["spec"]["containers"][0]["image"] for p in await world.items("pods")})
        return await available(world, "web", 2) and mixed[-1] == {"app:2"}

    change = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "app:2"}]}}}}
    await world.patch(DEPLOYMENTS, "web", change)
    await world.eventually(rolled)
    assert {"app:1", "app:2"} not in mixed


async def test_a_paused_deployment_scales_but_does_not_roll(world: World, deployment: Deployment) -> None:
    await world.create(DEPLOYMENTS, deployment(replicas=1))
    await world.eventually(lambda: available(world, "web", 1))
    change = {"paused": True, "replicas": 2, "template": {"spec": {"containers": [{"name": "app", "image": "app:2"}]}}}
    await world.patch(DEPLOYMENTS, "web", {"spec": change})

    async def scaled() -> Any:
        pods = await world.items("pods")
        return len(pods) == 2 and {p["spec"]["containers"][0]["image"] for p in pods} == {"app:1"}

    await world.eventually(scaled)
    assert len(await world.names(SETS)) == 1
    await world.patch(DEPLOYMENTS, "web", {"spec": {"paused": False}})
    await world.eventually(lambda: available(world, "web", 2))


async def test_history_keeps_no_more_than_its_limit(world: World, deployment: Deployment) -> None:
    await world.create(DEPLOYMENTS, deployment(replicas=1, revisionHistoryLimit=1))
    for image in ("app:1", "app:2", "app:3", "app:4"):
        change = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": image}]}}}}
        await world.patch(DEPLOYMENTS, "web", change)
        await world.eventually(lambda: available(world, "web", 1))

    async def trimmed() -> bool:
        return len(await world.names(SETS)) == 2

    await world.eventually(trimmed)


async def test_a_progress_deadline_that_passes_is_reported(world: World, deployment: Deployment) -> None:
    world.nodes.script = lambda pod: "NotReady"
    await world.create(DEPLOYMENTS, deployment(replicas=1, progressDeadlineSeconds=2))

    async def stuck() -> Any:
        conditions = (await world.get(DEPLOYMENTS, "web")).get("status", {}).get("conditions") or []
        return next((c for c in conditions if c.get("reason") == "ProgressDeadlineExceeded"), None)

    condition = await world.eventually(stuck)
    assert condition["status"] == "False"


async def test_a_pod_that_no_longer_matches_is_released_and_replaced(world: World, deployment: Deployment) -> None:
    await world.create(DEPLOYMENTS, deployment(replicas=1))
    await world.eventually(lambda: available(world, "web", 1))
    (name,) = await world.names("pods")
    await world.patch("pods", name, {"metadata": {"labels": {"app": "other"}}})

    async def replaced() -> bool:
        return len(await world.names("pods")) == 2 and meta.controller_of(await world.get("pods", name)) is None

    await world.eventually(replaced)


async def test_a_matching_orphan_is_adopted_and_the_surplus_deleted(world: World, deployment: Deployment) -> None:
    spec = deployment("solo", replicas=2)["spec"]
    orphan = {"metadata": {"name": "orphan", "labels": {"app": "solo"}}, "spec": spec["template"]["spec"]}
    await world.create("pods", orphan)
    await world.create(SETS, {"metadata": {"name": "solo"}, "spec": spec})

    async def adopted() -> bool:
        owner = meta.controller_of(await world.get("pods", "orphan"))
        return owner is not None and owner["name"] == "solo" and len(await world.names("pods")) == 2

    await world.eventually(adopted)


async def test_a_replication_controller_keeps_its_pods(world: World) -> None:
    spec = {
        "replicas": 2,
        "selector": {"app": "rc"},
        "template": {"metadata": {"labels": {"app": "rc"}}, "spec": {"containers": [{"name": "app", "image": "a"}]}},
    }
    await world.create("replicationcontrollers", {"metadata": {"name": "rc"}, "spec": spec})

    async def ready() -> bool:
        return (await world.get("replicationcontrollers", "rc")).get("status", {}).get("readyReplicas") == 2

    await world.eventually(ready)
    first = (await world.names("pods"))[0]
    await world.client.delete("pods", first, "default")

    async def replaced() -> bool:
        names = await world.names("pods")
        return len(names) == 2 and first not in names

    await world.eventually(replaced)
