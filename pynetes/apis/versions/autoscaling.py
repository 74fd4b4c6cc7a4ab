"""HorizontalPodAutoscalers in v1 and v2.

v1 knows one metric, the average CPU utilization. Everything else of v2 travels through v1 in annotations, as JSON, so
that a v1 client's read-modify-write loses nothing.
"""

import copy
import json
from typing import Any

from pynetes.machinery.meta import Obj

METRICS = "autoscaling.alpha.kubernetes.io/metrics"
CURRENT_METRICS = "autoscaling.alpha.kubernetes.io/current-metrics"
CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions"
BEHAVIOR = "autoscaling.alpha.kubernetes.io/behavior"
DEFAULT_METRIC = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
}


def _cpu_utilization(metric: Obj, side: str) -> int | None:
    resource = metric.get("resource") or {}
    if metric.get("type") != "Resource" or resource.get("name") != "cpu":
        return None
    return (resource.get(side) or {}).get("averageUtilization")


def to_v1(obj: Obj) -> Obj:
    """A v2 autoscaler as v1 knows it."""
    result = copy.deepcopy(obj)
    spec, status = result.setdefault("spec", {}), result.setdefault("status", {})
    notes: dict[str, str] = {}
    metrics = spec.pop("metrics", None) or []
    rest = []
    for metric in metrics:
        target = _cpu_utilization(metric, "target")
        if target is not None and "targetCPUUtilizationPercentage" not in spec:
            spec["targetCPUUtilizationPercentage"] = target
        else:
            rest.append(metric)
    if rest:
        notes[METRICS] = json.dumps([old_metric(metric, "target") for metric in rest])
    if "behavior" in spec:
        notes[BEHAVIOR] = json.dumps(spec.pop("behavior"))
    current = status.pop("currentMetrics", None) or []
    for metric in current:
        used = _cpu_utilization(metric, "current")
        if used is not None:
            status["currentCPUUtilizationPercentage"] = used
    if current:
        notes[CURRENT_METRICS] = json.dumps([old_metric(metric, "current") for metric in current])
    conditions = status.pop("conditions", None)
    if conditions:
        notes[CONDITIONS] = json.dumps(conditions)
    if notes:
        metadata = result.setdefault("metadata", {})
        metadata["annotations"] = {**(metadata.get("annotations") or {}), **notes}
    return result


def to_v2(obj: Obj) -> Obj:
    """A v1 autoscaler with all that its annotations carry."""
    result = copy.deepcopy(obj)
    spec, status = result.setdefault("spec", {}), result.setdefault("status", {})
    metadata = result.setdefault("metadata", {})
    annotations = metadata.get("annotations") or {}
    notes = {key: _parse(annotations.pop(key, None)) for key in (METRICS, CURRENT_METRICS, CONDITIONS, BEHAVIOR)}
    if not annotations:
        metadata.pop("annotations", None)
    metrics: list[Obj] = []
    target = spec.pop("targetCPUUtilizationPercentage", None)
    if target is not None:
        cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": target}}
        metrics.append({"type": "Resource", "resource": cpu})
    metrics += [new_metric(metric, "target") for metric in notes[METRICS] or []]
    # No metric at all means the default one, in v1 as in v2.
    spec["metrics"] = metrics or [copy.deepcopy(DEFAULT_METRIC)]
    if notes[BEHAVIOR]:
        spec["behavior"] = notes[BEHAVIOR]
    used = status.pop("currentCPUUtilizationPercentage", None)
    current = [new_metric(metric, "current") for metric in notes[CURRENT_METRICS] or []]
    if used is not None and not any(_cpu_utilization(metric, "current") is not None for metric in current):
        current.insert(0, {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": used}}})
    if current:
        status["currentMetrics"] = current
    if notes[CONDITIONS]:
        status["conditions"] = notes[CONDITIONS]
    return result


def _parse(text: str | None) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None


_KINDS = ("resource", "containerResource", "pods", "object", "external")


def old_metric(metric: Obj, side: str) -> Obj:
    """A v2 metric in the flat form that v1's annotations hold."""
    old: Obj = {"type": metric.get("type", "")}
    for kind in _KINDS:
        source = metric.get(kind)
        if source is None:
            continue
        value = source.get(side) or {}
        flat: Obj = {}
        for field in ("name", "container"):
            if field in source:
                flat[field] = source[field]
        identity = source.get("metric") or {}
        if "name" in identity:
            flat["metricName"] = identity["name"]
        if "selector" in identity:
            flat["metricSelector" if kind == "external" else "selector"] = identity["selector"]
        if "describedObject" in source:
            flat["target"] = source["describedObject"]
        for field in _targets(kind):
            if field in value:
                flat[_flat_name(kind, side, field)] = value[field]
        old[kind] = flat
    return old


def _targets(kind: str) -> tuple[str, ...]:
    """What a metric of a kind may be measured against."""
    resources = ("averageUtilization", "averageValue")
    return resources if kind in ("resource", "containerResource") else ("averageValue", "value")


def _flat_name(kind: str, prefix: str, field: str) -> str:
    if kind == "object":
        if field == "averageValue":
            return "averageValue"
        return "targetValue" if prefix == "target" else "currentValue"
    return f"{prefix}{field[0].upper()}{field[1:]}"


def new_metric(old: Obj, side: str) -> Obj:
    """A flat metric from v1's annotations in v2's form."""
    metric: Obj = {"type": old.get("type", "")}
    for kind in _KINDS:
        flat = old.get(kind)
        if flat is None:
            continue
        value: Obj = {
            field: flat[_flat_name(kind, side, field)]
            for field in _targets(kind)
            if _flat_name(kind, side, field) in flat
        }
        if side == "target":
            value["type"] = _target_type(value)
        source: Obj = {side: value}
        for field in ("name", "container"):
            if field in flat:
                source[field] = flat[field]
        if "metricName" in flat:
            source["metric"] = {"name": flat["metricName"]}
            selector = flat.get("metricSelector") or flat.get("selector")
            if selector is not None:
                source["metric"]["selector"] = selector
        if kind == "object" and "target" in flat:
            source["describedObject"] = flat["target"]
        metric[kind] = source
    return metric


def _target_type(value: Obj) -> str:
    if "averageUtilization" in value:
        return "Utilization"
    return "AverageValue" if "averageValue" in value else "Value"
