"""The processes of a cluster, as data: what runs, with which arguments, in which network namespace.

The supervisor reads this table; nothing else knows how a component is started. Arguments are upstream's flags, so a
unit's line is also how that component is run alone: `python -m pynetes.kubelet …`.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

from pynetes.cluster import containerd
from pynetes.cluster.config import Cluster

SANDBOX_IMAGE = "pynetes.local/pause:1"


@dataclass(frozen=True)
class Unit:
    """One supervised process: either a pynetes module forked from the supervisor, or a program."""

    name: str
    module: str = ""
    command: list[str] = field(default_factory=list)
    arguments: list[str] = field(default_factory=list)
    netns: str = ""
    node: str = ""


def flags(**values: str | int | Path | list[str] | None) -> list[str]:
    """`--long-name=value` for each keyword that has a value; a list repeats the flag."""
    out: list[str] = []
    for keyword, value in values.items():
        given = value if isinstance(value, list) else [value]
        out += [f"--{keyword.replace('_', '-')}={item}" for item in given if item is not None]
    return out


def apiserver(cluster: Cluster) -> Unit:
    """The API server. With nodes it also listens on the bridge, where they find it."""
    pki = cluster.path("pki")
    ranges = cluster.network
    binds = [f"127.0.0.1:{cluster.api_port}"]
    if cluster.role == "server":
        binds.append(f"{cluster.server_address}:{cluster.api_port}")
    elif cluster.nodes:
        binds.append(f"{ranges.host_address}:6443")
    return Unit(
        "apiserver",
        "pynetes.apiserver",
        arguments=flags(
            bind_address=binds,
            secure_port=cluster.api_port,
            advertise_address=cluster.advertised,
            tls_cert_file=pki / "apiserver.crt",
            tls_private_key_file=pki / "apiserver.key",
            client_ca_file=pki / "ca.crt",
            service_account_key_file=pki / "sa.pub",
            service_account_signing_key_file=pki / "sa.key",
            service_account_issuer=f"https://kubernetes.default.svc.{cluster.domain}",
            service_cluster_ip_range=ranges.services,
            storage=f"sqlite:///{cluster.path('store.db')}",
            kubelet_client_certificate=pki / "apiserver-kubelet-client.crt",
            kubelet_client_key=pki / "apiserver-kubelet-client.key",
            kubelet_certificate_authority=pki / "ca.crt",
            requestheader_client_ca_file=pki / "front-proxy-ca.crt",
            requestheader_allowed_names="front-proxy-client",
            proxy_client_cert_file=pki / "front-proxy-client.crt",
            proxy_client_key_file=pki / "front-proxy-client.key",
        ),
    )


def controller_manager(cluster: Cluster) -> Unit:
    """The controllers."""
    pki = cluster.path("pki")
    return Unit(
        "controller-manager",
        "pynetes.controllers",
        arguments=flags(
            kubeconfig=cluster.kubeconfig("controller-manager"),
            cluster_cidr=cluster.network.pods,
            service_account_private_key_file=pki / "sa.key",
            root_ca_file=pki / "ca.crt",
            cluster_signing_cert_file=pki / "ca.crt",
            cluster_signing_key_file=pki / "ca.key",
            feature_gates=",".join(cluster.feature_gates) or None,
            local_volumes_dir=cluster.path("volumes"),
            # Each controller acts as its own service account, which has the rights that it needs and no more.
            use_service_account_credentials="true",
            # One process, restarted by the supervisor: a Lease would only delay its return.
            leader_elect="false",
        ),
    )


def scheduler(cluster: Cluster) -> Unit:
    """The scheduler."""
    return Unit(
        "scheduler",
        "pynetes.scheduler",
        arguments=flags(kubeconfig=cluster.kubeconfig("scheduler"), leader_elect="false"),
    )


def runtime(cluster: Cluster, node: str) -> containerd.Containerd:
    """The containerd of one node."""
    return containerd.Containerd(
        root_dir=cluster.node_path(node, "containerd"),
        socket=cluster.containerd_socket(node),
        sandbox_image=SANDBOX_IMAGE,
        cni_conf_dir=cluster.node_path(node, "cni", "conf.d"),
    )


def kubelet(cluster: Cluster, node: str) -> Unit:
    """A node's kubelet."""
    pki = cluster.path("pki")
    return Unit(
        f"kubelet-{node}",
        "pynetes.kubelet",
        netns=cluster.namespace(node),
        node=node,
        arguments=flags(
            kubeconfig=cluster.kubeconfig(f"kubelet-{node}"),
            hostname_override=node,
            node_ip=cluster.node_address(node),
            root_dir=cluster.node_path(node, "kubelet"),
            container_runtime_endpoint=f"unix://{cluster.containerd_socket(node)}",
            pod_logs_dir=cluster.node_path(node, "pod-logs"),
            pod_manifest_path=cluster.node_path(node, "manifests"),
            cgroup_root=f"/pynetes/{cluster.name}/{node}",
            cluster_dns=cluster.network.dns,
            cluster_domain=cluster.domain,
            tls_cert_file=pki / f"kubelet-server-{node}.crt",
            tls_private_key_file=pki / f"kubelet-server-{node}.key",
            client_ca_file=pki / "ca.crt",
            pod_infra_container_image=SANDBOX_IMAGE,
            # The disk is the host's: that it is rather full is no reason to drop loaded images or to evict pods.
            image_gc_high_threshold=100,
            eviction_hard="memory.available<100Mi,nodefs.available<1%,nodefs.inodesFree<1%",
        ),
    )


