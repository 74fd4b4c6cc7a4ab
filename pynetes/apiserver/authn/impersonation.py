"""Acting as somebody else: the `Impersonate-*` headers.

A request may name another user, groups, uid and extra fields. Each of them needs the verb `impersonate` on the
matching virtual resource (users, groups, serviceaccounts, uids, userextras); only then is the request the other's.
"""

from urllib.parse import unquote

from pynetes.apiserver.authz.authorizer import Authorizer, forbidden
from pynetes.apiserver.request import Request, RequestInfo, UserInfo
from pynetes.machinery import errors, names

_EXTRA = "impersonate-extra-"
_GROUP = "authentication.k8s.io"
AUTHENTICATED, UNAUTHENTICATED = "system:authenticated", "system:unauthenticated"
_ANONYMOUS = "system:anonymous"


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
    if not is_requested(request):
        return user
    wanted = request.headers.get("impersonate-user", "")
    groups = request.header_values("impersonate-group")
    uid = request.headers.get("impersonate-uid", "")
    extra = _extra(request)
    if not wanted:
        if groups or extra or uid:
            raise errors.internal(f"requested {groups or extra or uid} without impersonating a user")
        return user
    account = service_account(wanted)
    if account is not None:
        needed = [RequestInfo(True, "impersonate", "", "v1", "serviceaccounts", "", *account)]
    else:
        needed = [RequestInfo(True, "impersonate", "", "v1", "users", name=wanted)]
    needed += [RequestInfo(True, "impersonate", "", "v1", "groups", name=group) for group in groups]
    needed += [
        RequestInfo(True, "impersonate", _GROUP, "v1", "userextras", key, "", value)
        for key, values in extra.items()
        for value in values
    ]
    if uid:
        needed.append(RequestInfo(True, "impersonate", _GROUP, "v1", "uids", name=uid))
    for info in needed:
        decision = authorizer.authorize(user, info)
        if not decision.allowed:
            raise forbidden(user, info, decision.reason)
    if account is not None and not groups:
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{account[0]}"]
    if wanted == _ANONYMOUS:
        if UNAUTHENTICATED not in groups:
            groups = [*groups, UNAUTHENTICATED]
    elif AUTHENTICATED not in groups and UNAUTHENTICATED not in groups:
        groups = [*groups, AUTHENTICATED]
    return UserInfo(wanted, uid, tuple(groups), {key: tuple(values) for key, values in extra.items()})


def _extra(request: Request) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for raw_key, raw_value in request.raw_headers:
        key = raw_key.decode("latin-1").lower()
        if key.startswith(_EXTRA):
            found.setdefault(unquote(key.removeprefix(_EXTRA)).lower(), []).append(raw_value.decode("latin-1"))
    return found
