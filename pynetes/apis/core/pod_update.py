"""What may change in a pod once it is there: by a plain update, through its status, and while it is resized."""

import copy
import json
from typing import Any

from pynetes.apis.checks import Errors
from pynetes.apis.core.pod_resources import qos_class
from pynetes.machinery import names
from pynetes.machinery.meta import Obj

MUTABLE = (
    "`spec.containers[*].image`",
    "`spec.initContainers[*].image`",
    "`spec.activeDeadlineSeconds`",
    "`spec.tolerations` (only additions to existing tolerations)",
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
)


def update(errors: Errors, new_pod: Obj, old_pod: Obj) -> None:
    """The rules of a plain update."""
    new, old = new_pod.get("spec") or {}, old_pod.get("spec") or {}
    for kind in ("containers", "initContainers"):
        if len(new.get(kind) or []) != len(old.get(kind) or []):
            errors.forbidden(f"spec.{kind}", "pod updates may not add or remove containers")
            return
    _deadline(errors, new, old)
    _tolerations(errors, new.get("tolerations") or [], old.get("tolerations") or [])
    _gates(errors, new.get("schedulingGates") or [], old.get("schedulingGates") or [])
    munged = _munge(new, old)
    if old.get("schedulingGates"):
        _placement(errors, munged, old)
    if munged != old:
        errors.forbidden(
            "spec", f"pod updates may not change fields other than {','.join(MUTABLE)}\n{difference(old, munged)}"
        )


def _munge(new: Obj, old: Obj) -> Obj:
    """The new spec with every permitted change undone; anything still different was not permitted."""
    munged = copy.deepcopy(new)
    for kind in ("containers", "initContainers"):
        for mine, theirs in zip(munged.get(kind) or [], old.get(kind) or [], strict=True):
            mine["image"] = theirs.get("image")
    fields = ["activeDeadlineSeconds", "tolerations", "schedulingGates"]
    if (old.get("terminationGracePeriodSeconds") or 0) < 0 and new.get("terminationGracePeriodSeconds") == 1:
        fields.append("terminationGracePeriodSeconds")
    for field in fields:
        if field in old:
            munged[field] = old[field]
        else:
            munged.pop(field, None)
    return munged


def _placement(errors: Errors, munged: Obj, old: Obj) -> None:
    """A gated pod's node selector and required node affinity may be narrowed (KEP-3838); undoes what was judged."""
    before, after = old.get("nodeSelector") or {}, munged.get("nodeSelector") or {}
    if not before.items() <= after.items():
        text = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        errors.invalid("spec.nodeSelector", after, text)
    _put(munged, "nodeSelector", old.get("nodeSelector"))
    old_affinity, affinity = old.get("affinity") or {}, munged.get("affinity") or {}
    old_node, node = old_affinity.get("nodeAffinity"), affinity.get("nodeAffinity")
    if old_node != node:
        _node_affinity(errors, node or {}, old_node or {})
        kept = (
            {**affinity, "nodeAffinity": old_node}
            if old_node is not None
            else {field: value for field, value in affinity.items() if field != "nodeAffinity"}
        )
        _put(munged, "affinity", kept or old.get("affinity"))


def _node_affinity(errors: Errors, new: Obj, old: Obj) -> None:
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    path = f"spec.affinity.nodeAffinity.{required}.nodeSelectorTerms"
    before = (old.get(required) or {}).get("nodeSelectorTerms") or []
    after = (new.get(required) or {}).get("nodeSelectorTerms") or []
    if before and len(before) != len(after):
        text = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        errors.invalid(path, [_as_go_prints(term) for term in after], text)
        return
    for index, (wide, term) in enumerate(zip(before, after, strict=False)):
        if not _narrows(term, wide):
            text = "only additions are allowed (no mutations or deletions)"
            errors.invalid(f"{path}[{index}]", _as_go_prints(term), text)


def _narrows(new: Obj, old: Obj) -> bool:
    """Whether a term only got more requirements, after those it had; one that had none must stay so."""
    parts = [(old.get(part) or [], new.get(part) or []) for part in ("matchExpressions", "matchFields")]
    if not any(before for before, _ in parts):
        return not any(after for _, after in parts)
    return all(after[: len(before)] == before for before, after in parts)


def _as_go_prints(term: Obj) -> Obj:
    """A term in upstream's internal form, which is what its errors show."""

    def requirements(listed: list[Obj] | None) -> list[Obj] | None:
        if listed is None:
            return None
        return [
            {"Key": each.get("key", ""), "Operator": each.get("operator", ""), "Values": each.get("values")}
            for each in listed
        ]

    return {
        "MatchExpressions": requirements(term.get("matchExpressions")),
        "MatchFields": requirements(term.get("matchFields")),
    }


