"""What the scheduler needs to know of a pod, worked out once when the pod is first seen.

Requests follow upstream's rule: the containers' sum or the largest init container, whichever is more, plus what
sidecars (init containers that restart) hold all the time, plus the overhead; a pod-level request wins over both.
Amounts are whole numbers: milli-CPUs for `cpu`, bytes or pieces for the rest.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from pynetes.machinery import meta, pod_totals, quantity, selectors
from pynetes.machinery.meta import Obj

Resources = dict[str, int]

DEFAULTS: Resources = {"cpu": 100, "memory": 200 * 1024 * 1024}
"""What a container that requests nothing counts for in scoring."""


def amount(resource: str, text: str | int | float) -> int:
    """A quantity in the scheduler's unit for that resource."""
    return quantity.milli(text) if resource == "cpu" else quantity.value(text)


def _requests(container: Mapping[str, Any]) -> Resources:
    return _amounts((container.get("resources") or {}).get("requests"))


def _with_defaults(requests: Resources) -> Resources:
    return {resource: requests.get(resource, least) for resource, least in DEFAULTS.items()}


def _amounts(resource_list: Mapping[str, Any] | None) -> Resources:
    return {resource: amount(resource, text) for resource, text in (resource_list or {}).items()}


def requests_of(pod: Obj) -> Resources:
    """What the pod asks of a node."""
    spec = pod["spec"]
    total = pod_totals.of_containers(spec, _requests)
    total |= _amounts((spec.get("resources") or {}).get("requests"))
    return pod_totals.plus(total, _amounts(spec.get("overhead")))


def scoring_requests_of(pod: Obj) -> Resources:
    """As `requests_of` for cpu and memory, with upstream's defaults for containers that request nothing."""
    spec = pod["spec"]
    total = pod_totals.of_containers(spec, lambda container: _with_defaults(_requests(container)))
    total |= _of(total, _amounts((spec.get("resources") or {}).get("requests")))
    return pod_totals.plus(total, _of(DEFAULTS, _amounts(spec.get("overhead"))))


def _of(resources: Iterable[str], amounts: Resources) -> Resources:
    return {resource: number for resource, number in amounts.items() if resource in resources}


@dataclass(frozen=True)
class HostPort:
    """A port the pod takes on its node."""

    ip: str
    protocol: str
    port: int


@dataclass(frozen=True)
class Term:
    """A pod (anti-)affinity term, with the namespaces it speaks of."""

    topology_key: str
    selector: selectors.LabelSelector
    namespaces: frozenset[str]
    namespace_selector: selectors.LabelSelector
    weight: int = 0

    def matches(self, namespace: str, labels: Mapping[str, str], namespace_labels: Mapping[str, str]) -> bool:
        """Whether a pod with these labels in that namespace is one the term speaks of."""
        here = namespace in self.namespaces or self.namespace_selector.matches(namespace_labels)
        return here and self.selector.matches(labels)


@dataclass(frozen=True)
class Terms:
    """Every pod (anti-)affinity term of a pod."""

    required_affinity: tuple[Term, ...] = ()
    required_anti: tuple[Term, ...] = ()
    preferred_affinity: tuple[Term, ...] = ()
    preferred_anti: tuple[Term, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.required_affinity or self.required_anti or self.preferred_affinity or self.preferred_anti)


@lru_cache(maxsize=4096)
def _selector(labels: tuple[tuple[str, str], ...], expressions: tuple[tuple[str, str, tuple[str, ...]], ...]) -> Any:
    return selectors.from_label_selector(
        {
            "matchLabels": dict(labels),
            "matchExpressions": [{"key": k, "operator": o, "values": list(v)} for k, o, v in expressions],
        }
    )


def label_selector(selector: Obj | None) -> selectors.LabelSelector:
    """A LabelSelector object as a value; equal ones are one and the same, so they can be counted by."""
    if selector is None:
        return selectors.NOTHING
    return _selector(
        tuple(sorted((selector.get("matchLabels") or {}).items())),
        tuple((e["key"], e["operator"], tuple(e.get("values") or ())) for e in selector.get("matchExpressions") or []),
    )


