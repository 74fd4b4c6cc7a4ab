"""Replication controllers, the older replica sets."""

from typing import Any, ClassVar

from pynetes.apis import checks, printing
from pynetes.apis.checks import Errors
from pynetes.apis.core import pod_defaults, pod_validation, pod_warnings, replicas_table
from pynetes.apis.strategy import ScaleSpec, Strategy
from pynetes.machinery.errors import NIL_MAP
from pynetes.machinery.meta import Obj


class ReplicationControllerStrategy(Strategy):
    """A replication controller; its selector is a plain map."""

    tracks_generation = True
    default_propagation = "Orphan"
    initial_status: ClassVar[Obj] = {"replicas": 0}
    scale = ScaleSpec()
    columns = replicas_table.COLUMNS

    def default(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        if spec.get("template") is not None:
            labels = (spec["template"].get("metadata") or {}).get("labels") or NIL_MAP
            if labels:
                spec["selector"] = spec.get("selector") or dict(labels)
                metadata_ = obj.setdefault("metadata", {})
                metadata_["labels"] = metadata_.get("labels") or dict(labels)
            pod_defaults.pod_template(spec["template"])
        if spec.get("replicas") is None:
            spec["replicas"] = 1

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        spec = printing.spec(obj)
        errors.non_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
        selector = spec.get("selector") or {}
        if not selector:
            errors.required("spec.selector")
        checks.labels(errors, selector, "spec.selector")
        errors.non_negative("spec.replicas", spec.get("replicas"))
        template = spec.get("template")
        if template is None:
            errors.required("spec.template")
            return
        labels = (template.get("metadata") or {}).get("labels") or NIL_MAP
        if selector and not selector.items() <= labels.items():
            errors.invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
        pod_validation.template(errors, template, "spec.template")
        restart_always(errors, template, "spec.template")

    def warnings(self, obj: Obj) -> list[str]:
        template = printing.spec(obj).get("template") or {}
        return pod_warnings.pod_names(obj) + pod_warnings.for_template(template, "spec.template")

    def row(self, obj: Obj) -> list[Any]:
        return replicas_table.row(obj, printing.label_set(printing.spec(obj).get("selector")))

    def selectable(self, obj: Obj) -> dict[str, str]:
        return {"status.replicas": str(printing.status(obj).get("replicas", 0))}


def restart_always(errors: Errors, template: Obj, path: str) -> None:
    """Pods that a controller keeps up must restart always, and may not have a deadline."""
    spec = template.get("spec") or {}
    if spec.get("restartPolicy") != "Always":
        errors.unsupported(f"{path}.spec.restartPolicy", spec.get("restartPolicy"), ("Always",))
    if spec.get("activeDeadlineSeconds") is not None:
        errors.forbidden(f"{path}.spec.activeDeadlineSeconds", "activeDeadlineSeconds in ReplicaSet is not Supported")
