"""The admissionregistration group: webhooks and policies that admission calls."""

from pynetes.apis.admissionregistration.policies import (
    MutatingPolicyStrategy,
    PolicyBindingStrategy,
    ValidatingPolicyStrategy,
)
from pynetes.apis.admissionregistration.webhooks import MutatingWebhookStrategy, ValidatingWebhookStrategy
from pynetes.apis.strategy import Strategy

_GROUP = "admissionregistration.k8s.io"

STRATEGIES: dict[str, type[Strategy]] = {
    f"mutatingadmissionpolicies.{_GROUP}": MutatingPolicyStrategy,
    f"mutatingadmissionpolicybindings.{_GROUP}": PolicyBindingStrategy,
    f"mutatingwebhookconfigurations.{_GROUP}": MutatingWebhookStrategy,
    f"validatingadmissionpolicies.{_GROUP}": ValidatingPolicyStrategy,
    f"validatingadmissionpolicybindings.{_GROUP}": PolicyBindingStrategy,
    f"validatingwebhookconfigurations.{_GROUP}": ValidatingWebhookStrategy,
}
