"""Every resource of v1.37, as a table.

A `ResourceType` says how a kind is addressed: its group, version and plural, whether it lives in a namespace, what
verbs and subresources it has, and the short names and categories that kubectl knows it by. `BUILTIN` is what a server
offers by default; `OPTIONAL` are the alpha and beta versions that upstream serves only when asked to
(`--runtime-config`). Custom resources are `ResourceType`s too, made by the server as their definitions come and go.
"""

import base64
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

FULL = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
STATUS = ("get", "patch", "update")
PROXY = ("create", "delete", "get", "patch", "update")


@dataclass(frozen=True, slots=True)
class Subresource:
    """A view of, or an action on, an object: `status`, `scale`, `exec`. The group is that of the kind it speaks."""

    name: str
    group: str
    version: str
    kind: str
    verbs: tuple[str, ...]

    @property
    def api_version(self) -> str:
        """`autoscaling/v1`, or `v1` in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version


@dataclass(frozen=True, slots=True)
class ResourceType:
    """How the objects of one kind, in one version, are addressed."""

    group: str
    version: str
    plural: str
    kind: str
    singular: str
    namespaced: bool
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = FULL
    subresources: tuple[Subresource, ...] = field(default=(), repr=False)

    @property
    def api_version(self) -> str:
        """`apps/v1`, or `v1` in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_resource(self) -> str:
        """`deployments.apps`, or `pods` in the core group."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def list_kind(self) -> str:
        """`PodList`."""
        return f"{self.kind}List"

    @property
    def storage_version_hash(self) -> str:
        """What discovery shows so that a client can tell when the stored version changes."""
        digest = hashlib.sha256(f"{self.group}/{self.version}/{self.kind}".encode()).digest()
        return base64.b64encode(digest[:8]).decode()

    def subresource(self, name: str) -> Subresource | None:
        """The subresource of that name."""
        return next((sub for sub in self.subresources if sub.name == name), None)

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The URL path of the collection, of one object, or of one of its subresources."""
        parts = ["/apis" if self.group else "/api", self.api_version]
        if namespace and self.namespaced:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part]
        return "/".join(parts)


@dataclass(frozen=True)
class _Row:
    """One line of the tables below; `status` and `scale` are the two subresources that many kinds share."""

    plural: str
    kind: str
    namespaced: bool
    short: str = ""
    categories: str = ""
    verbs: tuple[str, ...] = FULL
    status: bool = False
    scale: bool = False
    more: tuple[tuple[str, str, str, tuple[str, ...]], ...] = ()

    def resource(self, group: str, version: str) -> ResourceType:
        api_version = f"{group}/{version}" if group else version
        extra = list(self.more)
        if self.status:
            extra.append(("status", api_version, self.kind, STATUS))
        if self.scale:
            extra.append(("scale", "autoscaling/v1", "Scale", STATUS))
        subresources = []
        for name, speaks, kind, verbs in sorted(extra):
            sub_group, _, sub_version = (speaks or api_version).rpartition("/")
            subresources.append(Subresource(name, sub_group, sub_version, kind, verbs))
        return ResourceType(
            group=group,
            version=version,
            plural=self.plural,
            kind=self.kind,
            singular=self.kind.lower(),
            namespaced=self.namespaced,
            short_names=tuple(self.short.split()),
            categories=tuple(self.categories.split()),
            verbs=self.verbs,
            subresources=tuple(subresources),
        )


NAMESPACED, CLUSTER = True, False
_CREATE = ("create",)
_CONNECT = ("create", "get")

_HPA = _Row("horizontalpodautoscalers", "HorizontalPodAutoscaler", NAMESPACED, "hpa", "all", status=True)

