"""Certificate signing requests.

The spec is written once and never changes; who asks is filled in by the server (`apiserver.requesters`). Conditions are
written through two doors: `approval` alone may approve or deny, `status` alone may hand out the certificate or say that
issuing failed, and nobody may take a decision back.
"""

from typing import Any

from cryptography import x509

from pynetes.apis import printing
from pynetes.apis.certificates import pem
from pynetes.apis.certificates.signer import signer_name
from pynetes.apis.checks import Errors
from pynetes.apis.printing import column
from pynetes.apis.strategy import Strategy
from pynetes.machinery import clock, meta, names, tables
from pynetes.machinery.errors import FieldError, quote
from pynetes.machinery.meta import Obj

USAGES = (
    "any", "cert sign", "client auth", "code signing", "content commitment", "crl sign", "data encipherment",
    "decipher only", "digital signature", "email protection", "encipher only", "ipsec end system", "ipsec tunnel",
    "ipsec user", "key agreement", "key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime",
    "server auth", "signing", "timestamping",
)  # fmt: skip
LEGACY_UNKNOWN = "kubernetes.io/legacy-unknown"
SHORTEST_SECONDS = 600
DECISIONS = ("Approved", "Denied")
FINAL = (*DECISIONS, "Failed")
STATUSES = ("False", "True", "Unknown")


class CertificateSigningRequestStrategy(Strategy):
    """A certificate signing request."""

    name_check = staticmethod(names.path_segment)
    columns = (
        printing.NAME,
        printing.AGE,
        column("SignerName", description="Who is asked to sign."),
        column("Requestor", description="Who asks."),
        column("RequestedDuration", description="For how long."),
        column("Condition", description="What has become of it."),
    )

    def prepare_update_spec(self, new: Obj, old: Obj) -> None:
        _keep(new, old, "spec")

    def prepare_status_update(self, new: Obj, old: Obj) -> None:
        super().prepare_status_update(new, old)
        _stamp_conditions(new, old)

    def prepare_subresource_update(self, subresource: str, new: Obj, old: Obj) -> None:
        """`approval`: everything but the conditions stays as it was."""
        super().prepare_subresource_update(subresource, new, old)
        _keep(new, old, "spec")
        conditions = printing.status(new).get("conditions")
        status = {**printing.status(old)}
        status.pop("conditions", None)
        new["status"] = {"conditions": conditions, **status} if conditions else status
        _stamp_conditions(new, old)

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        _whole(errors, obj, None)

    def validate_update(self, new: Obj, old: Obj) -> list[FieldError]:
        return self._update(new, old, setting_certificate=False, deciding=False)

    def validate_status_update(self, new: Obj, old: Obj) -> list[FieldError]:
        return self._update(new, old, setting_certificate=True, deciding=False)

    def validate_subresource_update(self, subresource: str, new: Obj, old: Obj) -> list[FieldError]:
        return self._update(new, old, setting_certificate=False, deciding=True)

    def _update(self, new: Obj, old: Obj, *, setting_certificate: bool, deciding: bool) -> list[FieldError]:
        errors = Errors()
        _whole(errors, new, old)
        _decisions(errors, new, old, deciding)
        before, after = printing.status(old).get("certificate"), printing.status(new).get("certificate")
        if before != after:
            if not setting_certificate:
                errors.forbidden("status.certificate", "updates may not set certificate content")
            elif before:
                errors.forbidden("status.certificate", "updates may not modify existing certificate content")
        return errors + super().validate_status_update(new, old)

    def selectable(self, obj: Obj) -> dict[str, str]:
        return {"spec.signerName": printing.spec(obj).get("signerName", "")}

    def row(self, obj: Obj) -> list[Any]:
        spec = printing.spec(obj)
        seconds = spec.get("expirationSeconds")
        return [
            meta.name(obj),
            printing.age(obj),
            spec.get("signerName") or printing.NONE,
            spec.get("username", ""),
            printing.NONE if seconds is None else tables.human_duration(seconds),
            _condition(obj),
        ]


def _keep(new: Obj, old: Obj, field: str) -> None:
    if field in old:
        new[field] = old[field]


def _conditions(obj: Obj | None) -> list[Obj]:
    return (printing.status(obj).get("conditions") or []) if obj else []


def _of_type(obj: Obj | None, kind: str) -> list[Obj]:
    return [each for each in _conditions(obj) if each.get("type", "") == kind]


def _stamp_conditions(new: Obj, old: Obj) -> None:
    """Give new conditions their times; one whose status did not change keeps the time of its last transition."""
    now = clock.timestamp()
    for condition in _conditions(new):
        if not condition.get("lastUpdateTime"):
            condition["lastUpdateTime"] = now
        if not condition.get("lastTransitionTime"):
            same = _of_type(old, condition.get("type", ""))[:1]
            kept = same and same[0].get("status") == condition.get("status") and same[0].get("lastTransitionTime")
            condition["lastTransitionTime"] = kept or now


