"""Validation of what says where a pod may run: affinity, tolerations, taints, topology spread."""

from pynetes.apis import checks
from pynetes.apis.checks import Errors
from pynetes.machinery import names
from pynetes.machinery.meta import Obj

TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
TOLERATION_OPERATORS = ("Equal", "Exists")
WHEN_UNSATISFIABLE = ("DoNotSchedule", "ScheduleAnyway")
NODE_POLICIES = ("Honor", "Ignore")
_NODE_FIELDS = ("metadata.name",)
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def affinity(errors: Errors, value: Obj | None, path: str) -> None:
    """`spec.affinity`."""
    if not value:
        return
    node = value.get("nodeAffinity")
    if node is not None:
        where = f"{path}.nodeAffinity"
        if node.get(_REQUIRED) is not None:
            node_selector(errors, node[_REQUIRED], f"{where}.{_REQUIRED}")
        for index, term in enumerate(node.get(_PREFERRED) or []):
            at = f"{where}.{_PREFERRED}[{index}]"
            _weight(errors, term, at)
            _node_selector_term(errors, term.get("preference") or {}, f"{at}.preference")
    for kind in ("podAffinity", "podAntiAffinity"):
        pods = value.get(kind) or {}
        for index, term in enumerate(pods.get(_REQUIRED) or []):
            _pod_affinity_term(errors, term, f"{path}.{kind}.{_REQUIRED}[{index}]")
        for index, weighted in enumerate(pods.get(_PREFERRED) or []):
            at = f"{path}.{kind}.{_PREFERRED}[{index}]"
            _weight(errors, weighted, at)
            _pod_affinity_term(errors, weighted.get("podAffinityTerm") or {}, f"{at}.podAffinityTerm")


def _weight(errors: Errors, term: Obj, path: str) -> None:
    weight = term.get("weight", 0)
    if not 1 <= weight <= 100:
        errors.invalid(f"{path}.weight", weight, "must be in the range 1-100")


def node_selector(errors: Errors, selector: Obj, path: str) -> None:
    """A NodeSelector: at least one term."""
    terms = selector.get("nodeSelectorTerms") or []
    if not terms:
        errors.required(f"{path}.nodeSelectorTerms", "must have at least one node selector term")
    for index, term in enumerate(terms):
        _node_selector_term(errors, term, f"{path}.nodeSelectorTerms[{index}]")


