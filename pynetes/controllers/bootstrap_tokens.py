"""Bootstrap tokens: `cluster-info` is signed with each of them, and those whose time is over are removed.

A machine that is to join reads the ConfigMap `cluster-info` of kube-public from a server that it cannot trust yet; with
its token it can check the signature (a JWS without its content, as kubeadm expects it) and so whom to trust. Off unless
`--controllers` names them, as upstream.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping

from pynetes.controllers.controller import Context, Controller, ignore_not_found
from pynetes.controllers.serviceaccount_token import base64url
from pynetes.machinery import clock, meta
from pynetes.machinery.meta import Obj

SECRET_TYPE = "bootstrap.kubernetes.io/token"
_PREFIX = "bootstrap-token-"
_SIGNATURE = "jws-kubeconfig-"
_INFO = ("kube-public", "cluster-info")


def detached_signature(content: str, token_id: str, token_secret: str) -> str:
    """A compact JWS (HS256) of `content`, with the content left out."""
    header = base64url(json.dumps({"alg": "HS256", "kid": token_id}, separators=(",", ":")).encode())
    signed = f"{header}.{base64url(content.encode())}"
    return f"{header}..{base64url(hmac.digest(token_secret.encode(), signed.encode(), hashlib.sha256))}"


def signing_tokens(secrets: Iterable[Obj]) -> dict[str, str]:
    """The tokens, by id, that may sign: well-formed, meant for it, and not over."""
    found = {}
    for secret in secrets:
        data = _data(secret)
        token_id, token_secret = data.get("token-id", ""), data.get("token-secret", "")
        named_for_it = meta.name(secret) == f"{_PREFIX}{token_id}"
        if token_id and token_secret and named_for_it and data.get("usage-bootstrap-signing") == "true":
            left = seconds_left(secret)
            if left is None or left > 0:
                found[token_id] = token_secret
    return found


def signed(data: Mapping[str, str], tokens: Mapping[str, str]) -> dict[str, str]:
    """The content of `cluster-info` with a signature for each token and no other."""
    content = data.get("kubeconfig")
    if content is None:
        return dict(data)
    rest = {key: value for key, value in data.items() if not key.startswith(_SIGNATURE)}
    return rest | {f"{_SIGNATURE}{key}": detached_signature(content, key, secret) for key, secret in tokens.items()}


def seconds_left(secret: Obj) -> float | None:
    """How long a token is good for; None if for ever. What cannot be read as a time is over."""
    moment = _data(secret).get("expiration", "")
    if not moment:
        return None
    try:
        return max(clock.parse_time(moment).timestamp() - clock.time(), 0.0)
    except ValueError:
        return 0.0


def _data(secret: Obj) -> dict[str, str]:
    found = {}
    for key, value in (secret.get("data") or {}).items():
        try:
            found[key] = base64.b64decode(value).decode()
        except (binascii.Error, ValueError):
            continue
    return found


class BootstrapSigner(Controller):
    """Keeps the signatures in `cluster-info`."""

    name = "bootstrap-signer-controller"
    account = "bootstrap-signer"
    on_by_default = False
    workers = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        namespace, name = _INFO
        self.infos = self.watch(
            "configmaps", self._changed, namespace=namespace, field_selector=f"metadata.name={name}"
        )
        self.secrets = self.watch(
            "secrets", self._changed, namespace="kube-system", field_selector=f"type={SECRET_TYPE}"
        )

    def _changed(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        return ("/".join(_INFO),)

    async def reconcile(self, key: str) -> None:
        info = self.infos.get(key)
        if info is None:
            return
        tokens = signing_tokens(self.secrets.list())
        data = signed(info.get("data") or {}, tokens)
        if data != (info.get("data") or {}):
            await self.client.update("configmaps", {**info, "data": data})
        for secret in self.secrets.list():
            left = seconds_left(secret)
            if left:
                self.queue.add_after(key, left)


class TokenCleaner(Controller):
    """Removes tokens whose time is over."""

    name = "token-cleaner-controller"
    account = "token-cleaner"
    on_by_default = False
    workers = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.secrets = self.watch(
            "secrets", self._changed, namespace="kube-system", field_selector=f"type={SECRET_TYPE}"
        )

    def _changed(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        return (meta.key(new),) if new is not None else ()

    async def reconcile(self, key: str) -> None:
        secret = self.secrets.get(key)
        if secret is None or (left := seconds_left(secret)) is None:
            return
        if left > 0:
            self.queue.add_after(key, left)
            return
        namespace, name = meta.split_key(key)
        await ignore_not_found(self.client.delete("secrets", name, namespace, uid=meta.uid(secret)))
