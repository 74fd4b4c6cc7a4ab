"""Pods: fields that came after 1.20, and what is refused of them."""

from typing import Any

import pytest


def pod(container: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "c", "image": "app:1", **(container or {})}], **spec}}


def test_a_negative_grace_period_of_a_pod_becomes_one_second(create):
    assert create("pods", pod(terminationGracePeriodSeconds=-1)).obj["spec"]["terminationGracePeriodSeconds"] == 1
    template = {"metadata": {"labels": {"a": "b"}}, **pod(terminationGracePeriodSeconds=-1)}
    made = create("deployments", {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}).obj
    assert made["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == -1


@pytest.mark.parametrize(
    ("spec", "errors"),
    [
        ({"hostnameOverride": "a.b", "setHostnameAsFQDN": False}, []),
        (
            {"hostnameOverride": "a", "setHostnameAsFQDN": True},
            ["spec.hostnameOverride: Forbidden: may not be set when `setHostnameAsFQDN` is true"],
        ),
        (
            {"hostnameOverride": "a", "hostNetwork": True},
            ["spec.hostnameOverride: Forbidden: may not be set when `hostNetwork` is true"],
        ),
        ({"hostnameOverride": "a" * 63 + ".b"}, ["spec.hostnameOverride: Too long: may not be more than 64 bytes"]),
    ],
)
def test_an_overriding_host_name(create, spec, errors):
    assert create("pods", pod(**spec)).errors == errors


def test_an_overriding_host_name_is_a_dns_name(create):
    (error,) = create("pods", pod(hostnameOverride="Not-RFC1123")).errors
    assert error.startswith('spec.hostnameOverride: Invalid value: "Not-RFC1123": a lowercase RFC 1123 subdomain')


FILE = {"volumeName": "config", "path": "config.env", "key": "A"}
WHERE = "spec.containers[0].env[0].valueFrom.fileKeyRef"


@pytest.mark.parametrize(
    ("reference", "volume", "errors"),
    [
        ({}, {"emptyDir": {}}, []),
        ({"volumeName": "other"}, {"emptyDir": {}}, [f'{WHERE}.volumeName: Not found: "other"']),
        (
            {},
            {"secret": {"secretName": "s"}},
            [f'{WHERE}.volumeName: Invalid value: "config": referenced volume must be of type emptyDir'],
        ),
        ({"path": "/abs"}, {"emptyDir": {}}, [f'{WHERE}.path: Invalid value: "/abs": must be a relative path']),
        ({"path": "a/../b"}, {"emptyDir": {}}, [f"{WHERE}.path: Invalid value: \"a/../b\": must not contain '..'"]),
    ],
)
def test_a_variable_in_a_file_needs_an_empty_dir(create, reference, volume, errors):
    env = [{"name": "A", "valueFrom": {"fileKeyRef": FILE | reference}}]
    assert create("pods", pod({"env": env}, volumes=[{"name": "config", **volume}])).errors == errors


@pytest.mark.parametrize(
    ("spec", "errors"),
    [
        ({"os": {"name": "linux"}}, []),
        (
            {},
            [
                "spec.containers[0].lifecycle.stopSignal: Forbidden: "
                "may not be set for containers with empty `spec.os.name`"
            ],
        ),
        (
            {"os": {"name": "windows"}},
            [
                'spec.containers[0].lifecycle.stopSignal: Unsupported value: "SIGUSR1": '
                'supported values: "SIGKILL", "SIGTERM"'
            ],
        ),
    ],
)
def test_a_stop_signal_is_one_of_the_pods_system(create, spec, errors):
    assert create("pods", pod({"lifecycle": {"stopSignal": "SIGUSR1"}}, **spec)).errors == errors


def test_restart_rules_need_a_policy_an_action_and_an_operator(create):
    rules = [
        {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}},
        {"action": "Zap", "exitCodes": {"operator": "Equals", "values": [1]}},
        {"action": "RestartAllContainers"},
    ]
    expected = [
        "{}.restartPolicy: Required value: must specify restartPolicy when restart rules are used",
        '{}.restartPolicyRules[1].action: Unsupported value: "Zap": '
        'supported values: "Restart", "RestartAllContainers"',
        '{}.restartPolicyRules[1].exitCodes.operator: Unsupported value: "Equals": supported values: "In", "NotIn"',
        "{}.restartPolicyRules[2].exitCodes: Required value: must be specified",
    ]
    assert create("pods", pod({"restartPolicyRules": rules})).errors == [
        line.format("spec.containers[0]") for line in expected
    ]
    init = {"name": "i", "image": "app:1", "restartPolicyRules": rules}
    assert create("pods", pod(initContainers=[init])).errors == [
        line.format("spec.initContainers[0]") for line in expected
    ]


def test_a_resize_neither_renames_nor_reorders_nor_adds_containers(create, update):
    two = [{"name": name, "image": "app:1", "resources": {"requests": {"cpu": "1"}}} for name in ("a", "b")]
    stored = create("pods", pod(containers=two)).obj
    text = "spec.containers[{}].name: Forbidden: containers may not be renamed or reordered on resize"
    both = [text.format(0), text.format(1)]
    assert update("pods", stored, lambda p: p["spec"]["containers"].reverse(), "resize").errors == both

    def rename(p):
        for container in p["spec"]["containers"]:
            container["name"] += "-new"

    assert update("pods", stored, rename, "resize").errors == both
    assert update("pods", stored, lambda p: p["spec"]["containers"].pop(), "resize").errors == [
        "spec.containers: Forbidden: containers may not be added or removed on resize"
    ]


def test_a_resize_of_the_pod_itself_takes_nothing_away(create, update):
    level = {"requests": {"cpu": "1"}, "limits": {"cpu": "2", "memory": "1Gi"}}
    stored = create("pods", pod(resources=level)).obj

    def lose(p):
        del p["spec"]["resources"]["limits"]["memory"]

    def grow(p):
        p["spec"]["resources"]["limits"]["cpu"] = "3"

    assert (
        "spec.resources.limits: Forbidden: resource limits cannot be removed"
        in update("pods", stored, lose, "resize").errors
    )
    assert update("pods", stored, grow, "resize").errors == []


def test_what_belongs_to_one_system_cannot_be_set_for_the_other(create):
    linux = pod(
        {"securityContext": {"windowsOptions": {}}}, os={"name": "linux"}, securityContext={"windowsOptions": {}}
    )
    text = "Forbidden: windows options cannot be set for a linux pod"
    assert create("pods", linux).errors == [
        f"spec.securityContext.windowsOptions: {text}",
        f"spec.containers[0].securityContext.windowsOptions: {text}",
    ]
    windows = pod(
        {"securityContext": {"capabilities": {"add": ["X"]}, "privileged": True}},
        os={"name": "windows"},
        securityContext={"runAsUser": 1, "sysctls": [{"name": "a", "value": "b"}]},
        hostPID=True,
    )
    refused = (
        *("spec.hostPID", "spec.securityContext.sysctls", "spec.securityContext.runAsUser"),
        *("spec.containers[0].securityContext.capabilities", "spec.containers[0].securityContext.privileged"),
    )
    assert create("pods", windows).errors == [f"{path}: Forbidden: cannot be set for a windows pod" for path in refused]


def test_how_labels_of_volumes_are_changed_is_one_of_two(create):
    (error,) = create("pods", pod(securityContext={"seLinuxChangePolicy": "Foo"})).errors
    assert error == (
        'spec.securityContext.seLinuxChangePolicy: Unsupported value: "Foo": '
        'supported values: "MountOption", "Recursive"'
    )
