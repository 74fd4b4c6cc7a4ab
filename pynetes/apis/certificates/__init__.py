"""The certificates group: requests to sign, and bundles of trust anchors."""

import base64
import binascii
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from pynetes.apis import printing
from pynetes.apis.checks import Errors
from pynetes.apis.printing import column
from pynetes.apis.strategy import Strategy
from pynetes.machinery import clock, meta, names, tables
from pynetes.machinery.errors import FieldError
from pynetes.machinery.meta import Obj

USAGES = (
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
)
LEGACY_SIGNER = "kubernetes.io/legacy-unknown"
DECISIONS = ("Approved", "Denied")


def _any_name(name: str) -> list[str]:
    return []


class CertificateSigningRequestStrategy(Strategy):
    """A certificate signing request. Who asked is recorded by the server, not believed."""

    name_check = staticmethod(_any_name)
    columns = (
        printing.NAME,
        printing.AGE,
        column("SignerName", description="Who is to sign it."),
        column("Requestor", description="Who asked."),
        column("RequestedDuration", description="How long the certificate is to be valid."),
        column("Condition", description="What became of it."),
    )

    def default(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        if not spec.get("usages") and self.resource.version != "v1":
            spec["usages"] = ["digital signature", "key encipherment"]

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        spec = printing.spec(obj)
        fault = _request_fault(spec.get("request") or "")
        if fault:
            errors.invalid("spec.request", spec.get("request") or "", fault)
        usages = spec.get("usages") or []
        if not usages:
            errors.required("spec.usages")
        seen: set[str] = set()
        for index, usage in enumerate(usages):
            if usage not in USAGES:
                errors.unsupported(f"spec.usages[{index}]", usage, USAGES)
            if usage in seen:
                errors.duplicate(f"spec.usages[{index}]", usage)
            seen.add(usage)
        signer = spec.get("signerName") or ""
        if signer == LEGACY_SIGNER:
            errors.invalid("spec.signerName", signer, "the legacy signerName is not allowed via this API version")
        else:
            signer_name(errors, signer, "spec.signerName")
        seconds = spec.get("expirationSeconds")
        if seconds is not None and seconds < 600:
            errors.invalid("spec.expirationSeconds", seconds, "may not specify a duration less than 600 seconds (10 minutes)")
        self._conditions(errors, obj)

    def _conditions(self, errors: Errors, obj: Obj) -> None:
        kinds = []
        for index, condition in enumerate(printing.status(obj).get("conditions") or []):
            path, kind = f"status.conditions[{index}]", condition.get("type") or ""
            if not kind:
                errors.required(f"{path}.type")
            elif kind in kinds:
                errors.duplicate(f"{path}.type", kind)
            for other in ({"Approved": "Denied", "Denied": "Approved"}.get(kind),):
                if other in kinds:
                    errors.invalid(f"{path}.type", kind, "Approved and Denied conditions are mutually exclusive")
            kinds.append(kind)
            status = condition.get("status")
            if kind in (*DECISIONS, "Failed") and status != "True":
                if not status:
                    errors.required(f"{path}.status")
                else:
                    errors.unsupported(f"{path}.status", status, ("True",))

    def prepare_update_spec(self, new: Obj, old: Obj) -> None:
        # Nothing but metadata may be changed here.
        new["spec"] = old.get("spec") or {}

    def prepare_status_update(self, new: Obj, old: Obj) -> None:
        super().prepare_status_update(new, old)
        status = new.setdefault("status", {})
        decided = [c for c in printing.status(old).get("conditions") or [] if c.get("type") in DECISIONS]
        rest = [c for c in status.get("conditions") or [] if c.get("type") not in DECISIONS]
        _conditions_of(status, decided + rest, old)

    def prepare_subresource_update(self, subresource: str, new: Obj, old: Obj) -> None:
        super().prepare_subresource_update(subresource, new, old)
        sent = printing.status(new).get("conditions") or []
        new["spec"] = old.get("spec") or {}
        new["status"] = dict(printing.status(old))
        # The certificate is the signer's; here only the conditions change.
        _conditions_of(new["status"], list(sent), old)

    def validate_subresource_update(self, subresource: str, new: Obj, old: Obj) -> list[FieldError]:
        errors = Errors(super().validate_subresource_update(subresource, new, old))
        self._conditions(errors, new)
        kinds = {condition.get("type") for condition in printing.status(new).get("conditions") or []}
        for condition in printing.status(old).get("conditions") or []:
            if condition.get("type") in (*DECISIONS, "Failed") and condition["type"] not in kinds:
                errors.forbidden(
                    "status.conditions", f'updates may not remove a condition of type "{condition["type"]}"'
                )
        return errors

    def validate_status(self, errors: Errors, new: Obj, old: Obj) -> None:
        self._conditions(errors, new)
        before = printing.status(old).get("certificate")
        after = printing.status(new).get("certificate")
        if before and after != before:
            errors.forbidden("status.certificate", "updates may not set certificate content once it is set")
        if after and after != before:
            fault = _certificate_fault(after)
            if fault:
                errors.invalid("status.certificate", "<certificate data>", fault)

    def row(self, obj: Obj) -> list[Any]:
        spec = printing.spec(obj)
        seconds = spec.get("expirationSeconds")
        return [
            meta.name(obj),
            printing.age(obj),
            spec.get("signerName") or printing.NONE,
            spec.get("username", ""),
            _human(seconds) if seconds is not None else printing.NONE,
            state(obj),
        ]

    def selectable(self, obj: Obj) -> dict[str, str]:
        return {"spec.signerName": printing.spec(obj).get("signerName") or ""}


def _human(seconds: int) -> str:
    return tables.human_duration(seconds)


def state(obj: Obj) -> str:
    """The Condition cell: `Approved,Issued`, `Denied`, `Pending` …"""
    kinds = {condition.get("type") for condition in printing.status(obj).get("conditions") or []}
    words = [word for word in ("Denied",) if word in kinds] or [word for word in ("Approved",) if word in kinds]
    words = words or ["Pending"]
    if "Failed" in kinds:
        words.append("Failed")
    if printing.status(obj).get("certificate"):
        words.append("Issued")
    return ",".join(words)


def _conditions_of(status: Obj, conditions: list[Obj], old: Obj) -> None:
    """Write conditions with their times: updated now, moved only where the status did."""
    before = {condition.get("type"): condition for condition in printing.status(old).get("conditions") or []}
    for condition in conditions:
        known = before.get(condition.get("type"))
        if known == condition:
            continue
        condition.setdefault("lastUpdateTime", clock.timestamp())
        if known is not None and known.get("status") == condition.get("status"):
            condition.setdefault("lastTransitionTime", known.get("lastTransitionTime") or clock.timestamp())
        else:
            condition.setdefault("lastTransitionTime", clock.timestamp())
    if conditions:
        status["conditions"] = conditions
    else:
        status.pop("conditions", None)


def _pem(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _request_fault(text: str) -> str:
    try:
        request = x509.load_pem_x509_csr(_pem(text))
        request.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    except (ValueError, binascii.Error, TypeError):
        return "PEM block type must be CERTIFICATE REQUEST"
    return "" if request.is_signature_valid else "signature does not match"


def _certificate_fault(text: str) -> str:
    try:
        x509.load_pem_x509_certificates(_pem(text))
    except (ValueError, binascii.Error) as error:
        return str(error)
    return ""


def signer_name(errors: Errors, name: str, path: str) -> None:
    """`domain/path`: a DNS name of at least two labels, and a path of DNS names."""
    if not name:
        errors.required(path)
        return
    domain, slash, rest = name.partition("/")
    if not slash or "/" in rest:
        errors.invalid(path, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'")
        return
    errors.check(path, domain, names.fully_qualified_domain_name(domain))
    if not rest:
        errors.invalid(path, rest, "validation failed: must be a fully qualified domain and path of the form 'example.com/signer-name'")
    else:
        errors.check(path, rest, names.dns1123_subdomain(rest))


class ClusterTrustBundleStrategy(Strategy):
    """A bundle of trust anchors."""

    name_check = staticmethod(_any_name)
    columns = (printing.NAME, column("SignerName", description="Whose certificates it is for."))

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        spec = printing.spec(obj)
        signer, name = spec.get("signerName") or "", meta.name(obj)
        if signer:
            signer_name(errors, signer, "spec.signerName")
            prefix = signer.replace("/", ":") + ":"
            if not name.startswith(prefix):
                errors.invalid("metadata.name", name, f"ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}")
        elif ":" in name:
            errors.invalid("metadata.name", name, "ClusterTrustBundle without signer name must not have \":\" in its name")
        else:
            errors.check("metadata.name", name, names.dns1123_subdomain(name))
        bundle = spec.get("trustBundle") or ""
        try:
            x509.load_pem_x509_certificates(bundle.encode())
        except ValueError:
            errors.invalid("spec.trustBundle", "<value omitted>", "at least one trust anchor must be provided")

    def validate_spec_update(self, errors: Errors, new: Obj, old: Obj) -> None:
        errors.unchanged("spec.signerName", printing.spec(new).get("signerName"), printing.spec(old).get("signerName"))

    def row(self, obj: Obj) -> list[Any]:
        return [meta.name(obj), printing.spec(obj).get("signerName") or printing.NONE]

    def selectable(self, obj: Obj) -> dict[str, str]:
        return {"spec.signerName": printing.spec(obj).get("signerName") or ""}


STRATEGIES: dict[str, type[Strategy]] = {
    "certificatesigningrequests.certificates.k8s.io": CertificateSigningRequestStrategy,
    "clustertrustbundles.certificates.k8s.io": ClusterTrustBundleStrategy,
}
