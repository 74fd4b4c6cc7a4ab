"""The apiregistration.k8s.io group."""

from pynetes.apis.apiregistration.api_service import APIServiceStrategy
from pynetes.apis.strategy import Strategy

STRATEGIES: dict[str, type[Strategy]] = {"apiservices.apiregistration.k8s.io": APIServiceStrategy}
