"""What the Endpoints and the EndpointSlice controllers share: which pods a Service sends to, and on which ports."""

from collections.abc import Callable, Iterable
from typing import Any

from pynetes.client.informer import Informer
from pynetes.controllers import pods
from pynetes.machinery import meta
from pynetes.machinery.meta import Obj

LAST_CHANGE = "endpoints.kubernetes.io/last-change-trigger-time"
HEADLESS_LABEL = "service.kubernetes.io/headless"


def selects(service: Obj, pod: Obj) -> bool:
    """Whether the service has a selector and the pod matches it."""
    selector = service.get("spec", {}).get("selector")
    return bool(selector) and selector.items() <= meta.labels(pod).items()


def is_headless(service: Obj) -> bool:
    """Whether it has no cluster IP (also not yet)."""
    return service.get("spec", {}).get("clusterIP", "") in ("", "None")


def publishes_not_ready(service: Obj) -> bool:
    """`publishNotReadyAddresses`."""
    return bool(service.get("spec", {}).get("publishNotReadyAddresses"))


def pod_ips(pod: Obj) -> list[str]:
    """The pod's addresses."""
    status = pod.get("status", {})
    listed = [entry["ip"] for entry in status.get("podIPs") or [] if entry.get("ip")]
    return listed or [ip for ip in [status.get("podIP")] if ip]


def is_ipv6(address: str) -> bool:
    """Whether an address is of IPv6."""
    return ":" in address


def address_of(pod: Obj, *, ipv6: bool) -> str | None:
    """The pod's first address of that family."""
    return next((ip for ip in pod_ips(pod) if is_ipv6(ip) == ipv6), None)


def should_be_listed(pod: Obj, *, include_terminating: bool) -> bool:
    """Whether the pod belongs into the service's endpoints at all."""
    if not pod_ips(pod) or pods.is_terminal(pod):
        return False
    return include_terminating or not meta.is_deleting(pod)


def hostname(service: Obj, pod: Obj) -> str | None:
    """The pod's name in the service's DNS zone, if it has one there."""
    spec = pod.get("spec", {})
    return spec["hostname"] if spec.get("hostname") and spec.get("subdomain") == meta.name(service) else None


def find_port(pod: Obj, service_port: Obj) -> int | None:
    """The number of the pod's port that a service port targets; None if no container has a port of that name."""
    target = service_port.get("targetPort")
    if isinstance(target, int) and target:
        return target
    if not target:
        return service_port["port"]
    if target.isdigit():
        return int(target)
    spec = pod.get("spec", {})
    sidecars = [c for c in spec.get("initContainers") or [] if c.get("restartPolicy") == "Always"]
    protocol = service_port.get("protocol", "TCP")
    for container in [*(spec.get("containers") or []), *sidecars]:
        for port in container.get("ports") or []:
            if port.get("name") == target and port.get("protocol", "TCP") == protocol:
                return port["containerPort"]
    return None


def endpoint_ports(service: Obj, pod: Obj) -> list[Obj]:
    """The service's ports as this pod offers them, in the form both kinds of endpoints use."""
    found = []
    for service_port in service["spec"].get("ports") or []:
        number = find_port(pod, service_port)
        if number is None:
            continue
        port: Obj = {
            "name": service_port.get("name", ""),
            "protocol": service_port.get("protocol", "TCP"),
            "port": number,
        }
        if service_port.get("appProtocol"):
            port["appProtocol"] = service_port["appProtocol"]
        found.append(port)
    return found


def target_ref(pod: Obj) -> Obj:
    """The reference from an endpoint to its pod."""
    return {"kind": "Pod", "namespace": meta.namespace(pod), "name": meta.name(pod), "uid": meta.uid(pod)}


def _signature(pod: Obj) -> tuple[Any, ...]:
    """All of a pod that endpoints depend on."""
    spec = pod.get("spec", {})
    return (
        pod_ips(pod),
        spec.get("nodeName"),
        pods.is_ready(pod),
        meta.is_deleting(pod),
        pods.is_terminal(pod),
        spec.get("hostname"),
        spec.get("subdomain"),
        meta.labels(pod),
    )


def affected_services(services: Informer) -> Callable[[Obj | None, Obj | None], list[str]]:
    """A handler for pods: the services whose endpoints the change touches."""

    def keys(old: Obj | None, new: Obj | None) -> list[str]:
        if old is not None and new is not None and _signature(old) == _signature(new):
            return []
        present = [pod for pod in (old, new) if pod is not None]
        if not any(pod_ips(pod) for pod in present):
            return []
        return [
            meta.key(service)
            for service in services.list(meta.namespace(present[0]))
            if any(selects(service, pod) for pod in present)
        ]

    return keys


class TriggerTimes:
    """When what caused a change of a service's endpoints happened, for the annotation that measures us."""

    def __init__(self) -> None:
        self._services: dict[str, tuple[str, dict[str, str]]] = {}

    def observe(self, service: Obj, chosen: Iterable[Obj]) -> str | None:
        """The earliest change since the last call; None if there is none to tell."""
        times = {meta.key(pod): found for pod in chosen if (found := _pod_changed(pod)) is not None}
        created = service["metadata"].get("creationTimestamp", "")
        known = self._services.get(meta.key(service))
        self._services[meta.key(service)] = (meta.uid(service), times)
        if known is None or known[0] != meta.uid(service):
            return min(times.values(), default=created or None)
        changed = [moment for key, moment in times.items() if known[1].get(key, "") < moment]
        return min(changed, default=None)

    def forget(self, key: str) -> None:
        """The service is gone."""
        self._services.pop(key, None)


def _pod_changed(pod: Obj) -> str | None:
    condition = meta.get_condition(pod, "Ready")
    return condition.get("lastTransitionTime") if condition else None
