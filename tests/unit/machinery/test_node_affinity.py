"""Which node a pod's selector and affinity allow."""

import pytest

from pynetes.machinery import node_affinity
from pynetes.machinery.meta import Obj

NODE: Obj = {"metadata": {"name": "n1", "labels": {"zone": "a", "cores": "8"}}}


def affinity(*terms: Obj) -> Obj:
    required = {"nodeSelectorTerms": [*terms]}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}}


def expression(key: str, operator: str, *values: str) -> Obj:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": [*values]}]}


@pytest.mark.parametrize(
    ("spec", "allowed"),
    [
        ({}, True),
        ({"nodeSelector": {"zone": "a"}}, True),
        ({"nodeSelector": {"zone": "b"}}, False),
        ({"nodeSelector": {"zone": "a", "disk": "ssd"}}, False),
        (affinity(expression("zone", "In", "a", "b")), True),
        (affinity(expression("zone", "NotIn", "a")), False),
        (affinity(expression("cores", "Gt", "4")), True),
        (affinity(expression("cores", "Lt", "4")), False),
        (affinity(expression("cores", "Gt", "few")), False),
        (affinity(expression("cores", "Gt", "few"), expression("zone", "Exists")), True),
        (affinity(expression("zone", "In", "b"), expression("cores", "Exists")), True),
        (affinity({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}), True),
        (affinity({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n2"]}]}), False),
        (affinity({}), False),
        ({"nodeSelector": {"zone": "b"}} | affinity(expression("zone", "In", "a")), False),
    ],
)
def test_selector_and_affinity_must_both_allow_the_node(spec: Obj, allowed: bool) -> None:
    assert node_affinity.allows(spec, NODE) is allowed
