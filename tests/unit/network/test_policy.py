"""NetworkPolicies as chains and sets."""

from typing import Any

import pytest

from pynetes.network import nft
from pynetes.network.nft import DROP, goto, verdict
from pynetes.network.policy import Pod, Renderer, pod_of, policy_types
from pynetes.network.table import Fragment

NAMESPACES = {"default": {"team": "red"}, "other": {"team": "blue"}}


def pod(last: int, namespace: str = "default", *, local: bool = True, **labels: str) -> Pod:
    return Pod(namespace, labels, f"10.244.0.{last}", local, (("http", "TCP", 8000 + last),))


PODS = [pod(1, app="a"), pod(2, app="b"), pod(3, "other", local=False, app="a")]


def policy(name: str = "p", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {"podSelector": {}} | spec}


def render(*policies: dict[str, Any]) -> Fragment:
    return Renderer(PODS, NAMESPACES).render(policies)


def isolated(part: Fragment, direction: str) -> set[str]:
    name = f"policy-{direction}"
    return {".".join(map(str, key)) for set_name, key in part.elements if set_name == name}


def addresses(part: Fragment, prefix: str) -> list[set[str]]:
    names = [name for name in part.sets if name.startswith(prefix)]
    return [{".".join(map(str, key[:4])) for n, key in part.elements if n == name} for name in names]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, {"Ingress"}),
        ({"egress": [{}]}, {"Ingress", "Egress"}),
        ({"policyTypes": ["Egress"]}, {"Egress"}),
    ],
)
def test_directions(spec: dict[str, Any], expected: set[str]) -> None:
    assert policy_types(policy(**spec)) == expected


def test_only_local_selected_pods_are_isolated_and_only_in_the_policys_direction() -> None:
    part = render(policy(podSelector={"matchLabels": {"app": "a"}}))
    assert isolated(part, "ingress") == {"10.244.0.1"}
    assert isolated(part, "egress") == set()


def test_a_chain_of_a_pod_drops_what_no_policy_accepts() -> None:
    part = render(policy("p"), policy("q", podSelector={"matchLabels": {"app": "a"}}))
    targets = {key: data for (name, key), data in part.elements.items() if name == "policy-ingress"}
    both, one = targets[nft.ip("10.244.0.1")], targets[nft.ip("10.244.0.2")]
    assert isinstance(both, nft.Verdict) and isinstance(one, nft.Verdict) and both != one
    assert both == goto(both.chain)
    assert [len(part.chains[v.chain]) for v in (both, one)] == [3, 2]
    assert part.chains[both.chain][-1] == (verdict(DROP),)


def test_pods_with_the_same_policies_share_a_chain() -> None:
    part = render(policy())
    assert len({data for (name, _), data in part.elements.items() if name == "policy-ingress"}) == 1


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ({"podSelector": {}}, {"10.244.0.1", "10.244.0.2"}),
        ({"podSelector": {"matchLabels": {"app": "b"}}}, {"10.244.0.2"}),
        ({"namespaceSelector": {}}, {"10.244.0.1", "10.244.0.2", "10.244.0.3"}),
        ({"namespaceSelector": {"matchLabels": {"team": "blue"}}}, {"10.244.0.3"}),
        ({"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "a"}}}, {"10.244.0.1", "10.244.0.3"}),
    ],
)
def test_peers(peer: dict[str, Any], expected: set[str]) -> None:
    assert addresses(render(policy(ingress=[{"from": [peer]}])), "peers-") == [expected]


def test_a_rule_without_peers_and_ports_accepts_everything() -> None:
    part = render(policy(ingress=[{}]))
    assert part.chains["ingress-of-default/p"] == ((verdict(nft.ACCEPT),),)


def test_a_policy_without_rules_accepts_nothing() -> None:
    assert render(policy()).chains["ingress-of-default/p"] == ()


def test_peers_and_ports_multiply() -> None:
    peers = [{"podSelector": {}}, {"ipBlock": {"cidr": "192.0.2.0/24", "except": ["192.0.2.1/32"]}}]
    ports = [{"port": 80}, {"port": 90, "endPort": 99, "protocol": "UDP"}, {"protocol": "SCTP"}]
    part = render(policy(ingress=[{"from": peers, "ports": ports}]))
    assert len(part.chains["ingress-of-default/p"]) == 6


def test_named_ports_are_those_of_the_pods_that_are_reached() -> None:
    part = render(policy(ingress=[{"ports": [{"port": "http"}]}]))
    keys = {key for name, key in part.elements if name.startswith("ports-")}
    assert keys == {nft.ip(f"10.244.0.{i}") + nft.proto(nft.TCP) + nft.port(8000 + i) for i in (1, 2)}
    part = render(policy(policyTypes=["Egress"], egress=[{"ports": [{"port": "http"}]}]))
    assert len({key for name, key in part.elements if name.startswith("ports-")}) == 3, "of any pod"


def running(**changes: Any) -> dict[str, Any]:
    obj: dict[str, Any] = {
        "metadata": {"name": "x", "namespace": "default", "labels": {"app": "a"}},
        "spec": {"nodeName": "here", "containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 80}]}]},
        "status": {"phase": "Running", "podIP": "10.244.0.9"},
    }
    for part, values in changes.items():
        obj[part] |= values
    return obj


def test_what_policies_see_of_a_pod() -> None:
    assert pod_of(running(), "here") == Pod("default", {"app": "a"}, "10.244.0.9", True, (("http", "TCP", 80),))
    found = pod_of(running(), "there")
    assert found is not None and not found.local


@pytest.mark.parametrize(
    "changes",
    [{"spec": {"hostNetwork": True}}, {"status": {"phase": "Succeeded"}}, {"status": {"podIP": ""}}],
    ids=["host network", "ended", "no address yet"],
)
def test_pods_that_are_none_to_a_policy(changes: dict[str, Any]) -> None:
    assert pod_of(running(**changes), "here") is None
