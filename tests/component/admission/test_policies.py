"""Admission policies in CEL, and match conditions of webhooks."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from pynetes.testing.rest import Rest

pytestmark = pytest.mark.asyncio(loop_scope="module")

BASE = "/apis/admissionregistration.k8s.io/v1"
_numbers = itertools.count()


def rules(resource: str = "configmaps", group: str = "", **more: Any) -> dict[str, Any]:
    operations = more.pop("operations", ["CREATE", "UPDATE"])
    rule = {"apiGroups": [group], "apiVersions": ["v1"], "resources": [resource], "operations": operations, **more}
    return {"resourceRules": [rule]}


@pytest_asyncio.fixture(loop_scope="module")
async def install(admin: Rest, namespace: str) -> AsyncIterator[Callable[..., Any]]:
    """Installs a policy and a binding that concern this test's namespace; they are gone after the test."""
    made: list[str] = []

    async def one(kind: str, binding: dict[str, Any] | None = None, **spec: Any) -> str:
        name = f"p{next(_numbers)}"
        policies, bindings = (f"{BASE}/{kind}admission{what}" for what in ("policies", "policybindings"))
        spec.setdefault("matchConstraints", rules())
        answer = await admin("POST", policies, {"metadata": {"name": name}, "spec": spec})
        assert answer.status == 201, answer.body
        selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
        bound = {"policyName": name, "matchResources": {"namespaceSelector": selector}, **(binding or {})}
        if kind == "validating":
            bound.setdefault("validationActions", ["Deny"])
        answer = await admin("POST", bindings, {"metadata": {"name": f"{name}-b"}, "spec": bound})
        assert answer.status == 201, answer.body
        made.extend([f"{bindings}/{name}-b", f"{policies}/{name}"])
        return name

    yield one
    for path in made:
        await admin("DELETE", path)


