"""PodSecurityPolicies: a kind that has no successor.

They are stored and served, so that the manifests of their time apply and RBAC's `use` rules have their object. They
restrict nothing: that is Pod Security Admission's work now.
"""

from typing import Any

from pynetes.apis import printing
from pynetes.apis.checks import Errors
from pynetes.apis.legacy.shape import BOOLEAN, INT32, INT64, STRING, Json, array, ref
from pynetes.apis.printing import column
from pynetes.apis.strategy import Strategy
from pynetes.machinery import meta
from pynetes.machinery.meta import Obj
from pynetes.machinery.resources import ResourceType

PACKAGE = "io.k8s.api.policy.v1beta1"
RESOURCE = ResourceType(
    "policy", "v1beta1", "podsecuritypolicies", "PodSecurityPolicy", "podsecuritypolicy", False, ("psp",)
)
WARNING = "policy/v1beta1 PodSecurityPolicy is deprecated in v1.21+, unavailable in v1.25+"

_RULES = {
    "seLinux": ("MustRunAs", "RunAsAny"),
    "runAsUser": ("MustRunAs", "MustRunAsNonRoot", "RunAsAny"),
    "runAsGroup": ("MayRunAs", "MustRunAs", "RunAsAny"),
    "supplementalGroups": ("MayRunAs", "MustRunAs", "RunAsAny"),
    "fsGroup": ("MayRunAs", "MustRunAs", "RunAsAny"),
}
_REQUIRED = ("seLinux", "runAsUser", "supplementalGroups", "fsGroup")


def _own(kind: str) -> Json:
    return ref(f"{PACKAGE}.{kind}")


def _object(properties: dict[str, Json], *required: str) -> Json:
    made: Json = {"type": "object", "properties": properties}
    return made | ({"required": list(required)} if required else {})


def _gvk(kind: str) -> list[Json]:
    return [{"group": "policy", "kind": kind, "version": "v1beta1"}]


_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
_STRATEGY = {"ranges": array(_own("IDRange")), "rule": STRING}

DEFINITIONS: dict[str, Json] = {
    f"{PACKAGE}.{kind}": definition
    for kind, definition in {
        "PodSecurityPolicy": _object(
            {
                "apiVersion": STRING,
                "kind": STRING,
                "metadata": ref(f"{_META}.ObjectMeta"),
                "spec": _own("PodSecurityPolicySpec"),
            }
        )
        | {"x-kubernetes-group-version-kind": _gvk("PodSecurityPolicy")},
        "PodSecurityPolicyList": _object(
            {
                "apiVersion": STRING,
                "items": array(_own("PodSecurityPolicy")),
                "kind": STRING,
                "metadata": ref(f"{_META}.ListMeta"),
            },
            "items",
        )
        | {"x-kubernetes-group-version-kind": _gvk("PodSecurityPolicyList")},
        "PodSecurityPolicySpec": _object(
            {
                "allowPrivilegeEscalation": BOOLEAN,
                "allowedCSIDrivers": array(_own("AllowedCSIDriver")),
                "allowedCapabilities": array(STRING),
                "allowedFlexVolumes": array(_own("AllowedFlexVolume")),
                "allowedHostPaths": array(_own("AllowedHostPath")),
                "allowedProcMountTypes": array(STRING),
                "allowedUnsafeSysctls": array(STRING),
                "defaultAddCapabilities": array(STRING),
                "defaultAllowPrivilegeEscalation": BOOLEAN,
                "forbiddenSysctls": array(STRING),
                "fsGroup": _own("FSGroupStrategyOptions"),
                "hostIPC": BOOLEAN,
                "hostNetwork": BOOLEAN,
                "hostPID": BOOLEAN,
                "hostPorts": array(_own("HostPortRange")),
                "privileged": BOOLEAN,
                "readOnlyRootFilesystem": BOOLEAN,
                "requiredDropCapabilities": array(STRING),
                "runAsGroup": _own("RunAsGroupStrategyOptions"),
                "runAsUser": _own("RunAsUserStrategyOptions"),
                "runtimeClass": _own("RuntimeClassStrategyOptions"),
                "seLinux": _own("SELinuxStrategyOptions"),
                "supplementalGroups": _own("SupplementalGroupsStrategyOptions"),
                "volumes": array(STRING),
            },
            *_REQUIRED,
        ),
        "AllowedCSIDriver": _object({"name": STRING}, "name"),
        "AllowedFlexVolume": _object({"driver": STRING}, "driver"),
        "AllowedHostPath": _object({"pathPrefix": STRING, "readOnly": BOOLEAN}),
        "FSGroupStrategyOptions": _object(_STRATEGY),
        "HostPortRange": _object({"max": INT32, "min": INT32}, "min", "max"),
        "IDRange": _object({"max": INT64, "min": INT64}, "min", "max"),
        "RunAsGroupStrategyOptions": _object(_STRATEGY, "rule"),
        "RunAsUserStrategyOptions": _object(_STRATEGY, "rule"),
        "RuntimeClassStrategyOptions": _object(
            {"allowedRuntimeClassNames": array(STRING), "defaultRuntimeClassName": STRING}, "allowedRuntimeClassNames"
        ),
        "SELinuxStrategyOptions": _object(
            {"rule": STRING, "seLinuxOptions": ref("io.k8s.api.core.v1.SELinuxOptions")}, "rule"
        ),
        "SupplementalGroupsStrategyOptions": _object(_STRATEGY),
    }.items()
}