# In the order in which discovery lists groups, versions by preference.
_SERVED: dict[str, tuple[_Row, ...]] = {
    "v1": (
        _Row("bindings", "Binding", NAMESPACED, verbs=_CREATE),
        _Row("componentstatuses", "ComponentStatus", CLUSTER, "cs", verbs=("get", "list")),
        _Row("configmaps", "ConfigMap", NAMESPACED, "cm"),
        _Row("endpoints", "Endpoints", NAMESPACED, "ep"),
        _Row("events", "Event", NAMESPACED, "ev"),
        _Row("limitranges", "LimitRange", NAMESPACED, "limits"),
        _Row(
            "namespaces",
            "Namespace",
            CLUSTER,
            "ns",
            verbs=tuple(verb for verb in FULL if verb != "deletecollection"),
            status=True,
            more=(("finalize", "", "Namespace", ("update",)),),
        ),
        _Row("nodes", "Node", CLUSTER, "no", status=True, more=(("proxy", "", "NodeProxyOptions", PROXY),)),
        _Row("persistentvolumeclaims", "PersistentVolumeClaim", NAMESPACED, "pvc", status=True),
        _Row("persistentvolumes", "PersistentVolume", CLUSTER, "pv", status=True),
        _Row(
            "pods",
            "Pod",
            NAMESPACED,
            "po",
            "all",
            status=True,
            more=(
                ("attach", "", "PodAttachOptions", _CONNECT),
                ("binding", "", "Binding", _CREATE),
                ("ephemeralcontainers", "", "Pod", STATUS),
                ("eviction", "policy/v1", "Eviction", _CREATE),
                ("exec", "", "PodExecOptions", _CONNECT),
                ("log", "", "Pod", ("get",)),
                ("portforward", "", "PodPortForwardOptions", _CONNECT),
                ("proxy", "", "PodProxyOptions", PROXY),
                ("resize", "", "Pod", STATUS),
            ),
        ),
        _Row("podtemplates", "PodTemplate", NAMESPACED),
        _Row("replicationcontrollers", "ReplicationController", NAMESPACED, "rc", "all", status=True, scale=True),
        _Row("resourcequotas", "ResourceQuota", NAMESPACED, "quota", status=True),
        _Row("secrets", "Secret", NAMESPACED),
        _Row(
            "serviceaccounts",
            "ServiceAccount",
            NAMESPACED,
            "sa",
            more=(("token", "authentication.k8s.io/v1", "TokenRequest", _CREATE),),
        ),
        _Row(
            "services",
            "Service",
            NAMESPACED,
            "svc",
            "all",
            status=True,
            more=(("proxy", "", "ServiceProxyOptions", PROXY),),
        ),
    ),
    "apiregistration.k8s.io/v1": (
        _Row("apiservices", "APIService", CLUSTER, categories="api-extensions", status=True),
    ),
    "apps/v1": (
        _Row("controllerrevisions", "ControllerRevision", NAMESPACED),
        _Row("daemonsets", "DaemonSet", NAMESPACED, "ds", "all", status=True),
        _Row("deployments", "Deployment", NAMESPACED, "deploy", "all", status=True, scale=True),
        _Row("replicasets", "ReplicaSet", NAMESPACED, "rs", "all", status=True, scale=True),
        _Row("statefulsets", "StatefulSet", NAMESPACED, "sts", "all", status=True, scale=True),
    ),
    "events.k8s.io/v1": (_Row("events", "Event", NAMESPACED, "ev"),),
    "authentication.k8s.io/v1": (
        _Row("selfsubjectreviews", "SelfSubjectReview", CLUSTER, verbs=_CREATE),
        _Row("tokenreviews", "TokenReview", CLUSTER, verbs=_CREATE),
    ),
    "authorization.k8s.io/v1": (
        _Row("localsubjectaccessreviews", "LocalSubjectAccessReview", NAMESPACED, verbs=_CREATE),
        _Row("selfsubjectaccessreviews", "SelfSubjectAccessReview", CLUSTER, verbs=_CREATE),
        _Row("selfsubjectrulesreviews", "SelfSubjectRulesReview", CLUSTER, verbs=_CREATE),
        _Row("subjectaccessreviews", "SubjectAccessReview", CLUSTER, verbs=_CREATE),
    ),
    "autoscaling/v2": (_HPA,),
    "autoscaling/v1": (_HPA,),
    "batch/v1": (
        _Row("cronjobs", "CronJob", NAMESPACED, "cj", "all", status=True),
        _Row("jobs", "Job", NAMESPACED, "", "all", status=True),
    ),
    "certificates.k8s.io/v1": (
        _Row(
            "certificatesigningrequests",
            "CertificateSigningRequest",
            CLUSTER,
            "csr",
            status=True,
            more=(("approval", "", "CertificateSigningRequest", STATUS),),
        ),
        _Row("clustertrustbundles", "ClusterTrustBundle", CLUSTER),
        _Row("podcertificaterequests", "PodCertificateRequest", NAMESPACED, status=True),
    ),
    "networking.k8s.io/v1": (
        _Row("ingressclasses", "IngressClass", CLUSTER),
        _Row("ingresses", "Ingress", NAMESPACED, "ing", status=True),
        _Row("ipaddresses", "IPAddress", CLUSTER, "ip"),
        _Row("networkpolicies", "NetworkPolicy", NAMESPACED, "netpol"),
        _Row("servicecidrs", "ServiceCIDR", CLUSTER, status=True),
    ),
    "policy/v1": (_Row("poddisruptionbudgets", "PodDisruptionBudget", NAMESPACED, "pdb", status=True),),
    "rbac.authorization.k8s.io/v1": (
        _Row("clusterrolebindings", "ClusterRoleBinding", CLUSTER),
        _Row("clusterroles", "ClusterRole", CLUSTER),
        _Row("rolebindings", "RoleBinding", NAMESPACED),
        _Row("roles", "Role", NAMESPACED),
    ),
    "storage.k8s.io/v1": (
        _Row("csidrivers", "CSIDriver", CLUSTER),
        _Row("csinodes", "CSINode", CLUSTER),
        _Row("csistoragecapacities", "CSIStorageCapacity", NAMESPACED),
        _Row("storageclasses", "StorageClass", CLUSTER, "sc"),
        _Row("volumeattachments", "VolumeAttachment", CLUSTER, status=True),
        _Row("volumeattributesclasses", "VolumeAttributesClass", CLUSTER, "vac"),
    ),
    "admissionregistration.k8s.io/v1": (
        _Row("mutatingadmissionpolicies", "MutatingAdmissionPolicy", CLUSTER, categories="api-extensions"),
        _Row("mutatingadmissionpolicybindings", "MutatingAdmissionPolicyBinding", CLUSTER, categories="api-extensions"),
        _Row("mutatingwebhookconfigurations", "MutatingWebhookConfiguration", CLUSTER, categories="api-extensions"),
        _Row(
            "validatingadmissionpolicies",
            "ValidatingAdmissionPolicy",
            CLUSTER,
            categories="api-extensions",
            status=True,
        ),
        _Row(
            "validatingadmissionpolicybindings",
            "ValidatingAdmissionPolicyBinding",
            CLUSTER,
            categories="api-extensions",
        ),
        _Row("validatingwebhookconfigurations", "ValidatingWebhookConfiguration", CLUSTER, categories="api-extensions"),
    ),
    "apiextensions.k8s.io/v1": (
        _Row(
            "customresourcedefinitions",
            "CustomResourceDefinition",
            CLUSTER,
            "crd crds",
            "api-extensions",
            status=True,
        ),
    ),
    "scheduling.k8s.io/v1": (_Row("priorityclasses", "PriorityClass", CLUSTER, "pc"),),
    "coordination.k8s.io/v1": (_Row("leases", "Lease", NAMESPACED),),
    "node.k8s.io/v1": (_Row("runtimeclasses", "RuntimeClass", CLUSTER),),
    "discovery.k8s.io/v1": (_Row("endpointslices", "EndpointSlice", NAMESPACED),),
    "flowcontrol.apiserver.k8s.io/v1": (
        _Row("flowschemas", "FlowSchema", CLUSTER, status=True),
        _Row("prioritylevelconfigurations", "PriorityLevelConfiguration", CLUSTER, status=True),
    ),
    "resource.k8s.io/v1": (
        _Row("deviceclasses", "DeviceClass", CLUSTER),
        _Row("devicetaintrules", "DeviceTaintRule", CLUSTER, status=True),
        _Row("resourceclaims", "ResourceClaim", NAMESPACED, status=True),
        _Row("resourceclaimtemplates", "ResourceClaimTemplate", NAMESPACED),
        _Row("resourceslices", "ResourceSlice", CLUSTER),
    ),
    "storagemigration.k8s.io/v1": (_Row("storageversionmigrations", "StorageVersionMigration", CLUSTER, status=True),),
}

