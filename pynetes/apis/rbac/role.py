"""Roles and cluster roles: lists of rules. Who may write which rules is admission's business (escalation)."""

from pynetes.apis import checks
from pynetes.apis.checks import Errors
from pynetes.apis.strategy import Strategy
from pynetes.machinery import names
from pynetes.machinery.meta import Obj


class RoleStrategy(Strategy):
    """A role: rules about the resources of its namespace."""

    name_check = staticmethod(names.path_segment)
    allow_create_on_update = True
    namespaced_rules = True

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        for index, rule in enumerate(obj.get("rules") or []):
            validate_rule(errors, rule, f"rules[{index}]", namespaced=self.namespaced_rules)


class ClusterRoleStrategy(RoleStrategy):
    """A cluster role: rules about anything, or the sum of the roles that its selectors choose."""

    namespaced_rules = False

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        super().validate_spec(errors, obj)
        aggregation = obj.get("aggregationRule")
        if aggregation is None:
            return
        path = "aggregationRule.clusterRoleSelectors"
        chosen = aggregation.get("clusterRoleSelectors") or []
        if not chosen:
            errors.required(path, "at least one clusterRoleSelector required if aggregationRule is non-nil")
        for index, selector in enumerate(chosen):
            checks.label_selector(errors, selector, f"{path}[{index}]")


def validate_rule(errors: Errors, rule: Obj, path: str, *, namespaced: bool) -> None:
    """One rule speaks of resources or of URLs, never of both, and a role's never of URLs."""
    if not rule.get("verbs"):
        errors.required(f"{path}.verbs", "verbs must contain at least one value")
    groups, resources, urls = rule.get("apiGroups"), rule.get("resources"), rule.get("nonResourceURLs")
    if urls:
        if namespaced:
            errors.invalid(f"{path}.nonResourceURLs", urls, "namespaced rules cannot apply to non-resource URLs")
        if groups or resources or rule.get("resourceNames"):
            detail = "rules cannot apply to both regular resources and non-resource URLs"
            errors.invalid(f"{path}.nonResourceURLs", urls, detail)
        return
    if not groups:
        errors.required(f"{path}.apiGroups", "resource rules must supply at least one api group")
    if not resources:
        errors.required(f"{path}.resources", "resource rules must supply at least one resource")
