"""Service ports as elements and chains."""

from typing import Any

from pynetes.network import nft, rules
from pynetes.network.endpoints import Backends, Endpoint, ServicePort
from pynetes.network.nft import DROP, goto
from pynetes.network.table import Fragment

RANGES = rules.Ranges("10.244.0.0/16", ("10.96.0.0/16",), "10.89.0.128/25")
HERE = rules.Here(RANGES, ("10.89.0.2",))
ONE, TWO, THREE = (Endpoint(f"10.244.0.{i}", 8080, node="here") for i in (1, 2, 3))


def port(**changes: Any) -> ServicePort:
    values: dict[str, Any] = {
        "key": "default/web",
        "name": "",
        "protocol": "TCP",
        "port": 80,
        "node_port": 0,
        "cluster_ips": ("10.96.0.1",),
        "external_ips": (),
        "load_balancer_ips": (),
        "source_ranges": (),
        "external_local": False,
        "internal_local": False,
        "affinity_seconds": 0,
        "health_check_port": 0,
    }
    return ServicePort(**(values | changes))


def render(backends: Backends, here: rules.Here = HERE, **changes: Any) -> Fragment:
    return rules.service_fragment([(port(**changes), backends)], here)


def frontend(address: str, number: int, protocol: int = nft.TCP) -> bytes:
    return nft.ip(address) + nft.proto(protocol) + nft.port(number)


def slots(part: Fragment, place: bytes) -> list[tuple[int, str]]:
    return [
        (int.from_bytes(key[12:], "little"), ".".join(str(b) for b in data[:4]))
        for (name, key), data in part.elements.items()
        if name == "endpoints" and key.startswith(place) and isinstance(data, bytes)
    ]


def cluster(*endpoints: Endpoint) -> Backends:
    return Backends(endpoints, (), bool(endpoints))


def test_a_cluster_ip_leads_to_a_chain_for_its_number_of_endpoints() -> None:
    part = render(cluster(ONE, TWO, THREE))
    place = frontend("10.96.0.1", 80)
    assert part.elements["services", place] == goto("pick-3")
    assert slots(part, place) == [(0, "10.244.0.1"), (1, "10.244.0.2"), (2, "10.244.0.3")]
    assert set(part.shared) == {"pick-3"}
    assert not part.chains, "no chain of its own"


def test_endpoints_may_reach_themselves() -> None:
    assert ("hairpin", nft.ip("10.244.0.1") * 2) in render(cluster(ONE)).elements


def test_nothing_behind_a_service_is_refused() -> None:
    part = render(Backends(), node_port=30000, load_balancer_ips=("10.89.0.130",))
    for place in (frontend("10.96.0.1", 80), frontend("10.89.0.2", 30000), frontend("10.89.0.130", 80)):
        assert part.elements["no-endpoint-services", place] == goto("reject")
    assert not any(name == "services" for name, _ in part.elements)


def test_endpoints_elsewhere_only_are_dropped_under_local_policy() -> None:
    part = render(Backends((), (), any_at_all=True), internal_local=True)
    assert part.elements["no-endpoint-services", frontend("10.96.0.1", 80)] == DROP


def test_traffic_from_outside_is_masqueraded_unless_policy_is_local() -> None:
    part = render(cluster(ONE), node_port=30000)
    assert part.elements["services", frontend("10.89.0.2", 30000)] == goto("external-pick-1")
    assert slots(part, frontend("10.89.0.2", 30000)) == [(0, "10.244.0.1")]

    part = render(Backends((ONE, TWO), (ONE,), True), node_port=30000, external_local=True)
    place = frontend("10.89.0.2", 30000)
    assert part.elements["services", place] == goto("external-pick-2-local-pick-1-after-2")
    assert slots(part, place) == [(0, "10.244.0.1"), (1, "10.244.0.2"), (2, "10.244.0.1")]


def test_local_policy_without_local_endpoints_still_lets_the_inside_through() -> None:
    part = render(Backends((ONE,), (), True), node_port=30000, external_local=True)
    place = frontend("10.89.0.2", 30000)
    assert part.elements["services", place] == goto("external-pick-1-local-none")
    assert part.elements["no-endpoint-services", place] == DROP


def test_affinity_gives_endpoints_lasting_identities() -> None:
    def identities(*endpoints: Endpoint) -> dict[str, bytes]:
        part = render(cluster(*endpoints), affinity_seconds=60)
        assert part.elements["services", frontend("10.96.0.1", 80)] == goto(f"sticky-60s-{len(endpoints)}")
        found = {key[12:]: data for (name, key), data in part.elements.items() if name == "endpoints-by-id"}
        return {".".join(map(str, data[:4])): key for key, data in found.items() if isinstance(data, bytes)}

    before, after = identities(ONE, TWO), identities(TWO, THREE)
    assert before["10.244.0.2"] == after["10.244.0.2"]
    assert len({*before.values(), *after.values()}) == 3


def test_source_ranges_guard_the_load_balancers_addresses_only() -> None:
    part = render(cluster(ONE), load_balancer_ips=("10.89.0.130",), source_ranges=("192.0.2.0/24",), node_port=30000)
    guarded = [key for name, key in part.elements if name == "firewalls"]
    assert guarded == [frontend("10.89.0.130", 80)]
    assert len(part.chains["firewall-default/web/tcp/80"]) == 2


def test_addresses_that_the_node_answers_itself_get_no_rules() -> None:
    here = rules.Here(RANGES, ("10.89.0.2",), frozenset({"10.96.0.10"}))
    assert not render(cluster(ONE), here, cluster_ips=("10.96.0.10",)).elements


def test_a_udp_and_a_tcp_port_of_one_number_do_not_mix() -> None:
    part = rules.service_fragment([(port(), cluster(ONE)), (port(protocol="UDP"), cluster(TWO))], HERE)
    assert slots(part, frontend("10.96.0.1", 80)) == [(0, "10.244.0.1")]
    assert slots(part, frontend("10.96.0.1", 80, nft.UDP)) == [(0, "10.244.0.2")]


def test_a_local_load_balancer_without_endpoints_here_is_sent_on_not_dropped() -> None:
    backends = Backends((ONE, Endpoint("10.244.1.1", 8080, node="there")), (), True)
    part = render(backends, external_local=True, load_balancer_ips=("10.89.0.130",), node_port=30000)
    assert ("routed-away", nft.ip("10.89.0.130")) in part.elements
    assert ("no-endpoint-services", frontend("10.89.0.130", 80)) not in part.elements
    assert part.elements["no-endpoint-services", frontend("10.89.0.2", 30000)] == DROP, "node ports are not"
    found = rules.routed_away(port(external_local=True, load_balancer_ips=("10.89.0.130",)), backends)
    assert found == {"10.89.0.130": {"here", "there"}}
