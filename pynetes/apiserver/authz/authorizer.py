"""The way into authorization: one question, asked of each authorizer in turn.

`--authorization-mode` names the authorizers and their order (default here: Node,RBAC). The first that allows decides;
members of `system:masters` are always allowed. When none allows, their reasons are joined into the refusal, whose text
`forbidden` makes.
"""

from collections.abc import Sequence
from typing import Protocol

from pynetes.apiserver.authz.node import NodeAuthorizer
from pynetes.apiserver.authz.rbac import Decision, Rbac
from pynetes.apiserver.request import RequestInfo, UserInfo
from pynetes.machinery import errors
from pynetes.machinery.errors import quote
from pynetes.storage.interface import Store

MASTERS = "system:masters"
MODES = ("AlwaysAllow", "AlwaysDeny", "Node", "RBAC")


class _Authorizer(Protocol):
    def authorize(self, user: UserInfo, info: RequestInfo) -> Decision: ...


class _Always:
    """AlwaysAllow and AlwaysDeny."""

    def __init__(self, decision: Decision) -> None:
        self._decision = decision

    def authorize(self, user: UserInfo, info: RequestInfo) -> Decision:
        return self._decision


class Authorizer:
    """Asks the authorizers named by `modes`; `rbac` and `node` are there whether or not they take part."""

    def __init__(self, modes: Sequence[str] = ("Node", "RBAC")) -> None:
        self.rbac = Rbac()
        self.node = NodeAuthorizer()
        by_mode: dict[str, _Authorizer] = {
            "AlwaysAllow": _Always(Decision(True)),
            "AlwaysDeny": _Always(Decision(False, "Everything is forbidden.")),
            "Node": self.node,
            "RBAC": self.rbac,
        }
        unknown = [mode for mode in modes if mode not in by_mode]
        if unknown:
            raise ValueError(f"unknown authorization mode {unknown[0]!r}; known are {', '.join(MODES)}")
        self._authorizers = [by_mode[mode] for mode in modes]

    def follow(self, store: Store) -> None:
        """Load what the store holds and keep up with it; needs a running event loop."""
        self.rbac.follow(store)
        if self.node in self._authorizers:
            self.node.follow(store)

    async def stop(self) -> None:
        """Stop following the store."""
        await self.rbac.stop()
        await self.node.stop()

    def authorize(self, user: UserInfo, info: RequestInfo) -> Decision:
        """May `user` do what `info` describes?"""
        if MASTERS in user.groups:
            return Decision(True)
        reasons = []
        for authorizer in self._authorizers:
            decision = authorizer.authorize(user, info)
            if decision.allowed:
                return decision
            if decision.reason:
                reasons.append(decision.reason)
        return Decision(False, "\n".join(reasons))


def forbidden_message(user: UserInfo, info: RequestInfo) -> str:
    """`User "x" cannot list resource "pods" in API group "" in the namespace "default"`."""
    if not info.is_resource:
        return f"User {quote(user.name)} cannot {info.verb} path {quote(info.path)}"
    resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    what = f"{info.verb} resource {quote(resource)} in API group {quote(info.group)}"
    where = f"in the namespace {quote(info.namespace)}" if info.namespace else "at the cluster scope"
    return f"User {quote(user.name)} cannot {what} {where}"


def forbidden(user: UserInfo, info: RequestInfo, reason: str = "") -> errors.StatusError:
    """The 403 for a request that was not allowed."""
    message = forbidden_message(user, info)
    return errors.forbidden(info.group, info.resource, info.name, f"{message}: {reason}" if reason else message)
