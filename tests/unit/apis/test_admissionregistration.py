"""Webhook configurations, admission policies and their bindings."""

from typing import Any

import pytest

from pynetes.machinery.meta import Obj
from tests.unit.apis import specimen
from tests.unit.apis.specimen import changed, create_errors, defaulted, stored, update_errors, updated

GROUP = "admissionregistration.k8s.io"
VALIDATING = specimen.strategy(f"validatingwebhookconfigurations.{GROUP}")
MUTATING = specimen.strategy(f"mutatingwebhookconfigurations.{GROUP}")
POLICIES = specimen.strategy(f"validatingadmissionpolicies.{GROUP}")
MUTATIONS = specimen.strategy(f"mutatingadmissionpolicies.{GROUP}")
BINDINGS = specimen.strategy(f"validatingadmissionpolicybindings.{GROUP}")

RULE = {"operations": ["CREATE"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"]}


def webhook(**fields: Any) -> Obj:
    return {
        "name": "check.example.com",
        "clientConfig": {"service": {"namespace": "default", "name": "hook"}},
        "rules": [RULE],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    } | fields


def configuration(*webhooks: Obj) -> Obj:
    return {"metadata": {"name": "checks"}, "webhooks": list(webhooks)}


def test_a_webhook_has_defaults() -> None:
    (made,) = defaulted(MUTATING, configuration(webhook()))["webhooks"]
    assert made == webhook(
        clientConfig={"service": {"namespace": "default", "name": "hook", "port": 443}},
        rules=[RULE | {"scope": "*"}],
        failurePolicy="Fail",
        matchPolicy="Equivalent",
        namespaceSelector={},
        objectSelector={},
        timeoutSeconds=10,
        reinvocationPolicy="Never",
    )
    assert "reinvocationPolicy" not in defaulted(VALIDATING, configuration(webhook()))["webhooks"][0]


URL_FORM = "; desired format: https://host[/path]"


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"name": ""}, "name: Required value"),
        (
            {"name": "example.com"},
            'name: Invalid value: "example.com": should be a domain with at least three segments separated by dots',
        ),
        ({"sideEffects": None}, "sideEffects: Required value: must specify one of None, NoneOnDryRun"),
        (
            {"sideEffects": "Some"},
            'sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"',
        ),
        (
            {"timeoutSeconds": 31},
            "timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
        ),
        (
            {"failurePolicy": "Shrug"},
            'failurePolicy: Unsupported value: "Shrug": supported values: "Fail", "Ignore"',
        ),
        ({"admissionReviewVersions": []}, "admissionReviewVersions: Required value: must specify one of v1, v1beta1"),
        (
            {"admissionReviewVersions": ["v7"]},
            'admissionReviewVersions: Invalid value: ["v7"]: must include at least one of v1, v1beta1',
        ),
        (
            {"admissionReviewVersions": ["v1", "v1"]},
            'admissionReviewVersions[1]: Invalid value: "v1": duplicate version',
        ),
        ({"clientConfig": {}}, "clientConfig: Required value: exactly one of url or service is required"),
        (
            {"clientConfig": {"url": "http://example.com"}},
            f"clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme{URL_FORM}",
        ),
        (
            {"clientConfig": {"url": "https:///path"}},
            f'clientConfig.url: Invalid value: "": host must be specified{URL_FORM}',
        ),
        (
            {"clientConfig": {"url": "https://jane@example.com"}},
            'clientConfig.url: Invalid value: "jane": user information is not permitted in the URL',
        ),
        (
            {"clientConfig": {"url": "https://example.com?a=b"}},
            'clientConfig.url: Invalid value: "a=b": query parameters are not permitted in the URL',
        ),
        (
            {"clientConfig": {"service": {"namespace": "default"}}},
            "clientConfig.service.name: Required value: service name is required",
        ),
        (
            {"clientConfig": {"service": {"namespace": "default", "name": "hook", "path": "a//b"}}},
            "clientConfig.service.path: Invalid value: \"a//b\": must start with a '/'",
        ),
        (
            {"rules": [RULE | {"operations": ["*", "CREATE"]}]},
            'rules[0].operations: Invalid value: ["*","CREATE"]: '
            "if '*' is present, must not specify other operations",
        ),
        ({"rules": [RULE | {"apiGroups": []}]}, "rules[0].apiGroups: Required value"),
        (
            {"rules": [RULE | {"resources": ["pods/*", "pods/status"]}]},
            'rules[0].resources[1]: Invalid value: "pods/status": '
            "if 'pods/*' is present, must not specify pods/status",
        ),
        (
            {"rules": [RULE | {"resources": ["*", "pods"]}]},
            'rules[0].resources: Invalid value: ["*","pods"]: if \'*\' is present, must not specify other resources '
            "without subresources",
        ),
        (
            {"rules": [RULE | {"scope": "Everywhere"}]},
            'rules[0].scope: Unsupported value: "Everywhere": supported values: "*", "Cluster", "Namespaced"',
        ),
        (
            {"matchConditions": [{"name": "a", "expression": "true"}, {"name": "a", "expression": "true"}]},
            'matchConditions[1].name: Duplicate value: "a"',
        ),
        ({"matchConditions": [{"name": "a", "expression": " "}]}, "matchConditions[0].expression: Required value"),
    ],
)
def test_webhook_rules(fields: Obj, error: str) -> None:
    assert create_errors(VALIDATING, configuration(webhook(**fields)))[0] == f"webhooks[0].{error}"


