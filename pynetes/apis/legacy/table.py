"""Every version of a kind that upstream once served and has removed, as a table.

A row says what the kind is today, since when upstream called the old version deprecated and when it was removed (that
is what clients are warned with), and how the two differ. Most differ in nothing but the name.
"""

from collections.abc import Iterator
from typing import Any

from pynetes.apis.admissionregistration.webhook_configuration import (
    MutatingWebhookConfigurationStrategy,
    WebhookConfigurationStrategy,
)
from pynetes.apis.certificates.certificate_signing_request import LEGACY_UNKNOWN, CertificateSigningRequestStrategy
from pynetes.apis.legacy import conversions, custom_resources, deployment_rollback
from pynetes.apis.legacy.changes import Change, Each, Move, OnlyNew, OnlyOld, Values, Whole
from pynetes.apis.legacy.defaults import FromTemplate, Value
from pynetes.apis.legacy.row import Legacy
from pynetes.apis.legacy.shape import (
    BOOLEAN,
    INT32,
    INT64,
    INT_OR_STRING,
    QUANTITY,
    STRING,
    Edit,
    array,
    ref,
    text_map,
)
from pynetes.apis.legacy.tolerant import Tolerant
from pynetes.apis.versions import events

NEVER = 2**31 - 1
_SELECTOR = ref("io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector")
_EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1"

# What several rows share.

_UNSELECTED = Edit(optional=("selector",))

_DEPLOYMENT_CHANGES = (Whole(conversions.rollback_to_new, conversions.rollback_to_old),)
_ROLLBACK = {"type": "object", "properties": {"revision": INT64}}
_DEPLOYMENT_EDITS = {
    "DeploymentSpec": Edit(
        optional=("selector",), add={"rollbackTo": (_ROLLBACK, "The revision to go back to; done and cleared.")}
    )
}

_ROLLING = ("spec.strategy.type", "RollingUpdate")
_EXTENSIONS_DEPLOYMENT = (
    FromTemplate(),
    Value("spec.strategy.type", "RollingUpdate"),
    Value("spec.strategy.rollingUpdate.maxSurge", 1, when=_ROLLING),
    Value("spec.strategy.rollingUpdate.maxUnavailable", 1, when=_ROLLING),
    Value("spec.progressDeadlineSeconds", NEVER),
    Value("spec.revisionHistoryLimit", NEVER),
)
_BETA_DEPLOYMENT = (FromTemplate(), Value("spec.revisionHistoryLimit", 2))

_GENERATION = (OnlyOld("spec.templateGeneration", "deprecated.daemonset.template.generation"),)
_GENERATION_EDIT = Edit(
    optional=("selector",), add={"templateGeneration": (INT64, "Counts the changes of the template.")}
)

_INGRESS_CHANGES = (
    Each("spec.backend", conversions.backend_to_new, conversions.backend_to_old),
    Each("spec.rules[].http.paths[].backend", conversions.backend_to_new, conversions.backend_to_old),
    Move("spec.backend", "spec.defaultBackend"),
)
_INGRESS_DEFAULTS = (Value("spec.rules[].http.paths[].pathType", "ImplementationSpecific"),)
_INGRESS_EDITS = {
    "IngressSpec": Edit(rename={"defaultBackend": "backend"}),
    "IngressBackend": Edit(
        drop=("service",),
        add={
            "serviceName": (STRING, "The name of the service."),
            "servicePort": (INT_OR_STRING, "The port of the service, by number or name."),
        },
    ),
    "HTTPIngressPath": Edit(optional=("pathType",)),
}

_EMPTY = "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match"
_NO_PODS = {"matchExpressions": [{"key": _EMPTY, "operator": "Exists"}]}
_ALL_PODS = {"matchExpressions": [{"key": _EMPTY, "operator": "DoesNotExist"}]}

