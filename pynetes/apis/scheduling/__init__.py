"""The scheduling group: priority classes."""

from typing import Any

from pynetes.apis import printing
from pynetes.apis.checks import Errors
from pynetes.apis.core.pod_validation import PREEMPTION_POLICIES
from pynetes.apis.printing import column
from pynetes.apis.strategy import Strategy
from pynetes.machinery import meta
from pynetes.machinery.meta import Obj

HIGHEST_USER_PRIORITY = 1_000_000_000
SYSTEM_PREFIX = "system-"
SYSTEM_CLASSES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}


class PriorityClassStrategy(Strategy):
    """A priority class."""

    columns = (
        printing.NAME,
        column("Value", "integer", "The priority."),
        column("Global-Default", "boolean", "Whether pods without a class get this one."),
        printing.AGE,
        column("PreemptionPolicy", description="Whether its pods may preempt others."),
    )

    def default(self, obj: Obj) -> None:
        if obj.get("preemptionPolicy") is None:
            obj["preemptionPolicy"] = "PreemptLowerPriority"
        obj.setdefault("value", 0)

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        name, value = meta.name(obj), obj.get("value", 0)
        if name.startswith(SYSTEM_PREFIX):
            if SYSTEM_CLASSES.get(name) != value:
                errors.forbidden(
                    "metadata.name",
                    f"priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only. "
                    f"error: {_system_fault(name, value)}",
                )
        elif value > HIGHEST_USER_PRIORITY:
            errors.forbidden("value", f"maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}")
        policy = obj.get("preemptionPolicy")
        if policy is not None:
            errors.required_one_of("preemptionPolicy", policy, PREEMPTION_POLICIES)

    def validate_spec_update(self, errors: Errors, new: Obj, old: Obj) -> None:
        if new.get("value") != old.get("value"):
            errors.forbidden("value", "may not be changed in an update.")
        if new.get("preemptionPolicy") != old.get("preemptionPolicy"):
            errors.unchanged("preemptionPolicy", new.get("preemptionPolicy"), old.get("preemptionPolicy"))

    def row(self, obj: Obj) -> list[Any]:
        return [
            meta.name(obj),
            obj.get("value", 0),
            bool(obj.get("globalDefault")),
            printing.age(obj),
            obj.get("preemptionPolicy") or "PreemptLowerPriority",
        ]


def _system_fault(name: str, value: int) -> str:
    if name not in SYSTEM_CLASSES:
        return f"{name} is not a known system priority class"
    return f"value of {name} PriorityClass must be {SYSTEM_CLASSES[name]}"


STRATEGIES: dict[str, type[Strategy]] = {"priorityclasses.scheduling.k8s.io": PriorityClassStrategy}
