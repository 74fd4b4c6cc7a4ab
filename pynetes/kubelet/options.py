"""What a kubelet can be told, with upstream's flag names."""

import argparse
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from pynetes.machinery import clock


@dataclass
class Options:
    """The kubelet's settings; every path is this node's own."""

    kubeconfig: str = ""
    hostname_override: str = field(default_factory=lambda: socket.gethostname().lower())
    node_ip: list[str] = field(default_factory=list)
    root_dir: Path = Path("/var/lib/kubelet")
    container_runtime_endpoint: str = "unix:///run/containerd/containerd.sock"
    pod_logs_dir: Path | None = None
    cgroup_root: str = "/"
    cluster_dns: list[str] = field(default_factory=list)
    cluster_domain: str = "cluster.local"
    address: str = "0.0.0.0"
    port: int = 10250
    tls_cert_file: str = ""
    tls_private_key_file: str = ""
    client_ca_file: str = ""
    pod_infra_container_image: str = ""
    max_pods: int = 110
    pod_max_pids: int = -1
    resolv_conf: str = "/etc/resolv.conf"
    register_node: bool = True
    node_labels: dict[str, str] = field(default_factory=dict)
    register_with_taints: list[str] = field(default_factory=list)
    pod_manifest_path: str = ""
    system_reserved: dict[str, str] = field(default_factory=dict)
    kube_reserved: dict[str, str] = field(default_factory=dict)
    eviction_hard: dict[str, str] = field(
        default_factory=lambda: {
            "memory.available": "100Mi",
            "nodefs.available": "10%",
            "nodefs.inodesFree": "5%",
            "imagefs.available": "15%",
        }
    )
    allowed_unsafe_sysctls: list[str] = field(default_factory=list)
    image_gc_high_threshold: int = 85
    image_gc_low_threshold: int = 80
    minimum_image_ttl_duration: float = 120.0
    container_log_max_size: str = "10Mi"
    container_log_max_files: int = 5
    node_status_update_frequency: float = 10.0
    node_status_report_frequency: float = 300.0
    node_lease_duration_seconds: int = 40
    seccomp_profile_root: Path | None = None

    @property
    def node_name(self) -> str:
        """The name this node is known by."""
        return self.hostname_override

    @property
    def logs_root(self) -> Path:
        """Where the pods' logs go."""
        return self.pod_logs_dir or self.root_dir.parent / "pod-logs"

    @property
    def seccomp_root(self) -> Path:
        """Where `localhost` seccomp profiles are looked up."""
        return self.seccomp_profile_root or self.root_dir / "seccomp"


def _pairs(text: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in text.split(",") if pair)


def _thresholds(text: str) -> dict[str, str]:
    return dict(pair.split("<", 1) for pair in text.split(",") if pair)


def _list(text: str) -> list[str]:
    return [item for item in text.split(",") if item]


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0", "t", "f"):
        raise argparse.ArgumentTypeError(f"invalid boolean value {text!r}")
    return text.lower() in ("true", "1", "t")


_TYPES: dict[str, Any] = {
    "node_ip": _list,
    "root_dir": Path,
    "pod_logs_dir": Path,
    "seccomp_profile_root": Path,
    "cluster_dns": _list,
    "port": int,
    "max_pods": int,
    "pod_max_pids": int,
    "register_node": _boolean,
    "node_labels": _pairs,
    "register_with_taints": _list,
    "system_reserved": _pairs,
    "kube_reserved": _pairs,
    "eviction_hard": _thresholds,
    "allowed_unsafe_sysctls": _list,
    "image_gc_high_threshold": int,
    "image_gc_low_threshold": int,
    "minimum_image_ttl_duration": clock.parse_duration,
    "container_log_max_files": int,
    "node_status_update_frequency": clock.parse_duration,
    "node_status_report_frequency": clock.parse_duration,
    "node_lease_duration_seconds": int,
}


def parser() -> argparse.ArgumentParser:
    """The command line: one flag for each field of Options."""
    result = argparse.ArgumentParser(prog="pynetes-kubelet", description="The node agent.", allow_abbrev=False)
    for entry in fields(Options):
        flag = "--" + entry.name.replace("_", "-")
        kind = _TYPES.get(entry.name, str)
        extra: dict[str, Any] = {"nargs": "?", "const": True} if kind is _boolean else {}
        result.add_argument(flag, dest=entry.name, type=kind, default=None, **extra)
    return result


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Options out of a command line."""
    given = {key: value for key, value in vars(parser().parse_args(arguments)).items() if value is not None}
    return Options(**given)
