"""Validation of what a pod says of its operating system: what belongs to the other one cannot be set."""

from pynetes.apis.checks import Errors
from pynetes.machinery.meta import Obj

LINUX_ONLY = ("hostPID", "hostIPC", "shareProcessNamespace", "hostUsers")
LINUX_ONLY_IN_PODS = (
    *("appArmorProfile", "seLinuxOptions", "seccompProfile", "fsGroup", "fsGroupChangePolicy", "sysctls"),
    *("runAsUser", "runAsGroup", "supplementalGroups", "supplementalGroupsPolicy"),
)
LINUX_ONLY_IN_CONTAINERS = (
    *("appArmorProfile", "seLinuxOptions", "seccompProfile", "capabilities", "readOnlyRootFilesystem", "privileged"),
    *("allowPrivilegeEscalation", "procMount", "runAsUser", "runAsGroup"),
)
FOR_LINUX = "windows options cannot be set for a linux pod"
FOR_WINDOWS = "cannot be set for a windows pod"


def system(errors: Errors, spec: Obj, path: str) -> None:
    """`os`, and what it rules out."""
    if spec.get("os") is None:
        return
    name = spec["os"].get("name") or ""
    if not name:
        errors.required(f"{path}.os.name", "cannot be empty")
        return
    errors.one_of(f"{path}.os.name", name, ("linux", "windows"))
    contexts = [(spec.get("securityContext") or {}, f"{path}.securityContext", LINUX_ONLY_IN_PODS)]
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(kind) or []):
            where = f"{path}.{kind}[{index}].securityContext"
            contexts.append((container.get("securityContext") or {}, where, LINUX_ONLY_IN_CONTAINERS))
    if name == "linux":
        for context, where, _ in contexts:
            if context.get("windowsOptions") is not None:
                errors.forbidden(f"{where}.windowsOptions", FOR_LINUX)
    elif name == "windows":
        for field in LINUX_ONLY:
            if spec.get(field) is not None and spec.get(field) is not False:
                errors.forbidden(f"{path}.{field}", FOR_WINDOWS)
        for context, where, fields in contexts:
            for field in fields:
                if context.get(field) not in (None, []):
                    errors.forbidden(f"{where}.{field}", FOR_WINDOWS)
