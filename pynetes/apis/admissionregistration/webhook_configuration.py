"""Mutating and validating webhook configurations.

Rules that came later than the kinds (side effects, unique names, known review versions) bind an update only if the
stored object kept them.
"""

from typing import Any

from pynetes.apis import checks, printing
from pynetes.apis.admissionregistration import rules
from pynetes.apis.checks import Errors
from pynetes.apis.core.pod_defaults import fill
from pynetes.apis.printing import column
from pynetes.apis.strategy import Strategy
from pynetes.machinery import meta, names
from pynetes.machinery.errors import FieldError
from pynetes.machinery.meta import Obj

DEFAULTS = {"failurePolicy": "Fail", "timeoutSeconds": 10}
SIDE_EFFECTS = ("None", "NoneOnDryRun", "Some", "Unknown")
NO_SIDE_EFFECTS = ("None", "NoneOnDryRun")
LONGEST_TIMEOUT = 30


class WebhookConfigurationStrategy(Strategy):
    """A configuration of webhooks."""

    tracks_generation = True
    any_finalizer = True
    allow_unconditional_update = False
    columns = (
        printing.NAME,
        column("Webhooks", "integer", "How many webhooks it names."),
        printing.AGE,
    )

    def default(self, obj: Obj) -> None:
        for webhook in obj.get("webhooks") or []:
            fill(webhook, DEFAULTS)
            rules.default_match(webhook)
            rules.default_rules(webhook.get("rules"))
            service = (webhook.get("clientConfig") or {}).get("service")
            if service is not None and service.get("port") is None:
                service["port"] = 443

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        _webhooks(errors, obj.get("webhooks") or [], [])

    def validate_update(self, new: Obj, old: Obj) -> list[FieldError]:
        errors = Errors(super().validate_status_update(new, old))
        _webhooks(errors, new.get("webhooks") or [], old.get("webhooks") or [])
        return errors

    def row(self, obj: Obj) -> list[Any]:
        return [meta.name(obj), len(obj.get("webhooks") or []), printing.age(obj)]


class MutatingWebhookConfigurationStrategy(WebhookConfigurationStrategy):
    """A configuration of mutating webhooks."""

    def default(self, obj: Obj) -> None:
        super().default(obj)
        for webhook in obj.get("webhooks") or []:
            fill(webhook, {"reinvocationPolicy": "Never"})


def _webhooks(errors: Errors, webhooks: list[Obj], before: list[Obj]) -> None:
    quiet = all(each.get("sideEffects") in NO_SIDE_EFFECTS for each in before)
    known = all(
        set(each["admissionReviewVersions"]) & set(rules.REVIEW_VERSIONS)
        for each in before
        if each.get("admissionReviewVersions")
    )
    old_names = [each.get("name") for each in before]
    unique = len(set(old_names)) == len(old_names)
    for index, webhook in enumerate(webhooks):
        path = f"webhooks[{index}]"
        _webhook(errors, webhook, path, NO_SIDE_EFFECTS if quiet else SIDE_EFFECTS)
        rules.review_versions(
            errors, webhook.get("admissionReviewVersions"), f"{path}.admissionReviewVersions", recognized=known
        )
        name = webhook.get("name")
        if unique and name and any(each.get("name") == name for each in webhooks[:index]):
            errors.duplicate(f"{path}.name", name)


def _webhook(errors: Errors, webhook: Obj, path: str, side_effects: tuple[str, ...]) -> None:
    _qualified(errors, webhook.get("name", ""), f"{path}.name")
    for index, rule in enumerate(webhook.get("rules") or []):
        rules.rule(errors, rule, f"{path}.rules[{index}]")
    rules.optional_one_of(errors, webhook.get("failurePolicy"), f"{path}.failurePolicy", rules.FAILURE_POLICIES)
    rules.optional_one_of(errors, webhook.get("matchPolicy"), f"{path}.matchPolicy", rules.MATCH_POLICIES)
    effects = webhook.get("sideEffects")
    if effects is None:
        errors.required(f"{path}.sideEffects", f"must specify one of {', '.join(side_effects)}")
    else:
        errors.one_of(f"{path}.sideEffects", effects, side_effects)
    seconds = webhook.get("timeoutSeconds")
    if seconds is not None and not 1 <= seconds <= LONGEST_TIMEOUT:
        errors.invalid(f"{path}.timeoutSeconds", seconds, "the timeout value must be between 1 and 30 seconds")
    checks.label_selector(errors, webhook.get("namespaceSelector"), f"{path}.namespaceSelector")
    checks.label_selector(errors, webhook.get("objectSelector"), f"{path}.objectSelector")
    reinvocation = webhook.get("reinvocationPolicy")
    rules.optional_one_of(errors, reinvocation, f"{path}.reinvocationPolicy", rules.REINVOCATION_POLICIES)
    rules.client_config(errors, webhook.get("clientConfig") or {}, f"{path}.clientConfig")
    rules.match_conditions(errors, webhook.get("matchConditions"), f"{path}.matchConditions")


def _qualified(errors: Errors, name: str, path: str) -> None:
    if not errors.present(path, name):
        return
    faults = names.dns1123_subdomain(name)
    if faults:
        errors.invalid(path, name, ",".join(faults))
    elif name.count(".") < 2:
        errors.invalid(path, name, "should be a domain with at least three segments separated by dots")
