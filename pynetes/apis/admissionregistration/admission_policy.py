"""Admission policies, validating and mutating, and the bindings that put them to work."""

import re
from typing import Any

from pynetes.apis import checks, printing
from pynetes.apis.admissionregistration import rules, scopes
from pynetes.apis.admissionregistration.scopes import Scope
from pynetes.apis.checks import Errors
from pynetes.apis.printing import column
from pynetes.apis.strategy import Strategy
from pynetes.machinery import meta, names
from pynetes.machinery.meta import Obj

ACTIONS = ("Audit", "Deny", "Warn")
REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")
NOT_FOUND_ACTIONS = ("Deny", "Allow")
PATCH_TYPES = ("ApplyConfiguration", "JSONPatch")
_GIVES = {"ApplyConfiguration": ("Object",), "JSONPatch": ("list",)}
AUDIT_ANNOTATIONS_LIMIT = 20
AUDIT_EXPRESSION_LIMIT = 5 * 1024
_NOTHING_TO_DO = "validations or auditAnnotations must contain at least one item"
_IDENTIFIER = re.compile("[_a-zA-Z][_a-zA-Z0-9]*")
_RESERVED = frozenset(
    ("true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import",
     "let", "loop", "package", "namespace", "return", "var", "void", "while")
)  # fmt: skip


