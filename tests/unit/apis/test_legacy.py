"""Old API versions: every row of the table converts both ways without loss, and has a schema of its own."""

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pynetes.apis import legacy, versions
from pynetes.apis.legacy import TABLE, Legacy, custom_resources
from pynetes.machinery import definitions, resources, scheme
from pynetes.machinery.meta import Obj
from pynetes.machinery.schema import Field, Schema, schema

legacy.install()

ROWS = {f"{row.api_version} {row.kind}": row for row in TABLE}
DEEPEST = 6
LEAVES: dict[str, st.SearchStrategy[Any]] = {
    "string": st.sampled_from(["a", "b", "web"]),
    "integer": st.integers(1, 9),
    "number": st.integers(1, 9),
    "boolean": st.booleans(),
    "int-or-string": st.integers(1, 9) | st.sampled_from(["http", "50%"]),
    "quantity": st.sampled_from(["1", "500m", "2Gi"]),
    "time": st.just("2017-01-02T03:04:05Z"),
    "any": st.just({}),
}


def row_of(api_version: str, kind: str) -> Legacy:
    return ROWS[f"{api_version} {kind}"]


def values(field: Field, depth: int) -> st.SearchStrategy[Any]:
    """Anything that may stand in a field."""
    if field.type == "object":
        if field.ref:
            return objects(schema(field.ref), depth + 1) if depth < DEEPEST else st.just({})
        return objects(field.inline, depth + 1) if field.inline else st.just({})
    if field.type == "array":
        assert field.item is not None
        return st.lists(values(field.item, depth + 1), min_size=1, max_size=2) if depth < DEEPEST else st.just([])
    if field.type == "map":
        assert field.item is not None
        keys = st.sampled_from(["app", "topology.kubernetes.io/zone"])
        return st.dictionaries(keys, values(field.item, depth + 1), min_size=1, max_size=2)
    return LEAVES[field.type]


def objects(shape: Schema, depth: int = 0) -> st.SearchStrategy[Obj]:
    """Any object of a type, with some of its fields."""
    fields = {name: field for name, field in shape.fields.items() if name not in ("kind", "apiVersion", "metadata")}

    def draw(chosen: list[str]) -> st.SearchStrategy[Obj]:
        return st.fixed_dictionaries({name: values(fields[name], depth) for name in {*chosen, *required}})

    fields.pop("deprecatedTopology", None)  # may not say the zone; see the test of topology
    if shape.go_name == "ServiceBackendPort":
        return st.sampled_from([{"number": 80}, {"name": "http"}])
    required = sorted(name for name, field in fields.items() if field.required)
    names = sorted(fields)
    return st.lists(st.sampled_from(names), unique=True, max_size=4).flatmap(draw) if names else st.just({})


def whole(api_version: str, kind: str) -> st.SearchStrategy[Obj]:
    name = definitions.of_kind(api_version, kind)
    assert name is not None
    envelope = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}}
    return objects(schema(name)).map(lambda obj: {**envelope, **obj})


# Two kinds whose fields depend on each other have tests of their own.
SPECIAL = {
    "apiextensions.k8s.io/v1beta1 CustomResourceDefinition",
    "autoscaling/v2beta1 HorizontalPodAutoscaler",
    "autoscaling/v2alpha1 HorizontalPodAutoscaler",
}
RANDOM = [name for name in ROWS if name not in SPECIAL]


@pytest.mark.parametrize("name", RANDOM)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_an_object_of_today_comes_back_from_the_old_version_as_it_went(name: str, data: st.DataObject) -> None:
    row = ROWS[name]
    obj = data.draw(whole(row.of, row.kind))
    old = row.to_old(obj)
    assert old["apiVersion"] == row.api_version
    assert row.to_new(old) == obj


@pytest.mark.parametrize("name", RANDOM)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_an_old_object_comes_back_from_today_as_it_went(name: str, data: st.DataObject) -> None:
    row = ROWS[name]
    obj = data.draw(whole(row.api_version, row.kind))
    assert row.to_old(row.to_new(obj)) == obj


@pytest.mark.parametrize("name", RANDOM)
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_is_converted_fits_the_schema_it_is_converted_to(name: str, data: st.DataObject) -> None:
    row = ROWS[name]
    old = definitions.of_kind(row.api_version, row.kind)
    new = definitions.of_kind(row.of, row.kind)
    assert old is not None and new is not None
    assert scheme.unknown_fields(new, row.to_new(data.draw(whole(row.api_version, row.kind)))) == []
    assert scheme.unknown_fields(old, row.to_old(data.draw(whole(row.of, row.kind)))) == []


