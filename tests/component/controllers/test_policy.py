"""Budgets, quotas, volumes, and what keeps them true."""

from pathlib import Path
from typing import Any

import pytest

from pynetes.machinery import meta
from pynetes.machinery.errors import StatusError

World = Any
BUDGETS = "poddisruptionbudgets.policy"


async def test_a_budget_counts_what_may_be_evicted(world: World, deployment: Any) -> None:
    spec = {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}}
    await world.create(BUDGETS, {"metadata": {"name": "b"}, "spec": spec})
    await world.create("deployments.apps", deployment(replicas=3))

    async def counted() -> Any:
        status = (await world.get(BUDGETS, "b"))["status"]
        return status if status["currentHealthy"] == 3 else None

    status = await world.eventually(counted)
    assert status["disruptionsAllowed"] == 1
    assert status["desiredHealthy"] == 2
    assert status["expectedPods"] == 3
    (condition,) = status["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == (
        "DisruptionAllowed",
        "True",
        "SufficientPods",
    )


async def test_a_budget_in_percent_counts_by_the_controllers_scale(world: World, deployment: Any) -> None:
    spec = {"maxUnavailable": "50%", "selector": {"matchLabels": {"app": "web"}}}
    world.nodes.script = lambda pod: "NotReady"
    await world.create(BUDGETS, {"metadata": {"name": "b"}, "spec": spec})
    await world.create("deployments.apps", deployment(replicas=4))

    async def counted() -> bool:
        status = (await world.get(BUDGETS, "b"))["status"]
        return (status["expectedPods"], status["desiredHealthy"], status["disruptionsAllowed"]) == (4, 2, 0)

    await world.eventually(counted)


async def test_a_budget_that_needs_a_scale_complains_of_pods_without_one(world: World) -> None:
    pod = {"containers": [{"name": "app", "image": "a"}]}
    await world.create("pods", {"metadata": {"name": "p", "labels": {"app": "web"}}, "spec": pod})
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}}
    await world.create(BUDGETS, {"metadata": {"name": "b"}, "spec": spec})

    async def told() -> bool:
        return bool(await world.events("UnmanagedPods"))

    await world.eventually(told)
    selector = "&LabelSelector{MatchLabels:map[string]string{app: web,},MatchExpressions:[]LabelSelectorRequirement{},}"
    begins = f"Pods selected by this PodDisruptionBudget (selector: {selector}) were found to be unmanaged. As a result"
    assert (await world.events("UnmanagedPods"))[0].startswith(begins)


async def test_a_quota_is_counted_when_made_and_when_things_go(world: World) -> None:
    await world.create("configmaps", {"metadata": {"name": "a"}})
    hard = {"pods": "5", "requests.cpu": "2", "configmaps": "10", "count/deployments.apps": "1"}
    resources = {"requests": {"cpu": "500m"}}
    pod = {"containers": [{"name": "app", "image": "a", "resources": resources}]}
    await world.create("pods", {"metadata": {"name": "p"}, "spec": pod})
    await world.create("resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": hard}})

    async def used(**wanted: str) -> bool:
        status = (await world.get("resourcequotas", "q"))["status"]
        return status["hard"] == hard and wanted.items() <= status["used"].items()

    first = {"pods": "1", "requests.cpu": "500m", "configmaps": "2", "count/deployments.apps": "0"}
    await world.eventually(lambda: used(**first))
    await world.client.delete("pods", "p", "default")
    await world.client.delete("configmaps", "a", "default")
    await world.eventually(lambda: used(pods="0", configmaps="1"))


def volume(name: str, size: str = "1Gi", **spec: Any) -> dict[str, Any]:
    wanted = {
        "capacity": {"storage": size},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": f"/srv/{name}"},
        **spec,
    }
    return {"metadata": {"name": name}, "spec": wanted}


def claim(name: str, size: str = "1Gi", **spec: Any) -> dict[str, Any]:
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, **spec}
    return {"metadata": {"name": name}, "spec": {"storageClassName": "", **wanted}}


