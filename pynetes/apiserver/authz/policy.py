"""Upstream's bootstrap policy for people and components, as data.

Every ClusterRole, Role and binding that a v1.37 API server makes at start, except the controllers' own
(`controller_policy`) and pynetes' additions (`pynetes_policy`). A rule is written on one line with `rule`, whose
arguments are space-separated words; `reconcile` turns the tables into objects and keeps them true.
"""

from dataclasses import dataclass, field
from typing import Any

READ = "get list watch"
WRITE = "create delete deletecollection patch update"
READ_WRITE = "create delete deletecollection get list patch update watch"

APPS, BATCH, RBAC = "apps", "batch", "rbac.authorization.k8s.io"
AUTHENTICATION, AUTHORIZATION = "authentication.k8s.io", "authorization.k8s.io"
AUTOSCALING, CERTIFICATES, COORDINATION = "autoscaling", "certificates.k8s.io", "coordination.k8s.io"
DISCOVERY, EVENTS, EXTENSIONS = "discovery.k8s.io", "events.k8s.io", "extensions"
NETWORKING, NODE, POLICY = "networking.k8s.io", "node.k8s.io", "policy"
RESOURCE, STORAGE = "resource.k8s.io", "storage.k8s.io"

Rule = dict[str, Any]


def rule(verbs: str, resources: str, groups: str = "core", names: str = "") -> Rule:
    """A PolicyRule over resources; the legacy group is written `core`."""
    made: Rule = {
        "verbs": sorted(verbs.split()),
        "apiGroups": sorted("" if group == "core" else group for group in groups.split()),
        "resources": sorted(resources.split()),
    }
    return made | {"resourceNames": sorted(names.split())} if names else made


def urls(verbs: str, paths: str) -> Rule:
    """A PolicyRule over non-resource URLs."""
    return {"verbs": sorted(verbs.split()), "nonResourceURLs": sorted(paths.split())}


def events_rule() -> Rule:
    """What every component that reports events needs."""
    return rule("create update patch", "events", f"core {EVENTS}")


@dataclass(frozen=True)
class Role:
    """A ClusterRole, or a Role if it has a namespace."""

    name: str
    rules: tuple[Rule, ...] = ()
    namespace: str = ""
    aggregates: str = ""  # this role's rules are those of the roles labelled aggregate-to-<this>
    aggregate_to: str = ""  # the label this role carries


@dataclass(frozen=True)
class Binding:
    """A binding of `role` to subjects written `User:x`, `Group:x` or `ServiceAccount:namespace/name`."""

    name: str
    role: str
    subjects: tuple[str, ...]
    namespace: str = ""
    role_kind: str = "ClusterRole"
    labels: dict[str, str] = field(default_factory=dict)


_HEALTH = "/healthz /livez /readyz /version /version/"

_VIEW = (
    rule(
        READ,
        "pods replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status endpoints "
        "persistentvolumeclaims persistentvolumeclaims/status configmaps",
    ),
    rule(
        READ,
        "limitranges resourcequotas bindings events pods/status resourcequotas/status namespaces/status "
        "replicationcontrollers/status pods/log",
    ),
    rule(READ, "namespaces"),
    rule(READ, "endpointslices", DISCOVERY),
    rule(
        READ,
        "controllerrevisions statefulsets statefulsets/status statefulsets/scale daemonsets daemonsets/status "
        "deployments deployments/status deployments/scale replicasets replicasets/status replicasets/scale",
        APPS,
    ),
    rule(READ, "horizontalpodautoscalers horizontalpodautoscalers/status", AUTOSCALING),
    rule(READ, "jobs cronjobs cronjobs/status jobs/status", BATCH),
    rule(
        READ,
        "daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses ingresses/status "
        "replicasets replicasets/scale replicasets/status replicationcontrollers/scale networkpolicies",
        EXTENSIONS,
    ),
    rule(READ, "poddisruptionbudgets poddisruptionbudgets/status", POLICY),
    rule(READ, "networkpolicies ingresses ingresses/status", NETWORKING),
    rule(READ, "resourceclaims resourceclaims/status resourceclaimtemplates", RESOURCE),
)