def network(cluster: Cluster, node: str) -> Unit:
    """A node's network agent: pod network, services, DNS."""
    ranges = cluster.network
    return Unit(
        f"network-{node}",
        "pynetes.network",
        netns=cluster.namespace(node),
        node=node,
        arguments=flags(
            kubeconfig=cluster.kubeconfig(f"network-{node}"),
            hostname_override=node,
            node_ip=cluster.node_address(node),
            cluster_cidr=ranges.pods,
            service_cluster_ip_range=ranges.services,
            load_balancer_range=ranges.load_balancers,
            cluster_dns=ranges.dns,
            cluster_domain=cluster.domain,
            upstream_dns=cluster.upstream_dns or None,
            cni_conf_dir=cluster.node_path(node, "cni", "conf.d"),
            cni_state_dir=cluster.node_path(node, "cni", "state"),
            ingress_dir=cluster.node_path(node, "ingress"),
            mode="host" if cluster.role == "agent" else "node",
        ),
    )


def all_units(cluster: Cluster) -> list[Unit]:
    """Every process of `cluster` on this machine, in the order in which to start them."""
    units = [] if cluster.role == "agent" else [apiserver(cluster)]
    for node in cluster.nodes:
        program = runtime(cluster, node).command()
        units.append(Unit(f"containerd-{node}", command=program, node=node, netns=cluster.namespace(node)))
    if cluster.role != "agent":
        units += [controller_manager(cluster), scheduler(cluster)]
    for node in cluster.nodes:
        units += [network(cluster, node), kubelet(cluster, node)]
    return [_with_extra_config(cluster, unit) for unit in units]


COMPONENTS = ("apiserver", "controller-manager", "scheduler", "kubelet", "network")


def _with_extra_config(cluster: Cluster, unit: Unit) -> Unit:
    """The unit with what the user gave its component: `kubelet.max-pods=30` is `--max-pods=30`, as the last word."""
    component = unit.name.removesuffix(f"-{unit.node}") if unit.node else unit.name
    mine = [
        f"--{flag}" for name, _, flag in (given.partition(".") for given in cluster.extra_config) if name == component
    ]
    return replace(unit, arguments=[*unit.arguments, *mine]) if mine else unit
