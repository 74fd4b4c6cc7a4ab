"""A cluster's keys and certificates.

Two authorities (one for the cluster, one for the front proxy that API aggregation speaks as), the API server's
serving certificate, a client certificate for each component, and the key that signs service-account tokens. File
names are kubeadm's, so who knows one finds their way in the other. Keys are ECDSA P-256 and readable by their owner
alone. `ensure` makes what is missing and renews what is about to expire; what is valid stays as it is.
"""

import ipaddress
import os
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pynetes.cluster.config import Cluster
from pynetes.machinery import clock

CA_DAYS = 3650
LEAF_DAYS = 365
RENEW_BEFORE = timedelta(days=30)


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
    draft.replace(path)


class Authority:
    """A certificate authority in `directory/name.crt` and `directory/name.key`, made on first use."""

    def __init__(self, directory: Path, name: str, common_name: str) -> None:
        self.directory = directory
        self.certificate_file = directory / f"{name}.crt"
        key_file = directory / f"{name}.key"
        if not (self.certificate_file.exists() and key_file.exists()):
            self._make(common_name, key_file)
        self.certificate = x509.load_pem_x509_certificate(self.certificate_file.read_bytes())
        key = serialization.load_pem_private_key(key_file.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{key_file} is not an elliptic-curve key")
        self._key = key

    def _make(self, common_name: str, key_file: Path) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        certificate = (
            _builder(name, name, key.public_key(), CA_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(sign=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        write_private(key_file, _key_pem(key))
        write_private(self.certificate_file, _pem(certificate))
        self.certificate_file.chmod(0o644)

    def ensure(
        self,
        file_name: str,
        common_name: str,
        groups: Sequence[str] = (),
        *,
        dns: Iterable[str] = (),
        addresses: Iterable[str] = (),
        server: bool = False,
        client: bool = True,
    ) -> tuple[Path, Path]:
        """The files of a certificate for `common_name`, made or renewed where needed."""
        certificate_file = self.directory / f"{file_name}.crt"
        key_file = self.directory / f"{file_name}.key"
        alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in dns]
        alternatives += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        if key_file.exists() and self._is_good(certificate_file, alternatives):
            return certificate_file, key_file
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
            + [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
        )
        purposes = [ExtendedKeyUsageOID.SERVER_AUTH] * server + [ExtendedKeyUsageOID.CLIENT_AUTH] * client
        builder = (
            _builder(subject, self.certificate.subject, key.public_key(), LEAF_DAYS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(sign=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        write_private(key_file, _key_pem(key))
        write_private(certificate_file, _pem(builder.sign(self._key, hashes.SHA256())))
        return certificate_file, key_file

    def _is_good(self, file: Path, alternatives: list[x509.GeneralName]) -> bool:
        """Whether the certificate in `file` is ours, covers these names and is not about to expire."""
        if not file.exists():
            return False
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
        if certificate.issuer != self.certificate.subject:
            return False
        if certificate.not_valid_after_utc - RENEW_BEFORE < clock.now():
            return False
        try:
            covered = set(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        except x509.ExtensionNotFound:
            covered = set()
        return covered == set(alternatives)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    start = clock.now() - timedelta(minutes=5)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
    )


def _usage(*, sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not sign,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign,
        crl_sign=sign,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def ensure_token_key(directory: Path) -> None:
    """The pair that signs and checks service-account tokens, `sa.key` and `sa.pub`: RSA, as every client reads it."""
    if (directory / "sa.key").exists() and (directory / "sa.pub").exists():
        return
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    write_private(directory / "sa.key", _key_pem(key))
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    write_private(directory / "sa.pub", public)


# Who speaks to the API server, as whom: the files' name, the user, the groups.
CONTROL_PLANE_CLIENTS = (
    ("admin", "kubernetes-admin", ("system:masters",)),
    ("controller-manager", "system:kube-controller-manager", ()),
    ("scheduler", "system:kube-scheduler", ()),
    ("apiserver-kubelet-client", "kube-apiserver-kubelet-client", ("system:masters",)),
)


def ensure(cluster: Cluster) -> None:
    """Make or renew every key and certificate of `cluster`; an agent's come from its server."""
    if cluster.role == "agent":
        return
    directory = cluster.path("pki")
    authority = Authority(directory, "ca", "kubernetes-ca")
    front_proxy = Authority(directory, "front-proxy-ca", "kubernetes-front-proxy-ca")
    front_proxy.ensure("front-proxy-client", "front-proxy-client")
    ensure_token_key(directory)
    network = cluster.network
    authority.ensure(
        "apiserver",
        "kube-apiserver",
        server=True,
        client=False,
        dns=(
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            f"kubernetes.default.svc.{cluster.domain}",
        ),
        addresses=dict.fromkeys(
            ("127.0.0.1", "::1", network.host_address, cluster.advertised, cluster.kubernetes_service)
        ),
    )
    for file_name, user, groups in CONTROL_PLANE_CLIENTS:
        authority.ensure(file_name, user, groups)
    for node in cluster.nodes:
        ensure_node(cluster, node, cluster.node_address(node))


def ensure_node(cluster: Cluster, node: str, address: str) -> None:
    """Make or renew the certificates of one node: its kubelet's two and its network agent's."""
    authority = Authority(cluster.path("pki"), "ca", "kubernetes-ca")
    authority.ensure(f"kubelet-{node}", f"system:node:{node}", ("system:nodes",))
    authority.ensure(f"network-{node}", "system:kube-proxy", ())
    authority.ensure(
        f"kubelet-server-{node}",
        f"system:node:{node}",
        ("system:nodes",),
        server=True,
        client=False,
        dns=(node,),
        addresses=(address,),
    )