_EDIT = (
    rule(READ, "pods/attach pods/proxy pods/exec pods/portforward secrets services/proxy"),
    rule("impersonate", "serviceaccounts"),
    rule(WRITE, "pods pods/attach pods/proxy pods/exec pods/portforward"),
    rule("create", "pods/eviction"),
    rule(
        WRITE,
        "replicationcontrollers replicationcontrollers/scale serviceaccounts services services/proxy "
        "persistentvolumeclaims configmaps secrets events",
    ),
    rule("create", "serviceaccounts/token"),
    rule(
        WRITE,
        "statefulsets statefulsets/scale daemonsets deployments deployments/scale deployments/rollback "
        "replicasets replicasets/scale",
        APPS,
    ),
    rule(WRITE, "horizontalpodautoscalers", AUTOSCALING),
    rule(WRITE, "jobs cronjobs", BATCH),
    rule(
        WRITE,
        "daemonsets deployments deployments/scale deployments/rollback ingresses replicasets replicasets/scale "
        "replicationcontrollers/scale networkpolicies",
        EXTENSIONS,
    ),
    rule(WRITE, "poddisruptionbudgets", POLICY),
    rule(WRITE, "networkpolicies ingresses", NETWORKING),
    rule(READ_WRITE, "leases", COORDINATION),
    rule(WRITE, "resourceclaims resourceclaimtemplates", RESOURCE),
)

_ADMIN = (
    rule("create", "localsubjectaccessreviews", AUTHORIZATION),
    rule(READ_WRITE, "roles rolebindings", RBAC),
)

_NODE = (
    rule("create", "tokenreviews", AUTHENTICATION),
    rule("create", "subjectaccessreviews localsubjectaccessreviews", AUTHORIZATION),
    rule(READ, "services"),
    rule("create get list watch", "nodes"),
    rule("update patch", "nodes/status"),
    rule("update patch", "nodes"),
    rule("create update patch", "events"),
    rule(READ, "pods"),
    rule("create delete", "pods"),
    rule("update patch", "pods/status"),
    rule("create", "pods/eviction"),
    rule(READ, "secrets configmaps"),
    rule("get", "persistentvolumeclaims persistentvolumes"),
    rule("get", "endpoints"),
    rule("create get list watch", "certificatesigningrequests", CERTIFICATES),
    rule("get create update patch delete", "leases", COORDINATION),
    rule("get", "volumeattachments", STORAGE),
    rule("create", "serviceaccounts/token"),
    rule("get update patch", "persistentvolumeclaims/status"),
    rule(READ, "csidrivers", STORAGE),
    rule("get create update patch delete", "csinodes", STORAGE),
    rule(READ, "runtimeclasses", NODE),
    rule(READ, "clustertrustbundles", CERTIFICATES),
    rule("get", "resourceclaims", RESOURCE),
    rule("deletecollection", "resourceslices", RESOURCE),
    rule("get", "serviceaccounts"),
)

_CONTROLLER_MANAGER = (
    events_rule(),
    rule("create", "leases", COORDINATION),
    rule("get update", "leases", COORDINATION, names="kube-controller-manager"),
    rule("create", "secrets serviceaccounts"),
    rule("delete", "secrets"),
    rule("get", "namespaces secrets serviceaccounts configmaps"),
    rule("update", "secrets serviceaccounts"),
    rule("create", "tokenreviews", AUTHENTICATION),
    rule("create", "subjectaccessreviews", AUTHORIZATION),
    rule("list watch", "*", "*"),
    rule("create", "serviceaccounts/token"),
)

_SCHEDULER = (
    events_rule(),
    rule("create", "leases", COORDINATION),
    rule("get update list watch", "leases", COORDINATION, names="kube-scheduler"),
    rule(READ_WRITE, "leasecandidates", COORDINATION),
    rule(READ, "nodes"),
    rule("get list watch delete", "pods"),
    rule("create", "pods/binding bindings"),
    rule("update patch", "pods/status"),
    rule(READ, "services replicationcontrollers"),
    rule(READ, "replicasets", f"{APPS} {EXTENSIONS}"),
    rule(READ, "statefulsets", APPS),
    rule(READ, "poddisruptionbudgets", POLICY),
    rule(READ, "persistentvolumeclaims persistentvolumes"),
    rule("create", "tokenreviews", AUTHENTICATION),
    rule("create", "subjectaccessreviews", AUTHORIZATION),
    rule(READ, "csinodes", STORAGE),
    rule(READ, "volumeattachments", STORAGE),
    rule(READ, "namespaces"),
    rule(READ, "csidrivers", STORAGE),
    rule(READ, "csistoragecapacities", STORAGE),
    rule(READ, "deviceclasses", RESOURCE),
    rule("get list watch update patch", "resourceclaims", RESOURCE),
    rule("get list watch update patch", "resourceclaims/status", RESOURCE),
    rule("get list watch update patch", "pods/finalizers"),
    rule(READ, "resourceslices", RESOURCE),
    rule("create delete", "resourceclaims", RESOURCE),
)


