"""ResourceQuota: a namespace may not use more than its quotas say.

Runs last, when nobody can refuse the write any more. Each quota that counts the object is checked and its
`status.used` raised in one conditional write, so that two creations at once cannot both take the last unit. Usage that
goes down (a deletion, a write that fails after all) is corrected by the quota controller, which counts anew.
"""

from typing import TYPE_CHECKING

from pynetes.apiserver.admission import Attributes, Plugin
from pynetes.machinery import meta, quota, resources
from pynetes.machinery.meta import Obj
from pynetes.machinery.pod_totals import Amounts, amounts, plus

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer

QUOTAS = resources.lookup("resourcequotas")
_COUNTED_ON_UPDATE = frozenset({"services", "persistentvolumeclaims"})


class ResourceQuota(Plugin):
    """See the module."""

    name = "ResourceQuota"

    async def validate(self, attributes: Attributes, server: "ApiServer") -> None:
        obj = attributes.obj
        if obj is None or not attributes.namespace or not _counts(attributes):
            return
        quotas = server.registry.list(QUOTAS, attributes.namespace)
        if not quotas:
            return
        kind = attributes.group_resource
        delta = quota.usage(kind, obj)
        if attributes.old is not None:
            delta = quota.minus(delta, quota.usage(kind, attributes.old))
            delta = {name: value for name, value in delta.items() if value}
        matching = [entry for entry in quotas if _limits(entry, kind, obj)]
        for entry in matching:
            _check_stated(attributes, entry, kind, obj)
        wanted = [(entry, share) for entry in matching if (share := _share(entry, kind, delta))]
        for entry, share in wanted:
            _raised(attributes, entry, share)
        if not attributes.dry_run:
            for entry, share in wanted:
                await _charge(attributes, server, entry, share)


def _counts(attributes: Attributes) -> bool:
    if attributes.group_resource == "pods" and attributes.subresource == "resize":
        return attributes.operation == "UPDATE"
    if attributes.subresource:
        return False
    if attributes.operation == "UPDATE":
        return attributes.group_resource in _COUNTED_ON_UPDATE
    return attributes.operation == "CREATE"


def _hard(entry: Obj) -> Amounts:
    return amounts((entry.get("status") or {}).get("hard"))


def _limits(entry: Obj, kind: str, obj: Obj) -> bool:
    return any(quota.concerns(kind, name) for name in _hard(entry)) and quota.matches_scopes(entry, kind, obj)


def _check_stated(attributes: Attributes, entry: Obj, kind: str, obj: Obj) -> None:
    limited = [name for name in _hard(entry) if quota.concerns(kind, name)]
    missing = quota.constraint_violations(kind, obj, limited)
    if missing:
        raise attributes.forbidden(f"failed quota: {meta.name(entry)}: {missing}")
    used = (entry.get("status") or {}).get("used") or {}
    if any(name not in used for name in limited):
        names = ",".join(sorted(limited))
        raise attributes.forbidden(f"status unknown for quota: {meta.name(entry)}, resources: {names}")


def _share(entry: Obj, kind: str, delta: Amounts) -> Amounts:
    hard = _hard(entry)
    return {name: value for name, value in delta.items() if name in hard and quota.concerns(kind, name)}


def _raised(attributes: Attributes, entry: Obj, share: Amounts) -> Amounts:
    """What the quota's usage becomes; raises 403 if that is too much."""
    hard, used = _hard(entry), amounts((entry.get("status") or {}).get("used"))
    raised = plus(used, share)
    exceeded = [name for name in share if raised[name] > hard[name] and share[name] > quota.ZERO]
    if exceeded:
        requested, have, limited = (
            quota.show({name: source[name] for name in exceeded if name in source}) for source in (share, used, hard)
        )
        raise attributes.forbidden(
            f"exceeded quota: {meta.name(entry)}, requested: {requested}, used: {have}, limited: {limited}"
        )
    return raised


async def _charge(attributes: Attributes, server: "ApiServer", entry: Obj, share: Amounts) -> None:
    from pynetes.apiserver.registry import Context

    def change(current: Obj) -> Obj:
        raised = _raised(attributes, current, _share(current, attributes.group_resource, share))
        current.setdefault("status", {})["used"] = quota.as_strings(raised)
        return current

    ctx = Context(skip_admission=True)
    await server.registry.update(QUOTAS, attributes.namespace, meta.name(entry), change, ctx, subresource="status")
