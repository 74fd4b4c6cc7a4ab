"""What a machine must have to run nodes, and how to get what is missing.

Each check is one entry of a table: what is needed, why, a test that looks and does not change anything, and the cure.
`up` runs it before it starts; `pynetes doctor` prints it.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pynetes.cluster.containerd import CAP_SYS_RESOURCE, has_capability


@dataclass(frozen=True)
class Check:
    """One thing to look for. `needed_for` is `nodes`, or what suffers without it when it is only a convenience."""

    what: str
    found: Callable[[], bool]
    cure: str
    needed_for: str = "nodes"


def _program(name: str) -> Callable[[], bool]:
    search = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin", "/usr/local/sbin"])
    return lambda: shutil.which(name, path=search) is not None


def _can_make_network_namespaces() -> bool:
    return Path("/proc/self/ns/net").exists() and has_capability(21)  # CAP_SYS_ADMIN


def _has_cgroups() -> bool:
    root = Path("/sys/fs/cgroup")
    return (root / "cgroup.controllers").exists() or (root / "memory").is_dir()


def _has_overlay() -> bool:
    return "overlay" in Path("/proc/filesystems").read_text() or Path("/lib/modules").is_dir()


CHECKS = (
    Check("root privileges", lambda: os.geteuid() == 0, "run as root, or use `pynetes up --control-plane-only`"),
    Check("permission to make network namespaces", _can_make_network_namespaces, "the process lacks CAP_SYS_ADMIN"),
    Check("cgroups", _has_cgroups, "mount cgroup v2: mount -t cgroup2 none /sys/fs/cgroup"),
    Check("the overlay file system", _has_overlay, "modprobe overlay"),
    Check("containerd", _program("containerd"), "apt-get install containerd"),
    Check("runc", _program("runc"), "apt-get install runc"),
    Check("CNI plugins", lambda: Path("/usr/lib/cni/bridge").exists(), "apt-get install containernetworking-plugins"),
    Check("nft", _program("nft"), "apt-get install nftables"),
    Check("ip", _program("ip"), "apt-get install iproute2"),
    Check("conntrack", _program("conntrack"), "apt-get install conntrack"),
    Check("catatonit (the pause container)", _program("catatonit"), "apt-get install catatonit"),
    Check("kubectl", _program("kubectl"), "apt-get install kubernetes-client", "using the cluster from this shell"),
    Check("buildah", _program("buildah"), "apt-get install buildah", "`pynetes image build`"),
    Check(
        "CAP_SYS_RESOURCE",
        lambda: has_capability(CAP_SYS_RESOURCE),
        "give it to this container; without it pods keep the daemon's oom_score_adj",
        "protecting pods by their quality of service when memory runs out",
    ),
)


def missing_for_nodes() -> list[Check]:
    """The checks that fail and without which no node can run."""
    return [check for check in CHECKS if check.needed_for == "nodes" and not check.found()]