def _approver(name: str) -> Role:
    return Role(
        f"system:certificates.k8s.io:{name}-approver",
        (rule("approve", "signers", CERTIFICATES, names=f"kubernetes.io/{name}"),),
    )


CLUSTER_ROLES: tuple[Role, ...] = (
    Role("cluster-admin", (rule("*", "*", "*"), urls("*", "*"))),
    Role("system:discovery", (urls("get", f"{_HEALTH} /openapi /openapi/* /api /api/* /apis /apis/*"),)),
    Role(
        "system:monitoring",
        (
            urls("get", "/metrics /metrics/slis /livez /readyz /healthz /livez/* /readyz/* /healthz/*"),
            urls("get", "/statusz"),
            urls("get", "/flagz"),
        ),
    ),
    Role(
        "system:basic-user",
        (
            rule("create", "selfsubjectaccessreviews selfsubjectrulesreviews", AUTHORIZATION),
            rule("create", "selfsubjectreviews", AUTHENTICATION),
        ),
    ),
    Role("system:public-info-viewer", (urls("get", _HEALTH),)),
    Role("admin", aggregates="admin"),
    Role("edit", aggregates="edit", aggregate_to="admin"),
    Role("view", aggregates="view", aggregate_to="edit"),
    Role("system:aggregate-to-admin", _ADMIN, aggregate_to="admin"),
    Role("system:aggregate-to-edit", _EDIT, aggregate_to="edit"),
    Role("system:aggregate-to-view", _VIEW, aggregate_to="view"),
    Role(
        "system:heapster",
        (rule(READ, "events pods nodes namespaces"), rule(READ, "deployments", EXTENSIONS)),
    ),
    Role("system:node", _NODE),
    Role(
        "system:node-problem-detector",
        (rule("get", "nodes"), rule("patch", "nodes/status"), events_rule()),
    ),
    Role(
        "system:node-proxier",
        (
            rule("list watch", "services endpoints"),
            rule(READ, "nodes"),
            events_rule(),
            rule("list watch", "servicecidrs", NETWORKING),
            rule("list watch", "endpointslices", DISCOVERY),
        ),
    ),
    Role(
        "system:kubelet-api-admin",
        (
            rule(READ, "nodes"),
            rule("proxy", "nodes"),
            rule("*", "nodes/proxy nodes/metrics nodes/stats nodes/log"),
            rule("*", "nodes/configz nodes/healthz nodes/pods"),
        ),
    ),
    Role(
        "system:node-bootstrapper",
        (rule("create get list watch", "certificatesigningrequests", CERTIFICATES),),
    ),
    Role(
        "system:auth-delegator",
        (
            rule("create", "tokenreviews", AUTHENTICATION),
            rule("create", "subjectaccessreviews", AUTHORIZATION),
        ),
    ),
    Role("system:kube-aggregator", (rule(READ, "services endpoints"),)),
    Role("system:kube-controller-manager", _CONTROLLER_MANAGER),
    Role("system:kube-dns", (rule("list watch", "endpoints services"),)),
    Role("system:kube-scheduler", _SCHEDULER),
    Role(
        "system:persistent-volume-provisioner",
        (
            rule("get list watch create delete", "persistentvolumes"),
            rule("get list watch update", "persistentvolumeclaims"),
            rule(READ, "storageclasses", STORAGE),
            rule("watch", "events"),
            events_rule(),
        ),
    ),
    Role(
        "system:volume-scheduler",
        (
            rule("get list watch update patch", "persistentvolumes"),
            rule(READ, "storageclasses", STORAGE),
            rule("get list watch update patch", "persistentvolumeclaims"),
        ),
    ),
    Role(
        "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
        (rule("create", "certificatesigningrequests/nodeclient", CERTIFICATES),),
    ),
    Role(
        "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        (rule("create", "certificatesigningrequests/selfnodeclient", CERTIFICATES),),
    ),
    _approver("legacy-unknown"),
    _approver("kubelet-serving"),
    _approver("kube-apiserver-client"),
    _approver("kube-apiserver-client-kubelet"),
    Role(
        "system:service-account-issuer-discovery",
        (
            urls(
                "get",
                "/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/",
            ),
        ),
    ),
)

