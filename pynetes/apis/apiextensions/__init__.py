"""The apiextensions group: definitions of custom resources."""

from pynetes.apis.apiextensions.custom_resource_definition import CustomResourceDefinitionStrategy
from pynetes.apis.strategy import Strategy

STRATEGIES: dict[str, type[Strategy]] = {
    "customresourcedefinitions.apiextensions.k8s.io": CustomResourceDefinitionStrategy,
}
