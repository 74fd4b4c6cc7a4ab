"""Binding a pod to its node: `pods/binding`, and the older `bindings` resource.

Only here does a pod get its `spec.nodeName` after it was made. The scheduler's decision stands once: a pod that has a
node, is going away or is gated cannot be bound.
"""

from typing import TYPE_CHECKING

from pynetes.apiserver import bodies, negotiate, parameters
from pynetes.apiserver.admission import Attributes
from pynetes.apiserver.registry import Context
from pynetes.apiserver.request import Request, Response
from pynetes.apiserver.subresources import subresource
from pynetes.machinery import errors, meta, resources
from pynetes.machinery.errors import FieldError
from pynetes.machinery.meta import Obj
from pynetes.machinery.resources import ResourceType

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer

PODS = resources.lookup("pods")
_BINDING = "io.k8s.api.core.v1.Binding"


@subresource("pods", "binding", verbs=("create",))
async def bind(request: Request, server: "ApiServer", rt: ResourceType, namespace: str, name: str) -> Response:
    """Bind the pod in the path."""
    ctx = parameters.context(request, "CreateOptions")
    binding = bodies.decode_as(negotiate.body_json(request, "Binding"), _BINDING, "v1", "Binding", ctx)
    metadata = binding.setdefault("metadata", {})
    if metadata.get("name", name) not in ("", name):
        raise errors.bad_request("name in URL does not match name in Binding object")
    metadata["name"], metadata["namespace"] = name, namespace
    return await _bind(request, server, binding, ctx)


@subresource("bindings", "", verbs=("create",))
async def bind_named(request: Request, server: "ApiServer", rt: ResourceType, namespace: str, name: str) -> Response:
    """Bind the pod that the binding is named after."""
    ctx = parameters.context(request, "CreateOptions")
    binding = bodies.decode_as(negotiate.body_json(request, "Binding"), _BINDING, "v1", "Binding", ctx)
    binding.setdefault("metadata", {})["namespace"] = namespace
    if not meta.name(binding):
        raise errors.bad_request("name is required")
    return await _bind(request, server, binding, ctx)


async def _bind(request: Request, server: "ApiServer", binding: Obj, ctx: Context) -> Response:
    namespace, name = meta.namespace(binding), meta.name(binding)
    attributes = Attributes(
        operation="CREATE",
        rt=PODS,
        subresource="binding",
        namespace=namespace,
        name=name,
        obj=binding,
        user=ctx.user,
        dry_run=ctx.dry_run,
        options=ctx.options,
    )
    await server.registry.admit(attributes, ctx)
    faults = validate(binding)
    if faults:
        raise errors.invalid("", "Binding", name, faults)
    await server.registry.validate(attributes, ctx)
    quiet = Context(ctx.user, ctx.dry_run, ctx.field_manager, skip_admission=True)
    await server.registry.update(PODS, namespace, name, lambda pod: assign(pod, binding), quiet, subresource="binding")
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
    return negotiate.object_response(request, status, 201)


def validate(binding: Obj) -> list[FieldError]:
    """A binding names a node."""
    target = binding.get("target") or {}
    found = []
    if target.get("kind") not in (None, "", "Node"):
        found.append(errors.not_supported("target.kind", target["kind"], ["Node", "<empty>"]))
    if not target.get("name"):
        found.append(errors.required("target.name"))
    return found


def assign(pod: Obj, binding: Obj) -> None:
    """Write the node into the pod; raises a 409 where that is too late or too early."""
    name, wanted = meta.name(pod), binding.get("metadata") or {}
    for field, called in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        asked, found = wanted.get(field), pod["metadata"].get(field)
        if asked and asked != found:
            detail = f"Precondition failed: {called} in precondition: {asked}, {called} in object meta: {found}"
            raise errors.conflict("", "pods", name, detail)
    spec = pod.setdefault("spec", {})
    if meta.is_deleting(pod):
        raise _refused(name, f"pod {name} is being deleted, cannot be assigned to a host")
    if spec.get("nodeName"):
        raise _refused(name, f"pod {name} is already assigned to node {errors.quote(spec['nodeName'])}")
    if spec.get("schedulingGates"):
        raise _refused(name, f"pod {name} has non-empty .spec.schedulingGates")
    spec["nodeName"] = (binding.get("target") or {}).get("name", "")
    if wanted.get("annotations"):
        pod["metadata"].setdefault("annotations", {}).update(wanted["annotations"])
    if wanted.get("labels"):
        pod["metadata"].setdefault("labels", {}).update(wanted["labels"])
    pod.get("status", {}).pop("nominatedNodeName", None)
    meta.set_condition(pod, "PodScheduled", "True", **meta.observed_by(pod))


def _refused(name: str, text: str) -> errors.StatusError:
    return errors.conflict("", "pods/binding", name, text)
