"""RuntimeClass: a pod takes over the overhead, node selector and tolerations of the runtime it names."""

from typing import TYPE_CHECKING, Any

from pynetes.apiserver.admission import Attributes, Plugin
from pynetes.machinery import quantity, resources
from pynetes.machinery.meta import Obj

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer

RUNTIME_CLASSES = resources.lookup("runtimeclasses")
_MISMATCH = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"


class RuntimeClass(Plugin):
    """See the module."""

    name = "RuntimeClass"

    async def admit(self, attributes: Attributes, server: "ApiServer") -> None:
        pod = attributes.obj
        if pod is None or not attributes.is_for("pods", "CREATE"):
            return
        runtime = _runtime_class(attributes, server, pod)
        if runtime is None:
            return
        spec = pod["spec"]
        overhead = (runtime.get("overhead") or {}).get("podFixed")
        if runtime.get("overhead"):
            if spec.get("overhead") is not None and not _same(spec["overhead"], overhead or {}):
                raise attributes.forbidden(_MISMATCH)
            spec["overhead"] = dict(overhead or {})
        scheduling = runtime.get("scheduling") or {}
        selector: dict[str, str] = spec.get("nodeSelector") or {}
        wanted: dict[str, str] = scheduling.get("nodeSelector") or {}
        for key in sorted(wanted):
            if key in selector and selector[key] != wanted[key]:
                raise attributes.forbidden(
                    f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {wanted[key]}; "
                    f"pod.spec.nodeSelector[{key}] = {selector[key]}"
                )
        if wanted:
            spec["nodeSelector"] = {**selector, **wanted}
        tolerations: list[dict[str, Any]] = spec.get("tolerations") or []
        added = [entry for entry in scheduling.get("tolerations") or () if entry not in tolerations]
        if added:
            spec["tolerations"] = tolerations + added

    async def validate(self, attributes: Attributes, server: "ApiServer") -> None:
        pod = attributes.obj
        if pod is None or not attributes.is_for("pods", "CREATE"):
            return
        runtime = _runtime_class(attributes, server, pod)
        overhead = pod["spec"].get("overhead")
        if runtime is not None and runtime.get("overhead"):
            if overhead is None or not _same(overhead, runtime["overhead"].get("podFixed") or {}):
                raise attributes.forbidden(_MISMATCH)
        elif overhead:
            raise attributes.forbidden(
                "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
            )


def _runtime_class(attributes: Attributes, server: "ApiServer", pod: Obj) -> Obj | None:
    name = pod["spec"].get("runtimeClassName")
    if name is None:
        return None
    found = server.registry.get(RUNTIME_CLASSES, None, name)
    if found is None:
        raise attributes.forbidden(f'pod rejected: RuntimeClass "{name}" not found')
    return found


def _same(one: dict[str, str], other: dict[str, str]) -> bool:
    return one.keys() == other.keys() and all(quantity.parse(one[key]) == quantity.parse(other[key]) for key in one)