@pytest.mark.parametrize("name", ROWS)
def test_conversion_leaves_what_it_is_given_alone(name: str) -> None:
    row = ROWS[name]
    obj: Obj = {"apiVersion": row.api_version, "kind": row.kind, "metadata": {"name": "x"}, "spec": {}}
    row.default(obj)
    before = copy.deepcopy(obj)
    row.to_new(obj)
    assert obj == before


def test_every_row_is_something_that_is_served_today() -> None:
    own = {(row.api_version, row.kind) for row in TABLE}
    assert len(own) == len(TABLE)
    today = {(rt.api_version, rt.kind) for rt in resources.BUILTIN} | {("policy/v1beta1", "PodSecurityPolicy")}
    assert {(row.of, row.kind) for row in TABLE} <= today
    assert not own & {(rt.api_version, rt.kind) for rt in (*resources.BUILTIN, *resources.OPTIONAL)}


def test_the_warning_is_upstreams() -> None:
    assert row_of("extensions/v1beta1", "Ingress").warning == (
        "extensions/v1beta1 Ingress is deprecated in v1.14+, unavailable in v1.22+; use networking.k8s.io/v1 Ingress"
    )
    assert row_of("policy/v1beta1", "PodDisruptionBudget").warning == (
        "policy/v1beta1 PodDisruptionBudget is deprecated in v1.21+, unavailable in v1.25+; "
        "use policy/v1 PodDisruptionBudget"
    )
    assert row_of("node.k8s.io/v1beta1", "RuntimeClass").warning == (
        "node.k8s.io/v1beta1 RuntimeClass is deprecated in v1.22+, unavailable in v1.25+"
    )


def test_schemas_share_what_did_not_change() -> None:
    spec = definitions.get("io.k8s.api.extensions.v1beta1.DeploymentSpec")
    assert spec["properties"]["template"] == {"$ref": "#/definitions/io.k8s.api.core.v1.PodTemplateSpec"}
    assert spec["required"] == ["template"]
    assert "rollbackTo" in spec["properties"]
    listed = definitions.get("io.k8s.api.apps.v1beta2.DeploymentList")["properties"]["items"]
    assert listed["items"] == {"$ref": "#/definitions/io.k8s.api.apps.v1beta2.Deployment"}


def test_published_definitions_are_never_replaced() -> None:
    assert definitions.get("io.k8s.api.certificates.v1beta1.ClusterTrustBundle")["properties"]["spec"]
    assert definitions.of_kind("scheduling.k8s.io/v1beta1", "PodGroup")


def deployment(**spec: Any) -> Obj:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}
    return {"kind": "Deployment", "metadata": {"name": "web"}, "spec": {"template": template, **spec}}


def defaulted(api_version: str, obj: Obj) -> Obj:
    made: Obj = {"apiVersion": api_version, **obj}
    row_of(api_version, obj["kind"]).default(made)
    return made


def test_a_deployment_of_2015_selects_its_template_and_never_gives_up() -> None:
    made = defaulted("extensions/v1beta1", deployment())
    assert made["metadata"]["labels"] == {"app": "web"}
    spec = {field: value for field, value in made["spec"].items() if field != "template"}
    assert spec == {
        "selector": {"matchLabels": {"app": "web"}},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}},
        "progressDeadlineSeconds": 2147483647,
        "revisionHistoryLimit": 2147483647,
    }


def test_a_strategy_that_recreates_gets_no_rolling_parameters() -> None:
    made = defaulted("extensions/v1beta1", deployment(strategy={"type": "Recreate"}))
    assert made["spec"]["strategy"] == {"type": "Recreate"}


def test_later_betas_differ_in_less() -> None:
    first = defaulted("apps/v1beta1", deployment())
    assert first["spec"]["revisionHistoryLimit"] == 2
    assert "strategy" not in first["spec"] and "selector" in first["spec"]
    assert "selector" not in defaulted("apps/v1beta2", deployment())["spec"]


@pytest.mark.parametrize(
    ("api_version", "kind"), [("extensions/v1beta1", "DaemonSet"), ("apps/v1beta1", "StatefulSet")]
)
def test_daemon_and_stateful_sets_waited_for_deletes(api_version: str, kind: str) -> None:
    made = defaulted(api_version, deployment() | {"kind": kind})
    assert made["spec"]["updateStrategy"] == {"type": "OnDelete"}


