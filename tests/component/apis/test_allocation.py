"""Addresses and node ports of services: taken, kept, given back."""

import asyncio
import ipaddress
import json

import pytest

from pynetes.apiserver import allocators
from tests.component.apis.conftest import Api, refused

pytestmark = pytest.mark.asyncio(loop_scope="module")
RANGE = ipaddress.ip_network("10.96.0.0/16")


async def taken(api: Api) -> set[str]:
    return {each["metadata"]["name"] for each in (await api.client.list("ipaddresses")).items}


async def test_a_service_gets_an_address_of_the_range_and_an_object_says_so(api: Api) -> None:
    spec = (await api.create("services", "a", spec={"ports": [{"port": 80}]}))["spec"]
    assert ipaddress.ip_address(spec["clusterIP"]) in RANGE
    assert spec["clusterIPs"] == [spec["clusterIP"]]
    assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (["IPv4"], "SingleStack")
    held = await api.client.get("ipaddresses", spec["clusterIP"])
    assert held["spec"]["parentRef"] == {
        "group": "",
        "resource": "services",
        "namespace": api.namespace,
        "name": "a",
    }


async def test_deleting_a_service_gives_its_address_and_ports_back(api: Api) -> None:
    spec = {"type": "NodePort", "ports": [{"port": 80}]}
    made = (await api.create("services", "a", spec=spec))["spec"]
    await api.delete("services", "a")
    assert made["clusterIP"] not in await taken(api)
    spec["ports"] = [{"port": 80, "nodePort": made["ports"][0]["nodePort"]}]
    spec["clusterIP"] = made["clusterIP"]
    again = (await api.create("services", "b", spec=spec))["spec"]
    assert again["ports"][0]["nodePort"] == made["ports"][0]["nodePort"]


async def test_an_address_is_given_once(api: Api) -> None:
    made = (await api.create("services", "a", spec={"ports": [{"port": 80}]}))["spec"]["clusterIP"]
    error = await refused(api.create("services", "b", spec={"ports": [{"port": 80}], "clusterIP": made}))
    assert error.code == 422
    assert error.message == (
        f'Service "b" is invalid: spec.clusterIPs: Invalid value: ["{made}"]: failed to allocate IP {made}: '
        "provided IP is already allocated"
    )


async def test_an_address_out_of_range_is_refused(api: Api) -> None:
    error = await refused(api.create("services", "b", spec={"ports": [{"port": 80}], "clusterIP": "192.0.2.1"}))
    assert "the provided IP (192.0.2.1) is not in the valid range. The range of valid IPs is" in error.message


@pytest.mark.parametrize("address", ["10.0.0.5", "10.96.77.77"])
async def test_the_address_of_a_service_does_not_change(api: Api, address: str) -> None:
    service = await api.create("services", "fixed", spec={"ports": [{"port": 80}]})
    before = await taken(api)
    service["spec"]["clusterIP"], service["spec"]["clusterIPs"] = address, [address]
    error = await refused(api.update("services", service))
    assert f'spec.clusterIPs[0]: Invalid value: ["{address}"]: may not change once set' in error.message
    assert await taken(api) == before


async def test_services_made_at_once_get_different_addresses_and_ports(api: Api) -> None:
    spec = {"type": "NodePort", "ports": [{"port": 80}]}
    made = await asyncio.gather(*(api.create("services", f"s{n}", spec=spec) for n in range(30)))
    assert len({each["spec"]["clusterIP"] for each in made}) == 30
    assert len({each["spec"]["ports"][0]["nodePort"] for each in made}) == 30


async def test_a_headless_service_has_no_address(api: Api) -> None:
    spec = (await api.create("services", "h", spec={"clusterIP": "None", "selector": {"a": "b"}}))["spec"]
    assert (spec["clusterIP"], spec["clusterIPs"], spec["ipFamilies"]) == ("None", ["None"], ["IPv4"])
    free = (await api.create("services", "f", spec={"clusterIP": "None"}))["spec"]
    assert (free["ipFamilies"], free["ipFamilyPolicy"]) == (["IPv4", "IPv6"], "RequireDualStack")