_DEVICES = (
    _Row("deviceclasses", "DeviceClass", CLUSTER),
    _Row("resourceclaims", "ResourceClaim", NAMESPACED, status=True),
    _Row("resourceclaimtemplates", "ResourceClaimTemplate", NAMESPACED),
    _Row("resourceslices", "ResourceSlice", CLUSTER),
)
_TAINT_RULES = _Row("devicetaintrules", "DeviceTaintRule", CLUSTER, status=True)
_MUTATING_POLICIES = (
    _Row("mutatingadmissionpolicies", "MutatingAdmissionPolicy", CLUSTER, categories="api-extensions"),
    _Row("mutatingadmissionpolicybindings", "MutatingAdmissionPolicyBinding", CLUSTER, categories="api-extensions"),
)
_LEASE_CANDIDATES = _Row("leasecandidates", "LeaseCandidate", NAMESPACED)
_POD_GROUPS = (
    _Row("podgroups", "PodGroup", NAMESPACED, status=True),
    _Row("workloads", "Workload", NAMESPACED),
)

_ON_REQUEST: dict[str, tuple[_Row, ...]] = {
    "admissionregistration.k8s.io/v1beta1": _MUTATING_POLICIES,
    "admissionregistration.k8s.io/v1alpha1": _MUTATING_POLICIES,
    "certificates.k8s.io/v1beta1": (
        _Row("clustertrustbundles", "ClusterTrustBundle", CLUSTER),
        _Row("podcertificaterequests", "PodCertificateRequest", NAMESPACED, status=True),
    ),
    "coordination.k8s.io/v1beta1": (_LEASE_CANDIDATES,),
    "coordination.k8s.io/v1alpha2": (_LEASE_CANDIDATES,),
    "internal.apiserver.k8s.io/v1alpha1": (_Row("storageversions", "StorageVersion", CLUSTER, status=True),),
    "lifecycle.k8s.io/v1alpha1": (
        _Row("evictionrequests", "EvictionRequest", NAMESPACED, status=True),
        _Row("evictions", "Eviction", NAMESPACED, status=True),
    ),
    "resource.k8s.io/v1beta2": (*_DEVICES, _TAINT_RULES),
    "resource.k8s.io/v1beta1": _DEVICES,
    "resource.k8s.io/v1alpha3": (
        _TAINT_RULES,
        _Row("resourcepoolstatusrequests", "ResourcePoolStatusRequest", CLUSTER, status=True),
    ),
    "scheduling.k8s.io/v1beta1": _POD_GROUPS,
    "scheduling.k8s.io/v1alpha3": (
        *_POD_GROUPS,
        _Row("compositepodgroups", "CompositePodGroup", NAMESPACED, status=True),
    ),
    "storagemigration.k8s.io/v1beta1": (
        _Row("storageversionmigrations", "StorageVersionMigration", CLUSTER, status=True),
    ),
}


