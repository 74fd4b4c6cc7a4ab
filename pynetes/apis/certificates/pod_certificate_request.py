"""Pod certificate requests: a kubelet asks a signer for a certificate for one pod.

The spec never changes. A signer (`apiserver.admission.certificates` asks whether it is one) answers once, through the
status: with a certificate for the key of the request, with a denial or with a failure, and then nothing changes.
"""

import base64
import binascii
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pynetes.apis import metadata, printing
from pynetes.apis.certificates import pem
from pynetes.apis.certificates.signer import signer_name
from pynetes.apis.checks import Errors
from pynetes.apis.strategy import Strategy
from pynetes.machinery import clock, names
from pynetes.machinery.errors import FieldError
from pynetes.machinery.meta import Obj

DEFAULT_SECONDS = LONGEST_KUBERNETES_SECONDS = 24 * 3600
SHORTEST_SECONDS = 3600
LONGEST_SECONDS = 91 * 24 * 3600
ENDS = ("Issued", "Denied", "Failed")
_SIZE_LIMIT = 10 * 1024
_UID_LIMIT = 128
_CHAIN_LIMIT = 100 * 1024
_STUB, _CHAIN, _REFRESH = "spec.stubPKCS10Request", "status.certificateChain", "status.beginRefreshAt"
_SKEW = timedelta(minutes=5)
_MARGIN = timedelta(minutes=10)


class PodCertificateRequestStrategy(Strategy):
    """A pod certificate request."""

    name_check = staticmethod(names.dns1123_subdomain)

    def default(self, obj: Obj) -> None:
        printing.spec(obj).setdefault("maxExpirationSeconds", DEFAULT_SECONDS)

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        spec = printing.spec(obj)
        signer = spec.get("signerName") or ""
        signer_name(errors, signer, "spec.signerName")
        _annotations(errors, spec.get("unverifiedUserAnnotations") or {})
        for what in ("pod", "serviceAccount", "node"):
            name, uid = spec.get(f"{what}Name") or "", spec.get(f"{what}UID") or ""
            errors.check(f"spec.{what}Name", name, names.dns1123_subdomain(name))
            if not uid:
                errors.invalid(f"spec.{what}UID", uid, "must not be empty")
            if len(uid) > _UID_LIMIT:
                errors.too_long(f"spec.{what}UID", _UID_LIMIT)
        _seconds(errors, spec.get("maxExpirationSeconds"), signer)
        if spec.get("stubPKCS10Request") or "pkixPublicKey" not in spec:
            _stub(errors, spec.get("stubPKCS10Request") or "")

    def validate_spec_update(self, errors: Errors, new: Obj, old: Obj) -> None:
        errors.unchanged("spec", printing.spec(new), printing.spec(old))

    def validate_status(self, errors: Errors, new: Obj, old: Obj) -> None:
        status, before = printing.status(new), printing.status(old)
        _conditions(errors, status.get("conditions") or [])
        if errors:
            return
        if _end(before):
            if status != before:
                _unlike(errors, "immutable after PodCertificateRequest is issued, denied, or failed")
        elif _end(status) == "Issued":
            _issued(errors, status, printing.spec(old))
        elif _end(status):
            if any(value for field, value in status.items() if field != "conditions"):
                _unlike(
                    errors,
                    "non-condition status fields must be empty when denying or failing the PodCertificateRequest",
                )
        elif status != before:
            _unlike(errors, 'status is immutable unless transitioning to "Issued", "Denied", or "Failed"')

    def selectable(self, obj: Obj) -> dict[str, str]:
        spec = printing.spec(obj)
        return {f"spec.{field}": spec.get(field, "") for field in ("podName", "nodeName", "signerName")}


def _unlike(errors: Errors, detail: str) -> None:
    errors.append(FieldError("FieldValueInvalid", "status", detail))


def _annotations(errors: Errors, values: dict[str, str]) -> None:
    path = "spec.unverifiedUserAnnotations"
    metadata.annotations(errors, values, path)
    for key in values:
        if "/" not in key:
            errors.invalid(path, key, 'must be a domain-prefixed key (such as "acme.io/foo")')


def _seconds(errors: Errors, seconds: int | None, signer: str) -> None:
    domain = signer.partition("/")[0]
    kubernetes = domain == "kubernetes.io" or domain.endswith(".kubernetes.io")
    longest = LONGEST_KUBERNETES_SECONDS if kubernetes else LONGEST_SECONDS
    if seconds is None:
        errors.required("spec.maxExpirationSeconds", "must be set")
    elif not SHORTEST_SECONDS <= seconds <= longest:
        errors.invalid("spec.maxExpirationSeconds", seconds, f"must be in the range [{SHORTEST_SECONDS}, {longest}]")


def _stub(errors: Errors, encoded: str) -> None:
    """A request in DER, signed with a key of a kind and size that is good enough."""
    data = _bytes(encoded)
    if len(data) > _SIZE_LIMIT:
        errors.too_long(_STUB, _SIZE_LIMIT)
        return
    try:
        request = x509.load_der_x509_csr(data)
        key = request.public_key()
    except (ValueError, UnsupportedAlgorithm):
        errors.invalid(_STUB, encoded, "must be a valid PKCS#10 certificate signing request")
        return
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in ("secp256r1", "secp384r1", "secp521r1"):
            errors.invalid(_STUB, f"curve {key.curve.name}", "elliptic public keys must use curve P256, P384 or P521")
            return
    elif isinstance(key, rsa.RSAPublicKey):
        if key.key_size not in (3072, 4096):
            errors.invalid(_STUB, f"{key.key_size}-bit modulus", "RSA keys must have modulus size 3072 or 4096")
            return
    elif not isinstance(key, ed25519.Ed25519PublicKey):
        errors.invalid(_STUB, encoded, "unknown public key type; supported types are Ed25519, ECDSA, and RSA")
        return
    try:
        sound = request.is_signature_valid
    except (InvalidSignature, UnsupportedAlgorithm):
        sound = False
    if not sound:
        errors.append(FieldError("FieldValueInvalid", _STUB, "could not verify proof-of-possession signature"))


