"""The server's flags, under upstream's names."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from pynetes.machinery.clock import parse_duration


@dataclass
class Options:
    """What an API server is told at its start. Lists are repeatable flags, or comma-separated, or both."""

    secure_port: int = 6443
    bind_address: list[str] = field(default_factory=list)
    advertise_address: str = ""
    tls_cert_file: str = ""
    tls_private_key_file: str = ""
    client_ca_file: str = ""
    storage: str = "memory:"
    service_account_key_file: list[str] = field(default_factory=list)
    service_account_signing_key_file: str = ""
    service_account_issuer: list[str] = field(default_factory=list)
    api_audiences: list[str] = field(default_factory=list)
    service_account_lookup: bool = True
    token_auth_file: str = ""
    anonymous_auth: bool = True
    enable_bootstrap_token_auth: bool = True
    authorization_mode: list[str] = field(default_factory=list)
    enable_admission_plugins: list[str] = field(default_factory=list)
    disable_admission_plugins: list[str] = field(default_factory=list)
    service_cluster_ip_range: str = "10.96.0.0/16"
    service_node_port_range: str = "30000-32767"
    kubelet_client_certificate: str = ""
    kubelet_client_key: str = ""
    kubelet_certificate_authority: str = ""
    kubelet_preferred_address_types: list[str] = field(default_factory=list)
    oidc_issuer_url: str = ""
    oidc_client_id: str = ""
    oidc_username_claim: str = "sub"
    oidc_username_prefix: str = ""
    oidc_groups_claim: str = ""
    oidc_groups_prefix: str = ""
    oidc_required_claim: list[str] = field(default_factory=list)
    oidc_ca_file: str = ""
    authentication_config: str = ""
    requestheader_client_ca_file: str = ""
    requestheader_allowed_names: list[str] = field(default_factory=list)
    requestheader_username_headers: list[str] = field(default_factory=list)
    requestheader_uid_headers: list[str] = field(default_factory=list)
    requestheader_group_headers: list[str] = field(default_factory=list)
    requestheader_extra_headers_prefix: list[str] = field(default_factory=list)
    proxy_client_cert_file: str = ""
    proxy_client_key_file: str = ""
    max_requests_inflight: int = 400
    max_mutating_requests_inflight: int = 200
    request_timeout: float = 60.0
    shutdown_grace: float = 5.0
    event_ttl: float = 3600.0
    runtime_config: list[str] = field(default_factory=list)
    v: int = 0


HELP = {
    "secure_port": "port to serve HTTPS on",
    "bind_address": "address to listen on, with an optional port; repeatable (default: all)",
    "advertise_address": "address under which the nodes and pods reach this server",
    "storage": "where objects are kept: memory: or sqlite:///PATH",
    "client_ca_file": "authority of client certificates",
    "service_account_key_file": "public (or private) keys that service account tokens are verified with; repeatable",
    "service_account_signing_key_file": "private key that service account tokens are signed with",
    "service_account_issuer": "issuer of service account tokens; repeatable, the first signs",
    "authorization_mode": "Node, RBAC, AlwaysAllow, AlwaysDeny (default: Node,RBAC)",
    "enable_admission_plugins": "admission plugins to turn on beside the default ones",
    "disable_admission_plugins": "admission plugins to turn off",
    "service_cluster_ip_range": "addresses of services; two, comma-separated, for both families",
    "service_node_port_range": "ports of NodePort services",
    "max_requests_inflight": "how many reads are served at once (0: no limit)",
    "max_mutating_requests_inflight": "how many writes are served at once (0: no limit)",
    "request_timeout": "how long a request may take (watches and tunnels apart)",
    "shutdown_grace": "seconds that requests in progress get when the server stops",
    "event_ttl": "how long events are kept",
    "runtime_config": "API versions to switch on or off: GROUP/VERSION=false; api/legacy=false for all removed ones",
    "v": "log level",
}


def parse(arguments: Sequence[str] | None = None) -> Options:
    """The options given on a command line."""
    parser = argparse.ArgumentParser("pynetes-apiserver", description="The Kubernetes API server of pynetes.")
    for each in fields(Options):
        flag = "--" + each.name.replace("_", "-")
        text = HELP.get(each.name, "")
        if each.type in ("bool", bool):
            parser.add_argument(flag, type=_boolean, nargs="?", const=True, help=text)
        elif "list" in str(each.type):
            parser.add_argument(flag, action="append", help=text)
        else:
            parser.add_argument(flag, type=_KINDS[getattr(each.type, "__name__", str(each.type))], help=text)
    given = {name: value for name, value in vars(parser.parse_args(arguments)).items() if value is not None}
    for name, value in given.items():
        if isinstance(value, list):
            given[name] = [part for text in value for part in text.split(",") if part]
    return Options(**given)


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0"):
        raise argparse.ArgumentTypeError(f"{text!r} is not true or false")
    return text.lower() in ("true", "1")


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return parse_duration(text)


_KINDS: dict[str, Callable[[str], Any]] = {"int": int, "float": _seconds, "str": str}