def _deadline(errors: Errors, new: Obj, old: Obj) -> None:
    path = "spec.activeDeadlineSeconds"
    before, after = old.get("activeDeadlineSeconds"), new.get("activeDeadlineSeconds")
    if after is not None:
        if before is not None and before < after:
            errors.invalid(path, after, "must be less than or equal to previous value")
    elif before is not None:
        errors.invalid(path, after, "must not update from a positive integer to nil value")


def _tolerations(errors: Errors, new: list[Obj], old: list[Obj]) -> None:
    kept = [_without_seconds(each) for each in new]
    if any(_without_seconds(each) not in kept for each in old):
        errors.forbidden(
            "spec.tolerations",
            "existing toleration can not be modified except its tolerationSeconds",
        )


def _without_seconds(toleration: Obj) -> Obj:
    return {field: value for field, value in toleration.items() if field != "tolerationSeconds"}


def _gates(errors: Errors, new: list[Obj], old: list[Obj]) -> None:
    known = {gate.get("name") for gate in old}
    for index, gate in enumerate(new):
        name = gate.get("name", "")
        if name not in known:
            text = f"only deletion is allowed, but found new scheduling gate '{name}'"
            errors.forbidden(f"spec.schedulingGates[{index}].name", text)


def difference(old: Any, new: Any, path: str = "") -> str:
    """Where two values differ, a line for each place: `- .image: "a"`, `+ .image: "b"`."""
    if isinstance(old, dict) and isinstance(new, dict):
        parts = [
            difference(old.get(key), new.get(key), f"{path}.{key}")
            for key in sorted(old.keys() | new.keys())
            if old.get(key) != new.get(key)
        ]
        return "\n".join(parts)
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        parts = [
            difference(a, b, f"{path}[{index}]") for index, (a, b) in enumerate(zip(old, new, strict=True)) if a != b
        ]
        return "\n".join(parts)
    return f"- {path}: {json.dumps(old)}\n+ {path}: {json.dumps(new)}"


def status(errors: Errors, new: Obj, old: Obj) -> None:
    """The rules of a status update."""
    new_spec, old_spec = new.get("spec") or {}, old.get("spec") or {}
    after, before = new.get("status") or {}, old.get("status") or {}
    if new_spec.get("nodeName") != old_spec.get("nodeName"):
        errors.forbidden("status.nodeName", "may not be changed directly")
    nominated = after.get("nominatedNodeName")
    if nominated:
        errors.check("status.nominatedNodeName", nominated, names.dns1123_subdomain(nominated))
    if before.get("qosClass") and after.get("qosClass") and before["qosClass"] != after["qosClass"]:
        errors.invalid("status.qosClass", after["qosClass"], "field is immutable")
    _terminated_stays(errors, after, before, old_spec)
    for index, condition in enumerate(after.get("conditions") or []):
        kind = condition.get("type", "")
        if "." in kind or "/" in kind:
            errors.check(f"status.conditions[{index}].type", kind, names.qualified_name(kind))
    for index, each in enumerate(after.get("podIPs") or []):
        errors.check(f"status.podIPs[{index}]", each.get("ip", ""), names.ip(each.get("ip", "")))


def _terminated_stays(errors: Errors, after: Obj, before: Obj, spec: Obj) -> None:
    """A container that ended for good cannot come back to life; one that its rules restart can (KEP-5307, KEP-5532)."""
    containers = {each.get("name"): each for each in spec.get("containers") or []}
    if any(_restarts_all(each) for each in [*containers.values(), *(spec.get("initContainers") or [])]):
        return
    now = {each.get("name"): each for each in after.get("containerStatuses") or []}
    for index, each in enumerate(before.get("containerStatuses") or []):
        ended = (each.get("state") or {}).get("terminated")
        default = spec.get("restartPolicy") or "Always"
        if ended is None or _restarts(containers.get(each.get("name")) or {}, default, ended.get("exitCode", 0)):
            continue
        current = now.get(each.get("name"))
        if current is not None and (current.get("state") or {}).get("terminated") is None:
            path = f"status.containerStatuses[{index}].state"
            errors.forbidden(path, "may not be transitioned to non-terminated state")


def _restarts_all(container: Obj) -> bool:
    return any(rule.get("action") == "RestartAllContainers" for rule in container.get("restartPolicyRules") or [])


