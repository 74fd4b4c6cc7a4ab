"""The autoscaling group."""

from pynetes.apis.autoscaling.horizontal_pod_autoscaler import AutoscalerStrategy, OldAutoscalerStrategy
from pynetes.apis.strategy import Strategy

STRATEGIES: dict[str, type[Strategy]] = {
    "horizontalpodautoscalers.autoscaling": AutoscalerStrategy,
    "horizontalpodautoscalers.autoscaling/v1": OldAutoscalerStrategy,
}
