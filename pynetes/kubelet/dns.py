"""The name resolution of a pod: `dnsPolicy` and `dnsConfig` turned into the contents of its resolv.conf.

Pure but for reading the node's own resolv.conf, whose path is an option. Limits are upstream's: three servers, 32
search domains of at most 2048 characters together; what exceeds them is left out with a DNSConfigForming event.
"""

from dataclasses import dataclass, field
from pathlib import Path

from pynetes._generated import cri_pb2 as cri
from pynetes.machinery import meta
from pynetes.machinery.meta import Obj

MAX_SERVERS = 3
MAX_SEARCHES = 32
MAX_SEARCH_CHARS = 2048
CLUSTER_OPTIONS = ["ndots:5"]


@dataclass(slots=True)
class ResolvConf:
    """The parts of a resolv.conf, and what had to be left out."""

    servers: list[str] = field(default_factory=list)
    searches: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def message(self) -> "cri.DNSConfig":
        """As CRI's DNSConfig."""
        return cri.DNSConfig(servers=self.servers, searches=self.searches, options=self.options)


def parse(text: str) -> ResolvConf:
    """The parts of a resolv.conf; the last `search` and `options` line of each kind wins, as in libc."""
    conf = ResolvConf()
    for line in text.splitlines():
        words = line.split()
        if not words or words[0][0] in "#;":
            continue
        if words[0] == "nameserver" and len(words) > 1:
            conf.servers.append(words[1])
        elif words[0] == "search":
            conf.searches = [word.rstrip(".") if word != "." else word for word in words[1:]]
        elif words[0] == "options":
            conf.options = _merge_options(conf.options, words[1:])
    return conf


def pod_dns(pod: Obj, cluster_dns: list[str], cluster_domain: str, host_file: Path | None) -> ResolvConf:
    """What the pod's resolv.conf is to hold."""
    policy = pod["spec"].get("dnsPolicy") or "ClusterFirst"
    if policy == "ClusterFirst" and pod["spec"].get("hostNetwork"):
        policy = "Default"
    host = _host(host_file)
    conf = ResolvConf()
    if policy in ("ClusterFirst", "ClusterFirstWithHostNet") and cluster_dns:
        space = meta.namespace(pod)
        searches = [f"{space}.svc.{cluster_domain}", f"svc.{cluster_domain}", cluster_domain] if cluster_domain else []
        conf = ResolvConf([*cluster_dns], _unique([*searches, *host.searches]), [*CLUSTER_OPTIONS])
    elif policy != "None":
        conf = ResolvConf(host.servers or ["127.0.0.1"], host.searches, host.options)
    extra = pod["spec"].get("dnsConfig") or {}
    conf.servers = _unique([*conf.servers, *(extra.get("nameservers") or [])])
    conf.searches = _unique([*conf.searches, *(extra.get("searches") or [])])
    written = [f"{o['name']}:{o['value']}" if o.get("value") else o["name"] for o in extra.get("options") or []]
    conf.options = _merge_options(conf.options, written)
    return _within_limits(conf, pod)


def _host(path: Path | None) -> ResolvConf:
    if path is None:
        return ResolvConf()
    try:
        return parse(path.read_text(errors="replace"))
    except OSError:
        return ResolvConf()


def _unique(items: list[str]) -> list[str]:
    return list(dict.fromkeys(items))


def _merge_options(old: list[str], new: list[str]) -> list[str]:
    """Later options replace earlier ones of the same name."""
    merged: dict[str, str] = {}
    for option in [*old, *new]:
        merged[option.partition(":")[0]] = option
    return list(merged.values())


def _within_limits(conf: ResolvConf, pod: Obj) -> ResolvConf:
    if len(conf.servers) > MAX_SERVERS:
        conf.servers = conf.servers[:MAX_SERVERS]
        conf.warnings.append(
            "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: "
            + " ".join(conf.servers)
        )
    kept = conf.searches[:MAX_SEARCHES]
    while len(" ".join(kept)) > MAX_SEARCH_CHARS:
        kept.pop()
    if kept != conf.searches:
        conf.searches = kept
        conf.warnings.append(
            "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: "
            + " ".join(kept)
        )
    return conf


def hostname(pod: Obj) -> str:
    """The pod's own short name: `spec.hostname`, else its name; a label of at most 63 characters."""
    name = pod["spec"].get("hostname") or meta.name(pod)
    return name if len(name) <= 63 else name[:63].rstrip("-.")


def full_domain(pod: Obj, cluster_domain: str) -> str:
    """`hostname.subdomain.namespace.svc.domain` for pods with a subdomain, else empty."""
    if pod["spec"].get("hostnameOverride"):
        return ""
    subdomain = pod["spec"].get("subdomain")
    if not subdomain:
        return ""
    return f"{hostname(pod)}.{subdomain}.{meta.namespace(pod)}.svc.{cluster_domain}"


def kernel_hostname(pod: Obj, cluster_domain: str) -> str:
    """What `hostname` prints inside the pod (`setHostnameAsFQDN`, KEP-1797; `hostnameOverride`, KEP-4762)."""
    if pod["spec"].get("hostnameOverride"):
        return pod["spec"]["hostnameOverride"]
    domain = full_domain(pod, cluster_domain)
    if pod["spec"].get("setHostnameAsFQDN") and domain:
        if len(domain) > 64:
            raise ValueError(
                f"failed to construct FQDN from pod hostname and cluster domain, FQDN {domain} is too long "
                f"(64 characters is the max, {len(domain)} characters requested)"
            )
        return domain
    return hostname(pod)
