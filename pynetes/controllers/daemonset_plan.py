"""Which nodes run a DaemonSet's pod, and which pods go. Pure functions of the nodes and pods seen."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pynetes.controllers import pods
from pynetes.controllers.deployment_rollout import scaled_value
from pynetes.controllers.revisions import HASH_LABEL
from pynetes.controllers.status import key_by_age
from pynetes.machinery import meta, node_affinity
from pynetes.machinery.meta import Obj
from pynetes.machinery.tolerations import untolerated

GENERATION_ANNOTATION = "deprecated.daemonset.template.generation"
GENERATION_LABEL = "pod-template-generation"

_ALWAYS_TOLERATED = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
_HOST_NETWORK_TOLERATED = (("node.kubernetes.io/network-unavailable", "NoSchedule"),)

ByNode = Mapping[str, Sequence[Obj]]


def tolerations(spec: Obj) -> list[Obj]:
    """The tolerations of a daemon pod with this pod spec."""
    result = [*(spec.get("tolerations") or [])]
    extra = _ALWAYS_TOLERATED + (_HOST_NETWORK_TOLERATED if spec.get("hostNetwork") else ())
    for key, effect in extra:
        toleration = {"key": key, "operator": "Exists", "effect": effect}
        if toleration not in result:
            result.append(toleration)
    return result


def should_run(daemons: Obj, node: Obj) -> tuple[bool, bool]:
    """Whether the node should get a pod, and whether one that it has may stay."""
    spec = daemons["spec"]["template"].get("spec") or {}
    if spec.get("nodeName") and spec["nodeName"] != meta.name(node):
        return False, False
    if not node_affinity.allows(spec, node):
        return False, False
    mine = tolerations(spec)
    taints = node.get("spec", {}).get("taints") or []
    if untolerated(mine, taints, ("NoSchedule", "NoExecute")):
        return False, not untolerated(mine, taints, ("NoExecute",))
    return True, True


def pinned(spec: Obj, node: str) -> Obj:
    """The pod spec with its node affinity narrowed to one node."""
    field_term = [{"key": "metadata.name", "operator": "In", "values": [node]}]
    affinity = meta.deep_copy(spec.get("affinity") or {})
    on_nodes = affinity.setdefault("nodeAffinity", {})
    required = on_nodes.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    # The labels were checked when the node was chosen; the scheduler only has to bring the pod there.
    terms = [{"matchFields": field_term} for _ in (required.get("nodeSelectorTerms") or [None])[:1]]
    on_nodes["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": terms}
    return {**spec, "affinity": affinity}


def target_node(pod: Obj) -> str:
    """The node that the pod is on or is meant for."""
    if pods.node_name(pod):
        return pods.node_name(pod)
    affinity = (pod.get("spec", {}).get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    for term in required.get("nodeSelectorTerms") or []:
        for requirement in term.get("matchFields") or []:
            values = requirement.get("values") or []
            if requirement.get("key") == "metadata.name" and requirement.get("operator") == "In" and len(values) == 1:
                return values[0]
    return ""


def new_pod(daemons: Obj, node: str, digest: str) -> Obj:
    """The pod for a node."""
    pod = pods.from_template(daemons["spec"]["template"], daemons)
    pod["metadata"]["labels"] = {**meta.labels(pod), HASH_LABEL: digest}
    generation = meta.annotations(daemons).get(GENERATION_ANNOTATION)
    if generation:
        pod["metadata"]["labels"][GENERATION_LABEL] = generation
    pod["spec"] = pinned({**pod["spec"], "tolerations": tolerations(pod["spec"])}, node)
    return pod


def is_updated(daemons: Obj, pod: Obj, digest: str) -> bool:
    """Whether the pod is of the current template."""
    generation = meta.annotations(daemons).get(GENERATION_ANNOTATION)
    labels = meta.labels(pod)
    by_generation = generation is not None and labels.get(GENERATION_LABEL) == generation
    return by_generation or (bool(digest) and labels.get(HASH_LABEL) == digest)


def fence(daemons: Obj, desired: int) -> tuple[int, int]:
    """maxSurge and maxUnavailable in nodes; never both 0."""
    rolling = daemons["spec"].get("updateStrategy", {}).get("rollingUpdate") or {}
    surge = scaled_value(rolling.get("maxSurge", 0), desired, round_up=True)
    unavailable = scaled_value(rolling.get("maxUnavailable", 1), desired, round_up=True)
    return (surge, unavailable) if surge or unavailable else (0, 1)


@dataclass(slots=True)
class Plan:
    """Nodes that need a pod, pods that must go, and pods that failed (with their nodes) to be told of."""

    create: list[str] = field(default_factory=list)
    delete: list[Obj] = field(default_factory=list)
    failed: list[tuple[str, Obj]] = field(default_factory=list)


def manage(daemons: Obj, nodes: Iterable[Obj], by_node: ByNode, digest: str, now: datetime) -> Plan:
    """One pod on each node that should have one, none elsewhere."""
    plan = Plan()
    names = set()
    nodes = [*nodes]
    surge = fence(daemons, len(nodes))[0] if is_rolling(daemons) else 0
    for node in nodes:
        name = meta.name(node)
        names.add(name)
        mine = by_node.get(name, ())
        wanted, may_stay = should_run(daemons, node)
        if wanted and not mine:
            plan.create.append(name)
        elif may_stay:
            _tidy(daemons, name, mine, surge, digest, now, plan)
        else:
            plan.delete += [pod for pod in mine if not meta.is_deleting(pod)]
    for name, mine in by_node.items():
        # A pod that was never placed and whose node is gone will never be.
        if name not in names:
            plan.delete += [pod for pod in mine if not pods.node_name(pod) and not meta.is_deleting(pod)]
    return plan


def _tidy(daemons: Obj, node: str, mine: Sequence[Obj], surge: int, digest: str, now: datetime, plan: Plan) -> None:
    running = []
    for pod in mine:
        if meta.is_deleting(pod):
            continue
        if pods.is_terminal(pod):
            plan.failed.append((node, pod))
        else:
            running.append(pod)
    if len(running) <= 1:
        return
    running.sort(key=key_by_age)
    if not surge:
        plan.delete += running[1:]
        return
    new = [pod for pod in running if is_updated(daemons, pod, digest)]
    old = [pod for pod in running if pod not in new]
    # While surging, the oldest old pod serves until the oldest new one is available.
    plan.delete += new[1:] + old[1:]
    min_ready = daemons["spec"].get("minReadySeconds", 0)
    if new and old and (pods.is_available(new[0], min_ready, now) or not pods.is_available(old[0], min_ready, now)):
        plan.delete.append(old[0])


def is_rolling(daemons: Obj) -> bool:
    """Whether old pods are replaced by the controller."""
    return daemons["spec"].get("updateStrategy", {}).get("type", "RollingUpdate") == "RollingUpdate"


def roll(daemons: Obj, nodes: Iterable[Obj], by_node: ByNode, digest: str, now: datetime) -> Plan:
    """The next step of a rolling update."""
    wanted = [meta.name(node) for node in nodes if should_run(daemons, node)[0]]
    surge, unavailable = fence(daemons, len(wanted))
    min_ready = daemons["spec"].get("minReadySeconds", 0)
    plan = Plan()
    broken: list[Obj] = []
    candidates: list[Obj] = []
    new_nodes: list[str] = []
    down = surging = 0
    for name in wanted:
        alive = [pod for pod in by_node.get(name, ()) if not meta.is_deleting(pod)]
        new = [pod for pod in alive if is_updated(daemons, pod, digest)]
        old = [pod for pod in alive if pod not in new]
        if len(new) > 1 or len(old) > 1:
            down += 1
            continue
        if surge:
            if old and not new:
                if pods.is_available(old[0], min_ready, now):
                    new_nodes.append(name)
                else:
                    plan.create.append(name)
            elif old and new:
                if pods.is_available(new[0], min_ready, now):
                    plan.delete.append(old[0])
                else:
                    surging += 1
        elif bool(old) == bool(new):
            down += 1
        elif new:
            down += not pods.is_available(new[0], min_ready, now)
        elif pods.is_available(old[0], min_ready, now):
            candidates.append(old[0])
        else:
            broken.append(old[0])
    if surge:
        plan.create += new_nodes[: max(0, surge - surging)]
    else:
        plan.delete += broken + candidates[: max(0, unavailable - down)]
    return plan


def calculate_status(daemons: Obj, nodes: Iterable[Obj], by_node: ByNode, digest: str, now: datetime) -> Obj:
    """The counts. Of several pods on a node the eldest counts, also while it ends: a surge is over when it is gone."""
    min_ready = daemons["spec"].get("minReadySeconds", 0)
    desired = current = misscheduled = ready = available = updated = 0
    for node in nodes:
        mine = sorted(by_node.get(meta.name(node), ()), key=lambda pod: (not pods.node_name(pod), key_by_age(pod)))
        if not should_run(daemons, node)[0]:
            misscheduled += bool(mine)
            continue
        desired += 1
        if not mine:
            continue
        current += 1
        ready += pods.is_ready(mine[0])
        available += pods.is_available(mine[0], min_ready, now)
        updated += is_updated(daemons, mine[0], digest)
    return {
        "currentNumberScheduled": current,
        "numberMisscheduled": misscheduled,
        "desiredNumberScheduled": desired,
        "numberReady": ready,
        "observedGeneration": daemons["metadata"].get("generation", 0),
        "updatedNumberScheduled": updated,
        "numberAvailable": available,
        "numberUnavailable": desired - available,
    }
