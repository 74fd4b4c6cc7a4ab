"""Endpoints and EndpointSlices follow pods and services."""

from typing import Any

from pynetes.machinery import meta

World = Any
SLICES = "endpointslices.discovery.k8s.io"


def service(name: str = "web", **spec: Any) -> dict[str, Any]:
    wanted = {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}], **spec}
    return {"metadata": {"name": name, "labels": {"team": "a"}}, "spec": wanted}


def pod(name: str, **spec: Any) -> dict[str, Any]:
    container = {"name": "app", "image": "a", "ports": [{"name": "http", "containerPort": 8080}]}
    return {"metadata": {"name": name, "labels": {"app": "web"}}, "spec": {"containers": [container], **spec}}


async def addresses(world: World, field: str = "addresses", name: str = "web") -> list[str]:
    found = await world.get("endpoints", name)
    return sorted(a["targetRef"]["name"] for s in found.get("subsets") or [] for a in s.get(field) or [])


async def slice_of(world: World, name: str = "web") -> Any:
    (found,) = await world.items(SLICES, label_selector=f"kubernetes.io/service-name={name}")
    return found


async def test_ready_pods_are_listed_with_the_port_their_container_names(world: World) -> None:
    await world.create("services", service())
    await world.create("pods", pod("one"))
    await world.create("pods", pod("two"))

    async def both() -> bool:
        return await addresses(world) == ["one", "two"]

    await world.eventually(both)
    found = await world.get("endpoints", "web")
    assert found["subsets"][0]["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    assert found["metadata"]["labels"] == {"team": "a", "endpoints.kubernetes.io/managed-by": "endpoint-controller"}
    assert "endpoints.kubernetes.io/last-change-trigger-time" in found["metadata"]["annotations"]

    async def sliced() -> Any:
        found = await slice_of(world)
        return found if len(found["endpoints"]) == 2 else None

    found = await world.eventually(sliced)
    assert found["addressType"] == "IPv4"
    assert found["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    assert found["endpoints"][0]["conditions"] == {"ready": True, "serving": True, "terminating": False}
    assert found["endpoints"][0]["nodeName"] == "node-1"
    assert found["metadata"]["generateName"] == "web-"
    assert found["metadata"]["labels"] == {
        "team": "a",
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    owner = meta.controller_of(found)
    assert owner is not None
    assert owner["kind"] == "Service"


async def test_a_pod_that_is_not_ready_is_listed_as_such(world: World) -> None:
    world.nodes.script = lambda p: "NotReady"
    await world.create("services", service())
    await world.create("pods", pod("one"))

    async def listed() -> bool:
        return await addresses(world, "notReadyAddresses") == ["one"] and await addresses(world) == []

    await world.eventually(listed)


async def test_a_terminating_pod_leaves_endpoints_but_stays_in_slices(world: World) -> None:
    await world.create("services", service())
    await world.create("pods", pod("one"))

    async def listed() -> bool:
        return await addresses(world) == ["one"] and len((await slice_of(world))["endpoints"]) == 1

    await world.eventually(listed)
    world.nodes.keep_deleted = True
    await world.client.delete("pods", "one", "default")

    async def draining() -> bool:
        (endpoint,) = (await slice_of(world))["endpoints"]
        conditions = {"ready": False, "serving": True, "terminating": True}
        return endpoint["conditions"] == conditions and await addresses(world) == []

    await world.eventually(draining)


async def test_publish_not_ready_addresses_lists_all_as_ready(world: World) -> None:
    world.nodes.script = lambda p: "NotReady"
    await world.create("services", service(publishNotReadyAddresses=True, clusterIP="None"))
    await world.create("pods", pod("one", hostname="h", subdomain="web"))

    async def listed() -> bool:
        return await addresses(world) == ["one"]

    await world.eventually(listed)
    found = await world.get("endpoints", "web")
    assert found["subsets"][0]["addresses"][0]["hostname"] == "h"
    assert found["metadata"]["labels"]["service.kubernetes.io/headless"] == ""

    async def ready() -> bool:
        (endpoint,) = (await slice_of(world))["endpoints"]
        return endpoint["conditions"]["ready"] and endpoint["hostname"] == "h"

    await world.eventually(ready)


async def test_an_external_name_has_no_endpoints_although_it_has_a_selector(world: World) -> None:
    spec = {"type": "ExternalName", "externalName": "example.com", "selector": {"app": "web"}}
    await world.create("services", {"metadata": {"name": "away"}, "spec": spec})
    await world.create("services", service())

    async def done() -> bool:
        return bool(await world.get("endpoints", "web"))

    await world.eventually(done)
    assert [
        meta.name(e) for e in (await world.client.list("endpoints", "default")).items if meta.name(e) == "away"
    ] == []


async def test_a_service_without_pods_has_an_empty_slice(world: World) -> None:
    await world.create("services", service())

    async def placeholder() -> bool:
        return (await slice_of(world)).get("endpoints") in ([], None)

    await world.eventually(placeholder)


async def test_deleting_a_service_removes_its_endpoints_and_slices(world: World) -> None:
    await world.create("services", service())
    await world.eventually(lambda: slice_of(world))
    await world.eventually(lambda: world.get("endpoints", "web"))
    await world.client.delete("services", "web", "default")

    async def gone() -> bool:
        return await world.gone("endpoints", "web") and not await world.items(
            SLICES, label_selector="kubernetes.io/service-name=web"
        )

    await world.eventually(gone)


async def test_hand_written_endpoints_are_mirrored_and_follow(world: World) -> None:
    await world.create("services", {"metadata": {"name": "ext"}, "spec": {"ports": [{"port": 80}]}})
    subsets = [{"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": 9376, "protocol": "TCP"}]}]
    await world.create("endpoints", {"metadata": {"name": "ext"}, "subsets": subsets})

    async def mirrored(ip: str) -> bool:
        found = await slice_of(world, "ext")
        managed = found["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"]
        return managed == "endpointslicemirroring-controller.k8s.io" and found["endpoints"][0]["addresses"] == [ip]

    await world.eventually(lambda: mirrored("192.0.2.1"))
    subsets[0]["addresses"] = [{"ip": "192.0.2.2"}]
    await world.patch("endpoints", "ext", {"subsets": subsets})
    await world.eventually(lambda: mirrored("192.0.2.2"))
    await world.client.delete("endpoints", "ext", "default")

    async def gone() -> bool:
        return not await world.items(SLICES, label_selector="kubernetes.io/service-name=ext")

    await world.eventually(gone)


async def test_a_subset_of_endpoints_is_mirrored_to_one_slice_up_to_the_limit(world: World) -> None:
    await world.create("services", {"metadata": {"name": "ext"}, "spec": {"ports": [{"port": 80}]}})
    addresses = [{"ip": f"192.0.{number // 250}.{number % 250 + 1}"} for number in range(1005)]
    subsets = [{"addresses": addresses, "ports": [{"port": 9376}]}]
    await world.create("endpoints", {"metadata": {"name": "ext"}, "subsets": subsets})
    assert len((await world.eventually(lambda: slice_of(world, "ext")))["endpoints"]) == 1000
    assert await world.eventually(lambda: world.events("TooManyAddressesToMirror")) == [
        "A max of 1000 addresses can be mirrored to EndpointSlices per Endpoints subset. 5 addresses were skipped"
    ]


async def test_more_endpoints_than_fit_make_more_slices(world: World) -> None:
    await world.create("services", service())
    for number in range(105):
        await world.create("pods", pod(f"p{number}"))

    async def packed() -> bool:
        found = await world.items(SLICES, label_selector="kubernetes.io/service-name=web")
        sizes = sorted(len(s["endpoints"]) for s in found)
        return sum(sizes) == 105 and max(sizes) <= 100 and len(sizes) == 2

    await world.eventually(packed, 30)
