"""Users by client certificate: the common name is the user, the organizations are the groups.

TLS has already verified that a certificate chains to a trusted authority. When a front proxy has an authority of its
own, TLS trusts both, and the signature tells them apart. What is known of a certificate is remembered: every request of
a connection brings the same one, and checking its signature takes longer than answering the request.
"""

from collections.abc import Sequence
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
    """A parsed certificate: its common names, the user it stands for, and whose authority signed it."""

    expires: datetime
    names: tuple[str, ...]
    user: UserInfo | None
    by_client_authority: bool
    by_front_proxy: bool


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

    def __init__(
        self, client_authorities: Sequence[x509.Certificate], front_proxy: Sequence[x509.Certificate] | None
    ) -> None:
        """`front_proxy` are the authorities of a front proxy; with None there is only one kind that TLS lets in."""
        self._client_authorities = client_authorities
        self._front_proxy = front_proxy
        self._known: dict[bytes, Known] = {}

    def user(self, der: bytes) -> UserInfo | None:
        """The user a client's certificate stands for, unless it has expired during the connection."""
        known = self._find(der)
        return None if not known.by_client_authority or clock.now() > known.expires else known.user

    def front_proxy(self, der: bytes) -> Sequence[str] | None:
        """The common names of a front proxy's certificate, None for another's or one that has expired."""
        known = self._find(der)
        return None if not known.by_front_proxy or clock.now() > known.expires else known.names

    def _find(self, der: bytes) -> Known:
        known = self._known.get(der)
        if known is None:
            if len(self._known) >= _CACHE_SIZE:
                self._known.clear()
            known = self._known[der] = self._parse(x509.load_der_x509_certificate(der))
        return known

    def _parse(self, certificate: x509.Certificate) -> Known:
        return Known(
            expires=certificate.not_valid_after_utc,
            names=tuple(_values(certificate.subject, NameOID.COMMON_NAME)),
            user=_user(certificate),
            by_client_authority=self._front_proxy is None or _issued_by(certificate, self._client_authorities),
            by_front_proxy=self._front_proxy is not None and _issued_by(certificate, self._front_proxy),
        )


def _issued_by(certificate: x509.Certificate, authorities: Sequence[x509.Certificate]) -> bool:
    """Whether one of `authorities` signed the certificate."""
    for authority in authorities:
        try:
            certificate.verify_directly_issued_by(authority)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return True
    return False
