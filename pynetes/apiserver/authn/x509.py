"""Users by client certificate: the common name is the user, the organizations are the groups.

TLS has already verified that a certificate chains to a trusted authority. When a front proxy has an authority of its
own, TLS trusts both, and `issued_by` tells them apart. Parsed certificates are remembered, for every request of a
connection brings the same one.
"""

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID, ObjectIdentifier

from pynetes.apiserver.request import UserInfo
from pynetes.machinery import clock

CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"
_UID = ObjectIdentifier("1.3.6.1.4.1.57683.2")
_CACHE_SIZE = 4096


@dataclass(frozen=True, slots=True)
class Known:
    """A parsed certificate."""

    certificate: x509.Certificate
    expires: datetime
    user: UserInfo | None


def _values(name: x509.Name, oid: ObjectIdentifier) -> list[str]:
    return [str(attribute.value) for attribute in name.get_attributes_for_oid(oid)]


def _user(certificate: x509.Certificate) -> UserInfo | None:
    names = _values(certificate.subject, NameOID.COMMON_NAME)
    if not names or not names[0]:
        return None
    uids = _values(certificate.subject, _UID)
    if len(uids) > 1:
        return None
    return UserInfo(
        name=names[0],
        uid=uids[0] if uids else "",
        groups=(*_values(certificate.subject, NameOID.ORGANIZATION_NAME), "system:authenticated"),
        extra={CREDENTIAL_ID: (f"X509SHA256={certificate.fingerprint(hashes.SHA256()).hex()}",)},
    )


class Certificates:
    """Parses peer certificates, each once."""

    def __init__(self) -> None:
        self._known: dict[bytes, Known] = {}

    def parse(self, der: bytes) -> Known:
        """What a certificate says."""
        known = self._known.get(der)
        if known is None:
            if len(self._known) >= _CACHE_SIZE:
                self._known.clear()
            certificate = x509.load_der_x509_certificate(der)
            known = Known(certificate, certificate.not_valid_after_utc, _user(certificate))
            self._known[der] = known
        return known

    def user(self, der: bytes) -> UserInfo | None:
        """The user a certificate stands for, unless it has expired during the connection."""
        known = self.parse(der)
        return None if clock.now() > known.expires else known.user


def issued_by(certificate: x509.Certificate, authorities: list[x509.Certificate]) -> bool:
    """Whether one of `authorities` signed the certificate."""
    for authority in authorities:
        try:
            certificate.verify_directly_issued_by(authority)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return True
    return False
