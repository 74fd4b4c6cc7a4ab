"""Pods and pod templates."""

from typing import Any

from pynetes.apis import metadata, printing
from pynetes.apis.checks import Errors
from pynetes.apis.core import pod_defaults, pod_selectors, pod_table, pod_update, pod_validation, pod_warnings
from pynetes.apis.core.pod_resources import qos_class
from pynetes.apis.printing import column
from pynetes.apis.strategy import Strategy
from pynetes.machinery import meta
from pynetes.machinery.errors import FieldError
from pynetes.machinery.meta import Obj

DEFAULT_GRACE_SECONDS = 30
_STATUS_ZEROES = {"lastState": {}, "ready": False, "restartCount": 0, "image": "", "imageID": "", "state": {}}


class PodStrategy(Strategy):
    """A pod: almost immutable, deleted gracefully."""

    tracks_generation = True
    status_keeps = ("ownerReferences",)
    columns = pod_table.COLUMNS

    def default(self, obj: Obj) -> None:
        pod_defaults.pod(obj)
        status = obj.get("status") or {}
        for kind in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
            for each in status.get(kind) or []:
                for field, zero in _STATUS_ZEROES.items():
                    each.setdefault(field, {} if zero == {} else zero)
        # Who knows only the one address is believed: upstream's rule for old kubelets.
        addresses = status.get("podIPs") or []
        if status.get("podIP") and (not addresses or addresses[0].get("ip") != status["podIP"]):
            status["podIPs"] = [{"ip": status["podIP"]}]
        elif addresses and not status.get("podIP"):
            status["podIP"] = addresses[0].get("ip", "")

    def prepare_create_spec(self, obj: Obj) -> None:
        obj["status"] = {"phase": "Pending", "qosClass": qos_class(obj.get("spec") or {})}
        pod_selectors.narrow(obj)
        if (obj.get("spec") or {}).get("schedulingGates"):
            text = "Scheduling is blocked due to non-empty scheduling gates"
            meta.set_condition(obj, "PodScheduled", "False", "SchedulingGated", text, observedGeneration=1)

    def prepare_update_spec(self, new: Obj, old: Obj) -> None:
        spec, before = new.setdefault("spec", {}), old.get("spec") or {}
        # Ephemeral containers have a subresource of their own; a plain update neither adds nor drops any.
        if "ephemeralContainers" in before:
            spec["ephemeralContainers"] = before["ephemeralContainers"]

    def prepare_status_update(self, new: Obj, old: Obj) -> None:
        super().prepare_status_update(new, old)
        status, before = new.setdefault("status", {}), old.get("status") or {}
        if "qosClass" in before:
            status.setdefault("qosClass", before["qosClass"])

    def validate(self, obj: Obj) -> list[FieldError]:
        errors = Errors(super().validate(obj))
        pod_validation.pod_create(errors, obj)
        return errors

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        pod_validation.pod(errors, obj)

    def validate_spec_update(self, errors: Errors, new: Obj, old: Obj) -> None:
        pod_update.update(errors, new, old)

    def validate_status(self, errors: Errors, new: Obj, old: Obj) -> None:
        pod_update.status(errors, new, old)

    def prepare_subresource_update(self, subresource: str, new: Obj, old: Obj) -> None:
        metadata.inherit(new, old)
        if subresource == "ephemeralcontainers":
            pod_update.keep_all_but_ephemeral(new, old)
        elif subresource == "resize":
            pod_update.keep_all_but_resources(new, old)
        # Being bound to a node is no change of what the pod's owner asked for.
        if subresource != "binding":
            self.count_change(new, old)

    def validate_subresource_update(self, subresource: str, new: Obj, old: Obj) -> list[FieldError]:
        errors = Errors(super().validate_subresource_update(subresource, new, old))
        if subresource == "ephemeralcontainers":
            pod_validation.pod(errors, new)
            pod_update.ephemeral_containers(errors, new, old)
        elif subresource == "resize":
            pod_validation.pod(errors, new)
            pod_update.resize(errors, new, old)
        return errors

    def warnings(self, obj: Obj) -> list[str]:
        return [*pod_warnings.host_name(obj), *pod_warnings.for_template(obj)]

    def graceful_delete(self, obj: Obj, grace: int | None) -> int:
        spec = obj.get("spec") or {}
        if grace is None:
            seconds = spec.get("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS)
        else:
            seconds = grace
        if not spec.get("nodeName") or (obj.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            return 0
        return 1 if seconds < 0 else seconds

    def row(self, obj: Obj) -> list[Any]:
        return pod_table.row(obj)

    def row_conditions(self, obj: Obj) -> list[Obj]:
        return pod_table.completed(obj)

    def selectable(self, obj: Obj) -> dict[str, str]:
        spec, status = printing.spec(obj), printing.status(obj)
        addresses = status.get("podIPs") or []
        return {
            "spec.nodeName": spec.get("nodeName") or "",
            "spec.restartPolicy": spec.get("restartPolicy") or "",
            "spec.schedulerName": spec.get("schedulerName") or "",
            "spec.serviceAccountName": spec.get("serviceAccountName") or "",
            "spec.hostNetwork": printing.yes_no(spec.get("hostNetwork")),
            "status.phase": status.get("phase") or "",
            "status.podIP": (addresses[0].get("ip") if addresses else status.get("podIP")) or "",
            "status.podIPs": "",  # known, but never filled, as upstream
            "status.nominatedNodeName": status.get("nominatedNodeName") or "",
        }


class PodTemplateStrategy(Strategy):
    """A pod template stored on its own."""

    tracks_generation = True
    columns = (
        printing.NAME,
        column("Containers", description="The names of the template's containers."),
        column("Images", description="The images of the template's containers."),
        column("Pod Labels", description="The labels that pods made of the template get."),
    )

    def default(self, obj: Obj) -> None:
        pod_defaults.pod_template(obj.setdefault("template", {}))

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        pod_validation.template(errors, obj.get("template") or {}, "template")

    def warnings(self, obj: Obj) -> list[str]:
        return pod_warnings.for_template(obj.get("template") or {}, "template")

    def row(self, obj: Obj) -> list[Any]:
        template = obj.get("template") or {}
        labels = (template.get("metadata") or {}).get("labels")
        return [
            meta.name(obj),
            *printing.containers(template.get("spec") or {}),
            printing.label_set(labels),
        ]
