"""Signed tokens: what is signed is read, what is touched is refused."""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from pynetes.apiserver.authn.jwt import InvalidToken, KeySet, Signer, encode_segment, key_id, load_public_keys

RSA = rsa.generate_private_key(65537, 2048)
KEYS = {
    "RS256": RSA,
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "ES512": ec.generate_private_key(ec.SECP521R1()),
}


def header(token: str) -> dict[str, Any]:
    text = token.split(".")[0]
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return decoded


@pytest.mark.parametrize("algorithm", KEYS)
def test_a_signature_is_verified_with_the_key_named_in_the_header(algorithm: str) -> None:
    signer = Signer(KEYS[algorithm])
    token = signer.sign({"sub": "me"})
    assert header(token) == {"alg": algorithm, "kid": key_id(signer.public_key)}
    assert KeySet(key.public_key() for key in KEYS.values()).verify(token) == {"sub": "me"}
    others = [key.public_key() for name, key in KEYS.items() if name != algorithm]
    with pytest.raises(InvalidToken):
        KeySet(others).verify(token)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_no_changed_token_is_accepted(data: st.DataObject) -> None:
    token = Signer(KEYS["ES256"]).sign({"sub": "me", "exp": 1})
    place = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.sampled_from("ABCxyz019-_."))
    changed = token[:place] + letter + token[place + 1 :]
    keys = KeySet([KEYS["ES256"].public_key()])
    try:
        assert keys.verify(changed) == {"sub": "me", "exp": 1}
    except InvalidToken:
        return
    # The last letter of a segment has bits that mean nothing: the bytes signed and the signature are the same.
    assert changed == token or place in (token.index(".") - 1, len(token) - 1)


@pytest.mark.parametrize("algorithm", ["none", "HS256", "RS384"])
def test_only_the_keys_own_algorithm_is_accepted(algorithm: str) -> None:
    claims = encode_segment(b'{"sub":"me"}')
    head = encode_segment(json.dumps({"alg": algorithm}).encode())
    pem = RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    forged = hmac.new(pem, f"{head}.{claims}".encode(), hashlib.sha256).digest()
    for signature in (b"", forged):
        with pytest.raises(InvalidToken):
            KeySet([RSA.public_key()]).verify(f"{head}.{claims}.{encode_segment(signature)}")


@pytest.mark.parametrize("text", ["", "a", "a.b", "a.b.c.d", "!.!.!", "e30.e30.", "W10.W10.AA"])
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(InvalidToken):
        KeySet([RSA.public_key()]).verify(text)


def test_keys_are_found_in_every_kind_of_pem() -> None:
    private = KEYS["ES256"].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert [key_id(key) for key in load_public_keys(private + public)] == [
        key_id(KEYS["ES256"].public_key()),
        key_id(RSA.public_key()),
    ]


def test_the_key_set_document_has_the_public_numbers() -> None:
    (rsa_key, ec_key) = KeySet([RSA.public_key(), KEYS["ES384"].public_key()]).jwks()["keys"]
    assert (rsa_key["kty"], rsa_key["e"], rsa_key["alg"]) == ("RSA", "AQAB", "RS256")
    assert (ec_key["kty"], ec_key["crv"], len(ec_key["x"])) == ("EC", "P-384", 64)
