"""The admissionregistration.k8s.io group: webhooks and policies that requests must pass."""

from pynetes.apis.admissionregistration.admission_policy import (
    MutatingAdmissionPolicyStrategy,
    PolicyBindingStrategy,
    ValidatingAdmissionPolicyBindingStrategy,
    ValidatingAdmissionPolicyStrategy,
)
from pynetes.apis.admissionregistration.webhook_configuration import (
    MutatingWebhookConfigurationStrategy,
    WebhookConfigurationStrategy,
)
from pynetes.apis.strategy import Strategy

STRATEGIES: dict[str, type[Strategy]] = {
    "mutatingadmissionpolicies.admissionregistration.k8s.io": MutatingAdmissionPolicyStrategy,
    "mutatingadmissionpolicybindings.admissionregistration.k8s.io": PolicyBindingStrategy,
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": MutatingWebhookConfigurationStrategy,
    "validatingadmissionpolicies.admissionregistration.k8s.io": ValidatingAdmissionPolicyStrategy,
    "validatingadmissionpolicybindings.admissionregistration.k8s.io": ValidatingAdmissionPolicyBindingStrategy,
    "validatingwebhookconfigurations.admissionregistration.k8s.io": WebhookConfigurationStrategy,
}
