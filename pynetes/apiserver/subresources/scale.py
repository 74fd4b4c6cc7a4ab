"""The scale subresource: a workload seen only as a number of replicas.

Where the number stands is in the kind's `ScaleSpec`, as in a custom resource's definition, so one handler serves all.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pynetes.apis import printing
from pynetes.apis.registry import strategy_for
from pynetes.apis.strategy import ScaleSpec, Strategy
from pynetes.apiserver import bodies, negotiate, parameters, patch, present, writes
from pynetes.apiserver.registry import Resource
from pynetes.apiserver.request import Request, Response
from pynetes.apiserver.subresources import ANY, subresource
from pynetes.machinery import errors, meta, selectors, wire
from pynetes.machinery.meta import Obj
from pynetes.machinery.patches import fieldset, managers
from pynetes.machinery.patches.fieldset import FieldSet
from pynetes.machinery.resources import ResourceType

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer

SCALE = ResourceType("autoscaling", "v1", "scales", "Scale", "scale", namespaced=True)


class ScaleStrategy(Strategy):
    """What a table says of a Scale."""

    columns = (
        printing.NAME,
        printing.column("Desired", "integer", "How many replicas there shall be."),
        printing.column("Available", "integer", "How many replicas there are."),
        printing.AGE,
    )

    def row(self, obj: Obj) -> list[Any]:
        counts = (part.get("replicas") or 0 for part in (printing.spec(obj), printing.status(obj)))
        return [meta.name(obj), *counts, printing.age(obj)]


_AS_SCALE = Resource(SCALE, ScaleStrategy(SCALE), SCALE)
SCALED = ("deployments.apps", "replicasets.apps", "statefulsets.apps", "replicationcontrollers")


def get_path(obj: Obj, path: str) -> Any:
    """The value at a dotted path such as `.spec.replicas`; None if there is none."""
    value: Any = obj
    for field in path.strip(".").split("."):
        value = value.get(field) if isinstance(value, dict) else None
    return value


def set_path(obj: Obj, path: str, value: Any) -> None:
    """Set the value at a dotted path, making what is missing on the way."""
    *parents, last = path.strip(".").split(".")
    for field in parents:
        obj = obj.setdefault(field, {})
    obj[last] = value


def selector_text(selector: Any) -> str:
    """The selector's string form, from a LabelSelector, a plain map or a string."""
    if selector is None or isinstance(selector, str):
        return selector or ""
    if selector.keys() & {"matchLabels", "matchExpressions"}:
        return str(selectors.from_label_selector(selector))
    return str(selectors.from_labels(selector))


def scale_of(obj: Obj, spec: ScaleSpec) -> Obj:
    """The Scale that stands for the object."""
    own = obj["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    status: Obj = {"replicas": get_path(obj, spec.status_replicas_path) or 0}
    selector = selector_text(get_path(obj, spec.label_selector_path)) if spec.label_selector_path else ""
    if selector:
        status["selector"] = selector
    replicas = get_path(obj, spec.spec_replicas_path) or 0
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {field: own[field] for field in kept if field in own},
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


async def handle(request: Request, server: "ApiServer", rt: ResourceType, namespace: str, name: str) -> Response:
    """Read, replace or patch the scale of any kind whose strategy has one."""
    registry, info = server.registry, request.info
    assert info is not None
    resource = registry.resource(rt)
    spec = resource.strategy.scale or strategy_for(rt).scale
    assert spec is not None
    if info.verb == "get":
        obj = registry.get(rt, namespace, name)
        if obj is None:
            raise writes.not_found(resource, name)
        return _answer(request, scale_of(obj, spec))
    if info.verb == "update":
        ctx = parameters.context(request, "UpdateOptions")
        sent = bodies.decode_as(negotiate.body_json(request, "Scale"), SCALE, "autoscaling/v1", "Scale", ctx)
        bodies.check_name(sent, name, namespace)
        changer, applied = _replace(sent), False
    else:
        ctx = parameters.context(request, "PatchOptions")
        changer, applied = patch.change_of(request, _AS_SCALE, ctx)

    async def rescaled(old: Obj | None) -> Obj:
        assert old is not None
        seen = scale_of(old, spec)
        if applied:
            seen["metadata"]["managedFields"] = _managers_of_scale(old, spec)
        wanted = await changer(seen)
        _check(wanted, name)
        set_path(old, spec.spec_replicas_path, (wanted.get("spec") or {}).get("replicas") or 0)
        if applied:
            old["metadata"]["managedFields"] = _managers_of_parent(old, wanted, spec)
        for field in ("resourceVersion", "uid"):
            if (wanted.get("metadata") or {}).get(field):
                old["metadata"][field] = wanted["metadata"][field]
        return old

    written = await writes.update(
        registry,
        resource,
        namespace,
        name,
        rescaled,
        ctx,
        subresource="scale",
        retry=info.verb == "patch",
        applied=applied,
    )
    return _answer(request, scale_of(wire.decode(written.value), spec))


_REPLICAS_OF_SCALE = fieldset.of_paths(("f:spec", "f:replicas"))


def _replicas_of(spec: ScaleSpec) -> FieldSet:
    return fieldset.of_paths(tuple(f"f:{field}" for field in spec.spec_replicas_path.strip(".").split(".")))


def _managers_of_scale(obj: Obj, spec: ScaleSpec) -> list[Obj]:
    """Those of the object's managers who manage its number of replicas, as managers of the Scale."""
    known = managers.decode(obj["metadata"].get("managedFields") or [])
    replicas = _replicas_of(spec)
    return managers.encode(
        {
            who: replace(what, fields=_REPLICAS_OF_SCALE)
            for who, what in known.items()
            if fieldset.intersection(what.fields, replicas)
        }
    )


def _managers_of_parent(obj: Obj, scale: Obj, spec: ScaleSpec) -> list[Obj]:
    """The object's managers after its Scale was applied: the number is managed by those who manage it there."""
    replicas = _replicas_of(spec)
    now = {
        who: what
        for who, what in managers.decode(scale["metadata"].get("managedFields") or []).items()
        if fieldset.intersection(what.fields, _REPLICAS_OF_SCALE)
    }
    known = managers.decode(obj["metadata"].get("managedFields") or [])
    result = {who: what for who, what in known.items() if who in now} | managers.released(
        {who: what for who, what in known.items() if who not in now}, replicas
    )
    for who, what in now.items():
        before = result.get(who)
        fields = fieldset.union(before.fields, replicas) if before else replicas
        result[who] = replace(what, fields=fields, api_version=obj["apiVersion"])
    return managers.encode(result)


def _answer(request: Request, scale: Obj) -> Response:
    form = negotiate.accepted(request)
    include = present.include_policy(request.param("includeObject")) if form.transform == "Table" else "Metadata"
    pretty = negotiate.wants_pretty(request)
    body = present.one(_AS_SCALE, wire.encode(scale), form, pretty=pretty, include=include)
    return Response(200, {"Content-Type": form.content_type}, body)


def _replace(sent: Obj) -> writes.Change:
    async def replaced(old: Obj | None) -> Obj:
        return sent

    return replaced


def _check(scale: Obj, name: str) -> None:
    replicas = (scale.get("spec") or {}).get("replicas") or 0
    if replicas < 0:
        finding = errors.invalid_value("spec.replicas", replicas, "must be greater than or equal to 0")
        raise errors.invalid("autoscaling", "Scale", name, [finding])


for _kind in (*SCALED, ANY):
    subresource(_kind, "scale", verbs=("get", "update", "patch"))(handle)
