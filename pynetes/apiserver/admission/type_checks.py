"""Type checks of validating admission policies: expressions tried against the kinds that a policy names.

A policy may be written for kinds that are not there yet, so what is found does not refuse it: it is put into the
policy's status as warnings. Each generation is checked once; rules with wildcards name no kind that could be tried.
"""

import asyncio
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pynetes.apis.admissionregistration import scopes
from pynetes.apiserver.registry import Context, Registry, Resource
from pynetes.machinery import meta, resources
from pynetes.machinery.cel import CelError, checker, types
from pynetes.machinery.cel.types import DYN, Type
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj
from pynetes.machinery.schema import Field, Schema, schema

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer

POLICIES = resources.lookup("validatingadmissionpolicies.admissionregistration.k8s.io")
MOST_KINDS = 10
_MANAGER = "validatingadmissionpolicy-status-controller"
_SCALARS = {
    "string": types.STRING,
    "integer": types.INT,
    "number": types.DOUBLE,
    "boolean": types.BOOL,
    "time": types.TIMESTAMP,
}
_FORMATS = {"byte": types.BYTES, "date-time": types.TIMESTAMP, "date": types.TIMESTAMP, "duration": types.DURATION}
_METADATA = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


class TypeChecks:
    """Checks the policies it is told of, one after the other."""

    def __init__(self) -> None:
        self._due: asyncio.Queue[Obj] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    def start(self, server: "ApiServer") -> None:
        """Begin; needs a running event loop."""
        self._task = asyncio.create_task(self._work(server.registry), name="admission policy type checks")

    async def stop(self) -> None:
        """Stop checking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def consider(self, policy: Obj) -> None:
        """Have a policy checked, if this generation was not yet."""
        observed = (policy.get("status") or {}).get("observedGeneration", 0)
        if observed < policy["metadata"].get("generation", 1) and not meta.is_deleting(policy):
            self._due.put_nowait(policy)

    async def _work(self, registry: Registry) -> None:
        while True:
            policy = await self._due.get()
            found = warnings(policy, registry)
            generation = policy["metadata"].get("generation", 1)

            def change(live: Obj, found: list[Obj] = found, generation: int = generation) -> None:
                status = live.setdefault("status", {})
                status["observedGeneration"] = generation
                status["typeChecking"] = {"expressionWarnings": found} if found else {}

            try:
                context = Context(skip_admission=True, field_manager=_MANAGER)
                await registry.update(POLICIES, None, meta.name(policy), change, context, subresource="status")
            except StatusError:
                continue  # it is gone, or changed and comes again


def warnings(policy: Obj, registry: Registry) -> list[Obj]:
    """What does not work with the kinds that the policy is for: `expressionWarnings`."""
    spec = policy.get("spec") or {}
    kinds = list(itertools.islice(_kinds(spec, registry), MOST_KINDS))
    params = _params(spec, registry)
    found = []
    for index, validation in enumerate(spec.get("validations") or ()):
        for field in ("expression", "messageExpression"):
            text = validation.get(field)
            said = "\n".join(filter(None, (_complaint(text, spec, kind, params) for kind in kinds))) if text else ""
            if said:
                found.append({"fieldRef": f"spec.validations[{index}].{field}", "warning": said})
    return found


def _complaint(text: str, spec: Obj, resource: Resource, params: Type) -> str:
    """What is wrong with an expression for the objects of one kind, or nothing."""
    of_kind = _of_resource(resource)
    scope = scopes.with_variables(scopes.of_policy(spec, of_kind, params), spec.get("variables") or ())
    try:
        checker.check(text, scope)
    except CelError as error:
        return f"{resource.rt.group}/{resource.rt.version}, Kind={resource.rt.kind}: {error}"
    return ""


def _kinds(spec: Obj, registry: Registry) -> Iterator[Resource]:
    """The kinds that the policy's rules name, each once, in order."""
    seen: dict[tuple[str, str, str], Resource] = {}
    for rule in (spec.get("matchConstraints") or {}).get("resourceRules") or ():
        groups, versions, plurals = (rule.get(field) or () for field in ("apiGroups", "apiVersions", "resources"))
        for group, version, plural in itertools.product(groups, versions, plurals):
            resource = registry.find(group, version, plural) if "*" not in (group, version, plural) else None
            if resource is not None:
                seen[group, version, resource.rt.kind] = resource
    return iter([seen[key] for key in sorted(seen)])


def _params(spec: Obj, registry: Registry) -> Type:
    kind: dict[str, Any] = spec.get("paramKind") or {}
    wanted = (kind.get("apiVersion"), kind.get("kind"))
    found = next((each for each in registry if (each.rt.api_version, each.rt.kind) == wanted), None)
    return DYN if found is None else _of_resource(found)


# Types of whole kinds.


def _of_resource(resource: Resource) -> Type:
    shape = schema(resource.schema) if isinstance(resource.schema, str) else resource.schema
    if shape is None or shape.preserve_unknown:
        return DYN
    found = dict(_of_schema(shape, frozenset()).fields or {})
    if resource.custom is not None:
        found |= {"apiVersion": types.STRING, "kind": types.STRING}
        found["metadata"] = _of_schema(schema(_METADATA), frozenset())
    return Type("object", fields=found)


def _of_schema(shape: Schema, above: frozenset[str]) -> Type:
    return types.object_of({name: _of_field(field, above) for name, field in shape.fields.items()})


def _of_field(field: Field, above: frozenset[str]) -> Type:
    if field.type == "array":
        return types.list_of(_of_field(field.item, above) if field.item is not None else DYN)
    if field.type == "map":
        return types.map_of(_of_field(field.item, above) if field.item is not None else DYN)
    if field.type == "object" and field.schema is not None and field.ref not in above:
        if field.preserve_unknown or not field.schema.fields:
            return DYN
        return _of_schema(field.schema, above | {field.ref} if field.ref else above)
    if field.type == "string":
        return _FORMATS.get(field.format, types.STRING)
    return _SCALARS.get(field.type, DYN)
