"""Bootstrap tokens: `<id>.<secret>`, kept in secrets `bootstrap-token-<id>` of kube-system, for nodes that join."""

import base64
import binascii
import hmac
import re
from dataclasses import dataclass

from pynetes.apiserver.request import UserInfo
from pynetes.machinery import clock, meta, wire
from pynetes.storage.interface import Store

_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")
_TYPE = "bootstrap.kubernetes.io/token"


@dataclass(frozen=True)
class BootstrapTokens:
    """Checks tokens against the secrets in the store."""

    store: Store

    def check(self, token: str) -> UserInfo | None:
        """The user of a token, or None if there is no such token, or it may not be used to authenticate."""
        match = _TOKEN.fullmatch(token)
        if match is None:
            return None
        token_id, token_secret = match.groups()
        record = self.store.get(f"/core/secrets/kube-system/bootstrap-token-{token_id}")
        secret = wire.decode(record.value) if record is not None else {}
        if secret.get("type") != _TYPE or meta.is_deleting(secret):
            return None
        data = {key: _text(value) for key, value in (secret.get("data") or {}).items()}
        right = hmac.compare_digest(data.get("token-secret", "").encode(), token_secret.encode())
        if not right or data.get("token-id") != token_id or data.get("usage-bootstrap-authentication") != "true":
            return None
        if _expired(data.get("expiration", "")):
            return None
        groups = {"system:bootstrappers"}
        for group in filter(None, data.get("auth-extra-groups", "").split(",")):
            if not _GROUP.fullmatch(group):
                return None
            groups.add(group)
        return UserInfo(f"system:bootstrap:{token_id}", groups=tuple(sorted(groups)))


def _text(value: str) -> str:
    try:
        return base64.b64decode(value).decode()
    except (binascii.Error, ValueError):
        return ""


def _expired(moment: str) -> bool:
    if not moment:
        return False
    try:
        return clock.parse_time(moment) < clock.now()
    except ValueError:
        return True
