"""ValidatingAdmissionPolicy and MutatingAdmissionPolicy: rules in CEL, written into the API itself.

A policy says what is to hold (or to be changed), a binding where, and with which parameters. Policies and bindings are
followed by the change. An expression that cannot be evaluated refuses the write, or is passed over, as the policy's
`failurePolicy` says; what a violation leads to (deny, warn, audit) is said by the binding.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from pynetes.apiserver.admission import Attributes, Plugin
from pynetes.apiserver.admission.expressions import (
    Variables,
    as_json,
    bindings,
    conditions_hold,
    evaluate,
    matching_params,
)
from pynetes.apiserver.admission.type_checks import TypeChecks
from pynetes.apiserver.admission.webhook_match import is_exempt, matched_type, rule_matches, selectors_match
from pynetes.apiserver.admission.webhooks import equivalent_types, namespace_labels
from pynetes.apiserver.mirror import Mirror
from pynetes.machinery import cel, clock, errors, meta, scheme, wire
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj
from pynetes.machinery.patches import json_patch
from pynetes.machinery.patches.apply import server_side_apply
from pynetes.machinery.resources import ResourceType

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer

_CODES = {"Unauthorized": 401, "Forbidden": 403, "Invalid": 422, "RequestEntityTooLarge": 413}
_AUDIT = "validation.policy.admission.k8s.io/validation_failure"
_MESSAGE_LIMIT = 5 * 1024


class _Match(NamedTuple):
    policy: Obj
    binding: Obj
    rt: ResourceType


class _Policies(Plugin):
    """What both kinds of policy have in common."""

    policies_plural = ""
    bindings_plural = ""

    def __init__(self) -> None:
        self._policies: dict[str, Obj] = {}
        self._bindings: Mirror[Obj] | None = None
        self._mirrors: list[Mirror[Obj]] = []

    def start(self, server: "ApiServer") -> None:
        prefix = "/admissionregistration.k8s.io"
        self._bindings = Mirror(server.store, f"{prefix}/{self.bindings_plural}/")
        self._mirrors = [self._bindings, Mirror(server.store, f"{prefix}/{self.policies_plural}/", self._change_policy)]
        for mirror in self._mirrors:
            mirror.start()

    async def stop(self) -> None:
        for mirror in self._mirrors:
            await mirror.stop()

    def _change_policy(self, old: Obj | None, new: Obj | None) -> None:
        if new is not None:
            self._policies[meta.name(new)] = new
        elif old is not None:
            self._policies.pop(meta.name(old), None)

    def _matches(self, attributes: Attributes, server: "ApiServer") -> Iterator[_Match]:
        """Every policy with a binding that concerns the write."""
        if not self._bindings or not self._policies or is_exempt(attributes):
            return
        equivalents = equivalent_types(attributes.rt, server)
        labels = namespace_labels(attributes, server)
        for binding in sorted(self._bindings, key=meta.name):
            spec = binding.get("spec") or {}
            policy = self._policies.get(spec.get("policyName", ""))
            if policy is None:
                continue
            constraints = (policy.get("spec") or {}).get("matchConstraints") or {}
            rt = _matched(constraints, attributes, equivalents, labels)
            narrowed = spec.get("matchResources")
            if rt is not None and (narrowed is None or _matched(narrowed, attributes, equivalents, labels) is not None):
                yield _Match(policy, binding, rt)


def _matched(
    constraints: dict[str, Any],
    attributes: Attributes,
    equivalents: list[ResourceType],
    labels: dict[str, str] | None,
) -> ResourceType | None:
    """The type a policy wants the object as, or None if its constraints leave it out."""
    if not selectors_match(constraints, attributes, labels):
        return None
    namespaced = bool(attributes.namespace) and attributes.group_resource != "namespaces"
    for rule in constraints.get("excludeResourceRules") or ():
        if _names(rule, attributes) and any(
            rule_matches(rule, attributes.operation, rt, attributes.subresource, namespaced)
            for rt in (attributes.rt, *equivalents)
        ):
            return None
    rules = constraints.get("resourceRules")
    if not rules:
        return attributes.rt
    named = [rule for rule in rules if _names(rule, attributes)]
    return matched_type({**constraints, "rules": named}, attributes, equivalents)


def _names(rule: dict[str, Any], attributes: Attributes) -> bool:
    wanted = rule.get("resourceNames")
    return not wanted or attributes.name in wanted


class ValidatingAdmissionPolicy(_Policies):
    """Policies that may only refuse (or warn)."""

    name = "ValidatingAdmissionPolicy"
    policies_plural = "validatingadmissionpolicies"
    bindings_plural = "validatingadmissionpolicybindings"

    def __init__(self) -> None:
        super().__init__()
        self._checks = TypeChecks()

    def start(self, server: "ApiServer") -> None:
        super().start(server)
        for policy in self._policies.values():
            self._checks.consider(policy)
        self._checks.start(server)

    async def stop(self) -> None:
        await self._checks.stop()
        await super().stop()

    def _change_policy(self, old: Obj | None, new: Obj | None) -> None:
        super()._change_policy(old, new)
        if new is not None:
            self._checks.consider(new)

    async def validate(self, attributes: Attributes, server: "ApiServer") -> None:
        denials: list[StatusError] = []
        for match in self._matches(attributes, server):
            for found in _violations(match, attributes, server):
                _act(found, match, attributes, denials)
        if denials:
            raise denials[0]


class _Violation(NamedTuple):
    message: str
    reason: str = "Invalid"


def _violations(match: _Match, attributes: Attributes, server: "ApiServer") -> Iterator[_Violation]:
    """What the write violates of one policy under one binding, for each of its parameters."""
    spec = match.policy.get("spec") or {}
    strict = (spec.get("failurePolicy") or "Fail") == "Fail"
    base = bindings(attributes, match.rt, server)
    try:
        if not conditions_hold(spec.get("matchConditions") or (), base):
            return
        params = matching_params(match.policy, match.binding, attributes, server)
    except cel.CelError as error:
        if strict:
            yield _Violation(str(error))
        return
    for param in params:
        bound = {**base, "params": param}
        bound["variables"] = Variables(spec.get("variables") or (), bound)
        for validation in spec.get("validations") or ():
            reason = validation.get("reason") or "Invalid"
            try:
                if evaluate(validation["expression"], bound) is not True:
                    yield _Violation(_message(validation, bound), reason)
            except cel.CelError as error:
                if strict:
                    yield _Violation(str(error), reason)
        for annotation in spec.get("auditAnnotations") or ():
            try:
                value = evaluate(annotation["valueExpression"], bound)
            except cel.CelError as error:
                if strict:
                    yield _Violation(str(error))
                continue
            if isinstance(value, str) and value:
                attributes.audit_annotations[f"{meta.name(match.policy)}/{annotation['key']}"] = value


def _message(validation: dict[str, Any], bound: dict[str, Any]) -> str:
    fallback = str(validation.get("message") or f"failed expression: {validation['expression'].strip()}")
    expression = validation.get("messageExpression")
    if not expression:
        return fallback
    try:
        made = evaluate(expression, bound)
    except cel.CelError:
        return fallback
    fits = isinstance(made, str) and made.strip() and "\n" not in made and len(made) <= _MESSAGE_LIMIT
    return made.strip() if fits else fallback


def _act(found: _Violation, match: _Match, attributes: Attributes, denials: list[StatusError]) -> None:
    policy, binding = meta.name(match.policy), meta.name(match.binding)
    for action in (match.binding.get("spec") or {}).get("validationActions") or ("Deny",):
        if action == "Deny":
            said = f"ValidatingAdmissionPolicy '{policy}' with binding '{binding}' denied request: {found.message}"
            denial = attributes.forbidden(said)
            denial.reason, denial.code = found.reason, _CODES.get(found.reason, 422)
            denial.details["causes"] = [{"message": said}]
            denials.append(denial)
        elif action == "Warn":
            attributes.warnings.append(
                f"Validation failed for ValidatingAdmissionPolicy '{policy}' with binding '{binding}': {found.message}"
            )
        elif action == "Audit":
            entry = {"message": found.message, "policy": policy, "binding": binding, "validationActions": ["Audit"]}
            known = wire.decode(attributes.audit_annotations.get(_AUDIT, "[]"))
            attributes.audit_annotations[_AUDIT] = wire.encode([*known, entry]).decode()


class MutatingAdmissionPolicy(_Policies):
    """Policies that change the object."""

    name = "MutatingAdmissionPolicy"
    policies_plural = "mutatingadmissionpolicies"
    bindings_plural = "mutatingadmissionpolicybindings"

    async def admit(self, attributes: Attributes, server: "ApiServer") -> None:
        if attributes.obj is None:
            return
        for match in self._matches(attributes, server):
            key = f"{meta.name(match.binding)}@policy"
            if attributes.reinvoked:
                again = ((match.policy.get("spec") or {}).get("reinvocationPolicy") or "Never") == "IfNeeded"
                if not again or attributes.webhook_outcomes.get(key) == attributes.obj:
                    continue
            before = meta.deep_copy(attributes.obj)
            try:
                _mutate(match, attributes, server)
            except cel.CelError as error:
                if ((match.policy.get("spec") or {}).get("failurePolicy") or "Fail") == "Fail":
                    said = (
                        f"policy '{meta.name(match.policy)}' with binding '{meta.name(match.binding)}' denied request"
                    )
                    raise attributes.forbidden(f"{said}: {error}") from None
                attributes.obj.clear()
                attributes.obj.update(before)
            attributes.changed_by_webhook = attributes.changed_by_webhook or attributes.obj != before
            attributes.webhook_outcomes[key] = meta.deep_copy(attributes.obj)


def _mutate(match: _Match, attributes: Attributes, server: "ApiServer") -> None:
    spec = match.policy.get("spec") or {}
    base = bindings(attributes, match.rt, server)
    if not conditions_hold(spec.get("matchConditions") or (), base):
        return
    assert attributes.obj is not None
    for param in matching_params(match.policy, match.binding, attributes, server):
        for mutation in spec.get("mutations") or ():
            bound = {**base, "object": attributes.obj, "params": param}
            bound["variables"] = Variables(spec.get("variables") or (), bound)
            if mutation.get("patchType") == "JSONPatch":
                operations = as_json(evaluate(mutation["jsonPatch"]["expression"], bound))
                changed = _patched(attributes.obj, operations)
            else:
                wanted = as_json(evaluate(mutation["applyConfiguration"]["expression"], bound))
                changed = _applied(attributes, server, wanted)
            _replace(attributes, server, changed)


def _patched(obj: Obj, operations: list[Any]) -> Obj:
    """The object after the operations; as it was if one of them tested in vain."""
    try:
        patched = json_patch.run(obj, operations)
    except json_patch.TestFailedError:
        return obj
    except json_patch.PatchError as error:
        raise cel.CelError(f"JSON Patch: {error}") from None
    if not isinstance(patched, dict):
        raise cel.CelError("JSON Patch: the patched document is not an object")
    return patched


def _applied(attributes: Attributes, server: "ApiServer", wanted: Obj) -> Obj:
    """The object with a configuration applied to it as by server-side apply, owned by nobody in particular."""
    assert attributes.obj is not None
    live = meta.deep_copy(attributes.obj)
    owned = live["metadata"].pop("managedFields", None)
    head = {"apiVersion": live.get("apiVersion"), "kind": live.get("kind")}
    schema = server.registry.resource(attributes.rt).schema
    if schema is None:
        raise cel.CelError("apply configurations need a kind with a schema")
    try:
        config = {**wanted, **head, "metadata": wanted.get("metadata") or {}}
        applied = server_side_apply(live, config, "admission-policy", True, schema, clock.timestamp())
    except StatusError as error:
        raise cel.CelError(error.message) from None
    applied["metadata"].pop("managedFields", None)
    if owned is not None:
        applied["metadata"]["managedFields"] = owned
    return applied


def _replace(attributes: Attributes, server: "ApiServer", changed: Obj) -> None:
    """Put the changed object in the place of the old one: typed and defaulted, in the very same dictionary."""
    assert attributes.obj is not None
    if not attributes.subresource:
        if scheme.definition_of(attributes.rt.api_version, attributes.rt.kind) is not None:
            try:
                changed = scheme.decode(attributes.rt, wire.encode(changed))
            except errors.StatusError as error:
                raise cel.CelError(error.message) from None
        server.registry.resource(attributes.rt).strategy.default(changed)
    attributes.obj.clear()
    attributes.obj.update(changed)
