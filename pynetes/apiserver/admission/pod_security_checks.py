"""The Pod Security Standards of v1.37 as a table of checks: what `baseline` and `restricted` pods may not do.

A check takes a pod (its annotations and spec) and returns a `Violation` or None. Each check says since which minor
version it holds; a policy pinned to an older version is judged as that version judged. `evaluate` runs the checks of a
level in upstream's order and words the findings as upstream does.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from pynetes.machinery.errors import quote

LATEST = 37

Spec = dict[str, Any]


class Violation(NamedTuple):
    """What is wrong, in few words, and where."""

    reason: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


@dataclass(frozen=True)
class Pod:
    """What the checks look at."""

    annotations: dict[str, str]
    spec: Spec
    minor: int = LATEST

    def containers(self) -> Iterator[dict[str, Any]]:
        """Init, app and ephemeral containers, in this order."""
        for field in ("initContainers", "containers", "ephemeralContainers"):
            yield from self.spec.get(field) or ()

    @property
    def security(self) -> dict[str, Any]:
        return self.spec.get("securityContext") or {}

    @property
    def has_own_users(self) -> bool:
        """Whether the pod runs in a user namespace of its own, where root is not the node's root."""
        return self.spec.get("hostUsers") is False

    @property
    def is_windows(self) -> bool:
        """Whether the pod says it runs on Windows, where Linux's means do not apply."""
        return (self.spec.get("os") or {}).get("name") == "windows"


def _security(container: dict[str, Any]) -> dict[str, Any]:
    return container.get("securityContext") or {}


def _quoted(items: Iterable[str]) -> str:
    return ", ".join(f'"{item}"' for item in items)


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


def _named(word: str, names: list[str]) -> str:
    return f"{_plural(word, len(names))} {_quoted(names)}"


def _setters(pod: bool, containers: list[str]) -> str:
    """`pod`, `container "a"`, or `pod and containers "a", "b"`."""
    return " and ".join((["pod"] if pod else []) + ([_named("container", containers)] if containers else []))


# Baseline.

_APPARMOR_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"


def _app_armor(pod: Pod) -> Violation | None:
    values: set[str] = set()

    def is_bad(security: dict[str, Any]) -> bool:
        profile = security.get("appArmorProfile")
        if profile is None or profile.get("type") in ("RuntimeDefault", "Localhost"):
            return False
        values.add(profile.get("type") or "")
        return True

    bad_pod = is_bad(pod.security)
    bad = [container["name"] for container in pod.containers() if is_bad(_security(container))]
    shown = sorted(values)
    setters = [_setters(bad_pod, bad)] if bad_pod or bad else []
    annotated = sorted(
        f"{key}={quote(value)}"
        for key, value in pod.annotations.items()
        if key.startswith(_APPARMOR_ANNOTATION)
        and value not in ("", "runtime/default")
        and not value.startswith("localhost/")
    )
    if annotated:
        shown += annotated
        setters.append(_plural("annotation", len(annotated)))
    if not setters:
        return None
    said = f"{' and '.join(setters)} must not set AppArmor profile type to {_quoted(shown)}"
    return Violation(_plural("forbidden AppArmor profile", len(shown)), said)


_DEFAULT_CAPABILITIES = frozenset(
    {
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    }
)


def _added_capabilities(pod: Pod, allowed: frozenset[str]) -> str:
    bad, capabilities = [], set()
    for container in pod.containers():
        added = (_security(container).get("capabilities") or {}).get("add") or ()
        if excess := set(added) - allowed:
            bad.append(container["name"])
            capabilities |= excess
    if not bad:
        return ""
    beyond = _quoted(sorted(capabilities))
    return f"{_named('container', bad)} must not include {beyond} in securityContext.capabilities.add"


def _capabilities_baseline(pod: Pod) -> Violation | None:
    detail = _added_capabilities(pod, _DEFAULT_CAPABILITIES)
    return Violation("non-default capabilities", detail) if detail else None


def _host_namespaces(pod: Pod) -> Violation | None:
    used = [f"{field}=true" for field in ("hostNetwork", "hostPID", "hostIPC") if pod.spec.get(field)]
    return Violation("host namespaces", ", ".join(used)) if used else None


