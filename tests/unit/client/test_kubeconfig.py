"""Reading kubeconfigs."""

import base64
from pathlib import Path
from typing import Any

import pytest

from pynetes.client import kubeconfig


def document(**user: Any) -> dict[str, Any]:
    return {
        "current-context": "one",
        "contexts": [
            {"name": "one", "context": {"cluster": "c", "user": "u", "namespace": "team"}},
            {"name": "two", "context": {"cluster": "d", "user": "u"}},
        ],
        "clusters": [
            {"name": "c", "cluster": {"server": "https://a:6443/", "certificate-authority-data": "Q0E="}},
            {"name": "d", "cluster": {"server": "http://b:8080"}},
        ],
        "users": [{"name": "u", "user": user}],
    }


def test_the_current_context_chooses_cluster_user_and_namespace() -> None:
    found = kubeconfig.parse(document(token="t"), Path())
    assert (found.server, found.ca_data, found.token, found.namespace) == ("https://a:6443", b"CA", "t", "team")


def test_another_context_can_be_named() -> None:
    found = kubeconfig.parse(document(), Path(), "two")
    assert found.server == "http://b:8080"
    assert found.namespace == "default"
    assert found.ssl_context() is None


def test_files_are_relative_to_the_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_bytes(b"CERT")
    inline = base64.b64encode(b"KEY").decode()
    found = kubeconfig.parse(document(**{"client-certificate": "cert.pem", "client-key-data": inline}), tmp_path)
    assert (found.cert, found.key) == (b"CERT", b"KEY")


def test_a_token_file_is_read_anew_each_time(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("first\n")
    found = kubeconfig.parse(document(tokenFile="token"), tmp_path)
    assert found.bearer() == "first"
    (tmp_path / "token").write_text("second")
    assert found.bearer() == "second"


def test_what_is_missing_is_named() -> None:
    broken = document()
    broken["current-context"] = "none"
    with pytest.raises(kubeconfig.ConfigError, match="no context named 'none'"):
        kubeconfig.parse(broken, Path())