def test_webhooks_of_a_configuration_have_names_of_their_own() -> None:
    assert create_errors(VALIDATING, configuration(webhook(), webhook())) == [
        'webhooks[1].name: Duplicate value: "check.example.com"'
    ]


def test_an_old_configuration_may_keep_what_is_forbidden_now() -> None:
    old = changed(stored(VALIDATING, configuration(webhook())), "webhooks.0.sideEffects", "Some")
    assert update_errors(VALIDATING, old, changed(old, "webhooks.0.timeoutSeconds", 5)) == []


def test_a_change_of_webhooks_is_a_new_generation() -> None:
    old = stored(VALIDATING, configuration(webhook()))
    assert updated(VALIDATING, old, changed(old, "metadata.labels", {"a": "b"}))["metadata"]["generation"] == 1
    assert updated(VALIDATING, old, changed(old, "webhooks.0.timeoutSeconds", 5))["metadata"]["generation"] == 2


def test_the_table_counts_webhooks() -> None:
    assert VALIDATING.row(configuration(webhook()))[:2] == ["checks", 1]


def policy(**spec: Any) -> Obj:
    whole = {
        "matchConstraints": {"resourceRules": [RULE]},
        "validations": [{"expression": "object.spec.replicas <= 5"}],
    }
    return {"metadata": {"name": "few.example.com"}, "spec": whole | spec}


def test_a_policy_has_defaults() -> None:
    spec = defaulted(POLICIES, policy())["spec"]
    assert spec["failurePolicy"] == "Fail"
    assert spec["matchConstraints"] == {
        "matchPolicy": "Equivalent",
        "namespaceSelector": {},
        "objectSelector": {},
        "resourceRules": [RULE | {"scope": "*"}],
    }


NOTHING = "validations or auditAnnotations must contain at least one item"


