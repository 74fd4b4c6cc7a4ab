"""Reading a pod's spec: small questions the rest of the kubelet asks again and again."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from pynetes.machinery import meta
from pynetes.machinery.meta import Obj

STATIC_SOURCE = "kubernetes.io/config.source"
STATIC_MIRROR = "kubernetes.io/config.mirror"
RESTART_ALL = "RestartAllContainers"
STATIC_SEEN = "kubernetes.io/config.seen"
STATIC_HASH = "kubernetes.io/config.hash"


def describe(pod: Obj) -> str:
    """`name_namespace(uid)`, as upstream's messages name a pod."""
    return f"{meta.name(pod)}_{meta.namespace(pod)}({meta.uid(pod)})"


def init_containers(pod: Obj) -> list[Obj]:
    """`spec.initContainers`, sidecars included."""
    return pod["spec"].get("initContainers") or []


def containers(pod: Obj) -> list[Obj]:
    """`spec.containers`."""
    return pod["spec"].get("containers") or []


def ephemeral_containers(pod: Obj) -> list[Obj]:
    """`spec.ephemeralContainers`."""
    return pod["spec"].get("ephemeralContainers") or []


def all_containers(pod: Obj) -> Iterator[Obj]:
    """Every container of every kind."""
    yield from init_containers(pod)
    yield from containers(pod)
    yield from ephemeral_containers(pod)


def container_named(pod: Obj, name: str) -> Obj | None:
    """The container spec called `name`."""
    return next((container for container in all_containers(pod) if container["name"] == name), None)


def field_path(pod: Obj, name: str) -> str:
    """`spec.containers{name}`: what an event about a container points at."""
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        if any(container["name"] == name for container in pod["spec"].get(kind) or []):
            return f"spec.{kind}{{{name}}}"
    return ""


def is_sidecar(container: Obj) -> bool:
    """Whether an init container is to run beside the app containers (KEP-753)."""
    return container.get("restartPolicy") == "Always"


def restart_policy(pod: Obj) -> str:
    """The pod's own policy."""
    return pod["spec"].get("restartPolicy") or "Always"


def container_restart_policy(pod: Obj, container: Obj) -> str:
    """The container's policy where it has one (KEP-5307), else the pod's."""
    return container.get("restartPolicy") or restart_policy(pod)


def restart_action(container: Obj, exit_code: int) -> str:
    """What the first of the container's rules that fits the exit code asks for; empty if none fits."""
    for rule in container.get("restartPolicyRules") or []:
        codes = rule.get("exitCodes") or {}
        listed = exit_code in (codes.get("values") or [])
        if listed == (codes.get("operator") == "In"):
            return str(rule.get("action") or "")
    return ""


def may_restart_all(pod: Obj) -> bool:
    """Whether a container of the pod can make all of them start anew (KEP-5532)."""
    return any(
        rule.get("action") == RESTART_ALL
        for container in [*init_containers(pod), *containers(pod)]
        for rule in container.get("restartPolicyRules") or []
    )


def restarts_after(pod: Obj, container: Obj, exit_code: int) -> bool:
    """Whether a container that ended with `exit_code` is started again."""
    action = restart_action(container, exit_code)
    if action:
        return action in ("Restart", RESTART_ALL)
    policy = container_restart_policy(pod, container)
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def host_network(pod: Obj) -> bool:
    """Whether the pod lives in the node's network."""
    return bool(pod["spec"].get("hostNetwork"))


def grace_period(pod: Obj) -> float:
    """Seconds the pod's containers get to end: what the deletion says, else what the spec says."""
    deletion = pod.get("metadata", {}).get("deletionGracePeriodSeconds")
    if deletion is not None:
        return float(deletion)
    given = pod["spec"].get("terminationGracePeriodSeconds")
    return 30.0 if given is None else float(given)


def container_hash(container: Obj) -> str:
    """Changes exactly when a running container must be replaced: upstream hashes the name and the image."""
    facts = {"name": container["name"], "image": container.get("image", "")}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:8]


def security(pod: Obj, container: Obj, field: str, default: Any = None) -> Any:
    """A security field that containers may override: the container's value, else the pod's, else `default`."""
    for source in (container.get("securityContext"), pod["spec"].get("securityContext")):
        if source and source.get(field) is not None:
            return source[field]
    return default


def is_static(pod: Obj) -> bool:
    """Whether the pod comes from a manifest on this node and not from the API."""
    return meta.annotations(pod).get(STATIC_SOURCE, "api") != "api"


def is_mirror(pod: Obj) -> bool:
    """Whether this is the API's image of a static pod."""
    return STATIC_MIRROR in meta.annotations(pod)


def is_terminal(status: Obj) -> bool:
    """Whether the phase is a final one."""
    return status.get("phase") in ("Succeeded", "Failed")
