"""Flow schemas and priority levels."""

from typing import Any

import pytest

from pynetes.apis.flowcontrol import flow_schema, priority_level
from pynetes.machinery.meta import Obj
from tests.unit.apis import specimen
from tests.unit.apis.specimen import changed, create_errors, defaulted, update_errors

SCHEMAS = specimen.strategy("flowschemas.flowcontrol.apiserver.k8s.io")
LEVELS = specimen.strategy("prioritylevelconfigurations.flowcontrol.apiserver.k8s.io")

RESOURCES = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "namespaces": ["default"]}
PATHS = {"verbs": ["get"], "nonResourceURLs": ["/healthz"]}
USER = {"kind": "User", "user": {"name": "jane"}}
RULE = {"subjects": [USER], "resourceRules": [RESOURCES]}


def flow(name: str = "jane", **spec: Any) -> Obj:
    whole = {"priorityLevelConfiguration": {"name": "workload-low"}, "matchingPrecedence": 500, "rules": [RULE]}
    return {"metadata": {"name": name}, "spec": whole | spec}


def with_rule(**fields: Any) -> Obj:
    return flow(rules=[RULE | fields])


def with_resources(**fields: Any) -> Obj:
    return with_rule(resourceRules=[RESOURCES | fields])


def with_subject(**subject: Any) -> Obj:
    return with_rule(subjects=[subject])


def test_a_schema_without_precedence_is_in_the_middle() -> None:
    assert defaulted(SCHEMAS, flow(matchingPrecedence=0))["spec"]["matchingPrecedence"] == 1000


R, U = "spec.rules[0].resourceRules[0]", "spec.rules[0].subjects[0]"


@pytest.mark.parametrize(
    ("obj", "error"),
    [
        (flow(matchingPrecedence=-1), "spec.matchingPrecedence: Invalid value: -1: must be a positive value"),
        (
            flow(matchingPrecedence=10001),
            "spec.matchingPrecedence: Invalid value: 10001: must not be greater than 10000",
        ),
        (
            flow(matchingPrecedence=1),
            "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1",
        ),
        (
            flow(priorityLevelConfiguration={}),
            "spec.priorityLevelConfiguration.name: Required value: must reference a priority level",
        ),
        (
            flow(distinguisherMethod={"type": "ByMood"}),
            'spec.distinguisherMethod.type: Unsupported value: {"type":"ByMood"}: '
            'supported values: "ByNamespace", "ByUser"',
        ),
        (with_rule(subjects=[]), "spec.rules[0].subjects: Required value: subjects must contain at least one value"),
        (
            with_rule(resourceRules=[]),
            "spec.rules[0]: Required value: at least one of resourceRules and nonResourceRules has to be non-empty",
        ),
        (
            with_subject(kind="Robot"),
            f'{U}.kind: Unsupported value: "Robot": supported values: "Group", "ServiceAccount", "User"',
        ),
        (with_subject(kind="User"), f"{U}.user: Required value: user is required when subject kind is 'User'"),
        (
            with_subject(kind="User", user={"name": "a"}, group={"name": "b"}),
            f"{U}.group: Forbidden: group is forbidden when subject kind is not 'Group'",
        ),
        (
            with_subject(kind="ServiceAccount", serviceAccount={"name": "*"}),
            f"{U}.serviceAccount.namespace: Required value: must specify namespace for service account",
        ),
        (with_resources(verbs=[]), f"{R}.verbs: Required value: verbs must contain at least one value"),
        (
            with_resources(verbs=["*", "get"]),
            f'{R}.verbs: Invalid value: ["*","get"]: if \'*\' is present, must not specify other verbs',
        ),
        (
            with_resources(verbs=["look"]),
            f'{R}.verbs: Unsupported value: ["look"]: supported values: "create", "delete", "deletecollection", "get", '
            '"list", "patch", "proxy", "update", "watch"',
        ),
        (
            with_resources(namespaces=[]),
            f"{R}.namespaces: Required value: "
            "resource rules that are not cluster scoped must supply at least one namespace",
        ),
        (
            with_rule(resourceRules=[], nonResourceRules=[PATHS | {"nonResourceURLs": ["/a*"]}]),
            'spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: Invalid value: "/a*": '
            "wildcard can only do suffix matching",
        ),
    ],
)
def test_flow_schema_rules(obj: Obj, error: str) -> None:
    assert create_errors(SCHEMAS, obj) == [error]


def test_what_holds_the_system_together_cannot_be_changed() -> None:
    for name, spec in flow_schema.MANDATORY.items():
        obj = {"metadata": {"name": name}, "spec": spec}
        assert create_errors(SCHEMAS, obj) == []
        (error,) = create_errors(SCHEMAS, changed(obj, "spec.rules", [RULE]))
        assert error.startswith("spec: Invalid value: {") and error.endswith(f"'{name}' must equal the fixed value")
    for name, spec in priority_level.MANDATORY.items():
        assert create_errors(LEVELS, {"metadata": {"name": name}, "spec": spec}) == []


