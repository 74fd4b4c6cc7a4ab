"""The way into authentication: a request in, a user out.

In upstream's order: the front proxy's headers (believed only with the front proxy's certificate), the client
certificate, a bearer token from the static file, of a service account, of another issuer (OpenID Connect), or a
bootstrap token. The first that knows the sender decides. Credentials that nobody accepts are a 401, even where
anonymous requests are welcome; no credentials at all make the anonymous user.
"""

import base64
import binascii
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import unquote

from cryptography import x509

from pynetes.apiserver.authn.bootstrap_tokens import BootstrapTokens
from pynetes.apiserver.authn.jwt import InvalidToken, peek
from pynetes.apiserver.authn.oidc import Issuers
from pynetes.apiserver.authn.service_accounts import ServiceAccountTokens
from pynetes.apiserver.authn.x509 import Certificates
from pynetes.apiserver.request import ANONYMOUS, Request, UserInfo
from pynetes.machinery import errors

AUTHENTICATED, UNAUTHENTICATED = "system:authenticated", "system:unauthenticated"
BEARER_PROTOCOL = "base64url.bearer.authorization.k8s.io."


@dataclass(frozen=True)
class FrontProxy:
    """Whom to believe about `X-Remote-*` headers, and what those are called here."""

    authorities: Sequence[x509.Certificate]
    allowed_names: Sequence[str] = ()
    username_headers: Sequence[str] = ("X-Remote-User",)
    uid_headers: Sequence[str] = ("X-Remote-Uid",)
    group_headers: Sequence[str] = ("X-Remote-Group",)
    extra_prefixes: Sequence[str] = ("X-Remote-Extra-",)


@dataclass
class Authenticator:
    """Everything that may know the sender; what is None or empty does not take part."""

    client_authorities: Sequence[x509.Certificate] = ()
    front_proxy: FrontProxy | None = None
    static_tokens: Mapping[str, UserInfo] = field(default_factory=dict)
    service_accounts: ServiceAccountTokens | None = None
    issuers: Issuers | None = None
    bootstrap_tokens: BootstrapTokens | None = None
    anonymous: bool = True
    _certificates: Certificates = field(init=False)

    def __post_init__(self) -> None:
        proxies = None if self.front_proxy is None else self.front_proxy.authorities
        self._certificates = Certificates(self.client_authorities, proxies)

    def authenticate(self, request: Request) -> UserInfo:
        """Who sent the request; raises 401."""
        user = self._by_certificate(request)
        if user is None:
            token = bearer_token(request)
            if token:
                try:
                    user, _ = self.check_token(token, warnings=request.warnings)
                except InvalidToken:
                    raise errors.unauthorized() from None
        if user is None:
            if not self.anonymous:
                raise errors.unauthorized()
            return ANONYMOUS
        return _with_authenticated(user)

    def check_token(
        self, token: str, audiences: Iterable[str] | None = None, warnings: list[str] | None = None
    ) -> tuple[UserInfo, list[str]]:
        """The user of a bearer token, and the audiences it was accepted for; raises InvalidToken."""
        for known, user in self.static_tokens.items():
            if hmac.compare_digest(known.encode(), token.encode()):
                return _with_authenticated(user), []
        if self.service_accounts is not None and self.service_accounts.is_ours(token):
            return self.service_accounts.check(token, audiences, warnings)
        if self.issuers is not None and self.issuers.issuers:
            try:
                claims = peek(token)
            except InvalidToken:
                claims = {}
            issuer = self.issuers.find(claims)
            if issuer is not None:
                return _with_authenticated(issuer.check(token, claims)), []
        if self.bootstrap_tokens is not None:
            user_found = self.bootstrap_tokens.check(token)
            if user_found is not None:
                return _with_authenticated(user_found), []
        raise InvalidToken("invalid bearer token")

    def _by_certificate(self, request: Request) -> UserInfo | None:
        if request.peer_cert is None:
            return None
        if self.front_proxy is not None:
            names = self._certificates.front_proxy(request.peer_cert)
            user = None if names is None else self._by_headers(request, self.front_proxy, names)
            if user is not None:
                return user
        return self._certificates.user(request.peer_cert)

    def _by_headers(self, request: Request, proxy: FrontProxy, names: Sequence[str]) -> UserInfo | None:
        if proxy.allowed_names and not set(names) & set(proxy.allowed_names):
            return None
        name = _first(request, proxy.username_headers)
        if not name:
            return None
        groups = [group for header in proxy.group_headers for group in request.header_values(header)]
        extra: dict[str, list[str]] = {}
        for raw_key, raw_value in request.raw_headers:
            key = raw_key.decode("latin-1").lower()
            for prefix in proxy.extra_prefixes:
                if key.startswith(prefix.lower()):
                    field_name = unquote(key.removeprefix(prefix.lower()))
                    extra.setdefault(field_name, []).append(raw_value.decode("latin-1"))
        uid = _first(request, proxy.uid_headers)
        return UserInfo(name, uid, tuple(groups), {key: tuple(values) for key, values in extra.items()})


def bearer_token(request: Request) -> str:
    """The bearer token of a request: in its header, or, as browsers must, in a WebSocket subprotocol."""
    header = request.headers.get("authorization", "").strip()
    scheme, _, token = header.partition(" ")
    if scheme.lower() == "bearer":
        return token.split(" ")[0]
    for protocol in request.headers.get("sec-websocket-protocol", "").split(","):
        protocol = protocol.strip()
        if protocol.startswith(BEARER_PROTOCOL):
            text = protocol.removeprefix(BEARER_PROTOCOL)
            try:
                return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
            except (binascii.Error, ValueError):
                raise errors.unauthorized() from None
    return ""


def _first(request: Request, headers: Sequence[str]) -> str:
    return next((value for header in headers if (value := request.headers.get(header.lower(), ""))), "")


def _with_authenticated(user: UserInfo) -> UserInfo:
    if AUTHENTICATED in user.groups or UNAUTHENTICATED in user.groups:
        return user
    return replace(user, groups=(*user.groups, AUTHENTICATED))
