"""Kubeconfig files: one for each component, and the user's own, into which a cluster's context is merged.

The user's file is the first of `$KUBECONFIG` or `~/.kube/config`, as kubectl's writes go. Whatever else stands in it
stays as it is; it is replaced whole under the same lock file that kubectl uses, so two writers cannot mix.
"""

import base64
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from pynetes.cluster.config import Cluster, ClusterError
from pynetes.cluster.pki import write_private
from pynetes.machinery import clock

LOCK_SECONDS = 5.0
SECTIONS = ("clusters", "users", "contexts")


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def document(cluster: Cluster, identity: str, server: str, entry: str) -> dict[str, Any]:
    """A kubeconfig whose one context, cluster and user are called `entry`, with certificates inside."""
    pki = cluster.path("pki")
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": entry,
        "clusters": [
            {
                "name": entry,
                "cluster": {"server": server, "certificate-authority-data": _encoded(pki / "ca.crt")},
            }
        ],
        "users": [
            {
                "name": entry,
                "user": {
                    "client-certificate-data": _encoded(pki / f"{identity}.crt"),
                    "client-key-data": _encoded(pki / f"{identity}.key"),
                },
            }
        ],
        "contexts": [{"name": entry, "context": {"cluster": entry, "user": entry}}],
        "preferences": {},
    }


def write_component_files(cluster: Cluster) -> None:
    """Write the kubeconfig of each identity the cluster's processes use."""
    on_host = [] if cluster.role == "agent" else ["admin", "controller-manager", "scheduler"]
    on_nodes = [f"{component}-{node}" for node in cluster.nodes for component in ("kubelet", "network")]
    for server, identities in ((cluster.server, on_host), (cluster.node_server, on_nodes)):
        for identity in identities:
            config = document(cluster, identity, server, cluster.context)
            write_private(cluster.kubeconfig(identity), yaml.safe_dump(config, sort_keys=False).encode())


def user_file() -> Path:
    """The kubeconfig that kubectl would write for this user."""
    listed = [part for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    existing = [part for part in listed if Path(part).exists()]
    if listed:
        return Path((existing or listed)[0])
    return Path.home() / ".kube" / "config"


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold kubectl's lock on `path`: a file beside it that only one process can create."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = path.with_name(path.name + ".lock")
    deadline = clock.monotonic() + LOCK_SECONDS
    while True:
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            break
        except FileExistsError as error:
            if clock.monotonic() > deadline:
                raise ClusterError(f"{path} is locked; if no kubectl is writing it, remove {lock}") from error
            clock.pause(0.05)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _load(path: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load(path.read_bytes()) if path.exists() else None
    except yaml.YAMLError as error:
        raise ClusterError(f"{path} is not a kubeconfig ({error}); it was left as it is") from error
    if config is None:
        return {"apiVersion": "v1", "kind": "Config", "preferences": {}}
    if not isinstance(config, dict) or not all(_is_section(config.get(section)) for section in SECTIONS):
        raise ClusterError(f"{path} is not a kubeconfig; it was left as it is")
    return config


def _is_section(entries: Any) -> bool:
    return entries is None or (isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries))


def _without(entries: list[dict[str, Any]] | None, name: str) -> list[dict[str, Any]]:
    return [entry for entry in entries or [] if entry.get("name") != name]


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """A file that cannot be read or written is the user's to mend."""
    try:
        yield
    except OSError as error:
        raise ClusterError(
            f"cannot use the kubeconfig {path}: {error.strerror or error}; "
            "set KUBECONFIG to another file, or print one with `pynetes kubeconfig`"
        ) from error


def merge(cluster: Cluster) -> Path:
    """Put the cluster's context into the user's kubeconfig and make it the current one. Returns the file."""
    path = user_file()
    ours = document(cluster, "admin", cluster.server, cluster.context)
    with _told(path), _locked(path):
        config = _load(path)
        merged = dict(config)
        for section in SECTIONS:
            merged[section] = _without(config.get(section), cluster.context) + ours[section]
        merged["current-context"] = cluster.context
        if merged != config:
            write_private(path, yaml.safe_dump(merged, sort_keys=False).encode())
    return path


def remove(cluster: Cluster) -> None:
    """Take the cluster's context, cluster and user out of the user's kubeconfig."""
    path = user_file()
    if not path.exists():
        return
    with _told(path), _locked(path):
        config = _load(path)
        pruned = dict(config)
        for section in SECTIONS:
            if section in config:
                pruned[section] = _without(config[section], cluster.context)
        if pruned.get("current-context") == cluster.context:
            pruned["current-context"] = ""
        if pruned != config:
            write_private(path, yaml.safe_dump(pruned, sort_keys=False).encode())
