"""PodSecurity: namespaces say by label which of the Pod Security Standards their pods must meet.

`pod-security.kubernetes.io/enforce` refuses pods, `warn` warns about pods and about the templates of workloads, `audit`
notes in the audit log; each may be pinned to a version. When a namespace's enforced level is raised, the pods already
in it are looked at and the client is warned of those that would be refused now.
"""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from pynetes.apiserver.admission import Attributes, Plugin
from pynetes.apiserver.admission.pod_security_checks import LATEST, Violation, evaluate
from pynetes.machinery import errors, meta, resources
from pynetes.machinery.meta import Obj

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer

NAMESPACES = resources.lookup("namespaces")
PODS = resources.lookup("pods")
PREFIX = "pod-security.kubernetes.io/"
LEVELS = ("privileged", "baseline", "restricted")
_MODES = ("enforce", "audit", "warn")
_VERSION = re.compile(r"v1\.(0|[1-9][0-9]*)")
_MOST_PODS = 3000

_TEMPLATES = {
    "podtemplates": ("template",),
    "replicationcontrollers": ("spec", "template"),
    "replicasets.apps": ("spec", "template"),
    "deployments.apps": ("spec", "template"),
    "daemonsets.apps": ("spec", "template"),
    "statefulsets.apps": ("spec", "template"),
    "jobs.batch": ("spec", "template"),
    "cronjobs.batch": ("spec", "jobTemplate", "spec", "template"),
}


class Policy(NamedTuple):
    """A level at a version."""

    level: str = "privileged"
    version: str = "latest"

    @property
    def minor(self) -> int:
        return LATEST if self.version == "latest" else min(int(self.version.removeprefix("v1.")), LATEST)

    def __str__(self) -> str:
        return f"{self.level}:{self.version}"

    def violations(self, pod: Obj) -> list[Violation]:
        """What a pod (or a template) does against this policy."""
        return evaluate(self.level, self.minor, meta.annotations(pod), pod.get("spec") or {})


def policy(labels: dict[str, str], mode: str) -> Policy:
    """The policy of a namespace for one mode.

    A label that makes no sense enforces the strictest level. A namespace that enforces without saying what it warns
    about warns about what it would refuse, so that templates show it early.
    """
    if mode == "warn" and PREFIX + mode not in labels and labels.get(f"{PREFIX}enforce") in LEVELS:
        enforced = policy(labels, "enforce")
        own = labels.get(f"{PREFIX}warn-version", "")
        return Policy(enforced.level, own if _VERSION.fullmatch(own) or own == "latest" else enforced.version)
    level = labels.get(PREFIX + mode, "privileged")
    version = labels.get(f"{PREFIX}{mode}-version", "latest")
    if level not in LEVELS:
        level = "restricted" if mode == "enforce" else "privileged"
    if version != "latest" and not _VERSION.fullmatch(version):
        version = "latest"
    return Policy(level, version)


def label_errors(labels: dict[str, str]) -> list[errors.FieldError]:
    """What is wrong with a namespace's labels."""
    found = []
    for mode in _MODES:
        key = PREFIX + mode
        if key in labels and labels[key] not in LEVELS:
            detail = f"must be one of {', '.join(LEVELS)}"
            found.append(errors.invalid_value(f"metadata.labels[{key}]", labels[key], detail))
        key = f"{PREFIX}{mode}-version"
        if key in labels and labels[key] != "latest" and not _VERSION.fullmatch(labels[key]):
            detail = 'must be "latest" or "v1.x"'
            found.append(errors.invalid_value(f"metadata.labels[{key}]", labels[key], detail))
    return found


