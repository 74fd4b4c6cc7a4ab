"""Validation of pods and pod templates.

`pod_spec` holds the rules for every pod spec, `pod` those for a new pod, `template` those for a template in a workload.
What an existing pod may change is in `pod_update`.
"""

import re
from functools import partial

from pynetes.apis import checks, metadata
from pynetes.apis.checks import Errors
from pynetes.apis.core import (
    container_validation,
    os_validation,
    resource_validation,
    scheduling_validation,
    security_validation,
    volume_validation,
)
from pynetes.machinery import meta, names, pod_totals
from pynetes.machinery.meta import Obj

RESTART_POLICIES = ("Always", "OnFailure", "Never")
DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
PREEMPTION_POLICIES = ("Never", "PreemptLowerPriority")
MAX_HOST_NAME = 64  # the kernel's limit
MAX_NAMESERVERS, MAX_SEARCHES, MAX_SEARCH_CHARACTERS = 3, 32, 2048
_MIRROR, _DELETION_COST = "kubernetes.io/config.mirror", "controller.kubernetes.io/pod-deletion-cost"
_DECIMAL = re.compile(r"(0|-[0-9]+|[1-9][0-9]*)\Z")
_SYSCTL = re.compile(
    r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$",
)


def pod(errors: Errors, obj: Obj) -> None:
    """The rules for a pod beyond its metadata's."""
    _annotations(errors, meta.annotations(obj), obj.get("spec") or {}, "metadata.annotations")
    pod_spec(errors, obj.get("spec") or {}, "spec", is_pod=True)


def pod_create(errors: Errors, obj: Obj) -> None:
    """What a new pod may not say."""
    spec = obj.get("spec") or {}
    if spec.get("ephemeralContainers"):
        errors.forbidden("spec.ephemeralContainers", "cannot be set on create")
    if spec.get("nodeName") and spec.get("schedulingGates"):
        errors.forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared")


def template(errors: Errors, value: Obj, path: str) -> None:
    """A PodTemplateSpec."""
    head = value.get("metadata") or {}
    checks.labels(errors, head.get("labels"), f"{path}.labels")
    metadata.annotations(errors, head.get("annotations"), f"{path}.annotations")
    _annotations(errors, head.get("annotations") or {}, value.get("spec") or {}, f"{path}.annotations")
    pod_spec(errors, value.get("spec") or {}, f"{path}.spec")
    if (value.get("spec") or {}).get("ephemeralContainers"):
        errors.forbidden(f"{path}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template")


def _annotations(errors: Errors, values: dict[str, str], spec: Obj, path: str) -> None:
    """Annotations that mean something in a pod."""
    if _MIRROR in values and not spec.get("nodeName"):
        detail = "must set spec.nodeName if mirror pod annotation is set"
        errors.invalid(f"{path}[{_MIRROR}]", values[_MIRROR], detail)
    cost = values.get(_DELETION_COST)
    if cost is not None and not (_DECIMAL.match(cost) and -(2**31) <= int(cost) < 2**31):
        errors.invalid(f"{path}[{_DELETION_COST}]", cost, "must be a 32bit integer")


def pod_spec(errors: Errors, spec: Obj, path: str, *, is_pod: bool = False) -> None:
    """A PodSpec, wherever it stands."""
    volumes = volume_validation.volumes(errors, spec.get("volumes") or [], f"{path}.volumes")
    _resource_claims(errors, spec.get("resourceClaims") or [], f"{path}.resourceClaims")
    container_validation.containers(errors, spec, volumes, path)
    container_validation.init_containers(errors, spec, volumes, path)
    container_validation.ephemeral_containers(errors, spec, volumes, path)
    _pod_level_resources(errors, spec, path)
    errors.required_one_of(f"{path}.restartPolicy", spec.get("restartPolicy"), RESTART_POLICIES)
    errors.required_one_of(f"{path}.dnsPolicy", spec.get("dnsPolicy"), DNS_POLICIES)
    checks.labels(errors, spec.get("nodeSelector"), f"{path}.nodeSelector")
    _security_context(errors, spec, path, is_pod=is_pod)
    scheduling_validation.affinity(errors, spec.get("affinity"), f"{path}.affinity")
    _dns_config(errors, spec, f"{path}.dnsConfig")
    for index, gate in enumerate(spec.get("readinessGates") or []):
        kind = gate.get("conditionType", "")
        errors.check(f"{path}.readinessGates[{index}].conditionType", kind, names.qualified_name(kind))
    _scheduling_gates(errors, spec.get("schedulingGates") or [], f"{path}.schedulingGates")
    scheduling_validation.topology_spread(
        errors, spec.get("topologySpreadConstraints"), f"{path}.topologySpreadConstraints"
    )
    for field, check in (
        ("serviceAccountName", names.dns1123_subdomain),
        ("nodeName", names.dns1123_subdomain),
        ("hostname", names.dns1123_label),
        ("subdomain", names.dns1123_label),
        ("priorityClassName", names.dns1123_subdomain),
        ("runtimeClassName", names.dns1123_subdomain),
        ("hostnameOverride", names.dns1123_subdomain),
    ):
        if spec.get(field):
            errors.check(f"{path}.{field}", spec[field], check(spec[field]))
    _hostname_override(errors, spec, f"{path}.hostnameOverride")
    errors.in_range(f"{path}.activeDeadlineSeconds", spec.get("activeDeadlineSeconds"), 1, 2**31 - 1)
    scheduling_validation.tolerations(errors, spec.get("tolerations"), f"{path}.tolerations")
    for index, alias in enumerate(spec.get("hostAliases") or []):
        where = f"{path}.hostAliases[{index}]"
        errors.check(f"{where}.ip", alias.get("ip", ""), names.ip(alias.get("ip", "")))
        for host in alias.get("hostnames") or []:
            errors.check(f"{where}.hostnames", host, names.dns1123_subdomain(host))
    policy = spec.get("preemptionPolicy")
    if policy is not None:
        errors.required_one_of(f"{path}.preemptionPolicy", policy, PREEMPTION_POLICIES)
    for name, value in (spec.get("overhead") or {}).items():
        resource_validation.resource_name(errors, name, f"{path}.overhead[{name}]")
        resource_validation.amount(errors, name, value, f"{path}.overhead[{name}]")
    os_validation.system(errors, spec, path)


