"""The sandbox's configuration for the runtime: names, addresses, name resolution, namespaces, cgroup."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pynetes._generated import cri_pb2 as cri
from pynetes.kubelet import dns, observed, security, spec
from pynetes.machinery import meta
from pynetes.machinery.meta import Obj

_PROTOCOLS = {"TCP": cri.TCP, "UDP": cri.UDP, "SCTP": cri.SCTP}


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """What the node contributes to every sandbox."""

    log_root: Path
    seccomp_root: Path
    cluster_domain: str


def log_directory(pod: Obj, root: Path) -> Path:
    """Where the logs of the pod's containers go."""
    return root / f"{meta.namespace(pod)}_{meta.name(pod)}_{meta.uid(pod)}"


def pod_labels(pod: Obj) -> dict[str, str]:
    """The labels by which the pod's sandboxes and containers are found again."""
    return {
        observed.POD_NAME: meta.name(pod),
        observed.POD_NAMESPACE: meta.namespace(pod),
        observed.POD_UID: meta.uid(pod),
    }


def sandbox_config(pod: Obj, attempt: int, conf: dns.ResolvConf, cgroup: str, settings: SandboxSettings) -> Any:
    """CRI's PodSandboxConfig; raises ValueError if the host name cannot be."""
    host_network = spec.host_network(pod)
    return cri.PodSandboxConfig(
        metadata=cri.PodSandboxMetadata(
            name=meta.name(pod), uid=meta.uid(pod), namespace=meta.namespace(pod), attempt=attempt
        ),
        hostname="" if host_network else dns.kernel_hostname(pod, settings.cluster_domain),
        log_directory=str(log_directory(pod, settings.log_root)),
        dns_config=conf.message(),
        port_mappings=[] if host_network else port_mappings(pod),
        labels={**meta.labels(pod), **pod_labels(pod)},
        annotations=meta.annotations(pod),
        linux=cri.LinuxPodSandboxConfig(
            cgroup_parent=cgroup,
            security_context=security.sandbox_context(pod, settings.seccomp_root),
            sysctls=sysctls(pod),
        ),
    )


def port_mappings(pod: Obj) -> list[Any]:
    """The host ports that the pod's containers ask for."""
    return [
        cri.PortMapping(
            protocol=_PROTOCOLS[port.get("protocol") or "TCP"],
            container_port=port["containerPort"],
            host_port=port["hostPort"],
            host_ip=port.get("hostIP", ""),
        )
        for container in spec.all_containers(pod)
        for port in container.get("ports") or []
        if port.get("hostPort")
    ]


def sysctls(pod: Obj) -> dict[str, str]:
    """The sysctls of the pod, dots or slashes as they were written turned into dots."""
    entries = (pod["spec"].get("securityContext") or {}).get("sysctls") or []
    return {normal_sysctl(entry["name"]): entry["value"] for entry in entries}


def normal_sysctl(name: str) -> str:
    """A sysctl may be written with slashes; the first separator decides which is meant."""
    first = next((char for char in name if char in "./"), ".")
    return name if first == "." else name.translate(str.maketrans("./", "/."))
