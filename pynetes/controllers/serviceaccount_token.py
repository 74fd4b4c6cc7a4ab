"""Token Secrets of the older kind: a Secret of type service-account-token is filled with a token that does not expire.

The Secret names its account in an annotation; without that account, or with another of the same name, it is deleted.
An account that lists a Secret which was deleted lists it no longer.
"""

import base64
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from pynetes.controllers.controller import Context, Controller, ignore_not_found
from pynetes.controllers.serviceaccount import root_certificate
from pynetes.machinery import meta
from pynetes.machinery.meta import Obj

TYPE = "kubernetes.io/service-account-token"
ACCOUNT_NAME = "kubernetes.io/service-account.name"
ACCOUNT_UID = "kubernetes.io/service-account.uid"
_ISSUER = "kubernetes/serviceaccount"


def base64url(data: bytes) -> str:
    """Base64 for URLs, unpadded, as a JWS has it."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class TokenSigner:
    """Signs legacy tokens with the service account key."""

    def __init__(self, pem: bytes) -> None:
        key = serialization.load_pem_private_key(pem, password=None)
        if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
            raise ValueError("the service account key is neither RSA nor EC")
        self._key = key
        public = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self._key_id = base64url(hashlib.sha256(public).digest())

    def token(self, account: Obj, secret: Obj) -> str:
        """The token of `account` that lives as long as `secret`."""
        space, name = meta.namespace(account), meta.name(account)
        claims = {
            "iss": _ISSUER,
            "kubernetes.io/serviceaccount/namespace": space,
            "kubernetes.io/serviceaccount/secret.name": meta.name(secret),
            "kubernetes.io/serviceaccount/service-account.name": name,
            "kubernetes.io/serviceaccount/service-account.uid": meta.uid(account),
            "sub": f"system:serviceaccount:{space}:{name}",
        }
        algorithm = "RS256" if isinstance(self._key, rsa.RSAPrivateKey) else f"ES{self._key.curve.key_size}"
        header = {"alg": algorithm, "kid": self._key_id}
        parts = (json.dumps(part, separators=(",", ":")).encode() for part in (header, claims))
        message = ".".join(base64url(part) for part in parts)
        return f"{message}.{base64url(self._sign(message.encode()))}"

    def _sign(self, message: bytes) -> bytes:
        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(message, padding.PKCS1v15(), hashes.SHA256())
        digests = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}
        size = self._key.curve.key_size
        r, s = decode_dss_signature(self._key.sign(message, ec.ECDSA(digests[size])))
        width = (size + 7) // 8
        return r.to_bytes(width) + s.to_bytes(width)


class ServiceAccountTokenController(Controller):
    """Fills and removes token Secrets."""

    name = "serviceaccount-token-controller"
    acts_as_manager = True
    workers = 2

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        path = context.options.service_account_private_key_file
        self._signer = TokenSigner(Path(path).read_bytes()) if path else None
        self._root_ca = root_certificate(context)
        self.secrets = self.watch("secrets", self._secret_changed, field_selector=f"type={TYPE}")
        self.accounts = self.watch("serviceaccounts", self._account_changed)
        self._deleted: dict[str, Obj] = {}  # Secrets that their accounts may still list

    def _secret_changed(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        if new is not None:
            return (meta.key(new),)
        assert old is not None
        self._deleted[meta.key(old)] = old
        return (meta.key(old),)

    def _account_changed(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        changed = new or old
        if changed is None or (old is not None and new is not None):
            return ()
        return [
            meta.key(secret)
            for secret in self.secrets.list(meta.namespace(changed))
            if meta.annotations(secret).get(ACCOUNT_NAME) == meta.name(changed)
        ]

    async def reconcile(self, key: str) -> None:
        if key in self._deleted:
            await self._strike(self._deleted[key])
            self._deleted.pop(key, None)
        secret = self.secrets.get(key)
        if secret is None or self._signer is None or meta.is_deleting(secret):
            return
        name = meta.annotations(secret).get(ACCOUNT_NAME, "")
        uid = meta.annotations(secret).get(ACCOUNT_UID, "")
        if not name:
            return
        account = await ignore_not_found(self.client.get("serviceaccounts", name, meta.namespace(secret)))
        if account is None or (uid and uid != meta.uid(account)):
            await ignore_not_found(
                self.client.delete("secrets", meta.name(secret), meta.namespace(secret), uid=meta.uid(secret))
            )
            return
        data = self._filled(secret, account, self._signer)
        if data != (secret.get("data") or {}) or not uid:
            annotations = {**meta.annotations(secret), ACCOUNT_UID: meta.uid(account)}
            await self.client.update(
                "secrets", {**secret, "metadata": {**secret["metadata"], "annotations": annotations}, "data": data}
            )

    async def _strike(self, secret: Obj) -> None:
        """Take a Secret that is gone off its account's list; a conflict is tried again by the queue."""
        name, namespace = meta.annotations(secret).get(ACCOUNT_NAME, ""), meta.namespace(secret)
        account = await ignore_not_found(self.client.get("serviceaccounts", name, namespace)) if name else None
        if account is None or meta.uid(account) != meta.annotations(secret).get(ACCOUNT_UID, meta.uid(account)):
            return
        listed = account.get("secrets") or []
        kept = [reference for reference in listed if reference.get("name") != meta.name(secret)]
        if kept != listed and await ignore_not_found(self.client.get("secrets", meta.name(secret), namespace)) is None:
            await ignore_not_found(self.client.update("serviceaccounts", {**account, "secrets": kept}))

    def _filled(self, secret: Obj, account: Obj, signer: TokenSigner) -> dict[str, str]:
        data = dict(secret.get("data") or {})

        def put(field: str, text: str) -> None:
            data[field] = base64.b64encode(text.encode()).decode()

        if self._root_ca:
            put("ca.crt", self._root_ca)
        if not data.get("namespace"):
            put("namespace", meta.namespace(secret))
        if not data.get("token"):
            put("token", signer.token(account, secret))
        return data
