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
