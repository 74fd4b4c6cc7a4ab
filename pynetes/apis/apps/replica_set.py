"""Replica sets."""

from typing import Any, ClassVar

from pynetes.apis import printing
from pynetes.apis.apps import workload
from pynetes.apis.checks import Errors
from pynetes.apis.core import pod_defaults, replicas_table
from pynetes.apis.core.pod_defaults import fill
from pynetes.apis.strategy import ScaleSpec
from pynetes.machinery.meta import Obj


class ReplicaSetStrategy(workload.WorkloadStrategy):
    """A replica set."""

    initial_status: ClassVar[Obj] = {"replicas": 0}
    scale = ScaleSpec()
    columns = replicas_table.COLUMNS

    def default(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        fill(spec, {"replicas": 1})
        pod_defaults.pod_template(spec.setdefault("template", {}))

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        spec = printing.spec(obj)
        errors.non_negative("spec.replicas", spec.get("replicas"))
        errors.non_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
        workload.selector_and_template(errors, spec, "deployment")  # upstream's word too
        workload.template(errors, spec, "ReplicaSet")

    def validate_status(self, errors: Errors, new: Obj, old: Obj) -> None:
        status = printing.status(new)
        fields = ("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration")
        workload.status_counts(errors, status, fields)
        workload.at_most(
            errors,
            status,
            (
                ("fullyLabeledReplicas", "replicas"),
                ("readyReplicas", "replicas"),
                ("availableReplicas", "replicas"),
                ("availableReplicas", "readyReplicas"),
            ),
        )

    def row(self, obj: Obj) -> list[Any]:
        return replicas_table.row(obj, printing.label_selector(printing.spec(obj).get("selector")))

    def selectable(self, obj: Obj) -> dict[str, str]:
        return {"status.replicas": str(printing.status(obj).get("replicas", 0))}
