"""Topology aware routing: every zone gets endpoints in proportion to its CPUs, or nobody gets hints."""

from collections import Counter
from typing import Any

import pytest

from pynetes.controllers import topology_hints
from pynetes.controllers.topology_hints import NoHints


def node(zone: str, cpu: str = "4", ready: str = "True", **labels: str) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": ready}]
    zones = {"topology.kubernetes.io/zone": zone} if zone else {}
    return {"metadata": {"labels": zones | labels}, "status": {"allocatable": {"cpu": cpu}, "conditions": conditions}}


def endpoints(*zones: str, ready: bool = True) -> list[dict[str, Any]]:
    return [
        {"addresses": [f"10.0.0.{number}"], "conditions": {"ready": ready}} | ({"zone": zone} if zone else {})
        for number, zone in enumerate(zones)
    ]


def hinted(found: list[dict[str, Any]]) -> list[str]:
    return [each["hints"]["forZones"][0]["name"] for each in found]


def test_endpoints_serve_their_own_zones_if_that_is_fair() -> None:
    assert hinted(topology_hints.give(endpoints("a", "b"), [node("a"), node("b")])) == ["a", "b"]


def test_zones_with_more_than_their_part_give_to_others() -> None:
    found = hinted(topology_hints.give(endpoints("a", "a", "a", "a", "a", "b"), [node("a"), node("b"), node("c")]))
    assert Counter(found) == {"a": 2, "b": 2, "c": 2}
    assert found[-1] == "b"


def test_parts_follow_the_cpus() -> None:
    found = hinted(topology_hints.give(endpoints(*"aaaaaa"), [node("a", "2"), node("b", "4000m")]))
    assert Counter(found) == {"a": 2, "b": 4}


def test_endpoints_that_are_not_ready_neither_count_nor_get_hints() -> None:
    (gone,) = endpoints("a", ready=False)
    found = topology_hints.give([gone, *endpoints("a", "b")], [node("a"), node("b")])
    assert found[0] == gone
    assert hinted(found[1:]) == ["a", "b"]


@pytest.mark.parametrize(
    ("zones", "nodes", "reason"),
    [
        ("ab", [node("a"), node("")], topology_hints.INSUFFICIENT_NODES),
        ("ab", [node("a"), node("b", "0")], topology_hints.INSUFFICIENT_NODES),
        ("ab", [], topology_hints.INSUFFICIENT_NODES),
        ("ab", [node("a"), node("b", ready="False")], topology_hints.ONE_ZONE),
        ("a", [node("a"), node("b")], "Insufficient number of endpoints (1 endpoints, 2 zones)"),
        ("aab", [node("a"), node("b")], topology_hints.OVERLOADED + " (3 endpoints, 2 zones)"),
        (["a", "a", "b", ""], [node("a"), node("b")], topology_hints.NO_ZONE),
    ],
)
def test_why_there_are_no_hints(zones: list[str], nodes: list[dict[str, Any]], reason: str) -> None:
    with pytest.raises(NoHints) as raised:
        topology_hints.give(endpoints(*zones), nodes)
    assert str(raised.value) == reason


def test_nodes_of_the_control_plane_do_not_count() -> None:
    control_plane = node("c", **{"node-role.kubernetes.io/control-plane": ""})
    assert hinted(topology_hints.give(endpoints("a", "b"), [node("a"), node("b"), control_plane])) == ["a", "b"]


@pytest.mark.parametrize(
    ("annotations", "wanted"),
    [
        ({}, False),
        ({"service.kubernetes.io/topology-mode": "Auto"}, True),
        ({"service.kubernetes.io/topology-mode": "Disabled"}, False),
        ({"service.kubernetes.io/topology-aware-hints": "auto"}, True),
    ],
)
def test_who_asks(annotations: dict[str, str], wanted: bool) -> None:
    assert topology_hints.is_wanted({"metadata": {"annotations": annotations}}) is wanted
