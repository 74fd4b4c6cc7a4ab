"""What pynetes adds to upstream's bootstrap policy: roles for components that upstream does not have as such.

* `system:pynetes:network` lets the network agent (which authenticates as `system:kube-proxy`) do more than
  kube-proxy does: DNS, NetworkPolicy, Ingress and load-balancer addresses.
* `system:pynetes:controller-manager` gives the controller manager's own identity what its controllers' roles hold
  together, because our controllers share one connection instead of one service account each.
"""

from pynetes.apiserver.authz.controller_policy import CONTROLLER_ROLES
from pynetes.apiserver.authz.policy import COORDINATION, DISCOVERY, NETWORKING, READ, Binding, Role, events_rule, rule

_NETWORK = (
    rule(READ, "nodes services endpoints pods namespaces"),
    rule("create update", "services endpoints"),  # those of kube-dns: every node answers
    rule(READ, "endpointslices", DISCOVERY),
    rule(READ, "networkpolicies ingresses ingressclasses servicecidrs", NETWORKING),
    rule("get patch update", "services/status"),
    rule("get patch update", "ingresses/status", NETWORKING),
    rule("create", "ingressclasses", NETWORKING),
    rule(READ, "secrets configmaps"),
    rule("patch update", "nodes/status"),
    rule("create get list patch update watch", "leases", COORDINATION),
    events_rule(),
)

_CONTROLLERS = (
    *(policy_rule for role in CONTROLLER_ROLES for policy_rule in role.rules),
    rule("create get list patch update watch", "leases", COORDINATION),
)


def _distinct(rules: tuple[dict[str, list[str]], ...]) -> tuple[dict[str, list[str]], ...]:
    seen = {repr(sorted(entry.items())): entry for entry in rules}
    return tuple(seen.values())


PYNETES_ROLES: tuple[Role, ...] = (
    Role("system:pynetes:network", _NETWORK),
    Role("system:pynetes:controller-manager", _distinct(_CONTROLLERS)),
)

PYNETES_ROLE_BINDINGS: tuple[Binding, ...] = (
    Binding("system:pynetes:network", "system:pynetes:network", ("User:system:kube-proxy",)),
    Binding(
        "system:pynetes:controller-manager",
        "system:pynetes:controller-manager",
        ("User:system:kube-controller-manager",),
    ),
)