def test_a_rollback_becomes_upstreams_annotation() -> None:
    row = row_of("extensions/v1beta1", "Deployment")
    new = row.to_new({"apiVersion": row.api_version, **deployment(rollbackTo={"revision": 3})})
    assert new["metadata"]["annotations"] == {"deprecated.deployment.rollback.revision": "3"}
    assert "rollbackTo" not in new["spec"]
    assert row.to_old(new)["spec"]["rollbackTo"] == {"revision": 3}


def test_an_ingress_of_2017() -> None:
    row = row_of("extensions/v1beta1", "Ingress")
    old: Obj = {
        "apiVersion": "extensions/v1beta1",
        "kind": "Ingress",
        "metadata": {"name": "kubia"},
        "spec": {
            "backend": {"serviceName": "default", "servicePort": "http"},
            "rules": [
                {
                    "host": "kubia.example.com",
                    "http": {"paths": [{"path": "/", "backend": {"serviceName": "kubia", "servicePort": 80}}]},
                }
            ],
        },
    }
    row.default(old)
    new = row.to_new(old)
    assert new["apiVersion"] == "networking.k8s.io/v1"
    assert new["spec"] == {
        "defaultBackend": {"service": {"name": "default", "port": {"name": "http"}}},
        "rules": [
            {
                "host": "kubia.example.com",
                "http": {
                    "paths": [
                        {
                            "path": "/",
                            "pathType": "ImplementationSpecific",
                            "backend": {"service": {"name": "kubia", "port": {"number": 80}}},
                        }
                    ]
                },
            }
        ],
    }
    assert row.to_old(new) == old


@pytest.mark.parametrize("api_version", ["policy/v1beta1"])
def test_an_empty_selector_once_meant_no_pods(api_version: str) -> None:
    key = "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match"
    none = {"matchExpressions": [{"key": key, "operator": "Exists"}]}
    every = {"matchExpressions": [{"key": key, "operator": "DoesNotExist"}]}
    row = row_of(api_version, "PodDisruptionBudget")

    def budget(of: str, selector: Obj) -> Obj:
        return {"apiVersion": of, "kind": "PodDisruptionBudget", "spec": {"selector": selector}}

    assert row.to_new(budget(api_version, {})) == budget("policy/v1", none)
    assert row.to_old(budget("policy/v1", none)) == budget(api_version, {})
    assert row.to_old(budget("policy/v1", {})) == budget(api_version, every)
    assert row.to_new(budget(api_version, every)) == budget("policy/v1", {})


def test_where_an_endpoint_is() -> None:
    row = row_of("discovery.k8s.io/v1beta1", "EndpointSlice")
    topology = {"topology.kubernetes.io/zone": "a", "kubernetes.io/hostname": "n"}
    new = row.to_new({"kind": "EndpointSlice", "endpoints": [{"addresses": ["10.0.0.1"], "topology": topology}]})
    assert new["endpoints"] == [
        {"addresses": ["10.0.0.1"], "zone": "a", "deprecatedTopology": {"kubernetes.io/hostname": "n"}}
    ]
    assert row.to_old(new)["endpoints"] == [{"addresses": ["10.0.0.1"], "topology": topology}]


def test_flat_metrics() -> None:
    row = row_of("autoscaling/v2beta1", "HorizontalPodAutoscaler")
    metric = {"type": "Pods", "pods": {"metricName": "qps", "targetAverageValue": "100"}}
    new = row.to_new({"kind": "HorizontalPodAutoscaler", "spec": {"maxReplicas": 5, "metrics": [metric]}})
    assert new["spec"]["metrics"] == [
        {
            "type": "Pods",
            "pods": {"metric": {"name": "qps"}, "target": {"type": "AverageValue", "averageValue": "100"}},
        }
    ]


TARGETS = {
    "utilization": {"type": "Utilization", "averageUtilization": 50},
    "average": {"type": "AverageValue", "averageValue": "500m"},
    "value": {"type": "Value", "value": "5"},
}
SCALED: Obj = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
IDENTITY: Obj = {"name": "qps", "selector": {"matchLabels": {"a": "b"}}}


