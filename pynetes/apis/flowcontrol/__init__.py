"""The flowcontrol group: which requests wait for which."""

from typing import Any, ClassVar

from pynetes.apis import printing
from pynetes.apis.checks import Errors
from pynetes.apis.printing import column
from pynetes.apis.strategy import Strategy
from pynetes.machinery import meta, names
from pynetes.machinery.meta import Obj

MAX_PRECEDENCE = 10000
LEVEL_TYPES = ("Exempt", "Limited")
_LIMITED: Obj = {"nominalConcurrencyShares": 30, "lendablePercent": 0}
_QUEUING: Obj = {"queues": 64, "handSize": 8, "queueLengthLimit": 50}
_VERBS = frozenset(
    [
        "*",
        "create",
        "delete",
        "deletecollection",
        "get",
        "list",
        "patch",
        "proxy",
        "update",
        "watch",
        "connect",
        "head",
        "options",
        "post",
        "put",
    ]
)


class FlowSchemaStrategy(Strategy):
    """A flow schema."""

    tracks_generation = True
    allow_unconditional_update = False
    initial_status: ClassVar[Obj] = {}
    columns = (
        printing.NAME,
        column("PriorityLevel", description="The priority level its requests get."),
        column("MatchingPrecedence", "string", "Lower ones are tried first."),
        column("DistinguisherMethod", description="What tells its flows apart."),
        printing.AGE,
        column("MissingPL", description="Whether its priority level is missing."),
    )

    def default(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        if not spec.get("matchingPrecedence"):
            spec["matchingPrecedence"] = 1000

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        spec = printing.spec(obj)
        precedence = spec.get("matchingPrecedence") or 0
        if precedence <= 0:
            errors.invalid("spec.matchingPrecedence", precedence, "must be a positive value")
        if precedence > MAX_PRECEDENCE:
            errors.invalid("spec.matchingPrecedence", precedence, f"must not be greater than {MAX_PRECEDENCE}")
        if precedence == 1 and meta.name(obj) != "exempt":
            errors.invalid(
                "spec.matchingPrecedence", precedence, "only the schema named 'exempt' may have matchingPrecedence 1"
            )
        method = spec.get("distinguisherMethod")
        if method is not None and method.get("type") not in ("ByNamespace", "ByUser"):
            errors.unsupported("spec.distinguisherMethod", method.get("type") or "", ("ByNamespace", "ByUser"))
        level = (spec.get("priorityLevelConfiguration") or {}).get("name") or ""
        path = "spec.priorityLevelConfiguration.name"
        if errors.present(path, level, "must reference a priority level"):
            errors.check(path, level, names.dns1123_subdomain(level))
        for index, rule in enumerate(spec.get("rules") or []):
            _rule(errors, rule, f"spec.rules[{index}]")

    def row(self, obj: Obj) -> list[Any]:
        spec = printing.spec(obj)
        dangling = meta.get_condition(obj, "Dangling")
        return [
            meta.name(obj),
            (spec.get("priorityLevelConfiguration") or {}).get("name") or printing.NONE,
            spec.get("matchingPrecedence", 0),
            (spec.get("distinguisherMethod") or {}).get("type") or printing.NONE,
            printing.age(obj),
            dangling.get("status", "") if dangling else "?",
        ]


def _rule(errors: Errors, rule: Obj, path: str) -> None:
    subjects = rule.get("subjects") or []
    if not subjects:
        errors.required(f"{path}.subjects", "subjects must contain at least one value")
    for index, subject in enumerate(subjects):
        kind = subject.get("kind") or ""
        field = {"ServiceAccount": "serviceAccount", "User": "user", "Group": "group"}.get(kind)
        where = f"{path}.subjects[{index}]"
        if field is None:
            errors.unsupported(f"{where}.kind", kind, ("Group", "ServiceAccount", "User"))
        elif subject.get(field) is None:
            errors.required(f"{where}.{field}", f"{field} is required when subject kind is '{kind}'")
        else:
            errors.present(f"{where}.{field}.name", subject[field].get("name"))
    resources, others = rule.get("resourceRules") or [], rule.get("nonResourceRules") or []
    if not resources and not others:
        errors.required(path, "at least one of resourceRules and nonResourceRules has to be non-empty")
    for index, each in enumerate(resources):
        where = f"{path}.resourceRules[{index}]"
        _verbs(errors, each.get("verbs") or [], f"{where}.verbs")
        for field, what in (("apiGroups", "api group"), ("resources", "resource")):
            if not each.get(field):
                errors.required(f"{where}.{field}", f"resource rules must supply at least one {what}")
        if not each.get("namespaces") and not each.get("clusterScope"):
            errors.required(
                f"{where}.namespaces", "resource rules that are not cluster scoped must supply at least one namespace"
            )
    for index, each in enumerate(others):
        where = f"{path}.nonResourceRules[{index}]"
        _verbs(errors, each.get("verbs") or [], f"{where}.verbs")
        if not each.get("nonResourceURLs"):
            errors.required(f"{where}.nonResourceURLs", "nonResourceURLs must contain at least one value")


def _verbs(errors: Errors, verbs: list[str], path: str) -> None:
    if not verbs:
        errors.required(path, "verbs must contain at least one value")
    elif "*" in verbs and len(verbs) > 1:
        errors.invalid(path, verbs, "if '*' is present, must not specify other verbs")
    elif not set(verbs) <= _VERBS:
        errors.unsupported(path, verbs, sorted(_VERBS))


class PriorityLevelStrategy(Strategy):
    """A priority level."""

    tracks_generation = True
    allow_unconditional_update = False
    initial_status: ClassVar[Obj] = {}
    columns = (
        printing.NAME,
        column("Type", description="Limited, or Exempt."),
        column("NominalConcurrencyShares", "string", "Its share of the server's concurrency."),
        column("Queues", "string", "How many queues it has."),
        column("HandSize", "string", "How many queues a flow may use."),
        column("QueueLengthLimit", "string", "How long a queue may get."),
        printing.AGE,
    )

    def default(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        limited = spec.get("limited")
        if spec.get("type") == "Exempt":
            exempt = spec["exempt"] = spec.get("exempt") or {}
            for field in ("nominalConcurrencyShares", "lendablePercent"):
                if exempt.get(field) is None:
                    exempt[field] = 0
        if limited is not None:
            for field, value in _LIMITED.items():
                if limited.get(field) is None:
                    limited[field] = value
            response = limited.setdefault("limitResponse", {})
            if response.get("type") == "Queue" and response.get("queuing") is not None:
                for field, value in _QUEUING.items():
                    response["queuing"][field] = response["queuing"].get(field) or value

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        spec = printing.spec(obj)
        kind = spec.get("type") or ""
        if kind == "Exempt":
            if spec.get("limited") is not None:
                errors.forbidden("spec.limited", "must be nil if the type is not Limited")
        elif kind == "Limited":
            if spec.get("exempt") is not None:
                errors.forbidden("spec.exempt", "must be nil if the type is Limited")
            if spec.get("limited") is None:
                errors.required("spec.limited", "must not be empty when type is Limited")
            else:
                _limited(errors, spec["limited"], "spec.limited")
        else:
            errors.unsupported("spec.type", kind, LEVEL_TYPES)

    def row(self, obj: Obj) -> list[Any]:
        spec = printing.spec(obj)
        limited = spec.get("limited") or spec.get("exempt") or {}
        queuing = ((spec.get("limited") or {}).get("limitResponse") or {}).get("queuing") or {}
        return [
            meta.name(obj),
            spec.get("type", ""),
            limited.get("nominalConcurrencyShares", printing.NONE),
            queuing.get("queues", printing.NONE),
            queuing.get("handSize", printing.NONE),
            queuing.get("queueLengthLimit", printing.NONE),
            printing.age(obj),
        ]


def _limited(errors: Errors, limited: Obj, path: str) -> None:
    shares = limited.get("nominalConcurrencyShares")
    if shares is not None and shares < 0:
        errors.invalid(f"{path}.nominalConcurrencyShares", shares, "must be a non-negative integer")
    errors.in_range(f"{path}.lendablePercent", limited.get("lendablePercent"), 0, 100)
    response = limited.get("limitResponse") or {}
    where, kind = f"{path}.limitResponse", response.get("type") or ""
    if kind == "Reject":
        if response.get("queuing") is not None:
            errors.forbidden(f"{where}.queuing", "must be nil if limited.limitResponse.type is not Limited")
    elif kind == "Queue":
        queuing = response.get("queuing")
        if queuing is None:
            errors.required(f"{where}.queuing", "must not be empty if limited.limitResponse.type is Limited")
            return
        for field in ("queueLengthLimit", "queues", "handSize"):
            if queuing.get(field, 0) <= 0:
                errors.invalid(f"{where}.queuing.{field}", queuing.get(field, 0), "must be positive")
        if queuing.get("handSize", 0) > queuing.get("queues", 0):
            errors.invalid(
                f"{where}.queuing.handSize",
                queuing["handSize"],
                f"should not be greater than queues ({queuing.get('queues', 0)})",
            )
    else:
        errors.unsupported(f"{where}.type", kind, ("Queue", "Reject"))


STRATEGIES: dict[str, type[Strategy]] = {
    "flowschemas.flowcontrol.apiserver.k8s.io": FlowSchemaStrategy,
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": PriorityLevelStrategy,
}
