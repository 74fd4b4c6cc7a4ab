"""Flow schemas: which requests belong to which priority level."""

from typing import Any

from pynetes.apis import printing
from pynetes.apis.checks import Errors
from pynetes.apis.flowcontrol import conditions
from pynetes.apis.printing import column
from pynetes.apis.strategy import Strategy
from pynetes.machinery import meta, names
from pynetes.machinery.meta import Obj

PRECEDENCE = 1000
PRECEDENCE_LIMIT = 10000
DISTINGUISHERS = ("ByNamespace", "ByUser")
SUBJECTS = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}
VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch")

_ALL = ["*"]
_EVERYTHING: Obj = {
    "resourceRules": [
        {"verbs": _ALL, "apiGroups": _ALL, "resources": _ALL, "clusterScope": True, "namespaces": _ALL},
    ],
    "nonResourceRules": [{"verbs": _ALL, "nonResourceURLs": _ALL}],
}


def _group(name: str) -> Obj:
    return {"kind": "Group", "group": {"name": name}}


MANDATORY: dict[str, Obj] = {
    "exempt": {
        "priorityLevelConfiguration": {"name": "exempt"},
        "matchingPrecedence": 1,
        "rules": [{"subjects": [_group("system:masters")], **_EVERYTHING}],
    },
    "catch-all": {
        "priorityLevelConfiguration": {"name": "catch-all"},
        "matchingPrecedence": PRECEDENCE_LIMIT,
        "distinguisherMethod": {"type": "ByUser"},
        "rules": [
            {"subjects": [_group("system:unauthenticated"), _group("system:authenticated")], **_EVERYTHING},
        ],
    },
}
"""Flow schemas that are always there and always so."""


