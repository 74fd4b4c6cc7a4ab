"""The controller manager's settings, with upstream's flag names."""

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pynetes.machinery import clock


@dataclass(slots=True)
class Options:
    """See `--help`."""

    kubeconfig: str | None = None
    controllers: list[str] = field(default_factory=lambda: ["*"])
    use_service_account_credentials: bool = False
    leader_elect: bool = True
    leader_elect_lease_duration: float = 15.0
    leader_elect_renew_deadline: float = 10.0
    leader_elect_retry_period: float = 2.0
    leader_elect_resource_name: str = "kube-controller-manager"
    leader_elect_resource_namespace: str = "kube-system"
    allocate_node_cidrs: bool = True
    cluster_cidr: list[str] = field(default_factory=list)
    service_cluster_ip_range: str = ""
    node_cidr_mask_size: int = 24
    node_cidr_mask_size_ipv6: int = 64
    service_account_private_key_file: str = ""
    root_ca_file: str = ""
    cluster_signing_cert_file: str = ""
    cluster_signing_key_file: str = ""
    cluster_signing_duration: float = 365 * 24 * 3600.0
    node_monitor_period: float = 5.0
    node_monitor_grace_period: float = 50.0
    node_startup_grace_period: float = 60.0
    node_eviction_rate: float = 0.1
    secondary_node_eviction_rate: float = 0.01
    unhealthy_zone_threshold: float = 0.55
    large_cluster_size_threshold: int = 50
    terminated_pod_gc_threshold: int = 12500
    max_endpoints_per_slice: int = 100
    mirroring_max_endpoints_per_subset: int = 1000
    horizontal_pod_autoscaler_sync_period: float = 15.0
    horizontal_pod_autoscaler_tolerance: float = 0.1
    horizontal_pod_autoscaler_downscale_stabilization: float = 300.0
    horizontal_pod_autoscaler_initial_readiness_delay: float = 30.0
    horizontal_pod_autoscaler_cpu_initialization_period: float = 300.0
    resource_quota_sync_period: float = 300.0
    local_volumes_dir: str = ""
    feature_gates: list[str] = field(default_factory=list)
    verbosity: int = 0

    def gate(self, name: str, default: bool) -> bool:
        """Whether a feature is on: `--feature-gates Name=true,Other=false`."""
        return dict(map(_gate, self.feature_gates)).get(name, default)

    def enabled(self, name: str, by_default: bool = True) -> bool:
        """Whether `--controllers` chooses the controller: `-name` excludes, `name` or (by default) `*` includes."""
        chosen = {_by_full_name(text) for text in self.controllers}
        return f"-{name}" not in chosen and (name in chosen or (by_default and "*" in chosen))

    def unknown(self, names: Iterable[str]) -> list[str]:
        """What `--controllers` names that none of `names` is."""
        known = {"*", *names, *ELSEWHERE}
        return [text for text in self.controllers if _by_full_name(text).removeprefix("-") not in known]


# The names before v1.27, which upstream still takes.
OLD_NAMES = {
    "bootstrapsigner": "bootstrap-signer-controller",
    "clusterrole-aggregation": "clusterrole-aggregation-controller",
    "cronjob": "cronjob-controller",
    "csrapproving": "certificatesigningrequest-approving-controller",
    "csrcleaner": "certificatesigningrequest-cleaner-controller",
    "csrsigning": "certificatesigningrequest-signing-controller",
    "daemonset": "daemonset-controller",
    "deployment": "deployment-controller",
    "disruption": "disruption-controller",
    "endpoint": "endpoints-controller",
    "endpointslice": "endpointslice-controller",
    "endpointslicemirroring": "endpointslice-mirroring-controller",
    "ephemeral-volume": "ephemeral-volume-controller",
    "garbagecollector": "garbage-collector-controller",
    "horizontalpodautoscaling": "horizontal-pod-autoscaler-controller",
    "job": "job-controller",
    "namespace": "namespace-controller",
    "nodeipam": "node-ipam-controller",
    "nodelifecycle": "node-lifecycle-controller",
    "attachdetach": "persistentvolume-attach-detach-controller",
    "persistentvolume-binder": "persistentvolume-binder-controller",
    "persistentvolume-expander": "persistentvolume-expander-controller",
    "podgc": "pod-garbage-collector-controller",
    "pv-protection": "persistentvolume-protection-controller",
    "pvc-protection": "persistentvolumeclaim-protection-controller",
    "replicaset": "replicaset-controller",
    "replicationcontroller": "replicationcontroller-controller",
    "resourcequota": "resourcequota-controller",
    "root-ca-cert-publisher": "root-ca-certificate-publisher-controller",
    "route": "node-route-controller",
    "service": "service-lb-controller",
    "serviceaccount": "serviceaccount-controller",
    "serviceaccount-token": "serviceaccount-token-controller",
    "statefulset": "statefulset-controller",
    "tokencleaner": "token-cleaner-controller",
    "ttl": "ttl-controller",
    "ttl-after-finished": "ttl-after-finished-controller",
}

