"""Which endpoints a node uses for a service port."""

from typing import Any

import pytest

from pynetes.network.endpoints import Endpoint, Node, ServicePort, choose, endpoints_by_port, local_ready, service_ports

HERE = Node("here", "zone-a")


def service(**spec: Any) -> dict[str, Any]:
    spec = {"type": "ClusterIP", "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "ports": [{"port": 80}]} | spec
    return {"metadata": {"name": "web", "namespace": "default"}, "spec": spec}


def port(**spec: Any) -> ServicePort:
    return service_ports(service(**spec))[0]


def endpoint(last: int, **more: Any) -> Endpoint:
    return Endpoint(f"10.244.0.{last}", 8080, **more)


def terminating(last: int, **more: Any) -> Endpoint:
    return endpoint(last, ready=False, serving=True, terminating=True, **more)


@pytest.mark.parametrize(
    "changes",
    [{"clusterIP": "None"}, {"clusterIP": ""}, {"type": "ExternalName", "externalName": "example.com"}],
    ids=["headless", "no address", "external name"],
)
def test_services_without_an_address_of_their_own_have_no_ports_to_proxy(changes: dict[str, Any]) -> None:
    assert service_ports(service(**changes)) == ()


@pytest.mark.parametrize("label", ["service-proxy-name", "headless"])
def test_a_service_of_another_proxy_or_of_none_is_left_alone(label: str) -> None:
    other = service()
    other["metadata"]["labels"] = {f"service.kubernetes.io/{label}": ""}
    assert service_ports(other) == ()


def test_defaults_of_affinity_and_protocol() -> None:
    found = port(sessionAffinity="ClientIP")
    assert (found.affinity_seconds, found.protocol) == (10800, "TCP")
    config = {"clientIP": {"timeoutSeconds": 5}}
    assert port(sessionAffinity="ClientIP", sessionAffinityConfig=config).affinity_seconds == 5
    assert port().affinity_seconds == 0


def test_only_virtual_ingress_addresses_are_proxied() -> None:
    balanced = service(type="LoadBalancer")
    balanced["status"] = {
        "loadBalancer": {
            "ingress": [{"ip": "10.89.0.130"}, {"ip": "10.89.0.131", "ipMode": "Proxy"}, {"hostname": "x"}]
        }
    }
    assert service_ports(balanced)[0].load_balancer_ips == ("10.89.0.130",)


def test_slices_are_merged_and_the_better_entry_for_an_address_counts() -> None:
    def piece(ready: bool, *addresses: str) -> dict[str, Any]:
        return {
            "addressType": "IPv4",
            "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
            "endpoints": [{"addresses": [a], "conditions": {"ready": ready}} for a in addresses],
        }

    found = endpoints_by_port([piece(False, "10.0.0.1", "10.0.0.2"), piece(True, "10.0.0.1")])["", "TCP"]
    assert [(e.address, e.ready) for e in found] == [("10.0.0.1", True), ("10.0.0.2", False)]


def test_an_endpoint_without_conditions_is_ready() -> None:
    piece = {"ports": [{"port": 1}], "endpoints": [{"addresses": ["10.0.0.1"]}]}
    [found] = endpoints_by_port([piece])["", "TCP"]
    assert found.ready and found.serving and not found.terminating


def test_slices_of_other_address_families_are_ignored() -> None:
    piece = {"addressType": "IPv6", "ports": [{"port": 1}], "endpoints": [{"addresses": ["fd00::1"]}]}
    assert endpoints_by_port([piece]) == {}


def test_ready_endpoints_come_before_terminating_ones() -> None:
    both = [endpoint(1), terminating(2)]
    assert choose(port(), both, HERE).cluster == (both[0],)
    assert choose(port(), both[1:], HERE).cluster == (both[1],)
    assert choose(port(), [endpoint(1, ready=False, serving=False)], HERE).cluster == ()


def test_local_policies_keep_to_the_node_and_fall_back_to_its_terminating_endpoints() -> None:
    elsewhere, ending = endpoint(1, node="there"), terminating(2, node="here")
    local = choose(port(internalTrafficPolicy="Local"), [elsewhere, ending], HERE)
    assert (local.local, local.cluster, local.any_at_all) == ((ending,), (), True)
    outside = port(type="NodePort", externalTrafficPolicy="Local", ports=[{"port": 80, "nodePort": 30000}])
    chosen = choose(outside, [elsewhere, ending], HERE)
    assert (chosen.local, chosen.cluster) == ((ending,), (elsewhere,))


def test_no_endpoint_here_is_told_from_none_at_all() -> None:
    local = port(internalTrafficPolicy="Local")
    assert choose(local, [endpoint(1, node="there")], HERE).any_at_all
    assert not choose(local, [], HERE).any_at_all


@pytest.mark.parametrize(
    ("hints", "expected"),
    [
        ([{"zone-a"}, {"zone-b"}], [0]),
        ([{"zone-a"}, set()], [0, 1]),
        ([{"zone-b"}, {"zone-c"}], [0, 1]),
    ],
    ids=["followed", "one without a hint", "none for this zone"],
)
def test_zone_hints(hints: list[set[str]], expected: list[int]) -> None:
    found = [endpoint(i, zones=frozenset(zones)) for i, zones in enumerate(hints)]
    assert choose(port(), found, HERE).cluster == tuple(found[i] for i in expected)


def test_node_hints_beat_zone_hints() -> None:
    found = [
        endpoint(1, zones=frozenset({"zone-a"}), nodes=frozenset({"there"})),
        endpoint(2, zones=frozenset({"zone-a"}), nodes=frozenset({"here"})),
    ]
    assert choose(port(), found, HERE).cluster == (found[1],)
    assert choose(port(), found, Node("third", "zone-a")).cluster == tuple(found)


def test_health_checks_count_ready_endpoints_here() -> None:
    assert local_ready([endpoint(1, node="here"), endpoint(2, node="there"), terminating(3, node="here")], HERE) == {
        "10.244.0.1"
    }
