"""Nobody may grant what they do not hold.

Creating or changing a role takes either all the rights the role gives, or the verb `escalate` on it; creating or
changing a binding takes all the rights of the role it refers to, or the verb `bind` on that role. Members of
`system:masters` may do both. The checks see the objects after mutating admission, as they will be stored.
"""

from typing import Any

from pynetes.apiserver.authz import rules
from pynetes.apiserver.authz.authorizer import MASTERS, Authorizer
from pynetes.apiserver.request import RequestInfo, UserInfo
from pynetes.machinery import errors, meta
from pynetes.machinery.errors import quote
from pynetes.machinery.meta import Obj

GROUP = "rbac.authorization.k8s.io"
FULL_AUTHORITY: list[rules.Rule] = [
    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
    {"verbs": ["*"], "nonResourceURLs": ["*"]},
]


def check_role(authorizer: Authorizer, user: UserInfo, plural: str, new: Obj, old: Obj | None) -> None:
    """Refuse a Role or ClusterRole that gives more than `user` holds."""
    if MASTERS in user.groups:
        return
    name, namespace = meta.name(new), meta.namespace(new)
    same_rules = old is not None and (old.get("rules") or []) == (new.get("rules") or [])
    if same_rules and (old or {}).get("aggregationRule") == new.get("aggregationRule"):
        return
    if _may(authorizer, user, "escalate", plural, namespace, name):
        return
    if plural == "clusterroles" and new.get("aggregationRule") is not None:
        _, reason = _missing(authorizer, user, "", FULL_AUTHORITY)
        if reason:
            raise errors.forbidden(GROUP, plural, name, "must have cluster-admin privileges to use the aggregationRule")
    _confirm(authorizer, user, namespace, new.get("rules") or [], plural, name)


def check_binding(authorizer: Authorizer, user: UserInfo, plural: str, new: Obj, old: Obj | None) -> None:
    """Refuse a binding to a role that gives more than `user` holds."""
    if MASTERS in user.groups:
        return
    if old is not None and all(old.get(field) == new.get(field) for field in ("roleRef", "subjects")):
        return
    name, namespace = meta.name(new), meta.namespace(new)
    reference: dict[str, Any] = new.get("roleRef") or {}
    kind, role = reference.get("kind", ""), reference.get("name", "")
    if _may(authorizer, user, "bind", f"{kind.lower()}s", namespace if kind == "Role" else "", role) or (
        # In a namespace, the right to bind a ClusterRole may also be held there alone.
        namespace and _may(authorizer, user, "bind", f"{kind.lower()}s", namespace, role)
    ):
        return
    granted = authorizer.rbac.role_rules(kind, role, namespace)
    if granted is None:
        raise errors.StatusError(
            404,
            "NotFound",
            f"{kind.lower()}.{GROUP} {quote(role)} not found",
            {"name": role, "group": GROUP, "kind": kind.lower()},
        )
    _confirm(authorizer, user, namespace, granted, plural, name)


def _may(authorizer: Authorizer, user: UserInfo, verb: str, plural: str, namespace: str, name: str) -> bool:
    info = RequestInfo(True, verb, GROUP, "*", plural, "", namespace, name)
    return authorizer.authorize(user, info).allowed


def _missing(
    authorizer: Authorizer, user: UserInfo, namespace: str, asked: list[rules.Rule]
) -> tuple[list[rules.Rule], str]:
    held, unresolved = authorizer.rbac.rules_for(user, namespace)
    missing = rules.covers(held, asked)
    if not missing:
        return [], ""
    lines = sorted({rules.describe(rule) for rule in rules.compact(missing)})
    text = (
        f"user {quote(user.name)} (groups={rules.quote_list(user.groups)}) "
        "is attempting to grant RBAC permissions not currently held:\n" + "\n".join(lines)
    )
    if unresolved:
        text += f"; resolution errors: [{', '.join(unresolved)}]"
    return missing, text


def _confirm(
    authorizer: Authorizer, user: UserInfo, namespace: str, asked: list[rules.Rule], plural: str, name: str
) -> None:
    missing, text = _missing(authorizer, user, namespace, asked)
    if missing:
        raise errors.forbidden(GROUP, plural, name, text)
