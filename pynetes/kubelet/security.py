"""Security contexts: the pod's and the container's, merged into what the runtime is told.

Also the check behind `runAsNonRoot`, which needs to know the image's user. Pure functions; the messages are
upstream's, for they become the waiting message of the container.
"""

from pathlib import Path
from typing import Any

from pynetes._generated import cri_pb2 as cri
from pynetes.kubelet import spec
from pynetes.kubelet.env import ConfigError
from pynetes.machinery.meta import Obj

MASKED_PATHS = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def namespaces(pod: Obj, target_id: str = "") -> Any:
    """Which namespaces a container (or the sandbox) shares with whom."""
    pod_spec = pod["spec"]
    if target_id:
        pid = cri.TARGET
    elif pod_spec.get("hostPID"):
        pid = cri.NODE
    else:
        pid = cri.POD if pod_spec.get("shareProcessNamespace") else cri.CONTAINER
    return cri.NamespaceOption(
        network=cri.NODE if pod_spec.get("hostNetwork") else cri.POD,
        pid=pid,
        ipc=cri.NODE if pod_spec.get("hostIPC") else cri.POD,
        target_id=target_id,
    )


def sandbox_context(pod: Obj, seccomp_root: Path) -> Any:
    """CRI's security context for the sandbox."""
    context = pod["spec"].get("securityContext") or {}
    result = cri.LinuxSandboxSecurityContext(
        namespace_options=namespaces(pod),
        privileged=any((c.get("securityContext") or {}).get("privileged") for c in spec.all_containers(pod)),
        supplemental_groups=supplemental_groups(pod),
        seccomp=cri.SecurityProfile(profile_type=cri.SecurityProfile.RuntimeDefault),
        selinux_options=_selinux(context.get("seLinuxOptions")),
    )
    if context.get("runAsUser") is not None:
        result.run_as_user.value = context["runAsUser"]
        if context.get("runAsGroup") is not None:
            result.run_as_group.value = context["runAsGroup"]
    return result


def container_context(
    pod: Obj, container: Obj, seccomp_root: Path, image_user: int | str | None, target_id: str
) -> Any:
    """CRI's security context for a container; `image_user` is the user its image asks for."""
    own = container.get("securityContext") or {}
    privileged = bool(own.get("privileged"))
    result = cri.LinuxContainerSecurityContext(
        privileged=privileged,
        namespace_options=namespaces(pod, target_id),
        readonly_rootfs=bool(own.get("readOnlyRootFilesystem")),
        supplemental_groups=supplemental_groups(pod),
        no_new_privs=_no_new_privileges(own),
        seccomp=_profile(spec.security(pod, container, "seccompProfile"), seccomp_root),
        apparmor=_profile(spec.security(pod, container, "appArmorProfile"), Path()),
        selinux_options=_selinux(spec.security(pod, container, "seLinuxOptions")),
    )
    if (pod["spec"].get("securityContext") or {}).get("supplementalGroupsPolicy") == "Strict":
        result.supplemental_groups_policy = cri.Strict
    capabilities = own.get("capabilities") or {}
    result.capabilities.add_capabilities.extend(capabilities.get("add") or [])
    result.capabilities.drop_capabilities.extend(capabilities.get("drop") or [])
    user = spec.security(pod, container, "runAsUser")
    group = spec.security(pod, container, "runAsGroup")
    if user is not None:
        result.run_as_user.value = user
    elif isinstance(image_user, int):
        result.run_as_user.value = image_user
    elif image_user:
        result.run_as_username = image_user
    if group is not None:
        if user is None and image_user in (None, ""):
            result.run_as_user.value = 0
        result.run_as_group.value = group
    if not privileged and own.get("procMount", "Default") != "Unmasked":
        result.masked_paths.extend(MASKED_PATHS)
        result.readonly_paths.extend(READONLY_PATHS)
    return result


def supplemental_groups(pod: Obj) -> list[int]:
    """`supplementalGroups` and `fsGroup`."""
    context = pod["spec"].get("securityContext") or {}
    groups = list(context.get("supplementalGroups") or [])
    if context.get("fsGroup") is not None:
        groups.append(context["fsGroup"])
    return groups


def verify_non_root(pod: Obj, container: Obj, image_user: int | str | None) -> None:
    """Raise ConfigError if `runAsNonRoot` would be broken."""
    if not spec.security(pod, container, "runAsNonRoot"):
        return
    where = f'(pod: "{spec.describe(pod)}", container: {container["name"]})'
    user = spec.security(pod, container, "runAsUser")
    if user is not None:
        if user == 0:
            raise ConfigError(f"container's runAsUser breaks non-root policy {where}")
        return
    if isinstance(image_user, str) and image_user:
        raise ConfigError(
            f"container has runAsNonRoot and image has non-numeric user ({image_user}), "
            f"cannot verify user is non-root {where}"
        )
    if not image_user:
        raise ConfigError(f"container has runAsNonRoot and image will run as root {where}")


def _no_new_privileges(own: Obj) -> bool:
    """`allowPrivilegeEscalation: false`, except where it could not mean anything."""
    return own.get("allowPrivilegeEscalation") is False


def _profile(profile: Obj | None, root: Path) -> Any:
    kind = (profile or {}).get("type", "Unconfined")
    if kind == "RuntimeDefault":
        return cri.SecurityProfile(profile_type=cri.SecurityProfile.RuntimeDefault)
    if kind == "Localhost" and profile:
        reference = str(root / profile.get("localhostProfile", ""))
        return cri.SecurityProfile(profile_type=cri.SecurityProfile.Localhost, localhost_ref=reference)
    return cri.SecurityProfile(profile_type=cri.SecurityProfile.Unconfined)


def _selinux(options: Obj | None) -> Any:
    if not options:
        return None
    return cri.SELinuxOption(**{key: options.get(key, "") for key in ("user", "role", "type", "level")})
