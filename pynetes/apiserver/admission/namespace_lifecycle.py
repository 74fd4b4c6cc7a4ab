"""NamespaceLifecycle: nothing is written into a namespace that is missing, nothing created in one that is ending."""

from typing import TYPE_CHECKING

from pynetes.apiserver.admission import Attributes, Plugin
from pynetes.machinery import errors, resources

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer

NAMESPACES = resources.lookup("namespaces")
_IMMORTAL = frozenset({"default", "kube-system", "kube-public"})


class NamespaceLifecycle(Plugin):
    """See the module."""

    name = "NamespaceLifecycle"

    async def admit(self, attributes: Attributes, server: "ApiServer") -> None:
        if attributes.operation == "DELETE":
            if attributes.is_for("namespaces", "DELETE") and attributes.name in _IMMORTAL:
                raise attributes.forbidden("this namespace may not be deleted")
            return
        if (
            not attributes.namespace
            or attributes.group_resource == "namespaces"
            or attributes.group_resource == "localsubjectaccessreviews.authorization.k8s.io"
            or attributes.operation not in ("CREATE", "UPDATE")
        ):
            return
        space = attributes.namespace
        namespace = server.registry.get(NAMESPACES, None, space)
        if namespace is None:
            raise errors.not_found("", "namespaces", space)
        if attributes.operation == "CREATE" and (namespace.get("status") or {}).get("phase") == "Terminating":
            refusal = attributes.forbidden(
                f"unable to create new content in namespace {space} because it is being terminated"
            )
            refusal.details["causes"] = [
                {
                    "reason": "NamespaceTerminating",
                    "message": f"namespace {space} is being terminated",
                    "field": "metadata.namespace",
                }
            ]
            raise refusal


class NamespaceExists(Plugin):
    """Refuses requests into namespaces that do not exist; a part of NamespaceLifecycle, kept for those who ask."""

    name = "NamespaceExists"

    async def validate(self, attributes: Attributes, server: "ApiServer") -> None:
        if not attributes.namespace or attributes.group_resource == "namespaces":
            return
        if server.registry.get(NAMESPACES, None, attributes.namespace) is None:
            raise errors.not_found("", "namespaces", attributes.namespace)


class NamespaceAutoProvision(Plugin):
    """Creates the namespace of an object that is created in none that exists."""

    name = "NamespaceAutoProvision"

    async def admit(self, attributes: Attributes, server: "ApiServer") -> None:
        from pynetes.apiserver.registry import Context

        space = attributes.namespace
        if attributes.operation != "CREATE" or attributes.dry_run or not space:
            return
        if attributes.group_resource == "namespaces" or server.registry.get(NAMESPACES, None, space) is not None:
            return
        try:
            await server.registry.create(NAMESPACES, {"metadata": {"name": space}}, Context())
        except errors.StatusError as error:
            if error.reason != "AlreadyExists":
                raise