def _host_path_volumes(pod: Pod) -> Violation | None:
    names = [volume["name"] for volume in pod.spec.get("volumes") or () if volume.get("hostPath") is not None]
    return Violation("hostPath volumes", _named("volume", names)) if names else None


def _host_ports(pod: Pod) -> Violation | None:
    bad, ports = [], set()
    for container in pod.containers():
        used = {port["hostPort"] for port in container.get("ports") or () if port.get("hostPort")}
        if used:
            bad.append(container["name"])
            ports |= {str(port) for port in used}
    if not bad:
        return None
    uses = "uses" if len(bad) == 1 else "use"
    numbers = ", ".join(sorted(ports))
    return Violation("hostPort", f"{_named('container', bad)} {uses} {_plural('hostPort', len(ports))} {numbers}")


def _handler_hosts(container: dict[str, Any]) -> Iterator[str]:
    lifecycle = container.get("lifecycle") or {}
    handlers = [container.get(probe) for probe in ("livenessProbe", "readinessProbe", "startupProbe")]
    handlers += [lifecycle.get("postStart"), lifecycle.get("preStop")]
    for handler in handlers:
        for action in ("httpGet", "tcpSocket"):
            host = ((handler or {}).get(action) or {}).get("host")
            if host:
                yield host


def _probe_hosts(pod: Pod) -> Violation | None:
    bad, hosts = [], set()
    for container in pod.containers():
        used = set(_handler_hosts(container))
        if used:
            bad.append(container["name"])
            hosts |= used
    if not bad:
        return None
    uses = "uses" if len(bad) == 1 else "use"
    what = f"{_plural('probe or lifecycle host', len(hosts))} {_quoted(sorted(hosts))}"
    return Violation("probe or lifecycle host", f"{_named('container', sorted(bad))} {uses} {what}")


def _privileged(pod: Pod) -> Violation | None:
    bad = [container["name"] for container in pod.containers() if _security(container).get("privileged")]
    detail = f"{_named('container', bad)} must not set securityContext.privileged=true"
    return Violation("privileged", detail) if bad else None


def _proc_mount(pod: Pod) -> Violation | None:
    bad, kinds = [], set()
    for container in pod.containers():
        kind = _security(container).get("procMount")
        if kind not in (None, "Default"):
            bad.append(container["name"])
            kinds.add(kind)
    detail = f"{_named('container', bad)} must not set securityContext.procMount to {_quoted(sorted(kinds))}"
    return Violation("procMount", detail) if bad else None


def _proc_mount_baseline(pod: Pod) -> Violation | None:
    return None if pod.minor >= 35 and pod.has_own_users else _proc_mount(pod)


def _selinux_types(minor: int) -> frozenset[str]:
    types = {"", "container_t", "container_init_t", "container_kvm_t"}
    return frozenset(types | {"container_engine_t"} if minor >= 31 else types)


def _selinux(pod: Pod) -> Violation | None:
    types: set[str] = set()
    user = role = False

    def is_bad(security: dict[str, Any]) -> bool:
        nonlocal user, role
        options = security.get("seLinuxOptions")
        if options is None:
            return False
        bad_type = (options.get("type") or "") not in _selinux_types(pod.minor)
        if bad_type:
            types.add(options["type"])
        user, role = user or bool(options.get("user")), role or bool(options.get("role"))
        return bad_type or bool(options.get("user")) or bool(options.get("role"))

    bad_pod = is_bad(pod.security)
    bad = [container["name"] for container in pod.containers() if is_bad(_security(container))]
    if not bad_pod and not bad:
        return None
    data = [f"{_plural('type', len(types))} {_quoted(sorted(types))}"] if types else []
    data += ["user may not be set"] if user else []
    data += ["role may not be set"] if role else []
    said = f"{_setters(bad_pod, bad)} set forbidden securityContext.seLinuxOptions: {'; '.join(data)}"
    return Violation("seLinuxOptions", said)


_SECCOMP_ANNOTATIONS = ("seccomp.security.alpha.kubernetes.io/pod", "container.seccomp.security.alpha.kubernetes.io/")


