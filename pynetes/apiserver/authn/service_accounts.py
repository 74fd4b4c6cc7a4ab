"""Tokens of service accounts: made by `serviceaccounts/token`, checked on every request.

A bound token names its account by uid, and may be bound to a pod, a secret or a node: when the account or that object
is gone (or was made anew under the same name), the token is worthless. A legacy token is the content of a secret of
type `kubernetes.io/service-account-token` and dies with it. The signature and the claims of a token are checked once
and remembered; that the objects still exist is checked against the store on every request.
"""

import base64
import hashlib
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pynetes.apiserver.authn import legacy_tokens
from pynetes.apiserver.authn.jwt import InvalidToken, KeySet, Signer, peek
from pynetes.apiserver.authn.legacy_tokens import LegacyTokenUse
from pynetes.apiserver.authn.x509 import CREDENTIAL_ID
from pynetes.apiserver.request import UserInfo
from pynetes.machinery import clock, meta, wire
from pynetes.machinery.errors import quote
from pynetes.machinery.meta import Obj
from pynetes.storage.interface import Store

LEGACY_ISSUER = "kubernetes/serviceaccount"
_LEGACY = "kubernetes.io/serviceaccount/"
_LEEWAY = 60.0
_CACHE_SIZE = 4096
_EXTRA = "authentication.kubernetes.io/"

MINIMUM_SECONDS = 600
MAXIMUM_SECONDS = 1 << 32
WARN_AFTER = 3607
EXTENDED_SECONDS = 365 * 24 * 3600
_UID_WORDS = {
    "serviceaccounts": ("service account", "claim"),
    "secrets": ("secret", "service account secret ref claim"),
    "pods": ("pod", "service account pod ref claim"),
    "nodes": ("node", "service account node ref claim"),
}


@dataclass(frozen=True, slots=True)
class Identity:
    """A checked token: whose it is, for whom it is meant and what it is bound to."""

    user: UserInfo
    audiences: tuple[str, ...]
    expires: float
    not_before: float
    bound: tuple[tuple[str, str], ...]  # store key → uid of what must exist
    token_secret: str = ""  # store key of the secret that must still hold a legacy token


def user_name(namespace: str, name: str) -> str:
    """The user that a service account is."""
    return f"system:serviceaccount:{namespace}:{name}"


def groups(namespace: str) -> tuple[str, ...]:
    """The groups every service account of a namespace is in."""
    return ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")


def bound_claims(
    account: Obj,
    *,
    issuer: str,
    audiences: Sequence[str],
    seconds: int,
    pod: Obj | None = None,
    secret: Obj | None = None,
    node: Obj | None = None,
    warn_after: int = 0,
) -> dict[str, Any]:
    """The claims of a token for `account`, bound to at most one of pod (with its node), secret or node."""
    now = int(clock.time())
    private: dict[str, Any] = {
        "namespace": meta.namespace(account),
        "serviceaccount": {"name": meta.name(account), "uid": meta.uid(account)},
    }
    for kind, obj in (("node", node), ("pod", pod), ("secret", secret)):
        if obj is not None:
            private[kind] = {"name": meta.name(obj), **({"uid": meta.uid(obj)} if meta.uid(obj) else {})}
    if warn_after:
        private["warnafter"] = now + warn_after
    return {
        "aud": list(audiences),
        "exp": now + seconds,
        "iat": now,
        "iss": issuer,
        "jti": str(uuid.uuid4()),
        "kubernetes.io": private,
        "nbf": now,
        "sub": user_name(meta.namespace(account), meta.name(account)),
    }


