"""OwnerReferencesPermissionEnforcement: changing owners takes `delete`, blocking them takes `update` of finalizers."""

from typing import TYPE_CHECKING

from pynetes.apiserver.admission import Attributes, Plugin
from pynetes.apiserver.request import RequestInfo
from pynetes.machinery import meta, resources
from pynetes.machinery.meta import Obj

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer


def _blocking(obj: Obj | None) -> set[str]:
    return {owner.get("uid", "") for owner in meta.owner_references(obj or {}) if owner.get("blockOwnerDeletion")}


class OwnerReferencesPermissionEnforcement(Plugin):
    """See the module."""

    name = "OwnerReferencesPermissionEnforcement"

    async def validate(self, attributes: Attributes, server: "ApiServer") -> None:
        new, old = attributes.obj, attributes.old
        if new is None or attributes.operation not in ("CREATE", "UPDATE"):
            return
        if attributes.group_resource == "pods" and attributes.subresource == "status":
            return
        user, rt = attributes.user, attributes.rt
        if old is not None and meta.owner_references(new) != meta.owner_references(old):
            where = (attributes.subresource, attributes.namespace, attributes.name)
            info = RequestInfo(True, "delete", rt.group, rt.version, rt.plural, *where)
            if not server.authorizer.authorize(user, info).allowed:
                raise attributes.forbidden("cannot set an ownerRef on a resource you can't delete: , <nil>")
        added = _blocking(new) - _blocking(old)
        for owner in meta.owner_references(new):
            if owner.get("uid", "") not in added:
                continue
            kind = resources.by_kind(owner.get("apiVersion", ""), owner.get("kind", ""))
            if kind is None:
                raise attributes.forbidden(
                    "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion "
                    f"{owner.get('apiVersion')} Kind {owner.get('kind')}"
                )
            space = attributes.namespace if kind.namespaced else ""
            where = ("finalizers", space, owner["name"])
            info = RequestInfo(True, "update", kind.group, kind.version, kind.plural, *where)
            if not server.authorizer.authorize(user, info).allowed:
                raise attributes.forbidden(
                    "cannot set blockOwnerDeletion if an ownerReference refers to a resource "
                    "you can't set finalizers on: , <nil>"
                )
