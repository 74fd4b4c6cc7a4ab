"""Replica sets."""

from typing import Any, ClassVar

from pynetes.apis import printing
from pynetes.apis.apps import workload
from pynetes.apis.checks import Errors
from pynetes.apis.core import pod_defaults
from pynetes.apis.core.pod_defaults import fill
from pynetes.apis.printing import column, wide
from pynetes.apis.strategy import ScaleSpec
from pynetes.machinery import meta
from pynetes.machinery.meta import Obj


class ReplicaSetStrategy(workload.WorkloadStrategy):
    """A replica set."""

    initial_status: ClassVar[Obj] = {"replicas": 0}
    scale = ScaleSpec()
    columns = (
        printing.NAME,
        column("Desired", "integer", "How many pods there should be."),
        column("Current", "integer", "How many pods there are."),
        column("Ready", "integer", "How many of them are ready."),
        printing.AGE,
        wide("Containers", description="The names of the template's containers."),
        wide("Images", description="The images of the template's containers."),
        wide("Selector", description="Which pods it controls."),
    )

    def default(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        fill(spec, {"replicas": 1})
        pod_defaults.pod_template(spec.setdefault("template", {}))

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        spec = printing.spec(obj)
        errors.non_negative("spec.replicas", spec.get("replicas"))
        errors.non_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
        workload.selector_and_template(errors, spec, "replicaset")
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
        spec, status = printing.spec(obj), printing.status(obj)
        return [
            meta.name(obj),
            spec.get("replicas", 0),
            status.get("replicas", 0),
            status.get("readyReplicas", 0),
            printing.age(obj),
            *printing.containers(printing.template_spec(obj)),
            printing.label_selector(spec.get("selector")),
        ]

    def selectable(self, obj: Obj) -> dict[str, str]:
        return {"status.replicas": str(printing.status(obj).get("replicas", 0))}
