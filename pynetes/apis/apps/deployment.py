"""Deployments."""

from typing import Any, ClassVar

from pynetes.apis import checks, printing
from pynetes.apis.apps import workload
from pynetes.apis.checks import Errors
from pynetes.apis.core import pod_defaults
from pynetes.apis.core.pod_defaults import fill
from pynetes.apis.printing import column, wide
from pynetes.apis.strategy import ScaleSpec
from pynetes.machinery import meta
from pynetes.machinery.meta import Obj

SPEC = {"replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600}
ROLLING = {"maxUnavailable": "25%", "maxSurge": "25%"}
STRATEGIES = ("Recreate", "RollingUpdate")


class DeploymentStrategy(workload.WorkloadStrategy):
    """A deployment."""

    initial_status: ClassVar[Obj] = {}
    scale = ScaleSpec()
    status_keeps = ("labels",)
    columns = (
        printing.NAME,
        column("Ready", description="Pods that are ready, of those wanted."),
        column("Up-to-date", description="Pods made of the current template."),
        column("Available", description="Pods that have been ready for long enough."),
        printing.AGE,
        wide("Containers", description="The names of the template's containers."),
        wide("Images", description="The images of the template's containers."),
        wide("Selector", description="Which pods it controls."),
    )

    def default(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        fill(spec, SPEC)
        strategy = spec.setdefault("strategy", {})
        fill(strategy, {"type": "RollingUpdate"})
        if strategy["type"] == "RollingUpdate":
            rolling = strategy["rollingUpdate"] = strategy.get("rollingUpdate") or {}
            for field, value in ROLLING.items():
                if rolling.get(field) is None:
                    rolling[field] = value
        pod_defaults.pod_template(spec.setdefault("template", {}))

    def prepare_update_spec(self, new: Obj, old: Obj) -> None:
        # A change of annotations counts too: they carry what `kubectl rollout` does.
        if meta.annotations(new) != meta.annotations(old) and self.content(new) == self.content(old):
            new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        spec = printing.spec(obj)
        errors.non_negative("spec.replicas", spec.get("replicas"))
        workload.selector_and_template(errors, spec, "deployment")
        workload.template(errors, spec, "ReplicaSet")
        _strategy(errors, spec.get("strategy") or {})
        errors.non_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
        errors.non_negative("spec.revisionHistoryLimit", spec.get("revisionHistoryLimit"))
        deadline = spec.get("progressDeadlineSeconds")
        if deadline is not None:
            errors.non_negative("spec.progressDeadlineSeconds", deadline)
            if deadline <= (spec.get("minReadySeconds") or 0):
                errors.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")

    def validate_status(self, errors: Errors, new: Obj, old: Obj) -> None:
        status = printing.status(new)
        fields = ("observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
        workload.status_counts(errors, status, fields)
        if "collisionCount" in status:
            errors.non_negative("status.collisionCount", status["collisionCount"])
        workload.at_most(
            errors,
            status,
            (
                ("updatedReplicas", "replicas"),
                ("readyReplicas", "replicas"),
                ("availableReplicas", "replicas"),
                ("availableReplicas", "readyReplicas"),
            ),
        )
        workload.collision_count(errors, new, old)

    def row(self, obj: Obj) -> list[Any]:
        spec, status = printing.spec(obj), printing.status(obj)
        return [
            meta.name(obj),
            f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}",
            status.get("updatedReplicas", 0),
            status.get("availableReplicas", 0),
            printing.age(obj),
            *printing.containers(printing.template_spec(obj)),
            printing.label_selector(spec.get("selector")),
        ]


def _strategy(errors: Errors, strategy: Obj) -> None:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind == "Recreate":
        if rolling is not None:
            errors.forbidden("spec.strategy.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'")
    elif kind == "RollingUpdate":
        path = "spec.strategy.rollingUpdate"
        if rolling is None:
            errors.required(path, "this should be defaulted and never be nil")
            return
        unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
        checks.int_or_percent(errors, unavailable, f"{path}.maxUnavailable")
        checks.int_or_percent(errors, surge, f"{path}.maxSurge")
        if checks.is_zero(unavailable) and checks.is_zero(surge):
            errors.invalid(f"{path}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0")
        checks.percent_over_100(errors, unavailable, f"{path}.maxUnavailable")
    else:
        errors.unsupported("spec.strategy", strategy, STRATEGIES)
