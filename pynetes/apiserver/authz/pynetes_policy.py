"""What pynetes adds to upstream's bootstrap policy: roles for components that upstream does not have as such.

The network agent authenticates as `system:kube-proxy` and does more than kube-proxy: DNS, NetworkPolicy, Ingress and
load-balancer addresses. `system:pynetes:network` gives it what these need in the whole cluster, the role of the same
name in kube-system what it needs to keep the objects of the cluster's DNS there.
"""

from pynetes.apiserver.authz.policy import COORDINATION, DISCOVERY, NETWORKING, READ, Binding, Role, events_rule, rule

_NAME = "system:pynetes:network"
_AGENT = "User:system:kube-proxy"

PYNETES_ROLES: tuple[Role, ...] = (
    Role(
        _NAME,
        (
            rule(READ, "nodes services endpoints pods namespaces secrets"),
            rule(READ, "endpointslices", DISCOVERY),
            rule(READ, "networkpolicies ingresses ingressclasses servicecidrs", NETWORKING),
            rule("create", "ingressclasses", NETWORKING),
            rule("get patch update", "services/status"),
            rule("get patch update", "ingresses/status", NETWORKING),
            rule("patch update", "nodes/status"),
            rule("create get list patch update watch", "leases", COORDINATION),
            events_rule(),
        ),
    ),
    Role(
        _NAME,
        (rule("create", "services endpoints"), rule("get patch update", "services endpoints", names="kube-dns")),
        "kube-system",
    ),
)

PYNETES_ROLE_BINDINGS: tuple[Binding, ...] = (
    Binding(_NAME, _NAME, (_AGENT,)),
    Binding(_NAME, _NAME, (_AGENT,), "kube-system", "Role"),
)
