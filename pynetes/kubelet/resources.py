"""Requests and limits turned into the kernel's numbers: CPU shares and quota, memory, pids, OOM scores, QoS.

Pure functions of the pod's spec. The formulas are upstream's, for schedulers, monitors and users rely on them.
"""

from dataclasses import dataclass
from typing import Any, Literal

from pynetes._generated import cri_pb2 as cri
from pynetes.kubelet import spec
from pynetes.machinery import quantity
from pynetes.machinery.meta import Obj

MIN_SHARES, MAX_SHARES = 2, 262144
QUOTA_PERIOD = 100_000
MIN_QUOTA = 1000

Qos = Literal["Guaranteed", "Burstable", "BestEffort"]


def qos_class(pod: Obj) -> Qos:
    """The quality of service that the spec amounts to."""
    status: Qos | None = (pod.get("status") or {}).get("qosClass")
    if status:
        return status
    pod_level = pod["spec"].get("resources") or {}
    if pod_level.get("requests") or pod_level.get("limits"):
        return _qos_of([pod_level])
    return _qos_of([c.get("resources") or {} for c in [*spec.init_containers(pod), *spec.containers(pod)]])


def _qos_of(resources: list[Obj]) -> Qos:
    guaranteed, any_set = True, False
    for entry in resources:
        requests, limits = entry.get("requests") or {}, entry.get("limits") or {}
        for name in ("cpu", "memory"):
            limit, request = limits.get(name), requests.get(name, limits.get(name))
            any_set = any_set or bool(request and quantity.parse(request) != quantity.parse("0"))
            any_set = any_set or bool(limit and quantity.parse(limit) != quantity.parse("0"))
            if not limit or not request or quantity.parse(limit) != quantity.parse(request):
                guaranteed = False
    if not any_set:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def shares(milli_cpu: int) -> int:
    """CPU shares for a request in thousandths of a core."""
    return min(max(milli_cpu * 1024 // 1000, MIN_SHARES), MAX_SHARES) if milli_cpu else MIN_SHARES


def quota(milli_cpu: int) -> int:
    """Microseconds per period for a limit in thousandths of a core; 0 for no limit."""
    return max(milli_cpu * QUOTA_PERIOD // 1000, MIN_QUOTA) if milli_cpu else 0


def _milli(amounts: Obj, name: str) -> int:
    return quantity.milli(str(amounts[name])) if name in amounts else 0


def _value(amounts: Obj, name: str) -> int:
    return quantity.value(str(amounts[name])) if name in amounts else 0


def oom_score(pod: Obj, container: Obj, memory_capacity: int) -> int:
    """Who is killed first when the node runs out of memory."""
    if pod["spec"].get("priority", 0) >= 2_000_000_000:
        return -997
    qos = qos_class(pod)
    if qos == "Guaranteed":
        return -997
    if qos == "BestEffort":
        return 1000
    request = _memory_request(container)
    if spec.is_sidecar(container):  # it is not to go before the app that it serves
        request = max(request, min((_memory_request(app) for app in spec.containers(pod)), default=0))
    score = 1000 - (1000 * (request + _share_of_rest(pod))) // max(memory_capacity, 1)
    return min(max(int(score), 3), 999)


def _memory_request(container: Obj) -> int:
    return _value((container.get("resources") or {}).get("requests") or {}, "memory")


def _share_of_rest(pod: Obj) -> int:
    """What the pod asks for beyond its containers' requests, divided among them (KEP-2837)."""
    asked = _value((pod["spec"].get("resources") or {}).get("requests") or {}, "memory")
    containers = [*spec.init_containers(pod), *spec.containers(pod)]
    own = sum(_memory_request(container) for container in containers)
    return max(asked - own, 0) // max(len(containers), 1) if asked else 0


def container_resources(pod: Obj, container: Obj, memory_capacity: int) -> Any:
    """CRI's LinuxContainerResources for one container."""
    resources = container.get("resources") or {}
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    of_pod = (pod["spec"].get("resources") or {}).get("limits") or {}
    limits = {**{name: of_pod[name] for name in ("cpu", "memory") if name in of_pod}, **limits}
    request = _milli(requests, "cpu") if "cpu" in requests else _milli(limits, "cpu")
    return cri.LinuxContainerResources(
        cpu_shares=shares(request),
        cpu_period=QUOTA_PERIOD,
        cpu_quota=quota(_milli(limits, "cpu")),
        memory_limit_in_bytes=_value(limits, "memory"),
        oom_score_adj=oom_score(pod, container, memory_capacity),
        hugepage_limits=[
            cri.HugepageLimit(
                page_size=f"{name.removeprefix('hugepages-').removesuffix('i')}B", limit=_value(limits, name)
            )
            for name in limits
            if name.startswith("hugepages-")
        ],
    )


@dataclass(frozen=True, slots=True)
class PodLimits:
    """What the pod's own cgroup is set to; None leaves the kernel's default."""

    cpu_shares: int | None = None
    cpu_quota: int | None = None
    memory: int | None = None
    pids: int | None = None


def total(pod: Obj, kind: str, name: str, milli: bool) -> tuple[int, bool]:
    """The pod's sum over `requests` or `limits`, and whether every container states the amount.

    Sidecars count beside the app containers; other init containers run alone, so only the largest of them counts,
    together with the sidecars started before it.
    """
    pod_level = (pod["spec"].get("resources") or {}).get(kind) or {}
    read = _milli if milli else _value
    overhead = read(pod["spec"].get("overhead") or {}, name)
    if name in pod_level:
        return read(pod_level, name) + overhead, True
    complete, together, sidecars, peak = True, 0, 0, 0
    for container in spec.containers(pod):
        amounts = (container.get("resources") or {}).get(kind) or {}
        complete = complete and bool(read(amounts, name))
        together += read(amounts, name)
    for container in spec.init_containers(pod):
        amounts = (container.get("resources") or {}).get(kind) or {}
        amount = read(amounts, name)
        complete = complete and bool(amount)
        if spec.is_sidecar(container):
            sidecars += amount
            peak = max(peak, sidecars)
        else:
            peak = max(peak, sidecars + amount)
    return max(together + sidecars, peak) + overhead, complete


def pod_limits(pod: Obj, pids: int | None = None) -> PodLimits:
    """The numbers of the pod's cgroup, by its quality of service."""
    cpu_request, _ = total(pod, "requests", "cpu", milli=True)
    cpu_limit, cpu_complete = total(pod, "limits", "cpu", milli=True)
    memory_limit, memory_complete = total(pod, "limits", "memory", milli=False)
    qos = qos_class(pod)
    if qos == "BestEffort":
        return PodLimits(cpu_shares=MIN_SHARES, pids=pids)
    return PodLimits(
        cpu_shares=shares(cpu_request),
        cpu_quota=quota(cpu_limit) if cpu_complete and cpu_limit else None,
        memory=memory_limit if memory_complete and memory_limit else None,
        pids=pids,
    )