class AdmissionPolicyStrategy(Strategy):
    """What both kinds of policy have."""

    tracks_generation = True
    any_finalizer = True
    allow_unconditional_update = False

    def default(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        if spec.get("failurePolicy") is None:
            spec["failurePolicy"] = "Fail"
        match = spec.get("matchConstraints")
        rules.default_match(match)
        for field in ("resourceRules", "excludeResourceRules"):
            rules.default_rules((match or {}).get(field))

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        spec = printing.spec(obj)
        errors.required_one_of("spec.failurePolicy", spec.get("failurePolicy"), rules.FAILURE_POLICIES)
        if spec.get("paramKind") is not None:
            _param_kind(errors, spec["paramKind"])
        match = spec.get("matchConstraints")
        if match is None:
            errors.required("spec.matchConstraints")
        else:
            rules.match_resources(errors, match, "spec.matchConstraints")
            errors.present("spec.matchConstraints.resourceRules", match.get("resourceRules"))
        scope, variables = scopes.of_policy(spec), spec.get("variables") or []
        rules.match_conditions(errors, spec.get("matchConditions"), "spec.matchConditions", scope)
        for index, variable in enumerate(variables):
            _variable(errors, variable, f"spec.variables[{index}]", scopes.with_variables(scope, variables[:index]))
        self.validate_actions(errors, obj, spec)

    def validate_actions(self, errors: Errors, obj: Obj, spec: Obj) -> None:
        """What the policy does with the requests it matches."""


class ValidatingAdmissionPolicyStrategy(AdmissionPolicyStrategy):
    """A validating admission policy."""

    columns = (
        printing.NAME,
        column("Validations", "integer", "How many validations it makes."),
        column("ParamKind", description="The kind of its parameters."),
        printing.AGE,
    )

    def validate_actions(self, errors: Errors, obj: Obj, spec: Obj) -> None:
        validations, annotations = spec.get("validations") or [], spec.get("auditAnnotations") or []
        if not validations and not annotations:
            errors.required("spec.validations", _NOTHING_TO_DO)
            errors.required("spec.auditAnnotations", _NOTHING_TO_DO)
        for index, validation in enumerate(validations):
            _validation(errors, validation, f"spec.validations[{index}]", _scope(spec))
        if len(annotations) > AUDIT_ANNOTATIONS_LIMIT:
            detail = f"must not have more than {AUDIT_ANNOTATIONS_LIMIT} auditAnnotations"
            errors.invalid("spec.auditAnnotations", annotations, detail)
        for index, annotation in enumerate(annotations):
            path, key = f"spec.auditAnnotations[{index}]", annotation.get("key", "")
            _audit_annotation(errors, annotation, path, meta.name(obj), _scope(spec))
            if any(each.get("key", "") == key for each in annotations[:index]):
                errors.duplicate(f"{path}.key", key)

    def validate_status(self, errors: Errors, new: Obj, old: Obj) -> None:
        checking = printing.status(new).get("typeChecking") or {}
        for index, warning in enumerate(checking.get("expressionWarnings") or []):
            path = f"status.typeChecking.expressionWarnings[{index}]"
            errors.present(f"{path}.warning", warning.get("warning"))
            errors.present(f"{path}.fieldRef", (warning.get("fieldRef") or "").strip())

    def row(self, obj: Obj) -> list[Any]:
        spec = printing.spec(obj)
        return [meta.name(obj), len(spec.get("validations") or []), _kind_cell(spec), printing.age(obj)]


class MutatingAdmissionPolicyStrategy(AdmissionPolicyStrategy):
    """A mutating admission policy."""

    columns = (
        printing.NAME,
        column("Mutations", "integer", "How many mutations it makes."),
        column("ParamKind", description="The kind of its parameters."),
        printing.AGE,
    )

    def validate_actions(self, errors: Errors, obj: Obj, spec: Obj) -> None:
        policy = spec.get("reinvocationPolicy")
        errors.required_one_of("spec.reinvocationPolicy", policy, rules.REINVOCATION_POLICIES)
        mutations = spec.get("mutations") or []
        if not mutations:
            errors.required("spec.mutations", "mutations must contain at least one item")
        for index, mutation in enumerate(mutations):
            _mutation(errors, mutation, f"spec.mutations[{index}]", _scope(spec))

    def row(self, obj: Obj) -> list[Any]:
        spec = printing.spec(obj)
        return [meta.name(obj), len(spec.get("mutations") or []), _kind_cell(spec), printing.age(obj)]


class PolicyBindingStrategy(Strategy):
    """A binding of a policy, of either kind."""

    tracks_generation = True
    any_finalizer = True
    allow_unconditional_update = False
    has_actions = False
    columns = (
        printing.NAME,
        column("PolicyName", description="The policy it puts to work."),
        column("ParamRef", description="The parameters it gives it."),
        printing.AGE,
    )

    def default(self, obj: Obj) -> None:
        match = printing.spec(obj).get("matchResources")
        rules.default_match(match)
        for field in ("resourceRules", "excludeResourceRules"):
            rules.default_rules((match or {}).get(field))

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        spec = printing.spec(obj)
        errors.name("spec.policyName", spec.get("policyName"), names.dns1123_subdomain)
        if spec.get("paramRef") is not None:
            _param_ref(errors, spec["paramRef"])
        if spec.get("matchResources") is not None:
            # The misspelt path is upstream's.
            rules.match_resources(errors, spec["matchResources"], "spec.matchResouces")
        if self.has_actions:
            _actions(errors, spec.get("validationActions") or [])

    def row(self, obj: Obj) -> list[Any]:
        spec = printing.spec(obj)
        return [meta.name(obj), spec.get("policyName", ""), _param_cell(spec.get("paramRef")), printing.age(obj)]


class ValidatingAdmissionPolicyBindingStrategy(PolicyBindingStrategy):
    """A binding of a validating admission policy."""

    has_actions = True


def _kind_cell(spec: Obj) -> str:
    kind = spec.get("paramKind")
    return printing.UNSET if kind is None else f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}"


def _param_cell(ref: Obj | None) -> str:
    if ref and ref.get("name"):
        return f"{ref.get('namespace') or '*'}/{ref['name']}"
    if ref and ref.get("selector") is not None:
        return printing.label_selector(ref["selector"])
    return printing.UNSET


def _param_kind(errors: Errors, kind: Obj) -> None:
    path, version = "spec.paramKind", kind.get("apiVersion", "")
    if errors.present(f"{path}.apiVersion", version):
        where = f"{path}.apiVersion"
        group, _, number = version.rpartition("/")
        if version.count("/") > 1:
            errors.invalid(where, version, f"unexpected GroupVersion string: {version}")
        else:
            if group and (faults := names.dns1123_subdomain(group)):
                errors.invalid(where, group, ",".join(faults))
            if not number:
                errors.invalid(where, version, "version must be specified")
            elif faults := names.dns1035_label(number):
                errors.invalid(where, number, ",".join(faults))
    name = kind.get("kind", "")
    if errors.present(f"{path}.kind", name) and (faults := names.dns1035_label(name.lower())):
        detail = f"may have mixed case, but should otherwise match: {','.join(faults)}"
        errors.invalid(f"{path}.kind", name, detail)


