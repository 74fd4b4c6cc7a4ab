"""Bootstrap policy into the store, at every start.

Missing default roles and bindings are created; existing ones get back the rules, subjects, labels and annotations they
lack, and keep what was added to them. An object whose annotation `rbac.authorization.kubernetes.io/autoupdate` is
`false` is left alone. A binding that refers to another role than it should is made anew, for roleRef cannot change.
"""

import asyncio
from typing import Any

from pynetes.apiserver.authz import rules
from pynetes.apiserver.authz.controller_policy import CONTROLLER_ROLE_BINDINGS, CONTROLLER_ROLES
from pynetes.apiserver.authz.policy import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    NAMESPACE_ROLE_BINDINGS,
    NAMESPACE_ROLES,
    Binding,
    Role,
)
from pynetes.apiserver.authz.pynetes_policy import PYNETES_ROLE_BINDINGS, PYNETES_ROLES
from pynetes.apiserver.registry import Context, Registry
from pynetes.machinery import meta, resources
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj

GROUP = "rbac.authorization.k8s.io"
AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
_AGGREGATE_TO = "rbac.authorization.k8s.io/aggregate-to-"


def _metadata(name: str, namespace: str) -> Obj:
    metadata: Obj = {
        "name": name,
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        "annotations": {AUTOUPDATE: "true"},
    }
    return metadata | {"namespace": namespace} if namespace else metadata


def role_object(role: Role) -> Obj:
    """The Role or ClusterRole that a table entry stands for."""
    metadata = _metadata(role.name, role.namespace)
    if role.aggregate_to:
        metadata["labels"][f"{_AGGREGATE_TO}{role.aggregate_to}"] = "true"
    obj: Obj = {
        "apiVersion": f"{GROUP}/v1",
        "kind": "Role" if role.namespace else "ClusterRole",
        "metadata": metadata,
        "rules": [dict(rule) for rule in role.rules],
    }
    if role.aggregates:
        selector = {"matchLabels": {f"{_AGGREGATE_TO}{role.aggregates}": "true"}}
        obj["aggregationRule"] = {"clusterRoleSelectors": [selector]}
        obj["rules"] = None
    return obj


def _subject(text: str) -> dict[str, Any]:
    kind, _, name = text.partition(":")
    if kind == "ServiceAccount":
        namespace, _, account = name.partition("/")
        return {"kind": kind, "name": account, "namespace": namespace}
    return {"apiGroup": GROUP, "kind": kind, "name": name}


def binding_object(binding: Binding) -> Obj:
    """The RoleBinding or ClusterRoleBinding that a table entry stands for."""
    obj: Obj = {
        "apiVersion": f"{GROUP}/v1",
        "kind": "RoleBinding" if binding.namespace else "ClusterRoleBinding",
        "metadata": _metadata(binding.name, binding.namespace),
        "roleRef": {"apiGroup": GROUP, "kind": binding.role_kind, "name": binding.role},
        "subjects": [_subject(text) for text in binding.subjects],
    }
    if not binding.subjects:
        del obj["subjects"]
    return obj


def default_objects() -> list[Obj]:
    """Every object of the bootstrap policy: roles before the bindings to them."""
    roles = (*CLUSTER_ROLES, *CONTROLLER_ROLES, *PYNETES_ROLES, *NAMESPACE_ROLES)
    bindings = (
        *CLUSTER_ROLE_BINDINGS,
        *CONTROLLER_ROLE_BINDINGS,
        *PYNETES_ROLE_BINDINGS,
        *NAMESPACE_ROLE_BINDINGS,
    )
    return [*map(role_object, roles), *map(binding_object, bindings)]


def reconciled(existing: Obj, wanted: Obj) -> Obj | None:
    """`existing` with what it lacks of `wanted`; None if it lacks nothing."""
    metadata = existing["metadata"]
    changed: Obj = {**existing, "metadata": dict(metadata)}
    for field in ("labels", "annotations"):
        changed["metadata"][field] = {**wanted["metadata"][field], **(metadata.get(field) or {})}
    if "roleRef" in wanted:
        subjects = existing.get("subjects") or []
        lacking = [subject for subject in wanted.get("subjects") or [] if subject not in subjects]
        if lacking:
            changed["subjects"] = subjects + lacking
    elif "aggregationRule" in wanted:
        known = (existing.get("aggregationRule") or {}).get("clusterRoleSelectors") or []
        asked = wanted["aggregationRule"]["clusterRoleSelectors"]
        changed["aggregationRule"] = {"clusterRoleSelectors": known + [entry for entry in asked if entry not in known]}
    else:
        held = existing.get("rules") or []
        lacking = rules.compact(rules.covers(held, wanted.get("rules") or []))
        if lacking:
            changed["rules"] = held + lacking
    return None if changed == existing else changed


async def reconcile(registry: Registry) -> None:
    """Make the store hold the bootstrap policy; all objects at once, so that they share their commits."""
    await asyncio.gather(*(_ensure(registry, wanted) for wanted in default_objects()))


async def _ensure(registry: Registry, wanted: Obj) -> None:
    ctx = Context(skip_admission=True)
    rt = resources.by_kind(wanted["apiVersion"], wanted["kind"])
    assert rt is not None
    namespace, name = meta.namespace(wanted), meta.name(wanted)
    existing = registry.get(rt, namespace, name)
    if existing is not None and meta.annotations(existing).get(AUTOUPDATE) == "false":
        return
    if existing is not None and "roleRef" in wanted and not _same_role(existing, wanted):
        await registry.delete(rt, namespace, name, ctx)
        existing = None
    if existing is None:
        try:
            await registry.create(rt, wanted, ctx)
        except StatusError as error:
            if error.reason != "AlreadyExists":  # another server was faster; it makes the same objects
                raise
    elif reconciled(existing, wanted) is not None:
        await registry.update(rt, namespace, name, lambda current: reconciled(current, wanted), ctx)


def _same_role(one: Obj, other: Obj) -> bool:
    return all(one["roleRef"].get(field) == other["roleRef"].get(field) for field in ("kind", "name"))
