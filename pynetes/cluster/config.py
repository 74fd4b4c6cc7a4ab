"""What a cluster on this machine is: its name, its addresses, its nodes, and where its files lie.

A `Cluster` is plain data, stored as `cluster.json` in the cluster's state directory and never changed by a running
component. Everything else (file names, address ranges) is derived from it here and nowhere else. Several clusters
live side by side because each has an index from which all its address ranges follow.
"""

import ipaddress
import json
import os
import re
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from pynetes.cluster.netns import ClusterNetwork

DEFAULT_NAME = "default"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?")


class ClusterError(Exception):
    """Something the user can understand and mend; the command line prints its text and exits with 1."""


class UnreadableCluster(ClusterError):
    """There is a cluster, but its `cluster.json` cannot be read."""


def state_root() -> Path:
    """The directory that holds every cluster of this user: `/var/lib/pynetes` for root, in the home otherwise."""
    if chosen := os.environ.get("PYNETES_STATE_DIR"):
        return Path(chosen)
    if os.geteuid() == 0:
        return Path("/var/lib/pynetes")
    data_home = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(data_home) / "pynetes"


Role = Literal["machine", "server", "agent"]


@dataclass(frozen=True)
class Cluster:
    """One cluster (or a machine's part of one): what `cluster.json` says, and every path and name that follows.

    `role` says which part: `machine` is all of it, with nodes in network namespaces (`pynetes up`); `server` is the
    control plane for real machines, listening on `server_address`; `agent` is this machine as the node `node_name` of
    the server at `server_address`.
    """

    name: str
    index: int = 0
    node_count: int = 1
    api_port: int = 6443
    domain: str = "cluster.local"
    upstream_dns: list[str] = field(default_factory=list)
    feature_gates: list[str] = field(default_factory=list)
    extra_config: list[str] = field(default_factory=list)
    role: Role = "machine"
    server_address: str = ""
    node_name: str = ""
    node_ip: str = ""

    @property
    def network(self) -> ClusterNetwork:
        """Its address ranges and the names of its links."""
        return ClusterNetwork(self.name, self.index)

    @property
    def kubernetes_service(self) -> str:
        """The cluster IP of the service `kubernetes`: the first of the range."""
        return str(ipaddress.ip_network(self.network.services)[1])

    @property
    def directory(self) -> Path:
        """Its state directory."""
        return state_root() / self.name

    @property
    def nodes(self) -> list[str]:
        """Node names in order; empty for a control plane alone."""
        if self.role != "machine":
            return [self.node_name] if self.role == "agent" else []
        return [f"node-{number}" for number in range(1, self.node_count + 1)]

    @property
    def context(self) -> str:
        """The name of its context, cluster and user in the user's kubeconfig."""
        return f"pynetes-{self.name}"

    @property
    def option(self) -> str:
        """What a command needs to mean this cluster: nothing for the default one."""
        return "" if self.name == DEFAULT_NAME else f" --name {self.name}"

    @property
    def how_to_start(self) -> str:
        """What starts it when it is stopped, as a message says it."""
        if self.role == "machine":
            return f"`pynetes up{self.option}` starts it"
        option = "" if self.role == "agent" and self.name == "agent" else self.option
        return f"`pynetes {self.role}{option}` runs it"

    @property
    def server(self) -> str:
        """Where this machine finds the API server."""
        return self.node_server if self.role == "agent" else f"https://127.0.0.1:{self.api_port}"

    @property
    def node_server(self) -> str:
        """Where nodes and pods find the API server."""
        if self.role == "machine":
            return f"https://{self.network.host_address}:6443"
        return f"https://{self.server_address}:{self.api_port}"

    @property
    def advertised(self) -> str:
        """The API server's address as the service `kubernetes` has it."""
        if self.role == "machine":
            return self.network.host_address if self.nodes else "127.0.0.1"
        return self.server_address

    def path(self, *parts: str) -> Path:
        """A path below its state directory."""
        return self.directory.joinpath(*parts)

    def kubeconfig(self, who: str) -> Path:
        """The kubeconfig of one identity: `admin`, `controller-manager`, `kubelet-node-1`, …"""
        return self.path("kubeconfig", f"{who}.conf")

    def log(self, component: str) -> Path:
        """The log file of one component."""
        return self.path("logs", f"{component}.log")

    def node_path(self, node: str, *parts: str) -> Path:
        """A path that belongs to one node alone."""
        return self.path("nodes", node, *parts)

    def containerd_socket(self, node: str) -> Path:
        """The socket of a node's containerd. Kept short: a socket's path has at most 107 characters."""
        return self.node_path(node, "containerd.sock")

    def node_address(self, node: str) -> str:
        """A node's address."""
        return self.node_ip if self.role == "agent" else self.network.node_address(self.nodes.index(node) + 1)

    def namespace(self, node: str) -> str:
        """The network namespace a node lives in; empty for the host's."""
        return "" if self.role == "agent" else self.network.namespace(node)

    def save(self) -> None:
        """Write `cluster.json`, whole or not at all."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        target = self.path("cluster.json")
        draft = target.with_suffix(".new")
        draft.write_text(json.dumps(asdict(self), indent=2) + "\n")
        draft.replace(target)

    def remove_files(self) -> None:
        """Remove the state directory; nothing may be running or mounted below it any more."""
        shutil.rmtree(self.directory, ignore_errors=False)


def check_name(name: str) -> str:
    """A cluster name is part of file, interface and context names, so it is a short DNS label."""
    if not _NAME.fullmatch(name):
        raise ClusterError(
            f"invalid cluster name {name!r}: use at most 32 lower-case letters, digits and '-', "
            "starting and ending with a letter or digit"
        )
    return name


def load(name: str) -> Cluster | None:
    """The cluster called `name`, or None if there is none."""
    file = state_root() / check_name(name) / "cluster.json"
    try:
        return Cluster(**json.loads(file.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise UnreadableCluster(
            f"{file} cannot be read ({error}); `pynetes delete --name {name}` removes the cluster"
        ) from error


def require(name: str) -> Cluster:
    """The cluster called `name`; raises ClusterError if there is none."""
    cluster = load(name)
    if cluster is None:
        others = ", ".join(c.name for c in list_all())
        hint = f"there are: {others}" if others else "`pynetes up` starts one"
        raise ClusterError(f"no cluster named {name!r}; {hint}")
    return cluster


def for_removal(name: str) -> Cluster:
    """The cluster called `name`, as far as removing it needs: what is left of it is found by its name alone."""
    try:
        return require(name)
    except UnreadableCluster:
        return Cluster(name)


def names() -> list[str]:
    """The names of this user's clusters, in order."""
    root = state_root()
    return sorted(file.parent.name for file in root.glob("*/cluster.json")) if root.is_dir() else []


def list_all() -> list[Cluster]:
    """Every cluster of this user, by name."""
    return [cluster for name in names() if (cluster := load(name)) is not None]
