"""Pod certificate requests, and how signers may answer them."""

import base64
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from pynetes.machinery import clock
from pynetes.machinery.meta import Obj
from tests.unit.apis import specimen
from tests.unit.apis.specimen import create_errors, stored, update_errors

REQUESTS = specimen.strategy("podcertificaterequests.certificates.k8s.io")
KEY = ec.generate_private_key(ec.SECP256R1())
EMPTY = x509.Name([])


def stub(key: Any = KEY, algorithm: Any = hashes.SHA256) -> str:
    signed = x509.CertificateSigningRequestBuilder().subject_name(EMPTY).sign(key, algorithm() if algorithm else None)
    return base64.b64encode(signed.public_bytes(Encoding.DER)).decode()


def asked(**spec: Any) -> Obj:
    wanted = {
        "signerName": "example.com/signer",
        "podName": "p",
        "podUID": "1",
        "serviceAccountName": "default",
        "serviceAccountUID": "2",
        "nodeName": "n",
        "nodeUID": "3",
        "stubPKCS10Request": stub(),
    }
    return {"metadata": {"name": "r", "namespace": "default"}, "spec": wanted | spec}


def certificate(start: datetime, hours: float, key: Any = KEY) -> str:
    builder = x509.CertificateBuilder().subject_name(EMPTY).issuer_name(EMPTY).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(start).not_valid_after(start + timedelta(hours=hours))
    return builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def ended(kind: str, **status: Any) -> Obj:
    condition = {"type": kind, "status": "True", "reason": "R", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    return {"conditions": [condition], **status}


def answer(status: Obj, before: Obj | None = None) -> list[str]:
    old = stored(REQUESTS, asked()) | ({"status": before} if before else {})
    return update_errors(REQUESTS, old, old | {"status": status}, "status")


def test_a_request_lasts_a_day_unless_it_says_otherwise() -> None:
    assert stored(REQUESTS, asked())["spec"]["maxExpirationSeconds"] == 86400


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ({"podUID": ""}, 'spec.podUID: Invalid value: "": must not be empty'),
        ({"nodeUID": "x" * 129}, "spec.nodeUID: Too long: may not be more than 128 bytes"),
        (
            {"maxExpirationSeconds": 3599},
            "spec.maxExpirationSeconds: Invalid value: 3599: must be in the range [3600, 7862400]",
        ),
        (
            {"maxExpirationSeconds": 86401, "signerName": "kubernetes.io/kube-apiserver-client-pod"},
            "spec.maxExpirationSeconds: Invalid value: 86401: must be in the range [3600, 86400]",
        ),
        (
            {"stubPKCS10Request": "YQ=="},
            'spec.stubPKCS10Request: Invalid value: "YQ==": must be a valid PKCS#10 certificate signing request',
        ),
        (
            {"stubPKCS10Request": stub(rsa.generate_private_key(public_exponent=65537, key_size=2048))},
            'spec.stubPKCS10Request: Invalid value: "2048-bit modulus": RSA keys must have modulus size 3072 or 4096',
        ),
        (
            {"unverifiedUserAnnotations": {"plain": "x"}},
            'spec.unverifiedUserAnnotations: Invalid value: "plain": must be a domain-prefixed key '
            '(such as "acme.io/foo")',
        ),
    ],
)
def test_what_a_request_may_not_say(spec: Obj, error: str) -> None:
    assert create_errors(REQUESTS, asked(**spec)) == [error]


def test_a_key_may_be_of_any_kind_that_is_good_enough() -> None:
    assert create_errors(REQUESTS, asked(stubPKCS10Request=stub(ed25519.Ed25519PrivateKey.generate(), None))) == []


def test_a_request_whose_signature_is_not_its_keys_is_refused() -> None:
    data = bytearray(base64.b64decode(stub()))
    data[-1] ^= 1
    errors = create_errors(REQUESTS, asked(stubPKCS10Request=base64.b64encode(bytes(data)).decode()))
    assert errors == ["spec.stubPKCS10Request: Invalid value: could not verify proof-of-possession signature"]


def test_a_request_never_changes() -> None:
    old = stored(REQUESTS, asked())
    (error,) = update_errors(REQUESTS, old, old | {"spec": old["spec"] | {"podName": "q"}})
    assert error.startswith("spec: Invalid value: ") and error.endswith(": field is immutable")


def test_a_request_ends_once() -> None:
    assert answer(ended("Denied")) == []
    assert answer(ended("Denied"), ended("Denied")) == []
    assert answer(ended("Failed"), ended("Denied")) == [
        "status: Invalid value: immutable after PodCertificateRequest is issued, denied, or failed"
    ]
    assert answer(ended("Denied", certificateChain="x")) == [
        "status: Invalid value: non-condition status fields must be empty when denying or failing the "
        "PodCertificateRequest"
    ]
    assert answer({"certificateChain": "x"}) == [
        'status: Invalid value: status is immutable unless transitioning to "Issued", "Denied", or "Failed"'
    ]
    assert answer(ended("Approved")) == [
        'status.conditions[0].type: Unsupported value: "Approved": supported values: "Issued", "Denied", "Failed"'
    ]


def test_a_certificate_is_for_the_key_and_its_times_are_told() -> None:
    now = clock.now().replace(microsecond=0)

    def times(start: datetime, hours: float, refresh_hours: float) -> Obj:
        moments = {"notBefore": 0.0, "notAfter": hours, "beginRefreshAt": refresh_hours}
        return {field: clock.format_time(start + timedelta(hours=after)) for field, after in moments.items()}

    def issue(start: datetime, hours: float, refresh: float = 1.0, key: Any = KEY, **more: Any) -> list[str]:
        status = {"certificateChain": certificate(start, hours, key), **times(start, hours, refresh), **more}
        return [
            error.partition(": ")[0] + ": " + error.rpartition(": ")[2] for error in answer(ended("Issued", **status))
        ]

    assert issue(now, 24) == []
    other = ec.generate_private_key(ec.SECP256R1())
    assert issue(now, 24, key=other) == [
        "status.certificateChain: leaf certificate was not issued to the requested public key"
    ]
    assert issue(now, 25) == [
        "status.certificateChain: leaf certificate lifetime must be <= spec.maxExpirationSeconds (86400)"
    ]
    assert issue(now, 0.5, 0.25) == ["status.certificateChain: leaf certificate lifetime must be >= 1 hour"]
    assert issue(now, 24, 0.1) == ["status.beginRefreshAt: must be at least 10 minutes after status.notBefore"]
    assert issue(now - timedelta(hours=1), 24) == [
        "status.notBefore: must be set to within 5 minutes of kube-apiserver's current time"
    ]
    assert issue(now, 24, notAfter=None) == [
        "status.notAfter: must be present and consistent with the issued certificate"
    ]
    assert issue(now, 24, certificateChain="") == [
        "status.certificateChain: issued certificate chain must contain at least one certificate"
    ]