def _node_selector_term(errors: Errors, term: Obj, path: str) -> None:
    for index, requirement in enumerate(term.get("matchExpressions") or []):
        _node_requirement(errors, requirement, f"{path}.matchExpressions[{index}]")
    for index, requirement in enumerate(term.get("matchFields") or []):
        where = f"{path}.matchFields[{index}]"
        values = requirement.get("values") or []
        if requirement.get("operator") not in ("In", "NotIn"):
            errors.invalid(f"{where}.operator", requirement.get("operator", ""), "not a valid selector operator")
        elif len(values) != 1:
            errors.required(
                f"{where}.values", "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            )
        key = requirement.get("key", "")
        if key not in _NODE_FIELDS:
            errors.invalid(f"{where}.key", key, "not a valid field selector key")
        else:
            for position, value in enumerate(values):
                errors.check(f"{where}.values[{position}]", value, names.dns1123_subdomain(value))


def _node_requirement(errors: Errors, requirement: Obj, path: str) -> None:
    operator, values = requirement.get("operator", ""), requirement.get("values") or []
    if operator in ("In", "NotIn"):
        if not values:
            errors.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            errors.forbidden(f"{path}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
    elif operator in ("Gt", "Lt"):
        if len(values) != 1:
            errors.required(f"{path}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'")
    else:
        errors.invalid(f"{path}.operator", operator, "not a valid selector operator")
    key = requirement.get("key", "")
    errors.check(f"{path}.key", key, names.qualified_name(key))


def _pod_affinity_term(errors: Errors, term: Obj, path: str) -> None:
    checks.label_selector(errors, term.get("labelSelector"), f"{path}.labelSelector")
    checks.label_selector(errors, term.get("namespaceSelector"), f"{path}.namespaceSelector")
    for namespace in term.get("namespaces") or []:
        errors.check(f"{path}.namespace", namespace, names.dns1123_label(namespace))
    _label_keys(errors, term, path)
    key = term.get("topologyKey") or ""
    if not key:
        errors.required(f"{path}.topologyKey", "can not be empty")
        return
    errors.check(f"{path}.topologyKey", key, names.qualified_name(key))


def taint_effect(errors: Errors, effect: str | None, path: str, *, allow_empty: bool) -> None:
    """A taint's or toleration's effect."""
    if effect:
        errors.one_of(path, effect, TAINT_EFFECTS)
    elif not allow_empty:
        errors.required(path)


def tolerations(errors: Errors, listed: list[Obj] | None, path: str) -> None:
    """`spec.tolerations`."""
    for index, each in enumerate(listed or []):
        where = f"{path}[{index}]"
        key, operator, effect = each.get("key") or "", each.get("operator") or "", each.get("effect") or ""
        value = each.get("value") or ""
        if key:
            errors.check(f"{where}.key", key, names.qualified_name(key))
        elif operator != "Exists":
            errors.invalid(
                f"{where}.operator",
                operator,
                'operator must be Exists when `key` is empty, which means "match all values and all keys"',
            )
        if each.get("tolerationSeconds") is not None and effect != "NoExecute":
            errors.invalid(f"{where}.effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set")
        if operator in ("", "Equal"):
            messages = names.label_value(value)
            if messages:
                errors.invalid(f"{where}.operator", value, ";".join(messages))
        elif operator == "Exists":
            if value:
                fields = ("key", "operator", "value", "effect")
                shown = {field.capitalize(): each.get(field) or "" for field in fields}  # upstream's internal form
                shown["TolerationSeconds"] = each.get("tolerationSeconds")
                errors.invalid(f"{where}.operator", shown, "value must be empty when `operator` is 'Exists'")
        else:
            errors.unsupported(f"{where}.operator", operator, TOLERATION_OPERATORS)
        taint_effect(errors, effect, f"{where}.effect", allow_empty=True)


def taints(errors: Errors, listed: list[Obj] | None, path: str) -> None:
    """`spec.taints` of a node."""
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(listed or []):
        where = f"{path}[{index}]"
        key, value, effect = taint.get("key") or "", taint.get("value") or "", taint.get("effect") or ""
        errors.check(f"{where}.key", key, names.qualified_name(key))
        messages = names.label_value(value)
        if messages:
            errors.invalid(f"{where}.value", value, ";".join(messages))
        taint_effect(errors, effect, f"{where}.effect", allow_empty=False)
        if (key, effect) in seen:
            errors.duplicate(where, taint, "taints must be unique by key and effect pair")
        seen.add((key, effect))


def topology_spread(errors: Errors, listed: list[Obj] | None, path: str) -> None:
    """`spec.topologySpreadConstraints`."""
    seen: set[tuple[str, str]] = set()
    for index, each in enumerate(listed or []):
        where = f"{path}[{index}]"
        skew, key, action = each.get("maxSkew", 0), each.get("topologyKey") or "", each.get("whenUnsatisfiable") or ""
        if skew <= 0:
            errors.invalid(f"{where}.maxSkew", skew, "must be greater than zero")
        if not key:
            errors.required(f"{where}.topologyKey", "can not be empty")
        else:
            errors.check(f"{where}.topologyKey", key, names.qualified_name(key))
        errors.one_of(f"{where}.whenUnsatisfiable", action, WHEN_UNSATISFIABLE)
        if (key, action) in seen:
            errors.duplicate(f"{where}.{{topologyKey, whenUnsatisfiable}}", f"{{{key}, {action}}}")
        seen.add((key, action))
        domains = each.get("minDomains")
        if domains is not None:
            if domains <= 0:
                errors.invalid(f"{where}.minDomains", domains, "must be greater than 0")
            if action != "DoNotSchedule":
                errors.invalid(
                    f"{where}.minDomains",
                    domains,
                    "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not " + action,
                )
        for field in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            if each.get(field) is not None:
                errors.one_of(f"{where}.{field}", each[field], NODE_POLICIES)
        checks.label_selector(errors, each.get("labelSelector"), f"{where}.labelSelector")
        _label_keys(errors, each, where)


def _label_keys(errors: Errors, holder: Obj, path: str) -> None:
    """`matchLabelKeys` and `mismatchLabelKeys`, whose requirements a new pod's selector already has (pod_selectors)."""
    selector = holder.get("labelSelector")
    for field in ("matchLabelKeys", "mismatchLabelKeys"):
        keys = holder.get(field) or []
        if keys and selector is None:
            errors.forbidden(f"{path}.{field}", "must not be specified when labelSelector is not set")
            continue
        for index, key in enumerate(keys):
            errors.check(f"{path}.{field}[{index}]", key, names.qualified_name(key))
    wanted = {key: index for index, key in enumerate(holder.get("matchLabelKeys") or ())}
    seen = set((selector or {}).get("matchLabels") or ())
    for requirement in (selector or {}).get("matchExpressions") or ():
        key = requirement.get("key") or ""
        if key in wanted and key in seen:
            errors.invalid(f"{path}[{wanted[key]}]", key, "exists in both matchLabelKeys and labelSelector")
        seen.add(key)
    unwanted = set(holder.get("mismatchLabelKeys") or ())
    for index, key in enumerate(holder.get("matchLabelKeys") or ()):
        if key in unwanted:
            errors.invalid(
                f"{path}.matchLabelKeys[{index}]", key, "exists in both matchLabelKeys and mismatchLabelKeys"
            )
