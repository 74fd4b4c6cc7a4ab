"""What may change in a pod while scheduling gates hold it back (KEP-3838)."""

from typing import Any

import pytest

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
TERMS = f"spec.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms"
ZONE = {"key": "zone", "operator": "In", "values": ["a"]}
DISK = {"key": "disk", "operator": "Exists"}


def affinity(*terms: dict[str, Any]) -> dict[str, Any]:
    return {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": list(terms)}}}


@pytest.fixture
def gated(create):
    spec = {
        "containers": [{"name": "c", "image": "i"}],
        "schedulingGates": [{"name": "g"}],
        "nodeSelector": {"a": "b"},
        "affinity": affinity({"matchExpressions": [ZONE]}),
    }
    return create("pods", {"metadata": {}, "spec": spec}).obj


@pytest.mark.parametrize(
    "change",
    [
        {"nodeSelector": {"a": "b", "c": "d"}},
        {"affinity": affinity({"matchExpressions": [ZONE, DISK]})},
        {"affinity": affinity({"matchExpressions": [ZONE], "matchFields": [DISK | {"key": "metadata.name"}]})},
        {"schedulingGates": []},
    ],
)
def test_its_choice_of_nodes_may_be_narrowed(update, gated, change):
    errors = update("pods", gated, lambda pod: pod["spec"].update(change)).errors
    assert not [error for error in errors if "only additions" in error or "may not change" in error]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"nodeSelector": {"a": "z"}},
            'spec.nodeSelector: Invalid value: {"a":"z"}: '
            "only additions to spec.nodeSelector are allowed (no mutations or deletions)",
        ),
        (
            {"affinity": affinity({"matchExpressions": [DISK, ZONE]})},
            f'{TERMS}[0]: Invalid value: {{"MatchExpressions":[{{"Key":"disk","Operator":"Exists","Values":null}},'
            '{"Key":"zone","Operator":"In","Values":["a"]}],"MatchFields":null}: '
            "only additions are allowed (no mutations or deletions)",
        ),
        (
            {"affinity": affinity({"matchFields": []}, {})},
            f'{TERMS}: Invalid value: [{{"MatchExpressions":null,"MatchFields":[]}},'
            '{"MatchExpressions":null,"MatchFields":null}]: '
            "no additions/deletions to non-empty NodeSelectorTerms list are allowed",
        ),
        (
            {"schedulingGates": [{"name": "g"}, {"name": "h"}]},
            "spec.schedulingGates[1].name: Forbidden: only deletion is allowed, but found new scheduling gate 'h'",
        ),
    ],
)
def test_it_may_not_be_widened(update, gated, change, said):
    assert update("pods", gated, lambda pod: pod["spec"].update(change)).errors == [said]


def test_its_other_affinities_stay(update, gated):
    spread = {"podAffinity": {REQUIRED: [{"topologyKey": "zone", "labelSelector": {}}]}}
    (error,) = update("pods", gated, lambda pod: pod["spec"]["affinity"].update(spread)).errors
    assert error.startswith("spec: Forbidden: pod updates may not change fields other than ")