_EVERYONE = ("Group:system:authenticated", "Group:system:unauthenticated")


def _same_name(name: str, *subjects: str) -> Binding:
    return Binding(name, name, subjects)


CLUSTER_ROLE_BINDINGS: tuple[Binding, ...] = (
    _same_name("cluster-admin", "Group:system:masters"),
    _same_name("system:monitoring", "Group:system:monitoring"),
    _same_name("system:discovery", "Group:system:authenticated"),
    _same_name("system:basic-user", "Group:system:authenticated"),
    _same_name("system:public-info-viewer", *_EVERYONE),
    _same_name("system:node-proxier", "User:system:kube-proxy"),
    _same_name("system:kube-controller-manager", "User:system:kube-controller-manager"),
    _same_name("system:kube-dns", "ServiceAccount:kube-system/kube-dns"),
    _same_name("system:kube-scheduler", "User:system:kube-scheduler"),
    _same_name("system:volume-scheduler", "User:system:kube-scheduler"),
    _same_name("system:service-account-issuer-discovery", "Group:system:serviceaccounts"),
    # The Node authorizer decides for nodes; the role is bound to nobody, and kept for those who bind it themselves.
    _same_name("system:node"),
)

_SYSTEM, _PUBLIC = "kube-system", "kube-public"

NAMESPACE_ROLES: tuple[Role, ...] = (
    Role(
        "extension-apiserver-authentication-reader",
        (rule(READ, "configmaps", names="extension-apiserver-authentication"),),
        _SYSTEM,
    ),
    Role("system:controller:bootstrap-signer", (rule(READ, "secrets"),), _SYSTEM),
    Role("system:controller:cloud-provider", (rule("create get list watch", "configmaps"),), _SYSTEM),
    Role("system:controller:token-cleaner", (rule("get list watch delete", "secrets"), events_rule()), _SYSTEM),
    Role(
        "system::leader-locking-kube-controller-manager",
        (rule("watch", "configmaps"), rule("get update", "configmaps", names="kube-controller-manager")),
        _SYSTEM,
    ),
    Role(
        "system::leader-locking-kube-scheduler",
        (rule("watch", "configmaps"), rule("get update", "configmaps", names="kube-scheduler")),
        _SYSTEM,
    ),
    Role(
        "system:controller:bootstrap-signer",
        (rule(READ, "configmaps"), rule("update", "configmaps", names="cluster-info"), events_rule()),
        _PUBLIC,
    ),
)


def _locking(component: str) -> Binding:
    name = f"system::leader-locking-{component}"
    subjects = (f"User:system:{component}", f"ServiceAccount:{_SYSTEM}/{component}")
    return Binding(name, name, subjects, _SYSTEM, "Role")


def _controller_in(namespace: str, controller: str) -> Binding:
    name = f"system:controller:{controller}"
    return Binding(name, name, (f"ServiceAccount:{_SYSTEM}/{controller}",), namespace, "Role")


NAMESPACE_ROLE_BINDINGS: tuple[Binding, ...] = (
    Binding(
        "system::extension-apiserver-authentication-reader",
        "extension-apiserver-authentication-reader",
        ("User:system:kube-controller-manager", "User:system:kube-scheduler"),
        _SYSTEM,
        "Role",
    ),
    _locking("kube-controller-manager"),
    _locking("kube-scheduler"),
    _controller_in(_SYSTEM, "bootstrap-signer"),
    _controller_in(_SYSTEM, "cloud-provider"),
    _controller_in(_SYSTEM, "token-cleaner"),
    _controller_in(_PUBLIC, "bootstrap-signer"),
)
