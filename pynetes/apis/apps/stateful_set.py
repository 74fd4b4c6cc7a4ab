"""Stateful sets."""

from typing import Any, ClassVar

from pynetes.apis import checks, printing
from pynetes.apis.apps import workload
from pynetes.apis.checks import Errors
from pynetes.apis.core import pod_defaults
from pynetes.apis.core.persistent_volume_claim import default_claim_spec
from pynetes.apis.core.pod_defaults import fill
from pynetes.apis.printing import column, wide
from pynetes.apis.strategy import ScaleSpec
from pynetes.machinery import meta, names
from pynetes.machinery.errors import FieldError
from pynetes.machinery.meta import Obj

POLICIES = ("OrderedReady", "Parallel")
RETENTION = ("Retain", "Delete")
MUTABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)


class StatefulSetStrategy(workload.WorkloadStrategy):
    """A stateful set."""

    # Its pods are hosts named after it.
    name_check = staticmethod(names.dns1123_label)
    initial_status: ClassVar[Obj] = {"replicas": 0, "availableReplicas": 0}
    scale = ScaleSpec()
    columns = (
        printing.NAME,
        column("Ready", description="Pods that are ready, of those wanted."),
        printing.AGE,
        wide("Containers", description="The names of the template's containers."),
        wide("Images", description="The images of the template's containers."),
    )

    def default(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        fill(spec, {"replicas": 1, "revisionHistoryLimit": 10, "podManagementPolicy": "OrderedReady"})
        strategy = spec.setdefault("updateStrategy", {})
        fill(strategy, {"type": "RollingUpdate"})
        if strategy["type"] == "RollingUpdate":
            rolling = strategy["rollingUpdate"] = strategy.get("rollingUpdate") or {}
            if rolling.get("partition") is None:
                rolling["partition"] = 0
        retention = spec["persistentVolumeClaimRetentionPolicy"] = (
            spec.get("persistentVolumeClaimRetentionPolicy") or {}
        )
        fill(retention, {"whenDeleted": "Retain", "whenScaled": "Retain"})
        for claim in spec.get("volumeClaimTemplates") or []:
            claim.setdefault("apiVersion", "v1")
            claim.setdefault("kind", "PersistentVolumeClaim")
            default_claim_spec(claim.setdefault("spec", {}))
            claim.setdefault("status", {})["phase"] = "Pending"
        pod_defaults.pod_template(spec.setdefault("template", {}))

    def validate(self, obj: Obj) -> list[FieldError]:
        errors = Errors(super().validate(obj))
        service = printing.spec(obj).get("serviceName")
        if service:
            errors.check("spec.serviceName", service, names.dns1123_label(service))
        return errors

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        spec = printing.spec(obj)
        policy = spec.get("podManagementPolicy")
        if not policy:
            errors.required("spec.podManagementPolicy")
        elif policy not in POLICIES:
            text = f'must be "{POLICIES[0]}" or "{POLICIES[1]}"'.replace('"', "'")
            errors.invalid("spec.podManagementPolicy", policy, text)
        _strategy(errors, spec.get("updateStrategy") or {})
        retention = spec.get("persistentVolumeClaimRetentionPolicy") or {}
        for field in ("whenScaled", "whenDeleted"):
            path = f"spec.persistentVolumeClaimRetentionPolicy.{field}"
            if retention.get(field) and retention[field] not in RETENTION:
                errors.unsupported(path, retention[field], RETENTION)
        errors.non_negative("spec.replicas", spec.get("replicas"))
        errors.non_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
        start = (spec.get("ordinals") or {}).get("start")
        errors.non_negative("spec.ordinals.start", start)
        workload.selector_and_template(errors, spec, "statefulset")
        workload.template(errors, _with_claims(spec), "StatefulSet")

    def validate_spec_update(self, errors: Errors, new: Obj, old: Obj) -> None:
        after = {field: value for field, value in printing.spec(new).items() if field not in MUTABLE}
        before = {field: value for field, value in printing.spec(old).items() if field not in MUTABLE}
        if after != before:
            errors.forbidden(
                "spec",
                "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
                "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and "
                "'minReadySeconds' are forbidden",
            )

    def validate_status(self, errors: Errors, new: Obj, old: Obj) -> None:
        status = printing.status(new)
        fields = ("replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
        workload.status_counts(errors, status, (*fields, "observedGeneration", "collisionCount"))
        workload.at_most(
            errors,
            status,
            (
                ("readyReplicas", "replicas"),
                ("currentReplicas", "replicas"),
                ("updatedReplicas", "replicas"),
                ("availableReplicas", "replicas"),
                ("availableReplicas", "readyReplicas"),
            ),
        )
        workload.collision_count(errors, new, old)

    def warnings(self, obj: Obj) -> list[str]:
        found = super().warnings(obj)
        if (printing.spec(obj).get("revisionHistoryLimit") or 0) < 0:
            found.append(
                "spec.revisionHistoryLimit: a negative value retains all historical revisions; "
                "a value >= 0 is recommended"
            )
        return found

    def row(self, obj: Obj) -> list[Any]:
        spec, status = printing.spec(obj), printing.status(obj)
        return [
            meta.name(obj),
            f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}",
            printing.age(obj),
            *printing.containers(printing.template_spec(obj)),
        ]


def _with_claims(spec: Obj) -> Obj:
    """The spec as its pods will see it: a claim template is a volume that containers may mount."""
    template = spec.get("template") or {}
    pod = template.get("spec") or {}
    volumes = pod.get("volumes") or []
    named = {volume.get("name") for volume in volumes}
    claims = [meta.name(claim) for claim in spec.get("volumeClaimTemplates") or [] if meta.name(claim) not in named]
    made = [{"name": claim, "persistentVolumeClaim": {"claimName": claim}} for claim in claims if claim]
    return {**spec, "template": {**template, "spec": {**pod, "volumes": [*volumes, *made]}}}


def _strategy(errors: Errors, strategy: Obj) -> None:
    kind, rolling, path = strategy.get("type"), strategy.get("rollingUpdate"), "spec.updateStrategy"
    if not kind:
        errors.required(path)
    elif kind == "OnDelete":
        if rolling is not None:
            errors.invalid(f"{path}.rollingUpdate", rolling, "only allowed for updateStrategy 'RollingUpdate'")
    elif kind == "RollingUpdate":
        errors.non_negative(f"{path}.rollingUpdate.partition", (rolling or {}).get("partition"))
        unavailable = (rolling or {}).get("maxUnavailable")
        if unavailable is not None:
            where = f"{path}.rollingUpdate.maxUnavailable"
            checks.int_or_percent(errors, unavailable, where)
            if checks.is_zero(unavailable):
                errors.invalid(where, unavailable, "cannot be 0")
            checks.percent_over_100(errors, unavailable, where)
    else:
        errors.invalid(path, strategy, "must be 'RollingUpdate' or 'OnDelete'")
