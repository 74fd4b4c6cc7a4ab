"""The policy group."""

from pynetes.apis.policy.pod_disruption_budget import PodDisruptionBudgetStrategy
from pynetes.apis.strategy import Strategy

STRATEGIES: dict[str, type[Strategy]] = {"poddisruptionbudgets.policy": PodDisruptionBudgetStrategy}
