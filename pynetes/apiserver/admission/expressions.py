"""What CEL expressions of admission see: `object`, `oldObject`, `request`, `params`, `namespaceObject`, `authorizer`.

Expressions are compiled once and remembered by their text. `conditions_hold` answers for the match conditions of
webhooks and policies: one that is false decides; errors count only if none is.
"""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from pynetes.apiserver.admission import Attributes
from pynetes.apiserver.authn import service_accounts
from pynetes.apiserver.request import RequestInfo, UserInfo
from pynetes.machinery import cel, errors, resources, selectors
from pynetes.machinery.cel.values import no_overload, show_timestamp, to_string
from pynetes.machinery.meta import Obj
from pynetes.machinery.resources import ResourceType

if TYPE_CHECKING:
    from pynetes.apiserver.authz.authorizer import Authorizer
    from pynetes.apiserver.main import ApiServer

NAMESPACES = resources.lookup("namespaces")
NAMES = frozenset({"object", "oldObject", "request", "params", "namespaceObject", "authorizer", "variables"})


@functools.lru_cache(maxsize=4096)
def compiled(expression: str) -> cel.Program:
    """The program of an expression."""
    return cel.compile(expression, NAMES)


def evaluate(expression: str, bindings: Mapping[str, Any]) -> Any:
    """The value of an expression; a failure says which expression it was."""
    try:
        return compiled(expression).evaluate(bindings)
    except cel.CelError as error:
        raise cel.CelError(f"expression '{expression}' resulted in error: {error}") from None


def bindings(attributes: Attributes, rt: ResourceType, server: "ApiServer") -> dict[str, Any]:
    """The names an expression may use for this write, seen as a write of `rt`."""
    from pynetes.apiserver.admission.webhooks import review_request

    review = review_request(attributes, rt)
    new, old = review.pop("object"), review.pop("oldObject")
    del review["uid"]
    space = attributes.namespace if attributes.group_resource != "namespaces" else ""
    return {
        "object": new,
        "oldObject": old,
        "request": review,
        "namespaceObject": server.registry.get(NAMESPACES, None, space) if space else None,
        "authorizer": AuthorizerValue(server.authorizer, attributes.user, _own_check(attributes)),
        "params": None,
        "variables": {},
    }


def conditions_hold(conditions: Iterable[dict[str, Any]], bound: Mapping[str, Any]) -> bool:
    """Whether all match conditions are true; raises CelError if that cannot be known and none is false."""
    failures = []
    for condition in conditions:
        try:
            if evaluate(condition.get("expression", ""), bound) is not True:
                return False
        except cel.CelError as error:
            failures.append(str(error))
    if failures:
        raise cel.CelError(errors.aggregate(failures))
    return True


class Variables:
    """`variables.name`: each computed when first asked for, once."""

    type_name = "kubernetes.variables"

    def __init__(self, declared: Iterable[dict[str, Any]], bound: dict[str, Any]) -> None:
        self._declared = {entry["name"]: entry["expression"] for entry in declared}
        self._bound = {**bound, "variables": self}
        self._known: dict[str, Any] = {}

    def has(self, name: str) -> bool:
        """Whether there is such a variable."""
        return name in self._declared

    def field(self, name: str) -> Any:
        """The variable's value; raises CelError."""
        if name not in self._declared:
            raise cel.CelError(f"no such key: {name}")
        if name not in self._known:
            try:
                self._known[name] = evaluate(self._declared[name], self._bound)
            except cel.CelError as error:
                raise cel.CelError(f"composited variable {name!r} fails to evaluate: {error}") from None
        return self._known[name]


# The authorizer as a value.


def _own_check(attributes: Attributes) -> RequestInfo:
    rt = attributes.rt
    return RequestInfo(
        True, "", rt.group, rt.version, rt.plural, attributes.subresource, attributes.namespace, attributes.name
    )


