"""Cluster trust bundles: root certificates, published for a signer or for everybody."""

from typing import Any

from cryptography import x509

from pynetes.apis import printing
from pynetes.apis.certificates import pem
from pynetes.apis.certificates.signer import signer_name
from pynetes.apis.checks import Errors
from pynetes.apis.printing import column
from pynetes.apis.strategy import Strategy
from pynetes.machinery import meta, names
from pynetes.machinery.meta import Obj

SIZE_LIMIT = 1024 * 1024
_BUNDLE = "spec.trustBundle"
_OMITTED = "<value omitted>"


class ClusterTrustBundleStrategy(Strategy):
    """A cluster trust bundle."""

    name_check = staticmethod(names.path_segment)
    allow_unconditional_update = False
    columns = (printing.NAME, column("SignerName", description="Whose certificates these are the roots of."))

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        spec = printing.spec(obj)
        signer, name = spec.get("signerName") or "", meta.name(obj)
        errors.check("metadata.name", name, _name_faults(name, signer))
        if signer:
            signer_name(errors, signer, "spec.signerName")
        _trust_bundle(errors, spec.get("trustBundle") or "")

    def validate_spec_update(self, errors: Errors, new: Obj, old: Obj) -> None:
        errors.unchanged("spec.signerName", printing.spec(new).get("signerName"), printing.spec(old).get("signerName"))

    def selectable(self, obj: Obj) -> dict[str, str]:
        return {"spec.signerName": printing.spec(obj).get("signerName", "")}

    def row(self, obj: Obj) -> list[Any]:
        return [meta.name(obj), printing.spec(obj).get("signerName") or printing.NONE]


def _name_faults(name: str, signer: str) -> list[str]:
    if not name:
        return []
    if not signer:
        if ":" in name:
            return ['ClusterTrustBundle without signer name must not have ":" in its name']
        return names.dns1123_subdomain(name)
    prefix = signer.replace("/", ":") + ":"
    if not name.startswith(prefix):
        return [f"ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}"]
    return names.dns1123_subdomain(name.removeprefix(prefix))


def _trust_bundle(errors: Errors, text: str) -> None:
    if len(text.encode()) > SIZE_LIMIT:
        errors.too_long(_BUNDLE, SIZE_LIMIT)
        return
    anchors: dict[bytes, list[int]] = {}
    sound = True
    for index, block in enumerate(pem.blocks(text)):
        fault = _anchor_fault(block)
        if fault:
            sound = False
            errors.invalid(_BUNDLE, _OMITTED, f"entry {index} {fault}")
        else:
            anchors.setdefault(block.data, []).append(index)
    if not sound:
        return
    if not anchors:
        errors.invalid(_BUNDLE, _OMITTED, "at least one trust anchor must be provided")
    for indices in anchors.values():
        if len(indices) > 1:
            listed = " ".join(str(index) for index in indices)
            errors.invalid(_BUNDLE, _OMITTED, f"duplicate trust anchor (indices [{listed}])")


def _anchor_fault(block: pem.Block) -> str:
    if block.type != "CERTIFICATE":
        return f"has bad block type: {block.type}"
    if block.has_headers:
        return "has PEM block headers"
    try:
        constraints = x509.load_der_x509_certificate(block.data).extensions.get_extension_for_class(
            x509.BasicConstraints
        )
    except x509.ExtensionNotFound:
        return "does not have the CA bit set"
    except ValueError:
        return "does not parse as X.509"
    return "" if constraints.value.ca else "does not have the CA bit set"