# Upstream's controllers whose work is done elsewhere here, or not at all: to name them is no mistake.
ELSEWHERE = frozenset(
    (
        "node-route-controller",
        "service-lb-controller",
        "persistentvolume-attach-detach-controller",
    )
)


def _by_full_name(text: str) -> str:
    """An entry of `--controllers` with the controller's name as it is today."""
    sign, name = ("-", text[1:]) if text.startswith("-") else ("", text)
    return sign + OLD_NAMES.get(name, name)


def _gate(text: str) -> tuple[str, bool]:
    name, _, value = text.partition("=")
    return name, _boolean(value)


def _boolean(text: str) -> bool:
    if text.lower() in ("true", "t", "1"):
        return True
    if text.lower() in ("false", "f", "0"):
        return False
    raise argparse.ArgumentTypeError(f"invalid boolean {text!r}")


def _duration(text: str) -> float:
    try:
        return clock.parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


_FLAGS: tuple[tuple[str, str], ...] = (
    ("kubeconfig", "the kubeconfig that names the API server"),
    ("controllers", "controllers to run: '*' all, 'name' that one, '-name' not that one"),
    ("use-service-account-credentials", "act as each controller's own service account in kube-system"),
    ("leader-elect", "work only while holding the Lease"),
    ("leader-elect-lease-duration", "how long an unrenewed Lease is respected by others"),
    ("leader-elect-renew-deadline", "stop leading after failing to renew for so long"),
    ("leader-elect-retry-period", "how often the Lease is tried or renewed"),
    ("leader-elect-resource-name", "the Lease's name"),
    ("leader-elect-resource-namespace", "the Lease's namespace"),
    ("allocate-node-cidrs", "give each node a pod range out of --cluster-cidr"),
    ("cluster-cidr", "the pods' range (two, comma-separated, for dual stack)"),
    ("service-cluster-ip-range", "the services' range, never given to nodes"),
    ("node-cidr-mask-size", "the size of a node's pod range"),
    ("node-cidr-mask-size-ipv6", "the size of a node's IPv6 pod range"),
    ("service-account-private-key-file", "signs legacy service account token Secrets"),
    ("root-ca-file", "published to every namespace as ConfigMap kube-root-ca.crt"),
    ("cluster-signing-cert-file", "the CA certificate that certificate requests are signed with"),
    ("cluster-signing-key-file", "that CA's key"),
    ("cluster-signing-duration", "the longest life of a signed certificate"),
    ("node-monitor-period", "how often node health is looked at while one is in doubt"),
    ("node-monitor-grace-period", "silence after which a node's condition becomes Unknown"),
    ("node-startup-grace-period", "the same for a node that never reported"),
    ("node-eviction-rate", "nodes per second that may be evicted in a healthy zone"),
    ("secondary-node-eviction-rate", "the same in an unhealthy zone of a large cluster"),
    ("unhealthy-zone-threshold", "the share of silent nodes that makes a zone unhealthy"),
    ("large-cluster-size-threshold", "nodes that make a zone large"),
    ("terminated-pod-gc-threshold", "ended pods that may exist before the oldest are deleted"),
    ("max-endpoints-per-slice", "endpoints in one EndpointSlice"),
    ("mirroring-max-endpoints-per-subset", "addresses of one subset of Endpoints that are mirrored"),
    ("horizontal-pod-autoscaler-sync-period", "how often autoscalers look at metrics"),
    ("horizontal-pod-autoscaler-tolerance", "change of ratio that is ignored"),
    ("horizontal-pod-autoscaler-downscale-stabilization", "how long the highest recommendation holds"),
    ("horizontal-pod-autoscaler-initial-readiness-delay", "grace for a pod's first readiness"),
    ("horizontal-pod-autoscaler-cpu-initialization-period", "time in which a starting pod's CPU is not believed"),
    ("feature-gates", "Name=true or Name=false, comma-separated; known: LegacyServiceAccountTokenNoAutoGeneration"),
    ("resource-quota-sync-period", "how often all quota usage is recounted"),
    ("local-volumes-dir", "serve claims of the StorageClass 'standard' from directories under this one"),
)


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Options from the command line."""
    defaults = Options()
    parser = argparse.ArgumentParser(
        prog="python -m pynetes.controllers", description="Run the controllers against an API server."
    )
    for flag, text in _FLAGS:
        default = getattr(defaults, flag.replace("-", "_"))
        if isinstance(default, bool):
            parser.add_argument(f"--{flag}", type=_boolean, nargs="?", const=True, default=default, help=text)
        elif isinstance(default, float):
            is_duration = flag.endswith(("duration", "deadline", "period", "stabilization", "delay"))
            parser.add_argument(f"--{flag}", type=_duration if is_duration else float, default=default, help=text)
        elif isinstance(default, int):
            parser.add_argument(f"--{flag}", type=int, default=default, help=text)
        elif isinstance(default, list):
            parser.add_argument(f"--{flag}", type=_words, default=default, help=text)
        else:
            parser.add_argument(f"--{flag}", default=default, help=text)
    parser.add_argument("-v", "--v", dest="verbosity", type=int, default=0, help="log level")
    return Options(**vars(parser.parse_args(arguments)))
