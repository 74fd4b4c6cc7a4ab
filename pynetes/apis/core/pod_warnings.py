"""What a client is warned of when it writes a pod or a template: fields that do nothing any more, or contradict."""

from collections.abc import Iterator

from pynetes.machinery import names, quantity
from pynetes.machinery.meta import Obj

_LABELS = {
    "beta.kubernetes.io/arch": ("v1.14", "kubernetes.io/arch"),
    "beta.kubernetes.io/os": ("v1.14", "kubernetes.io/os"),
    "failure-domain.beta.kubernetes.io/region": ("v1.17", "topology.kubernetes.io/region"),
    "failure-domain.beta.kubernetes.io/zone": ("v1.17", "topology.kubernetes.io/zone"),
    "beta.kubernetes.io/instance-type": ("v1.17", "node.kubernetes.io/instance-type"),
}
_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": 'non-functional in v1.16+; use the "priorityClassName" field instead',
    "seccomp.security.alpha.kubernetes.io/pod": 'non-functional in v1.27+; use the "seccompProfile" field instead',
    "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
}
_ANNOTATION_PREFIXES = {
    "container.seccomp.security.alpha.kubernetes.io/": (
        'non-functional in v1.27+; use the "seccompProfile" field instead'
    ),
    "container.apparmor.security.beta.kubernetes.io/": (
        'deprecated since v1.30; use the "appArmorProfile" field instead'
    ),
}
_VOLUMES = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11, and disabled by default in v1.33+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def for_template(template: Obj, path: str = "") -> list[str]:
    """The warnings about a pod (path empty) or a template (path `spec.template`)."""
    spec = template.get("spec") or {}
    prefix = f"{path}." if path else ""
    return [
        *_annotations((template.get("metadata") or {}).get("annotations") or {}, f"{prefix}metadata.annotations"),
        *_node_labels(spec, f"{prefix}spec"),
        *_null_selectors(spec, f"{prefix}spec"),
        *_volumes(spec, f"{prefix}spec.volumes"),
        *_pull_secrets(spec, f"{prefix}spec.imagePullSecrets"),
        *_grace(spec, f"{prefix}spec"),
        *_container_warnings(spec, f"{prefix}spec"),
        *_ports(spec, f"{prefix}spec"),
    ]


def host_name(obj: Obj, whose: str = "the Pod's hostname") -> list[str]:
    """A name that is fine for an object and not for a host: the host's is cut and changed."""
    faults = names.dns1123_label(obj.get("metadata", {}).get("name") or "a")
    if not faults:
        return []
    return [
        f"metadata.name: this is used in {whose}, which can result in surprising behavior; a DNS label is "
        f"recommended: [{' '.join(faults)}]"
    ]


def pod_names(obj: Obj) -> list[str]:
    """The same for what names its pods after itself."""
    return host_name(obj, "Pod names and hostnames")


def label_key(key: str) -> str:
    """What is wrong with a label key, without the path; empty if nothing is."""
    if key not in _LABELS:
        return ""
    since, instead = _LABELS[key]
    return f'deprecated since {since}; use "{instead}" instead'


def _annotations(annotations: dict[str, str], path: str) -> Iterator[str]:
    for key in annotations:
        text = _ANNOTATIONS.get(key) or next(
            (text for prefix, text in _ANNOTATION_PREFIXES.items() if key.startswith(prefix)), None
        )
        if text:
            yield f"{path}[{key}]: {text}"


def _node_labels(spec: Obj, path: str) -> Iterator[str]:
    for key in spec.get("nodeSelector") or {}:
        if text := label_key(key):
            yield f"{path}.nodeSelector[{key}]: {text}"
    node = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    where = f"{path}.affinity.nodeAffinity"
    terms = [
        (term, f"{where}.{_REQUIRED}.nodeSelectorTerms[{index}]")
        for index, term in enumerate((node.get(_REQUIRED) or {}).get("nodeSelectorTerms") or [])
    ]
    terms += [
        (term.get("preference") or {}, f"{where}.{_PREFERRED}[{index}].preference")
        for index, term in enumerate(node.get(_PREFERRED) or [])
    ]
    for term, at in terms:
        yield from node_selector_term(term, at)
    for index, constraint in enumerate(spec.get("topologySpreadConstraints") or []):
        key = constraint.get("topologyKey", "")
        if text := label_key(key):
            yield f"{path}.topologySpreadConstraints[{index}].topologyKey: {key} is {text}"


