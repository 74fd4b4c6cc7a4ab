"""Horizontal pod autoscalers, v2; v1 is checked as the v2 object it stands for."""

from typing import Any, ClassVar

from pynetes.apis import printing
from pynetes.apis.checks import Errors
from pynetes.apis.core.pod_defaults import fill
from pynetes.apis.printing import column
from pynetes.apis.strategy import Strategy
from pynetes.apis.versions.autoscaling import DEFAULT_METRIC, to_v2
from pynetes.machinery import meta, names, quantity
from pynetes.machinery.meta import Obj

METRIC_TYPES = ("ContainerResource", "External", "Object", "Pods", "Resource")
TARGET_TYPES = ("AverageValue", "Utilization", "Value")
_SOURCES = {
    "Resource": "resource",
    "ContainerResource": "containerResource",
    "Pods": "pods",
    "Object": "object",
    "External": "external",
}
SCALE_UP: dict[str, Any] = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ],
}
SCALE_DOWN: dict[str, Any] = {
    "selectPolicy": "Max",
    "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
}
SELECT_POLICIES = ("Disabled", "Max", "Min")
_MAX_PERIOD, _MAX_WINDOW = 1800, 3600


class AutoscalerStrategy(Strategy):
    """A horizontal pod autoscaler."""

    initial_status: ClassVar[Obj] = {"desiredReplicas": 0}
    columns = (
        printing.NAME,
        column("Reference", description="What it scales."),
        column("Targets", description="Its metrics: current of wanted."),
        column("MinPods", description="The least it scales to."),
        column("MaxPods", description="The most it scales to."),
        column("Replicas", description="How many replicas there are."),
        printing.AGE,
    )

    def default(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        fill(spec, {"minReplicas": 1})
        if not spec.get("metrics"):
            spec["metrics"] = [meta.deep_copy(DEFAULT_METRIC)]
        behavior = spec.get("behavior")
        if behavior is not None:
            for side, rules in (("scaleUp", SCALE_UP), ("scaleDown", SCALE_DOWN)):
                given = behavior[side] = behavior.get(side) or {}
                for field, value in meta.deep_copy(rules).items():
                    if given.get(field) is None:
                        given[field] = value

    def prepare_create_spec(self, obj: Obj) -> None:
        obj["status"] = {"desiredReplicas": 0}

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        spec = printing.spec(obj)
        least, most = spec.get("minReplicas"), spec.get("maxReplicas") or 0
        if least is not None and least < 0:
            errors.invalid("spec.minReplicas", least, "must be greater than or equal to 0")
        if most < 1:
            errors.invalid("spec.maxReplicas", most, "must be greater than 0")
        if least is not None and most < least:
            errors.invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`")
        _reference(errors, spec.get("scaleTargetRef") or {}, "spec.scaleTargetRef")
        for index, metric in enumerate(spec.get("metrics") or []):
            _metric(errors, metric, f"spec.metrics[{index}]")
        if least == 0 and not outlives_pods(spec):
            # KEP-2021: what pods tell of themselves cannot bring them back.
            detail = "must specify at least one Object or External metric to support scaling to zero replicas"
            errors.forbidden("spec.metrics", detail)
        for side in ("scaleUp", "scaleDown"):
            rules = (spec.get("behavior") or {}).get(side)
            if rules is not None:
                _rules(errors, rules, f"spec.behavior.{side}")

    def validate_status(self, errors: Errors, new: Obj, old: Obj) -> None:
        for field in ("currentReplicas", "desiredReplicas"):
            errors.non_negative(f"status.{field}", printing.status(new).get(field))

    def row(self, obj: Obj) -> list[Any]:
        spec, status = printing.spec(obj), printing.status(obj)
        reference = spec.get("scaleTargetRef") or {}
        return [
            meta.name(obj),
            f"{reference.get('kind', '')}/{reference.get('name', '')}",
            targets(spec.get("metrics") or [], status.get("currentMetrics") or []),
            str(spec["minReplicas"]) if spec.get("minReplicas") is not None else printing.UNSET,
            spec.get("maxReplicas", 0),
            status.get("currentReplicas", 0),
            printing.age(obj),
        ]


class OldAutoscalerStrategy(AutoscalerStrategy):
    """The autoscaling/v1 form."""

    initial_status: ClassVar[Obj] = {"currentReplicas": 0, "desiredReplicas": 0}

    def default(self, obj: Obj) -> None:
        fill(obj.setdefault("spec", {}), {"minReplicas": 1})

    def prepare_create_spec(self, obj: Obj) -> None:
        obj["status"] = {"currentReplicas": 0, "desiredReplicas": 0}

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        super().validate_spec(errors, to_v2(obj))

    def row(self, obj: Obj) -> list[Any]:
        return super().row(to_v2(obj))


def outlives_pods(spec: Obj) -> bool:
    """Whether a metric speaks also while there are no pods."""
    return any(metric.get("type") in ("Object", "External") for metric in spec.get("metrics") or [])


def _reference(errors: Errors, reference: Obj, path: str) -> None:
    for field in ("kind", "name"):
        value = reference.get(field) or ""
        if errors.present(f"{path}.{field}", value):
            errors.check(f"{path}.{field}", value, names.path_segment(value))


def _metric(errors: Errors, metric: Obj, path: str) -> None:
    kind = metric.get("type") or ""
    if not errors.present(f"{path}.type", kind, "must specify a metric source type"):
        return
    if kind not in METRIC_TYPES:
        errors.unsupported(f"{path}.type", kind, METRIC_TYPES)
    given = [source for source in _SOURCES.values() if metric.get(source) is not None]
    wanted = _SOURCES.get(kind, "")
    if wanted and wanted not in given:
        errors.required(f"{path}.{wanted}", f"must populate information for the given metric source{_only(given)}")
    for extra in given:
        if extra != wanted and wanted in given:
            errors.forbidden(f"{path}.{extra}", "must populate the given metric source only")
    if wanted in given:
        _source(errors, wanted, metric[wanted], f"{path}.{wanted}")


def _only(given: list[str]) -> str:
    return " only" if given else ""


def _source(errors: Errors, kind: str, source: Obj, path: str) -> None:
    target = source.get("target") or {}
    if kind in ("resource", "containerResource"):
        errors.present(f"{path}.name", source.get("name"), "must specify a resource name")
        if kind == "containerResource":
            errors.present(f"{path}.container", source.get("container"), "must specify a container")
    else:
        name = (source.get("metric") or {}).get("name") or ""
        if errors.present(f"{path}.metric.name", name, "must specify a metric name"):
            errors.check(f"{path}.metric.name", name, names.path_segment(name))
        if kind == "object":
            _reference(errors, source.get("describedObject") or {}, f"{path}.describedObject")
    _target(errors, kind, target, f"{path}.target")


def _target(errors: Errors, kind: str, target: Obj, path: str) -> None:
    word = target.get("type") or ""
    if not errors.present(f"{path}.type", word, "must specify a metric target type"):
        return
    errors.one_of(f"{path}.type", word, TARGET_TYPES)
    utilization, average, value = (target.get(f) for f in ("averageUtilization", "averageValue", "value"))
    if utilization is not None and utilization < 1:
        errors.invalid(f"{path}.averageUtilization", utilization, "must be greater than 0")
    for field, amount in (("value", value), ("averageValue", average)):
        if amount is not None and quantity.milli(str(amount)) <= 0:
            errors.invalid(f"{path}.{field}", amount, "must be positive")
    if kind in ("resource", "containerResource"):
        if utilization is None and average is None:
            errors.required(f"{path}.averageUtilization", "must set either a target raw value or a target utilization")
        if utilization is not None and average is not None:
            errors.forbidden(f"{path}.averageValue", "may not set both a target raw value and a target utilization")
    elif kind == "pods":
        if average is None:
            errors.required(f"{path}.averageValue", "must specify a positive target averageValue")
    elif value is None and average is None:
        errors.required(f"{path}.averageValue", "must set either a target value for metric or a per-pod target")
    elif kind == "external" and value is not None and average is not None:
        errors.forbidden(f"{path}.value", "may not set both a target value for metric and a per-pod target")


def _rules(errors: Errors, rules: Obj, path: str) -> None:
    window = rules.get("stabilizationWindowSeconds")
    if window is not None and window < 0:
        errors.invalid(f"{path}.stabilizationWindowSeconds", window, "must be greater than or equal to zero")
    if window is not None and window > _MAX_WINDOW:
        detail = f"must be less than or equal to {_MAX_WINDOW}"
        errors.invalid(f"{path}.stabilizationWindowSeconds", window, detail)
    tolerance = rules.get("tolerance")
    if tolerance is not None and quantity.milli(str(tolerance)) < 0:
        errors.invalid(f"{path}.tolerance", str(tolerance), "must be greater than or equal to 0")
    choice = rules.get("selectPolicy")
    if choice is not None and choice not in SELECT_POLICIES:
        errors.unsupported(f"{path}.selectPolicy", choice, SELECT_POLICIES)
    policies = rules.get("policies") or []
    if not policies:
        errors.required(f"{path}.policies", "must specify at least one Policy")
    for index, policy in enumerate(policies):
        where = f"{path}.policies[{index}]"
        if policy.get("type") not in ("Pods", "Percent"):
            errors.unsupported(f"{where}.type", policy.get("type") or "", ("Percent", "Pods"))
        if (policy.get("value") or 0) <= 0:
            errors.invalid(f"{where}.value", policy.get("value") or 0, "must be greater than zero")
        period = policy.get("periodSeconds") or 0
        if period <= 0:
            errors.invalid(f"{where}.periodSeconds", period, "must be greater than zero")
        if period > _MAX_PERIOD:
            errors.invalid(f"{where}.periodSeconds", period, f"must be less than or equal to {_MAX_PERIOD}")


def targets(metrics: list[Obj], current: list[Obj]) -> str:
    """The Targets cell: `cpu: 12%/80%`, at most two of them."""
    if not metrics:
        return printing.NONE
    shown = []
    for index, metric in enumerate(metrics):
        kind = _SOURCES.get(metric.get("type", ""), "")
        source = metric.get(kind) or {}
        now = (current[index].get(kind) or {}).get("current") or {} if index < len(current) else {}
        shown.append(_shown(kind, source, now))
    text = ", ".join(shown[:2])
    return f"{text} + {len(shown) - 2} more..." if len(shown) > 2 else text


def _shown(kind: str, source: Obj, now: Obj) -> str:
    target = source.get("target") or {}
    prefix = f"{source.get('name', '')}: " if kind in ("resource", "containerResource") else ""
    unknown = "<unknown>"
    if kind in ("resource", "containerResource") and target.get("averageValue") is None:
        used = now.get("averageUtilization")
        wanted = target.get("averageUtilization")
        return f"{prefix}{unknown if used is None else f'{used}%'}/{'<auto>' if wanted is None else f'{wanted}%'}"
    if target.get("averageValue") is not None:
        suffix = " (avg)" if kind in ("external", "object") else ""
        return f"{prefix}{now.get('averageValue', unknown)}/{target['averageValue']}{suffix}"
    return f"{prefix}{now.get('value', unknown)}/{target.get('value', unknown)}"
