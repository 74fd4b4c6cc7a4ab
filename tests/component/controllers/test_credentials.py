"""Controllers act as their accounts, also when an account is made anew."""

from typing import Any

from pynetes.machinery import meta

World = Any


async def test_a_controller_whose_account_was_deleted_gets_a_new_one(world: World, deployment: Any) -> None:
    await world.create("deployments.apps", deployment("first", replicas=1))

    async def up(name: str) -> bool:
        found = await world.get("deployments.apps", name)
        return found.get("status", {}).get("availableReplicas") == 1

    await world.eventually(lambda: up("first"))
    before = await world.client.get("serviceaccounts", "replicaset-controller", "kube-system")
    await world.client.delete("serviceaccounts", "replicaset-controller", "kube-system")
    await world.create("deployments.apps", deployment("second", replicas=1))
    await world.eventually(lambda: up("second"))
    after = await world.client.get("serviceaccounts", "replicaset-controller", "kube-system")
    assert meta.uid(after) != meta.uid(before)
