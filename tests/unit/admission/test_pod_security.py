"""The Pod Security Standards, check by check, in upstream's words."""

from typing import Any

import pytest

from pynetes.apiserver.admission.pod_security import Policy, label_errors, policy
from pynetes.apiserver.admission.pod_security_checks import evaluate

Spec = dict[str, Any]


def spec(security: dict[str, Any] | None = None, **more: Any) -> Spec:
    """One container `a` with this securityContext."""
    container: dict[str, Any] = {"name": "a", "image": "i"}
    if security is not None:
        container["securityContext"] = security
    return {"containers": [container], **more}


GOOD = {
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def said(level: str, body: Spec, annotations: dict[str, str] | None = None, minor: int = 37) -> str:
    return ", ".join(map(str, evaluate(level, minor, annotations or {}, body)))


def two(first: dict[str, Any], second: dict[str, Any]) -> Spec:
    return {"containers": [{"name": "a", **first}], "initContainers": [{"name": "b", **second}]}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (spec(), ""),
        (
            spec(hostNetwork=True, hostPID=True, hostIPC=True),
            "host namespaces (hostNetwork=true, hostPID=true, hostIPC=true)",
        ),
        (spec({"privileged": True}), 'privileged (container "a" must not set securityContext.privileged=true)'),
        (
            two({"securityContext": {"privileged": True}}, {"securityContext": {"privileged": True}}),
            'privileged (containers "b", "a" must not set securityContext.privileged=true)',
        ),
        (
            spec({"capabilities": {"add": ["NET_ADMIN", "CHOWN", "SYS_TIME"]}}),
            'non-default capabilities (container "a" must not include "NET_ADMIN", "SYS_TIME" '
            "in securityContext.capabilities.add)",
        ),
        (spec(volumes=[{"name": "v", "hostPath": {"path": "/"}}]), 'hostPath volumes (volume "v")'),
        (
            two({"ports": [{"hostPort": 80}, {"hostPort": 0}]}, {"ports": [{"hostPort": 81}]}),
            'hostPort (containers "b", "a" use hostPorts 80, 81)',
        ),
        (
            two({"livenessProbe": {"httpGet": {"host": "8.8.8.8"}}}, {"lifecycle": {"preStop": {"tcpSocket": {}}}}),
            'probe or lifecycle host (container "a" uses probe or lifecycle host "8.8.8.8")',
        ),
        (
            spec({"procMount": "Unmasked"}),
            'procMount (container "a" must not set securityContext.procMount to "Unmasked")',
        ),
        (
            spec(
                {"seLinuxOptions": {"type": "bad", "user": "u"}},
                securityContext={"seLinuxOptions": {"role": "r", "type": "container_t"}},
            ),
            'seLinuxOptions (pod and container "a" set forbidden securityContext.seLinuxOptions: '
            'type "bad"; user may not be set; role may not be set)',
        ),
        (
            spec(securityContext={"seccompProfile": {"type": "Unconfined"}}),
            'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")',
        ),
        (
            spec(
                securityContext={
                    "sysctls": [
                        {"name": "kernel.msgmax", "value": "1"},
                        {"name": "net.ipv4.tcp_rmem", "value": "1"},
                    ]
                }
            ),
            "forbidden sysctls (kernel.msgmax)",
        ),
        (
            spec({"windowsOptions": {"hostProcess": True}}, securityContext={"windowsOptions": {"hostProcess": True}}),
            'hostProcess (pod and container "a" must not set securityContext.windowsOptions.hostProcess=true)',
        ),
        (
            spec({"appArmorProfile": {"type": "Unconfined"}}),
            'forbidden AppArmor profile (container "a" must not set AppArmor profile type to "Unconfined")',
        ),
    ],
)
def test_baseline(body: Spec, message: str) -> None:
    assert said("baseline", body) == message
    assert said("privileged", body) == ""


