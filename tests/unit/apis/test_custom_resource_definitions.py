"""Custom resource definitions: defaults, the rules for them, and for their schemas."""

from typing import Any

import pytest

from pynetes.apis.apiextensions import schema_rules, structural
from pynetes.apis.checks import Errors
from pynetes.machinery.meta import Obj
from tests.unit.apis import specimen
from tests.unit.apis.specimen import changed, create_errors, defaulted, stored, update_errors, updated

DEFINITIONS = specimen.strategy("customresourcedefinitions.apiextensions.k8s.io")
OBJECT: Obj = {"type": "object"}


def schema(**properties: Any) -> Obj:
    return {"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}}


def version(name: str = "v1", *, storage: bool = True, **fields: Any) -> Obj:
    return {"name": name, "served": True, "storage": storage, "schema": {"openAPIV3Schema": OBJECT}} | fields


def definition(*versions: Obj, **spec: Any) -> Obj:
    names = {"plural": "crontabs", "kind": "CronTab"}
    whole = {"group": "stable.example.com", "scope": "Namespaced", "names": names, "versions": list(versions)}
    return {"metadata": {"name": "crontabs.stable.example.com"}, "spec": whole | spec}


def test_names_and_conversion_have_defaults() -> None:
    spec = defaulted(DEFINITIONS, definition(version()))["spec"]
    assert spec["names"] == {"plural": "crontabs", "kind": "CronTab", "singular": "crontab", "listKind": "CronTabList"}
    assert spec["conversion"] == {"strategy": "None"}


def test_a_new_definition_has_accepted_nothing_yet() -> None:
    assert stored(DEFINITIONS, definition(version()))["status"] == {
        "conditions": [],
        "acceptedNames": {"plural": "", "kind": ""},
        "storedVersions": ["v1"],
    }


def test_every_storage_version_is_remembered() -> None:
    old = stored(DEFINITIONS, definition(version()))
    new = changed(old, "spec.versions", [version("v1", storage=False), version("v2")])
    assert updated(DEFINITIONS, old, new)["status"]["storedVersions"] == ["v1", "v2"]
    assert update_errors(DEFINITIONS, old, new) == []
    gone = changed(old, "spec.versions", [version("v2")])
    assert update_errors(DEFINITIONS, old, gone) == [
        'status.storedVersions[0]: Invalid value: "v1": missing from spec.versions; v1 was previously a storage '
        "version, and must remain in spec.versions until a storage migration ensures no data remains persisted in v1 "
        "and removes v1 from status.storedVersions"
    ]


@pytest.mark.parametrize(
    ("obj", "error"),
    [
        (
            changed(definition(version()), "metadata.name", "crons.stable.example.com"),
            'metadata.name: Invalid value: "crons.stable.example.com": must be spec.names.plural+"."+spec.group',
        ),
        (
            changed(definition(version(), group="stable"), "metadata.name", "crontabs.stable"),
            'spec.group: Invalid value: "stable": should be a domain with at least one dot',
        ),
        (definition(version(), scope=""), "spec.scope: Required value"),
        (
            definition(version(), scope="Global"),
            'spec.scope: Unsupported value: "Global": supported values: "Cluster", "Namespaced"',
        ),
        (
            definition(version(schema=None)),
            "spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required",
        ),
        (
            definition(version(), names={"plural": "crontabs", "kind": "Cron_Tab"}),
            'spec.names.singular: Invalid value: "cron_tab": a DNS-1035 label must consist of lower case alphanumeric '
            "characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. "
            "'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
        ),
        (
            definition(version(), names={"plural": "crontabs", "kind": "CronTab", "listKind": "CronTab"}),
            'spec.names.listKind: Invalid value: "CronTab": kind and listKind may not be the same',
        ),
        (
            definition(version(), preserveUnknownFields=True),
            "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set "
            "x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
        ),
        (
            definition(version(deprecationWarning="old")),
            'spec.versions[0].deprecationWarning: Invalid value: "old": can only be set for deprecated versions',
        ),
        (
            definition(version(additionalPrinterColumns=[{"name": "A", "type": "text", "jsonPath": ".a"}])),
            'spec.additionalPrinterColumns[0].type: Invalid value: "text": must be one of '
            "boolean,date,integer,number,string",
        ),
        (
            definition(version(additionalPrinterColumns=[{"name": "A", "type": "string", "jsonPath": "a"}])),
            'spec.additionalPrinterColumns[0].JSONPath: Invalid value: "a": must be a simple json path starting with .',
        ),
        (
            definition(version(subresources={"scale": {"specReplicasPath": ".spec.n"}})),
            "spec.subresources.scale.statusReplicasPath: Required value",
        ),
        (
            definition(version(subresources={"scale": {"specReplicasPath": ".n", "statusReplicasPath": ".status.n"}})),
            'spec.subresources.scale.specReplicasPath: Invalid value: ".n": should be a json path under .spec',
        ),
        (
            definition(version(), conversion={"strategy": "Webhook"}),
            "spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook",
        ),
        (
            definition(version(), conversion={"strategy": "None", "webhook": {"conversionReviewVersions": ["v1"]}}),
            "spec.conversion.conversionReviewVersions: Forbidden: "
            "should not be set when strategy is not set to Webhook",
        ),
        (
            definition(version(), version("v2", storage=False, schema={"openAPIV3Schema": {}})),
            "spec.versions[1].schema.openAPIV3Schema.type: Required value: must not be empty at the root",
        ),
        (
            definition(version(selectableFields=[{"jsonPath": ".spec.color"}])),
            'spec.selectableFields[0].jsonPath: Invalid value: ".spec.color": is an invalid path: '
            "does not refer to a valid field",
        ),
    ],
)
def test_rules(obj: Obj, error: str) -> None:
    assert create_errors(DEFINITIONS, obj)[0] == error


def test_exactly_one_version_is_stored() -> None:
    errors = create_errors(DEFINITIONS, definition(version(), version("v2")))
    assert errors[0].startswith("spec.versions: Invalid value: [{")
    assert errors[0].endswith("must have exactly one version marked as storage version")
    errors = create_errors(DEFINITIONS, definition(version(), version()))
    assert errors[0].endswith("must contain unique version names")


def test_groups_of_the_project_need_its_approval() -> None:
    own = changed(definition(version(), group="x.k8s.io"), "metadata.name", "crontabs.x.k8s.io")
    see = "see https://github.com/kubernetes/enhancements/pull/1111"
    path = "metadata.annotations[api-approved.kubernetes.io]"
    wanted = 'protected groups must have approval annotation "api-approved.kubernetes.io"'
    assert create_errors(DEFINITIONS, own) == [f"{path}: Required value: {wanted}, {see}"]
    for value, fault in (
        ("https://github.com/kubernetes/kubernetes/pull/1", None),
        ("unapproved, experimental", None),
        (
            "bah",
            f'{path}: Invalid value: "bah": {wanted} with either a URL or a reason starting with "unapproved", {see}',
        ),
    ):
        obj = changed(own, "metadata.annotations", {"api-approved.kubernetes.io": value})
        assert create_errors(DEFINITIONS, obj) == ([] if fault is None else [fault])


def test_what_objects_depend_on_is_fixed_once_established() -> None:
    old = stored(DEFINITIONS, definition(version()))
    new = changed(changed(old, "spec.scope", "Cluster"), "spec.names.kind", "Tab")
    assert update_errors(DEFINITIONS, old, new) == []
    old["status"]["conditions"] = [{"type": "Established", "status": "True"}]
    assert update_errors(DEFINITIONS, old, new) == [
        'spec.scope: Invalid value: "Cluster": field is immutable',
        'spec.names.kind: Invalid value: "Tab": field is immutable',
    ]


# Schemas.

S = "schema"


def schema_errors(made: Obj, *, has_status: bool = False) -> list[str]:
    errors = Errors()
    schema_rules.findings(errors, made, S, has_status=has_status)
    return specimen.texts(errors)


INSIDE = f"{S}.properties[spec].properties[a]"


@pytest.mark.parametrize(
    ("made", "errors"),
    [
        ({"type": "string"}, [f'{S}.type: Invalid value: "string": must be object at the root']),
        (schema(a={}), [f"{INSIDE}.type: Required value: must not be empty for specified object fields"]),
        (schema(a={"type": "array"}), [f"{INSIDE}.items: Required value: must be specified"]),
        (
            schema(a={"type": "array", "items": {}}),
            [f"{INSIDE}.items.type: Required value: must not be empty for specified array items"],
        ),
        (
            OBJECT | {"additionalProperties": {"type": "string"}},
            [f"{S}.additionalProperties: Forbidden: must not be used at the root"],
        ),
        (
            schema(a={"type": "text"}),
            [
                f'{INSIDE}.type: Unsupported value: "text": supported values: "array", "boolean", "integer", "number", '
                '"object", "string"'
            ],
        ),
        (
            schema(a={"type": "object", "properties": {"b": {"type": "string"}}, "additionalProperties": False}),
            [f"{INSIDE}.additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"],
        ),
        (
            schema(a={"type": "array", "items": {"type": "string"}, "uniqueItems": True}),
            [
                f"{INSIDE}.uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity "
                "becomes quadratic"
            ],
        ),
        (
            schema(a={"type": "string", "pattern": "("}),
            [
                f'{INSIDE}.pattern: Invalid value: "(": must be a valid regular expression, but isn\'t: error parsing '
                "regexp: missing closing ): `(`"
            ],
        ),
        (
            {"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": OBJECT}}}},
            [
                f"{S}.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but "
                "metadata is implicitly specified"
            ],
        ),
        (
            {"type": "object", "properties": {"kind": {"type": "integer"}}},
            [f'{S}.properties[kind].type: Invalid value: "integer": must be string'],
        ),
        (OBJECT | {"nullable": True}, [f"{S}.nullable: Forbidden: nullable cannot be true at the root"]),
        (
            schema(a={"type": "string", "$ref": "x"}),
            [f"{INSIDE}.$ref: Forbidden: $ref is not supported"],
        ),
    ],
)
def test_schemas_are_structural_openapi_v3(made: Obj, errors: list[str]) -> None:
    assert schema_errors(made) == errors


