"""Pod disruption budgets."""

from typing import Any, ClassVar

from pynetes.apis import checks, printing
from pynetes.apis.checks import Errors
from pynetes.apis.printing import column
from pynetes.apis.strategy import Strategy
from pynetes.machinery import meta, names
from pynetes.machinery.meta import Obj

EVICTION_POLICIES = ("IfHealthyBudget", "AlwaysAllow")
_REASON = names.Rule(
    "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?",
    "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric "
    "characters or '_,:', and must end with an alphanumeric character or '_'",
    ("my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB"),
)
_MAX_REASON, _MAX_MESSAGE = 1024, 32 * 1024


class PodDisruptionBudgetStrategy(Strategy):
    """A pod disruption budget."""

    tracks_generation = True
    allow_unconditional_update = False
    initial_status: ClassVar[Obj] = {
        "disruptionsAllowed": 0,
        "currentHealthy": 0,
        "desiredHealthy": 0,
        "expectedPods": 0,
    }
    columns = (
        printing.NAME,
        column("Min Available", description="Pods that must stay available."),
        column("Max Unavailable", description="Pods that may be unavailable."),
        column("Allowed Disruptions", "integer", "Pods that may be evicted now."),
        printing.AGE,
    )

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        spec = printing.spec(obj)
        least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
        if least is not None and most is not None:
            errors.invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set")
        for field, value in (("minAvailable", least), ("maxUnavailable", most)):
            if value is not None:
                checks.int_or_percent(errors, value, f"spec.{field}")
                checks.percent_over_100(errors, value, f"spec.{field}")
        checks.label_selector(errors, spec.get("selector"), "spec.selector")
        policy = spec.get("unhealthyPodEvictionPolicy")
        if policy is not None and policy not in EVICTION_POLICIES:
            errors.unsupported("spec.unhealthyPodEvictionPolicy", policy, EVICTION_POLICIES)

    def validate_status(self, errors: Errors, new: Obj, old: Obj) -> None:
        _conditions(errors, printing.status(new).get("conditions") or [], "status.conditions")
        for field in ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"):
            errors.non_negative(f"status.{field}", printing.status(new).get(field))

    def row(self, obj: Obj) -> list[Any]:
        spec = printing.spec(obj)
        return [
            meta.name(obj),
            _or_na(spec.get("minAvailable")),
            _or_na(spec.get("maxUnavailable")),
            printing.status(obj).get("disruptionsAllowed", 0),
            printing.age(obj),
        ]


def _conditions(errors: Errors, conditions: list[Obj], path: str) -> None:
    seen: set[str] = set()
    for index, condition in enumerate(conditions):
        where, kind = f"{path}[{index}]", condition.get("type") or ""
        if kind in seen:
            errors.duplicate(f"{where}.type", kind)
        seen.add(kind)
        errors.check(f"{where}.type", kind, names.qualified_name(kind))
        errors.one_of(f"{where}.status", condition.get("status") or "", ("False", "True", "Unknown"))
        if (condition.get("observedGeneration") or 0) < 0:
            text = "must be greater than or equal to zero"
            errors.invalid(f"{where}.observedGeneration", condition["observedGeneration"], text)
        errors.present(f"{where}.lastTransitionTime", condition.get("lastTransitionTime"), "must be set")
        reason = condition.get("reason") or ""
        if errors.present(f"{where}.reason", reason, "must be set"):
            errors.check(f"{where}.reason", reason, _REASON.check(reason))
            if len(reason) > _MAX_REASON:
                errors.too_long(f"{where}.reason", _MAX_REASON)
        if len(condition.get("message") or "") > _MAX_MESSAGE:
            errors.too_long(f"{where}.message", _MAX_MESSAGE)


def _or_na(value: int | str | None) -> str:
    return "N/A" if value is None else str(value)