def _bytes(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return b""


def _conditions(errors: Errors, conditions: list[Obj]) -> None:
    ends = 0
    for index, condition in enumerate(conditions):
        path, kind = f"status.conditions[{index}]", condition.get("type", "")
        if kind not in ENDS:
            errors.unsupported(f"{path}.type", kind, ENDS)
            continue
        ends += 1
        if ends > 1:
            detail = 'There may be at most one condition with type "Issued", "Denied", or "Failed"'
            errors.invalid(f"{path}.type", kind, detail)
        if condition.get("status") != "True":
            errors.unsupported(f"{path}.status", condition.get("status", ""), ["True"])
        for field in ("lastTransitionTime", "reason"):
            errors.present(
                f"{path}.{field}", condition.get(field), "must be set" if field == "lastTransitionTime" else ""
            )


def _end(status: Obj) -> str:
    """How the request ended: one of `ENDS`, or nothing yet."""
    found = [each["type"] for each in status.get("conditions") or [] if each.get("status") == "True"]
    return next((kind for kind in found if kind in ENDS), "")


def _issued(errors: Errors, status: Obj, spec: Obj) -> None:
    """A certificate was handed out: that it is one, for the right key, and that the times beside it are its own."""
    chain = status.get("certificateChain") or ""
    if len(chain.encode()) > _CHAIN_LIMIT:
        errors.too_long(_CHAIN, _CHAIN_LIMIT)
        return
    leaf, fault = _chain(chain)
    if leaf is None:
        errors.invalid(_CHAIN, chain, fault)
        return
    if not _same_key(leaf, spec):
        errors.invalid(_CHAIN, chain, "leaf certificate was not issued to the requested public key")
        return
    consistent = "must be present and consistent with the issued certificate"
    errors.present("status.notBefore", status.get("notBefore"), consistent)
    errors.present("status.notAfter", status.get("notAfter"), consistent)
    margin = "must be present and in the range [notbefore+10min, notafter-10min]"
    errors.present(_REFRESH, status.get("beginRefreshAt"), margin)
    if not errors:
        _times(errors, status, leaf, spec)
    if not errors and fault:
        errors.invalid(_CHAIN, chain, fault)


def _chain(chain: str) -> tuple[x509.Certificate | None, str]:
    """The first certificate of a chain, and what is wrong with it or with the others."""
    blocks = list(pem.blocks(chain))
    if not blocks:
        return None, "issued certificate chain must contain at least one certificate"
    if blocks[0].type != "CERTIFICATE":
        return None, "issued certificate chain must consist entirely of CERTIFICATE PEM blocks"
    leaf = _certificate(blocks[0].data)
    if leaf is None:
        return None, "leaf certificate does not parse as valid X.509"
    for block in blocks[1:]:
        if block.type != "CERTIFICATE":
            return leaf, "issued certificate chain must consist entirely of CERTFICATE PEM blocks"
        if _certificate(block.data) is None:
            return leaf, "intermediate certificate does not parse as valid X.509"
    return leaf, ""


def _certificate(data: bytes) -> x509.Certificate | None:
    try:
        return x509.load_der_x509_certificate(data)
    except ValueError:
        return None


def _same_key(leaf: x509.Certificate, spec: Obj) -> bool:
    try:
        wanted = x509.load_der_x509_csr(_bytes(spec.get("stubPKCS10Request") or "")).public_key()
        form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return wanted.public_bytes(*form) == leaf.public_key().public_bytes(*form)
    except (ValueError, UnsupportedAlgorithm):
        return False


def _times(errors: Errors, status: Obj, leaf: x509.Certificate, spec: Obj) -> None:
    """The first thing that is wrong with the times beside a certificate, or with how long it lasts."""
    start, end, refresh = (clock.parse_time(status[field]) for field in ("notBefore", "notAfter", "beginRefreshAt"))
    life, most = leaf.not_valid_after_utc - leaf.not_valid_before_utc, spec.get("maxExpirationSeconds") or 0
    encoded = "must be set to the {} time encoded in the leaf certificate"
    soon = "must be set to within 5 minutes of kube-apiserver's current time"
    longest = f"leaf certificate lifetime must be <= spec.maxExpirationSeconds ({most})"
    rules: tuple[tuple[bool, str, Any, str], ...] = (
        (start == leaf.not_valid_before_utc, "status.notBefore", start, encoded.format("NotBefore")),
        (abs(start - clock.now()) < _SKEW, "status.notBefore", start, soon),
        (end == leaf.not_valid_after_utc, "status.notAfter", end, encoded.format("NotAfter")),
        (life >= timedelta(hours=1), _CHAIN, life, "leaf certificate lifetime must be >= 1 hour"),
        (life.total_seconds() <= most, _CHAIN, life, longest),
        (refresh >= start + _MARGIN, _REFRESH, refresh, "must be at least 10 minutes after status.notBefore"),
        (refresh <= end - _MARGIN, _REFRESH, refresh, "must be at least 10 minutes before status.notAfter"),
    )
    for holds, path, value, detail in rules:
        if not holds:
            errors.invalid(path, _shown(value), detail)
            return


def _shown(value: datetime | timedelta) -> str:
    return clock.format_duration(value.total_seconds()) if isinstance(value, timedelta) else clock.format_time(value)
