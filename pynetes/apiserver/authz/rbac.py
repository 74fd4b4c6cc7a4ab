"""RBAC: an index from users and groups to what they may do.

The index follows the store (`follow`), so a decision never reads it. For each user and set of groups the bindings
that name them are compiled once into `Permissions`: a dictionary from (group, resource) to grants, for the cluster and
for each namespace. Any change of a role or binding drops the compiled permissions; they are rebuilt when next asked
for. A ClusterRole with an aggregation rule counts with the rules of all roles it selects, at once, whether or not the
aggregation controller has already written them into it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from pynetes.apiserver.authz.rules import Rule, url_matches
from pynetes.apiserver.mirror import Mirror
from pynetes.apiserver.request import RequestInfo, UserInfo
from pynetes.machinery import meta, selectors
from pynetes.machinery.errors import aggregate, quote
from pynetes.machinery.meta import Obj
from pynetes.storage.interface import Store

_CACHED_USERS = 10_000
_GROUP = "rbac.authorization.k8s.io"


class Decision(NamedTuple):
    """`allowed`, and why (or why not) in words."""

    allowed: bool
    reason: str = ""


class _Grant(NamedTuple):
    verbs: frozenset[str]
    names: frozenset[str]
    reason: str


class _UrlGrant(NamedTuple):
    verbs: frozenset[str]
    urls: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class _Binding:
    namespace: str
    name: str
    role_kind: str
    role: str

    def describe(self, subject: str) -> str:
        kind = "RoleBinding" if self.namespace else "ClusterRoleBinding"
        name = f"{self.name}/{self.namespace}" if self.namespace else self.name
        return f"{kind} {quote(name)} of {self.role_kind} {quote(self.role)} to {subject}"


class Permissions:
    """What one user may do in one scope, indexed by what requests ask for."""

    __slots__ = ("_grants", "_urls", "errors", "rules")

    def __init__(self) -> None:
        self._grants: dict[tuple[str, str], list[_Grant]] = {}
        self._urls: list[_UrlGrant] = []
        self.rules: list[Rule] = []
        self.errors: list[str] = []

    def add(self, rules: Iterable[Rule], reason: str) -> None:
        """Grant `rules`."""
        for rule in rules:
            self.rules.append(rule)
            verbs = frozenset(rule.get("verbs") or ())
            grant = _Grant(verbs, frozenset(rule.get("resourceNames") or ()), reason)
            for group in rule.get("apiGroups") or ():
                for resource in rule.get("resources") or ():
                    self._grants.setdefault((group, resource), []).append(grant)
            if paths := rule.get("nonResourceURLs"):
                self._urls.append(_UrlGrant(verbs, tuple(paths), reason))

    def find(self, info: RequestInfo) -> str | None:
        """Why the request is allowed, or None if it is not."""
        verb = info.verb
        if not info.is_resource:
            for url in self._urls:
                if (verb in url.verbs or "*" in url.verbs) and url_matches(url.urls, info.path):
                    return url.reason
            return None
        resource, group, grants = info.resource, info.group, self._grants
        candidates = [resource, "*"]
        if info.subresource:
            candidates = [f"{resource}/{info.subresource}", "*", f"*/{info.subresource}"]
        for candidate in candidates:
            for key in ((group, candidate), ("*", candidate)):
                for grant in grants.get(key, ()):
                    if (verb in grant.verbs or "*" in grant.verbs) and (not grant.names or info.name in grant.names):
                        return grant.reason
        return None


class Rbac:
    """The index of roles and bindings."""

    def __init__(self) -> None:
        self._roles: dict[tuple[str, str], Obj] = {}
        self._bindings: dict[str, dict[tuple[str, str], tuple[_Binding, str]]] = {}
        self._users: dict[tuple[str, tuple[str, ...]], dict[str, Permissions]] = {}
        self._mirrors: list[Mirror[Obj]] = []

    def follow(self, store: Store) -> None:
        """Load what the store holds and keep up with it."""
        for plural, change in (
            ("clusterroles", self.change_role),
            ("roles", self.change_role),
            ("clusterrolebindings", self.change_binding),
            ("rolebindings", self.change_binding),
        ):
            mirror: Mirror[Obj] = Mirror(store, f"/{_GROUP}/{plural}/", change)
            mirror.start()
            self._mirrors.append(mirror)

    async def caught_up(self) -> None:
        """Return when decisions rest on all that the store holds now."""
        for mirror in self._mirrors:
            await mirror.caught_up()

    async def stop(self) -> None:
        """Stop following the store."""
        for mirror in self._mirrors:
            await mirror.stop()

    def change_role(self, old: Obj | None, new: Obj | None) -> None:
        """A Role or ClusterRole came, changed or went."""
        self._users.clear()
        obj = new or old or {}
        key = (meta.namespace(obj), meta.name(obj))
        if new is None:
            self._roles.pop(key, None)
        else:
            self._roles[key] = new

    def change_binding(self, old: Obj | None, new: Obj | None) -> None:
        """A RoleBinding or ClusterRoleBinding came, changed or went."""
        self._users.clear()
        if old is not None:
            for subject in old.get("subjects") or ():
                self._bindings.get(_subject_key(subject, old), {}).pop((meta.namespace(old), meta.name(old)), None)
        if new is not None:
            role = new.get("roleRef") or {}
            binding = _Binding(meta.namespace(new), meta.name(new), role.get("kind", ""), role.get("name", ""))
            for subject in new.get("subjects") or ():
                by_name = self._bindings.setdefault(_subject_key(subject, new), {})
                by_name.setdefault((binding.namespace, binding.name), (binding, _describe_subject(subject, new)))

    def authorize(self, user: UserInfo, info: RequestInfo) -> Decision:
        """Whether RBAC allows the request."""
        cluster = self.permissions(user, "")
        reason = cluster.find(info)
        if reason is not None:
            return Decision(True, f"RBAC: allowed by {reason}")
        errors = cluster.errors
        if info.is_resource and info.namespace:
            local = self.permissions(user, info.namespace)
            reason = local.find(info)
            if reason is not None:
                return Decision(True, f"RBAC: allowed by {reason}")
            errors = errors + local.errors
        return Decision(False, f"RBAC: {aggregate(errors)}" if errors else "")

    def permissions(self, user: UserInfo, namespace: str) -> Permissions:
        """What the bindings of `namespace` (or, if empty, the cluster's) give the user."""
        key = (user.name, user.groups)
        scopes = self._users.get(key)
        if scopes is None:
            if len(self._users) >= _CACHED_USERS:
                self._users.clear()
            scopes = self._users[key] = {}
        known = scopes.get(namespace)
        if known is None:
            if len(scopes) >= _CACHED_USERS:
                scopes.clear()
            known = scopes[namespace] = self._compile(user, namespace)
        return known

    def rules_for(self, user: UserInfo, namespace: str) -> tuple[list[Rule], list[str]]:
        """All rules that hold for the user in `namespace` (cluster-wide ones included), and what could not be found."""
        cluster = self.permissions(user, "")
        if not namespace:
            return cluster.rules, cluster.errors
        local = self.permissions(user, namespace)
        return cluster.rules + local.rules, cluster.errors + local.errors

    def role_rules(self, kind: str, name: str, namespace: str) -> list[Rule] | None:
        """The rules of the role that a binding in `namespace` refers to, aggregated ones included; None if missing."""
        role = self._roles.get(("" if kind == "ClusterRole" else namespace, name))
        return None if role is None else list(self._effective(role, set()))

    def _effective(self, role: Obj, seen: set[str]) -> Iterator[Rule]:
        yield from role.get("rules") or ()
        for entry in (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or ():
            selector = selectors.from_label_selector(entry)
            for (namespace, name), other in self._roles.items():
                if namespace or name in seen or other is role or not selector.matches(meta.labels(other)):
                    continue
                seen.add(name)
                yield from self._effective(other, seen)

    def _compile(self, user: UserInfo, namespace: str) -> Permissions:
        permissions = Permissions()
        subjects = [f"u:{user.name}", *(f"g:{group}" for group in user.groups)]
        for subject in subjects:
            for binding, described in self._bindings.get(subject, {}).values():
                if binding.namespace != namespace:
                    continue
                rules = self.role_rules(binding.role_kind, binding.role, namespace)
                if rules is None:
                    missing = f'{binding.role_kind.lower()}.{_GROUP} "{binding.role}" not found'
                    permissions.errors.append(missing)
                else:
                    permissions.add(rules, binding.describe(described))
        return permissions


def _subject_key(subject: dict[str, Any], binding: Obj) -> str:
    match subject.get("kind"):
        case "User":
            return f"u:{subject.get('name')}"
        case "Group":
            return f"g:{subject.get('name')}"
        case "ServiceAccount":
            namespace = subject.get("namespace") or meta.namespace(binding)
            return f"u:system:serviceaccount:{namespace}:{subject.get('name')}"
    return f"?:{subject.get('kind')}"


def _describe_subject(subject: dict[str, Any], binding: Obj) -> str:
    name = subject.get("name", "")
    if subject.get("kind") == "ServiceAccount":
        name = f"{name}/{subject.get('namespace') or meta.namespace(binding)}"
    return f"{subject.get('kind')} {quote(name)}"
