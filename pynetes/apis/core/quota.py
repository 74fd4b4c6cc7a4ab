"""Limit ranges and resource quotas."""

from typing import Any, ClassVar

from pynetes.apis import checks, printing
from pynetes.apis.checks import Errors
from pynetes.apis.core import resource_validation
from pynetes.apis.printing import column
from pynetes.apis.strategy import Strategy
from pynetes.machinery import meta, names, quantity
from pynetes.machinery.meta import Obj

LIMIT_TYPES = ("Container", "PersistentVolumeClaim", "Pod")
SCOPES = (
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
)
_POD_COMPUTE = frozenset({"pods", "cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"})
_CONTRADICTIONS = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))


class LimitRangeStrategy(Strategy):
    """Bounds and defaults for what is created in a namespace."""

    allow_create_on_update = True

    def default(self, obj: Obj) -> None:
        for item in (obj.setdefault("spec", {})).get("limits") or []:
            if item.get("type") != "Container":
                continue
            limit = item.get("default") or {}
            for name, value in (item.get("max") or {}).items():
                limit.setdefault(name, value)
            request = item.get("defaultRequest") or {}
            for source in (limit, item.get("min") or {}):
                for name, value in source.items():
                    request.setdefault(name, value)
            item.update(
                {field: values for field, values in (("default", limit), ("defaultRequest", request)) if values}
            )

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        seen: set[str] = set()
        for index, item in enumerate(printing.spec(obj).get("limits") or []):
            path = f"spec.limits[{index}]"
            kind = item.get("type") or ""
            errors.check(f"{path}.type", kind, names.qualified_name(kind))
            if not names.qualified_name(kind) and "/" not in kind and kind not in LIMIT_TYPES:
                errors.invalid(f"{path}.type", kind, "must be a standard limit type or fully qualified")
            if kind in seen:
                errors.duplicate(f"{path}.type", kind)
            seen.add(kind)
            self._item(errors, item, kind, path)

    def _item(self, errors: Errors, item: Obj, kind: str, path: str) -> None:
        given: dict[str, dict[str, str]] = {
            field: item.get(field) or {}
            for field in ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")
        }
        if kind == "Pod":
            for field in ("default", "defaultRequest"):
                if given[field]:
                    errors.forbidden(f"{path}.{field}", "may not be specified when `type` is 'Pod'")
                    given[field] = {}
        for field, values in given.items():
            for name in values:
                resource_validation.resource_name(errors, name, f"{path}.{field}[{name}]")
        if kind == "PersistentVolumeClaim" and "storage" not in given["min"] and "storage" not in given["max"]:
            errors.required(
                f"{path}.limits", "either minimum or maximum storage value is required, but neither was provided"
            )
        for name in sorted(set().union(*given.values())):
            _ordered(errors, name, given, path)


_ORDER = (
    ("min", "max", "min", "min value {0} is greater than max value {1}"),
    ("min", "defaultRequest", "defaultRequest", "min value {0} is greater than default request value {1}"),
    ("defaultRequest", "max", "defaultRequest", "default request value {0} is greater than max value {1}"),
    (
        "defaultRequest",
        "default",
        "defaultRequest",
        "default request value {0} is greater than default limit value {1}",
    ),
    ("min", "default", "default", "min value {0} is greater than default value {1}"),
    ("default", "max", "default", "default value {0} is greater than max value {1}"),
)


def _ordered(errors: Errors, name: str, given: dict[str, dict[str, str]], path: str) -> None:
    for small, large, blamed, text in _ORDER:
        low, high = given[small].get(name), given[large].get(name)
        if low is not None and high is not None and quantity.compare(str(low), str(high)) > 0:
            errors.invalid(f"{path}.{blamed}[{name}]", given[blamed][name], text.format(low, high))
    ratio = given["maxLimitRequestRatio"].get(name)
    if ratio is None:
        return
    where = f"{path}.maxLimitRequestRatio[{name}]"
    if quantity.compare(str(ratio), "1") < 0:
        errors.invalid(where, ratio, f"ratio {ratio} is less than 1")
    low, high = given["min"].get(name), given["max"].get(name)
    if low is not None and high is not None and quantity.milli(str(low)) > 0:
        limit = quantity.milli(str(high)) / quantity.milli(str(low))
        if quantity.milli(str(ratio)) / 1000 > limit:
            errors.invalid(where, ratio, f"ratio {ratio} is greater than max/min = {limit:.6f}")


