"""Names of signers, such as `kubernetes.io/kubelet-serving` or `example.com/team.issuer`."""

from pynetes.apis.checks import Errors, NameCheck
from pynetes.machinery import names
from pynetes.machinery.errors import quote

_FORM = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
_DOMAIN_LIMIT = 253
_NAME_LIMIT = 253 + 1 + 63 + 1 + 253
"""A domain, a slash, and a path that may be a namespace, a dot and a name."""


def signer_name(errors: Errors, value: str, path: str) -> None:
    """A domain of at least two labels, a slash, and a dotted path."""
    if not value:
        errors.required(path)
        return
    segments = value.split("/")
    if len(segments) != 2:
        errors.invalid(path, value, _FORM)
        return
    domain, rest = segments
    if len(domain) > _DOMAIN_LIMIT:
        errors.too_long(path, _DOMAIN_LIMIT)
    _labels(errors, path, domain, names.dns1123_label)
    if "." not in domain:
        errors.invalid(path, domain, "should be a domain with at least two segments separated by dots")
    _labels(errors, path, rest, names.dns1123_subdomain)
    if len(value) > _NAME_LIMIT:
        errors.too_long(path, _NAME_LIMIT)


def _labels(errors: Errors, path: str, segment: str, check: NameCheck) -> None:
    """Report the first bad label of a dotted segment."""
    for label in segment.split("."):
        messages = check(label)
        if messages:
            for message in messages:
                errors.invalid(path, segment, f"validating label {quote(label)}: {message}")
            return