_OLD_EFFECTS = ("Some", "Unknown")
_WEBHOOK_DEFAULTS = (
    Value("webhooks[].failurePolicy", "Ignore"),
    Value("webhooks[].matchPolicy", "Exact"),
    Value("webhooks[].sideEffects", "Unknown"),
    Value("webhooks[].timeoutSeconds", 30),
    Value("webhooks[].admissionReviewVersions", ["v1beta1"]),
)
_WEBHOOK_OPTIONAL = Edit(optional=("sideEffects", "admissionReviewVersions"))


class _ValidatingWebhooks(Tolerant, WebhookConfigurationStrategy):
    tolerated = ((r"webhooks\[\d+\]\.sideEffects", _OLD_EFFECTS),)


class _MutatingWebhooks(Tolerant, MutatingWebhookConfigurationStrategy):
    tolerated = ((r"webhooks\[\d+\]\.sideEffects", _OLD_EFFECTS),)


class _SigningRequests(Tolerant, CertificateSigningRequestStrategy):
    tolerated = ((r"spec\.signerName", (LEGACY_UNKNOWN,)),)


def _flat(drop: str, **fields: Any) -> Edit:
    return Edit(drop=tuple(drop.split()), add={name: (schema, "") for name, schema in fields.items()})


_FLAT: tuple[Change, ...] = (
    Whole(conversions.metrics_to_new, conversions.metrics_to_old),
    OnlyNew("spec.behavior", "autoscaling.alpha.kubernetes.io/behavior"),
)
_FLAT_METRICS = {
    "HorizontalPodAutoscalerSpec": Edit(drop=("behavior",)),
    "ResourceMetricSource": _flat("target", targetAverageUtilization=INT32, targetAverageValue=QUANTITY),
    "ContainerResourceMetricSource": _flat("target", targetAverageUtilization=INT32, targetAverageValue=QUANTITY),
    "PodsMetricSource": _flat("metric target", metricName=STRING, selector=_SELECTOR, targetAverageValue=QUANTITY),
    "ObjectMetricSource": _flat(
        "describedObject metric target",
        averageValue=QUANTITY,
        metricName=STRING,
        selector=_SELECTOR,
        target=ref("io.k8s.api.autoscaling.v2.CrossVersionObjectReference"),
        targetValue=QUANTITY,
    ),
    "ExternalMetricSource": _flat(
        "metric target",
        metricName=STRING,
        metricSelector=_SELECTOR,
        targetAverageValue=QUANTITY,
        targetValue=QUANTITY,
    ),
    "ResourceMetricStatus": _flat("current", currentAverageUtilization=INT32, currentAverageValue=QUANTITY),
    "ContainerResourceMetricStatus": _flat("current", currentAverageUtilization=INT32, currentAverageValue=QUANTITY),
    "PodsMetricStatus": _flat("metric current", currentAverageValue=QUANTITY, metricName=STRING, selector=_SELECTOR),
    "ObjectMetricStatus": _flat(
        "describedObject metric current",
        averageValue=QUANTITY,
        currentValue=QUANTITY,
        metricName=STRING,
        selector=_SELECTOR,
        target=ref("io.k8s.api.autoscaling.v2.CrossVersionObjectReference"),
    ),
    "ExternalMetricStatus": _flat(
        "metric current",
        currentAverageValue=QUANTITY,
        currentValue=QUANTITY,
        metricName=STRING,
        metricSelector=_SELECTOR,
    ),
}

_CRD_EDITS = {
    "CustomResourceDefinitionSpec": Edit(
        optional=("scope", "versions"),
        add={
            "additionalPrinterColumns": (
                array(ref(f"{_EXTENSIONS}.CustomResourceColumnDefinition")),
                "Columns of all versions.",
            ),
            "preserveUnknownFields": (BOOLEAN, "Whether fields that no schema names are kept. Default: true."),
            "subresources": (ref(f"{_EXTENSIONS}.CustomResourceSubresources"), "Subresources of all versions."),
            "validation": (ref(f"{_EXTENSIONS}.CustomResourceValidation"), "The schema of all versions."),
            "version": (STRING, "The first version."),
        },
    ),
    "CustomResourceColumnDefinition": Edit(rename={"jsonPath": "JSONPath"}),
    "CustomResourceConversion": Edit(
        drop=("webhook",),
        add={
            "conversionReviewVersions": (array(STRING), "The versions of reviews that the webhook understands."),
            "webhookClientConfig": (ref(f"{_EXTENSIONS}.WebhookClientConfig"), "How to call the webhook."),
        },
    ),
}

