"""The flowcontrol.apiserver.k8s.io group: which requests wait for which."""

from pynetes.apis.flowcontrol.flow_schema import FlowSchemaStrategy
from pynetes.apis.flowcontrol.priority_level import PriorityLevelConfigurationStrategy
from pynetes.apis.strategy import Strategy

STRATEGIES: dict[str, type[Strategy]] = {
    "flowschemas.flowcontrol.apiserver.k8s.io": FlowSchemaStrategy,
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": PriorityLevelConfigurationStrategy,
}
