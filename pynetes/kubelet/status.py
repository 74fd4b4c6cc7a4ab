"""The pod's status as the API shows it: a pure function of the spec, what runs, and what went before.

`make_status` composes everything: container statuses with their last states, the phase, the conditions, addresses.
Nothing here waits, reads a file or asks the runtime; `pod.py` gathers the facts and reports the result.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pynetes.kubelet import spec
from pynetes.kubelet.observed import Container, PodView
from pynetes.kubelet.resources import qos_class
from pynetes.machinery import clock, meta
from pynetes.machinery.meta import Obj

CREATING = "ContainerCreating"
INITIALIZING = "PodInitializing"


@dataclass(slots=True)
class Readiness:
    """What the probes say of the running containers, by container id; absent means no probe has spoken."""

    ready: dict[str, bool] = field(default_factory=dict)
    started: dict[str, bool] = field(default_factory=dict)


@dataclass(slots=True)
class Facts:
    """Everything a status is made of."""

    pod: Obj
    view: PodView
    old: Obj  # the status reported before
    failures: dict[str, tuple[str, str]]  # container name → (reason, message) of a start that failed
    readiness: Readiness
    host_ips: list[str]
    runtime_name: str = "containerd"
    terminal: bool = False  # every container has ended for good
    finished: tuple[str, str, str] | None = (
        None  # phase, reason, message that were decided (evicted, past its deadline)
    )
    rejection: tuple[str, str] | None = None  # reason, message of a node that did not take the pod
    disruption: str = ""  # why the node ended the pod, if it did
    resizing: tuple[str, str, str] | None = None  # condition, reason and message of a resize under way
    restarting: bool = False  # all containers are on their way to start anew
    applied: Callable[[Container], Obj | None] = lambda container: None  # the resources in force
    allocated: Callable[[Obj], Obj] = lambda described: described.get("resources") or {}  # the resources promised
    pod_level: tuple[Obj | None, Obj | None] = (None, None)  # of the pod itself: resources in force, and promised


def make_status(facts: Facts) -> Obj:
    """The whole of `status`."""
    pod = facts.pod
    if facts.rejection is not None:
        return _rejected(facts, *facts.rejection)
    if spec.is_terminal(facts.old) and not facts.old.get("containerStatuses") and not facts.view.containers:
        return facts.old  # an earlier kubelet rejected it
    status: Obj = {"observedGeneration": pod["metadata"].get("generation", 0)}
    if not status["observedGeneration"]:
        del status["observedGeneration"]
    has_init = bool(spec.init_containers(pod))
    groups = {
        "initContainerStatuses": (spec.init_containers(pod), True, has_init),
        "containerStatuses": (spec.containers(pod), False, has_init),
        "ephemeralContainerStatuses": (spec.ephemeral_containers(pod), False, has_init),
    }
    for name, (containers, are_init, waits_for_init) in groups.items():
        old = {entry["name"]: entry for entry in facts.old.get(name) or []}
        entries = [_container_status(facts, c, are_init, waits_for_init, old.get(c["name"])) for c in containers]
        if name == "ephemeralContainerStatuses":
            entries = [e for e, c in zip(entries, containers, strict=True) if facts.view.latest(c["name"]) or e]
        if entries:
            status[name] = entries
    regular = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    status["phase"] = _phase(facts, regular)
    if facts.finished:
        status["phase"] = facts.finished[0]
        status |= {key: text for key, text in zip(("reason", "message"), facts.finished[1:], strict=True) if text}
    elif facts.old.get("reason") and spec.is_terminal(facts.old):
        status |= {key: facts.old[key] for key in ("reason", "message") if facts.old.get(key)}
    if spec.is_terminal(facts.old):
        status["phase"] = facts.old["phase"]
    status["conditions"] = _conditions(facts, status, regular)
    if _still_runs(facts, status["phase"]):
        status["phase"] = facts.old.get("phase") or "Pending"
        for key in ("reason", "message"):
            status.pop(key, None)
    status["qosClass"] = qos_class(pod)
    status["startTime"] = facts.old.get("startTime") or clock.timestamp()
    status |= _addresses(facts)
    return status | _pod_level(pod, *facts.pod_level)


def _still_runs(facts: Facts, phase: str) -> bool:
    """Whether a pod that is to end has yet to: its phase says so only when nothing of it runs any more."""
    over = phase in ("Succeeded", "Failed") and not spec.is_terminal(facts.old) and not facts.terminal
    return over and bool(facts.view.running())


def _pod_level(pod: Obj, applied: Obj | None = None, allocated: Obj | None = None) -> Obj:
    """The resources of the pod as a whole, for a pod that states some (KEP-2837)."""
    level = pod["spec"].get("resources") or {}
    now, promised = (level if given is None else given for given in (applied, allocated))
    amounts = {kind: now[kind] for kind in ("limits", "requests") if now.get(kind)}
    shown: Obj = {"resources": amounts} if amounts else {}
    return shown | ({"allocatedResources": promised["requests"]} if promised.get("requests") else {})


def _rejected(facts: Facts, reason: str, message: str) -> Obj:
    """The status of a pod that this node does not take: it has no containers, and no conditions."""
    return {
        "observedGeneration": facts.pod["metadata"].get("generation", 1),
        "phase": "Failed",
        "reason": reason,
        "message": f"Pod was rejected: {message}",
        "qosClass": qos_class(facts.pod),
        "startTime": facts.old.get("startTime") or clock.timestamp(),
    }


# Containers


def _container_status(facts: Facts, container: Obj, is_init: bool, has_init: bool, old: Obj | None) -> Obj:
    name = container["name"]
    latest = facts.view.latest(name)
    default = {"waiting": {"reason": INITIALIZING if has_init else CREATING}}
    status: Obj = {"name": name}
    if latest is None:
        status |= _unobserved(facts, container, is_init, default, old)
    else:
        previous = facts.view.previous(name)
        status["state"] = _state(latest, facts.runtime_name, default)
        status["lastState"] = _state(previous, facts.runtime_name, {}) if previous is not None else {}
        if previous is None and old and _ends_before(old, latest):
            status["lastState"] = old.get("lastState") or {}
        status |= {
            "image": latest.image or container.get("image", ""),
            "imageID": latest.image_ref,
            "restartCount": latest.restart_count,
            "containerID": f"{facts.runtime_name}://{latest.id}",
        }
        failure = facts.failures.get(name)
        if failure and not latest.running and _starts_again(facts, container, latest):
            if "terminated" in status["state"]:
                status["lastState"] = status["state"]
            status["state"] = _waiting(failure)
    status["ready"] = _is_ready(facts, container, is_init, status, latest)
    status["started"] = _is_started(facts, container, status, latest)
    return status | _details(facts, container, latest)


def _unobserved(facts: Facts, container: Obj, is_init: bool, default: Obj, old: Obj | None) -> Obj:
    """The state of a container the runtime knows nothing of: not yet started, or lost."""
    failure = facts.failures.get(container["name"])
    state = _waiting(failure) if failure else default
    last: Obj = {}
    restarts = 0
    kept: Obj = {}
    if old:
        restarts = old.get("restartCount", 0)
        last = old.get("lastState") or {}
        before = old.get("state") or {}
        if "terminated" in before and facts.restarting:
            last, restarts = before, restarts + bool(old.get("containerID"))
        elif "terminated" in before and (facts.terminal or spec.is_terminal(facts.old) or is_init or facts.finished):
            state = before
            kept = {key: old[key] for key in ("containerID",) if old.get(key)}
        elif "terminated" in before:
            last = before
        elif "running" in before:
            gone = "terminated" if facts.terminal else "deleted.  The container used to be Running"
            lost = {
                "reason": "ContainerStatusUnknown",
                "message": f"The container could not be located when the pod was {gone}",
                "exitCode": 137,
            }
            if facts.terminal or facts.finished:
                state = {"terminated": lost}
            else:
                last, restarts = {"terminated": lost}, restarts + 1
    return {
        "state": state,
        "lastState": last,
        "image": container.get("image", ""),
        "imageID": (old or {}).get("imageID", "") if kept else "",
        "restartCount": restarts,
    } | kept


def _waiting(failure: tuple[str, str]) -> Obj:
    reason, message = failure
    return {"waiting": {"reason": reason, "message": message} if message else {"reason": reason}}


def _state(container: Container, runtime_name: str, default: Obj) -> Obj:
    if container.running:
        return {"running": {"startedAt": _time(container.started_at)}}
    if container.state == "exited":
        terminated = {
            "exitCode": container.exit_code,
            "reason": container.reason or ("Completed" if container.exit_code == 0 else "Error"),
            "startedAt": _time(container.started_at),
            "finishedAt": _time(container.finished_at),
            "containerID": f"{runtime_name}://{container.id}",
        }
        return {"terminated": terminated | ({"message": container.message} if container.message else {})}
    return default


def _time(nanoseconds: int) -> str:
    return clock.format_time(datetime.fromtimestamp(max(nanoseconds, 0) // 1_000_000_000, UTC))


def _ends_before(old: Obj, latest: Container) -> bool:
    """Whether `old` speaks of the same instance, or of its start, so that its last state still holds."""
    if not old.get("containerID"):
        return old.get("restartCount", 0) == latest.restart_count
    return str(old["containerID"]).endswith(latest.id)


def _starts_again(facts: Facts, container: Obj, latest: Container) -> bool:
    if meta.is_deleting(facts.pod) or facts.terminal or facts.finished:
        return False
    if latest.state in ("created", "unknown"):
        return True
    return spec.restarts_after(facts.pod, container, latest.exit_code)


def _is_ready(facts: Facts, container: Obj, is_init: bool, status: Obj, latest: Container | None) -> bool:
    state = status["state"]
    if is_init and not spec.is_sidecar(container):
        terminated = state.get("terminated")
        return bool(terminated) and terminated.get("exitCode") == 0
    if "running" not in state or latest is None:
        return False
    return _is_started(facts, container, status, latest) and facts.readiness.ready.get(
        latest.id, not container.get("readinessProbe")
    )


def _is_started(facts: Facts, container: Obj, status: Obj, latest: Container | None) -> bool:
    if "running" not in status["state"] or latest is None:
        return False
    return facts.readiness.started.get(latest.id, not container.get("startupProbe"))


def _details(facts: Facts, container: Obj, latest: Container | None) -> Obj:
    """Resources and mounts, as they are in force."""
    details: Obj = {}
    resources = (facts.applied(latest) if latest is not None else None) or container.get("resources") or {}
    allocated = facts.allocated(container).get("requests")
    if allocated:
        details["allocatedResources"] = allocated
    if latest is not None and latest.running:
        details["resources"] = {key: resources[key] for key in ("limits", "requests") if resources.get(key)}
    if (container.get("lifecycle") or {}).get("stopSignal"):
        details["stopSignal"] = container["lifecycle"]["stopSignal"]
    volume_mounts = []
    for mount in container.get("volumeMounts") or []:
        entry = {"name": mount["name"], "mountPath": mount["mountPath"]}
        if mount.get("readOnly"):
            recursive = latest is not None and mount["mountPath"] in latest.recursive
            entry |= {"readOnly": True, "recursiveReadOnly": "Enabled" if recursive else "Disabled"}
        volume_mounts.append(entry)
    if volume_mounts:
        details["volumeMounts"] = volume_mounts
    return details


# Phase


def _phase(facts: Facts, statuses: list[Obj]) -> str:
    if facts.restarting and not facts.terminal:  # that nothing runs for a moment is no end
        return facts.old.get("phase") or "Pending"
    pod, by_name = facts.pod, {status["name"]: status for status in statuses}
    init = [(c, by_name.get(c["name"])) for c in spec.init_containers(pod)]
    pending = failed = 0
    for container, status in init:
        if spec.is_sidecar(container):
            continue
        state, last = _states(status)
        code = (state.get("terminated") or (last.get("terminated") if "waiting" in state else None) or {}).get(
            "exitCode"
        )
        if code is None:
            pending += 1
        elif code != 0:
            pending += "waiting" in state
            failed += spec.container_restart_policy(pod, container) == "Never" and not spec.restarts_after(
                pod, container, code
            )
    counts = dict.fromkeys(("unknown", "running", "waiting", "stopped", "succeeded"), 0)
    pending_sidecars = 0
    for container, status in init:
        if not spec.is_sidecar(container):
            continue
        state, last = _states(status)
        if "running" in state:
            counts["running"] += 1
            pending_sidecars += not (status or {}).get("started")
        elif "waiting" in state and "terminated" not in last:
            counts["waiting"] += 1
            pending_sidecars += 1
    restarts = False
    for container in spec.containers(pod):
        state, last = _states(by_name.get(container["name"]))
        if "running" in state:
            counts["running"] += 1
        elif "terminated" in state:
            code = state["terminated"].get("exitCode", 0)
            counts["stopped"] += 1
            counts["succeeded"] += code == 0
            restarts = restarts or spec.restarts_after(pod, container, code)
        elif "waiting" in state:
            counts["stopped" if "terminated" in last else "waiting"] += 1
            restarts = restarts or "terminated" in last
        else:
            counts["unknown"] += 1
    if failed:
        return "Failed"
    if pending or (pending_sidecars and not _any_app_started(pod, by_name)):
        return "Failed" if facts.terminal else "Pending"
    if counts["waiting"]:
        return "Failed" if facts.terminal else "Pending"
    if counts["running"] and not counts["unknown"]:
        if not facts.terminal:
            return "Running"
    if counts["stopped"] and not counts["unknown"] and not counts["running"]:
        if facts.terminal:
            return "Succeeded" if counts["stopped"] == counts["succeeded"] else "Failed"
        if restarts:
            return "Running"
        return "Succeeded" if counts["stopped"] == counts["succeeded"] else "Failed"
    return "Failed" if facts.terminal else "Pending"


def _states(status: Obj | None) -> tuple[Obj, Obj]:
    status = status or {}
    return status.get("state") or {}, status.get("lastState") or {}


def _any_app_started(pod: Obj, by_name: dict[str, Obj]) -> bool:
    for container in spec.containers(pod):
        state, last = _states(by_name.get(container["name"]))
        if "running" in state or "terminated" in state or "terminated" in last:
            return True
    return False


# Conditions


def _conditions(facts: Facts, status: Obj, statuses: list[Obj]) -> list[Obj]:
    pod, phase = facts.pod, status["phase"]
    by_name = {entry["name"]: entry for entry in statuses}
    sandbox = facts.view.sandbox
    has_sandbox = sandbox is not None and sandbox.ready and not facts.terminal
    containers_ready = _containers_ready(pod, by_name, phase)
    wanted = [
        ("PodReadyToStartContainers", has_sandbox, "", ""),
        ("Initialized", *_initialized(pod, by_name, phase)),
        ("Ready", *_pod_ready(facts, containers_ready)),
        ("ContainersReady", *containers_ready),
        ("PodScheduled", True, "", ""),
    ]
    if spec.may_restart_all(pod):
        wanted.append(("AllContainersRestarting", *_restarting(facts, phase)))
    if facts.disruption:
        wanted.append(("DisruptionTarget", True, "TerminationByKubelet", facts.disruption))
    if facts.resizing:
        wanted.append((facts.resizing[0], True, *facts.resizing[1:]))
    result = []
    for kind, true, reason, message in wanted:
        condition: Obj = {"type": kind, "status": "True" if true else "False"}
        if status.get("observedGeneration"):
            condition["observedGeneration"] = status["observedGeneration"]
        condition |= {key: text for key, text in (("reason", reason), ("message", message)) if text}
        old = meta.get_condition({"status": facts.old}, kind)
        same = old is not None and old.get("status") == condition["status"] and old.get("lastTransitionTime")
        condition["lastTransitionTime"] = old["lastTransitionTime"] if same and old else clock.timestamp()
        result.append(condition)
    return result


def _restarting(facts: Facts, phase: str) -> tuple[bool, str, str]:
    if phase in ("Succeeded", "Failed"):
        return False, "PodCompleted" if phase == "Succeeded" else "PodFailed", ""
    if facts.restarting:
        return True, "RestartAllContainersStarted", "container exited with restart policy rule"
    return False, "", ""


def _names(names: list[str]) -> str:
    return f"[{' '.join(names)}]"


def _join(unknown: list[str], known: list[str], what: str) -> str:
    parts = [f"containers with unknown status: {_names(unknown)}"] if unknown else []
    parts += [f"containers with {what} status: {_names(known)}"] if known else []
    return ", ".join(parts)


def _containers_ready(pod: Obj, by_name: dict[str, Obj], phase: str) -> tuple[bool, str, str]:
    relevant = [c for c in spec.init_containers(pod) if spec.is_sidecar(c)] + spec.containers(pod)
    unknown = [c["name"] for c in relevant if c["name"] not in by_name]
    unready = [c["name"] for c in relevant if c["name"] in by_name and not by_name[c["name"]].get("ready")]
    if phase == "Succeeded" and not unknown:
        return False, "PodCompleted", ""
    if phase == "Failed":
        return False, "PodFailed", ""
    message = _join(unknown, unready, "unready")
    return (False, "ContainersNotReady", message) if message else (True, "", "")


def _pod_ready(facts: Facts, containers_ready: tuple[bool, str, str]) -> tuple[bool, str, str]:
    if not containers_ready[0]:
        return containers_ready
    messages = []
    for gate in facts.pod["spec"].get("readinessGates") or []:
        kind = gate["conditionType"]
        condition = meta.get_condition(facts.pod, kind)
        if condition is None:
            messages.append(f'corresponding condition of pod readiness gate "{kind}" does not exist.')
        elif condition.get("status") != "True":
            messages.append(f'the status of pod readiness gate "{kind}" is not "True", but {condition.get("status")}')
    if messages:
        return False, "ReadinessGatesNotReady", ", ".join(messages)
    return True, "", ""


def _initialized(pod: Obj, by_name: dict[str, Obj], phase: str) -> tuple[bool, str, str]:
    unknown, incomplete = [], []
    for container in spec.init_containers(pod):
        status = by_name.get(container["name"])
        if status is None:
            unknown.append(container["name"])
        elif not status.get("started" if spec.is_sidecar(container) else "ready"):
            incomplete.append(container["name"])
    if phase == "Succeeded" and not unknown:
        return True, "PodCompleted", ""
    if _any_app_started(pod, by_name):
        return True, "", ""
    message = _join(unknown, incomplete, "incomplete")
    return (False, "ContainersNotInitialized", message) if message else (True, "", "")


# Addresses


def _addresses(facts: Facts) -> Obj:
    result: Obj = {}
    if facts.host_ips:
        result["hostIP"] = facts.host_ips[0]
        result["hostIPs"] = [{"ip": ip} for ip in facts.host_ips]
    ips: list[Any]
    if spec.host_network(facts.pod):
        ips = facts.host_ips if facts.view.sandbox is not None or facts.old.get("podIPs") else []
    else:
        ips = facts.view.sandbox.ips if facts.view.sandbox is not None else []
        ips = ips or [entry["ip"] for entry in facts.old.get("podIPs") or []]
    if ips:
        result["podIP"] = ips[0]
        result["podIPs"] = [{"ip": ip} for ip in ips]
    return result


def next_attempt(reported: Obj, name: str, latest: Container | None) -> int:
    """The restart count of the next instance of a container: one more than the last that ran or was reported."""
    if latest is not None:
        return latest.restart_count + 1
    for group in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for old in reported.get(group) or []:
            if old["name"] == name:
                return old.get("restartCount", 0) + bool(old.get("containerID"))
    return 0
