"""The rbac.authorization.k8s.io group: who may do what."""

from pynetes.apis.rbac.binding import ClusterRoleBindingStrategy, RoleBindingStrategy
from pynetes.apis.rbac.role import ClusterRoleStrategy, RoleStrategy
from pynetes.apis.strategy import Strategy

STRATEGIES: dict[str, type[Strategy]] = {
    "clusterrolebindings.rbac.authorization.k8s.io": ClusterRoleBindingStrategy,
    "clusterroles.rbac.authorization.k8s.io": ClusterRoleStrategy,
    "rolebindings.rbac.authorization.k8s.io": RoleBindingStrategy,
    "roles.rbac.authorization.k8s.io": RoleStrategy,
}
