"""The controllers' own ClusterRoles, as data: what each of upstream's controllers may do under its own account.

Each role `system:controller:<name>` is bound to the service account `<name>` in kube-system.
"""

from pynetes.apiserver.authz.policy import (
    APPS,
    AUTHORIZATION,
    AUTOSCALING,
    BATCH,
    CERTIFICATES,
    DISCOVERY,
    EXTENSIONS,
    NETWORKING,
    POLICY,
    RBAC,
    READ,
    RESOURCE,
    STORAGE,
    Binding,
    Role,
    Rule,
    events_rule,
    rule,
)

PREFIX = "system:controller:"
_APPS_AND_EXTENSIONS = f"{APPS} {EXTENSIONS}"

_RULES: dict[str, tuple[Rule, ...]] = {
    "attachdetach-controller": (
        rule("list watch", "persistentvolumes persistentvolumeclaims"),
        rule(READ, "nodes"),
        rule("patch update", "nodes/status"),
        rule("list watch", "pods"),
        events_rule(),
        rule("get create delete list watch", "volumeattachments", STORAGE),
        rule(READ, "csidrivers", STORAGE),
        rule(READ, "csinodes", STORAGE),
    ),
    "clusterrole-aggregation-controller": (
        rule("escalate get list watch update patch", "clusterroles", RBAC),
    ),
    "cronjob-controller": (
        rule("get list watch update", "cronjobs", BATCH),
        rule("get list watch create update delete patch", "jobs", BATCH),
        rule("update", "cronjobs/status", BATCH),
        rule("update", "cronjobs/finalizers", BATCH),
        rule("list watch delete", "pods"),
        events_rule(),
    ),
    "daemon-set-controller": (
        rule(READ, "daemonsets", _APPS_AND_EXTENSIONS),
        rule("update", "daemonsets/status", _APPS_AND_EXTENSIONS),
        rule("update", "daemonsets/finalizers", _APPS_AND_EXTENSIONS),
        rule("list watch", "nodes"),
        rule("list watch create delete patch", "pods"),
        rule("create", "pods/binding"),
        rule("get list watch create delete update patch", "controllerrevisions", APPS),
        events_rule(),
    ),
    "deployment-controller": (
        rule("get list watch update", "deployments", _APPS_AND_EXTENSIONS),
        rule("update", "deployments/status", _APPS_AND_EXTENSIONS),
        rule("update", "deployments/finalizers", _APPS_AND_EXTENSIONS),
        rule("get list watch create update patch delete", "replicasets", _APPS_AND_EXTENSIONS),
        rule("get list watch update", "pods"),
        events_rule(),
    ),
    "disruption-controller": (
        rule(READ, "deployments", _APPS_AND_EXTENSIONS),
        rule(READ, "replicasets", _APPS_AND_EXTENSIONS),
        rule(READ, "replicationcontrollers"),
        rule(READ, "poddisruptionbudgets", POLICY),
        rule(READ, "statefulsets", APPS),
        rule("update", "poddisruptionbudgets/status", POLICY),
        rule("patch update", "pods/status"),
        rule("get", "*/scale", "*"),
        events_rule(),
    ),
    "endpoint-controller": (
        rule(READ, "services pods"),
        rule("get list watch create update delete", "endpoints"),
        rule("create", "endpoints/restricted"),
        events_rule(),
    ),
    "endpointslice-controller": (
        rule(READ, "services pods nodes"),
        rule("update", "services/finalizers"),
        rule("get list watch create update delete", "endpointslices", DISCOVERY),
        events_rule(),
    ),
    "endpointslicemirroring-controller": (
        rule(READ, "services endpoints"),
        rule("update", "services/finalizers"),
        rule("update", "endpoints/finalizers"),
        rule("get list watch create update delete", "endpointslices", DISCOVERY),
        events_rule(),
    ),
    "expand-controller": (
        rule("get list watch update patch", "persistentvolumes"),
        rule("update patch", "persistentvolumeclaims/status"),
        rule(READ, "persistentvolumeclaims"),
        events_rule(),
        rule("get", "services"),
    ),
    "ephemeral-volume-controller": (
        rule(READ, "pods"),
        rule("update", "pods/finalizers"),
        rule("get list watch create", "persistentvolumeclaims"),
        events_rule(),
    ),
    "resource-claim-controller": (
        rule(READ, "pods"),
        rule("update", "pods/finalizers"),
        rule("get list watch create delete", "resourceclaims", RESOURCE),
        rule("update patch", "resourceclaims resourceclaims/status", RESOURCE),
        rule("update patch", "pods/status"),
        events_rule(),
    ),
    "device-taint-eviction-controller": (
        rule("get list watch delete", "pods"),
        rule("update patch", "pods/status"),
        rule(READ, "resourceclaims", RESOURCE),
        rule(READ, "resourceslices", RESOURCE),
        rule(READ, "deviceclasses", RESOURCE),
        events_rule(),
    ),
    "generic-garbage-collector": (
        rule("get list watch patch update delete", "*", "*"),
        events_rule(),
    ),
    "horizontal-pod-autoscaler": (
        rule(READ, "horizontalpodautoscalers", AUTOSCALING),
        rule("update", "horizontalpodautoscalers/status", AUTOSCALING),
        rule("get update", "*/scale", "*"),
        rule("list watch", "pods"),
        rule("list watch", "pods", "metrics.k8s.io"),
        rule(READ, "*", "custom.metrics.k8s.io"),
        rule(READ, "*", "external.metrics.k8s.io"),
        events_rule(),
    ),
    "job-controller": (
        rule("get list watch update patch", "jobs", BATCH),
        rule("update", "jobs/status", BATCH),
        rule("update", "jobs/finalizers", BATCH),
        rule("list watch create delete patch", "pods"),
        events_rule(),
    ),
    "namespace-controller": (
        rule("get list watch delete", "namespaces"),
        rule("update", "namespaces/finalize namespaces/status"),
        rule("get list watch delete deletecollection", "*", "*"),
    ),
    "node-controller": (
        rule("get list watch update delete patch", "nodes"),
        rule("patch update", "nodes/status"),
        rule("patch update", "pods/status"),
        rule("list watch get delete", "pods"),
        events_rule(),
    ),
    "persistent-volume-binder": (
        rule("get list watch update create delete", "persistentvolumes"),
        rule("update", "persistentvolumes/status"),
        rule("get list watch update", "persistentvolumeclaims"),
        rule("update", "persistentvolumeclaims/status"),
        rule("list watch get create delete", "pods"),
        rule(READ, "storageclasses", STORAGE),
        rule("list watch", "nodes"),
        events_rule(),
        rule("watch", "events"),
        rule("get", "services"),
    ),
    "pod-garbage-collector": (
        rule("list watch delete", "pods"),
        rule(READ, "nodes"),
        rule("patch", "pods/status"),
    ),
    "replicaset-controller": (
        rule("get list watch update", "replicasets", _APPS_AND_EXTENSIONS),
        rule("update", "replicasets/status", _APPS_AND_EXTENSIONS),
        rule("update", "replicasets/finalizers", _APPS_AND_EXTENSIONS),
        rule("list watch patch create delete", "pods"),
        events_rule(),
    ),
    "replication-controller": (
        rule("get list watch update", "replicationcontrollers"),
        rule("update", "replicationcontrollers/status"),
        rule("update", "replicationcontrollers/finalizers"),
        rule("list watch patch create delete", "pods"),
        events_rule(),
    ),
    "resourcequota-controller": (
        rule("list watch", "*", "*"),
        rule("update", "resourcequotas/status"),
        events_rule(),
    ),
    "route-controller": (
        rule("list watch", "nodes"),
        rule("patch", "nodes/status"),
        events_rule(),
    ),
    "service-account-controller": (
        rule("create", "serviceaccounts"),
        events_rule(),
    ),
    "service-controller": (
        rule(READ, "services"),
        rule("patch update", "services/status"),
        rule("list watch", "nodes"),
        events_rule(),
    ),
    "service-cidrs-controller": (
        rule("get list watch patch update", "servicecidrs", NETWORKING),
        rule("patch update", "servicecidrs/finalizers", NETWORKING),
        rule("patch update", "servicecidrs/status", NETWORKING),
        rule(READ, "ipaddresses", NETWORKING),
        events_rule(),
    ),
    "statefulset-controller": (
        rule("list watch", "pods"),
        rule(READ, "statefulsets", APPS),
        rule("update", "statefulsets/status", APPS),
        rule("update", "statefulsets/finalizers", APPS),
        rule("get create delete update patch", "pods"),
        rule("get create delete update patch list watch", "controllerrevisions", APPS),
        rule("get create list watch", "persistentvolumeclaims"),
        rule("update delete", "persistentvolumeclaims"),
        rule("update", "pods/finalizers"),
        events_rule(),
    ),
    "ttl-controller": (
        rule("update patch list watch", "nodes"),
        events_rule(),
    ),
    "certificate-controller": (
        rule("get list watch delete", "certificatesigningrequests", CERTIFICATES),
        rule("update", "certificatesigningrequests/status certificatesigningrequests/approval", CERTIFICATES),
        rule("approve", "signers", CERTIFICATES, names="kubernetes.io/kube-apiserver-client-kubelet"),
        rule(
            "sign",
            "signers",
            CERTIFICATES,
            names="kubernetes.io/kube-apiserver-client kubernetes.io/kube-apiserver-client-kubelet "
            "kubernetes.io/kubelet-serving kubernetes.io/legacy-unknown",
        ),
        rule("create", "subjectaccessreviews", AUTHORIZATION),
        events_rule(),
    ),
    "pvc-protection-controller": (
        rule("get list watch update", "persistentvolumeclaims"),
        rule("list watch get", "pods"),
        events_rule(),
    ),
    "pv-protection-controller": (
        rule("get list watch update", "persistentvolumes"),
        events_rule(),
    ),
    "volumeattributesclass-protection-controller": (
        rule(READ, "persistentvolumeclaims"),
        rule(READ, "persistentvolumes"),
        rule("get list watch update", "volumeattributesclasses", STORAGE),
        events_rule(),
    ),
    "ttl-after-finished-controller": (
        rule("get list watch delete", "jobs", BATCH),
        events_rule(),
    ),
    "root-ca-cert-publisher": (
        rule("create update", "configmaps"),
        events_rule(),
    ),
    "validatingadmissionpolicy-status-controller": (
        rule(READ, "validatingadmissionpolicies", "admissionregistration.k8s.io"),
        rule("get patch update", "validatingadmissionpolicies/status", "admissionregistration.k8s.io"),
        events_rule(),
    ),
    "legacy-service-account-token-cleaner": (
        rule("get", "configmaps", names="kube-apiserver-legacy-service-account-token-tracking"),
        rule("patch delete", "secrets"),
    ),
    "selinux-warning-controller": (
        events_rule(),
        rule(READ, "persistentvolumes"),
        rule(READ, "persistentvolumeclaims"),
        rule(READ, "pods"),
        rule(READ, "csidrivers", STORAGE),
    ),
}

CONTROLLER_ROLES: tuple[Role, ...] = tuple(Role(PREFIX + name, rules) for name, rules in _RULES.items())
CONTROLLER_ROLE_BINDINGS: tuple[Binding, ...] = tuple(
    Binding(PREFIX + name, PREFIX + name, (f"ServiceAccount:kube-system/{name}",)) for name in _RULES
)
