"""The managed `/etc/hosts` of a pod, with its own names and its `hostAliases`."""

from collections.abc import Iterable
from pathlib import Path

from pynetes.kubelet import dns
from pynetes.machinery.meta import Obj

_HEADER = "# Kubernetes-managed hosts file.\n"
_HEADER_HOST_NETWORK = "# Kubernetes-managed hosts file (host network).\n"
_FIXED = (
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::0\tip6-localnet",
    "fe00::0\tip6-mcastprefix",
    "fe00::1\tip6-allnodes",
    "fe00::2\tip6-allrouters",
)


def hosts_file(pod: Obj, ips: Iterable[str], cluster_domain: str, host_file: Path = Path("/etc/hosts")) -> str:
    """The file's text."""
    aliases = _aliases(pod["spec"].get("hostAliases") or [])
    if pod["spec"].get("hostNetwork"):
        try:
            return _HEADER_HOST_NETWORK + host_file.read_text() + aliases
        except OSError:
            return _HEADER_HOST_NETWORK + "\n".join(_FIXED) + "\n" + aliases
    override = pod["spec"].get("hostnameOverride")
    domain = dns.full_domain(pod, cluster_domain)
    short = override or dns.hostname(pod)
    names = f"{domain}\t{short}" if domain else short
    lines = [*_FIXED, *(f"{ip}\t{names}" for ip in ips)]
    return _HEADER + "\n".join(lines) + "\n" + aliases


def _aliases(aliases: list[Obj]) -> str:
    if not aliases:
        return ""
    lines = [f"{alias['ip']}\t" + "\t".join(alias.get("hostnames") or []) for alias in aliases]
    return "\n# Entries added by HostAliases.\n" + "\n".join(lines) + "\n"
