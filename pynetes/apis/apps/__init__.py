"""The apps group: workloads that keep pods running."""

from pynetes.apis.apps.controller_revision import ControllerRevisionStrategy
from pynetes.apis.apps.daemon_set import DaemonSetStrategy
from pynetes.apis.apps.deployment import DeploymentStrategy
from pynetes.apis.apps.replica_set import ReplicaSetStrategy
from pynetes.apis.apps.stateful_set import StatefulSetStrategy
from pynetes.apis.strategy import Strategy

STRATEGIES: dict[str, type[Strategy]] = {
    "controllerrevisions.apps": ControllerRevisionStrategy,
    "daemonsets.apps": DaemonSetStrategy,
    "deployments.apps": DeploymentStrategy,
    "replicasets.apps": ReplicaSetStrategy,
    "statefulsets.apps": StatefulSetStrategy,
}
