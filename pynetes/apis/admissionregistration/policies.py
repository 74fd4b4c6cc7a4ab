"""Admission policies, written in CEL, and their bindings."""

from typing import Any, ClassVar

from pynetes.apis import checks, printing
from pynetes.apis.admissionregistration import rules
from pynetes.apis.checks import Errors
from pynetes.apis.printing import column
from pynetes.apis.strategy import Strategy
from pynetes.machinery import meta, names
from pynetes.machinery.meta import Obj

ACTIONS = ("Audit", "Deny", "Warn")
REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized")
PATCH_TYPES = ("ApplyConfiguration", "JSONPatch")


def _default_match(match: Obj) -> None:
    if match.get("matchPolicy") is None:
        match["matchPolicy"] = "Equivalent"
    for field in ("namespaceSelector", "objectSelector"):
        if match.get(field) is None:
            match[field] = {}
    for kind in ("resourceRules", "excludeResourceRules"):
        for rule in match.get(kind) or []:
            rules.default_rule(rule)


def _match(errors: Errors, match: Obj, path: str) -> None:
    rules.one_of(errors, match, "matchPolicy", rules.MATCH_POLICIES, path)
    for field in ("namespaceSelector", "objectSelector"):
        checks.label_selector(errors, match.get(field), f"{path}.{field}")
    for kind in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(match.get(kind) or []):
            rules.with_operations(errors, rule, f"{path}.{kind}[{index}]")


class PolicyStrategy(Strategy):
    """What both kinds of policy have."""

    tracks_generation = True

    def default(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        if spec.get("failurePolicy") is None:
            spec["failurePolicy"] = "Fail"
        if spec.get("matchConstraints") is not None:
            _default_match(spec["matchConstraints"])

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        spec = printing.spec(obj)
        rules.one_of(errors, spec, "failurePolicy", rules.FAILURE_POLICIES, "spec")
        kind = spec.get("paramKind")
        if kind is not None:
            for field in ("apiVersion", "kind"):
                errors.present(f"spec.paramKind.{field}", kind.get(field))
        constraints = spec.get("matchConstraints")
        if constraints is None:
            errors.required("spec.matchConstraints")
        else:
            if not constraints.get("resourceRules"):
                errors.required("spec.matchConstraints.resourceRules")
            _match(errors, constraints, "spec.matchConstraints")
        rules.match_conditions(errors, spec.get("matchConditions") or [], "spec.matchConditions")
        self._variables(errors, spec.get("variables") or [])
        self.validate_effects(errors, spec)

    def _variables(self, errors: Errors, variables: list[Obj]) -> None:
        for index, variable in enumerate(variables):
            path, name = f"spec.variables[{index}]", variable.get("name") or ""
            if not name:
                errors.required(f"{path}.name", "name is not specified")
            elif names.c_identifier(name):
                errors.invalid(f"{path}.name", name, "name is not a valid CEL identifier")
            if not (variable.get("expression") or "").strip():
                errors.required(f"{path}.expression", "expression is not specified")

    def validate_effects(self, errors: Errors, spec: Obj) -> None:
        """What the policy does."""


class ValidatingPolicyStrategy(PolicyStrategy):
    """A policy that may refuse."""

    initial_status: ClassVar[Obj] = {}
    columns = (
        printing.NAME,
        column("Validations", "integer", "How many validations it makes."),
        column("ParamKind", description="The kind of its parameters."),
        printing.AGE,
    )

    def validate_effects(self, errors: Errors, spec: Obj) -> None:
        validations, audits = spec.get("validations") or [], spec.get("auditAnnotations") or []
        if not validations and not audits:
            errors.required("spec.validations", "validations or auditAnnotations must contain at least one item")
        for index, validation in enumerate(validations):
            path = f"spec.validations[{index}]"
            if not (validation.get("expression") or "").strip():
                errors.required(f"{path}.expression", "expression is not specified")
            message = validation.get("message") or ""
            if message and not message.strip():
                errors.invalid(f"{path}.message", message, "message must be non-empty if specified")
            elif "\n" in message.strip():
                errors.invalid(f"{path}.message", message, "message must not contain line breaks")
            reason = validation.get("reason")
            if reason is not None and reason not in REASONS:
                errors.unsupported(f"{path}.reason", reason, REASONS)
        seen: set[str] = set()
        for index, audit in enumerate(audits):
            path, key = f"spec.auditAnnotations[{index}]", audit.get("key") or ""
            if not key:
                errors.required(f"{path}.key")
            else:
                errors.check(f"{path}.key", key, names.qualified_name(key))
            if key in seen:
                errors.duplicate(f"{path}.key", key)
            seen.add(key)
            if not (audit.get("valueExpression") or "").strip():
                errors.required(f"{path}.valueExpression", "valueExpression is not specified")

    def row(self, obj: Obj) -> list[Any]:
        spec = printing.spec(obj)
        return [meta.name(obj), len(spec.get("validations") or []), _kind(spec.get("paramKind")), printing.age(obj)]


class MutatingPolicyStrategy(PolicyStrategy):
    """A policy that may change."""

    columns = (
        printing.NAME,
        column("Mutations", "integer", "How many mutations it makes."),
        column("ParamKind", description="The kind of its parameters."),
        printing.AGE,
    )

    def default(self, obj: Obj) -> None:
        super().default(obj)
        if obj["spec"].get("reinvocationPolicy") is None:
            obj["spec"]["reinvocationPolicy"] = "Never"

    def validate_effects(self, errors: Errors, spec: Obj) -> None:
        mutations = spec.get("mutations") or []
        if not mutations:
            errors.required("spec.mutations", "mutations must contain at least one item")
        for index, mutation in enumerate(mutations):
            path, kind = f"spec.mutations[{index}]", mutation.get("patchType") or ""
            field = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}.get(kind)
            if not kind:
                errors.required(f"{path}.patchType")
            elif field is None:
                errors.unsupported(f"{path}.patchType", kind, PATCH_TYPES)
            elif not ((mutation.get(field) or {}).get("expression") or "").strip():
                errors.required(f"{path}.{field}.expression", "expression is not specified")
        rules.one_of(errors, spec, "reinvocationPolicy", ("IfNeeded", "Never"), "spec")

    def row(self, obj: Obj) -> list[Any]:
        spec = printing.spec(obj)
        return [meta.name(obj), len(spec.get("mutations") or []), _kind(spec.get("paramKind")), printing.age(obj)]


