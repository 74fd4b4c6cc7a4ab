"""Which writes a webhook hears of: its rules, its selectors, and the versions it understands.

Pure functions. `matched_type` answers with the resource type to send the object as: the request's own if a rule names
it, else (unless `matchPolicy` is Exact) an equivalent version of the same objects that a rule names.
"""

from collections.abc import Iterable
from typing import Any

from pynetes.apiserver.admission import Attributes
from pynetes.machinery import meta, selectors
from pynetes.machinery.meta import Obj
from pynetes.machinery.resources import ResourceType

Webhook = dict[str, Any]

_NEVER = frozenset(
    {
        "mutatingwebhookconfigurations.admissionregistration.k8s.io",
        "validatingwebhookconfigurations.admissionregistration.k8s.io",
        "validatingadmissionpolicies.admissionregistration.k8s.io",
        "validatingadmissionpolicybindings.admissionregistration.k8s.io",
        "mutatingadmissionpolicies.admissionregistration.k8s.io",
        "mutatingadmissionpolicybindings.admissionregistration.k8s.io",
        # Questions about who may do what, which the cluster's own parts ask (ExcludeAdmissionWebhookVirtualResources).
        "selfsubjectreviews.authentication.k8s.io",
        "tokenreviews.authentication.k8s.io",
        "localsubjectaccessreviews.authorization.k8s.io",
        "selfsubjectaccessreviews.authorization.k8s.io",
        "selfsubjectrulesreviews.authorization.k8s.io",
        "subjectaccessreviews.authorization.k8s.io",
    }
)


def is_exempt(attributes: Attributes) -> bool:
    """Whether no webhook or policy hears of the write: one that breaks everything must be removable."""
    return attributes.group_resource in _NEVER


def rule_matches(rule: dict[str, Any], operation: str, rt: ResourceType, subresource: str, namespaced: bool) -> bool:
    """Whether a rule names the operation on the resource."""
    return (
        _has(rule.get("operations"), operation)
        and _has(rule.get("apiGroups"), rt.group)
        and _has(rule.get("apiVersions"), rt.version)
        and _scope_matches(rule.get("scope") or "*", namespaced)
        and any(_resource_matches(pattern, rt.plural, subresource) for pattern in rule.get("resources") or ())
    )


def _has(listed: list[str] | None, value: str) -> bool:
    return listed is not None and ("*" in listed or value in listed)


def _scope_matches(scope: str, namespaced: bool) -> bool:
    return scope == "*" or scope == ("Namespaced" if namespaced else "Cluster")


def _resource_matches(pattern: str, plural: str, subresource: str) -> bool:
    resource, _, sub = pattern.partition("/")
    return resource in ("*", plural) and sub in ({"*", subresource} if subresource else {"", "*"})


def matched_type(webhook: Webhook, attributes: Attributes, equivalents: Iterable[ResourceType]) -> ResourceType | None:
    """The type to send the object as, or None if no rule names it in any version."""
    rules = webhook.get("rules") or ()
    namespaced = bool(attributes.namespace) and attributes.group_resource != "namespaces"
    candidates = [attributes.rt]
    if (webhook.get("matchPolicy") or "Equivalent") == "Equivalent":
        candidates += [rt for rt in equivalents if rt != attributes.rt]
    for rt in candidates:
        if any(rule_matches(rule, attributes.operation, rt, attributes.subresource, namespaced) for rule in rules):
            return rt
    return None


def selectors_match(webhook: Webhook, attributes: Attributes, namespace_labels: dict[str, str] | None) -> bool:
    """Whether namespace and object carry the labels the webhook selects; `None` where there is no namespace."""
    selector = selectors.from_label_selector(webhook.get("namespaceSelector") or {})
    if namespace_labels is not None and not selector.matches(namespace_labels):
        return False
    wanted = webhook.get("objectSelector") or {}
    if not wanted:
        return True
    matcher = selectors.from_label_selector(wanted)
    candidates: list[Obj] = [obj for obj in (attributes.obj, attributes.old) if obj is not None]
    return any(matcher.matches(meta.labels(obj)) for obj in candidates)