def test_app_armor_by_annotation() -> None:
    key = "container.apparmor.security.beta.kubernetes.io/a"
    assert said("baseline", spec(), {key: "unconfined"}) == (
        f'forbidden AppArmor profile (annotation must not set AppArmor profile type to "{key}="unconfined"")'
    )
    assert said("baseline", spec(), {key: "localhost/mine"}) == ""


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (spec(GOOD), ""),
        (
            spec(),
            'allowPrivilegeEscalation != false (container "a" must set '
            "securityContext.allowPrivilegeEscalation=false), "
            'unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"]), '
            'runAsNonRoot != true (pod or container "a" must set securityContext.runAsNonRoot=true), '
            'seccompProfile (pod or container "a" must set securityContext.seccompProfile.type to "RuntimeDefault" '
            'or "Localhost")',
        ),
        (
            spec(GOOD, hostNetwork=True, volumes=[{"name": "v", "nfs": {}}, {"name": "w", "hostPath": {}}]),
            "host namespaces (hostNetwork=true), "
            'restricted volume types (volumes "v", "w" use restricted volume types "hostPath", "nfs")',
        ),
        (
            spec(GOOD | {"capabilities": {"drop": ["ALL"], "add": ["CHOWN", "NET_BIND_SERVICE"]}}),
            'unrestricted capabilities (container "a" must not include "CHOWN" in securityContext.capabilities.add)',
        ),
        (
            spec(GOOD | {"runAsNonRoot": False}),
            'runAsNonRoot != true (container "a" must not set securityContext.runAsNonRoot=false)',
        ),
        (
            spec({**GOOD, "runAsNonRoot": None}, securityContext={"runAsNonRoot": False}),
            "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)",
        ),
        (
            spec(GOOD | {"runAsUser": 0}, securityContext={"runAsUser": 0}),
            'runAsUser=0 (pod and container "a" must not set runAsUser=0)',
        ),
        (
            spec(GOOD | {"seccompProfile": {"type": "Unconfined"}}),
            'seccompProfile (container "a" must not set securityContext.seccompProfile.type to "Unconfined")',
        ),
    ],
)
def test_restricted(body: Spec, message: str) -> None:
    assert said("restricted", body) == message


def test_windows_pods_need_not_meet_what_only_linux_has() -> None:
    assert said("restricted", spec({"runAsNonRoot": True}, os={"name": "windows"})) == ""
    assert "allowPrivilegeEscalation" in said(
        "restricted", spec({"runAsNonRoot": True}, os={"name": "windows"}), minor=24
    )


def test_a_pod_with_users_of_its_own_may_be_root_in_it() -> None:
    body = spec(GOOD | {"runAsUser": 0, "runAsNonRoot": False, "procMount": "Unmasked"}, hostUsers=False)
    assert said("baseline", body) == ""
    assert said("restricted", body) == (
        'procMount (container "a" must not set securityContext.procMount to "Unmasked")'
    )
    assert "runAsUser=0" in said("restricted", body, minor=34)


def test_a_pinned_version_judges_as_it_did() -> None:
    sysctl = spec(securityContext={"sysctls": [{"name": "net.ipv4.tcp_keepalive_time", "value": "1"}]})
    assert said("baseline", sysctl, minor=28) == "forbidden sysctls (net.ipv4.tcp_keepalive_time)"
    assert said("baseline", sysctl, minor=29) == ""
    root = spec(GOOD | {"runAsUser": 0})
    assert said("restricted", root, minor=22) == ""


def test_labels_name_the_policy() -> None:
    prefix = "pod-security.kubernetes.io/"
    labels = {f"{prefix}enforce": "baseline", f"{prefix}enforce-version": "v1.25", f"{prefix}warn": "nonsense"}
    assert policy(labels, "enforce") == Policy("baseline", "v1.25")
    assert str(policy({}, "enforce")) == "privileged:latest"
    assert policy({f"{prefix}enforce": "baseline", f"{prefix}enforce-version": "v1.25"}, "warn") == Policy(
        "baseline", "v1.25"
    )
    assert policy(labels, "warn").level == "privileged"
    assert policy({f"{prefix}enforce": "nonsense"}, "enforce").level == "restricted"
    assert [str(error) for error in label_errors(labels)] == [
        f'metadata.labels[{prefix}warn]: Invalid value: "nonsense": must be one of privileged, baseline, restricted'
    ]
