"""The network agent's settings."""

import argparse
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

_MODES = {
    "node": "the node is a network namespace of its own; whoever made it masquerades what leaves the machine",
    "host": "the node is the machine: pods' traffic to the world is masqueraded here",
}


@dataclass(slots=True)
class Options:
    """See `--help`."""

    kubeconfig: str | None = None
    hostname_override: str = ""
    node_ip: str = ""
    cluster_cidr: str = ""
    service_cluster_ip_range: str = ""
    load_balancer_range: str = ""
    cluster_dns: str = ""
    cluster_domain: str = "cluster.local"
    upstream_dns: list[str] = field(default_factory=list)
    cni_conf_dir: str = "/etc/cni/net.d"
    cni_state_dir: str = "/var/lib/cni/pynetes"
    healthz_port: int = 10256
    status_port: int = 10249
    ingress_dir: str = ""
    mode: str = "node"
    verbosity: int = 0

    @property
    def node_name(self) -> str:
        """The node this agent works for."""
        return self.hostname_override or socket.gethostname().lower()


_FLAGS: tuple[tuple[str, str], ...] = (
    ("kubeconfig", "the kubeconfig that names the API server"),
    ("hostname-override", "the node's name, if it is not the host's"),
    ("node-ip", "the node's address; from the Node object if not given"),
    ("cluster-cidr", "the range of all pods: traffic to services from elsewhere is masqueraded"),
    ("service-cluster-ip-range", "the range of cluster IPs: unallocated ones lead nowhere"),
    ("load-balancer-range", "where addresses for services of type LoadBalancer are taken from"),
    ("cluster-dns", "the address of cluster DNS, answered on every node; none if empty"),
    ("cluster-domain", "the domain of the cluster"),
    ("cni-conf-dir", "where the CNI configuration is written"),
    ("cni-state-dir", "where CNI keeps the addresses it gave away"),
    ("healthz-port", "where the agent says that it is well (/healthz, /livez); 0 for nowhere"),
    ("status-port", "where the agent says on loopback how it proxies (/proxyMode); 0 for nowhere"),
    ("ingress-dir", "where the ingress controller keeps nginx's configuration; no ingress controller if empty"),
)


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Options from the command line."""
    defaults = Options()
    parser = argparse.ArgumentParser(
        prog="python -m pynetes.network",
        description="Run the network agent of one node: pod network, services, policy, DNS, load balancer addresses.",
    )
    for flag, text in _FLAGS:
        default = getattr(defaults, flag.replace("-", "_"))
        parser.add_argument(f"--{flag}", type=type(default) if default is not None else str, default=default, help=text)
    parser.add_argument(
        "--upstream-dns",
        action="append",
        default=None,
        metavar="ADDRESS[:PORT]",
        help="a DNS server for names outside the cluster, repeatable; 'none' for none; default: /etc/resolv.conf's",
    )
    parser.add_argument(
        "--mode", choices=tuple(_MODES), default="node", help="; ".join(f"{k}: {v}" for k, v in _MODES.items())
    )
    parser.add_argument("-v", "--v", dest="verbosity", type=int, default=0, help="log level")
    values = vars(parser.parse_args(arguments))
    return Options(**(values | {"upstream_dns": values["upstream_dns"] or []}))
