"""Certificate requests: kubelets' own are approved, approved ones are signed, old ones are removed.

What each signer may be asked for is the table `SIGNERS`; everything else about a request is checked against it.
"""

import base64
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import ClassVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pynetes.controllers.controller import Context, Controller, ignore_not_found, own_key
from pynetes.controllers.status import find_condition
from pynetes.machinery import clock, meta
from pynetes.machinery.meta import Obj

REQUESTS = "certificatesigningrequests.certificates.k8s.io"
POD_REQUESTS = "podcertificaterequests.certificates.k8s.io"
POD_REQUEST_LIFE = timedelta(minutes=15)
KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"
CLIENT = "kubernetes.io/kube-apiserver-client"
LEGACY = "kubernetes.io/legacy-unknown"

_BACKDATE = timedelta(minutes=5)
_SHORTEST = 600

_KEY_USAGES = {
    "signing": "digital_signature",
    "digital signature": "digital_signature",
    "content commitment": "content_commitment",
    "key encipherment": "key_encipherment",
    "data encipherment": "data_encipherment",
    "key agreement": "key_agreement",
    "cert sign": "key_cert_sign",
    "crl sign": "crl_sign",
    "encipher only": "encipher_only",
    "decipher only": "decipher_only",
}
_EXTENDED_USAGES = {
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp signing": ExtendedKeyUsageOID.OCSP_SIGNING,
}


@dataclass(frozen=True, slots=True)
class Subject:
    """What a PEM request asks to be called."""

    common_name: str
    organizations: tuple[str, ...]
    dns_names: tuple[str, ...]
    ip_addresses: tuple[str, ...]
    others: bool

    @property
    def has_alternatives(self) -> bool:
        return bool(self.dns_names or self.ip_addresses or self.others)


def read_subject(request: x509.CertificateSigningRequest) -> Subject:
    """The names in a request."""

    def values(oid: x509.ObjectIdentifier) -> tuple[str, ...]:
        return tuple(str(attribute.value) for attribute in request.subject.get_attributes_for_oid(oid))

    try:
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    others = any(not isinstance(each, x509.DNSName | x509.IPAddress) for each in names)
    return Subject(
        common_name=(values(NameOID.COMMON_NAME) or ("",))[0],
        organizations=values(NameOID.ORGANIZATION_NAME),
        dns_names=tuple(names.get_values_for_type(x509.DNSName)),
        ip_addresses=tuple(str(ip) for ip in names.get_values_for_type(x509.IPAddress)),
        others=others,
    )


def _kubelet_client(subject: Subject, usages: set[str]) -> str | None:
    if subject.organizations != ("system:nodes",):
        return "organization in not system:nodes"
    if subject.has_alternatives:
        return "subjectAltNames are not allowed"
    if not subject.common_name.startswith("system:node:"):
        return "subject common name does not begin with system:node:"
    allowed = ({"key encipherment", "digital signature", "client auth"}, {"digital signature", "client auth"})
    return None if usages in allowed else "usages did not match"


def _kubelet_serving(subject: Subject, usages: set[str]) -> str | None:
    if subject.organizations != ("system:nodes",):
        return "organization in not system:nodes"
    if not subject.dns_names and not subject.ip_addresses:
        return "DNS or IP subjectAltName is required"
    if subject.others:
        return "email and URI subjectAltNames are not allowed"
    if not subject.common_name.startswith("system:node:"):
        return "subject common name does not begin with system:node:"
    allowed = ({"key encipherment", "digital signature", "server auth"}, {"digital signature", "server auth"})
    return None if usages in allowed else "usages did not match"


def _client(subject: Subject, usages: set[str]) -> str | None:
    allowed = {"key encipherment", "digital signature", "client auth"}
    return None if usages <= allowed and "client auth" in usages else "usages did not match"


SIGNERS: dict[str, Callable[[Subject, set[str]], str | None]] = {
    KUBELET_CLIENT: _kubelet_client,
    KUBELET_SERVING: _kubelet_serving,
    CLIENT: _client,
    LEGACY: lambda subject, usages: None,
}
"""The signers served here, and what keeps each from signing a request (None: nothing)."""


def parse_request(csr: Obj) -> x509.CertificateSigningRequest:
    """The request inside a CertificateSigningRequest."""
    return x509.load_pem_x509_csr(base64.b64decode(csr["spec"]["request"]))


