"""Acting as somebody else: the `Impersonate-*` headers.

A request may name another user, groups, uid and extra fields. Constrained impersonation (KEP-5284) asks for two
rights: to do this very thing as somebody else (`impersonate-on:<mode>:<verb>` on what is asked for), and to be that
somebody (`impersonate:<mode>` on users, groups, serviceaccounts, nodes, uids and userextras of
`authentication.k8s.io`). The modes that fit are tried in turn; the last is the old way, in which `impersonate` on the
name is enough for everything. Only when one of them allows is the request the other's; else the first refusal counts.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import unquote

from pynetes.apiserver.authz.authorizer import Authorizer, forbidden
from pynetes.apiserver.request import Request, RequestInfo, UserInfo
from pynetes.machinery import errors, names
from pynetes.machinery.errors import StatusError, quote

_EXTRA = "impersonate-extra-"
_GROUP = "authentication.k8s.io"
_NODE = "system:node:"
_NODE_NAME = "authentication.kubernetes.io/node-name"
_ASSOCIATED_KEYS = "authentication.kubernetes.io/associated-node-keys"
_MANY = 4  # so many names or more are asked for at once first, as `*`
AUTHENTICATED, UNAUTHENTICATED = "system:authenticated", "system:unauthenticated"
_ANONYMOUS, _MASTERS = "system:anonymous", "system:masters"


def service_account(user: str) -> tuple[str, str] | None:
    """The namespace and name in `system:serviceaccount:<namespace>:<name>`."""
    parts = user.split(":")
    if len(parts) != 4 or parts[:2] != ["system", "serviceaccount"]:
        return None
    _, _, namespace, name = parts
    if names.dns1123_label(namespace) or names.dns1123_subdomain(name):
        return None
    return namespace, name


def is_requested(request: Request) -> bool:
    """Whether the request has any of the headers."""
    return any(header.startswith("impersonate-") for header in request.headers)


def impersonate(request: Request, user: UserInfo, authorizer: Authorizer) -> UserInfo:
    """The user the request shall count as; raises 403 if `user` may not. Without headers, `user` itself."""
    wanted = _wanted(request) if is_requested(request) else None
    if wanted is None:
        return user
    assert request.info is not None
    refusal: StatusError | None = None
    for name, fits in _MODES.items():
        if fits(wanted, user):
            try:
                return _Check(authorizer, user, name).allowed(wanted, request.info)
            except StatusError as error:
                refusal = refusal or error
    assert refusal is not None  # the old way always fits
    raise refusal


def _wanted(request: Request) -> UserInfo | None:
    """Whom the headers name."""
    name, uid = request.headers.get("impersonate-user", ""), request.headers.get("impersonate-uid", "")
    groups, extra = tuple(request.header_values("impersonate-group")), _extra(request)
    if name:
        return UserInfo(name, uid, groups, extra)
    if groups or extra or uid:
        raise errors.bad_request(f"requested {_in_go(uid, groups, extra)} without impersonating a user name")
    return None


def _in_go(uid: str, groups: tuple[str, ...], extra: dict[str, tuple[str, ...]]) -> str:
    """A user without a name, as upstream's message shows it."""

    def strings(values: tuple[str, ...]) -> str:
        return "{" + ", ".join(map(quote, values)) + "}"

    held = ", ".join(f"{quote(key)}:[]string{strings(values)}" for key, values in sorted(extra.items()))
    return (
        f'&user.DefaultInfo{{Name:"", UID:{quote(uid)}, Groups:[]string{strings(groups) if groups else "(nil)"}, '
        f"Extra:map[string][]string{'{' + held + '}' if extra else '(nil)'}}}"
    )


def _extra(request: Request) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for raw_key, raw_value in request.raw_headers:
        header = raw_key.decode("latin-1").lower()
        if header.startswith(_EXTRA):
            key = unquote(header.removeprefix(_EXTRA)).lower()
            found[key] = (*found.get(key, ()), raw_value.decode("latin-1"))
    return found


# The modes, and whom they are for.


def _node(user: str) -> str:
    name = user.removeprefix(_NODE) if user.startswith(_NODE) else ""
    return "" if names.dns1123_subdomain(name) else name


def _only_named(wanted: UserInfo) -> bool:
    return not (wanted.uid or wanted.groups or wanted.extra)


def _is_own_node(wanted: UserInfo, user: UserInfo) -> bool:
    here = service_account(user.name) is not None and user.extra.get(_NODE_NAME)
    return _is_any_node(wanted, user) and here == (_node(wanted.name),)


def _is_any_node(wanted: UserInfo, user: UserInfo) -> bool:
    return _only_named(wanted) and bool(_node(wanted.name))


def _is_account(wanted: UserInfo, user: UserInfo) -> bool:
    return _only_named(wanted) and service_account(wanted.name) is not None