async def test_a_claim_counts_for_every_attributes_class_it_has_or_wants(world: World) -> None:
    for name in ("gold", "silver"):
        made = {"metadata": {"name": name}, "driverName": "example.com", "parameters": {"a": "b"}}
        await world.client.create("volumeattributesclasses.storage.k8s.io", made)
        within = {"scopeName": "VolumeAttributesClass", "operator": "In", "values": [name]}
        spec = {"hard": {"persistentvolumeclaims": "1"}, "scopeSelector": {"matchExpressions": [within]}}
        await world.create("resourcequotas", {"metadata": {"name": name}, "spec": spec})

    async def used(**wanted: str) -> bool:
        found = {name: (await world.get("resourcequotas", name)).get("status", {}).get("used") for name in wanted}
        return found == {name: {"persistentvolumeclaims": count} for name, count in wanted.items()}

    await world.eventually(lambda: used(gold="0", silver="0"))
    csi = {"driver": "example.com", "volumeHandle": "h"}
    await world.client.create(
        "persistentvolumes", volume("v", hostPath=None, csi=csi, volumeAttributesClassName="gold")
    )
    await world.create("persistentvolumeclaims", claim("c", volumeAttributesClassName="gold"))

    async def current() -> Any:
        return (await world.get("persistentvolumeclaims", "c"))["status"].get("currentVolumeAttributesClassName")

    assert await world.eventually(current) == "gold"
    await world.client.patch(
        "persistentvolumeclaims", "c", {"spec": {"volumeAttributesClassName": "silver"}}, "default"
    )
    await world.eventually(lambda: used(gold="1", silver="1"))
    with pytest.raises(StatusError, match="exceeded quota: gold"):
        await world.create("persistentvolumeclaims", claim("d", volumeAttributesClassName="gold"))
    done = {"status": {"currentVolumeAttributesClassName": "silver"}}
    await world.client.patch("persistentvolumeclaims", "c", done, "default", subresource="status")
    await world.eventually(lambda: used(gold="0", silver="1"))


async def test_a_claim_is_bound_to_the_smallest_volume_that_fits(world: World) -> None:
    for name, size in (("tiny", "1Gi"), ("big", "9Gi"), ("right", "5Gi")):
        await world.client.create("persistentvolumes", volume(name, size))
    await world.create("persistentvolumeclaims", claim("c", "4Gi"))

    async def bound() -> Any:
        found = await world.get("persistentvolumeclaims", "c")
        return found if found.get("status", {}).get("phase") == "Bound" else None

    found = await world.eventually(bound)
    assert found["spec"]["volumeName"] == "right"
    assert found["status"]["capacity"] == {"storage": "5Gi"}
    assert found["metadata"]["annotations"]["pv.kubernetes.io/bind-completed"] == "yes"
    chosen = await world.client.get("persistentvolumes", "right")
    assert chosen["status"]["phase"] == "Bound"
    assert chosen["spec"]["claimRef"]["uid"] == meta.uid(found)
    other = await world.client.get("persistentvolumes", "tiny")
    assert other["status"]["phase"] == "Available"


async def test_a_retained_volume_is_released_when_its_claim_goes(world: World) -> None:
    await world.client.create("persistentvolumes", volume("v"))
    await world.create("persistentvolumeclaims", claim("c"))

    async def phase(wanted: str) -> bool:
        return (await world.client.get("persistentvolumes", "v"))["status"]["phase"] == wanted

    await world.eventually(lambda: phase("Bound"))
    await world.client.delete("persistentvolumeclaims", "c", "default")
    await world.eventually(lambda: phase("Released"))


async def test_a_claim_in_use_is_kept_until_its_pod_is_gone(world: World) -> None:
    await world.create("persistentvolumeclaims", claim("c"))
    source = {"name": "v", "persistentVolumeClaim": {"claimName": "c"}}
    spec = {"containers": [{"name": "app", "image": "a"}], "volumes": [source], "nodeName": "node-1"}
    await world.create("pods", {"metadata": {"name": "p"}, "spec": spec})

    async def protected() -> bool:
        found = await world.get("persistentvolumeclaims", "c")
        return "kubernetes.io/pvc-protection" in (found["metadata"].get("finalizers") or [])

    await world.eventually(protected)
    await world.client.delete("persistentvolumeclaims", "c", "default")
    assert meta.is_deleting(await world.get("persistentvolumeclaims", "c"))
    await world.client.delete("pods", "p", "default")
    await world.eventually(lambda: world.gone("persistentvolumeclaims", "c"))