def _seccomp_annotations(pod: Pod) -> Violation | None:
    """As it was said before v1.19."""
    of_pod, of_container = _SECCOMP_ANNOTATIONS
    keys = [of_pod, *(of_container + container["name"] for container in pod.containers())]
    bad = sorted(
        f"{key}={quote(pod.annotations[key])}"
        for key in keys
        if key in pod.annotations
        and pod.annotations[key] not in ("runtime/default", "docker/default")
        and not pod.annotations[key].startswith("localhost/")
    )
    return Violation("seccompProfile", f"forbidden {_plural('annotation', len(bad))} {', '.join(bad)}") if bad else None


def _seccomp_baseline(pod: Pod) -> Violation | None:
    if pod.minor < 19:
        return _seccomp_annotations(pod)
    values: set[str] = set()

    def is_bad(security: dict[str, Any]) -> bool:
        kind = (security.get("seccompProfile") or {}).get("type")
        if kind is None or kind in ("RuntimeDefault", "Localhost"):
            return False
        values.add(kind)
        return True

    bad_pod = is_bad(pod.security)
    bad = [container["name"] for container in pod.containers() if is_bad(_security(container))]
    if not bad_pod and not bad:
        return None
    said = f"must not set securityContext.seccompProfile.type to {_quoted(sorted(values))}"
    return Violation("seccompProfile", f"{_setters(bad_pod, bad)} {said}")


_SYSCTLS: tuple[tuple[int, str], ...] = (
    (0, "kernel.shm_rmid_forced"),
    (0, "net.ipv4.ip_local_port_range"),
    (0, "net.ipv4.tcp_syncookies"),
    (0, "net.ipv4.ping_group_range"),
    (0, "net.ipv4.ip_unprivileged_port_start"),
    (27, "net.ipv4.ip_local_reserved_ports"),
    (29, "net.ipv4.tcp_keepalive_time"),
    (29, "net.ipv4.tcp_fin_timeout"),
    (29, "net.ipv4.tcp_keepalive_intvl"),
    (29, "net.ipv4.tcp_keepalive_probes"),
    (32, "net.ipv4.tcp_rmem"),
    (32, "net.ipv4.tcp_wmem"),
)


def _sysctls(pod: Pod) -> Violation | None:
    allowed = {name for since, name in _SYSCTLS if pod.minor >= since}
    bad = [entry["name"] for entry in pod.security.get("sysctls") or () if entry.get("name") not in allowed]
    return Violation("forbidden sysctls", ", ".join(bad)) if bad else None


def _windows_host_process(pod: Pod) -> Violation | None:
    def is_bad(security: dict[str, Any]) -> bool:
        return bool((security.get("windowsOptions") or {}).get("hostProcess"))

    bad_pod = is_bad(pod.security)
    bad = [container["name"] for container in pod.containers() if is_bad(_security(container))]
    if not bad_pod and not bad:
        return None
    return Violation(
        "hostProcess", f"{_setters(bad_pod, bad)} must not set securityContext.windowsOptions.hostProcess=true"
    )


# Restricted.


def _privilege_escalation(pod: Pod) -> Violation | None:
    if pod.minor >= 25 and pod.is_windows:
        return None
    bad = [
        container["name"]
        for container in pod.containers()
        if _security(container).get("allowPrivilegeEscalation") is not False
    ]
    detail = f"{_named('container', bad)} must set securityContext.allowPrivilegeEscalation=false"
    return Violation("allowPrivilegeEscalation != false", detail) if bad else None


def _capabilities_restricted(pod: Pod) -> Violation | None:
    if pod.minor >= 25 and pod.is_windows:
        return None
    keeps = [
        container["name"]
        for container in pod.containers()
        if "ALL" not in ((_security(container).get("capabilities") or {}).get("drop") or ())
    ]
    details = [f'{_named("container", keeps)} must set securityContext.capabilities.drop=["ALL"]'] if keeps else []
    added = _added_capabilities(pod, frozenset({"NET_BIND_SERVICE"}))
    details += [added] if added else []
    return Violation("unrestricted capabilities", "; ".join(details)) if details else None


_RESTRICTED_VOLUMES = frozenset(
    [
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ]
)