def test_what_narrows_says_no_types_and_names_nothing_new() -> None:
    narrowed = schema(a={"type": "string"})
    inner = {"properties": {"a": {"type": "string"}, "b": {"minLength": 1}}}
    narrowed["anyOf"] = [{"properties": {"spec": inner}}]
    at, nested = f"{S}.properties[spec]", f"{S}.anyOf[0].properties[spec]"
    assert specimen.texts(structural.findings(narrowed, S)) == [
        f"{nested}.properties[a].type: Forbidden: must be empty to be structural",
        f"{at}.properties[b]: Required value: because it is defined in {nested}.properties[b]",
    ]


@pytest.mark.parametrize(
    "value",
    [
        {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        {"allOf": [{"anyOf": [{"type": "integer"}, {"type": "string"}]}, {"pattern": "^a"}]},
    ],
)
def test_an_int_or_string_may_say_so(value: Obj) -> None:
    assert schema_errors(schema(a=value | {"x-kubernetes-int-or-string": True})) == []


@pytest.mark.parametrize(
    ("value", "errors"),
    [
        (
            {"type": "object", "x-kubernetes-embedded-resource": True},
            [
                ".properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without "
                "x-kubernetes-preserve-unknown-fields"
            ],
        ),
        (
            {"type": "object", "x-kubernetes-preserve-unknown-fields": False},
            [".x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true or undefined"],
        ),
        (
            {"type": "string", "x-kubernetes-list-type": "set"},
            ['.type: Invalid value: "string": must be array if x-kubernetes-list-type is specified'],
        ),
        (
            {"type": "array", "items": OBJECT, "x-kubernetes-list-type": "set"},
            [
                '.items.x-kubernetes-map-type: Invalid value: "null": must be atomic as item of a list with '
                "x-kubernetes-list-type=set"
            ],
        ),
        (
            {"type": "array", "items": OBJECT, "x-kubernetes-list-type": "map"},
            [
                ".x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map",
            ],
        ),
        (
            {
                "type": "array",
                "items": {"type": "object", "properties": {"k": {"type": "string"}}},
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["k"],
            },
            [
                ".items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so it "
                "must have a default or be a required property"
            ],
        ),
        (
            {"type": "string", "x-kubernetes-map-type": "atomic"},
            ['.type: Invalid value: "string": must be object if x-kubernetes-map-type is specified'],
        ),
        ({"type": "string", "x-kubernetes-validations": [{}]},
         [".x-kubernetes-validations[0].rule: Required value: rule is not specified"]),
    ],
)  # fmt: skip
def test_extensions_fit_together(value: Obj, errors: list[str]) -> None:
    assert schema_errors(schema(a=value)) == [INSIDE + error for error in errors]


@pytest.mark.parametrize(
    ("value", "errors"),
    [
        ({"type": "integer", "default": 1}, []),
        (
            {"type": "integer", "default": "one"},
            [
                f'.default: Invalid value: "string": {INSIDE}.default in body must be of type integer: "string"',
            ],
        ),
        (
            {"type": "object", "properties": {"b": {"type": "string"}}, "default": {"c": 1}},
            ['.default: Invalid value: {"c":1}: must not have unknown fields'],
        ),
        (
            {"type": "object", "properties": {"b": {"type": "string"}}, "required": ["b"], "default": {}},
            [".default.b: Required value"],
        ),
    ],
)
def test_defaults_fit_their_schema(value: Obj, errors: list[str]) -> None:
    assert schema_errors(schema(a=value)) == [INSIDE + error for error in errors]


def test_rules_about_changes_need_to_know_what_was_before() -> None:
    rule = {"type": "string", "maxLength": 9, "x-kubernetes-validations": [{"rule": "self == oldSelf"}]}
    listed: Obj = {
        "type": "array",
        "maxItems": 9,
        "items": {"type": "object", "required": ["k"], "properties": {"k": rule}},
    }
    fault = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {INSIDE}"
    where = f"{INSIDE}.items.properties[k].x-kubernetes-validations[0].rule"
    assert schema_errors(schema(a=listed)) == [f'{where}: Invalid value: "self == oldSelf": {fault}']
    by_key = listed | {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}
    assert schema_errors(schema(a=by_key)) == []


def test_the_root_of_a_kind_with_status_is_a_plain_object() -> None:
    (error,) = schema_errors(OBJECT | {"oneOf": [{}]}, has_status=True)
    assert error.startswith(f"{S}: Invalid value: {{") and "only [Description Type Format" in error
    assert schema_errors(OBJECT | {"oneOf": [{}]}) == []


def test_a_rule_has_a_budget() -> None:
    items: Obj = {
        "type": "array",
        "items": {"type": "string"},
        "x-kubernetes-validations": [{"rule": "self.all(s, s == 'x')"}],
    }
    advice = (
        "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings "
        "are declared)"
    )
    rule = f"{INSIDE}.items.x-kubernetes-validations[0].rule"
    total = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
    assert schema_errors(schema(a={"type": "array", "items": items})) == [
        f"{rule}: Forbidden: estimated rule cost exceeds budget by factor of more than 100x {advice}",
        f"{rule}: Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema",
        f"schema: Forbidden: {total} exceeds budget by factor of more than 100x {advice}",
    ]
    assert schema_errors(schema(a={"type": "array", "maxItems": 10, "items": {**items, "maxItems": 10}})) == []
    loop = {"rule": "self.all(x, self.all(y, x == y))"}
    wide: Obj = {"type": "array", "maxItems": 1500, "items": {"type": "integer"}, "x-kubernetes-validations": [loop]}
    assert schema_errors(schema(a=wide)) == [
        f"{INSIDE}.x-kubernetes-validations[0].rule: Forbidden: estimated rule cost exceeds budget by factor of "
        f"1.350750x {advice}"
    ]
