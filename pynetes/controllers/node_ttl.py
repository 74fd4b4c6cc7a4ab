"""How long kubelets may keep Secrets and ConfigMaps before asking again, by the size of the cluster."""

from collections.abc import Iterable

from pynetes.controllers.controller import Context, Controller
from pynetes.machinery import meta
from pynetes.machinery.meta import Obj

ANNOTATION = "node.alpha.kubernetes.io/ttl"

# From this many nodes, up to this many: seconds. The ranges overlap so that a cluster at a border does not flap.
_STEPS = ((0, 100, 0), (90, 500, 15), (450, 1000, 30), (900, 2000, 60), (1800, 10000, 300))


def next_step(step: int, nodes: int) -> int:
    """The step that fits `nodes`, starting from the present one."""
    while step + 1 < len(_STEPS) and nodes > _STEPS[step][1]:
        step += 1
    while step > 0 and nodes < _STEPS[step][0]:
        step -= 1
    return step


class NodeTTLController(Controller):
    """Annotates nodes."""

    name = "ttl-controller"
    workers = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._step = 0
        self.nodes = self.watch("nodes", self._changed)

    def _changed(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        before = self._step
        self._step = next_step(before, len(self.nodes))
        if self._step != before:
            return [meta.name(node) for node in self.nodes.list()]
        return (meta.name(new),) if new is not None and old is None else ()

    async def reconcile(self, key: str) -> None:
        node = self.nodes.get(key)
        wanted = str(_STEPS[self._step][2])
        if node is not None and meta.annotations(node).get(ANNOTATION) != wanted:
            await self.client.patch("nodes", key, {"metadata": {"annotations": {ANNOTATION: wanted}}})
