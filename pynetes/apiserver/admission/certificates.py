"""Who may approve, sign and attest certificates, and which subjects may be asked for.

CertificateApproval, CertificateSigning and ClusterTrustBundleAttest ask for the verbs `approve`, `sign` and `attest`
on the signer, named whole or by its domain (`example.com/*`). CertificateSubjectRestriction keeps
`system:masters` out of requests to the built-in client signer.
"""

import base64
import binascii
from typing import TYPE_CHECKING

from cryptography import x509

from pynetes.apiserver.admission import Attributes, Plugin
from pynetes.apiserver.request import RequestInfo, UserInfo
from pynetes.machinery import errors
from pynetes.machinery.errors import quote
from pynetes.machinery.meta import Obj

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer

_GROUP = "certificates.k8s.io"
_REQUESTS = "certificatesigningrequests.certificates.k8s.io"
_POD_REQUESTS = "podcertificaterequests.certificates.k8s.io"
_CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"


def _may(server: "ApiServer", user: UserInfo, verb: str, signer: str) -> bool:
    domain = signer.partition("/")[0]
    names = (signer, f"{domain}/*")
    return any(
        server.authorizer.authorize(user, RequestInfo(True, verb, _GROUP, "*", "signers", "", "", name)).allowed
        for name in names
    )


def _signer(request: Obj | None) -> str:
    return ((request or {}).get("spec") or {}).get("signerName", "")


class CertificateApproval(Plugin):
    """Approving or denying a request takes `approve` on its signer."""

    name = "CertificateApproval"

    async def validate(self, attributes: Attributes, server: "ApiServer") -> None:
        if not attributes.is_for(_REQUESTS, "UPDATE", subresource="approval"):
            return
        signer = _signer(attributes.old)
        if not _may(server, attributes.user, "approve", signer):
            raise attributes.forbidden(f"user not permitted to approve requests with signerName {quote(signer)}")


class CertificateSigning(Plugin):
    """Issuing (or failing) a request takes `sign` on its signer."""

    name = "CertificateSigning"

    async def validate(self, attributes: Attributes, server: "ApiServer") -> None:
        if attributes.is_for(_POD_REQUESTS, "UPDATE", subresource="status"):
            _check_pod_signer(attributes, server)
        if not attributes.is_for(_REQUESTS, "UPDATE", subresource="status"):
            return
        if _issued(attributes.obj) == _issued(attributes.old):
            return
        signer = _signer(attributes.old)
        if not _may(server, attributes.user, "sign", signer):
            raise attributes.forbidden(f"user not permitted to sign requests with signerName {quote(signer)}")


def _check_pod_signer(attributes: Attributes, server: "ApiServer") -> None:
    """Answering a pod's request takes `sign`, too; upstream asks while it validates the answer, and says it so."""
    old, new = attributes.old or {}, attributes.obj or {}
    signer = _signer(old)
    if old.get("status") == new.get("status") or _may(server, attributes.user, "sign", signer):
        return
    detail = f'User {quote(attributes.user.name)} is not permitted to "sign" for signer {quote(signer)}'
    finding = errors.forbidden_field("spec.signerName", detail)
    raise errors.invalid(_GROUP, "PodCertificateRequest", attributes.name, [finding])


def _issued(request: Obj | None) -> tuple[object, list[Obj]]:
    status = (request or {}).get("status") or {}
    failures = [entry for entry in status.get("conditions") or () if entry.get("type") == "Failed"]
    return status.get("certificate"), failures


class ClusterTrustBundleAttest(Plugin):
    """Publishing trust anchors for a signer takes `attest` on it."""

    name = "ClusterTrustBundleAttest"

    async def validate(self, attributes: Attributes, server: "ApiServer") -> None:
        if not attributes.is_for("clustertrustbundles.certificates.k8s.io", "CREATE", "UPDATE"):
            return
        signers = {_signer(attributes.obj), _signer(attributes.old)} - {""}
        if attributes.old is not None and (attributes.obj or {}).get("spec") == attributes.old.get("spec"):
            return
        for signer in sorted(signers):
            if not _may(server, attributes.user, "attest", signer):
                raise attributes.forbidden(f"user not permitted to attest for signerName {quote(signer)}")


class CertificateSubjectRestriction(Plugin):
    """Nobody becomes a cluster administrator through a certificate request."""

    name = "CertificateSubjectRestriction"

    async def validate(self, attributes: Attributes, server: "ApiServer") -> None:
        if not attributes.is_for(_REQUESTS, "CREATE") or _signer(attributes.obj) != _CLIENT_SIGNER:
            return
        assert attributes.obj is not None
        try:
            request = x509.load_pem_x509_csr(base64.b64decode(attributes.obj["spec"].get("request", "")))
        except (ValueError, binascii.Error) as error:
            raise attributes.forbidden(f"failed to parse CSR: {error}") from None
        organizations = request.subject.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)
        if any(entry.value == "system:masters" for entry in organizations):
            raise attributes.forbidden(f"use of {_CLIENT_SIGNER} signer with system:masters group is not allowed")
