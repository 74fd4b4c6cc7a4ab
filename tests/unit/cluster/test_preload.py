"""What is done before the fork."""

import ssl
from pathlib import Path

import pytest

from pynetes.cluster import preload
from pynetes.cluster.pki import Authority


def test_a_handshake_with_itself_comes_to_its_end(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca", "kubernetes")
    certificate, _ = authority.ensure("apiserver", "kube-apiserver", addresses=("127.0.0.1",), server=True)
    preload.shake_hands(tmp_path / "ca.crt", Path(certificate))


def test_a_stranger_is_not_believed(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    certificate, _ = Authority(other, "ca", "kubernetes").ensure(
        "apiserver", "kube-apiserver", addresses=("127.0.0.1",), server=True
    )
    Authority(mine, "ca", "kubernetes")
    with pytest.raises(ssl.SSLCertVerificationError):
        preload.shake_hands(mine / "ca.crt", Path(certificate))