def _build(table: dict[str, tuple[_Row, ...]]) -> Iterator[ResourceType]:
    for api_version, rows in table.items():
        group, _, version = api_version.rpartition("/")
        for row in rows:
            yield row.resource(group, version)


BUILTIN: tuple[ResourceType, ...] = tuple(_build(_SERVED))
OPTIONAL: tuple[ResourceType, ...] = tuple(_build(_ON_REQUEST))

_BY_KIND = {(rt.api_version, rt.kind): rt for rt in (*OPTIONAL, *BUILTIN)}


def by_kind(api_version: str, kind: str) -> ResourceType | None:
    """The resource whose objects say this `apiVersion` and `kind`."""
    return _BY_KIND.get((api_version, kind))


def _index(types: Iterable[ResourceType]) -> dict[str, ResourceType]:
    """Every word that `lookup` knows; where two resources claim one, the earlier in the table has it."""
    index: dict[str, ResourceType] = {}
    for rt in types:
        for word in (rt.plural, rt.singular, *rt.short_names):
            index.setdefault(word, rt)
            if rt.group:
                index.setdefault(f"{word}.{rt.group}", rt)
            index.setdefault(f"{word}.{rt.version}.{rt.group}", rt)
    return index


_BY_WORD = _index((*BUILTIN, *OPTIONAL))


def lookup(word: str) -> ResourceType:
    """The resource that kubectl would take this word for: `pods`, `po`, `deployments.apps`, `events.v1.events.k8s.io`.

    Raises KeyError for words that mean nothing.
    """
    return _BY_WORD[word.lower()]