def _whole(errors: Errors, obj: Obj, old: Obj | None) -> None:
    spec = printing.spec(obj)
    fault = _request_fault(spec.get("request"))
    if fault:
        errors.invalid("spec.request", spec.get("request", ""), fault)
    _usages(errors, spec.get("usages") or [], printing.spec(old).get("usages") if old else None)
    signer = spec.get("signerName", "")
    if signer == LEGACY_UNKNOWN and (old is None or printing.spec(old).get("signerName") != LEGACY_UNKNOWN):
        errors.invalid("spec.signerName", signer, "the legacy signerName is not allowed via this API version")
    else:
        signer_name(errors, signer, "spec.signerName")
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < SHORTEST_SECONDS:
        detail = f"may not specify a duration less than {SHORTEST_SECONDS} seconds (10 minutes)"
        errors.invalid("spec.expirationSeconds", seconds, detail)
    _validate_conditions(errors, obj, old)
    certificate = printing.status(obj).get("certificate")
    touched = old is None or certificate != printing.status(old).get("certificate")
    if touched and not (old and _certificate_fault(printing.status(old).get("certificate"))):
        fault = _certificate_fault(certificate)
        if fault:
            errors.invalid("status.certificate", "<certificate data>", fault)


def _request_fault(value: str | None) -> str:
    block = next(pem.blocks(pem.from_wire(value)), None)
    if block is None or block.type != "CERTIFICATE REQUEST":
        return "PEM block type must be CERTIFICATE REQUEST"
    try:
        x509.load_der_x509_csr(block.data)
    except ValueError as error:
        return f"x509: {error}"
    return ""


def _certificate_fault(value: str | None) -> str:
    if not value:
        return ""
    found = list(pem.blocks(pem.from_wire(value)))
    for block in found:
        if block.type != "CERTIFICATE":
            return f"only CERTIFICATE PEM blocks are allowed, found {quote(block.type)}"
        if block.has_headers:
            return "no PEM block headers are permitted"
        try:
            x509.load_der_x509_certificate(block.data)
        except ValueError as error:
            return f"x509: {error}"
    return "" if found else "must contain at least one CERTIFICATE PEM block"


def _usages(errors: Errors, usages: list[str], before: list[str] | None) -> None:
    """Known and not repeated, unless the stored request already broke the rule."""
    if not usages:
        errors.required("spec.usages")
    if before is None or set(before) <= set(USAGES):
        for index, usage in enumerate(usages):
            errors.one_of(f"spec.usages[{index}]", usage, USAGES)
    if before is None or len(set(before)) == len(before):
        for index, usage in enumerate(usages):
            if usage in usages[:index]:
                errors.duplicate(f"spec.usages[{index}]", usage)


def _validate_conditions(errors: Errors, obj: Obj, old: Obj | None) -> None:
    types, before = (
        [each.get("type", "") for each in _conditions(obj)],
        [each.get("type", "") for each in _conditions(old)],
    )
    for index, condition in enumerate(_conditions(obj)):
        path, kind, earlier = f"status.conditions[{index}]", condition.get("type", ""), types[:index]
        if not kind and "" not in before:
            errors.required(f"{path}.type")
        errors.required_one_of(f"{path}.status", condition.get("status"), ("True",) if kind in FINAL else STATUSES)
        if kind in DECISIONS and not set(DECISIONS) <= set(before):
            other = DECISIONS[1 - DECISIONS.index(kind)]
            if other in earlier:
                errors.invalid("status.conditions", kind, "Approved and Denied conditions are mutually exclusive")
        if kind in earlier and len(set(before)) == len(before):
            errors.duplicate(f"{path}.type", kind)


def _decisions(errors: Errors, new: Obj, old: Obj, deciding: bool) -> None:
    for kind in FINAL:
        if len(_of_type(new, kind)) < len(_of_type(old, kind)):
            errors.forbidden("status.conditions", f"updates may not remove a condition of type {quote(kind)}")
    if deciding:
        return
    for kind in DECISIONS:
        after, before = _of_type(new, kind), _of_type(old, kind)
        if len(after) > len(before):
            errors.forbidden("status.conditions", f"updates may not add a condition of type {quote(kind)}")
        elif len(after) == len(before) and after != before:
            errors.forbidden("status.conditions", f"updates may not modify a condition of type {quote(kind)}")


def _condition(obj: Obj) -> str:
    """Denied goes before Approved; what came of it follows."""
    decision = next((kind for kind in ("Denied", "Approved") if _of_type(obj, kind)), "Pending")
    failed = ",Failed" if _of_type(obj, "Failed") else ""
    issued = ",Issued" if printing.status(obj).get("certificate") else ""
    return decision + failed + issued