def config(name: str = "c", **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


def maps(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


async def test_a_violation_is_denied_in_upstreams_words(admin: Rest, install: Any, namespace: str) -> None:
    name = await install("validating", validations=[{"expression": "object.data.size() < 2"}])
    assert (await admin("POST", maps(namespace), config(a="1"))).status == 201
    answer = await admin("POST", maps(namespace), config("d", a="1", b="2"))
    denied = f"ValidatingAdmissionPolicy '{name}' with binding '{name}-b' denied request"
    said = f"{denied}: failed expression: object.data.size() < 2"
    assert (answer.status, answer.json["reason"]) == (422, "Invalid")
    assert answer.message == f'configmaps "d" is forbidden: {said}'
    assert answer.json["details"]["causes"] == [{"message": said}]
    assert (await admin("POST", maps("default"), config(f"other-{namespace}", a="1", b="2"))).status == 201


async def test_messages_reasons_and_variables(admin: Rest, install: Any, namespace: str) -> None:
    await install(
        "validating",
        variables=[
            {"name": "limit", "expression": "int(namespaceObject.metadata.labels['limit'])"},
            {"name": "keys", "expression": "object.data.map(k, k)"},
        ],
        validations=[
            {
                "expression": "variables.keys.size() <= variables.limit",
                "messageExpression": "'at most %d keys, not %d'.format([variables.limit, variables.keys.size()])",
                "reason": "Forbidden",
            }
        ],
    )
    await admin.patch(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": {"limit": "1"}}})
    answer = await admin("POST", maps(namespace), config(a="1", b="2"))
    assert answer.status == 403
    assert answer.message.endswith("denied request: at most 1 keys, not 2")


async def test_warn_warns_and_lets_pass(admin: Rest, install: Any, namespace: str) -> None:
    validations = [{"expression": "false", "message": "think again"}]
    name = await install("validating", {"validationActions": ["Warn", "Audit"]}, validations=validations)
    answer = await admin("POST", maps(namespace), config())
    assert answer.status == 201
    assert answer.warnings == [
        f"299 - \"Validation failed for ValidatingAdmissionPolicy '{name}' with binding '{name}-b': think again\""
    ]


async def test_what_cannot_be_evaluated_is_denied_or_passed_over(admin: Rest, install: Any, namespace: str) -> None:
    expression = "object.data.missing == 'x'"
    await install("validating", validations=[{"expression": expression}], failurePolicy="Ignore")
    assert (await admin("POST", maps(namespace), config("a", k="v"))).status == 201
    await install("validating", validations=[{"expression": expression}])
    answer = await admin("POST", maps(namespace), config("b", k="v"))
    assert answer.status == 422
    assert answer.message.endswith(f"expression '{expression}' resulted in error: no such key: missing")


async def test_parameters_come_from_objects(admin: Rest, install: Any, namespace: str) -> None:
    await admin.make(maps(namespace), config("params", max="2"))
    kind = {"apiVersion": "v1", "kind": "ConfigMap"}
    validations = [{"expression": "object.metadata.name == 'params' || object.data.size() <= int(params.data.max)"}]
    reference = {"name": "params", "namespace": namespace, "parameterNotFoundAction": "Deny"}
    await install("validating", {"paramRef": reference}, paramKind=kind, validations=validations)
    assert (await admin("POST", maps(namespace), config("a", x="1", y="2"))).status == 201
    assert (await admin("POST", maps(namespace), config("b", x="1", y="2", z="3"))).status == 422
    await admin("DELETE", f"{maps(namespace)}/params")
    answer = await admin("POST", maps(namespace), config("c"))
    assert answer.message.endswith(
        "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
    )


async def test_old_objects_the_user_and_the_authorizer_are_known(admin: Rest, install: Any, namespace: str) -> None:
    await install(
        "validating",
        matchConditions=[{"name": "not-admins", "expression": "!('system:masters' in request.userInfo.groups)"}],
        validations=[
            {"expression": "request.operation != 'UPDATE' || object.data.k == oldObject.data.k", "message": "fixed"},
            {
                "expression": "authorizer.group('').resource('secrets').namespace(request.namespace)"
                ".check('list').allowed()",
                "message": "only who may list secrets",
            },
        ],
    )
    bindings = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings"
    for user, role in (("ed", "edit"), ("vi", "admin")):
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
        subjects = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]
        await admin.make(bindings, {"metadata": {"name": user}, "roleRef": reference, "subjects": subjects})
    assert (await admin.as_user("ed")("POST", maps(namespace), config(k="v"))).status == 201
    answer = await admin.as_user("ed").patch(f"{maps(namespace)}/c", {"data": {"k": "w"}})
    assert answer.message.endswith("denied request: fixed")
    assert (await admin.patch(f"{maps(namespace)}/c", {"data": {"k": "w"}})).status == 200


async def test_a_mutating_policy_applies_configurations_and_patches(admin: Rest, install: Any, namespace: str) -> None:
    apply = {
        "patchType": "ApplyConfiguration",
        "applyConfiguration": {
            "expression": "Object{metadata: Object.metadata{labels: Object.metadata.labels{"
            "made: request.userInfo.username}}, "
            "spec: Object.spec{tolerations: [Object.spec.tolerations{key: 'x', operator: 'Exists'}]}}"
        },
    }
    patch = {
        "patchType": "JSONPatch",
        "jsonPatch": {
            "expression": "[JSONPatch{op: 'add', value: 'c', "
            "path: '/metadata/annotations/' + jsonpatch.escapeKey('a/b')}]"
        },
    }
    await install(
        "mutating",
        matchConstraints=rules("pods", operations=["CREATE"]),
        matchConditions=[{"name": "marked", "expression": "has(object.metadata.annotations)"}],
        mutations=[apply, patch],
        reinvocationPolicy="Never",
    )
    spec = {"containers": [{"name": "c", "image": "i"}]}
    body = {"metadata": {"name": "p", "annotations": {"k": "v"}}, "spec": spec}
    made = await admin.make(f"/api/v1/namespaces/{namespace}/pods", body)
    assert made["metadata"]["labels"] == {"made": "kubernetes-admin"}
    assert made["metadata"]["annotations"] == {"k": "v", "a/b": "c"}
    assert {"key": "x", "operator": "Exists"} in made["spec"]["tolerations"]
    plain = await admin.make(f"/api/v1/namespaces/{namespace}/pods", {"metadata": {"name": "q"}, "spec": spec})
    assert "labels" not in plain["metadata"]


async def test_a_configuration_is_applied_to_a_custom_resource_by_its_schema(
    admin: Rest, install: Any, namespace: str
) -> None:
    text = {"type": "string"}
    entry = {"type": "object", "required": ["k"], "properties": {"k": text, "v": text}}
    keyed = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}
    properties = {"color": text | {"default": "red"}, "entries": {"type": "array", "items": entry, **keyed}}
    spec = {"type": "object", "properties": properties}
    version = {"name": "v1", "served": True, "storage": True}
    version["schema"] = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
    names = {"plural": "things", "kind": "Thing"}
    group = f"{namespace}.example.com"
    definition = {"group": group, "scope": "Namespaced", "names": names, "versions": [version]}
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    await admin.make(definitions, {"metadata": {"name": f"things.{group}"}, "spec": definition})
    path = f"/apis/{group}/v1/namespaces/{namespace}/things"
    for _ in range(200):
        if (await admin("GET", path)).status == 200:
            break
        await asyncio.sleep(0.01)
    expression = (
        "Object{metadata: Object.metadata{labels: {'was': object.spec.color}}, "
        "spec: Object.spec{color: 'blue', entries: [Object.spec.entries{k: 'b', v: '2'}]}}"
    )
    apply = {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}
    constraints = rules("things", group, operations=["CREATE"])
    await install("mutating", matchConstraints=constraints, mutations=[apply], reinvocationPolicy="Never")
    head = {"apiVersion": f"{group}/v1", "kind": "Thing", "metadata": {"name": "t"}}
    made = await admin.make(path, head | {"spec": {"entries": [{"k": "a", "v": "1"}]}})
    assert made["spec"] == {"color": "blue", "entries": [{"k": "a", "v": "1"}, {"k": "b", "v": "2"}]}
    assert made["metadata"]["labels"] == {"was": "red"}


async def test_a_patch_of_a_mutating_policy_is_made_wholly_or_not_at_all(
    admin: Rest, install: Any, namespace: str
) -> None:
    def patch(*operations: str) -> dict[str, Any]:
        listed = ", ".join(f"JSONPatch{{{operation}}}" for operation in operations)
        return {"patchType": "JSONPatch", "jsonPatch": {"expression": f"[{listed}]"}}

    add = "op: 'add', path: '/data/new', value: 'x'"
    name = await install(
        "mutating",
        matchConstraints=rules(operations=["CREATE"]),
        mutations=[patch("op: 'test', path: '/data/k', value: 'other'", add)],
        reinvocationPolicy="Never",
    )
    assert (await admin.make(maps(namespace), config(k="v")))["data"] == {"k": "v"}
    await admin.patch(
        f"{BASE}/mutatingadmissionpolicies/{name}",
        {"spec": {"mutations": [patch("op: 'remove', path: '/data/none/deeper'")]}},
    )
    refused = await admin("POST", maps(namespace), config("d", k="v"))
    assert refused.message.endswith(
        'denied request: JSON Patch: remove operation does not apply: doc is missing path: "/data/none/deeper": '
        "missing value"
    )


async def test_a_webhook_is_only_asked_when_its_conditions_hold(admin: Rest, namespace: str) -> None:
    webhook = {
        "name": "absent.example.com",
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "rules": rules()["resourceRules"],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "matchConditions": [{"name": "named", "expression": "object.metadata.name.startsWith('ask')"}],
    }
    path = f"{BASE}/validatingwebhookconfigurations"
    await admin.make(path, {"metadata": {"name": namespace}, "webhooks": [webhook]})
    try:
        assert (await admin("POST", maps(namespace), config("quiet"))).status == 201
        assert (await admin("POST", maps(namespace), config("ask-me"))).status == 500
        webhook["matchConditions"] = [{"name": "odd", "expression": "object.nothing == 1"}]
        await admin.patch(f"{path}/{namespace}", {"webhooks": [webhook]})
        answer = await admin("POST", maps(namespace), config("other"))
        assert (answer.status, answer.json["reason"]) == (403, "Forbidden")
    finally:
        await admin("DELETE", f"{path}/{namespace}")


@pytest.mark.parametrize(
    ("spec", "path", "message"),
    [
        ({"validations": [{"expression": "object.x >"}]}, "spec.validations[0].expression", "Syntax error"),
        (
            {"validations": [{"expression": "params.x == 1"}]},
            "spec.validations[0].expression",
            "undeclared reference to 'params' (in container '')",
        ),
        (
            {"validations": [{"expression": "request.nothing == 1"}]},
            "spec.validations[0].expression",
            "undefined field 'nothing'",
        ),
        (
            {
                "variables": [{"name": "a", "expression": "1"}],
                "validations": [{"expression": "variables.a == 'x' && variables.b"}],
            },
            "spec.validations[0].expression",
            "found no matching overload for '_==_' applied to '(int, string)'",
        ),
        (
            {"validations": [{"expression": "true"}], "matchConditions": [{"name": "a", "expression": "nope"}]},
            "spec.matchConditions[0].expression",
            "undeclared reference to 'nope' (in container '')",
        ),
    ],
)
async def test_an_expression_that_does_not_compile_is_refused(
    admin: Rest, spec: dict[str, Any], path: str, message: str
) -> None:
    policy = {"metadata": {"name": "broken"}, "spec": {"matchConstraints": rules(), **spec}}
    answer = await admin("POST", f"{BASE}/validatingadmissionpolicies", policy)
    assert answer.status == 422
    assert f"{path}: Invalid value" in answer.message
    assert "compilation failed: ERROR: <input>:1:" in answer.message
    assert message in answer.message


async def test_what_an_expression_must_give(admin: Rest) -> None:
    spec = {
        "matchConstraints": rules(),
        "matchConditions": [{"name": "a", "expression": "1"}],
        "validations": [{"expression": "object.spec", "messageExpression": "true"}],
        "auditAnnotations": [{"key": "a", "valueExpression": "1"}],
    }
    answer = await admin(
        "POST", f"{BASE}/validatingadmissionpolicies", {"metadata": {"name": "mistyped"}, "spec": spec}
    )
    assert {each["field"]: each["message"].partition(": ")[2] for each in answer.json["details"]["causes"]} == {
        "spec.matchConditions[0].expression": '"1": must evaluate to bool but got int',
        "spec.validations[0].expression": '"object.spec": must evaluate to bool but got dyn',
        "spec.validations[0].messageExpression": '"true": must evaluate to string but got bool',
        "spec.auditAnnotations[0].valueExpression": '"1": must evaluate to one of [string null_type] but got int',
    }


async def test_expressions_are_checked_against_the_kinds_a_policy_is_for(admin: Rest) -> None:
    async def checked(name: str, **spec: Any) -> dict[str, Any]:
        path = f"{BASE}/validatingadmissionpolicies"
        assert (await admin("POST", path, {"metadata": {"name": name}, "spec": spec})).status == 201
        for _ in range(200):
            status = (await admin("GET", f"{path}/{name}")).json.get("status", {})
            if status.get("observedGeneration") == 1:
                break
            await asyncio.sleep(0.01)
        await admin("DELETE", f"{path}/{name}")
        return dict(status["typeChecking"])

    deployments = rules("deployments", "apps")
    good = {"expression": "object.spec.replicas > 1", "messageExpression": "'no ' + object.metadata.name"}
    assert await checked("typed", matchConstraints=deployments, validations=[good]) == {}
    bad = {"expression": "object.replicas > 1", "messageExpression": "'many: ' + object.spec.replicas"}
    message = "found no matching overload for '_+_' applied to '(string, int)'"
    kind = "apps/v1, Kind=Deployment"
    assert await checked("mistyped", matchConstraints=deployments, validations=[bad]) == {
        "expressionWarnings": [
            {
                "fieldRef": "spec.validations[0].expression",
                "warning": f"{kind}: ERROR: <input>:1:7: undefined field 'replicas'\n"
                " | object.replicas > 1\n | ......^",
            },
            {
                "fieldRef": "spec.validations[0].messageExpression",
                "warning": f"{kind}: ERROR: <input>:1:10: {message}\n | 'many: ' + object.spec.replicas\n | .........^",
            },
        ]
    }
    core = await checked("of-core", matchConstraints=rules(), validations=[{"expression": "object.spec == 1"}])
    assert core["expressionWarnings"][0]["warning"].startswith("/v1, Kind=ConfigMap: ERROR")
    wild = {"matchConstraints": rules("*", "*"), "validations": [bad]}
    assert await checked("anything", **wild) == {}
