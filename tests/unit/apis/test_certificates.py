"""Certificate signing requests and cluster trust bundles."""

import base64
import datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pynetes.machinery.meta import Obj
from tests.unit.apis import specimen
from tests.unit.apis.specimen import changed, create_errors, stored, update_errors, updated

REQUESTS = specimen.strategy("certificatesigningrequests.certificates.k8s.io")
BUNDLES = specimen.strategy("clustertrustbundles.certificates.k8s.io")
KEY = ec.generate_private_key(ec.SECP256R1())
SUBJECT = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "jane")])


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def request_pem() -> str:
    made = x509.CertificateSigningRequestBuilder().subject_name(SUBJECT).sign(KEY, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM).decode()


def certificate_pem(*, ca: bool = False) -> str:
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(SUBJECT).issuer_name(SUBJECT).public_key(KEY.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(start).not_valid_after(start + datetime.timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def csr(**spec: Any) -> Obj:
    return {
        "metadata": {"name": "jane"},
        "spec": {
            "request": b64(request_pem()),
            "signerName": "example.com/signer",
            "usages": ["client auth"],
            "username": "jane",
        }
        | spec,
    }


def condition(kind: str, status: str = "True", **more: str) -> Obj:
    return {"type": kind, "status": status, **more}


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("request", b64("nothing"), "PEM block type must be CERTIFICATE REQUEST"),
        ("request", b64(certificate_pem()), "PEM block type must be CERTIFICATE REQUEST"),
    ],
)
def test_the_request_is_a_pem_certificate_request(field: str, value: str, error: str) -> None:
    assert create_errors(REQUESTS, csr(**{field: value})) == [f'spec.{field}: Invalid value: "{value}": {error}']


FORM = "must be a fully qualified domain and path of the form 'example.com/signer-name'"


@pytest.mark.parametrize(
    ("signer", "error"),
    [
        ("", "Required value"),
        ("plain", f'Invalid value: "plain": {FORM}'),
        ("example.com/a/b", f'Invalid value: "example.com/a/b": {FORM}'),
        ("example/a", 'Invalid value: "example": should be a domain with at least two segments separated by dots'),
        (
            "kubernetes.io/legacy-unknown",
            'Invalid value: "kubernetes.io/legacy-unknown": the legacy signerName is not allowed via this API version',
        ),
    ],
)
def test_the_signer_is_a_domain_and_a_path(signer: str, error: str) -> None:
    assert create_errors(REQUESTS, csr(signerName=signer)) == [f"spec.signerName: {error}"]


def test_each_label_of_the_signers_domain_is_checked() -> None:
    (error,) = create_errors(REQUESTS, csr(signerName="Example.com/a"))
    assert error.startswith('spec.signerName: Invalid value: "Example.com": validating label "Example": a lowercase')


def test_usages_are_known_given_and_not_repeated() -> None:
    assert create_errors(REQUESTS, csr(usages=[])) == ["spec.usages: Required value"]
    assert create_errors(REQUESTS, csr(usages=["signing", "signing"])) == ['spec.usages[1]: Duplicate value: "signing"']
    (error,) = create_errors(REQUESTS, csr(usages=["fun"]))
    assert error.startswith('spec.usages[0]: Unsupported value: "fun": supported values: "any", "cert sign",')


def test_ten_minutes_is_the_shortest_duration() -> None:
    assert create_errors(REQUESTS, csr(expirationSeconds=600)) == []
    assert create_errors(REQUESTS, csr(expirationSeconds=599)) == [
        "spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 600 seconds (10 minutes)"
    ]


def test_a_name_may_be_anything_that_fits_in_a_path() -> None:
    assert create_errors(REQUESTS, changed(csr(), "metadata.name", "system:node:One")) == []


def test_the_spec_never_changes() -> None:
    old = stored(REQUESTS, csr())
    for subresource in ("", "status", "approval"):
        assert (
            updated(REQUESTS, old, changed(old, "spec.signerName", "other.com/x"), subresource)["spec"] == old["spec"]
        )


def test_an_update_of_the_request_cannot_approve_it() -> None:
    old = stored(REQUESTS, csr())
    new = changed(old, "status", {"conditions": [condition("Approved")]})
    assert "status" not in updated(REQUESTS, old, new)
    assert update_errors(REQUESTS, old, new, "status") == [
        'status.conditions: Forbidden: updates may not add a condition of type "Approved"'
    ]
    assert update_errors(REQUESTS, old, new, "approval") == []


def test_an_approval_gets_its_times_and_cannot_touch_the_certificate() -> None:
    old = stored(REQUESTS, csr())
    new = changed(old, "status", {"conditions": [condition("Approved")], "certificate": b64(certificate_pem())})
    status = updated(REQUESTS, old, new, "approval")["status"]
    assert "certificate" not in status
    assert status["conditions"][0]["lastUpdateTime"] == status["conditions"][0]["lastTransitionTime"]


def decided(*conditions: Obj, **status: Any) -> Obj:
    """A request as it is after these conditions were written."""
    times = {"lastUpdateTime": specimen.CREATED, "lastTransitionTime": specimen.CREATED}
    made = [each | times for each in conditions]
    return changed(stored(REQUESTS, csr()), "status", {"conditions": made, **status})


