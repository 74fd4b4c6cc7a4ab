"""Webhook configurations."""

from typing import Any, ClassVar

from pynetes.apis import checks, printing
from pynetes.apis.admissionregistration import rules
from pynetes.apis.checks import Errors
from pynetes.apis.printing import column
from pynetes.apis.strategy import Strategy
from pynetes.machinery import meta, names
from pynetes.machinery.meta import Obj

SIDE_EFFECTS = ("None", "NoneOnDryRun")
DEFAULTS: Obj = {"failurePolicy": "Fail", "matchPolicy": "Equivalent", "timeoutSeconds": 10}
KNOWN_REVIEWS = ("v1", "v1beta1")


class WebhookStrategy(Strategy):
    """A list of webhooks."""

    tracks_generation = True
    columns = (
        printing.NAME,
        column("Webhooks", "integer", "How many webhooks it has."),
        printing.AGE,
    )
    defaults: ClassVar[Obj] = DEFAULTS

    def default(self, obj: Obj) -> None:
        for hook in obj.get("webhooks") or []:
            for field, value in self.defaults.items():
                if hook.get(field) is None:
                    hook[field] = value
            for field in ("namespaceSelector", "objectSelector"):
                if hook.get(field) is None:
                    hook[field] = {}
            service = (hook.get("clientConfig") or {}).get("service")
            if service is not None and service.get("port") is None:
                service["port"] = 443
            for rule in hook.get("rules") or []:
                rules.default_rule(rule)

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        seen: set[str] = set()
        for index, hook in enumerate(obj.get("webhooks") or []):
            path, name = f"webhooks[{index}]", hook.get("name") or ""
            _webhook(errors, hook, path)
            self.validate_more(errors, hook, path)
            if name and name in seen:
                errors.duplicate(f"{path}.name", name)
            seen.add(name)

    def validate_more(self, errors: Errors, hook: Obj, path: str) -> None:
        """What only one of the two kinds has."""

    def row(self, obj: Obj) -> list[Any]:
        return [meta.name(obj), len(obj.get("webhooks") or []), printing.age(obj)]


class ValidatingWebhookStrategy(WebhookStrategy):
    """Webhooks that may refuse."""


class MutatingWebhookStrategy(WebhookStrategy):
    """Webhooks that may change."""

    defaults: ClassVar[Obj] = {**DEFAULTS, "reinvocationPolicy": "Never"}

    def validate_more(self, errors: Errors, hook: Obj, path: str) -> None:
        rules.one_of(errors, hook, "reinvocationPolicy", ("IfNeeded", "Never"), path)


def _webhook(errors: Errors, hook: Obj, path: str) -> None:
    name = hook.get("name") or ""
    if not name:
        errors.required(f"{path}.name")
    else:
        faults = names.fully_qualified_domain_name(name)
        if not faults and name.count(".") < 2:
            faults = ["should be a domain with at least three segments separated by dots"]
        errors.check(f"{path}.name", name, faults)
    for index, rule in enumerate(hook.get("rules") or []):
        rules.with_operations(errors, rule, f"{path}.rules[{index}]")
    rules.one_of(errors, hook, "failurePolicy", rules.FAILURE_POLICIES, path)
    rules.one_of(errors, hook, "matchPolicy", rules.MATCH_POLICIES, path)
    effects = hook.get("sideEffects")
    if effects is None:
        errors.required(f"{path}.sideEffects", 'must specify one of "None", "NoneOnDryRun"'.replace('"', ""))
    elif effects not in SIDE_EFFECTS:
        errors.unsupported(f"{path}.sideEffects", effects, SIDE_EFFECTS)
    seconds = hook.get("timeoutSeconds")
    if seconds is not None and not 1 <= seconds <= 30:
        errors.invalid(f"{path}.timeoutSeconds", seconds, "the timeout value must be between 1 and 30 seconds")
    for field in ("namespaceSelector", "objectSelector"):
        checks.label_selector(errors, hook.get(field), f"{path}.{field}")
    rules.client_config(errors, hook.get("clientConfig") or {}, f"{path}.clientConfig")
    _review_versions(errors, hook.get("admissionReviewVersions") or [], f"{path}.admissionReviewVersions")
    rules.match_conditions(errors, hook.get("matchConditions") or [], f"{path}.matchConditions")


def _review_versions(errors: Errors, versions: list[str], path: str) -> None:
    if not versions:
        errors.required(path, f"must specify one of {', '.join(KNOWN_REVIEWS)}")
        return
    seen: set[str] = set()
    for index, version in enumerate(versions):
        if version in seen:
            errors.invalid(f"{path}[{index}]", version, "duplicate version")
        seen.add(version)
        for fault in names.dns1035_label(version):
            errors.invalid(f"{path}[{index}]", version, fault)
    if not seen & set(KNOWN_REVIEWS):
        errors.invalid(path, versions, f"must include at least one of {', '.join(KNOWN_REVIEWS)}")
