"""Controllers know nothing of old API versions; what is written in one runs all the same."""

from typing import Any

from pynetes.machinery import meta, wire

World = Any
DEPLOYMENTS = "/apis/extensions/v1beta1/namespaces/default/deployments"


def deployment_of_2015() -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "kubia"}}, "spec": {"containers": [{"name": "c", "image": "nginx:1"}]}}
    return {
        "apiVersion": "extensions/v1beta1",
        "kind": "Deployment",
        "metadata": {"name": "kubia"},
        "spec": {"replicas": 2, "template": template},
    }


async def test_an_old_deployment_runs_and_its_deletion_leaves_its_pods(world: World) -> None:
    await world.client.raw("POST", DEPLOYMENTS, wire.encode(deployment_of_2015()))

    async def available() -> bool:
        found = (await world.client.raw("GET", f"{DEPLOYMENTS}/kubia")).json()
        return found.get("status", {}).get("availableReplicas") == 2

    await world.eventually(available)
    await world.client.raw("DELETE", f"{DEPLOYMENTS}/kubia")
    await world.eventually(lambda: world.gone("deployments.apps", "kubia"))
    (rs,) = await world.items("replicasets.apps")
    assert meta.owner_references(rs) == []
    assert len(await world.names("pods")) == 2


async def test_an_owner_named_in_an_old_version_is_known(world: World) -> None:
    made = (await world.client.raw("POST", DEPLOYMENTS, wire.encode(deployment_of_2015()))).json()
    owner = {"apiVersion": "extensions/v1beta1", "kind": "Deployment", "name": "kubia", "uid": meta.uid(made)}
    lost = owner | {"uid": "00000000-0000-0000-0000-000000000000"}
    for name, reference in (("kept", owner), ("lost", lost)):
        await world.create("configmaps", {"metadata": {"name": name, "ownerReferences": [reference]}})
    await world.eventually(lambda: world.gone("configmaps", "lost"))
    assert "kept" in await world.names("configmaps")
    await world.client.delete("deployments.apps", "kubia", "default", propagation_policy="Background")
    await world.eventually(lambda: world.gone("configmaps", "kept"))


async def test_a_rollback_asked_for_in_the_spec(world: World) -> None:
    await world.client.raw("POST", DEPLOYMENTS, wire.encode(deployment_of_2015()))
    path = f"{DEPLOYMENTS}/kubia"
    merge = {"content-type": "application/merge-patch+json"}

    async def revision(number: int) -> bool:
        found = (await world.client.raw("GET", path)).json()
        annotations = found["metadata"].get("annotations") or {}
        return annotations.get("deployment.kubernetes.io/revision") == str(number)

    await world.eventually(lambda: revision(1))
    template = {"spec": {"containers": [{"name": "c", "image": "nginx:2"}]}}
    await world.client.raw("PATCH", path, wire.encode({"spec": {"template": template}}), headers=merge)
    await world.eventually(lambda: revision(2))
    await world.client.raw("PATCH", path, wire.encode({"spec": {"rollbackTo": {"revision": 1}}}), headers=merge)
    await world.eventually(lambda: revision(3))
    found = (await world.client.raw("GET", path)).json()
    assert "rollbackTo" not in found["spec"]
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:1"
    assert "pod-template-hash" not in found["spec"]["template"]["metadata"]["labels"]

    async def told() -> bool:
        return 'Rolled back deployment "kubia" to revision 1' in await world.events("DeploymentRollback")

    await world.eventually(told)
    await world.client.raw("PATCH", path, wire.encode({"spec": {"rollbackTo": {"revision": 9}}}), headers=merge)

    async def refused() -> bool:
        return bool(await world.events("DeploymentRollbackRevisionNotFound"))

    await world.eventually(refused)
    assert "rollbackTo" not in (await world.client.raw("GET", path)).json()["spec"]
