"""Escalation prevention as the last step before a role or binding is stored; not a plugin that can be switched off."""

from typing import TYPE_CHECKING

from pynetes.apiserver.admission import Attributes, Plugin
from pynetes.apiserver.authz.escalation import GROUP, check_binding, check_role

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer


class RbacEscalation(Plugin):
    """See `authz.escalation`."""

    name = "RBACEscalation"

    async def validate(self, attributes: Attributes, server: "ApiServer") -> None:
        if attributes.rt.group != GROUP or attributes.operation not in ("CREATE", "UPDATE") or attributes.obj is None:
            return
        check = check_role if attributes.rt.plural in ("roles", "clusterroles") else check_binding
        check(server.authorizer, attributes.user, attributes.rt.plural, attributes.obj, attributes.old)