def _scope(spec: Obj) -> Scope:
    """What the policy's validations and mutations may speak of."""
    return scopes.with_variables(scopes.of_policy(spec), spec.get("variables") or [])


def _variable(errors: Errors, variable: Obj, path: str, scope: Scope) -> None:
    name = variable.get("name", "")
    if errors.present(f"{path}.name", name.strip(), "name is not specified") and not _is_identifier(name):
        errors.invalid(f"{path}.name", name, "name is not a valid CEL identifier")
    rules.expression(errors, variable.get("expression", ""), f"{path}.expression", scope)


def _is_identifier(name: str) -> bool:
    return bool(_IDENTIFIER.fullmatch(name)) and name not in _RESERVED


def _validation(errors: Errors, validation: Obj, path: str, scope: Scope) -> None:
    message = validation.get("message") or ""
    rules.expression(errors, validation.get("expression", ""), f"{path}.expression", scope, ("bool",))
    computed = validation.get("messageExpression") or ""
    if computed and not computed.strip():
        errors.invalid(f"{path}.messageExpression", computed, "must be non-empty if specified")
    elif computed:
        rules.expression(errors, computed, f"{path}.messageExpression", scope, ("string",))
    if message and not message.strip():
        errors.invalid(f"{path}.message", message, "message must be non-empty if specified")
    elif rules.NEWLINES.search(message.strip()):
        errors.invalid(f"{path}.message", message, "message must not contain line breaks")
    rules.optional_one_of(errors, validation.get("reason"), f"{path}.reason", REASONS)


def _audit_annotation(errors: Errors, annotation: Obj, path: str, policy: str, scope: Scope) -> None:
    key, expression = annotation.get("key", ""), annotation.get("valueExpression", "").strip()
    if policy:
        errors.check(f"{path}.key", f"{policy}/{key}", names.qualified_name(f"{policy}/{key}"))
    else:
        errors.invalid(f"{path}.key", key, "requires metadata.name be non-empty")
    if not expression:
        errors.required(f"{path}.valueExpression", "valueExpression is not specified")
    elif len(expression) > AUDIT_EXPRESSION_LIMIT:
        errors.required(f"{path}.valueExpression", f"must not exceed {AUDIT_EXPRESSION_LIMIT} bytes in length")
    else:
        rules.expression(errors, expression, f"{path}.valueExpression", scope, ("string", "null_type"))


def _mutation(errors: Errors, mutation: Obj, path: str, scope: Scope) -> None:
    kind = mutation.get("patchType", "")
    if not errors.required_one_of(f"{path}.patchType", kind, PATCH_TYPES):
        return
    fields = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}
    for patch_type, field in fields.items():
        value, where = mutation.get(field), f"{path}.{field}"
        if patch_type != kind:
            if value is not None:
                errors.forbidden(where, f"may not be specified when patchType is {kind}")
        elif value is None:
            errors.required(where, f"must be specified when patchType is {kind}")
        else:
            rules.expression(errors, value.get("expression", ""), f"{where}.expression", scope, _GIVES[kind])


def _actions(errors: Errors, actions: list[str]) -> None:
    path = "spec.validationActions"
    for index, action in enumerate(actions):
        errors.one_of(f"{path}[{index}]", action, ACTIONS)
        if action in actions[:index]:
            errors.duplicate(f"{path}[{index}]", action)
    if {"Deny", "Warn"} <= set(actions):
        errors.invalid(
            path,
            actions,
            "must not contain both Deny and Warn (repeating the same validation failure information in the API "
            "response and headers serves no purpose)",
        )
    if not actions:
        errors.required(path, "at least one validation action is required")


def _param_ref(errors: Errors, ref: Obj) -> None:
    path, name, selector = "spec.paramRef", ref.get("name"), ref.get("selector")
    both = "name and selector are mutually exclusive"
    if name:
        errors.check(f"{path}.name", name, names.path_segment(name))
        if selector is not None:
            errors.forbidden(f"{path}.name", both)
    if selector is not None:
        checks.label_selector(errors, selector, f"{path}.selector")
        if name:
            errors.forbidden(f"{path}.selector", both)
    if not name and selector is None:
        errors.required(path, "one of name or selector must be specified")
    errors.required_one_of(f"{path}.parameterNotFoundAction", ref.get("parameterNotFoundAction"), NOT_FOUND_ACTIONS)
