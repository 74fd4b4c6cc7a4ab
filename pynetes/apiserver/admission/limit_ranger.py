"""LimitRanger: defaults and bounds for what containers, pods and claims of a namespace may ask for."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pynetes.apiserver.admission import Attributes, Plugin
from pynetes.machinery import errors, meta, resources
from pynetes.machinery.meta import Obj
from pynetes.machinery.pod_totals import Amounts, amounts, pod_total
from pynetes.machinery.quantity import Quantity

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer

LIMIT_RANGES = resources.lookup("limitranges")
ANNOTATION = "kubernetes.io/limit-ranger"


class LimitRanger(Plugin):
    """See the module."""

    name = "LimitRanger"

    async def admit(self, attributes: Attributes, server: "ApiServer") -> None:
        if attributes.obj is None or not attributes.is_for("pods", "CREATE"):
            return
        for limit_range in _ranges(attributes, server):
            apply_defaults(attributes.obj, limit_range)

    async def validate(self, attributes: Attributes, server: "ApiServer") -> None:
        obj = attributes.obj
        if obj is None:
            return
        pods = attributes.is_for("pods", "CREATE") or attributes.is_for("pods", "UPDATE", subresource="resize")
        claims = attributes.is_for("persistentvolumeclaims", "CREATE", "UPDATE")
        if not (pods or claims) or meta.is_deleting(obj):
            return
        check = pod_violations if pods else claim_violations
        for limit_range in _ranges(attributes, server):
            found = list(check(obj, limit_range))
            if found:
                raise attributes.forbidden(errors.aggregate(found))


def _ranges(attributes: Attributes, server: "ApiServer") -> list[Obj]:
    return server.registry.list(LIMIT_RANGES, attributes.namespace)


def _items(limit_range: Obj, kind: str) -> Iterator[dict[str, Any]]:
    for item in (limit_range.get("spec") or {}).get("limits") or ():
        if item.get("type") == kind:
            yield item


def apply_defaults(pod: Obj, limit_range: Obj) -> None:
    """Fill in the requests and limits that containers leave out, and say so in an annotation."""
    defaults: dict[str, dict[str, str]] = {"requests": {}, "limits": {}}
    for item in _items(limit_range, "Container"):
        defaults["requests"] |= item.get("defaultRequest") or {}
        defaults["limits"] |= item.get("default") or {}
    notes = [
        note
        for field, word in (("initContainers", "init container"), ("containers", "container"))
        for container in pod["spec"].get(field) or ()
        for note in _merge(container, defaults, word)
    ]
    if notes:
        annotations = pod["metadata"].setdefault("annotations", {})
        annotations[ANNOTATION] = "LimitRanger plugin set: " + "; ".join(notes)


def _merge(container: dict[str, Any], defaults: dict[str, dict[str, str]], word: str) -> Iterator[str]:
    for field in ("requests", "limits"):
        present = (container.get("resources") or {}).get(field) or {}
        missing = {name: value for name, value in defaults[field].items() if name not in present}
        if missing:
            container.setdefault("resources", {})[field] = {**present, **missing}
            yield f"{', '.join(sorted(missing))} {field[:-1]} for {word} {container['name']}"


def pod_violations(pod: Obj, limit_range: Obj) -> Iterator[str]:
    """Everything in a pod that is out of bounds."""
    spec = pod["spec"]
    for item in (limit_range.get("spec") or {}).get("limits") or ():
        if item.get("type") == "Container":
            for field in ("containers", "initContainers"):
                for container in spec.get(field) or ():
                    asked = container.get("resources") or {}
                    requests, limits = amounts(asked.get("requests")), amounts(asked.get("limits"))
                    yield from _bounds("Container", item, requests, limits)
        elif item.get("type") == "Pod":
            requests = pod_total(spec, "requests", overhead=False)
            yield from _bounds("Pod", item, requests, pod_total(spec, "limits", overhead=False))


def claim_violations(claim: Obj, limit_range: Obj) -> Iterator[str]:
    """Everything in a claim that is out of bounds."""
    requests = amounts(((claim.get("spec") or {}).get("resources") or {}).get("requests"))
    kind = "PersistentVolumeClaim"
    for item in _items(limit_range, kind):
        for name, bound in sorted(amounts(item.get("min")).items()):
            yield from _minimum(kind, name, bound, requests, {})
        for name, bound in sorted(amounts(item.get("max")).items()):
            said = f"maximum {name} usage per {kind} is {bound}"
            if name not in requests:
                yield f"{said}.  No request is specified"
            elif requests[name] > bound:
                yield f"{said}, but request is {requests[name]}"


def _bounds(kind: str, item: dict[str, Any], requests: Amounts, limits: Amounts) -> Iterator[str]:
    for name, bound in sorted(amounts(item.get("min")).items()):
        yield from _minimum(kind, name, bound, requests, limits)
    for name, bound in sorted(amounts(item.get("max")).items()):
        yield from _maximum(kind, name, bound, requests, limits)
    for name, bound in sorted(amounts(item.get("maxLimitRequestRatio")).items()):
        yield from _ratio(kind, name, bound, requests, limits)


def _minimum(kind: str, name: str, bound: Quantity, requests: Amounts, limits: Amounts) -> Iterator[str]:
    said = f"minimum {name} usage per {kind} is {bound}"
    if name not in requests:
        yield f"{said}.  No request is specified"
    elif requests[name] < bound:
        yield f"{said}, but request is {requests[name]}"
    elif name in limits and limits[name] < bound:
        yield f"{said}, but limit is {limits[name]}"


def _maximum(kind: str, name: str, bound: Quantity, requests: Amounts, limits: Amounts) -> Iterator[str]:
    said = f"maximum {name} usage per {kind} is {bound}"
    if name not in limits:
        yield f"{said}.  No limit is specified"
    elif limits[name] > bound:
        yield f"{said}, but limit is {limits[name]}"
    elif name in requests and requests[name] > bound:
        yield f"{said}, but request is {requests[name]}"


def _ratio(kind: str, name: str, bound: Quantity, requests: Amounts, limits: Amounts) -> Iterator[str]:
    said = f"{name} max limit to request ratio per {kind} is {bound}"
    if name not in requests or not requests[name]:
        yield f"{said}, but no request is specified or request is 0"
    elif name not in limits or not limits[name]:
        yield f"{said}, but no limit is specified or limit is 0"
    else:
        ratio = limits[name].milli / requests[name].milli
        if ratio * 1000 > bound.milli:
            yield f"{said}, but provided ratio is {ratio:f}"
