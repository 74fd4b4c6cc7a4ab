"""What all workloads of the apps group share: a fixed label selector, and a pod template it must match."""

from pynetes.apis import checks, printing
from pynetes.apis.checks import Errors
from pynetes.apis.core import pod_validation, pod_warnings
from pynetes.apis.strategy import Strategy
from pynetes.machinery import selectors
from pynetes.machinery.errors import NIL_MAP
from pynetes.machinery.meta import Obj

EMPTY_SELECTOR = "empty selector is invalid for {}"
MISMATCH = "`selector` does not match template `labels`"


class WorkloadStrategy(Strategy):
    """A workload with `spec.selector` and `spec.template`."""

    tracks_generation = True

    def validate_spec_update(self, errors: Errors, new: Obj, old: Obj) -> None:
        self.fixed_selector(errors, new, old)

    def fixed_selector(self, errors: Errors, new: Obj, old: Obj) -> None:
        """The selector is written once."""
        errors.unchanged("spec.selector", printing.spec(new).get("selector"), printing.spec(old).get("selector"))

    def warnings(self, obj: Obj) -> list[str]:
        template = printing.spec(obj).get("template") or {}
        return pod_warnings.pod_names(obj) + pod_warnings.for_template(template, "spec.template")


def selector_and_template(errors: Errors, spec: Obj, kind: str, *, required: bool = True) -> None:
    """A non-empty selector that selects the template's labels; one that is missing selects nothing."""
    selector = spec.get("selector")
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or NIL_MAP
    if selector is None:
        if required:
            errors.required("spec.selector")
        errors.invalid("spec.template.metadata.labels", labels, MISMATCH)
        return
    before = len(errors)
    checks.label_selector(errors, selector, "spec.selector")
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        errors.invalid("spec.selector", selector, EMPTY_SELECTOR.format(kind))
    elif len(errors) == before and not selectors.from_label_selector(selector).matches(labels):
        errors.invalid("spec.template.metadata.labels", labels, MISMATCH)


def template(errors: Errors, spec: Obj, owner: str) -> None:
    """The pod template of a workload whose pods restart always."""
    value = spec.get("template") or {}
    pod_validation.template(errors, value, "spec.template")
    pods = value.get("spec") or {}
    if pods.get("restartPolicy") != "Always":
        errors.unsupported("spec.template.spec.restartPolicy", pods.get("restartPolicy"), ("Always",))
    if pods.get("activeDeadlineSeconds") is not None:
        errors.forbidden(
            "spec.template.spec.activeDeadlineSeconds", f"activeDeadlineSeconds in {owner} is not Supported"
        )


def status_counts(errors: Errors, status: Obj, fields: tuple[str, ...]) -> None:
    """Counts in a status are not negative."""
    for field in fields:
        errors.non_negative(f"status.{field}", status.get(field))


def at_most(errors: Errors, status: Obj, pairs: tuple[tuple[str, str], ...]) -> None:
    """In each pair the first count may not exceed the second."""
    for small, large in pairs:
        value = status.get(small) or 0
        if value > (status.get(large) or 0):
            errors.invalid(f"status.{small}", value, f"cannot be greater than {_WORDS.get(large, large)}")


_WORDS = {"replicas": "status.replicas", "readyReplicas": "readyReplicas"}


def collision_count(errors: Errors, new: Obj, old: Obj) -> None:
    """The count of hash collisions only grows."""
    after, before = (new.get("status") or {}).get("collisionCount"), (old.get("status") or {}).get("collisionCount")
    if before is not None and (after is None or after < before):
        errors.invalid("status.collisionCount", after, "cannot be decremented")
