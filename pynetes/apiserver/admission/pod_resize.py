"""PodResizeValidator: a resize that the pod's node could never give is refused at once (KEP-1287).

What does not fit only now is the kubelet's to say: it defers the resize.
"""

from typing import TYPE_CHECKING

from pynetes.apiserver.admission import Attributes, Plugin
from pynetes.machinery import pod_totals, quantity, resources
from pynetes.machinery.errors import StatusError

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer

NODES = resources.lookup("nodes")


class PodResizeValidator(Plugin):
    """See the module."""

    name = "PodResizeValidator"

    async def validate(self, attributes: Attributes, server: "ApiServer") -> None:
        pod, old = attributes.obj, attributes.old
        if pod is None or old is None or not attributes.is_for("pods", "UPDATE", subresource="resize"):
            return
        name = pod["spec"].get("nodeName")
        if not name or pod["metadata"].get("generation") == old["metadata"].get("generation"):
            return
        node = server.registry.get(NODES, None, name)
        if node is None:
            raise attributes.forbidden(f'node "{name}" not found')
        system = (node["metadata"].get("labels") or {}).get("kubernetes.io/os", "linux")
        if system != "linux":
            text = f'pod resize is only supported on linux nodes, node "{name}" is "{system}"'
            raise _caused(attributes.forbidden(text), "UnsupportedPlatform")
        asked = pod_totals.pod_total(pod["spec"], "requests")
        allocatable = pod_totals.amounts((node.get("status") or {}).get("allocatable"))
        short = []
        for resource in ("cpu", "memory"):
            requested, there = asked.get(resource, quantity.ZERO), allocatable.get(resource, quantity.ZERO)
            if requested > there:
                numbers = [each.milli if resource == "cpu" else each.value for each in (requested, there)]
                short.append("{}, requested: {}, allocatable: {}".format(resource, *numbers))
        if short:
            text = f"node didn't have enough allocatable resources: {'; '.join(short)}"
            raise _caused(attributes.forbidden(text), "NodeCapacity")


def _caused(error: StatusError, reason: str) -> StatusError:
    """The same refusal, with a word for programs."""
    error.details["causes"] = [*error.causes, {"reason": reason}]
    return error