PROSE: dict[str, dict[str, str]] = {
    f"{PACKAGE}.PodSecurityPolicy": {
        "": "The conditions that a pod had to meet to be accepted. It is kept and shown, and restricts nothing.",
        "spec": "What the policy allows.",
    },
    f"{PACKAGE}.PodSecurityPolicySpec": {
        "": "What a policy allows.",
        "allowPrivilegeEscalation": "Whether a process may gain more privileges than its parent. Default: true.",
        "fsGroup": "Which groups may own volumes.",
        "privileged": "Whether containers may be privileged.",
        "runAsUser": "Which users containers may run as.",
        "seLinux": "Which SELinux labels may be set.",
        "supplementalGroups": "Which supplemental groups may be used.",
        "volumes": "The kinds of volumes allowed; * allows all.",
    },
}


class PodSecurityPolicyStrategy(Strategy):
    """A pod security policy."""

    deprecated = WARNING
    columns = (
        printing.NAME,
        column("Priv", description="Whether containers may be privileged."),
        column("Caps", description="Capabilities that may be added."),
        column("SELinux", description="The rule for SELinux labels."),
        column("RunAsUser", description="The rule for users."),
        column("FsGroup", description="The rule for owners of volumes."),
        column("SupGroup", description="The rule for supplemental groups."),
        column("ReadOnlyRootFs", description="Whether root file systems must be read-only."),
        column("Volumes", description="The kinds of volumes allowed."),
    )

    def default(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        if spec.get("allowPrivilegeEscalation") is None:
            spec["allowPrivilegeEscalation"] = True

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        spec = printing.spec(obj)
        for field, rules in _RULES.items():
            rule = (spec.get(field) or {}).get("rule")
            if field in _REQUIRED or field in spec:
                errors.one_of(f"spec.{field}.rule", rule or "", rules)
        for index, port in enumerate(spec.get("hostPorts") or ()):
            if port.get("max", 0) < port.get("min", 0):
                errors.invalid(f"spec.hostPorts[{index}]", port, "min must be less than or equal to max")

    def row(self, obj: Obj) -> list[Any]:
        spec = printing.spec(obj)
        shown = ("seLinux", "runAsUser", "fsGroup", "supplementalGroups")
        rules = [(spec.get(field) or {}).get("rule", "") for field in shown]
        return [
            meta.name(obj),
            str(bool(spec.get("privileged"))).lower(),
            ",".join(spec.get("allowedCapabilities") or ()),
            *rules,
            str(bool(spec.get("readOnlyRootFilesystem"))).lower(),
            ",".join(spec.get("volumes") or ()),
        ]
