"""The node group: runtime classes."""

from typing import Any

from pynetes.apis import checks, printing
from pynetes.apis.checks import Errors
from pynetes.apis.core import resource_validation, scheduling_validation
from pynetes.apis.printing import column
from pynetes.apis.strategy import Strategy
from pynetes.machinery import meta, names
from pynetes.machinery.meta import Obj


class RuntimeClassStrategy(Strategy):
    """A runtime class."""

    allow_unconditional_update = False
    columns = (printing.NAME, column("Handler", description="The runtime's handler."), printing.AGE)

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        handler = obj.get("handler") or ""
        errors.check("handler", handler, names.dns1123_label(handler))
        for name, value in ((obj.get("overhead") or {}).get("podFixed") or {}).items():
            path = f"overhead.podFixed[{name}]"
            resource_validation.container_resource_name(errors, name, path)
            resource_validation.amount(errors, name, value, path)
        scheduling = obj.get("scheduling") or {}
        checks.labels(errors, scheduling.get("nodeSelector"), "scheduling.nodeSelector")
        scheduling_validation.tolerations(errors, scheduling.get("tolerations"), "scheduling.tolerations")

    def validate_spec_update(self, errors: Errors, new: Obj, old: Obj) -> None:
        errors.unchanged("handler", new.get("handler"), old.get("handler"))

    def row(self, obj: Obj) -> list[Any]:
        return [meta.name(obj), obj.get("handler", ""), printing.age(obj)]


STRATEGIES: dict[str, type[Strategy]] = {"runtimeclasses.node.k8s.io": RuntimeClassStrategy}
