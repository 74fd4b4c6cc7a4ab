"""Label selectors of a pod's affinity and spread constraints that speak of the pod's own labels.

`matchLabelKeys` and `mismatchLabelKeys` name labels; a pod that is created gets its own values of them written into the
selectors (KEP-3633, KEP-3243), so that whoever reads the pod later sees what is meant.
"""

from collections.abc import Iterable, Mapping

from pynetes.machinery import meta
from pynetes.machinery.meta import Obj

REQUIRED, PREFERRED = (
    "requiredDuringSchedulingIgnoredDuringExecution",
    "preferredDuringSchedulingIgnoredDuringExecution",
)


def narrow(pod: Obj) -> None:
    """Write the values of the named labels into the pod's selectors."""
    labels, spec = meta.labels(pod), pod.get("spec") or {}
    affinity = spec.get("affinity") or {}
    for kind in ("podAffinity", "podAntiAffinity"):
        terms = affinity.get(kind) or {}
        for term in terms.get(REQUIRED) or ():
            _narrow(term, labels)
        for weighted in terms.get(PREFERRED) or ():
            _narrow(weighted.get("podAffinityTerm") or {}, labels)
    for constraint in spec.get("topologySpreadConstraints") or ():
        _narrow(constraint, labels)


def _narrow(holder: Obj, labels: Mapping[str, str]) -> None:
    selector = holder.get("labelSelector")
    if selector is None:
        return
    added = [
        *_requirements(holder.get("matchLabelKeys") or (), "In", labels),
        *_requirements(holder.get("mismatchLabelKeys") or (), "NotIn", labels),
    ]
    if added:
        holder["labelSelector"] = {
            **selector,
            "matchExpressions": [*(selector.get("matchExpressions") or ()), *added],
        }


def _requirements(keys: Iterable[str], operator: str, labels: Mapping[str, str]) -> Iterable[Obj]:
    return [{"key": key, "operator": operator, "values": [labels[key]]} for key in keys if key in labels]