class PodSecurity(Plugin):
    """See the module."""

    name = "PodSecurity"

    async def validate(self, attributes: Attributes, server: "ApiServer") -> None:
        kind = attributes.group_resource
        if attributes.obj is None or attributes.operation not in ("CREATE", "UPDATE"):
            return
        if kind == "namespaces":
            if not attributes.subresource:
                self._namespace(attributes, server)
        elif kind == "pods":
            if attributes.subresource in ("", "ephemeralcontainers") and _is_significant(attributes):
                self._pod(attributes, server)
        elif kind in _TEMPLATES and not attributes.subresource:
            self._template(attributes, server, _TEMPLATES[kind])

    def _pod(self, attributes: Attributes, server: "ApiServer") -> None:
        assert attributes.obj is not None
        labels = _labels(attributes, server)
        enforce = policy(labels, "enforce")
        found = enforce.violations(attributes.obj)
        if found:
            raise attributes.forbidden(f'violates PodSecurity "{enforce}": {_joined(found)}')
        _advise(attributes, labels, attributes.obj)

    def _template(self, attributes: Attributes, server: "ApiServer", path: tuple[str, ...]) -> None:
        template, old = _follow(attributes.obj, path), _follow(attributes.old, path)
        if template is not None and template != old:
            _advise(attributes, _labels(attributes, server), template)

    def _namespace(self, attributes: Attributes, server: "ApiServer") -> None:
        assert attributes.obj is not None
        labels, name = meta.labels(attributes.obj), meta.name(attributes.obj)
        findings = label_errors(labels)
        if findings and (attributes.old is None or findings != label_errors(meta.labels(attributes.old))):
            raise errors.invalid("", "Namespace", name, findings)
        if attributes.operation != "UPDATE" or attributes.old is None:
            return
        new, old = policy(labels, "enforce"), policy(meta.labels(attributes.old), "enforce")
        weaker = LEVELS.index(new.level) < LEVELS.index(old.level)
        if new == old or new.level == "privileged" or (weaker and new.version == old.version):
            return
        attributes.warnings += _namespace_warnings(name, new, server.registry.list(PODS, name)[:_MOST_PODS])


def _labels(attributes: Attributes, server: "ApiServer") -> dict[str, str]:
    namespace = server.registry.get(NAMESPACES, None, attributes.namespace)
    return meta.labels(namespace) if namespace is not None else {}


def _advise(attributes: Attributes, labels: dict[str, str], pod: Obj) -> None:
    for mode in ("audit", "warn"):
        wanted = policy(labels, mode)
        found = wanted.violations(pod)
        if not found:
            continue
        said = f'would violate PodSecurity "{wanted}": {_joined(found)}'
        if mode == "audit":
            attributes.audit_annotations[f"{PREFIX}audit-violations"] = said
        else:
            attributes.warnings.append(said)


def _joined(found: Iterable[Violation]) -> str:
    return ", ".join(map(str, found))


def _follow(obj: Obj | None, path: tuple[str, ...]) -> Obj | None:
    for field in path:
        obj = (obj or {}).get(field)
    return obj


def _is_significant(attributes: Attributes) -> bool:
    """A pod's spec hardly changes after its creation: only added containers and profiles matter then."""
    if attributes.operation == "CREATE" or attributes.subresource == "ephemeralcontainers":
        return True
    new, old = meta.annotations(attributes.obj or {}), meta.annotations(attributes.old or {})
    keys = [key for key in new if key.startswith("container.apparmor.security.beta.kubernetes.io/")]
    return any(new[key] != old.get(key) for key in keys)


def _namespace_warnings(name: str, enforce: Policy, pods: list[Obj]) -> list[str]:
    by_finding: dict[str, list[str]] = {}
    for pod in pods:
        found = enforce.violations(pod)
        if found:
            by_finding.setdefault(", ".join(finding.reason for finding in found), []).append(meta.name(pod))
    if not by_finding:
        return []
    warnings = []
    for finding, names in by_finding.items():
        first, others = min(names), len(names) - 1
        rest = "" if not others else f" (and {others} other {'pod' if others == 1 else 'pods'})"
        warnings.append(f"{first}{rest}: {finding}")
    head = f'existing pods in namespace "{name}" violate the new PodSecurity enforce level "{enforce}"'
    return [head, *sorted(warnings)]