def _hostname_override(errors: Errors, spec: Obj, path: str) -> None:
    """The kernel's host name, and nothing else's (KEP-4762)."""
    name = spec.get("hostnameOverride")
    if name is None:
        return
    if len(name) > MAX_HOST_NAME:
        errors.too_long(path, MAX_HOST_NAME)
    for field in ("setHostnameAsFQDN", "hostNetwork"):
        if spec.get(field):
            errors.forbidden(path, f"may not be set when `{field}` is true")


def _pod_level_resources(errors: Errors, spec: Obj, path: str) -> None:
    resources = spec.get("resources")
    if not resources:
        return
    where = f"{path}.resources"
    if resources.get("claims"):
        errors.forbidden(f"{where}.claims", "claims may not be set for Resources at pod-level")
    for kind in ("limits", "requests"):
        for name in resources.get(kind) or {}:
            if name not in ("cpu", "memory") and not name.startswith("hugepages-"):
                errors.unsupported(f"{where}.{kind}[{name}]", name, ("cpu", "hugepages-", "memory"))
    resource_validation.requirements(errors, {**resources, "claims": []}, where)
    _containers_within(errors, spec, where)


def _containers_within(errors: Errors, spec: Obj, where: str) -> None:
    """What the pod asks for is enough for its containers, and none of them may use more than the pod (KEP-2837)."""
    pod = {kind: pod_totals.amounts(spec["resources"].get(kind)) for kind in ("requests", "limits")}
    for kind, only in (("requests", ""), ("limits", "hugepages-")):
        for name, amount in sorted(pod_totals.of_containers(spec, partial(_amounts, kind)).items()):
            if name.startswith(only) and name in pod[kind] and amount > pod[kind][name]:
                text = f"must be greater than or equal to aggregate container {kind} of {amount}"
                errors.invalid(f"{where}.{kind}[{name}]", str(pod[kind][name]), text)
    for index, container in enumerate(spec.get("containers") or []):
        for name, limit in sorted(_amounts("limits", container).items()):
            if name in pod["limits"] and limit > pod["limits"][name]:
                text = f"must be less than or equal to pod limits of {pod['limits'][name]}"
                errors.invalid(f"{where}.containers[{index}][{name}].limits", str(limit), text)


def _amounts(kind: str, container: Obj) -> pod_totals.Amounts:
    return pod_totals.amounts((container.get("resources") or {}).get(kind))