def with_keys(
    selector: Obj | None, pod_labels: Mapping[str, str], keys: Iterable[str], mismatch: Iterable[str] = ()
) -> Obj:
    """A LabelSelector narrowed by `matchLabelKeys` and `mismatchLabelKeys` to the pod's own values (KEP-3633)."""
    out = dict(selector or {})
    extra = [{"key": k, "operator": "In", "values": [pod_labels[k]]} for k in keys if k in pod_labels]
    extra += [{"key": k, "operator": "NotIn", "values": [pod_labels[k]]} for k in mismatch if k in pod_labels]
    return out | {"matchExpressions": [*(out.get("matchExpressions") or []), *extra]}


def _term(pod: Obj, term: Obj, weight: int = 0) -> Term:
    named = frozenset(term.get("namespaces") or ())
    by_selector = label_selector(term.get("namespaceSelector"))
    if not named and term.get("namespaceSelector") is None:
        named = frozenset({meta.namespace(pod)})
    narrowed = term.get("labelSelector")
    if narrowed is not None and (term.get("matchLabelKeys") or term.get("mismatchLabelKeys")):
        narrowed = with_keys(
            narrowed, meta.labels(pod), term.get("matchLabelKeys") or (), term.get("mismatchLabelKeys") or ()
        )
    return Term(term.get("topologyKey", ""), label_selector(narrowed), named, by_selector, weight)


def _terms(pod: Obj) -> Terms:
    affinity = pod["spec"].get("affinity") or {}

    def required(kind: str) -> tuple[Term, ...]:
        listed = (affinity.get(kind) or {}).get("requiredDuringSchedulingIgnoredDuringExecution") or []
        return tuple(_term(pod, term) for term in listed)

    def preferred(kind: str) -> tuple[Term, ...]:
        listed = (affinity.get(kind) or {}).get("preferredDuringSchedulingIgnoredDuringExecution") or []
        return tuple(_term(pod, each["podAffinityTerm"], each.get("weight", 0)) for each in listed)

    return Terms(
        required("podAffinity"), required("podAntiAffinity"), preferred("podAffinity"), preferred("podAntiAffinity")
    )


NO_TERMS = Terms()


@dataclass(eq=False)
class PodInfo:
    """A pod as the scheduler sees it. Identity is the object's, so it can be put in sets."""

    pod: Obj
    key: str
    uid: str
    namespace: str
    labels: Mapping[str, str]
    priority: int
    requests: Resources
    scoring: Resources
    host_ports: tuple[HostPort, ...]
    terms: Terms
    tolerations: list[Obj]
    signature: tuple[str, tuple[tuple[str, str], ...]] = field(default=("", ()))

    @property
    def spec(self) -> Obj:
        """The pod's spec."""
        spec: Obj = self.pod["spec"]
        return spec


def pod_info(pod: Obj) -> PodInfo:
    """Work out everything about `pod`."""
    spec = pod["spec"]
    labels = meta.labels(pod)
    ports = tuple(
        HostPort(port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", port["hostPort"])
        for container in [*(spec.get("containers") or []), *_sidecars(spec)]
        for port in container.get("ports") or []
        if port.get("hostPort")
    )
    return PodInfo(
        pod=pod,
        key=meta.key(pod),
        uid=meta.uid(pod),
        namespace=meta.namespace(pod),
        labels=labels,
        priority=spec.get("priority") or 0,
        requests=requests_of(pod),
        scoring=scoring_requests_of(pod),
        host_ports=ports,
        terms=_terms(pod) if spec.get("affinity") else NO_TERMS,
        tolerations=spec.get("tolerations") or [],
        signature=(meta.namespace(pod), tuple(sorted(labels.items()))),
    )


def _sidecars(spec: Obj) -> list[Obj]:
    return [c for c in spec.get("initContainers") or [] if c.get("restartPolicy") == "Always"]


def is_terminal(pod: Obj) -> bool:
    """Whether the pod has ended and no longer uses anything."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