class FlowSchemaStrategy(Strategy):
    """A flow schema."""

    tracks_generation = True
    allow_unconditional_update = False
    columns = (
        printing.NAME,
        column("PriorityLevel", description="The priority level its requests get."),
        column("MatchingPrecedence", description="Lower ones are tried first."),
        column("DistinguisherMethod", description="What tells its flows apart."),
        printing.AGE,
        column("MissingPL", description="Whether its priority level is missing."),
    )

    def default(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        if not spec.get("matchingPrecedence"):
            spec["matchingPrecedence"] = PRECEDENCE

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        spec, name = printing.spec(obj), meta.name(obj)
        _precedence(errors, spec.get("matchingPrecedence", 0), name)
        method = spec.get("distinguisherMethod")
        if method is not None and method.get("type") not in DISTINGUISHERS:
            errors.unsupported("spec.distinguisherMethod.type", method, DISTINGUISHERS)
        level = (spec.get("priorityLevelConfiguration") or {}).get("name") or ""
        path = "spec.priorityLevelConfiguration.name"
        if errors.present(path, level, "must reference a priority level"):
            errors.check(path, level, names.dns1123_subdomain(level))
        for index, rule in enumerate(spec.get("rules") or []):
            _rule(errors, rule, f"spec.rules[{index}]")
        if name in MANDATORY and spec != MANDATORY[name]:
            errors.invalid("spec", spec, f"spec of '{name}' must equal the fixed value")
        conditions.validate(errors, obj)

    def validate_status(self, errors: Errors, new: Obj, old: Obj) -> None:
        conditions.validate(errors, new)

    def row(self, obj: Obj) -> list[Any]:
        spec = printing.spec(obj)
        dangling = meta.get_condition(obj, "Dangling")
        return [
            meta.name(obj),
            (spec.get("priorityLevelConfiguration") or {}).get("name", ""),
            spec.get("matchingPrecedence", 0),
            (spec.get("distinguisherMethod") or {}).get("type") or printing.NONE,
            printing.age(obj),
            "?" if dangling is None else dangling.get("status", ""),
        ]


def _precedence(errors: Errors, value: int, name: str) -> None:
    path = "spec.matchingPrecedence"
    if value <= 0:
        errors.invalid(path, value, "must be a positive value")
    if value > PRECEDENCE_LIMIT:
        errors.invalid(path, value, f"must not be greater than {PRECEDENCE_LIMIT}")
    if value == 1 and name != "exempt":
        errors.invalid(path, value, "only the schema named 'exempt' may have matchingPrecedence 1")


def _rule(errors: Errors, rule: Obj, path: str) -> None:
    subjects = rule.get("subjects") or []
    errors.present(f"{path}.subjects", subjects, "subjects must contain at least one value")
    for index, subject in enumerate(subjects):
        _subject(errors, subject, f"{path}.subjects[{index}]")
    for_resources, for_paths = rule.get("resourceRules") or [], rule.get("nonResourceRules") or []
    if not for_resources and not for_paths:
        errors.required(path, "at least one of resourceRules and nonResourceRules has to be non-empty")
    for index, each in enumerate(for_resources):
        _resource_rule(errors, each, f"{path}.resourceRules[{index}]")
    for index, each in enumerate(for_paths):
        _path_rule(errors, each, f"{path}.nonResourceRules[{index}]")


def _subject(errors: Errors, subject: Obj, path: str) -> None:
    kind = subject.get("kind") or ""
    if kind not in SUBJECTS:
        errors.unsupported(f"{path}.kind", kind, SUBJECTS)
        return
    own = SUBJECTS[kind]
    value = subject.get(own)
    if value is None:
        errors.required(f"{path}.{own}", f"{own} is required when subject kind is '{kind}'")
    else:
        _named(errors, kind, value, f"{path}.{own}")
    for other, field in (("ServiceAccount", "serviceAccount"), ("User", "user"), ("Group", "group")):
        if other != kind and subject.get(field) is not None:
            errors.forbidden(f"{path}.{field}", f"{field} is forbidden when subject kind is not '{other}'")


def _named(errors: Errors, kind: str, value: Obj, path: str) -> None:
    name = value.get("name") or ""
    errors.present(f"{path}.name", name)
    if kind != "ServiceAccount":
        return
    if name and name != "*":
        errors.check(f"{path}.name", name, names.dns1123_subdomain(name))
    namespace = value.get("namespace") or ""
    if errors.present(f"{path}.namespace", namespace, "must specify namespace for service account"):
        errors.check(f"{path}.namespace", namespace, names.dns1123_label(namespace))


def _verbs(errors: Errors, verbs: list[str], path: str) -> None:
    if not errors.present(path, verbs, "verbs must contain at least one value"):
        return
    if "*" in verbs:
        _alone(errors, verbs, path, "verbs")
    elif not set(verbs) <= set(VERBS):
        errors.unsupported(path, verbs, VERBS)


def _alone(errors: Errors, values: list[str], path: str, what: str) -> None:
    """The wildcard stands for all, so nothing may stand beside it."""
    if "*" in values and len(values) > 1:
        errors.invalid(path, values, f"if '*' is present, must not specify other {what}")


def _resource_rule(errors: Errors, rule: Obj, path: str) -> None:
    _verbs(errors, rule.get("verbs") or [], f"{path}.verbs")
    for field, one, more in (("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")):
        values = rule.get(field) or []
        if errors.present(f"{path}.{field}", values, f"resource rules must supply at least one {one}"):
            _alone(errors, values, f"{path}.{field}", more)
    namespaces, where = rule.get("namespaces") or [], f"{path}.namespaces"
    if not namespaces and not rule.get("clusterScope"):
        detail = "resource rules that are not cluster scoped must supply at least one namespace"
        errors.required(where, detail)
    elif "*" in namespaces:
        _alone(errors, namespaces, where, "namespaces")
    else:
        for index, namespace in enumerate(namespaces):
            for fault in names.dns1123_label(namespace):
                detail = f"each member of this list must be '*' or a DNS-1123 label; {fault}"
                errors.invalid(f"{where}[{index}]", namespace, detail)


def _path_rule(errors: Errors, rule: Obj, path: str) -> None:
    _verbs(errors, rule.get("verbs") or [], f"{path}.verbs")
    urls, where = rule.get("nonResourceURLs") or [], f"{path}.nonResourceURLs"
    if not errors.present(where, urls, "nonResourceURLs must contain at least one value"):
        return
    if "*" in urls:
        _alone(errors, urls, where, "non-resource URLs")
        return
    for index, url in enumerate(urls):
        fault = _url_fault(url)
        if fault:
            errors.invalid(f"{where}[{index}]", url, fault)


def _url_fault(url: str) -> str:
    if not url:
        return "must not be empty"
    if url == "/":
        return ""
    if not url.startswith("/"):
        return "must start with slash"
    if " " in url:
        return "must not contain white-space"
    if "//" in url:
        return "must not contain double slash"
    if url.count("*") > 1 or ("*" in url and not url.endswith("/*")):
        return "wildcard can only do suffix matching"
    return ""