def has_condition(csr: Obj, kind: str) -> bool:
    """Whether the request was approved, denied or failed."""
    condition = find_condition(csr.get("status", {}).get("conditions") or [], kind)
    return condition is not None and condition.get("status", "True") == "True"


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA certificate and its key."""

    certificate: x509.Certificate
    key: CertificateIssuerPrivateKeyTypes

    @classmethod
    def load(cls, certificate: str, key: str) -> "Authority":
        """From PEM files."""
        loaded = serialization.load_pem_private_key(Path(key).read_bytes(), password=None)
        if not isinstance(loaded, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
            raise ValueError(f"{key} is neither an RSA nor an EC key")
        return cls(x509.load_pem_x509_certificate(Path(certificate).read_bytes()), loaded)

    def sign(
        self, request: x509.CertificateSigningRequest, usages: Iterable[str], seconds: float, now: datetime
    ) -> bytes:
        """The certificate for `request`, PEM; never valid for longer than the authority itself."""
        usages = [*usages]
        until = min(now + timedelta(seconds=seconds), self.certificate.not_valid_after_utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(request.subject)
            .issuer_name(self.certificate.subject)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATE)
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_authority_identifier(self.certificate), critical=False)
        )
        if (usage := _key_usage(usages)) is not None:
            builder = builder.add_extension(usage, critical=True)
        extended = [_EXTENDED_USAGES[each] for each in usages if each in _EXTENDED_USAGES]
        if extended:
            builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
        try:
            names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName)
            builder = builder.add_extension(names.value, critical=False)
        except x509.ExtensionNotFound:
            pass
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _key_usage(usages: Iterable[str]) -> x509.KeyUsage | None:
    """What the key may do; none if the request does not say: OpenSSL refuses a certificate whose key may do nothing."""
    chosen = {_KEY_USAGES[usage] for usage in usages if usage in _KEY_USAGES}
    if not chosen:
        return None
    return x509.KeyUsage(**{field: field in chosen for field in set(_KEY_USAGES.values())})


def _authority_identifier(certificate: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(found)
    except x509.ExtensionNotFound:
        key = certificate.public_key()
        if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
            raise ValueError("the authority's key is neither RSA nor EC") from None
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)


class CertificateApprover(Controller):
    """Approves requests of kubelets for their own client certificates."""

    name = "certificatesigningrequest-approving-controller"
    account = "certificate-controller"
    workers = 2

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.requests = self.watch(REQUESTS, own_key)

    async def reconcile(self, key: str) -> None:
        csr = self.requests.get(key)
        if csr is None or csr.get("status", {}).get("certificate"):
            return
        if (
            has_condition(csr, "Approved")
            or has_condition(csr, "Denied")
            or csr["spec"].get("signerName") != KUBELET_CLIENT
        ):
            return
        try:
            subject = read_subject(parse_request(csr))
        except ValueError:
            return
        if _kubelet_client(subject, set(csr["spec"].get("usages") or [])) is not None:
            return
        recognized = [("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview.")]
        if csr["spec"].get("username") == subject.common_name:
            text = "Auto approving self kubelet client certificate after SubjectAccessReview."
            recognized.insert(0, ("selfnodeclient", text))
        for subresource, message in recognized:
            if await self._may(csr, subresource):
                await self._approve(csr, message)
                return

    async def _may(self, csr: Obj, subresource: str) -> bool:
        spec = csr["spec"]
        attributes = {
            "group": "certificates.k8s.io",
            "resource": "certificatesigningrequests",
            "verb": "create",
            "subresource": subresource,
        }
        review = {
            "spec": {
                "user": spec.get("username", ""),
                "uid": spec.get("uid", ""),
                "groups": spec.get("groups") or [],
                "extra": spec.get("extra") or {},
                "resourceAttributes": attributes,
            }
        }
        answer = await self.client.create("subjectaccessreviews.authorization.k8s.io", review)
        return bool(answer["status"].get("allowed"))

    async def _approve(self, csr: Obj, message: str) -> None:
        now = clock.timestamp()
        condition = {
            "type": "Approved",
            "status": "True",
            "reason": "AutoApproved",
            "message": message,
            "lastUpdateTime": now,
            "lastTransitionTime": now,
        }
        status = csr.get("status", {})
        approved = {**csr, "status": {**status, "conditions": [*(status.get("conditions") or []), condition]}}
        await self.client.update(REQUESTS, approved, subresource="approval")


class CertificateSigner(Controller):
    """Signs approved requests for the signers in `SIGNERS`."""

    name = "certificatesigningrequest-signing-controller"
    account = "certificate-controller"
    workers = 2

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        options = context.options
        self._authority = (
            Authority.load(options.cluster_signing_cert_file, options.cluster_signing_key_file)
            if options.cluster_signing_cert_file and options.cluster_signing_key_file
            else None
        )
        self.requests = self.watch(REQUESTS, own_key)

    async def reconcile(self, key: str) -> None:
        csr = self.requests.get(key)
        if csr is None or self._authority is None or csr.get("status", {}).get("certificate"):
            return
        check = SIGNERS.get(csr["spec"].get("signerName", ""))
        if check is None or not has_condition(csr, "Approved") or has_condition(csr, "Failed"):
            return
        usages = csr["spec"].get("usages") or []
        request = parse_request(csr)
        trouble = check(read_subject(request), set(usages))
        status = csr.get("status", {})
        if trouble is not None:
            now = clock.timestamp()
            failed = {
                "type": "Failed",
                "status": "True",
                "reason": "SignerValidationFailure",
                "message": trouble,
                "lastUpdateTime": now,
                "lastTransitionTime": now,
            }
            status = {**status, "conditions": [*(status.get("conditions") or []), failed]}
        else:
            signed = self._authority.sign(request, usages, self._lifetime(csr), clock.now())
            status = {**status, "certificate": base64.b64encode(signed).decode()}
        await self.client.update(REQUESTS, {**csr, "status": status}, subresource="status")

    def _lifetime(self, csr: Obj) -> float:
        longest = self.context.options.cluster_signing_duration
        asked = csr["spec"].get("expirationSeconds")
        return longest if asked is None else min(longest, max(asked, _SHORTEST))


_CLEAN_AFTER_HOURS = {"Approved": 1, "Denied": 1, "Failed": 1}
_PENDING_HOURS = 24


def removal_time(csr: Obj) -> datetime:
    """When a request has been of no use for long enough."""
    status = csr.get("status", {})
    times = []
    for condition in status.get("conditions") or []:
        hours = _CLEAN_AFTER_HOURS.get(condition["type"])
        if hours is not None and condition.get("lastUpdateTime"):
            times.append(clock.parse_time(condition["lastUpdateTime"]) + timedelta(hours=hours))
    if status.get("certificate"):
        try:
            issued = x509.load_pem_x509_certificate(base64.b64decode(status["certificate"]))
            times.append(issued.not_valid_after_utc)
        except ValueError:
            pass
    if not times:
        times.append(clock.parse_time(csr["metadata"]["creationTimestamp"]) + timedelta(hours=_PENDING_HOURS))
    return min(times)


class _Cleaner(Controller):
    """Removes each request of one kind when its time is over."""

    resource: ClassVar[str]
    workers = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.requests = self.watch(self.resource, own_key)

    def end(self, request: Obj) -> datetime:
        """When the request's time is over."""
        raise NotImplementedError

    async def reconcile(self, key: str) -> None:
        request = self.requests.get(key)
        if request is None:
            return
        left = (self.end(request) - clock.now()).total_seconds()
        if left > 0:
            self.queue.add_after(key, left + 1)
            return
        namespace, name = meta.split_key(key)
        await ignore_not_found(self.client.delete(self.resource, name, namespace or None, uid=meta.uid(request)))


class CertificateCleaner(_Cleaner):
    """Removes requests that are done or were never answered."""

    name = "certificatesigningrequest-cleaner-controller"
    account = "certificate-controller"
    resource = REQUESTS

    def end(self, request: Obj) -> datetime:
        return removal_time(request)


class PodCertificateRequestCleaner(_Cleaner):
    """Removes pods' requests a while after they were made: the kubelet has long seen the answer, or asked anew."""

    name = "podcertificaterequest-cleaner-controller"
    account = "podcertificaterequestcleaner"
    resource = POD_REQUESTS

    def end(self, request: Obj) -> datetime:
        return clock.parse_time(request["metadata"]["creationTimestamp"]) + POD_REQUEST_LIFE