@pytest.mark.parametrize(
    ("spec", "errors"),
    [
        ({"matchConstraints": None}, ["matchConstraints: Required value"]),
        ({"matchConstraints": {}}, ["matchConstraints.resourceRules: Required value"]),
        (
            {"validations": []},
            [f"validations: Required value: {NOTHING}", f"auditAnnotations: Required value: {NOTHING}"],
        ),
        (
            {"validations": [{"expression": " "}]},
            ["validations[0].expression: Required value: expression is not specified"],
        ),
        (
            {"validations": [{"expression": "true", "message": "a\nb"}]},
            ['validations[0].message: Invalid value: "a\\nb": message must not contain line breaks'],
        ),
        (
            {"validations": [{"expression": "true", "reason": "Whim"}]},
            [
                'validations[0].reason: Unsupported value: "Whim": supported values: "Forbidden", "Invalid", '
                '"RequestEntityTooLarge"'
            ],
        ),
        ({"paramKind": {"kind": "ConfigMap"}}, ["paramKind.apiVersion: Required value"]),
        (
            {"paramKind": {"apiVersion": "a/b/c", "kind": "ConfigMap"}},
            ['paramKind.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c'],
        ),
        (
            {"variables": [{"name": "in", "expression": "1"}]},
            ['variables[0].name: Invalid value: "in": name is not a valid CEL identifier'],
        ),
        (
            {"auditAnnotations": [{"key": "a", "valueExpression": "'x'"}, {"key": "a", "valueExpression": "'y'"}]},
            ['auditAnnotations[1].key: Duplicate value: "a"'],
        ),
    ],
)
def test_policy_rules(spec: Obj, errors: list[str]) -> None:
    assert create_errors(POLICIES, policy(**spec)) == [f"spec.{each}" for each in errors]


def test_policies_are_shown_with_the_kind_of_their_parameters() -> None:
    assert POLICIES.row(policy())[:3] == ["few.example.com", 1, "<unset>"]
    kind = {"apiVersion": "v1", "kind": "ConfigMap"}
    assert POLICIES.row(policy(paramKind=kind))[:3] == ["few.example.com", 1, "v1/ConfigMap"]


def test_a_mutation_says_how_it_patches() -> None:
    mutation = {"patchType": "JSONPatch", "applyConfiguration": {"expression": "Object{}"}}
    made = policy(mutations=[mutation], reinvocationPolicy="Never")
    del made["spec"]["validations"]
    assert create_errors(MUTATIONS, made) == [
        "spec.mutations[0].applyConfiguration: Forbidden: may not be specified when patchType is JSONPatch",
        "spec.mutations[0].jsonPatch: Required value: must be specified when patchType is JSONPatch",
    ]


def binding(**spec: Any) -> Obj:
    return {"metadata": {"name": "b"}, "spec": {"policyName": "few.example.com", "validationActions": ["Deny"]} | spec}


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ({"policyName": ""}, "policyName: Required value"),
        ({"validationActions": []}, "validationActions: Required value: at least one validation action is required"),
        (
            {"validationActions": ["Deny", "Warn"]},
            'validationActions: Invalid value: ["Deny","Warn"]: must not contain both Deny and Warn (repeating the '
            "same validation failure information in the API response and headers serves no purpose)",
        ),
        (
            {"validationActions": ["Deny", "Deny"]},
            'validationActions[1]: Duplicate value: "Deny"',
        ),
        (
            {"paramRef": {"parameterNotFoundAction": "Deny"}},
            "paramRef: Required value: one of name or selector must be specified",
        ),
        ({"paramRef": {"name": "p"}}, "paramRef.parameterNotFoundAction: Required value"),
        (
            {"paramRef": {"name": "p", "selector": {}, "parameterNotFoundAction": "Deny"}},
            "paramRef.name: Forbidden: name and selector are mutually exclusive",
        ),
    ],
)
def test_binding_rules(spec: Obj, error: str) -> None:
    assert create_errors(BINDINGS, binding(**spec))[0] == f"spec.{error}"


@pytest.mark.parametrize(
    ("ref", "cell"),
    [
        (None, "<unset>"),
        ({"name": "p"}, "*/p"),
        ({"name": "p", "namespace": "n"}, "n/p"),
        ({"selector": {"matchLabels": {"a": "b"}}}, "a=b"),
    ],
)
def test_bindings_are_shown_with_their_parameters(ref: Obj | None, cell: str) -> None:
    assert BINDINGS.row(binding(paramRef=ref))[:3] == ["b", "few.example.com", cell]
