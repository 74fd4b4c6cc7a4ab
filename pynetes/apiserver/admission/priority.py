"""Priority: a pod's priority and preemption policy are those of its PriorityClass, or of the default class."""

from typing import TYPE_CHECKING

from pynetes.apis.scheduling import SYSTEM_CLASSES
from pynetes.apiserver.admission import Attributes, Plugin
from pynetes.machinery import meta, resources
from pynetes.machinery.meta import Obj

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer

PRIORITY_CLASSES = resources.lookup("priorityclasses")
_COMPUTED = "priority admission controller computed {} from the given PriorityClass name"


class Priority(Plugin):
    """See the module."""

    name = "Priority"

    async def admit(self, attributes: Attributes, server: "ApiServer") -> None:
        pod, old = attributes.obj, attributes.old
        if pod is None or not attributes.is_for("pods", "CREATE", "UPDATE"):
            return
        spec = pod["spec"]
        if attributes.operation == "UPDATE":
            for field in ("priority", "preemptionPolicy"):
                kept = ((old or {}).get("spec") or {}).get(field)
                if spec.get(field) is None and kept is not None:
                    spec[field] = kept
            return
        name = spec.get("priorityClassName")
        if name:
            found = server.registry.get(PRIORITY_CLASSES, None, name)
            if found is None:
                raise attributes.forbidden(f"no PriorityClass with name {name} was found")
        else:
            found = default_class(server)
        if found is not None:
            spec["priorityClassName"] = meta.name(found)
        priority = (found or {}).get("value", 0)
        policy = (found or {}).get("preemptionPolicy") or "PreemptLowerPriority"
        if spec.get("priority") is not None and spec["priority"] != priority:
            raise attributes.forbidden(
                f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; "
                + _COMPUTED.format(priority)
            )
        if spec.get("preemptionPolicy") is not None and spec["preemptionPolicy"] != policy:
            raise attributes.forbidden(
                f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be provided in pod spec; "
                + _COMPUTED.format(policy)
            )
        spec["priority"], spec["preemptionPolicy"] = priority, policy

    async def validate(self, attributes: Attributes, server: "ApiServer") -> None:
        if attributes.is_for("priorityclasses.scheduling.k8s.io", "DELETE") and attributes.name in SYSTEM_CLASSES:
            raise attributes.forbidden("this is a system priority class and cannot be deleted")
        wanted = attributes.obj
        if wanted is None or not attributes.is_for("priorityclasses.scheduling.k8s.io", "CREATE", "UPDATE"):
            return
        if not wanted.get("globalDefault"):
            return
        present = default_class(server)
        if present is None:
            return
        if attributes.operation == "CREATE" or meta.name(present) != meta.name(wanted):
            raise attributes.forbidden(
                f"PriorityClass {meta.name(present)} is already marked as default. Only one default can exist"
            )


def default_class(server: "ApiServer") -> Obj | None:
    """The PriorityClass marked as global default; the lowest, should there be several."""
    marked = [entry for entry in server.registry.list(PRIORITY_CLASSES) if entry.get("globalDefault")]
    return min(marked, key=lambda entry: entry.get("value", 0), default=None)
