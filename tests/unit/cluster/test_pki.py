"""Keys and certificates: who they name, that they are kept while good, and that only their owner reads the keys."""

import ipaddress
import ssl
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pynetes.cluster import pki
from pynetes.cluster.config import Cluster
from pynetes.machinery import clock


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def subject(found: x509.Certificate) -> tuple[str, list[str]]:
    def values(oid: x509.ObjectIdentifier) -> list[str]:
        return [str(attribute.value) for attribute in found.subject.get_attributes_for_oid(oid)]

    return values(NameOID.COMMON_NAME)[0], values(NameOID.ORGANIZATION_NAME)


def contents(cluster: Cluster) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in cluster.path("pki").iterdir()}


@pytest.fixture
def made(cluster: Cluster) -> Cluster:
    pki.ensure(cluster)
    return cluster


@pytest.mark.parametrize(
    ("file", "user", "groups"),
    [
        ("admin", "kubernetes-admin", ["system:masters"]),
        ("controller-manager", "system:kube-controller-manager", []),
        ("scheduler", "system:kube-scheduler", []),
        ("apiserver-kubelet-client", "kube-apiserver-kubelet-client", ["system:masters"]),
        ("kubelet-node-1", "system:node:node-1", ["system:nodes"]),
        ("network-node-2", "system:kube-proxy", []),
    ],
)
def test_each_client_is_who_upstream_says_it_is(made: Cluster, file: str, user: str, groups: list[str]) -> None:
    found = certificate(made.path("pki", f"{file}.crt"))
    assert subject(found) == (user, groups)
    assert list(found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.CLIENT_AUTH
    ]
    found.verify_directly_issued_by(certificate(made.path("pki", "ca.crt")))


def test_the_api_server_answers_to_all_its_names(made: Cluster) -> None:
    names = certificate(made.path("pki", "apiserver.crt")).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    ).value  # fmt: skip
    assert {"localhost", "kubernetes", "kubernetes.default.svc.cluster.local"} <= set(
        names.get_values_for_type(x509.DNSName)
    )
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    assert {"127.0.0.1", made.network.host_address, made.kubernetes_service} <= addresses


def test_keys_are_readable_by_their_owner_alone(made: Cluster) -> None:
    for file in made.path("pki").glob("*.key"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.path("pki").stat().st_mode) == 0o700


def test_openssl_accepts_every_pair(made: Cluster) -> None:
    for file in made.path("pki").glob("*.crt"):
        ssl.create_default_context().load_cert_chain(file, file.with_suffix(".key"))


def test_what_is_good_is_kept(made: Cluster) -> None:
    before = contents(made)
    pki.ensure(made)
    assert contents(made) == before


def test_what_is_missing_is_made_and_the_rest_kept(made: Cluster) -> None:
    before = contents(made)
    made.path("pki", "scheduler.crt").unlink()
    pki.ensure(made)
    after = contents(made)
    assert after["scheduler.crt"] != before["scheduler.crt"]
    assert {name for name in before if before[name] != after[name]} == {"scheduler.crt", "scheduler.key"}


def test_what_expires_soon_is_renewed_by_the_same_authority(made: Cluster) -> None:
    before = contents(made)

    class Later(clock.SystemClock):
        def time(self) -> float:
            return super().time() + timedelta(days=pki.LEAF_DAYS - 29).total_seconds()

    with clock.use(Later()):
        pki.ensure(made)
        later = clock.now()
    after = contents(made)
    assert after["ca.crt"] == before["ca.crt"]
    assert after["admin.crt"] != before["admin.crt"]
    assert certificate(made.path("pki", "admin.crt")).not_valid_after_utc > later


def test_a_new_address_makes_a_new_serving_certificate(made: Cluster) -> None:
    before = contents(made)
    pki.ensure_node(made, "node-1", "192.0.2.1")
    after = contents(made)
    assert {name for name in before if before[name] != after[name]} == {
        "kubelet-server-node-1.crt",
        "kubelet-server-node-1.key",
    }
    names = certificate(made.path("pki", "kubelet-server-node-1.crt")).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    ).value  # fmt: skip
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("192.0.2.1")]


def test_the_token_key_is_a_pair(made: Cluster) -> None:
    private = serialization.load_pem_private_key(made.path("pki", "sa.key").read_bytes(), None)
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert made.path("pki", "sa.pub").read_bytes() == public


def test_an_agent_makes_no_keys_of_its_own(home: Path) -> None:
    agent = Cluster("a", role="agent", node_name="web", server_address="192.0.2.1")
    pki.ensure(agent)
    assert not agent.path("pki").exists()