@dataclass(frozen=True)
class AuthorizerValue:
    """`authorizer`."""

    authorizer: "Authorizer"
    user: UserInfo
    request: RequestInfo
    type_name: ClassVar[str] = "kubernetes.authorization.Authorizer"

    def has(self, name: str) -> bool:
        """Only the request's own check is a field."""
        return name == "requestResource"

    def field(self, name: str) -> Any:
        """`authorizer.requestResource`."""
        if name != "requestResource":
            raise cel.CelError(f"no such key: {name}")
        return CheckValue(self.authorizer, self.user, self.request)

    def call(self, function: str, arguments: list[Any]) -> Any:
        match function, arguments:
            case "path", [str(path)]:
                return CheckValue(self.authorizer, self.user, RequestInfo(False, "", path=path))
            case "group", [str(group)]:
                return CheckValue(self.authorizer, self.user, RequestInfo(True, "", group, "*"))
            case "serviceAccount", [str(namespace), str(name)]:
                user = UserInfo(service_accounts.user_name(namespace, name), groups=service_accounts.groups(namespace))
                return replace(self, user=user)
        raise no_overload(function)


@dataclass(frozen=True)
class CheckValue:
    """What may be asked: a path, or a resource that is narrowed down step by step."""

    authorizer: "Authorizer"
    user: UserInfo
    info: RequestInfo
    type_name: ClassVar[str] = "kubernetes.authorization.ResourceCheck"
    steps: ClassVar[frozenset[str]] = frozenset({"resource", "subresource", "namespace", "name"})

    def call(self, function: str, arguments: list[Any]) -> Any:
        match function, arguments:
            case step, [str(value)] if step in self.steps and self.info.is_resource:
                changes: dict[str, Any] = {step: value}
                return replace(self, info=replace(self.info, **changes))
            case "fieldSelector", [str(selector)]:
                return replace(self, info=replace(self.info, field_selector=selector))
            case "labelSelector", [str()]:
                return self  # nothing here decides by labels
            case "check", [str(verb)]:
                decision = self.authorizer.authorize(self.user, replace(self.info, verb=verb))
                return DecisionValue(decision.allowed, decision.reason)
        raise no_overload(function)


@dataclass(frozen=True)
class DecisionValue:
    """The answer to a check."""

    is_allowed: bool
    why: str = field(default="")
    type_name: ClassVar[str] = "kubernetes.authorization.Decision"

    def call(self, function: str, arguments: list[Any]) -> Any:
        match function, arguments:
            case "allowed", []:
                return self.is_allowed
            case "reason", []:
                return self.why
            case "errored", []:
                return False
            case "error", []:
                return ""
        raise no_overload(function)


def as_json(value: Any) -> Any:
    """A CEL value as it is written into an object."""
    if isinstance(value, dict):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_json(item) for item in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, datetime):
        return show_timestamp(value)
    if isinstance(value, timedelta):
        return to_string(value)
    if isinstance(value, str | float):
        return value
    return str(value)


def matching_params(policy: Obj, binding: Obj, attributes: Attributes, server: "ApiServer") -> list[Obj | None]:
    """The parameter objects a binding gives its policy; `[None]` where it takes none. Raises CelError."""
    kind = (policy.get("spec") or {}).get("paramKind")
    reference = (binding.get("spec") or {}).get("paramRef")
    if kind is None or reference is None:
        return [None]
    rt = next(
        (
            entry.rt
            for entry in server.registry
            if (entry.rt.api_version, entry.rt.kind) == (kind.get("apiVersion"), kind.get("kind"))
        ),
        None,
    )
    if rt is None:
        said = f"{kind.get('apiVersion')}, Kind={kind.get('kind')}"
        raise cel.CelError(f"failed to configure policy: failed to find resource referenced by paramKind: '{said}'")
    space = (reference.get("namespace") or attributes.namespace) if rt.namespaced else None
    if rt.namespaced and not space:
        raise cel.CelError(
            "failed to configure binding: cannot use namespaced paramRef in policy binding "
            "that matches cluster-scoped resources"
        )
    found: list[Obj | None]
    if reference.get("name"):
        one = server.registry.get(rt, space, reference["name"])
        found = [] if one is None else [one]
    else:
        found = list(server.registry.list(rt, space, selectors.from_label_selector(reference.get("selector") or {})))
    if not found and reference.get("parameterNotFoundAction") != "Allow":
        raise cel.CelError(
            "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
        )
    return found
