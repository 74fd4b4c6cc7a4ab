"""Which trust anchors a projected volume shows."""

import base64

import pytest

from pynetes.kubelet.volumes.base import VolumeError
from pynetes.kubelet.volumes.trust_bundles import anchors, chosen


def pem(text: str, width: int = 64) -> str:
    encoded = base64.b64encode(text.encode()).decode()
    lines = [encoded[start : start + width] for start in range(0, len(encoded), width)]
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""])


def bundle(name: str, signer: str = "", live: str = "", text: str = "") -> dict:
    labels = {"live": live} if live else {}
    return {"metadata": {"name": name, "labels": labels}, "spec": {"signerName": signer, "trustBundle": text}}


BUNDLES = [bundle("plain"), bundle("s:1", "e.org/s", "yes"), bundle("s:2", "e.org/s"), bundle("t:1", "e.org/t", "yes")]


@pytest.mark.parametrize(
    "source, names",
    [
        ({"name": "plain"}, ["plain"]),
        ({"signerName": "e.org/s", "labelSelector": {}}, ["s:1", "s:2"]),
        ({"signerName": "e.org/s", "labelSelector": {"matchLabels": {"live": "yes"}}}, ["s:1"]),
        ({"signerName": "e.org/u", "labelSelector": {}, "optional": True}, []),
        ({"name": "nope", "optional": True}, []),
    ],
)
def test_a_source_names_one_or_selects_of_a_signer(source, names):
    assert [found["metadata"]["name"] for found in chosen(source, BUNDLES)] == names


@pytest.mark.parametrize(
    "source, text",
    [
        (
            {"name": "nope"},
            'while getting ClusterTrustBundle: clustertrustbundle.certificates.k8s.io "nope" not found',
        ),
        ({"signerName": "e.org/s"}, "combination of signerName and labelSelector matched zero ClusterTrustBundles"),
    ],
)
def test_none_at_all_is_a_failure(source, text):
    with pytest.raises(VolumeError) as caught:
        chosen(source, BUNDLES)
    assert str(caught.value) == text


def test_what_is_written_is_normal():
    first, second = pem("a" * 100), pem("b" * 20)
    texts = [f"about it\n{second}", f"{pem('a' * 100, 40)}\n{second}"]
    assert anchors([bundle("x", text=text) for text in texts]).decode() == first + second
