"""Facts about pods that several controllers decide by, and the way they create and delete them."""

from collections.abc import Mapping
from datetime import datetime

from pynetes.client.client import Client
from pynetes.client.events import EventRecorder
from pynetes.controllers.controller import is_namespace_terminating
from pynetes.machinery import clock, meta
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj

POD_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


def phase(pod: Obj) -> str:
    """`status.phase`."""
    return pod.get("status", {}).get("phase", "")


def is_terminal(pod: Obj) -> bool:
    """Whether its containers have ended for good."""
    return phase(pod) in ("Succeeded", "Failed")


def is_active(pod: Obj) -> bool:
    """Whether it counts as a replica: not ended, not being deleted."""
    return not is_terminal(pod) and not meta.is_deleting(pod)


def is_ready(pod: Obj) -> bool:
    """Whether the condition Ready is True."""
    return meta.is_condition_true(pod, "Ready")


def node_name(pod: Obj) -> str:
    """Where it is bound, or an empty string."""
    return pod.get("spec", {}).get("nodeName", "")


def seconds_until_available(pod: Obj, min_ready_seconds: int, now: datetime) -> float | None:
    """How long until the pod, staying ready, is available: 0 when it is; None when it is not ready."""
    condition = meta.get_condition(pod, "Ready")
    if condition is None or condition.get("status") != "True":
        return None
    if not min_ready_seconds:
        return 0.0
    since = condition.get("lastTransitionTime")
    if not since:
        return None
    return max(0.0, min_ready_seconds - (now - clock.parse_time(since)).total_seconds())


def is_available(pod: Obj, min_ready_seconds: int, now: datetime) -> bool:
    """Whether it has been ready for `min_ready_seconds`."""
    return seconds_until_available(pod, min_ready_seconds, now) == 0.0


def restarts(pod: Obj) -> int:
    """The most often restarted container's count, with restartable init containers."""
    statuses = pod.get("status", {}).get("containerStatuses") or []
    return max((status.get("restartCount", 0) for status in statuses), default=0)


def from_template(template: Mapping[str, object], owner: Obj) -> Obj:
    """The pod that `owner`'s template describes, controlled by `owner`."""
    wanted = meta.deep_copy(dict(template))
    given = wanted.get("metadata") or {}
    metadata: Obj = {
        "generateName": generate_name(meta.name(owner)),
        "namespace": meta.namespace(owner),
        "labels": given.get("labels") or {},
        "annotations": given.get("annotations") or {},
        "ownerReferences": [meta.owner_reference(owner)],
    }
    if given.get("finalizers"):
        metadata["finalizers"] = given["finalizers"]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": wanted.get("spec") or {}}


def generate_name(owner_name: str) -> str:
    """The prefix of generated names: the owner's and a dash, without the dash if that would be too long."""
    prefix = f"{owner_name}-"
    return prefix if len(prefix) <= 253 else owner_name


class PodControl:
    """Creates and deletes pods in the name of an owner, and says so in events on the owner."""

    def __init__(self, client: Client, events: EventRecorder) -> None:
        self._client = client
        self._events = events

    async def create(self, pod: Obj, owner: Obj) -> Obj:
        """Create `pod`; a failure is told (but not one because the namespace is going) and raised."""
        try:
            created = await self._client.create("pods", pod, meta.namespace(owner))
        except StatusError as error:
            if not is_namespace_terminating(error):
                self._events.event(owner, "Warning", "FailedCreate", f"Error creating: {error.message}")
            raise
        self._events.event(owner, "Normal", "SuccessfulCreate", f"Created pod: {meta.name(created)}")
        return created

    async def delete(self, pod: Obj, owner: Obj) -> None:
        """Delete `pod`, that very one; one that is gone already is fine."""
        if meta.is_deleting(pod):
            return
        try:
            await self._client.delete("pods", meta.name(pod), meta.namespace(pod), uid=meta.uid(pod))
        except StatusError as error:
            if error.code == 404:
                raise
            self._events.event(owner, "Warning", "FailedDelete", f"Error deleting: {error.message}")
            raise
        self._events.event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {meta.name(pod)}")


async def mark_disrupted(client: Client, pod: Obj, reason: str, message: str, phase: str | None = None) -> None:
    """Say in the pod's conditions why it is about to be deleted (and that it failed, if it still seemed to run)."""
    if meta.is_condition_true(pod, "DisruptionTarget") and phase is None:
        return
    condition = {
        "type": "DisruptionTarget",
        **meta.observed_by(pod),
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": clock.timestamp(),
    }
    status: Obj = {"conditions": [condition]}
    if phase is not None:
        status["phase"] = phase
    patch = {"metadata": {"uid": meta.uid(pod)}, "status": status}
    try:
        await client.patch("pods", meta.name(pod), patch, meta.namespace(pod), type="strategic", subresource="status")
    except StatusError as error:
        if error.code != 404:
            raise
