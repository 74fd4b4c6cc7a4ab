"""What pynetes adds to upstream's bootstrap policy: roles for components that upstream does not have as such.

The network agent authenticates as `system:kube-proxy` and does more than kube-proxy: DNS, NetworkPolicy, Ingress and
load-balancer addresses. `system:pynetes:network` gives it what these need in the whole cluster, the role of the same
name in kube-system what it needs to keep the objects of the cluster's DNS there. The provisioner of local volumes is a
controller of the controller manager with an account of its own.
"""

from pynetes.apiserver.authz.policy import (
    COORDINATION,
    DISCOVERY,
    NETWORKING,
    READ,
    STORAGE,
    Binding,
    Role,
    events_rule,
    rule,
)

_NAME = "system:pynetes:network"
_AGENT = "User:system:kube-proxy"
_PROVISIONER = "system:controller:local-volume-provisioner"

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
    Role(
        _PROVISIONER,
        (
            rule("get list watch create update delete", "persistentvolumes"),
            rule(READ, "persistentvolumeclaims nodes"),
            rule("update", "persistentvolumeclaims/status"),
            rule("get list watch create", "storageclasses", STORAGE),
            events_rule(),
        ),
    ),
)

PYNETES_ROLE_BINDINGS: tuple[Binding, ...] = (
    Binding(_NAME, _NAME, (_AGENT,)),
    Binding(_NAME, _NAME, (_AGENT,), "kube-system", "Role"),
    Binding(_PROVISIONER, _PROVISIONER, ("ServiceAccount:kube-system/local-volume-provisioner",)),
)