def node_selector_term(term: Obj, path: str) -> Iterator[str]:
    """Deprecated label keys in a node selector term."""
    for index, requirement in enumerate(term.get("matchExpressions") or []):
        key = requirement.get("key", "")
        if text := label_key(key):
            yield f"{path}.matchExpressions[{index}].key: {key} is {text}"


def _null_selectors(spec: Obj, path: str) -> Iterator[str]:
    text = "a null labelSelector results in matching no pod"
    for index, constraint in enumerate(spec.get("topologySpreadConstraints") or []):
        if constraint.get("labelSelector") is None:
            yield f"{path}.topologySpreadConstraints[{index}].labelSelector: {text}"
    affinity = spec.get("affinity") or {}
    for kind in ("podAffinity", "podAntiAffinity"):
        pods = affinity.get(kind) or {}
        for index, term in enumerate(pods.get(_REQUIRED) or []):
            if term.get("labelSelector") is None:
                yield f"{path}.affinity.{kind}.{_REQUIRED}[{index}].labelSelector: {text}"
        for index, weighted in enumerate(pods.get(_PREFERRED) or []):
            if (weighted.get("podAffinityTerm") or {}).get("labelSelector") is None:
                yield f"{path}.affinity.{kind}.{_PREFERRED}[{index}].podAffinityTerm.labelSelector: {text}"


def _volumes(spec: Obj, path: str) -> Iterator[str]:
    for index, volume in enumerate(spec.get("volumes") or []):
        for kind, text in _VOLUMES.items():
            if volume.get(kind) is not None:
                yield f"{path}[{index}].{kind}: {text}"


def _pull_secrets(spec: Obj, path: str) -> Iterator[str]:
    seen: set[str] = set()
    for index, secret in enumerate(spec.get("imagePullSecrets") or []):
        name = secret.get("name") or ""
        if not name:
            yield f'{path}[{index}].name: invalid empty name ""'
        elif name in seen:
            yield f'{path}[{index}].name: duplicate name "{name}"'
        seen.add(name)


def _grace(spec: Obj, path: str) -> Iterator[str]:
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        text = "must be >= 0; negative values are invalid and will be treated as 1"
        yield f"{path}.terminationGracePeriodSeconds: {text}"


def _container_warnings(spec: Obj, path: str) -> Iterator[str]:
    for kind in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(kind) or []):
            where = f"{path}.{kind}[{index}]"
            for side in ("limits", "requests"):
                for resource in ("memory", "ephemeral-storage"):
                    amount = ((container.get("resources") or {}).get(side) or {}).get(resource)
                    if amount is not None and quantity.milli(str(amount)) % 1000:
                        yield (
                            f'{where}.resources.{side}[{resource}]: fractional byte value "{amount}" is invalid, '
                            "must be an integer"
                        )
            seen: set[str] = set()
            for position, variable in enumerate(container.get("env") or []):
                name = variable.get("name", "")
                if name in seen and f"$({name})" not in variable.get("value", ""):
                    yield (
                        f'{where}.env[{position}]: hides previous definition of "{name}", '
                        "which may be dropped when using apply"
                    )
                seen.add(name)


def _ports(spec: Obj, path: str) -> Iterator[str]:
    by_number: dict[tuple[object, ...], str] = {}
    by_name: dict[str, str] = {}
    for container, where in _with_paths(spec, path):
        own: dict[tuple[object, ...], str] = {}
        for index, port in enumerate(container.get("ports") or []):
            at = f"{where}.ports[{index}]"
            name = port.get("name")
            if name and name in by_name and not by_name[name].startswith(f"{where}."):
                first = by_name[name]
                yield (
                    f'{at}: duplicate port name "{name}" with {first}, services and probes that select ports '
                    f"by name will use {first}"
                )
            elif name:
                by_name.setdefault(name, at)
            same: tuple[object, ...] = (
                port.get("protocol"),
                port.get("containerPort"),
                port.get("hostPort"),
                port.get("hostIP"),
            )
            first = by_number.get(same) or own.get(same) or ""
            if first:
                yield f"{at}: duplicate port definition with {first}"
            own.setdefault(same, at)
        for same, at in own.items():
            by_number.setdefault(same, at)


def _with_paths(spec: Obj, path: str) -> Iterator[tuple[Obj, str]]:
    for index, container in enumerate(spec.get("containers") or []):
        yield container, f"{path}.containers[{index}]"
    for index, container in enumerate(spec.get("initContainers") or []):
        if container.get("restartPolicy") == "Always":
            yield container, f"{path}.initContainers[{index}]"
