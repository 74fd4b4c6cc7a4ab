"""The networking group."""

from pynetes.apis.networking.addresses import IPAddressStrategy, ServiceCIDRStrategy
from pynetes.apis.networking.ingress import IngressClassStrategy, IngressStrategy
from pynetes.apis.networking.network_policy import NetworkPolicyStrategy
from pynetes.apis.strategy import Strategy

STRATEGIES: dict[str, type[Strategy]] = {
    "ingressclasses.networking.k8s.io": IngressClassStrategy,
    "ingresses.networking.k8s.io": IngressStrategy,
    "ipaddresses.networking.k8s.io": IPAddressStrategy,
    "networkpolicies.networking.k8s.io": NetworkPolicyStrategy,
    "servicecidrs.networking.k8s.io": ServiceCIDRStrategy,
}
