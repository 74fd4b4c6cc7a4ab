"""Where an old version tells the same in another form: the functions behind the table's rows.

Each pair changes an object (or a part of it) in place, there and back.
"""

from typing import Any

from pynetes.apis.legacy.changes import note, noted
from pynetes.apis.versions import autoscaling
from pynetes.machinery.meta import Obj

ROLLBACK = "deprecated.deployment.rollback.revision"
ZONE = "topology.kubernetes.io/zone"
RBAC = "rbac.authorization.k8s.io"
SERVING = "kubernetes.io/kubelet-serving"


# Deployments: a rollback was asked for in the spec.


def rollback_to_new(obj: Obj) -> None:
    """The revision asked for becomes upstream's annotation."""
    wanted = (obj.get("spec") or {}).pop("rollbackTo", None)
    if wanted is not None:
        note(obj, ROLLBACK, wanted.get("revision", 0))


def rollback_to_old(obj: Obj) -> None:
    """The annotation becomes `spec.rollbackTo`."""
    revision = noted(obj, ROLLBACK)
    if isinstance(revision, int):
        obj.setdefault("spec", {})["rollbackTo"] = {"revision": revision} if revision else {}


# Ingresses: a backend was a service's name and port.


def backend_to_new(backend: Obj) -> None:
    """`serviceName` and `servicePort` become `service`."""
    name, port = backend.pop("serviceName", None), backend.pop("servicePort", None)
    if name is None and port is None:
        return
    service: Obj = {} if name is None else {"name": name}
    if port is not None:
        service["port"] = {"number": port} if isinstance(port, int) else {"name": port}
    backend["service"] = service


def backend_to_old(backend: Obj) -> None:
    """`service` becomes `serviceName` and `servicePort`."""
    service = backend.pop("service", None)
    if service is None:
        return
    if "name" in service:
        backend["serviceName"] = service["name"]
    port = service.get("port") or {}
    if "number" in port or "name" in port:
        backend["servicePort"] = port.get("number", port.get("name"))


# Endpoint slices: where an endpoint is was a map of topology labels.


def topology_to_new(endpoint: Obj) -> None:
    """The zone has its own field; the rest is kept as `deprecatedTopology`."""
    topology = endpoint.pop("topology", None)
    if topology is None:
        return
    rest = {key: value for key, value in topology.items() if key != ZONE}
    if ZONE in topology:
        endpoint["zone"] = topology[ZONE]
    if rest:
        endpoint["deprecatedTopology"] = rest


def topology_to_old(endpoint: Obj) -> None:
    """Zone and `deprecatedTopology` make the map."""
    topology = dict(endpoint.pop("deprecatedTopology", None) or {})
    if (zone := endpoint.pop("zone", None)) is not None:
        topology[ZONE] = zone
    if topology:
        endpoint["topology"] = topology


# Subjects of v1alpha1 bindings: a group with its version.


def subject_to_new(subject: Obj) -> None:
    """`apiVersion` becomes `apiGroup`; the user `*` is every user."""
    api_version = subject.pop("apiVersion", None)
    if api_version:
        group = api_version.rpartition("/")[0]
        if group:
            subject["apiGroup"] = group
    if subject.get("kind") == "User" and subject.get("name") == "*":
        subject["kind"], subject["name"] = "Group", "system:authenticated"


def subject_to_old(subject: Obj) -> None:
    """`apiGroup` becomes `apiVersion`."""
    group = subject.pop("apiGroup", "")
    if group:
        subject["apiVersion"] = f"{group}/v1alpha1"
    elif subject.get("kind") == "ServiceAccount":
        subject["apiVersion"] = "v1"


# Runtime classes: v1alpha1 had a spec.

_RUNTIME_CLASS = (("runtimeHandler", "handler"), ("overhead", "overhead"), ("scheduling", "scheduling"))


def runtime_class_to_new(obj: Obj) -> None:
    """What the spec said stands beside it."""
    spec = obj.pop("spec", None) or {}
    obj.update({new: spec[old] for old, new in _RUNTIME_CLASS if old in spec})


def runtime_class_to_old(obj: Obj) -> None:
    """All of it makes the spec."""
    obj["spec"] = {old: obj.pop(new) for old, new in _RUNTIME_CLASS if new in obj}


# Autoscalers: in v2beta1 the numbers of a metric stood beside its name.


def metrics_to_new(obj: Obj) -> None:
    """Flat metrics get their `target` and `current`."""
    _each_metrics(obj, autoscaling.new_metric)


def metrics_to_old(obj: Obj) -> None:
    """`target` and `current` are flattened."""
    _each_metrics(obj, autoscaling.old_metric)


def _each_metrics(obj: Obj, convert: Any) -> None:
    for part, field, side in (("spec", "metrics", "target"), ("status", "currentMetrics", "current")):
        holder = obj.get(part) or {}
        if holder.get(field) is not None:
            holder[field] = [convert(metric, side) for metric in holder[field]]