@dataclass
class ServiceAccountTokens:
    """Issues and checks tokens. The first of `issuers` signs; all are accepted."""

    store: Store
    keys: KeySet
    signer: Signer | None = None
    issuers: Sequence[str] = ("https://kubernetes.default.svc.cluster.local",)
    api_audiences: Sequence[str] = ("https://kubernetes.default.svc.cluster.local",)
    legacy_use: LegacyTokenUse | None = None  # who wants to know that a secret's token was used
    _known: dict[bytes, Identity] = field(default_factory=dict)

    @property
    def issuer(self) -> str:
        """The issuer of new tokens."""
        return self.issuers[0]

    def issue(self, claims: dict[str, Any]) -> str:
        """A signed token for `claims`."""
        if self.signer is None:
            raise RuntimeError("no service account signing key was given")
        return self.signer.sign(claims)

    def is_ours(self, token: str) -> bool:
        """Whether the token claims to be a service account's; another kind of token may be anything."""
        try:
            issuer = peek(token).get("iss")
        except InvalidToken:
            return False
        return issuer == LEGACY_ISSUER or issuer in self.issuers

    def check(
        self, token: str, audiences: Iterable[str] | None = None, warnings: list[str] | None = None
    ) -> tuple[UserInfo, list[str]]:
        """The user of a token and the audiences it was accepted for; raises InvalidToken."""
        digest = hashlib.sha256(token.encode()).digest()
        identity = self._known.get(digest)
        if identity is None:
            identity = self._parse(token)
            if len(self._known) >= _CACHE_SIZE:
                self._known.clear()
            self._known[digest] = identity
        wanted = list(self.api_audiences if audiences is None else audiences)
        matching = [audience for audience in wanted if audience in identity.audiences]
        if not matching:
            raise InvalidToken(
                f"token audiences {_go_list(identity.audiences)} is invalid for the target audiences {_go_list(wanted)}"
            )
        now = clock.time()
        if now - _LEEWAY > identity.expires:
            self._known.pop(digest, None)
            raise InvalidToken("service account token has expired")
        if now + _LEEWAY < identity.not_before:
            raise InvalidToken("service account token is not valid yet")
        for key, uid in identity.bound:
            self._check_exists(key, uid, now)
        if identity.token_secret:
            self._check_holds(identity, token, [] if warnings is None else warnings)
        return identity.user, matching

    def _check_exists(self, key: str, uid: str, now: float) -> None:
        record = self.store.get(key)
        obj = wire.decode(record.value) if record is not None else None
        kind, name = key.split("/")[2], key.rpartition("/")[2]
        if obj is None and kind == "serviceaccounts":
            raise InvalidToken(f"serviceaccounts {quote(name)} not found")
        if obj is None:
            raise InvalidToken("service account token has been invalidated")
        if uid and meta.uid(obj) != uid:
            mine, claimed = _UID_WORDS[kind]
            raise InvalidToken(f"{mine} UID ({meta.uid(obj)}) does not match {claimed} ({uid})")
        deleted = obj["metadata"].get("deletionTimestamp")
        if deleted and clock.parse_time(deleted).timestamp() + _LEEWAY < now:
            raise InvalidToken("service account token has been invalidated")

    def _check_holds(self, identity: Identity, token: str, warnings: list[str]) -> None:
        record = self.store.get(identity.token_secret)
        secret = wire.decode(record.value) if record is not None else {}
        if (secret.get("data") or {}).get("token") != base64.b64encode(token.encode()).decode():
            raise InvalidToken("the token's secret is gone or holds another token")
        account_key = identity.bound[0][0]
        if self.legacy_use is not None:
            self.legacy_use.note(secret)
        legacy_tokens.check_valid(secret, account_key.rpartition("/")[2])
        account = self.store.get(account_key)
        listed = wire.decode(account.value).get("secrets") or () if account is not None else ()
        if any(each.get("name") == meta.name(secret) for each in listed):
            warnings.append(legacy_tokens.WARNING)

    def _parse(self, token: str) -> Identity:
        claims = self.keys.verify(token)
        issuer = claims.get("iss")
        if issuer == LEGACY_ISSUER:
            return self._legacy(claims)
        if issuer not in self.issuers:
            raise InvalidToken("unknown issuer")
        private = claims.get("kubernetes.io")
        if not isinstance(private, dict) or not isinstance(private.get("serviceaccount"), dict):
            raise InvalidToken("not a service account's token")
        namespace, account = private.get("namespace", ""), private["serviceaccount"]
        if claims.get("sub") != user_name(namespace, account.get("name", "")):
            raise InvalidToken("the subject is another account")
        extra: dict[str, tuple[str, ...]] = {}
        if claims.get("jti"):
            extra[CREDENTIAL_ID] = (f"JTI={claims['jti']}",)
        bound = [(f"/core/serviceaccounts/{namespace}/{account['name']}", account.get("uid", ""))]
        if secret := private.get("secret"):
            bound.append((f"/core/secrets/{namespace}/{secret['name']}", secret.get("uid", "")))
        node, pod = private.get("node"), private.get("pod")
        if pod:
            bound.append((f"/core/pods/{namespace}/{pod['name']}", pod.get("uid", "")))
            extra[f"{_EXTRA}pod-name"], extra[f"{_EXTRA}pod-uid"] = (pod["name"],), (pod.get("uid", ""),)
        if node:
            if not pod:
                bound.append((f"/core/nodes/{node['name']}", node.get("uid", "")))
            extra[f"{_EXTRA}node-name"] = (node["name"],)
            if node.get("uid"):
                extra[f"{_EXTRA}node-uid"] = (node["uid"],)
        return Identity(
            user=UserInfo(claims["sub"], account.get("uid", ""), groups(namespace), extra),
            audiences=_audiences(claims, self.api_audiences),
            expires=float(claims.get("exp", 0)),
            not_before=float(claims.get("nbf", 0)),
            bound=tuple(bound),
        )

    def _legacy(self, claims: dict[str, Any]) -> Identity:
        namespace, name, uid, secret = (
            claims.get(_LEGACY + part, "")
            for part in ("namespace", "service-account.name", "service-account.uid", "secret.name")
        )
        if not namespace or not name or not uid or not secret or claims.get("sub") != user_name(namespace, name):
            raise InvalidToken("a legacy token lacks a claim")
        return Identity(
            user=UserInfo(user_name(namespace, name), uid, groups(namespace)),
            audiences=tuple(self.api_audiences),
            expires=float("inf"),
            not_before=0.0,
            bound=((f"/core/serviceaccounts/{namespace}/{name}", uid),),
            token_secret=f"/core/secrets/{namespace}/{secret}",
        )


def _audiences(claims: dict[str, Any], default: Sequence[str]) -> tuple[str, ...]:
    audiences = claims.get("aud") or list(default)
    return (audiences,) if isinstance(audiences, str) else tuple(audiences)


def _go_list(words: Iterable[str]) -> str:
    """As Go prints a list of quoted words."""
    return f"[{' '.join(quote(word) for word in words)}]"
