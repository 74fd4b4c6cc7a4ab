"""The agent's smaller decisions: load balancer addresses, routes, CNI, options, stale UDP flows, health checks."""

import ipaddress
import json
from pathlib import Path
from typing import Any

import pytest

from pynetes.cluster.netns import ClusterNetwork, NetworkError, first_free
from pynetes.network import conntrack, health, loadbalancer, nft, podnetwork
from pynetes.network.conntrack import Flow, frontend
from pynetes.network.main import upstream_servers
from pynetes.network.options import Options, parse
from pynetes.network.podnetwork import Hop
from pynetes.network.standing import dns_endpoints

POOL = ipaddress.IPv4Network("10.89.0.128/29")


def balanced(*addresses: str, **spec: Any) -> dict[str, Any]:
    ingress = [{"ip": address} for address in addresses]
    return {"spec": {"type": "LoadBalancer"} | spec, "status": {"loadBalancer": {"ingress": ingress}}}


def node(name: str, address: str = "", cidr: str = "") -> dict[str, Any]:
    addresses = [{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": address}]
    return {
        "metadata": {"name": name},
        "spec": {"podCIDR": cidr, "podCIDRs": [cidr]} if cidr else {},
        "status": {"addresses": addresses if address else []},
    }


# --- load balancers -----------------------------------------------------------------------------------------------


def test_a_service_gets_the_first_free_address_and_keeps_it() -> None:
    assert loadbalancer.pick(balanced(), POOL, set()) == "10.89.0.129"
    assert loadbalancer.pick(balanced(), POOL, {"10.89.0.129"}) == "10.89.0.130"
    assert loadbalancer.pick(balanced("10.89.0.133"), POOL, {"10.89.0.129"}) == "10.89.0.133"


def test_an_address_of_another_range_or_of_another_service_is_given_up() -> None:
    assert loadbalancer.pick(balanced("192.0.2.1"), POOL, set()) == "10.89.0.129"
    assert loadbalancer.pick(balanced("10.89.0.129"), POOL, {"10.89.0.129"}) == "10.89.0.130"


def test_the_address_asked_for_is_given_if_it_can_be() -> None:
    wish = balanced("10.89.0.129", loadBalancerIP="10.89.0.132")
    assert loadbalancer.pick(wish, POOL, set()) == "10.89.0.132"
    with pytest.raises(loadbalancer.NoAddress, match="in use"):
        loadbalancer.pick(wish, POOL, {"10.89.0.132"})
    for bad in ("192.0.2.1", "nonsense"):
        with pytest.raises(loadbalancer.NoAddress, match="not in the range"):
            loadbalancer.pick(balanced(loadBalancerIP=bad), POOL, set())


def test_an_empty_pool_says_so() -> None:
    with pytest.raises(loadbalancer.NoAddress, match="no address left"):
        loadbalancer.pick(balanced(), POOL, {str(address) for address in POOL})


@pytest.mark.parametrize(
    ("spec", "ours"),
    [({}, True), ({"loadBalancerClass": loadbalancer.CLASS}, True), ({"loadBalancerClass": "example.com/x"}, False)],
)
def test_classes(spec: dict[str, Any], ours: bool) -> None:
    assert loadbalancer.is_ours(balanced(**spec)) is ours
    assert not loadbalancer.is_ours({"spec": {"type": "ClusterIP"} | spec})


def test_events_tell_what_changed_of_a_load_balancer() -> None:
    plain = {"spec": {"type": "ClusterIP"}}
    assert loadbalancer.changes(plain, balanced()) == [("Type", "ClusterIP -> LoadBalancer")]
    assert loadbalancer.changes(plain, {"spec": {"type": "NodePort"}}) == []
    before = balanced(externalTrafficPolicy="Cluster")
    after = balanced(
        externalTrafficPolicy="Local", healthCheckNodePort=30001, loadBalancerSourceRanges=["10.0.0.0/8", "::/0"]
    )
    assert loadbalancer.changes(before, after) == [
        ("LoadBalancerSourceRanges", "[] -> [10.0.0.0/8 ::/0]"),
        ("ExternalTrafficPolicy", "Cluster -> Local"),
        ("HealthCheckNodePort", "0 -> 30001"),
    ]


# --- pod network --------------------------------------------------------------------------------------------------


def test_routes_lead_to_every_other_node_that_is_complete() -> None:
    nodes = [
        node("here", "10.89.0.2", "10.244.0.0/24"),
        node("there", "10.89.0.3", "10.244.1.0/24"),
        node("no-address", "", "10.244.2.0/24"),
        node("no-range", "10.89.0.5"),
        node("far", "192.0.2.9", "10.244.3.0/24"),
    ]
    assert podnetwork.wanted_hops(nodes, "here", {"192.0.2.9"}) == {
        "10.244.1.0/24": Hop("10.89.0.3", "10.89.0.3"),
        "10.244.3.0/24": Hop("192.0.2.9", "10.244.3.0", tunnel=True),
    }


def test_only_what_differs_is_routed_anew() -> None:
    present = {f"10.244.{i}.0/24": (f"10.89.0.{i + 2}", "eth0") for i in (1, 2, 3)}
    wanted = {
        "10.244.1.0/24": Hop("10.89.0.3", "10.89.0.3"),
        "10.244.2.0/24": Hop("10.89.0.9", "10.89.0.9"),
        "10.244.4.0/24": Hop("192.0.2.9", "10.244.4.0", tunnel=True),
    }
    assert podnetwork.route_commands(wanted, present) == {
        "10.244.3.0/24": ["route delete 10.244.3.0/24 proto 137"],
        "10.244.2.0/24": ["route replace 10.244.2.0/24 via 10.89.0.9 proto 137"],
        "10.244.4.0/24": [
            "neighbour replace 10.244.4.0 lladdr 02:50:c0:00:02:09 dev pynetes-vxlan nud permanent",
            "route replace 10.244.4.0/24 via 10.244.4.0 dev pynetes-vxlan onlink proto 137",
        ],
    }


def test_the_cni_configuration_is_written_once(tmp_path: Path) -> None:
    configuration = podnetwork.cni_configuration(["10.244.0.0/24"], "/state", 1400)
    assert podnetwork.write_configuration(str(tmp_path), configuration)
    assert not podnetwork.write_configuration(str(tmp_path), configuration)
    [path] = tmp_path.iterdir()
    bridge, port_map = json.loads(path.read_text())["plugins"]
    assert (bridge["mtu"], bridge["ipam"]["ranges"]) == (1400, [[{"subnet": "10.244.0.0/24"}]])
    assert port_map["capabilities"] == {"portMappings": True}


def test_the_endpoints_of_cluster_dns_are_the_nodes() -> None:
    found = dns_endpoints([node("b", "10.89.0.3"), node("a", "10.89.0.2"), node("c")])
    [subset] = found["subsets"]
    assert [(a["ip"], a["nodeName"]) for a in subset["addresses"]] == [("10.89.0.2", "a"), ("10.89.0.3", "b")]
    assert dns_endpoints([])["subsets"] == []


# --- addresses of clusters ----------------------------------------------------------------------------------------


def test_clusters_get_ranges_that_overlap_no_route() -> None:
    assert first_free("a", ["192.0.2.0/24"]).index == 0
    assert first_free("a", ["10.89.0.128/26"]).index == 1
    assert first_free("a", ["10.96.0.0/16", "10.243.7.0/24"]).index == 2
    assert first_free("a", [], reserved=[0, 1]).index == 2
    with pytest.raises(NetworkError, match="overlap"):
        first_free("a", ["10.0.0.0/8"])


def test_names_are_short_and_differ_by_cluster() -> None:
    one, two = ClusterNetwork("a" * 60), ClusterNetwork("b")
    assert len(one.bridge) <= 15 and len(one.veth("node-1")) <= 15
    assert one.bridge != two.bridge and one.veth("node-1") != two.veth("node-1")
    assert two.namespace("node-1") == "pynetes.b.node-1"


# --- options ------------------------------------------------------------------------------------------------------


def test_upstream_servers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert upstream_servers(parse(["--upstream-dns=none"])) == []
    assert upstream_servers(parse(["--upstream-dns=192.0.2.1", "--upstream-dns=192.0.2.2:54"])) == [
        ("192.0.2.1", 53),
        ("192.0.2.2", 54),
    ]
    conf = tmp_path / "resolv.conf"
    conf.write_text("nameserver 127.0.0.53\nnameserver 192.0.2.3\nnameserver 10.96.0.10\n")
    monkeypatch.setattr("pynetes.network.main._RESOLV_CONF", conf)
    assert upstream_servers(Options(cluster_dns="10.96.0.10")) == [("192.0.2.3", 53)]
    assert upstream_servers(Options(mode="host", cluster_dns="10.96.0.10"))[0] == ("127.0.0.53", 53)


# --- UDP flows ----------------------------------------------------------------------------------------------------


def test_flows_are_stale_when_their_endpoint_is_gone() -> None:
    service, old, new = nft.ip("10.96.0.1"), nft.ip("10.244.0.1"), nft.ip("10.244.0.2")
    flows = [Flow(service, 53, old, b"1"), Flow(service, 53, new, b"2"), Flow(service, 54, old, b"3")]
    unanswered = Flow(service, 53, service, b"4")
    found = conntrack.stale([*flows, unanswered], {frontend("10.96.0.1", 53): frozenset({new})})
    assert [flow.identity for flow in found] == [b"1", b"4"]


# --- health checks ------------------------------------------------------------------------------------------------


async def test_health_checks_open_change_and_close_their_ports(unused_tcp_port_factory: Any) -> None:
    import aiohttp

    first, second = unused_tcp_port_factory(), unused_tcp_port_factory()
    servers = health.HealthServers(("127.0.0.1",))
    async with aiohttp.ClientSession() as session:

        async def get(port: int) -> tuple[int, dict[str, Any]]:
            async with session.get(f"http://127.0.0.1:{port}/") as response:
                return response.status, await response.json()

        await servers.update({"default/web": health.Check(first, 2)})
        service = {"namespace": "default", "name": "web"}
        assert await get(first) == (200, {"service": service, "localEndpoints": 2, "serviceProxyHealthy": True})
        await servers.update({"default/web": health.Check(first, 0)})
        assert (await get(first))[0] == 503
        await servers.update({"default/web": health.Check(second, 1)})
        assert (await get(second))[0] == 200
        await servers.update({"default/web": None})
        for port in (first, second):
            with pytest.raises(aiohttp.ClientConnectionError):
                async with aiohttp.ClientSession() as fresh, fresh.get(f"http://127.0.0.1:{port}/"):
                    pass
    servers.close()


@pytest.mark.parametrize(
    ("path", "well", "eligible", "status"),
    [
        ("/healthz", True, True, 200),
        ("/healthz", False, True, 503),
        ("/healthz", True, False, 503),
        ("/livez", True, False, 200),
        ("/livez", False, True, 503),
        ("/", True, True, 404),
    ],
)
def test_the_agents_own_health_is_told_as_kube_proxy_tells_it(
    path: str, well: bool, eligible: bool, status: int
) -> None:
    found, headers, body = health.proxy_health(path, well, eligible, 0.0)
    assert found == status
    if status != 404:
        assert headers["Content-Type"] == "application/json"
        told = json.loads(body)
        assert told["nodeEligible"] is eligible
        assert told["lastUpdated"].startswith("1970-01-01 00:00:00") is not well


def test_a_node_that_is_about_to_go_is_not_eligible() -> None:
    taint = {"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}
    assert health.is_eligible(node("a"))
    assert not health.is_eligible(node("a") | {"spec": {"taints": [taint]}})
    assert not health.is_eligible({"metadata": {"name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z"}})


def test_the_proxy_mode_is_told() -> None:
    assert health.proxy_status("/proxyMode")[::2] == (200, b"nftables")
    assert health.proxy_status("/")[0] == 404
