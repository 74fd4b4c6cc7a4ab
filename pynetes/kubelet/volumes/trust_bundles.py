"""Trust anchors out of ClusterTrustBundles, for projected volumes (KEP-3257).

A source names one bundle, or the bundles of a signer that its label selector fits. What is written is normal: each
certificate once, in an order that stays, without comments and headers.
"""

import base64
import re
from collections.abc import Iterable

from pynetes.kubelet.volumes.base import VolumeError
from pynetes.machinery import meta, selectors
from pynetes.machinery.meta import Obj

RESOURCE = "clustertrustbundles.certificates.k8s.io"
_ONE = "clustertrustbundle.certificates.k8s.io"
_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)
_LINE = 64


def chosen(source: Obj, bundles: Iterable[Obj]) -> list[Obj]:
    """The bundles that a source means; raises VolumeError if there is none."""
    if source.get("name"):
        found = [bundle for bundle in bundles if meta.name(bundle) == source["name"]]
        missing = f'while getting ClusterTrustBundle: {_ONE} "{source["name"]}" not found'
    else:
        # No selector fits nothing, an empty one everything.
        selector = selectors.from_label_selector(source.get("labelSelector"))
        found = [
            bundle
            for bundle in bundles
            if bundle["spec"].get("signerName") == source.get("signerName") and selector.matches(meta.labels(bundle))
        ]
        missing = "combination of signerName and labelSelector matched zero ClusterTrustBundles"
    if not found and not source.get("optional"):
        raise VolumeError(missing)
    return found


def anchors(bundles: Iterable[Obj]) -> bytes:
    """The certificates of the bundles, each once."""
    found = set()
    for bundle in bundles:
        for block in _BLOCK.findall(bundle["spec"].get("trustBundle", "")):
            lines = [line.strip() for line in block.splitlines() if ":" not in line]
            found.add("".join(lines))
    return b"".join(_pem(text) for text in sorted(found))


def _pem(text: str) -> bytes:
    encoded = base64.b64encode(base64.b64decode(text)).decode()
    lines = [encoded[start : start + _LINE] for start in range(0, len(encoded), _LINE)]
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""]).encode()