_SHARES = (Move("spec.limited.assuredConcurrencyShares", "spec.limited.nominalConcurrencyShares"),)
_SHARES_EDITS = {
    "LimitedPriorityLevelConfiguration": Edit(rename={"nominalConcurrencyShares": "assuredConcurrencyShares"})
}

_REVIEWED_GROUP: tuple[Change, ...] = (Move("spec.group", "spec.groups"),)
_REVIEWED_EDITS = {"SubjectAccessReviewSpec": Edit(rename={"groups": "group"})}

_SUBJECTS: tuple[Change, ...] = (Each("subjects[]", conversions.subject_to_new, conversions.subject_to_old),)
_SUBJECT_EDITS = {"Subject": Edit(rename={"apiGroup": "apiVersion"})}


def _same(api_version: str, kinds: str, of: str, deprecated: str, removed: str, **more: Any) -> Iterator[Legacy]:
    """Rows of kinds that share a history, and mostly have no other difference than their version."""
    for kind in kinds.split():
        yield Legacy(api_version, kind, of, deprecated, removed, **more)


_POLICIES = "networking.k8s.io/v1"
_ROLES = "rbac.authorization.k8s.io"
_FLOWS = "flowcontrol.apiserver.k8s.io"

TABLE: tuple[Legacy, ...] = (
    Legacy(
        "extensions/v1beta1", "Deployment", "apps/v1", "1.8", "1.16", aliases=False, orphans=True,
        subresources=(deployment_rollback.subresource("extensions/v1beta1"),),
        changes=_DEPLOYMENT_CHANGES, defaults=_EXTENSIONS_DEPLOYMENT, edits=_DEPLOYMENT_EDITS,
    ),
    Legacy(
        "extensions/v1beta1", "ReplicaSet", "apps/v1", "1.8", "1.16", aliases=False, orphans=True,
        defaults=(FromTemplate(),), edits={"ReplicaSetSpec": _UNSELECTED},
    ),
    Legacy(
        "extensions/v1beta1", "DaemonSet", "apps/v1", "1.8", "1.16", aliases=False, orphans=True,
        changes=_GENERATION,
        defaults=(FromTemplate(), Value("spec.updateStrategy.type", "OnDelete")),
        edits={"DaemonSetSpec": _GENERATION_EDIT},
    ),
    Legacy(
        "extensions/v1beta1", "Ingress", _POLICIES, "1.14", "1.22", aliases=False,
        changes=_INGRESS_CHANGES, defaults=_INGRESS_DEFAULTS, edits=_INGRESS_EDITS,
    ),
    Legacy("extensions/v1beta1", "NetworkPolicy", _POLICIES, "1.9", "1.16", aliases=False),
    Legacy("extensions/v1beta1", "PodSecurityPolicy", "policy/v1beta1", "1.11", "1.16", aliases=False),
    Legacy(
        "apps/v1beta1", "Deployment", "apps/v1", "1.8", "1.16", orphans=True,
        subresources=(deployment_rollback.subresource("apps/v1beta1"),),
        changes=_DEPLOYMENT_CHANGES, defaults=_BETA_DEPLOYMENT, edits=_DEPLOYMENT_EDITS,
    ),
    Legacy(
        "apps/v1beta1", "StatefulSet", "apps/v1", "1.8", "1.16", orphans=True,
        defaults=(FromTemplate(), Value("spec.updateStrategy.type", "OnDelete")),
        edits={"StatefulSetSpec": _UNSELECTED},
    ),
    *_same("apps/v1beta1", "ControllerRevision", "apps/v1", "1.8", "1.16"),
    *_same("apps/v1beta2", "ControllerRevision", "apps/v1", "1.9", "1.16"),
    *_same("apps/v1beta2", "DaemonSet Deployment ReplicaSet StatefulSet", "apps/v1", "1.9", "1.16", orphans=True),
    *_same("authentication.k8s.io/v1beta1", "TokenReview", "authentication.k8s.io/v1", "1.19", "1.22"),
    *_same(
        "authorization.k8s.io/v1beta1", "LocalSubjectAccessReview SubjectAccessReview", "authorization.k8s.io/v1",
        "1.19", "1.22", changes=_REVIEWED_GROUP, edits=_REVIEWED_EDITS,
    ),
    *_same(
        "authorization.k8s.io/v1beta1", "SelfSubjectAccessReview SelfSubjectRulesReview", "authorization.k8s.io/v1",
        "1.19", "1.22",
    ),
    *_same("autoscaling/v2beta2", "HorizontalPodAutoscaler", "autoscaling/v2", "1.23", "1.26"),
    Legacy(
        "autoscaling/v2beta1", "HorizontalPodAutoscaler", "autoscaling/v2", "1.22", "1.25",
        changes=_FLAT, edits=_FLAT_METRICS,
    ),
    Legacy(
        "autoscaling/v2alpha1", "HorizontalPodAutoscaler", "autoscaling/v2", "1.8", "1.9",
        changes=_FLAT, edits=_FLAT_METRICS,
    ),
    *_same("batch/v1beta1", "CronJob", "batch/v1", "1.21", "1.25", orphans=True),
    *_same("batch/v2alpha1", "CronJob", "batch/v1", "1.8", "1.21", orphans=True),
    Legacy(
        "certificates.k8s.io/v1beta1", "CertificateSigningRequest", "certificates.k8s.io/v1", "1.19", "1.22",
        defaults=(
            Value("spec.signerName", LEGACY_UNKNOWN),
            Value("spec.usages", ["digital signature", "key encipherment"]),
            Value("status.conditions[].status", "True"),
        ),
        edits={
            "CertificateSigningRequestSpec": Edit(optional=("signerName",)),
            "CertificateSigningRequestCondition": Edit(optional=("status",)),
        },
        writer=_SigningRequests,
    ),
    *_same("networking.k8s.io/v1beta1", "IngressClass", _POLICIES, "1.19", "1.22"),
    Legacy(
        "networking.k8s.io/v1beta1", "Ingress", _POLICIES, "1.19", "1.22",
        changes=_INGRESS_CHANGES, defaults=_INGRESS_DEFAULTS, edits=_INGRESS_EDITS,
    ),
    Legacy(
        "policy/v1beta1", "PodDisruptionBudget", "policy/v1", "1.21", "1.25",
        # Empty meant no pods then, and means all of them now.
        changes=(Values("spec.selector", (({}, _NO_PODS), (_ALL_PODS, {}))),),
    ),
    *_same(
        f"{_ROLES}/v1beta1", "ClusterRole ClusterRoleBinding Role RoleBinding", f"{_ROLES}/v1", "1.17", "1.22"
    ),
    *_same(f"{_ROLES}/v1alpha1", "ClusterRole Role", f"{_ROLES}/v1", "1.17", "1.23"),
    *_same(
        f"{_ROLES}/v1alpha1", "ClusterRoleBinding RoleBinding", f"{_ROLES}/v1", "1.17", "1.23",
        changes=_SUBJECTS, edits=_SUBJECT_EDITS,
    ),
    *_same(
        "storage.k8s.io/v1beta1", "CSIDriver StorageClass VolumeAttachment", "storage.k8s.io/v1", "1.19", "1.22"
    ),
    *_same("storage.k8s.io/v1beta1", "CSINode", "storage.k8s.io/v1", "1.17", "1.22"),
    *_same("storage.k8s.io/v1beta1", "CSIStorageCapacity", "storage.k8s.io/v1", "1.24", "1.27"),
    *_same(
        "admissionregistration.k8s.io/v1beta1", "ValidatingWebhookConfiguration", "admissionregistration.k8s.io/v1",
        "1.16", "1.22", writer=_ValidatingWebhooks,
        defaults=_WEBHOOK_DEFAULTS, edits={"ValidatingWebhook": _WEBHOOK_OPTIONAL},
    ),
    *_same(
        "admissionregistration.k8s.io/v1beta1", "MutatingWebhookConfiguration", "admissionregistration.k8s.io/v1",
        "1.16", "1.22", writer=_MutatingWebhooks,
        defaults=_WEBHOOK_DEFAULTS, edits={"MutatingWebhook": _WEBHOOK_OPTIONAL},
    ),
    Legacy(
        "apiextensions.k8s.io/v1beta1", "CustomResourceDefinition", "apiextensions.k8s.io/v1", "1.16", "1.22",
        changes=(Whole(custom_resources.to_new, custom_resources.to_old),),
        defaults=(custom_resources.Defaults(),),
        edits=_CRD_EDITS,
    ),
    *_same("apiregistration.k8s.io/v1beta1", "APIService", "apiregistration.k8s.io/v1", "1.19", "1.22"),
    *_same("scheduling.k8s.io/v1beta1", "PriorityClass", "scheduling.k8s.io/v1", "1.14", "1.22"),
    *_same("scheduling.k8s.io/v1alpha1", "PriorityClass", "scheduling.k8s.io/v1", "1.14", "1.22"),
    *_same("coordination.k8s.io/v1beta1", "Lease", "coordination.k8s.io/v1", "1.19", "1.22"),
    *_same("node.k8s.io/v1beta1", "RuntimeClass", "node.k8s.io/v1", "1.22", "1.25", use=""),
    Legacy(
        "node.k8s.io/v1alpha1", "RuntimeClass", "node.k8s.io/v1", "1.20", "1.22",
        changes=(Whole(conversions.runtime_class_to_new, conversions.runtime_class_to_old),),
        edits={
            "RuntimeClass": Edit(
                drop=("handler", "overhead", "scheduling"),
                add={
                    "spec": (
                        {
                            "type": "object",
                            "properties": {
                                "overhead": ref("io.k8s.api.node.v1.Overhead"),
                                "runtimeHandler": STRING,
                                "scheduling": ref("io.k8s.api.node.v1.Scheduling"),
                            },
                        },
                        "The class.",
                    )
                },
                required=("spec",),
            )
        },
    ),
    Legacy(
        "discovery.k8s.io/v1beta1", "EndpointSlice", "discovery.k8s.io/v1", "1.21", "1.25",
        changes=(Each("endpoints[]", conversions.topology_to_new, conversions.topology_to_old),),
        edits={
            "Endpoint": Edit(
                drop=("deprecatedTopology", "zone"),
                add={"topology": (text_map(), "Where the endpoint is, as labels.")},
            )
        },
    ),
    Legacy(
        "events.k8s.io/v1beta1", "Event", "v1", "1.22", "1.25", use="",
        changes=tuple(Move(new, old) for old, new in events.NAMES.items()),
        edits={"Event": Edit(rename=events.NAMES)},
    ),
    Legacy(
        f"{_FLOWS}/v1beta1", "FlowSchema", f"{_FLOWS}/v1", "1.23", "1.26", use=f"{_FLOWS}/v1beta2 FlowSchema"
    ),
    Legacy(
        f"{_FLOWS}/v1beta1", "PriorityLevelConfiguration", f"{_FLOWS}/v1", "1.23", "1.26",
        use=f"{_FLOWS}/v1beta2 PriorityLevelConfiguration", changes=_SHARES, edits=_SHARES_EDITS,
    ),
    Legacy(
        f"{_FLOWS}/v1beta2", "FlowSchema", f"{_FLOWS}/v1", "1.26", "1.29", use=f"{_FLOWS}/v1beta3 FlowSchema"
    ),
    Legacy(
        f"{_FLOWS}/v1beta2", "PriorityLevelConfiguration", f"{_FLOWS}/v1", "1.26", "1.29",
        use=f"{_FLOWS}/v1beta3 PriorityLevelConfiguration", changes=_SHARES, edits=_SHARES_EDITS,
    ),
    *_same(f"{_FLOWS}/v1beta3", "FlowSchema PriorityLevelConfiguration", f"{_FLOWS}/v1", "1.29", "1.32"),
)  # fmt: skip
