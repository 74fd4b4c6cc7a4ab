"""The admission chain: upstream's plugins in upstream's order, upstream's defaults.

`admit` runs every plugin's `admit` in order, `validate` every plugin's `validate`. Which plugins take part is said by
`--enable-admission-plugins` and `--disable-admission-plugins`, as upstream: both add to and take from the defaults, and
their order does not matter. Escalation prevention comes last and cannot be switched off.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pynetes.apiserver.admission import Attributes, Plugin
from pynetes.apiserver.admission.certificates import (
    CertificateApproval,
    CertificateSigning,
    CertificateSubjectRestriction,
    ClusterTrustBundleAttest,
)
from pynetes.apiserver.admission.limit_ranger import LimitRanger
from pynetes.apiserver.admission.namespace_lifecycle import NamespaceAutoProvision, NamespaceExists, NamespaceLifecycle
from pynetes.apiserver.admission.node_restriction import NodeRestriction
from pynetes.apiserver.admission.owner_references import OwnerReferencesPermissionEnforcement
from pynetes.apiserver.admission.pod_node_selector import PodNodeSelector
from pynetes.apiserver.admission.pod_resize import PodResizeValidator
from pynetes.apiserver.admission.pod_security import PodSecurity
from pynetes.apiserver.admission.pod_toleration_restriction import PodTolerationRestriction
from pynetes.apiserver.admission.policies import MutatingAdmissionPolicy, ValidatingAdmissionPolicy
from pynetes.apiserver.admission.priority import Priority
from pynetes.apiserver.admission.rbac_escalation import RbacEscalation
from pynetes.apiserver.admission.resource_quota import ResourceQuota
from pynetes.apiserver.admission.runtime_class import RuntimeClass
from pynetes.apiserver.admission.service_account import ServiceAccount
from pynetes.apiserver.admission.small import (
    AlwaysAdmit,
    AlwaysDeny,
    AlwaysPullImages,
    DefaultIngressClass,
    DefaultStorageClass,
    DefaultTolerationSeconds,
    DenyServiceExternalIPs,
    ExtendedResourceToleration,
    LimitPodHardAntiAffinityTopology,
    PodTopologyLabels,
    StorageObjectInUseProtection,
    TaintNodesByCondition,
)
from pynetes.apiserver.admission.storage_resize import PersistentVolumeClaimResize
from pynetes.apiserver.admission.webhooks import MutatingAdmissionWebhook, ValidatingAdmissionWebhook
from pynetes.apiserver.options import Options

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer

ORDER: tuple[Callable[[], Plugin], ...] = (
    AlwaysAdmit,
    NamespaceAutoProvision,
    NamespaceLifecycle,
    NamespaceExists,
    LimitPodHardAntiAffinityTopology,
    LimitRanger,
    ServiceAccount,
    NodeRestriction,
    TaintNodesByCondition,
    AlwaysPullImages,
    PodSecurity,
    PodNodeSelector,
    Priority,
    DefaultTolerationSeconds,
    PodTolerationRestriction,
    ExtendedResourceToleration,
    DefaultStorageClass,
    StorageObjectInUseProtection,
    OwnerReferencesPermissionEnforcement,
    PersistentVolumeClaimResize,
    RuntimeClass,
    CertificateApproval,
    CertificateSigning,
    ClusterTrustBundleAttest,
    CertificateSubjectRestriction,
    DefaultIngressClass,
    DenyServiceExternalIPs,
    PodTopologyLabels,
    PodResizeValidator,
    MutatingAdmissionPolicy,
    MutatingAdmissionWebhook,
    ValidatingAdmissionPolicy,
    ValidatingAdmissionWebhook,
    ResourceQuota,
    AlwaysDeny,
)

# NodeRestriction is not among upstream's defaults, but every installer turns it on; so does pynetes.
DEFAULT = frozenset(
    {
        "NamespaceLifecycle",
        "LimitRanger",
        "ServiceAccount",
        "NodeRestriction",
        "TaintNodesByCondition",
        "PodSecurity",
        "Priority",
        "DefaultTolerationSeconds",
        "DefaultStorageClass",
        "StorageObjectInUseProtection",
        "PersistentVolumeClaimResize",
        "RuntimeClass",
        "CertificateApproval",
        "CertificateSigning",
        "ClusterTrustBundleAttest",
        "CertificateSubjectRestriction",
        "DefaultIngressClass",
        "PodTopologyLabels",
        "PodResizeValidator",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionWebhook",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionWebhook",
        "ResourceQuota",
    }
)


class Chain:
    """The plugins that take part, in order.

    When a mutating webhook changed the object, the changing plugins run once more over the outcome, so that a default
    filled in early also reaches what the webhook added; webhooks join in if they asked to (`reinvocationPolicy`).
    """

    def __init__(self, plugins: Sequence[Plugin]) -> None:
        self.plugins = list(plugins)
        self._admitting = [plugin.admit for plugin in plugins if type(plugin).admit is not Plugin.admit]
        self._validating = [plugin.validate for plugin in plugins if type(plugin).validate is not Plugin.validate]

    async def admit(self, attributes: Attributes, server: "ApiServer") -> None:
        """Let every plugin change the object, or refuse it."""
        for admit in self._admitting:
            await admit(attributes, server)
        if attributes.changed_by_webhook:
            attributes.reinvoked = True
            for admit in self._admitting:
                await admit(attributes, server)

    async def validate(self, attributes: Attributes, server: "ApiServer") -> None:
        """Let every plugin refuse the object."""
        for validate in self._validating:
            await validate(attributes, server)

    def start(self, server: "ApiServer") -> None:
        """Let the plugins that follow the store begin; needs a running event loop."""
        for plugin in self.plugins:
            plugin.start(server)

    async def stop(self) -> None:
        """End what the plugins run."""
        for plugin in self.plugins:
            await plugin.stop()


def build(options: Options) -> Chain:
    """The chain of the default plugins, with some added and taken away; ValueError for unknown names."""
    enable, disable = options.enable_admission_plugins, options.disable_admission_plugins
    plugins = [make() for make in ORDER]
    known = {plugin.name for plugin in plugins}
    for name in (*enable, *disable):
        if name not in known:
            raise ValueError(f"unknown admission plugin {name!r}; known are {', '.join(sorted(known))}")
    wanted = (DEFAULT | set(enable)) - set(disable)
    return Chain([*(plugin for plugin in plugins if plugin.name in wanted), RbacEscalation()])
