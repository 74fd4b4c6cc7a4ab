"""Custom resources are collected, counted and emptied like all others."""

from typing import Any

from pynetes.machinery import meta
from pynetes.machinery.resources import ResourceType

World = Any

WIDGETS = ResourceType(
    group="example.com",
    version="v1",
    plural="widgets",
    kind="Widget",
    singular="widget",
    namespaced=True,
    short_names=(),
    categories=(),
    verbs=(),
    subresources=(),
)


async def serve_widgets(world: World, **version: Any) -> None:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    spec = {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema, **version}],
    }
    definition = {"metadata": {"name": "widgets.example.com"}, "spec": spec}
    await world.client.create("customresourcedefinitions.apiextensions.k8s.io", definition)

    async def served() -> bool:
        await world.client.list(WIDGETS, "default")
        return True

    await world.eventually(served)


async def test_a_custom_resource_goes_with_its_owner(world: World) -> None:
    await serve_widgets(world)
    owner = await world.create("configmaps", {"metadata": {"name": "owner"}})
    reference = meta.owner_reference(owner)
    await world.client.create(WIDGETS, {"metadata": {"name": "w", "ownerReferences": [reference]}}, "default")
    await world.client.delete("configmaps", "owner", "default")
    await world.eventually(lambda: world.gone(WIDGETS, "w"))


async def test_what_a_custom_resource_owns_goes_with_it(world: World) -> None:
    await serve_widgets(world)
    widget = await world.client.create(WIDGETS, {"metadata": {"name": "w"}}, "default")
    reference = {"apiVersion": "example.com/v1", "kind": "Widget", "name": "w", "uid": meta.uid(widget)}
    await world.create("configmaps", {"metadata": {"name": "c", "ownerReferences": [reference]}})
    await world.client.delete(WIDGETS, "w", "default")
    await world.eventually(lambda: world.gone("configmaps", "c"))


async def test_a_namespace_is_emptied_of_custom_resources(world: World) -> None:
    await serve_widgets(world)
    await world.client.create("namespaces", {"metadata": {"name": "doomed"}})
    await world.client.create(WIDGETS, {"metadata": {"name": "w"}}, "doomed")
    await world.client.delete("namespaces", "doomed")
    await world.eventually(lambda: world.gone("namespaces", "doomed"))


async def test_a_budget_counts_by_the_scale_of_custom_resources(world: World) -> None:
    scale = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    await serve_widgets(world, subresources={"scale": scale})
    owner = await world.client.create(WIDGETS, {"metadata": {"name": "w"}, "spec": {"replicas": 4}}, "default")
    labels = {"app": "w"}
    references = [{**meta.owner_reference(owner), "apiVersion": "example.com/v1", "kind": "Widget"}]
    head = {"name": "one", "labels": labels, "ownerReferences": references}
    await world.create("pods", {"metadata": head, "spec": {"containers": [{"name": "app", "image": "a"}]}})
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": labels}}
    await world.create("poddisruptionbudgets.policy", {"metadata": {"name": "budget"}, "spec": spec})

    async def status(**wanted: Any) -> bool:
        found = (await world.get("poddisruptionbudgets.policy", "budget")).get("status", {})
        return bool(wanted.items() <= found.items())

    await world.eventually(lambda: status(expectedPods=4, desiredHealthy=3, currentHealthy=1))
