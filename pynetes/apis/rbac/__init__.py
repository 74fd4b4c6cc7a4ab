"""The RBAC group: roles and who has them. Names may be anything that fits into a path."""

from typing import Any

from pynetes.apis import checks, printing
from pynetes.apis.checks import Errors
from pynetes.apis.printing import column, wide
from pynetes.apis.strategy import Strategy
from pynetes.machinery import meta, names
from pynetes.machinery.meta import Obj

GROUP = "rbac.authorization.k8s.io"


class RoleStrategy(Strategy):
    """A role in a namespace."""

    name_check = staticmethod(names.path_segment)
    allow_create_on_update = True
    columns = (printing.NAME, column("Created At", "date", "When the object was created."))

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        for index, rule in enumerate(obj.get("rules") or []):
            _rule(errors, rule, self.resource.namespaced, f"rules[{index}]")
        aggregation = obj.get("aggregationRule")
        if aggregation is None:
            return
        path = "aggregationRule.clusterRoleSelectors"
        if not aggregation.get("clusterRoleSelectors"):
            errors.required(path, "at least one clusterRoleSelector required if aggregationRule is non-nil")
        for index, selector in enumerate(aggregation.get("clusterRoleSelectors") or []):
            checks.label_selector(errors, selector, f"{path}[{index}]")


def _rule(errors: Errors, rule: Obj, namespaced: bool, path: str) -> None:
    if not rule.get("verbs"):
        errors.required(f"{path}.verbs", "verbs must contain at least one value")
    if rule.get("nonResourceURLs"):
        if namespaced:
            errors.invalid(
                f"{path}.nonResourceURLs",
                rule["nonResourceURLs"],
                "namespaced rules cannot apply to non-resource URLs",
            )
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            errors.invalid(
                f"{path}.nonResourceURLs",
                rule["nonResourceURLs"],
                "rules cannot apply to both regular resources and non-resource URLs",
            )
        return
    if not rule.get("apiGroups"):
        errors.required(f"{path}.apiGroups", "resource rules must supply at least one api group")
    if not rule.get("resources"):
        errors.required(f"{path}.resources", "resource rules must supply at least one resource")


class BindingStrategy(Strategy):
    """A role binding, in a namespace or for the whole cluster."""

    name_check = staticmethod(names.path_segment)
    allow_create_on_update = True
    columns = (
        printing.NAME,
        column("Role", description="The role that is bound."),
        printing.AGE,
        wide("Users", description="The users who have it."),
        wide("Groups", description="The groups that have it."),
        wide("ServiceAccounts", description="The service accounts that have it."),
    )

    def default(self, obj: Obj) -> None:
        reference = obj.setdefault("roleRef", {})
        if not reference.get("apiGroup"):
            reference["apiGroup"] = GROUP
        for subject in obj.get("subjects") or []:
            if not subject.get("apiGroup") and subject.get("kind") in ("User", "Group"):
                subject["apiGroup"] = GROUP

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        reference = obj.get("roleRef") or {}
        group = reference.get("apiGroup")
        if group != GROUP:
            errors.unsupported("roleRef.apiGroup", group, (GROUP,))
        kinds = ("ClusterRole", "Role") if self.resource.namespaced else ("ClusterRole",)
        if reference.get("kind") not in kinds:
            errors.unsupported("roleRef.kind", reference.get("kind") or "", kinds)
        name = reference.get("name") or ""
        if errors.present("roleRef.name", name):
            errors.check("roleRef.name", name, names.path_segment(name))
        for index, subject in enumerate(obj.get("subjects") or []):
            _subject(errors, subject, self.resource.namespaced, f"subjects[{index}]")

    def validate_spec_update(self, errors: Errors, new: Obj, old: Obj) -> None:
        if new.get("roleRef") != old.get("roleRef"):
            errors.invalid("roleRef", new.get("roleRef"), "cannot change roleRef")

    def row(self, obj: Obj) -> list[Any]:
        reference = obj.get("roleRef") or {}
        subjects = obj.get("subjects") or []
        accounts = [s for s in subjects if s.get("kind") == "ServiceAccount"]
        return [
            meta.name(obj),
            f"{reference.get('kind', '')}/{reference.get('name', '')}",
            printing.age(obj),
            ", ".join(s.get("name", "") for s in subjects if s.get("kind") == "User"),
            ", ".join(s.get("name", "") for s in subjects if s.get("kind") == "Group"),
            ", ".join(f"{s.get('namespace', '')}/{s.get('name', '')}" for s in accounts),
        ]


def _subject(errors: Errors, subject: Obj, namespaced: bool, path: str) -> None:
    kind, name, group = subject.get("kind") or "", subject.get("name") or "", subject.get("apiGroup") or ""
    if not name:
        errors.required(f"{path}.name")
    if kind == "ServiceAccount":
        if name:
            errors.check(f"{path}.name", name, names.dns1123_subdomain(name))
        if group:
            errors.unsupported(f"{path}.apiGroup", group, ("",))
        if not namespaced and not subject.get("namespace"):
            errors.required(f"{path}.namespace")
    elif kind in ("User", "Group"):
        if group != GROUP:
            errors.unsupported(f"{path}.apiGroup", group, (GROUP,))
    else:
        errors.unsupported(f"{path}.kind", kind, ("ServiceAccount", "User", "Group"))


STRATEGIES: dict[str, type[Strategy]] = {
    f"clusterrolebindings.{GROUP}": BindingStrategy,
    f"clusterroles.{GROUP}": RoleStrategy,
    f"rolebindings.{GROUP}": BindingStrategy,
    f"roles.{GROUP}": RoleStrategy,
}