def _restarts(container: Obj, default: str, code: int) -> bool:
    """Whether a container that ended with `code` is started again: the first rule that fits, else the policy."""
    for rule in container.get("restartPolicyRules") or []:
        codes = rule.get("exitCodes") or {}
        if (code in (codes.get("values") or [])) == (codes.get("operator") == "In"):
            return rule.get("action") == "Restart"
    policy = container.get("restartPolicy") or default
    return policy == "Always" or (policy == "OnFailure" and code != 0)


# Subresources.


def keep_all_but_ephemeral(new: Obj, old: Obj) -> None:
    """Of what was sent, only the ephemeral containers count."""
    sent = (new.get("spec") or {}).get("ephemeralContainers")
    for field in (new.keys() | old.keys()) - {"metadata"}:
        if field in old:
            new[field] = copy.deepcopy(old[field])
        else:
            new.pop(field, None)
    _put(new["spec"], "ephemeralContainers", sent)


def ephemeral_containers(errors: Errors, new: Obj, old: Obj) -> None:
    """Ephemeral containers are added, never changed or taken away."""
    now = {each.get("name"): each for each in new["spec"].get("ephemeralContainers") or []}
    for each in (old.get("spec") or {}).get("ephemeralContainers") or []:
        name = each.get("name", "")
        path = "spec.ephemeralContainers"
        if name not in now:
            errors.forbidden(path, f'existing ephemeral containers "{name}" may not be removed\n')
        elif now[name] != each:
            errors.forbidden(
                path, f'existing ephemeral containers "{name}" may not be changed\n{difference(each, now[name])}'
            )


def keep_all_but_resources(new: Obj, old: Obj) -> None:
    """Of what was sent, only the containers' resources count."""
    sent = new.get("spec") or {}
    pod_level = sent.get("resources")
    for field in (new.keys() | old.keys()) - {"metadata"}:
        if field in old:
            new[field] = copy.deepcopy(old[field])
        else:
            new.pop(field, None)
    for kind in ("containers", "initContainers"):
        held, wanted = new["spec"].get(kind) or [], sent.get(kind) or []
        if len(held) != len(wanted):
            _put(new["spec"], kind, wanted or None)  # only to be refused
            continue
        for container, asked in zip(held, wanted, strict=True):
            container["name"] = asked.get("name")
            _put(container, "resources", asked.get("resources"))
            _put(container, "resizePolicy", asked.get("resizePolicy") or container.get("resizePolicy"))
    if pod_level is not None:
        new["spec"]["resources"] = pod_level


def _put(holder: Obj, field: str, value: Any) -> None:
    if value is None:
        holder.pop(field, None)
    else:
        holder[field] = value


_RESIZABLE = ("cpu", "memory")


def resize(errors: Errors, new: Obj, old: Obj) -> None:
    """CPU and memory may change; the QoS class may not, and a limit may not be taken away."""
    before_class = (old.get("status") or {}).get("qosClass") or qos_class(old.get("spec") or {})
    after_class = qos_class(new.get("spec") or {})
    if before_class != after_class:
        errors.invalid("spec", before_class, "Pod QOS Class may not change as a result of resizing")
    _amounts(errors, new["spec"].get("resources") or {}, old["spec"].get("resources") or {}, "spec.resources")
    for kind in ("containers", "initContainers"):
        listed, held = new["spec"].get(kind) or [], old["spec"].get(kind) or []
        if len(listed) != len(held):
            errors.forbidden(f"spec.{kind}", "containers may not be added or removed on resize")
            continue
        for index, (after, before) in enumerate(zip(listed, held, strict=True)):
            if after.get("name") != before.get("name"):
                path = f"spec.{kind}[{index}].name"
                errors.forbidden(path, "containers may not be renamed or reordered on resize")
            _resized(errors, after, before, f"spec.{kind}[{index}].resources", kind)


def _resized(errors: Errors, after: Obj, before: Obj, path: str, kind: str) -> None:
    new, old = after.get("resources") or {}, before.get("resources") or {}
    if new == old:
        return
    if kind == "initContainers" and before.get("restartPolicy") != "Always":
        errors.forbidden(path, "resources for non-sidecar init containers are immutable")
        return
    _amounts(errors, new, old, path)


def _amounts(errors: Errors, new: Obj, old: Obj, path: str) -> None:
    """CPU and memory may change; nothing may be taken away."""
    for side in ("limits", "requests"):
        now, then = new.get(side) or {}, old.get(side) or {}
        fixed = {
            name for name in now.keys() | then.keys() if name not in _RESIZABLE and now.get(name) != then.get(name)
        }
        if fixed:
            errors.forbidden("spec", "only cpu and memory resources are mutable")
        for name in _RESIZABLE:
            if name in then and name not in now:
                errors.forbidden(f"{path}.{side}", f"resource {side} cannot be removed")
                break