async def test_an_external_name_has_neither_address_nor_family(api: Api) -> None:
    spec = (await api.create("services", "e", spec={"type": "ExternalName", "externalName": "a.b"}))["spec"]
    assert not {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"} & spec.keys()


async def test_changes_of_type_take_and_give_back(api: Api) -> None:
    service = await api.create("services", "a", spec={"ports": [{"port": 80}]})
    address = service["spec"]["clusterIP"]
    service["spec"]["type"] = "NodePort"
    service = await api.update("services", service)
    port = service["spec"]["ports"][0]["nodePort"]
    assert port in range(30000, 32768)
    assert service["spec"]["clusterIP"] == address
    service["spec"] |= {"type": "ExternalName", "externalName": "a.b"}
    service = await api.update("services", service)
    assert "clusterIP" not in service["spec"]
    assert address not in await taken(api)
    other = {"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]}
    assert (await api.create("services", "b", spec=other))["spec"]["ports"][0]["nodePort"] == port
    service["spec"]["type"] = "ClusterIP"
    service = await api.update("services", service)
    assert service["spec"]["clusterIP"] in await taken(api)


@pytest.mark.parametrize(
    ("port", "detail"),
    [
        (80, "provided port is not in the valid range. The range of valid ports is 30000-32767"),
        (30777, "provided port is already allocated"),
    ],
)
async def test_a_node_port_that_cannot_be_had(api: Api, port: int, detail: str) -> None:
    if port == 30777:
        await api.create("services", "a", spec={"type": "NodePort", "ports": [{"port": 1, "nodePort": port}]})
    before = await taken(api)
    error = await refused(
        api.create("services", "b", spec={"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]})
    )
    assert error.message == f'Service "b" is invalid: spec.ports[0].nodePort: Invalid value: {port}: {detail}'
    assert await taken(api) == before


async def test_the_same_port_over_tcp_and_udp_shares_a_node_port(api: Api) -> None:
    ports = [{"name": "t", "port": 53}, {"name": "u", "port": 53, "protocol": "UDP"}]
    made = (await api.create("services", "dns", spec={"type": "NodePort", "ports": ports}))["spec"]["ports"]
    assert made[0]["nodePort"] == made[1]["nodePort"]


async def test_a_local_balancer_gets_a_health_check_port(api: Api) -> None:
    spec = {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "ports": [{"port": 80}]}
    made = (await api.create("services", "lb", spec=spec))["spec"]
    assert made["healthCheckNodePort"] in range(30000, 32768)
    assert made["healthCheckNodePort"] != made["ports"][0]["nodePort"]


async def test_a_balancer_may_do_without_node_ports(api: Api) -> None:
    spec = {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False, "ports": [{"port": 80}]}
    made = (await api.create("services", "lb", spec=spec))["spec"]
    assert "nodePort" not in made["ports"][0]


async def test_a_service_that_is_refused_takes_nothing(api: Api) -> None:
    before = await taken(api)
    await refused(api.create("services", "Bad_Name", spec={"type": "NodePort", "ports": [{"port": 80}]}))
    await refused(api.create("services", "a", spec={"type": "NodePort", "ports": [{"port": 0}]}))
    assert await taken(api) == before


async def test_a_dry_run_takes_nothing(api: Api) -> None:
    before = await taken(api)
    body = {"metadata": {"name": "d"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}}
    answer = await api.client.raw(
        "POST",
        f"/api/v1/namespaces/{api.namespace}/services",
        json.dumps(body).encode(),
        query={"dryRun": "All"},
    )
    assert json.loads(answer.body)["spec"]["clusterIP"]
    assert await taken(api) == before


async def test_dual_stack_is_refused_where_the_cluster_has_one_family(api: Api) -> None:
    spec = {"ipFamilyPolicy": "RequireDualStack", "ports": [{"port": 80}]}
    error = await refused(api.create("services", "d", spec=spec))
    assert error.message.endswith(
        'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services'
    )
    spec["ipFamilyPolicy"] = "PreferDualStack"
    assert (await api.create("services", "d", spec=spec))["spec"]["ipFamilies"] == ["IPv4"]


async def test_repair_returns_what_no_service_has(api: Api, server) -> None:
    registry = server.server.registry
    orphan = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IPAddress",
        "metadata": {"name": "10.96.77.77", "labels": {allocators.MANAGER_LABEL: allocators.MANAGER}},
        "spec": {"parentRef": {"resource": "services", "namespace": "gone", "name": "gone"}},
    }
    await api.client.create("ipaddresses", orphan)
    kept = (await api.create("services", "a", spec={"ports": [{"port": 80}]}))["spec"]["clusterIP"]
    await allocators.repair(registry)
    assert "10.96.77.77" not in await taken(api)
    assert kept in await taken(api)