def _kind(kind: Obj | None) -> str:
    return f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}" if kind else printing.UNSET


class PolicyBindingStrategy(Strategy):
    """Where a policy is in force, and with what parameters."""

    tracks_generation = True
    columns = (
        printing.NAME,
        column("PolicyName", description="The policy."),
        column("ParamRef", description="Its parameters."),
        printing.AGE,
    )

    def default(self, obj: Obj) -> None:
        match = (obj.get("spec") or {}).get("matchResources")
        if match is not None:
            _default_match(match)

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        spec = printing.spec(obj)
        name = spec.get("policyName") or ""
        if not name:
            errors.required("spec.policyName")
        else:
            errors.check("spec.policyName", name, names.dns1123_subdomain(name))
        reference = spec.get("paramRef")
        if reference is not None:
            _parameters(errors, reference, "spec.paramRef")
        if spec.get("matchResources") is not None:
            _match(errors, spec["matchResources"], "spec.matchResources")
        if self.resource.plural.startswith("validating"):
            _actions(errors, spec.get("validationActions") or [])

    def row(self, obj: Obj) -> list[Any]:
        spec = printing.spec(obj)
        reference = spec.get("paramRef")
        text = printing.UNSET
        if reference:
            namespace, name = reference.get("namespace"), reference.get("name", "")
            text = f"{namespace or '*'}/{name}" if name else f"{namespace or '*'}"
        return [meta.name(obj), spec.get("policyName", ""), text, printing.age(obj)]


def _parameters(errors: Errors, reference: Obj, path: str) -> None:
    name, selector = reference.get("name"), reference.get("selector")
    if name and selector is not None:
        errors.forbidden(f"{path}.name", "name and selector are mutually exclusive")
    elif not name and selector is None:
        errors.required(path, "one of name or selector must be specified")
    if selector is not None:
        checks.label_selector(errors, selector, f"{path}.selector")
    action = reference.get("parameterNotFoundAction")
    if action is None:
        errors.required(f"{path}.parameterNotFoundAction")
    elif action not in ("Allow", "Deny"):
        errors.unsupported(f"{path}.parameterNotFoundAction", action, ("Deny", "Allow"))


def _actions(errors: Errors, actions: list[str]) -> None:
    path = "spec.validationActions"
    if not actions:
        errors.required(path, "at least one validation action is required")
    for index, action in enumerate(actions):
        if action not in ACTIONS:
            errors.unsupported(f"{path}[{index}]", action, ACTIONS)
        if action in actions[:index]:
            errors.duplicate(f"{path}[{index}]", action)
    if "Deny" in actions and "Warn" in actions:
        errors.invalid(
            path,
            actions,
            "must not contain both Deny and Warn (repeating the same validation failure information in the API "
            "response and headers serves no purpose)",
        )
