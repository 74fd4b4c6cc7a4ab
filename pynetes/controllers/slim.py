"""Pods as the controllers' cache keeps them: only what some controller decides by.

A cluster has far more pods than anything else, and most of a pod (environment, mounts, probes, image digests) concerns
its kubelet alone. Leaving it out, and letting pods of one template share what they have in common, makes a cached pod
several times smaller. A slim pod must never be written back whole; controllers patch pods.
"""

from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec

from pynetes.machinery.meta import Obj

T = TypeVar("T")

_SPEC = (
    "nodeName",
    "hostname",
    "subdomain",
    "restartPolicy",
    "activeDeadlineSeconds",
    "priorityClassName",
    "overhead",
    "resources",
    "affinity",
)
_CONTAINER = ("name", "ports", "resources", "restartPolicy")
_STATUS = ("phase", "reason", "podIP", "podIPs", "startTime")
_CONDITION = ("type", "status", "reason", "lastTransitionTime")
_DROPPED_ANNOTATIONS = frozenset({"kubectl.kubernetes.io/last-applied-configuration"})
_SHARED_LIMIT = 20_000

_encode = msgspec.json.Encoder().encode
_shared: dict[bytes, Any] = {}


def share(value: T) -> T:
    """An equal value that others may hold too; nobody may change it."""
    key = _encode(value)
    found = _shared.get(key)
    if found is None:
        if len(_shared) >= _SHARED_LIMIT:
            _shared.clear()
        found = _shared[key] = value
    return found


def _only(source: Obj, fields: Iterable[str]) -> Obj:
    return {field: source[field] for field in fields if field in source}


def slim_pod(pod: Obj) -> Obj:
    """The pod less what no controller looks at."""
    return {
        "apiVersion": pod["apiVersion"],
        "kind": pod["kind"],
        "metadata": _metadata(pod["metadata"]),
        "spec": _spec(pod.get("spec") or {}),
        "status": _status(pod.get("status") or {}),
    }


def _metadata(metadata: Obj) -> Obj:
    kept = {k: v for k, v in metadata.items() if k not in ("managedFields", "annotations", "generateName")}
    for field in ("labels", "ownerReferences", "finalizers"):
        if field in kept:
            kept[field] = share(kept[field])
    annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if k not in _DROPPED_ANNOTATIONS}
    return {**kept, "annotations": annotations} if annotations else kept


def _spec(spec: Obj) -> Obj:
    kept = _only(spec, _SPEC)
    if spec.get("tolerations"):
        kept["tolerations"] = share(spec["tolerations"])
    for field in ("containers", "initContainers"):
        if spec.get(field):
            kept[field] = share([_only(container, _CONTAINER) for container in spec[field]])
    volumes = [
        _only(volume, ("name", "persistentVolumeClaim", "ephemeral"))
        for volume in spec.get("volumes") or []
        if volume.get("persistentVolumeClaim") or volume.get("ephemeral")
    ]
    return {**kept, "volumes": volumes} if volumes else kept


def _status(status: Obj) -> Obj:
    kept = _only(status, _STATUS)
    if status.get("conditions"):
        kept["conditions"] = [share(_only(condition, _CONDITION)) for condition in status["conditions"]]
    for field in ("containerStatuses", "initContainerStatuses"):
        if status.get(field):
            kept[field] = share([_container_status(each) for each in status[field]])
    return kept


def _container_status(status: Obj) -> Obj:
    kept = _only(status, ("name", "restartCount"))
    ended = (status.get("state") or {}).get("terminated")
    if ended:
        kept["state"] = {"terminated": _only(ended, ("exitCode", "finishedAt"))}
    return kept
