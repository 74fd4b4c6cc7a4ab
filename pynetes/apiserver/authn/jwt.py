"""Signed tokens: JSON Web Tokens in compact form, and no more of the standard than Kubernetes uses.

`Signer` signs with one private key (RS256, or ES256/384/512 by the curve); `KeySet` verifies with any of its public
keys, chosen by the key id, and renders them as a JWKS document. The key id is upstream's: the SHA-256 of the public
key in DER.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.x509 import load_pem_x509_certificate

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

_CURVES: dict[str, tuple[str, str, type[hashes.HashAlgorithm], int]] = {
    "secp256r1": ("ES256", "P-256", hashes.SHA256, 32),
    "secp384r1": ("ES384", "P-384", hashes.SHA384, 48),
    "secp521r1": ("ES512", "P-521", hashes.SHA512, 66),
}


class InvalidToken(Exception):
    """The token is malformed, not signed by a known key, or says what is not so."""


def encode_segment(data: bytes) -> str:
    """Unpadded URL-safe base64."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode_segment(text: str) -> bytes:
    """The bytes of unpadded URL-safe base64; raises InvalidToken."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise InvalidToken("malformed base64") from None


def key_id(key: PublicKey) -> str:
    """The id under which a key is found: the same for every holder of the key."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return encode_segment(hashlib.sha256(der).digest())


def algorithm(key: PublicKey) -> str:
    """The only signature algorithm accepted from a key."""
    return "RS256" if isinstance(key, rsa.RSAPublicKey) else _CURVES[key.curve.name][0]


class Signer:
    """Signs claims with one private key."""

    def __init__(self, key: PrivateKey) -> None:
        self._key = key
        self.public_key: PublicKey = key.public_key()
        header = {"alg": algorithm(self.public_key), "kid": key_id(self.public_key)}
        self._header = encode_segment(msgspec.json.encode(header))

    @classmethod
    def from_pem(cls, pem: bytes) -> "Signer":
        """A signer for an RSA or ECDSA private key."""
        key = serialization.load_pem_private_key(pem, None)
        if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
            raise ValueError("a service account signing key must be RSA or ECDSA")
        return cls(key)

    def sign(self, claims: dict[str, Any]) -> str:
        """The token for `claims`."""
        message = f"{self._header}.{encode_segment(msgspec.json.encode(claims))}"
        if isinstance(self._key, rsa.RSAPrivateKey):
            signature = self._key.sign(message.encode(), padding.PKCS1v15(), hashes.SHA256())
        else:
            _, _, digest, size = _CURVES[self._key.curve.name]
            r, s = utils.decode_dss_signature(self._key.sign(message.encode(), ec.ECDSA(digest())))
            signature = r.to_bytes(size, "big") + s.to_bytes(size, "big")
        return f"{message}.{encode_segment(signature)}"


def load_public_keys(pem: bytes) -> list[PublicKey]:
    """Every key in a PEM file: public keys, private keys (their public half) and certificates."""
    found: list[PublicKey] = []
    for block in pem.split(b"-----END ")[:-1]:
        start = block.rindex(b"-----BEGIN ")
        label = block[start + 11 : block.index(b"-----", start + 11)]
        text = block[start:] + b"-----END " + label + b"-----\n"
        if label.endswith(b"PRIVATE KEY"):
            private = serialization.load_pem_private_key(text, None)
            key: Any = private.public_key()
        elif label == b"CERTIFICATE":
            key = load_pem_x509_certificate(text).public_key()
        elif label.endswith(b"PUBLIC KEY"):
            key = serialization.load_pem_public_key(text)
        else:
            continue
        if isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
            found.append(key)
    return found


class KeySet:
    """Public keys that tokens may be signed with."""

    def __init__(self, keys: Iterable[PublicKey]) -> None:
        self._keys = {key_id(key): key for key in keys}

    @classmethod
    def named(cls, keys: Mapping[str, PublicKey]) -> "KeySet":
        """Keys under the ids that somebody else gave them."""
        made = cls([])
        made._keys = dict(keys)
        return made

    def has(self, kid: str) -> bool:
        """Whether there is a key of this id."""
        return kid in self._keys

    def verify(self, token: str) -> dict[str, Any]:
        """The claims of a token whose signature is right; nothing else is checked. Raises InvalidToken."""
        header_text, claims_text, signature = _split(token)
        header, claims = _json(header_text), _json(claims_text)
        candidates = [self._keys[header["kid"]]] if header.get("kid") in self._keys else list(self._keys.values())
        message = f"{header_text}.{claims_text}".encode()
        if not any(_signed_by(key, header.get("alg"), message, signature) for key in candidates):
            raise InvalidToken("not signed by a known key")
        return claims

    def jwks(self) -> dict[str, Any]:
        """The keys as a JSON Web Key Set."""
        return {"keys": [_jwk(kid, key) for kid, key in self._keys.items()]}

    @property
    def algorithms(self) -> list[str]:
        """The algorithms of the keys, for the discovery document."""
        return sorted({algorithm(key) for key in self._keys.values()})


def peek(token: str) -> dict[str, Any]:
    """The claims of a token without any check, to see whose token it would be. Raises InvalidToken."""
    return _json(_split(token)[1])


def peek_header(token: str) -> dict[str, Any]:
    """The header of a token without any check. Raises InvalidToken."""
    return _json(_split(token)[0])


def _split(token: str) -> tuple[str, str, bytes]:
    parts = token.split(".")
    if len(parts) != 3:
        raise InvalidToken("not a token of three parts")
    return parts[0], parts[1], decode_segment(parts[2])


def _json(segment: str) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(decode_segment(segment))
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidToken("malformed JSON") from None
    if not isinstance(value, dict):
        raise InvalidToken("not a JSON object")
    return value


def _signed_by(key: PublicKey, alg: object, message: bytes, signature: bytes) -> bool:
    if alg != algorithm(key):
        return False
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
        else:
            _, _, digest, size = _CURVES[key.curve.name]
            if len(signature) != 2 * size:
                return False
            r, s = (int.from_bytes(half, "big") for half in (signature[:size], signature[size:]))
            key.verify(utils.encode_dss_signature(r, s), message, ec.ECDSA(digest()))
    except InvalidSignature:
        return False
    return True


def _jwk(kid: str, key: PublicKey) -> dict[str, Any]:
    common = {"use": "sig", "kid": kid, "alg": algorithm(key)}
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return {"kty": "RSA", **common, "n": _integer(numbers.n), "e": _integer(numbers.e)}
    _, curve, _, size = _CURVES[key.curve.name]
    point = key.public_numbers()
    return {"kty": "EC", **common, "crv": curve, "x": _integer(point.x, size), "y": _integer(point.y, size)}


def _integer(value: int, size: int = 0) -> str:
    return encode_segment(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))