def test_the_exempt_level_may_lend() -> None:
    lending = {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 10, "lendablePercent": 50}}
    assert create_errors(LEVELS, {"metadata": {"name": "exempt"}, "spec": lending}) == []


def test_conditions_have_types_of_their_own() -> None:
    old = specimen.stored(SCHEMAS, flow())
    new = old | {"status": {"conditions": [{"type": "Dangling"}, {"type": "Dangling"}, {}]}}
    assert update_errors(SCHEMAS, old, new, "status") == [
        'status.conditions[1].type: Duplicate value: "Dangling"',
        "status.conditions[2].type: Required value: must not be empty",
    ]


def test_flow_schema_table() -> None:
    dangling = {"status": {"conditions": [{"type": "Dangling", "status": "False"}]}}
    assert SCHEMAS.row(flow(distinguisherMethod={"type": "ByUser"}) | dangling) == [
        "jane", "workload-low", 500, "ByUser", "<unknown>", "False"
    ]  # fmt: skip
    assert SCHEMAS.row(flow())[3:] == ["<none>", "<unknown>", "?"]


def level(response: Obj | None = None, **limited: Any) -> Obj:
    whole = {"limitResponse": response or {"type": "Reject"}} | limited
    return {"metadata": {"name": "mine"}, "spec": {"type": "Limited", "limited": whole}}


def queue(**fields: int) -> Obj:
    return {"type": "Queue", "queuing": fields}


def test_a_level_has_defaults() -> None:
    limited = defaulted(LEVELS, level(queue()))["spec"]["limited"]
    assert (limited["nominalConcurrencyShares"], limited["lendablePercent"]) == (30, 0)
    assert limited["limitResponse"]["queuing"] == {"queues": 64, "handSize": 8, "queueLengthLimit": 50}
    assert defaulted(LEVELS, level(nominalConcurrencyShares=0))["spec"]["limited"]["nominalConcurrencyShares"] == 0


L, Q = "spec.limited", "spec.limited.limitResponse.queuing"


@pytest.mark.parametrize(
    ("obj", "error"),
    [
        (
            {"metadata": {"name": "mine"}, "spec": {"type": "Exempt"}},
            "spec.type: Invalid value: \"Exempt\": type must be 'Exempt' if and only if name is 'exempt'",
        ),
        (
            {"metadata": {"name": "mine"}, "spec": {"type": "Limited"}},
            f"{L}: Required value: must not be empty when type is Limited",
        ),
        (
            {"metadata": {"name": "mine"}, "spec": {"type": "Free"}},
            'spec.type: Unsupported value: "Free": supported values: "Exempt", "Limited"',
        ),
        (
            level(nominalConcurrencyShares=-1),
            f"{L}.nominalConcurrencyShares: Invalid value: -1: must be a non-negative integer",
        ),
        (
            level(lendablePercent=101),
            f"{L}.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive",
        ),
        (
            level(borrowingLimitPercent=-1),
            f"{L}.borrowingLimitPercent: Invalid value: -1: if specified, must be a non-negative integer",
        ),
        (
            level({"type": "Queue"}),
            f"{Q}: Required value: must not be empty if limited.limitResponse.type is Limited",
        ),
        (
            level({"type": "Reject", "queuing": {}}),
            f"{Q}: Forbidden: must be nil if limited.limitResponse.type is not Limited",
        ),
        (
            level({"type": "Shrug"}),
            f'{L}.limitResponse.type: Unsupported value: "Shrug": supported values: "Queue", "Reject"',
        ),
        (level(queue(queues=-1, handSize=-1)), f"{Q}.queues: Invalid value: -1: must be positive"),
        (level(queue(queues=4)), f"{Q}.handSize: Invalid value: 8: should not be greater than queues (4)"),
        (
            level(queue(queues=512, handSize=8)),
            f"{Q}.handSize: Invalid value: 8: required entropy bits of deckSize 512 and handSize 8 should not be "
            "greater than 60",
        ),
    ],
)
def test_priority_level_rules(obj: Obj, error: str) -> None:
    assert create_errors(LEVELS, obj)[0] == error


def test_priority_level_table() -> None:
    assert LEVELS.row(defaulted(LEVELS, level(queue())))[1:6] == ["Limited", 30, 64, 8, 50]
    assert LEVELS.row({"metadata": {"name": "exempt"}, "spec": {"type": "Exempt"}})[2:6] == ["<none>"] * 4
