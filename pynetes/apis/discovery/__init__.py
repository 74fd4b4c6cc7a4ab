"""The discovery group."""

from pynetes.apis.discovery.endpoint_slice import EndpointSliceStrategy
from pynetes.apis.strategy import Strategy

STRATEGIES: dict[str, type[Strategy]] = {"endpointslices.discovery.k8s.io": EndpointSliceStrategy}