def _restricted_volumes(pod: Pod) -> Violation | None:
    bad, kinds = [], set()
    for volume in pod.spec.get("volumes") or ():
        kind = next((field for field, value in volume.items() if field != "name" and value is not None), "unknown")
        if kind not in _RESTRICTED_VOLUMES:
            bad.append(volume["name"])
            kinds.add(kind)
    if not bad:
        return None
    uses = "uses" if len(bad) == 1 else "use"
    what = f"{_plural('restricted volume type', len(kinds))} {_quoted(sorted(kinds))}"
    return Violation("restricted volume types", f"{_named('volume', bad)} {uses} {what}")


def _run_as_non_root(pod: Pod) -> Violation | None:
    if pod.minor >= 35 and pod.has_own_users:
        return None
    reason = "runAsNonRoot != true"
    pod_says = pod.security.get("runAsNonRoot")
    explicit = [entry["name"] for entry in pod.containers() if _security(entry).get("runAsNonRoot") is False]
    silent = [entry["name"] for entry in pod.containers() if _security(entry).get("runAsNonRoot") is None]
    if pod_says is False or explicit:
        setters = _setters(pod_says is False, explicit)
        return Violation(reason, f"{setters} must not set securityContext.runAsNonRoot=false")
    if pod_says or not silent:
        return None
    return Violation(reason, f"pod or {_named('container', silent)} must set securityContext.runAsNonRoot=true")


def _run_as_user(pod: Pod) -> Violation | None:
    if pod.minor >= 35 and pod.has_own_users:
        return None
    bad_pod = pod.security.get("runAsUser") == 0
    bad = [container["name"] for container in pod.containers() if _security(container).get("runAsUser") == 0]
    if not bad_pod and not bad:
        return None
    return Violation("runAsUser=0", f"{_setters(bad_pod, bad)} must not set runAsUser=0")


def _seccomp_restricted(pod: Pod) -> Violation | None:
    if pod.minor >= 25 and pod.is_windows:
        return None
    explicit = _seccomp_baseline(pod)
    if explicit is not None:
        return explicit
    if (pod.security.get("seccompProfile") or {}).get("type"):
        return None
    silent = [
        container["name"]
        for container in pod.containers()
        if not (_security(container).get("seccompProfile") or {}).get("type")
    ]
    if not silent:
        return None
    wanted = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return Violation("seccompProfile", f"pod or {_named('container', silent)} {wanted}")


class _Check(NamedTuple):
    name: str
    since: int
    check: Callable[[Pod], Violation | None]
    replaces: str = ""  # the baseline check that a restricted one takes the place of


_BASELINE = (
    _Check("appArmorProfile", 0, _app_armor),
    _Check("capabilities_baseline", 0, _capabilities_baseline),
    _Check("hostNamespaces", 0, _host_namespaces),
    _Check("hostPathVolumes", 0, _host_path_volumes),
    _Check("hostPorts", 0, _host_ports),
    _Check("hostProbesAndHostLifecycle", 34, _probe_hosts),
    _Check("privileged", 0, _privileged),
    _Check("procMount", 0, _proc_mount_baseline),
    _Check("seLinuxOptions", 0, _selinux),
    _Check("seccompProfile_baseline", 0, _seccomp_baseline),
    _Check("sysctls", 0, _sysctls),
    _Check("windowsHostProcess", 0, _windows_host_process),
)
_RESTRICTED = (
    _Check("allowPrivilegeEscalation", 8, _privilege_escalation),
    _Check("capabilities_restricted", 22, _capabilities_restricted, "capabilities_baseline"),
    _Check("procMount_restricted", 35, _proc_mount, "procMount"),
    _Check("restrictedVolumes", 0, _restricted_volumes, "hostPathVolumes"),
    _Check("runAsNonRoot", 0, _run_as_non_root),
    _Check("runAsUser", 23, _run_as_user),
    _Check("seccompProfile_restricted", 19, _seccomp_restricted, "seccompProfile_baseline"),
)


def evaluate(level: str, minor: int, annotations: dict[str, str], spec: Spec) -> list[Violation]:
    """What a pod does that the level, as of v1.<minor>, does not allow."""
    if level == "privileged":
        return []
    restricted = [check for check in _RESTRICTED if level == "restricted" and minor >= check.since]
    replaced = {check.replaces for check in restricted}
    baseline = [check for check in _BASELINE if minor >= check.since and check.name not in replaced]
    pod = Pod(annotations, spec, minor)
    return [found for check in (*baseline, *restricted) if (found := check.check(pod)) is not None]