@pytest.mark.parametrize(
    ("kind", "source", "target"),
    [
        ("Resource", {"name": "cpu"}, "utilization"),
        ("Resource", {"name": "memory"}, "average"),
        ("ContainerResource", {"name": "cpu", "container": "c"}, "utilization"),
        ("Pods", {"metric": IDENTITY}, "average"),
        ("Object", {"metric": IDENTITY, "describedObject": SCALED}, "value"),
        ("Object", {"metric": IDENTITY, "describedObject": SCALED}, "average"),
        ("External", {"metric": IDENTITY}, "value"),
        ("External", {"metric": IDENTITY}, "average"),
    ],
)
def test_every_metric_comes_back_as_it_went(kind: str, source: Obj, target: str) -> None:
    row = row_of("autoscaling/v2beta1", "HorizontalPodAutoscaler")
    field = kind[0].lower() + kind[1:]
    current = {name: value for name, value in TARGETS[target].items() if name != "type"}
    obj: Obj = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "x"},
        "spec": {
            "metrics": [{"type": kind, field: {**source, "target": TARGETS[target]}}],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}},
        },
        "status": {"currentMetrics": [{"type": kind, field: {**source, "current": current}}]},
    }
    old = row.to_old(obj)
    definition_ = definitions.of_kind(row.api_version, row.kind)
    assert definition_ is not None
    assert scheme.unknown_fields(definition_, old) == []
    assert row.to_new(old) == obj


def test_two_old_versions_meet_in_todays() -> None:
    obj = {"apiVersion": "flowcontrol.apiserver.k8s.io/v1beta1", "kind": "PriorityLevelConfiguration"}
    spec = {"type": "Limited", "limited": {"assuredConcurrencyShares": 5}}
    made = versions.convert({**obj, "spec": spec}, "flowcontrol.apiserver.k8s.io/v1beta3")
    assert made["apiVersion"] == "flowcontrol.apiserver.k8s.io/v1beta3"
    assert made["spec"]["limited"] == {"nominalConcurrencyShares": 5}


# Definitions of custom resources.


def definition(**spec: Any) -> Obj:
    own = {"plural": "foos", "kind": "Foo"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1beta1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "foos.example.com"},
        "spec": {"group": "example.com", "names": own, "scope": "Namespaced", **spec},
    }


CRD = row_of("apiextensions.k8s.io/v1beta1", "CustomResourceDefinition")


def as_today(obj: Obj) -> Obj:
    CRD.default(obj)
    return CRD.to_new(obj)


def test_a_definition_with_nothing_but_a_version() -> None:
    new = as_today(definition(version="v1"))
    assert new["spec"]["versions"] == [
        {
            "name": "v1",
            "served": True,
            "storage": True,
            "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
        }
    ]
    assert new["spec"].keys() == {"group", "names", "scope", "versions", "conversion"}


def test_what_all_versions_share_goes_to_each() -> None:
    column = {"name": "Size", "type": "integer", "JSONPath": ".spec.size"}
    schema_ = {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object"}}}}
    obj = definition(
        versions=[{"name": "v1", "served": True, "storage": True}, {"name": "v2", "served": True, "storage": False}],
        validation=schema_,
        subresources={"status": {}},
        additionalPrinterColumns=[column],
        preserveUnknownFields=False,
    )
    new = as_today(obj)
    for version in new["spec"]["versions"]:
        assert version["schema"] == schema_
        assert version["subresources"] == {"status": {}}
        assert version["additionalPrinterColumns"] == [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}]
    assert CRD.to_old(new) == obj


def test_a_schema_without_types_keeps_checking_and_keeps_unknown_fields() -> None:
    schema_ = {"openAPIV3Schema": {"properties": {"spec": {"properties": {"size": {"type": "integer", "minimum": 1}}}}}}
    obj = definition(version="v1", validation=schema_)
    new = as_today(obj)
    made = new["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert made["type"] == "object"
    assert made["properties"]["spec"]["properties"]["size"] == {"type": "integer", "minimum": 1}
    assert made["properties"]["spec"][custom_resources.PRESERVE] is True
    assert CRD.to_old(new) == obj


def test_a_definition_that_was_changed_since_is_shown_as_it_is() -> None:
    new = as_today(definition(version="v1"))
    changed = {"openAPIV3Schema": {"type": "object"}}
    new["spec"]["versions"][0]["schema"] = changed
    old = CRD.to_old(new)
    assert old["spec"]["validation"] == changed
    assert old["spec"]["preserveUnknownFields"] is False
    assert "annotations" not in old["metadata"]


def test_a_conversion_webhook() -> None:
    client = {"url": "https://example.com"}
    conversion = {"strategy": "Webhook", "webhookClientConfig": client}
    obj = definition(version="v1", conversion=conversion, preserveUnknownFields=False)
    new = as_today(obj)
    assert new["spec"]["conversion"] == {
        "strategy": "Webhook",
        "webhook": {"clientConfig": client, "conversionReviewVersions": ["v1beta1"]},
    }
    assert CRD.to_old(new) == obj
