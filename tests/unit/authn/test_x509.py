"""Users by client certificate, beside a front proxy with an authority of its own."""

import ssl
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from pynetes.apiserver.authn import x509 as users
from pynetes.apiserver.authn.authenticator import Authenticator, FrontProxy
from pynetes.apiserver.request import ANONYMOUS, Request, UserInfo
from pynetes.cluster.pki import Authority
from pynetes.machinery import clock

HEADERS = {"x-remote-user": "alice"}


class Two:
    """An authority for clients, another for the front proxy, and an authenticator that knows both."""

    def __init__(self, directory: Path) -> None:
        self.clients = Authority(directory, "ca", "clients")
        self.proxies = Authority(directory, "front-proxy-ca", "front-proxies")
        self.authenticator = Authenticator(
            client_authorities=[_load(self.clients.certificate_file)],
            front_proxy=FrontProxy([_load(self.proxies.certificate_file)], allowed_names=["proxy"]),
        )

    def who(self, authority: Authority, name: str) -> UserInfo:
        return self.sender(certificate(authority, name))

    def sender(self, der: bytes) -> UserInfo:
        return self.authenticator.authenticate(Request("GET", "/", headers=HEADERS, peer_cert=der))


def certificate(authority: Authority, name: str) -> bytes:
    file, _ = authority.ensure(name, name)
    return ssl.PEM_cert_to_DER_cert(file.read_text())


def _load(file: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(file.read_bytes())


@pytest.fixture
def two(tmp_path: Path) -> Two:
    return Two(tmp_path)


def test_headers_are_believed_from_the_front_proxy(two: Two) -> None:
    assert two.who(two.proxies, "proxy").name == "alice"


def test_headers_are_not_believed_from_a_client_that_has_the_proxys_name(two: Two) -> None:
    assert two.who(two.clients, "proxy").name == "proxy"


def test_a_certificate_of_the_proxys_authority_with_another_name_is_nobody(two: Two) -> None:
    assert two.who(two.proxies, "somebody") == ANONYMOUS


def test_a_signature_is_checked_once_for_all_requests_of_a_certificate(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = []
    issued_by = users._issued_by
    monkeypatch.setattr(users, "_issued_by", lambda *pair: checks.append(pair) or issued_by(*pair))
    for _ in range(3):
        assert two.who(two.clients, "jane").name == "jane"
    assert len(checks) == 2  # against each of the two authorities


def test_a_certificate_that_expires_while_its_connection_lasts_is_no_longer_believed(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, proxy = certificate(two.clients, "jane"), certificate(two.proxies, "proxy")
    assert two.sender(client).name == "jane"
    assert two.sender(proxy).name == "alice"
    later = clock.now() + timedelta(days=20 * 365)
    monkeypatch.setattr(users.clock, "now", lambda: later)
    assert two.sender(client) == ANONYMOUS
    assert two.sender(proxy) == ANONYMOUS