class ResourceQuotaStrategy(Strategy):
    """A limit on the sum of what a namespace uses."""

    initial_status: ClassVar[Obj] = {}
    columns = (
        printing.NAME,
        column("Request", description="Requests and counts: used of hard."),
        column("Limit", description="Limits: used of hard."),
        printing.AGE,
    )

    def default(self, obj: Obj) -> None:
        obj.setdefault("spec", {})

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        spec = printing.spec(obj)
        _amounts(errors, spec.get("hard"), "spec.hard")
        _scopes(errors, spec)
        _scope_selector(errors, spec)

    def validate_spec_update(self, errors: Errors, new: Obj, old: Obj) -> None:
        after, before = printing.spec(new).get("scopes") or [], printing.spec(old).get("scopes") or []
        if sorted(after) != sorted(before):
            errors.invalid("spec.scopes", after, checks.IMMUTABLE)

    def validate_status(self, errors: Errors, new: Obj, old: Obj) -> None:
        for field in ("hard", "used"):
            _amounts(errors, printing.status(new).get(field), f"status.{field}")

    def row(self, obj: Obj) -> list[Any]:
        status = printing.status(obj)
        hard, used = status.get("hard") or {}, status.get("used") or {}
        requests: list[str] = []
        limits: list[str] = []
        for name in sorted(hard):
            text = f"{name}: {used.get(name, '0')}/{hard[name]}"
            (limits if name.startswith("limits") else requests).append(text)
        return [meta.name(obj), ", ".join(requests), ", ".join(limits), printing.age(obj)]


def _amounts(errors: Errors, values: dict[str, str] | None, path: str) -> None:
    for name, value in (values or {}).items():
        where = f"{path}[{name}]"
        resource_validation.quota_resource_name(errors, name, where)
        resource_validation.amount(errors, name, value, where)


def _scopes(errors: Errors, spec: Obj) -> None:
    scopes = spec.get("scopes") or []
    for scope in scopes:
        _known_scope(errors, scope, spec, "spec.scopes", scopes)
    for pair in _CONTRADICTIONS:
        if set(pair) <= set(scopes):
            errors.invalid("spec.scopes", scopes, "conflicting scopes")


def _known_scope(errors: Errors, scope: str, spec: Obj, path: str, shown: Any) -> None:
    if scope not in SCOPES:
        errors.invalid(path, shown, "unsupported scope")
        return
    if scope == "BestEffort":
        allowed = {"pods"}
    elif scope == "VolumeAttributesClass":
        allowed = {"persistentvolumeclaims", "requests.storage"}
    else:
        allowed = set(_POD_COMPUTE)
    for name in spec.get("hard") or {}:
        if name in resource_validation.QUOTA_RESOURCES and name not in allowed:
            errors.invalid(path, shown, "unsupported scope applied to resource")
            return


def _scope_selector(errors: Errors, spec: Obj) -> None:
    for requirement in (spec.get("scopeSelector") or {}).get("matchExpressions") or []:
        path = "spec.scopeSelector.matchExpressions"
        scope, operator = requirement.get("scopeName") or "", requirement.get("operator") or ""
        values = requirement.get("values") or []
        _known_scope(errors, scope, spec, f"{path}.scopeName", scope)
        if scope in ("BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity"):
            if operator != "Exists":
                errors.invalid(
                    f"{path}.operator",
                    operator,
                    "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, "
                    "ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, "
                    "ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity",
                )
        if operator in ("In", "NotIn"):
            if not values:
                errors.required(
                    f"{path}.values", "must be atleast one value when `operator` is 'In' or 'NotIn' for scope selector"
                )
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                errors.invalid(
                    f"{path}.values",
                    values,
                    "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector",
                )
        else:
            errors.invalid(f"{path}.operator", operator, "not a valid selector operator")