def _resource_claims(errors: Errors, claims: list[Obj], path: str) -> None:
    seen: set[str] = set()
    for index, claim in enumerate(claims):
        where, name = f"{path}[{index}]", claim.get("name") or ""
        if not name:
            errors.required(f"{where}.name")
        elif name in seen:
            errors.duplicate(f"{where}.name", name)
        else:
            errors.check(f"{where}.name", name, names.dns1123_label(name))
        seen.add(name)
        given = [kind for kind in ("resourceClaimName", "resourceClaimTemplateName") if claim.get(kind) is not None]
        if not given:
            errors.invalid(where, claim, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`")
        elif len(given) > 1:
            errors.invalid(
                where, claim, "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            )
        for kind in given:
            errors.check(f"{where}.{kind}", claim[kind], names.dns1123_subdomain(claim[kind]))


def _scheduling_gates(errors: Errors, gates: list[Obj], path: str) -> None:
    seen: set[str] = set()
    for index, gate in enumerate(gates):
        name = gate.get("name", "")
        errors.check(f"{path}[{index}]", name, names.qualified_name(name))
        if name in seen:
            errors.duplicate(f"{path}[{index}]", name)
        seen.add(name)


def _security_context(errors: Errors, spec: Obj, path: str, *, is_pod: bool) -> None:
    context = spec.get("securityContext") or {}
    where = f"{path}.securityContext"
    if spec.get("hostNetwork"):
        _host_network_ports(errors, spec, path, is_pod=is_pod)
    for field in ("fsGroup", "runAsUser", "runAsGroup"):
        if context.get(field) is not None:
            errors.check(f"{where}.{field}", context[field], names.user_id(context[field]))
    for index, group in enumerate(context.get("supplementalGroups") or []):
        errors.check(f"{where}.supplementalGroups[{index}]", group, names.user_id(group))
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        errors.invalid(
            f"{path}.shareProcessNamespace", True, "ShareProcessNamespace and HostPID cannot both be enabled"
        )
    if spec.get("hostUsers") is False:
        for field in ("hostNetwork", "hostPID", "hostIPC"):
            if spec.get(field):
                errors.forbidden(f"{path}.hostUsers", f"when `hostUsers` is false, `{field}` must not be true")
    policy = context.get("fsGroupChangePolicy")
    if policy is not None:
        errors.one_of(f"{where}.fsGroupChangePolicy", policy, ("OnRootMismatch", "Always"))
    change_policy = context.get("seLinuxChangePolicy")
    if change_policy is not None:
        errors.one_of(f"{where}.seLinuxChangePolicy", change_policy, ("MountOption", "Recursive"))
    groups_policy = context.get("supplementalGroupsPolicy")
    if groups_policy is not None:
        errors.one_of(f"{where}.supplementalGroupsPolicy", groups_policy, ("Merge", "Strict"))
    _sysctls(errors, context.get("sysctls") or [], spec, f"{where}.sysctls")
    security_validation.seccomp_profile(errors, context.get("seccompProfile"), f"{where}.seccompProfile")
    security_validation.app_armor_profile(errors, context.get("appArmorProfile"), f"{where}.appArmorProfile")
    security_validation.windows_options(errors, context.get("windowsOptions"), f"{where}.windowsOptions")


def _host_network_ports(errors: Errors, spec: Obj, path: str, *, is_pod: bool) -> None:
    for kind in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(kind) or []):
            for position, port in enumerate(container.get("ports") or []):
                host, own = port.get("hostPort", 0), port.get("containerPort", 0)
                if host != own and (is_pod or host):
                    errors.invalid(
                        f"{path}.{kind}[{index}].ports[{position}].containerPort",
                        own,
                        "must match `hostPort` when `hostNetwork` is true",
                    )


def _sysctls(errors: Errors, sysctls: list[Obj], spec: Obj, path: str) -> None:
    seen: set[str] = set()
    for index, sysctl in enumerate(sysctls):
        name = sysctl.get("name") or ""
        where = f"{path}[{index}].name"
        if not name:
            errors.required(where)
            continue
        dotted = name.replace("/", ".") if "/" in name else name
        if len(name) > 253 or not _SYSCTL.match(name):
            errors.invalid(
                where, name, f"must have at most 253 characters and match regex {_SYSCTL.pattern}".replace("\\.", "\\.")
            )
        elif dotted in seen:
            errors.duplicate(where, name)
        seen.add(dotted)
        if spec.get("hostNetwork") and dotted.startswith("net."):
            errors.invalid(where, name, "may not be specified when 'hostNetwork' is true")
        if spec.get("hostIPC") and dotted.startswith(("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")):
            errors.invalid(where, name, "may not be specified when 'hostIPC' is true")


def _dns_config(errors: Errors, spec: Obj, path: str) -> None:
    config = spec.get("dnsConfig")
    if spec.get("dnsPolicy") == "None":
        if config is None:
            errors.required(path, "must provide `dnsConfig` when `dnsPolicy` is None")
            return
        if not config.get("nameservers"):
            errors.required(f"{path}.nameservers", "must provide at least one DNS nameserver when `dnsPolicy` is None")
            return
    if config is None:
        return
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    if len(servers) > MAX_NAMESERVERS:
        errors.invalid(f"{path}.nameservers", servers, f"must not have more than {MAX_NAMESERVERS} nameservers")
    for index, server in enumerate(servers):
        errors.check(f"{path}.nameservers[{index}]", server, names.ip(server))
    if len(searches) > MAX_SEARCHES:
        errors.invalid(f"{path}.searches", searches, f"must not have more than {MAX_SEARCHES} search paths")
    if len(" ".join(searches)) > MAX_SEARCH_CHARACTERS:
        errors.invalid(
            f"{path}.searches",
            searches,
            f"must not have more than {MAX_SEARCH_CHARACTERS} characters (including spaces) in the search list",
        )
    for index, search in enumerate(searches):
        bare = search.removesuffix(".") if search != "." else "a"
        errors.check(f"{path}.searches[{index}]", search, names.dns1123_subdomain_underscore(bare))
    for index, option in enumerate(config.get("options") or []):
        if not option.get("name"):
            errors.required(f"{path}.options[{index}]", "must not be empty")
