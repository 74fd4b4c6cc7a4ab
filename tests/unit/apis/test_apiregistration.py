"""API services."""

from typing import Any

import pytest

from pynetes.machinery.meta import Obj
from tests.unit.apis import specimen
from tests.unit.apis.specimen import create_errors, defaulted, stored, update_errors

SERVICES = specimen.strategy("apiservices.apiregistration.k8s.io")
SERVICE = {"namespace": "kube-system", "name": "metrics"}


def api_service(name: str = "v1.example.com", **spec: Any) -> Obj:
    whole = {"group": "example.com", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 10} | spec
    return {"metadata": {"name": name}, "spec": whole}


@pytest.mark.parametrize(
    ("obj", "error"),
    [
        (
            api_service("v2.example.com"),
            'metadata.name: Invalid value: "v2.example.com": must be `spec.version+"."+spec.group`: "v1.example.com"',
        ),
        (
            api_service("v2.", group="", version="v2"),
            "spec.group: Required value: only v1 may have an empty group and it better be legacy kube",
        ),
        (
            api_service(groupPriorityMinimum=20001),
            "spec.groupPriorityMinimum: Invalid value: 20001: must be positive and less than 20000",
        ),
        (
            api_service(versionPriority=0),
            "spec.versionPriority: Invalid value: 0: must be positive and less than 1000",
        ),
        (
            api_service(caBundle="YWJj"),
            'spec.caBundle: Invalid value: "3 bytes": local APIServices may not have a caBundle',
        ),
        (
            api_service(insecureSkipTLSVerify=True),
            "spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have insecureSkipTLSVerify",
        ),
        (api_service(service={"name": "metrics"}), "spec.service.namespace: Required value"),
        (api_service(service={"namespace": "a"}), "spec.service.name: Required value"),
        (
            api_service(service=SERVICE | {"port": 70000}),
            "spec.service.port: Invalid value: 70000: port is not valid: must be between 1 and 65535, inclusive",
        ),
        (
            api_service(service=SERVICE, insecureSkipTLSVerify=True, caBundle="YWJj"),
            "spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present",
        ),
    ],
)
def test_rules(obj: Obj, error: str) -> None:
    assert create_errors(SERVICES, obj) == [error]


def test_the_core_group_has_no_name() -> None:
    assert create_errors(SERVICES, api_service("v1.", group="")) == []


def test_a_service_is_asked_on_443() -> None:
    assert defaulted(SERVICES, api_service(service=SERVICE))["spec"]["service"]["port"] == 443


def test_a_local_one_is_available_at_once() -> None:
    local, remote = stored(SERVICES, api_service()), stored(SERVICES, api_service(service=SERVICE))
    assert [(each["type"], each["status"], each["reason"]) for each in local["status"]["conditions"]] == [
        ("Available", "True", "Local")
    ]
    assert remote["status"] == {}


def test_conditions_are_true_false_or_unknown() -> None:
    old = stored(SERVICES, api_service(service=SERVICE))
    new = old | {"status": {"conditions": [{"type": "Available", "status": "Perhaps"}]}}
    assert update_errors(SERVICES, old, new, "status") == [
        'status.conditions[0].status: Unsupported value: "Perhaps": supported values: "True", "False", "Unknown"'
    ]


@pytest.mark.parametrize(
    ("obj", "cells"),
    [
        (stored(SERVICES, api_service()), ["Local", "True"]),
        (api_service(service=SERVICE), ["kube-system/metrics", "Unknown"]),
        (
            api_service(service=SERVICE)
            | {"status": {"conditions": [{"type": "Available", "status": "False", "reason": "MissingEndpoints"}]}},
            ["kube-system/metrics", "False (MissingEndpoints)"],
        ),
    ],
)
def test_the_table_says_who_serves_and_whether(obj: Obj, cells: list[str]) -> None:
    assert SERVICES.row(obj)[:3] == ["v1.example.com", *cells]
    assert [each.name for each in SERVICES.columns] == ["Name", "Service", "Available", "Age"]
