"""Daemon sets."""

from typing import Any, ClassVar

from pynetes.apis import checks, printing
from pynetes.apis.apps import workload
from pynetes.apis.checks import Errors
from pynetes.apis.core import pod_defaults
from pynetes.apis.core.pod_defaults import fill
from pynetes.apis.printing import column, wide
from pynetes.machinery import meta
from pynetes.machinery.meta import Obj

GENERATION = "deprecated.daemonset.template.generation"
STRATEGIES = ("RollingUpdate", "OnDelete")
_COUNTS = (
    "currentNumberScheduled",
    "numberMisscheduled",
    "desiredNumberScheduled",
    "numberReady",
    "observedGeneration",
    "updatedNumberScheduled",
    "numberAvailable",
    "numberUnavailable",
)


class DaemonSetStrategy(workload.WorkloadStrategy):
    """A daemon set."""

    initial_status: ClassVar[Obj] = {
        "currentNumberScheduled": 0,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 0,
        "numberReady": 0,
    }
    columns = (
        printing.NAME,
        column("Desired", "integer", "Nodes that should run the pod."),
        column("Current", "integer", "Nodes that run at least one."),
        column("Ready", "integer", "Nodes where it is ready."),
        column("Up-to-date", "integer", "Nodes that run the current template."),
        column("Available", "integer", "Nodes where it has been ready for long enough."),
        column("Node Selector", description="Which nodes run it."),
        printing.AGE,
        wide("Containers", description="The names of the template's containers."),
        wide("Images", description="The images of the template's containers."),
        wide("Selector", description="Which pods it controls."),
    )

    def default(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        fill(spec, {"revisionHistoryLimit": 10})
        strategy = spec.setdefault("updateStrategy", {})
        fill(strategy, {"type": "RollingUpdate"})
        if strategy["type"] == "RollingUpdate":
            rolling = strategy["rollingUpdate"] = strategy.get("rollingUpdate") or {}
            for field, value in (("maxUnavailable", 1), ("maxSurge", 0)):
                if rolling.get(field) is None:
                    rolling[field] = value
        pod_defaults.pod_template(spec.setdefault("template", {}))

    def prepare_create_spec(self, obj: Obj) -> None:
        _set_generation(obj, 1)

    def prepare_update_spec(self, new: Obj, old: Obj) -> None:
        changed = printing.spec(new).get("template") != printing.spec(old).get("template")
        _set_generation(new, _generation(old) + changed)

    def prepare_status_update(self, new: Obj, old: Obj) -> None:
        super().prepare_status_update(new, old)
        _set_generation(new, _generation(old))

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        spec = printing.spec(obj)
        workload.selector_and_template(errors, spec, "daemonset", required=False)
        workload.template(errors, spec, "DaemonSet")
        errors.non_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
        _strategy(errors, spec.get("updateStrategy") or {})
        errors.non_negative("spec.revisionHistoryLimit", spec.get("revisionHistoryLimit"))

    def validate_status(self, errors: Errors, new: Obj, old: Obj) -> None:
        workload.status_counts(errors, printing.status(new), _COUNTS)
        workload.collision_count(errors, new, old)

    def row(self, obj: Obj) -> list[Any]:
        spec, status = printing.spec(obj), printing.status(obj)
        return [
            meta.name(obj),
            status.get("desiredNumberScheduled", 0),
            status.get("currentNumberScheduled", 0),
            status.get("numberReady", 0),
            status.get("updatedNumberScheduled", 0),
            status.get("numberAvailable", 0),
            printing.label_set(printing.template_spec(obj).get("nodeSelector")),
            printing.age(obj),
            *printing.containers(printing.template_spec(obj)),
            printing.label_selector(spec.get("selector")),
        ]


def _generation(obj: Obj) -> int:
    """How often the template changed; older versions show it in the spec, today's in an annotation."""
    text = meta.annotations(obj).get(GENERATION, "")
    return int(text) if text.isdigit() else 1


def _set_generation(obj: Obj, value: int) -> None:
    head = obj["metadata"]
    head["annotations"] = {**(head.get("annotations") or {}), GENERATION: str(value)}


def _strategy(errors: Errors, strategy: Obj) -> None:
    kind, path = strategy.get("type"), "spec.updateStrategy"
    if kind == "OnDelete":
        return
    if kind != "RollingUpdate":
        errors.unsupported(f"{path}.type", kind, STRATEGIES)
        return
    rolling = strategy.get("rollingUpdate")
    if rolling is None:
        errors.required(f"{path}.rollingUpdate")
        return
    path = f"{path}.rollingUpdate"
    unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    checks.int_or_percent(errors, unavailable, f"{path}.maxUnavailable")
    checks.int_or_percent(errors, surge, f"{path}.maxSurge")
    has_unavailable, has_surge = not checks.is_zero(unavailable), not checks.is_zero(surge)
    if has_unavailable and has_surge:
        errors.invalid(f"{path}.maxSurge", surge, "may not be set when maxUnavailable is non-zero")
    elif not has_unavailable and not has_surge:
        errors.required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0")
    checks.percent_over_100(errors, unavailable, f"{path}.maxUnavailable")
    checks.percent_over_100(errors, surge, f"{path}.maxSurge")
