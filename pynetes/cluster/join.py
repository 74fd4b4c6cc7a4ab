"""Real machines: a server that runs the control plane, agents that are its nodes.

The server signs a node's certificates and writes them, with the authority and the cluster's addresses, into a join
file; an agent needs nothing else. The file holds private keys: it is made readable by its owner alone and is carried
to the other machine the way a key is.
"""

import json
from dataclasses import asdict
from pathlib import Path

from pynetes.cluster import pki
from pynetes.cluster.config import Cluster, ClusterError
from pynetes.cluster.pki import write_private

# What a node has of the cluster's certificates; `{node}` is its name.
_FILES = ("ca.crt", "kubelet-{node}", "network-{node}", "kubelet-server-{node}")
_VERSION = 1


def write_join_file(cluster: Cluster, node: str, address: str, target: Path) -> None:
    """Sign the certificates of `node` at `address` and write its join file."""
    if cluster.role != "server":
        raise ClusterError(f"cluster {cluster.name!r} was not started by `pynetes server`, so machines cannot join it")
    pki.ensure_node(cluster, node, address)
    names = [
        name
        for pattern in _FILES
        for name in ([pattern] if "." in pattern else [pattern.format(node=node) + end for end in (".crt", ".key")])
    ]
    settings = {"role": "agent", "node_name": node, "node_ip": address, "node_count": 1, "upstream_dns": []}
    bundle = {
        "version": _VERSION,
        "cluster": asdict(cluster) | settings,
        "files": {name: cluster.path("pki", name).read_text() for name in names},
    }
    write_private(target, json.dumps(bundle, indent=1).encode())


def read_join_file(source: Path, name: str | None) -> Cluster:
    """Put a join file's certificates into this machine's state directory; returns the agent it describes."""
    try:
        bundle = json.loads(source.read_text())
        settings, files = bundle["cluster"], bundle["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ClusterError(f"{source} is not a join file ({error}); the server writes one with --join") from error
    if bundle.get("version") != _VERSION:
        raise ClusterError(f"{source} is of another version of pynetes; let the server write it anew")
    if name is not None:
        settings["name"] = name
    cluster = Cluster(**settings)
    cluster.save()
    for file_name, text in files.items():
        write_private(cluster.path("pki", Path(file_name).name), text.encode())
    return cluster