@pytest.mark.parametrize(
    ("conditions", "error"),
    [
        ([condition("")], "status.conditions[0].type: Required value"),
        ([condition("Odd", "")], "status.conditions[0].status: Required value"),
        (
            [condition("Approved", "False")],
            'status.conditions[0].status: Unsupported value: "False": supported values: "True"',
        ),
        (
            [condition("Odd", "Maybe")],
            'status.conditions[0].status: Unsupported value: "Maybe": supported values: "False", "True", "Unknown"',
        ),
        (
            [condition("Approved"), condition("Denied")],
            'status.conditions: Invalid value: "Denied": Approved and Denied conditions are mutually exclusive',
        ),
        ([condition("Odd"), condition("Odd")], 'status.conditions[1].type: Duplicate value: "Odd"'),
    ],
)
def test_conditions_are_whole(conditions: list[Obj], error: str) -> None:
    assert update_errors(REQUESTS, stored(REQUESTS, csr()), decided(*conditions), "approval") == [error]


def test_a_decision_is_never_taken_back() -> None:
    old = decided(condition("Denied", message="no"))
    assert update_errors(REQUESTS, old, decided(), "approval") == [
        'status.conditions: Forbidden: updates may not remove a condition of type "Denied"'
    ]
    assert update_errors(REQUESTS, old, decided(condition("Denied", message="yes")), "status") == [
        'status.conditions: Forbidden: updates may not modify a condition of type "Denied"'
    ]


def test_the_certificate_is_set_once_and_through_status() -> None:
    old, certificate = decided(condition("Approved")), b64(certificate_pem())
    issued = changed(old, "status.certificate", certificate)
    assert update_errors(REQUESTS, old, issued, "status") == []
    assert update_errors(REQUESTS, issued, changed(old, "status.certificate", b64(certificate_pem())), "status") == [
        "status.certificate: Forbidden: updates may not modify existing certificate content"
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("nonsense", "must contain at least one CERTIFICATE PEM block"),
        (request_pem(), 'only CERTIFICATE PEM blocks are allowed, found "CERTIFICATE REQUEST"'),
        (
            "-----BEGIN CERTIFICATE-----\nA: b\n\nAAAA\n-----END CERTIFICATE-----\n",
            "no PEM block headers are permitted",
        ),
    ],
)
def test_the_certificate_is_pem(text: str, fault: str) -> None:
    old = decided(condition("Approved"))
    assert update_errors(REQUESTS, old, changed(old, "status.certificate", b64(text)), "status") == [
        f'status.certificate: Invalid value: "<certificate data>": {fault}'
    ]


@pytest.mark.parametrize(
    ("status", "cell"),
    [
        ({}, "Pending"),
        ({"conditions": [condition("Approved")]}, "Approved"),
        ({"conditions": [condition("Approved")], "certificate": "YQ=="}, "Approved,Issued"),
        ({"conditions": [condition("Approved"), condition("Failed")]}, "Approved,Failed"),
        ({"conditions": [condition("Denied")]}, "Denied"),
    ],
)
def test_the_table_says_what_became_of_it(status: Obj, cell: str) -> None:
    row = REQUESTS.row(csr(expirationSeconds=3600) | {"status": status})
    assert row == ["jane", "<unknown>", "example.com/signer", "jane", "60m", cell]
    assert [each.name for each in REQUESTS.columns] == [
        "Name", "Age", "SignerName", "Requestor", "RequestedDuration", "Condition"
    ]  # fmt: skip


def test_requests_are_selected_by_signer() -> None:
    assert REQUESTS.fields(csr())["spec.signerName"] == "example.com/signer"


def bundle(text: str, name: str = "roots", **spec: str) -> Obj:
    return {"metadata": {"name": name}, "spec": {"trustBundle": text, **spec}}


CA = certificate_pem(ca=True)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "at least one trust anchor must be provided"),
        (certificate_pem(), "entry 0 does not have the CA bit set"),
        (CA + request_pem(), "entry 1 has bad block type: CERTIFICATE REQUEST"),
        (CA + CA, "duplicate trust anchor (indices [0 1])"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "entry 0 does not parse as X.509"),
    ],
)
def test_a_trust_bundle_is_made_of_authorities(text: str, fault: str) -> None:
    assert create_errors(BUNDLES, bundle(text)) == [f'spec.trustBundle: Invalid value: "<value omitted>": {fault}']


def test_a_trust_bundle_is_named_after_its_signer() -> None:
    assert create_errors(BUNDLES, bundle(CA, "example.com:signer:roots", signerName="example.com/signer")) == []
    assert create_errors(BUNDLES, bundle(CA, "roots", signerName="example.com/signer")) == [
        'metadata.name: Invalid value: "roots": ClusterTrustBundle for signerName example.com/signer must be named '
        "with prefix example.com:signer:"
    ]
    assert create_errors(BUNDLES, bundle(CA, "a:b")) == [
        'metadata.name: Invalid value: "a:b": ClusterTrustBundle without signer name must not have ":" in its name'
    ]