async def test_a_class_of_attributes_goes_when_no_claim_or_volume_names_it(world: World) -> None:
    classes = "volumeattributesclasses.storage.k8s.io"
    for name in ("free", "used"):
        made = {"metadata": {"name": name}, "driverName": "example.com", "parameters": {"a": "b"}}
        found = await world.client.create(classes, made)
        assert found["metadata"]["finalizers"] == ["kubernetes.io/vac-protection"]
    asking = claim("c")
    asking["spec"]["volumeAttributesClassName"] = "used"
    await world.create("persistentvolumeclaims", asking)
    await world.eventually(lambda: world.events("FailedBinding"))
    for name in ("used", "free"):
        await world.client.delete(classes, name)

    async def gone(name: str) -> bool:
        return name not in {meta.name(found) for found in (await world.client.list(classes)).items}

    await world.eventually(lambda: gone("free"))
    assert not await gone("used")
    await world.client.delete("persistentvolumeclaims", "c", "default")
    await world.eventually(lambda: gone("used"))


async def test_a_claim_that_grows_waits_for_its_drivers_resizer_and_says_so(world: World) -> None:
    grows = {"metadata": {"name": "grows"}, "provisioner": "example.com", "allowVolumeExpansion": True}
    await world.client.create("storageclasses.storage.k8s.io", grows)
    await world.client.create("persistentvolumes", volume("v", storageClassName="grows"))
    await world.create("persistentvolumeclaims", claim("c", storageClassName="grows"))

    async def bound() -> bool:
        return (await world.get("persistentvolumeclaims", "c")).get("status", {}).get("phase") == "Bound"

    await world.eventually(bound)
    more = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    await world.patch("persistentvolumeclaims", "c", more)
    assert await world.eventually(lambda: world.events("ExternalExpanding")) == [
        "waiting for an external controller to expand this PVC"
    ]


async def test_a_volume_keeps_the_message_that_somebody_wrote_into_its_status(world: World) -> None:
    async def available(name: str) -> bool:
        return (await world.client.get("persistentvolumes", name))["status"]["phase"] == "Available"

    await world.client.create("persistentvolumes", volume("v"))
    await world.eventually(lambda: available("v"))
    said = {"status": {"message": "said", "reason": "Because"}}
    await world.client.patch("persistentvolumes", "v", said, subresource="status")
    # Volumes are looked at in turn: when the second is available, the first was seen again.
    await world.client.create("persistentvolumes", volume("w"))
    await world.eventually(lambda: available("w"))
    assert (await world.client.get("persistentvolumes", "v"))["status"]["message"] == "said"


async def test_a_claim_without_class_or_volume_says_why_it_waits(world: World) -> None:
    await world.create("persistentvolumeclaims", claim("c"))
    assert await world.eventually(lambda: world.events("FailedBinding")) == [
        "no persistent volumes available for this claim and no storage class is set"
    ]


async def test_aggregated_roles_collect_the_rules_they_select(world: World) -> None:
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
    roles = "clusterroles.rbac.authorization.k8s.io"
    selector = {"clusterRoleSelectors": [{"matchLabels": {"to": "all"}}]}
    await world.client.create(roles, {"metadata": {"name": "all"}, "aggregationRule": selector, "rules": []})
    await world.client.create(roles, {"metadata": {"name": "part", "labels": {"to": "all"}}, "rules": [rule]})

    async def collected() -> bool:
        return (await world.client.get(roles, "all"))["rules"] == [rule]

    await world.eventually(collected)