def _is_other(wanted: UserInfo, user: UserInfo) -> bool:
    return not _node(wanted.name) and service_account(wanted.name) is None


_OWN_NODE, _OLD = "associated-node", ""
_MODES: dict[str, Callable[[UserInfo, UserInfo], bool]] = {
    _OWN_NODE: _is_own_node,
    "arbitrary-node": _is_any_node,
    "serviceaccount": _is_account,
    "user-info": _is_other,
    _OLD: lambda wanted, user: True,
}


@dataclass(frozen=True)
class _Check:
    """One mode's questions about one user."""

    authorizer: Authorizer
    user: UserInfo
    mode: str

    def allowed(self, wanted: UserInfo, info: RequestInfo) -> UserInfo:
        """Whom the request counts as; raises 403 if this mode does not allow it."""
        if self.mode:
            self._require(replace(info, verb=f"impersonate-on:{self.mode}:{info.verb}"))
        groups = self._name(wanted)
        if wanted.uid:
            self._require(self._asked("uids", wanted.uid, _GROUP))
        self._groups(wanted.groups)
        self._extra(dict(wanted.extra))
        if wanted.name == _ANONYMOUS:
            if UNAUTHENTICATED not in groups:
                groups = (*groups, UNAUTHENTICATED)
        elif AUTHENTICATED not in groups and UNAUTHENTICATED not in groups:
            groups = (*groups, AUTHENTICATED)
        return replace(wanted, groups=groups)

    def _name(self, wanted: UserInfo) -> tuple[str, ...]:
        """Ask for the name; the groups that go with it."""
        account, node = service_account(wanted.name), _node(wanted.name)
        if account is not None:
            namespace, name = account
            self._require(replace(self._asked("serviceaccounts", name), namespace=namespace))
            return wanted.groups or ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
        if node and self.mode:
            self._require(self._asked("nodes", "*" if self.mode == _OWN_NODE else node))
            return ("system:nodes",)
        self._require(self._asked("users", wanted.name))
        return wanted.groups

    def _groups(self, groups: tuple[str, ...]) -> None:
        if self.mode and "" in groups:
            raise forbidden(self.user, self._asked("groups", ""), "impersonating the empty string group is not allowed")
        if self.mode and _MASTERS in groups:
            reason = "impersonating the system:masters group is not allowed"
            raise forbidden(self.user, self._asked("groups", _MASTERS), reason)
        if self.mode and len(groups) >= _MANY and self._holds(self._asked("groups", "*")):
            return
        for group in groups:
            self._require(self._asked("groups", group))

    def _extra(self, extra: dict[str, tuple[str, ...]]) -> None:
        asked = self._asked("userextras", "", _GROUP)
        if self.mode and (fault := _extra_fault(extra)):
            raise forbidden(self.user, asked, fault)
        many = len(extra) >= _MANY or sum(map(len, extra.values())) >= _MANY
        if self.mode and many and self._holds(replace(asked, subresource="*", name="*")):
            return
        for key, values in extra.items():
            for value in values:
                self._require(replace(asked, subresource=key, name=value))

    def _asked(self, resource: str, name: str, group: str = "") -> RequestInfo:
        verb = f"impersonate:{self.mode}" if self.mode else "impersonate"
        return RequestInfo(True, verb, _GROUP if self.mode else group, "v1", resource, name=name)

    def _holds(self, info: RequestInfo) -> bool:
        return self.authorizer.authorize(self._asker, info).allowed

    def _require(self, info: RequestInfo) -> None:
        decision = self.authorizer.authorize(self._asker, info)
        if not decision.allowed:
            raise forbidden(self.user, info, decision.reason)

    @property
    def _asker(self) -> UserInfo:
        """The user as authorizers see it: which node it runs on was compared already, and is no matter of theirs."""
        if self.mode != _OWN_NODE:
            return self.user
        return replace(self.user, extra={_ASSOCIATED_KEYS: tuple(sorted(self.user.extra))})


def _extra_fault(extra: dict[str, tuple[str, ...]]) -> str:
    """What extra fields must not be in the constrained modes."""
    for key, values in extra.items():
        host, slash, path = key.partition("/")
        if not key:
            return "impersonating the empty string key in extra is not allowed"
        if not (host and slash and path):
            fault = f'extra.key: Invalid value: {quote(key)}: must be a domain-prefixed path (such as "acme.io/foo")'
            return f"impersonating an invalid key in extra is not allowed: {fault}"
        if problems := names.dns1123_subdomain(host):
            fault = f"extra.key: Invalid value: {quote(host)}: {problems[0]}"
            return f"impersonating an invalid key in extra is not allowed: {fault}"
        if "" in values:
            return "impersonating the empty string value in extra is not allowed"
    return ""
