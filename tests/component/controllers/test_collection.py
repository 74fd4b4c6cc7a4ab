"""Namespaces end whole, and what has lost its owners goes."""

from typing import Any

import pytest

from pynetes.machinery import meta

World = Any


def owned(name: str, *owners: tuple[dict[str, Any], bool]) -> dict[str, Any]:
    references = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": meta.name(owner),
            "uid": meta.uid(owner),
            "blockOwnerDeletion": block,
        }
        for owner, block in owners
    ]
    return {"metadata": {"name": name, "ownerReferences": references}}


async def delete(world: World, name: str, policy: str | None) -> None:
    await world.client.delete("configmaps", name, "default", propagation_policy=policy)


async def test_background_deletion_takes_dependents_along(world: World, deployment: Any) -> None:
    await world.create("deployments.apps", deployment(replicas=2))

    async def up() -> bool:
        return len(await world.names("pods")) == 2

    await world.eventually(up)
    await world.client.delete("deployments.apps", "web", "default", propagation_policy="Background")

    async def gone() -> bool:
        return not await world.names("replicasets.apps") and not await world.names("pods")

    await world.eventually(gone)


async def test_orphaning_leaves_dependents_without_owner(world: World, deployment: Any) -> None:
    await world.create("deployments.apps", deployment(replicas=1))

    async def up() -> bool:
        return len(await world.names("pods")) == 1

    await world.eventually(up)
    await world.client.delete("deployments.apps", "web", "default", propagation_policy="Orphan")
    await world.eventually(lambda: world.gone("deployments.apps", "web"))
    (rs,) = await world.items("replicasets.apps")
    assert meta.owner_references(rs) == []
    assert len(await world.names("pods")) == 1


async def test_a_foreground_delete_waits_for_blocking_dependents(world: World) -> None:
    owner = await world.create("configmaps", {"metadata": {"name": "owner"}})
    held = owned("held", (owner, True))
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await world.create("configmaps", held)
    await delete(world, "owner", "Foreground")

    async def waiting() -> bool:
        return meta.is_deleting(await world.get("configmaps", "held"))

    await world.eventually(waiting)
    found = await world.get("configmaps", "owner")
    assert found["metadata"]["finalizers"] == ["foregroundDeletion"]
    await world.patch("configmaps", "held", {"metadata": {"finalizers": None}})
    await world.eventually(lambda: world.gone("configmaps", "owner"))


async def test_a_foreground_delete_does_not_wait_for_others(world: World) -> None:
    owner = await world.create("configmaps", {"metadata": {"name": "owner"}})
    held = owned("held", (owner, False))
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await world.create("configmaps", held)
    await delete(world, "owner", "Foreground")
    await world.eventually(lambda: world.gone("configmaps", "owner"))
    await world.patch("configmaps", "held", {"metadata": {"finalizers": None}})
    await world.eventually(lambda: world.gone("configmaps", "held"))


async def test_one_living_owner_keeps_an_object_and_the_dead_one_is_dropped(world: World) -> None:
    dying = await world.create("configmaps", {"metadata": {"name": "dying"}})
    living = await world.create("configmaps", {"metadata": {"name": "living"}})
    await world.create("configmaps", owned("child", (dying, True), (living, False)))
    await delete(world, "dying", "Foreground")

    async def released() -> bool:
        child = await world.get("configmaps", "child")
        return [r["name"] for r in meta.owner_references(child)] == ["living"]

    await world.eventually(released)
    await world.eventually(lambda: world.gone("configmaps", "dying"))


async def test_an_owner_that_never_existed_is_no_owner(world: World) -> None:
    ghost = {"metadata": {"name": "ghost", "uid": meta.new_uid()}}
    await world.create("configmaps", owned("child", (ghost, False)))
    await world.eventually(lambda: world.gone("configmaps", "child"))


@pytest.mark.parametrize("policy", ["Background", "Foreground"])
async def test_a_circle_of_owners_is_deleted_whole(world: World, policy: str) -> None:
    first = await world.create("configmaps", {"metadata": {"name": "first"}})
    second = await world.create("configmaps", owned("second", (first, True)))
    third = await world.create("configmaps", owned("third", (second, True)))
    await world.patch("configmaps", "first", {"metadata": owned("first", (third, True))["metadata"]})
    await delete(world, "first", policy)
    for name in ("first", "second", "third"):
        await world.eventually(lambda name=name: world.gone("configmaps", name))


async def test_a_namespace_is_emptied_and_goes(world: World) -> None:
    await world.client.create("namespaces", {"metadata": {"name": "doomed"}})
    await world.eventually(lambda: world.client.get("serviceaccounts", "default", "doomed"))
    await world.eventually(lambda: world.client.get("configmaps", "kube-root-ca.crt", "doomed"))
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "app", "image": "a"}]}}
    await world.client.create("pods", pod, "doomed")
    await world.client.create("configmaps", {"metadata": {"name": "c"}}, "doomed")
    await world.client.delete("namespaces", "doomed")
    await world.eventually(lambda: world.gone("namespaces", "doomed"))


async def test_a_namespace_that_cannot_go_says_what_remains(world: World) -> None:
    await world.client.create("namespaces", {"metadata": {"name": "held"}})
    held = {"metadata": {"name": "c", "finalizers": ["example.com/hold"]}}
    await world.client.create("configmaps", held, "held")
    await world.client.delete("namespaces", "held")

    async def told() -> Any:
        found = await world.client.get("namespaces", "held")
        texts = {c["type"]: c["message"] for c in found["status"].get("conditions") or [] if c["status"] == "True"}
        return texts if len(texts) == 2 else None

    texts = await world.eventually(told)
    assert texts["NamespaceContentRemaining"] == "Some resources are remaining: configmaps. has 1 resource instances"
    assert texts["NamespaceFinalizersRemaining"] == (
        "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"
    )
    await world.client.patch("configmaps", "c", {"metadata": {"finalizers": None}}, "held")
    await world.eventually(lambda: world.gone("namespaces", "held"))


async def test_the_default_service_account_and_root_certificate_come_back(world: World) -> None:
    await world.eventually(lambda: world.get("configmaps", "kube-root-ca.crt"))
    before = meta.uid(await world.get("serviceaccounts", "default"))
    await world.client.delete("serviceaccounts", "default", "default")
    await world.patch("configmaps", "kube-root-ca.crt", {"data": {"ca.crt": "broken"}})

    async def restored() -> bool:
        config = await world.get("configmaps", "kube-root-ca.crt")
        return (
            meta.uid(await world.get("serviceaccounts", "default")) != before
            and "BEGIN CERTIFICATE" in config["data"]["ca.crt"]
        )

    await world.eventually(restored)


async def test_an_owner_in_another_namespace_is_no_owner(world: World) -> None:
    owner = await world.create("configmaps", {"metadata": {"name": "owner"}})
    await world.client.create("namespaces", {"metadata": {"name": "elsewhere"}})
    await world.client.create("configmaps", owned("stranger", (owner, False)), "elsewhere")

    async def told() -> Any:
        events = (await world.client.list("events", "elsewhere")).items
        return next((e for e in events if e["reason"] == "OwnerRefInvalidNamespace"), None)

    event = await world.eventually(told)
    reference = f"ownerRef [v1/ConfigMap, namespace: elsewhere, name: owner, uid: {meta.uid(owner)}]"
    assert (event["type"], event["message"]) == ("Warning", f'{reference} does not exist in namespace "elsewhere"')

    async def gone() -> bool:
        left = (await world.client.list("configmaps", "elsewhere")).items
        return "stranger" not in map(meta.name, left)

    await world.eventually(gone)