@pytest.mark.options(local_volumes_dir=lambda request: str(request.getfixturevalue("tmp_path") / "volumes"))
async def test_a_claim_of_the_standard_class_gets_a_directory_for_its_life(world: World, tmp_path: Path) -> None:
    storage = "storageclasses.storage.k8s.io"
    await world.eventually(lambda: world.client.get(storage, "standard"))
    made = claim("c")
    del made["spec"]["storageClassName"]
    found = await world.create("persistentvolumeclaims", made)
    assert found["spec"]["storageClassName"] == "standard"
    assert await world.eventually(lambda: world.events("WaitForFirstConsumer")) == [
        "waiting for first consumer to be created before binding"
    ]
    chosen = {"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "node-1"}}}
    await world.patch("persistentvolumeclaims", "c", chosen)

    async def bound() -> Any:
        found = await world.get("persistentvolumeclaims", "c")
        return found if found["status"]["phase"] == "Bound" else None

    found = await world.eventually(bound)
    name = found["spec"]["volumeName"]
    assert name == f"pvc-{meta.uid(found)}"
    made = await world.client.get("persistentvolumes", name)
    path = Path(made["spec"]["hostPath"]["path"])
    assert path.is_dir()
    (term,) = made["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert term["matchExpressions"][0]["values"] == ["node-1"]
    await world.client.delete("persistentvolumeclaims", "c", "default")
    await world.eventually(lambda: world.gone("persistentvolumes", name))
    assert not path.exists()


@pytest.mark.options(local_volumes_dir=lambda request: str(request.getfixturevalue("tmp_path")))
async def test_a_claim_whose_class_allows_it_grows(world: World) -> None:
    made = {"metadata": {"name": "elastic"}, "provisioner": "pynetes.dev/local", "allowVolumeExpansion": True}
    await world.client.create("storageclasses.storage.k8s.io", made)
    await world.create("persistentvolumeclaims", claim("c", storageClassName="elastic"))

    async def has(size: str) -> Any:
        found = await world.get("persistentvolumeclaims", "c")
        return found if (found.get("status", {}).get("capacity") or {}).get("storage") == size else None

    await world.eventually(lambda: has("1Gi"))
    await world.patch("persistentvolumeclaims", "c", {"spec": {"resources": {"requests": {"storage": "2Gi"}}}})
    found = await world.eventually(lambda: has("2Gi"))
    volume = await world.client.get("persistentvolumes", found["spec"]["volumeName"])
    assert volume["spec"]["capacity"] == {"storage": "2Gi"}


async def test_an_ephemeral_volume_has_a_claim_as_long_as_its_pod(world: World) -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": ""}
    source = {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": spec}}}
    pod = {"containers": [{"name": "app", "image": "a"}], "volumes": [source]}
    made = await world.create("pods", {"metadata": {"name": "p"}, "spec": pod})

    async def claimed() -> bool:
        owner = meta.controller_of(await world.get("persistentvolumeclaims", "p-scratch"))
        return owner is not None and owner["uid"] == meta.uid(made)

    await world.eventually(claimed)
    await world.client.delete("pods", "p", "default")
    await world.eventually(lambda: world.gone("persistentvolumeclaims", "p-scratch"))


async def test_nodes_and_service_ranges_carry_the_controllers_marks(world: World) -> None:
    async def marked() -> bool:
        node = await world.client.get("nodes", "node-1")
        found = await world.client.get("servicecidrs.networking.k8s.io", "kubernetes")
        return meta.annotations(node).get("node.alpha.kubernetes.io/ttl") == "0" and meta.is_condition_true(
            found, "Ready"
        )

    await world.eventually(marked)


async def test_a_deleted_claim_takes_a_volume_on_a_temporary_path_along(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "content"
    folder.mkdir()
    (folder / "file").touch()
    policy = {"persistentVolumeReclaimPolicy": "Delete"}
    await world.client.create("persistentvolumes", volume("v", hostPath={"path": str(folder)}, **policy))
    await world.create("persistentvolumeclaims", claim("c"))

    async def bound() -> bool:
        return (await world.get("persistentvolumeclaims", "c")).get("status", {}).get("phase") == "Bound"

    await world.eventually(bound)
    await world.client.delete("persistentvolumeclaims", "c", "default")
    await world.eventually(lambda: world.gone("persistentvolumes", "v"))
    assert not folder.exists()


async def test_a_volume_on_any_other_path_of_the_host_fails_to_be_deleted(world: World) -> None:
    await world.client.create("persistentvolumes", volume("v", persistentVolumeReclaimPolicy="Delete"))
    await world.create("persistentvolumeclaims", claim("c"))

    async def status() -> Any:
        return (await world.client.get("persistentvolumes", "v")).get("status", {})

    async def phase(wanted: str) -> Any:
        found = await status()
        return found if found.get("phase") == wanted else None

    await world.eventually(lambda: phase("Bound"))
    await world.client.delete("persistentvolumeclaims", "c", "default")
    found = await world.eventually(lambda: phase("Failed"))
    assert found["message"] == "host_path deleter only supports /tmp/.+ but received provided /srv/v"
