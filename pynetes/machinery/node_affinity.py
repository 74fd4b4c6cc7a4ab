"""Whether a pod's `nodeSelector` and required node affinity allow a node. Pure functions.

For one pod and one node, as the DaemonSet controller and the kubelet ask; the scheduler asks about all nodes at once
and has its own (see `scheduler/plugins/nodes.py`).
"""

from pynetes.machinery import meta, selectors
from pynetes.machinery.meta import Obj


def allows(spec: Obj, node: Obj) -> bool:
    """Whether a pod with this spec may be on the node."""
    if not (spec.get("nodeSelector") or {}).items() <= meta.labels(node).items():
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    return any(term_matches(term, node) for term in required.get("nodeSelectorTerms") or [])


def term_matches(term: Obj, node: Obj) -> bool:
    """Whether one `nodeSelectorTerm` matches; an empty one matches nothing."""
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not expressions and not fields:
        return False
    try:
        on_labels = selectors.from_node_selector_requirements(expressions)
        on_fields = selectors.from_node_selector_requirements(fields)
    except ValueError:  # what makes no sense (Gt with a word) is not refused, and matches nothing either
        return False
    return on_labels.matches(meta.labels(node)) and on_fields.matches({"metadata.name": meta.name(node)})
