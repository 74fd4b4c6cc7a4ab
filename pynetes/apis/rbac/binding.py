"""Role bindings and cluster role bindings: subjects that have a role. The role of a binding never changes."""

from typing import Any

from pynetes.apis import printing
from pynetes.apis.checks import Errors
from pynetes.apis.printing import column, wide
from pynetes.apis.strategy import Strategy
from pynetes.machinery import meta, names
from pynetes.machinery.meta import Obj

GROUP = "rbac.authorization.k8s.io"
ROLE_KINDS = ("ClusterRole", "Role")
SUBJECT_KINDS = ("Group", "ServiceAccount", "User")


class RoleBindingStrategy(Strategy):
    """A binding within one namespace; its role may be a cluster role."""

    name_check = staticmethod(names.path_segment)
    allow_create_on_update = True
    role_kinds: tuple[str, ...] = ROLE_KINDS
    columns = (
        printing.NAME,
        column("Role", description="The role that is given."),
        printing.AGE,
        wide("Users", description="The users who have it."),
        wide("Groups", description="The groups that have it."),
        wide("ServiceAccounts", description="The service accounts that have it."),
    )

    def default(self, obj: Obj) -> None:
        reference = obj.get("roleRef")
        if reference is not None and not reference.get("apiGroup"):
            reference["apiGroup"] = GROUP
        for subject in obj.get("subjects") or []:
            if not subject.get("apiGroup") and subject.get("kind") in ("User", "Group"):
                subject["apiGroup"] = GROUP

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        reference = obj.get("roleRef") or {}
        if reference.get("apiGroup") != GROUP:
            errors.unsupported("roleRef.apiGroup", reference.get("apiGroup", ""), (GROUP,))
        if reference.get("kind") not in self.role_kinds:
            errors.unsupported("roleRef.kind", reference.get("kind", ""), self.role_kinds)
        if not reference.get("name"):
            errors.required("roleRef.name")
        else:
            errors.check("roleRef.name", reference["name"], names.path_segment(reference["name"]))
        for index, subject in enumerate(obj.get("subjects") or []):
            _validate_subject(errors, subject, f"subjects[{index}]", namespaced=self.resource.namespaced)

    def validate_spec_update(self, errors: Errors, new: Obj, old: Obj) -> None:
        if new.get("roleRef") != old.get("roleRef"):
            errors.invalid("roleRef", new.get("roleRef"), "cannot change roleRef")

    def row(self, obj: Obj) -> list[Any]:
        reference = obj.get("roleRef") or {}
        by_kind: dict[str, list[str]] = {kind: [] for kind in SUBJECT_KINDS}
        for subject in obj.get("subjects") or []:
            text = subject.get("name", "")
            if subject.get("kind") == "ServiceAccount":
                text = f"{subject.get('namespace', '')}/{text}"
            by_kind.setdefault(subject.get("kind", ""), []).append(text)
        role = f"{reference.get('kind', '')}/{reference.get('name', '')}"
        subjects = [", ".join(by_kind[kind]) for kind in ("User", "Group", "ServiceAccount")]
        return [meta.name(obj), role, printing.age(obj), *subjects]


class ClusterRoleBindingStrategy(RoleBindingStrategy):
    """A binding for the whole cluster."""

    role_kinds = ("ClusterRole",)


def _validate_subject(errors: Errors, subject: Obj, path: str, *, namespaced: bool) -> None:
    kind, group = subject.get("kind", ""), subject.get("apiGroup") or ""
    if not subject.get("name"):
        errors.required(f"{path}.name")
    if kind == "ServiceAccount":
        if subject.get("name"):
            errors.check(f"{path}.name", subject["name"], names.dns1123_subdomain(subject["name"]))
        if group:
            errors.unsupported(f"{path}.apiGroup", group, ("",))
        if not namespaced and not subject.get("namespace"):
            errors.required(f"{path}.namespace")
    elif kind in ("User", "Group"):
        if group != GROUP:
            errors.unsupported(f"{path}.apiGroup", group, (GROUP,))
    else:
        errors.unsupported(f"{path}.kind", kind, SUBJECT_KINDS)
