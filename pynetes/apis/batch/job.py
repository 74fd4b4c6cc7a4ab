"""Jobs.

A job's selector is made by the server from its own UID unless `manualSelector` says otherwise, so that two jobs never
claim the same pods. `default_job_spec` and `validate_job_spec` serve cron jobs' templates too.
"""

from typing import Any, ClassVar

from pynetes.apis import checks, printing
from pynetes.apis.apps import workload
from pynetes.apis.batch import job_status
from pynetes.apis.checks import Errors
from pynetes.apis.core import pod_defaults, pod_validation, pod_warnings
from pynetes.apis.core.pod_defaults import fill
from pynetes.apis.printing import column, wide
from pynetes.apis.strategy import Strategy
from pynetes.machinery import clock, meta, names, selectors, tables
from pynetes.machinery.errors import OMITTED
from pynetes.machinery.meta import Obj

COMPLETION_MODES = ("Indexed", "NonIndexed")
REPLACEMENT_POLICIES = ("Failed", "TerminatingOrFailed")
ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_VALID_ACTIONS = f"valid values: {', '.join(f'{chr(34)}{action}{chr(34)}' for action in ACTIONS)}"
UID_LABELS = ("batch.kubernetes.io/controller-uid", "controller-uid")
NAME_LABELS = ("batch.kubernetes.io/job-name", "job-name")
_MAX_RULES, _MAX_CODES, _MAX_PATTERNS, _MAX_PARALLEL_INDEXED = 20, 255, 20, 100_000
_MAX_BACKOFF_PER_INDEX, _MAX_SUCCESS_RULES = 100_000, 20
_MANY_COMPLETIONS, _FEW_AT_ONCE = 100_000, 10_000


def default_job_spec(spec: Obj) -> None:
    """Defaults of a JobSpec, wherever it stands."""
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    for field, value in (("parallelism", 1), ("suspend", False), ("completionMode", "NonIndexed")):
        if spec.get(field) is None:
            spec[field] = value
    if spec.get("backoffLimit") is None:
        spec["backoffLimit"] = 2**31 - 1 if spec.get("backoffLimitPerIndex") is not None else 6
    if spec.get("podReplacementPolicy") is None:
        spec["podReplacementPolicy"] = "Failed" if spec.get("podFailurePolicy") is not None else "TerminatingOrFailed"
    default_failure_policy(spec)
    if "manualSelector" in spec and spec["manualSelector"] is None:
        del spec["manualSelector"]
    template = spec.setdefault("template", {})
    pod_defaults.pod_template(template)


def default_failure_policy(spec: Obj) -> None:
    """Defaults of a JobSpec's podFailurePolicy."""
    for rule in (spec.get("podFailurePolicy") or {}).get("rules") or []:
        for pattern in rule.get("onPodConditions") or []:
            fill(pattern, {"status": "True"})


class JobStrategy(Strategy):
    """A job."""

    tracks_generation = True
    initial_status: ClassVar[Obj] = {}
    default_propagation = "Orphan"
    columns = (
        printing.NAME,
        column("Status", description="Running, Complete, Failed, Suspended and the like."),
        column("Completions", description="Pods that succeeded, of those wanted."),
        column("Duration", description="How long it ran, or has been running."),
        printing.AGE,
        wide("Containers", description="The names of the template's containers."),
        wide("Images", description="The images of the template's containers."),
        wide("Selector", description="Which pods it controls."),
    )

    def default(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        if not meta.labels(obj):
            labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
            if labels:
                obj.setdefault("metadata", {})["labels"] = dict(labels)
        default_job_spec(spec)

    def prepare_create_spec(self, obj: Obj) -> None:
        spec = obj["spec"]
        metadata_ = obj["metadata"]
        if not metadata_.get("uid"):
            metadata_["uid"] = meta.new_uid()
        if not spec.get("manualSelector"):
            _generate_selector(obj)

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        spec = printing.spec(obj)
        validate_job_spec(errors, spec, "spec")
        if spec.get("completionMode") == "Indexed" and spec.get("completions"):
            # Pod names and hostnames are the job's name and an index: they must fit.
            longest = f"{meta.name(obj)}-{spec['completions'] - 1}"
            if names.dns1123_label(longest):
                detail = f"will not able to create pod with invalid DNS name: {longest}"
                errors.invalid("metadata.name", meta.name(obj), detail)
        selector = spec.get("selector")
        if selector is None:
            errors.required("spec.selector")
            return
        faults = len(errors)
        checks.label_selector(errors, selector, "spec.selector")
        if len(errors) > faults:
            return
        labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
        if not selectors.from_label_selector(selector).matches(labels):
            errors.invalid("spec.template.metadata.labels", labels, workload.MISMATCH)
        if not spec.get("manualSelector"):
            _generated_selector(errors, obj, labels)

    def validate_spec_update(self, errors: Errors, new: Obj, old: Obj) -> None:
        after, before = printing.spec(new), printing.spec(old)
        _completions(errors, after, before)
        fixed = ["selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"]
        for field in fixed:
            errors.unchanged(f"spec.{field}", after.get(field), before.get(field))
        mutable_template = _rests(old)
        new_template = _fixed_part(after.get("template") or {}) if mutable_template else after.get("template")
        old_template = _fixed_part(before.get("template") or {}) if mutable_template else before.get("template")
        if new_template != old_template:
            errors.invalid("spec.template", after.get("template"), checks.IMMUTABLE)

    def validate_status(self, errors: Errors, new: Obj, old: Obj) -> None:
        job_status.validate(errors, new, old)

    def warnings(self, obj: Obj) -> list[str]:
        spec = printing.spec(obj)
        found = pod_warnings.pod_names(obj)
        found += pod_warnings.for_template(spec.get("template") or {}, "spec.template")
        if spec.get("completionMode") == "Indexed" and (spec.get("completions") or 0) > _MAX_PARALLEL_INDEXED:
            if (spec.get("parallelism") or 0) > 10_000:
                found.append(
                    "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, "
                    "Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
                )
        return found

    def row(self, obj: Obj) -> list[Any]:
        spec, status = printing.spec(obj), printing.status(obj)
        return [
            meta.name(obj),
            state(obj),
            _completed(spec, status),
            _duration(status),
            printing.age(obj),
            *printing.containers(printing.template_spec(obj)),
            printing.label_selector(spec.get("selector")),
        ]

    def selectable(self, obj: Obj) -> dict[str, str]:
        return {"status.successful": str(printing.status(obj).get("succeeded", 0))}


def state(obj: Obj) -> str:
    """The word for what the job is at."""
    for kind in ("Complete", "Failed"):
        if meta.is_condition_true(obj, kind):
            return kind
    if meta.is_deleting(obj):
        return "Terminating"
    if meta.is_condition_true(obj, "Suspended"):
        return "Suspended"
    if meta.is_condition_true(obj, "FailureTarget"):
        return "FailureTarget"
    return "Running"


def _completed(spec: Obj, status: Obj) -> str:
    done = status.get("succeeded", 0)
    if spec.get("completions") is not None:
        return f"{done}/{spec['completions']}"
    parallel = spec.get("parallelism") or 0
    return f"{done}/1 of {parallel}" if parallel > 1 else f"{done}/1"


def _duration(status: Obj) -> str:
    start, end = status.get("startTime"), status.get("completionTime")
    if not start:
        return ""
    until = clock.parse_time(end).timestamp() if end else clock.time()
    return tables.human_duration(until - clock.parse_time(start).timestamp())


def _generate_selector(obj: Obj) -> None:
    """Label the template with the job's UID and name, and select by the UID."""
    spec, uid = obj["spec"], obj["metadata"]["uid"]
    head = spec["template"].setdefault("metadata", {})
    labels = head["labels"] = dict(head.get("labels") or {})
    for label in UID_LABELS:
        labels[label] = uid
    for label in NAME_LABELS:
        labels[label] = meta.name(obj)
    selector = spec["selector"] = spec.get("selector") or {}
    selector.setdefault("matchLabels", {}).setdefault(UID_LABELS[0], uid)


def _generated_selector(errors: Errors, obj: Obj, labels: dict[str, str]) -> None:
    uid = meta.uid(obj)
    for label in UID_LABELS:
        if labels.get(label) != uid:
            errors.invalid(
                "spec.template.metadata.labels",
                labels,
                f"must have `batch.kubernetes.io/controller-uid` label with job's uid: {label}"
                if label not in labels
                else f"must be '{uid}'",
            )
            return
    for label in NAME_LABELS:
        if label not in labels:
            errors.required(f"spec.template.metadata.labels[{label}]", f"must be '{meta.name(obj)}'")
        elif labels[label] != meta.name(obj):
            errors.invalid(f"spec.template.metadata.labels[{label}]", labels, f"must be '{meta.name(obj)}'")
    matched = (printing.spec(obj).get("selector") or {}).get("matchLabels") or {}
    if not any(matched.get(label) == uid for label in UID_LABELS):
        errors.invalid("spec.selector", printing.spec(obj).get("selector"), "`selector` not auto-generated")


def validate_job_spec(errors: Errors, spec: Obj, path: str) -> None:
    """A JobSpec, wherever it stands, without what concerns its selector."""
    for field in (
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ):
        errors.non_negative(f"{path}.{field}", spec.get(field))
    mode = spec.get("completionMode")
    if mode is not None:
        errors.one_of(f"{path}.completionMode", mode, COMPLETION_MODES)
        if mode == "Indexed":
            _indexed(errors, spec, path)
    if mode != "Indexed":
        for field in ("backoffLimitPerIndex", "successPolicy"):
            if spec.get(field) is not None:
                errors.invalid(f"{path}.{field}", spec[field], "requires indexed completion mode")
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        errors.required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified")
    manager = spec.get("managedBy")
    if manager is not None:
        errors.check(f"{path}.managedBy", manager, names.domain_prefixed_path(manager))
        if len(manager) > 63:
            errors.too_long(f"{path}.managedBy", 63)
    _failure_policy(errors, spec, f"{path}.podFailurePolicy")
    replacement = spec.get("podReplacementPolicy")
    if replacement is not None:
        if spec.get("podFailurePolicy") is not None and replacement != "Failed":
            errors.unsupported(f"{path}.podReplacementPolicy", replacement, ("Failed",))
        elif replacement not in REPLACEMENT_POLICIES:
            errors.unsupported(f"{path}.podReplacementPolicy", replacement, REPLACEMENT_POLICIES)
    _success_policy(errors, spec, f"{path}.successPolicy")
    template = spec.get("template") or {}
    pod_validation.template(errors, template, f"{path}.template")
    restart = (template.get("spec") or {}).get("restartPolicy")
    where = f"{path}.template.spec.restartPolicy"
    if restart in (None, "", "Always"):
        errors.required(where, 'valid values: "OnFailure", "Never"')
    elif restart not in ("OnFailure", "Never"):
        errors.unsupported(where, restart, ("OnFailure", "Never"))
    elif spec.get("podFailurePolicy") is not None and restart != "Never":
        errors.invalid(where, restart, 'only "Never" is supported when podFailurePolicy is specified')


def _indexed(errors: Errors, spec: Obj, path: str) -> None:
    completions, parallelism = spec.get("completions"), spec.get("parallelism") or 0
    if completions is None:
        errors.required(f"{path}.completions", "when completion mode is Indexed")
        return
    if parallelism > _MAX_PARALLEL_INDEXED:
        errors.invalid(
            f"{path}.parallelism",
            parallelism,
            f"must be less than or equal to {_MAX_PARALLEL_INDEXED} when completion mode is Indexed",
        )
    limit = spec.get("maxFailedIndexes")
    if limit is not None and limit > completions:
        errors.invalid(f"{path}.maxFailedIndexes", limit, "must be less than or equal to completions")
    if limit is not None and limit > _MAX_BACKOFF_PER_INDEX:
        errors.invalid(f"{path}.maxFailedIndexes", limit, f"must be less than or equal to {_MAX_BACKOFF_PER_INDEX}")
    if completions > _MANY_COMPLETIONS and spec.get("backoffLimitPerIndex") is not None:
        _many_indexes(errors, parallelism, limit, path)


def _many_indexes(errors: Errors, parallelism: int, limit: int | None, path: str) -> None:
    """With so many indexes, those that failed can be listed only if they are few."""
    if limit is None:
        errors.required(f"{path}.maxFailedIndexes", f"must be specified when completions is above {_MANY_COMPLETIONS}")
    for field, value in (("parallelism", parallelism), ("maxFailedIndexes", limit or 0)):
        if value > _FEW_AT_ONCE:
            detail = (
                f"must be less than or equal to {_FEW_AT_ONCE} when completions are above {_MANY_COMPLETIONS} and "
                "used with backoff limit per index"
            )
            errors.invalid(f"{path}.{field}", value, detail)


def _failure_policy(errors: Errors, spec: Obj, path: str) -> None:
    policy = spec.get("podFailurePolicy")
    if policy is None:
        return
    containers = {
        c.get("name")
        for kind in ("containers", "initContainers")
        for c in ((spec.get("template") or {}).get("spec") or {}).get(kind) or []
    }
    rules = policy.get("rules") or []
    if len(rules) > _MAX_RULES:
        errors.too_many(f"{path}.rules", len(rules), _MAX_RULES)
    for index, rule in enumerate(rules):
        where = f"{path}.rules[{index}]"
        action = rule.get("action") or ""
        if action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
            errors.invalid(f"{where}.action", action, "requires the backoffLimitPerIndex to be set")
        elif errors.present(f"{where}.action", action, _VALID_ACTIONS):
            errors.one_of(f"{where}.action", action, ACTIONS)
        codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions") or []
        if codes is not None:
            _exit_codes(errors, codes, containers, f"{where}.onExitCodes")
        if len(conditions) > _MAX_PATTERNS:
            errors.too_many(f"{where}.onPodConditions", len(conditions), _MAX_PATTERNS)
        for position, pattern in enumerate(conditions):
            at = f"{where}.onPodConditions[{position}]"
            errors.check(f"{at}.type", pattern.get("type", ""), names.qualified_name(pattern.get("type", "")))
            errors.one_of(f"{at}.status", pattern.get("status"), ("False", "True", "Unknown"))
        if codes is not None and conditions:
            errors.invalid(where, OMITTED, "specifying both OnExitCodes and OnPodConditions is not supported")
        if codes is None and not conditions:
            errors.invalid(where, OMITTED, "specifying one of OnExitCodes and OnPodConditions is required")


def _exit_codes(errors: Errors, codes: Obj, containers: set[Any], path: str) -> None:
    operator, values = codes.get("operator") or "", codes.get("values") or []
    if errors.present(f"{path}.operator", operator, 'valid values: "In", "NotIn"'):
        errors.one_of(f"{path}.operator", operator, ("In", "NotIn"))
    name = codes.get("containerName")
    if name is not None and name not in containers:
        errors.invalid(
            f"{path}.containerName", name, "must be one of the container or initContainer names in the pod template"
        )
    if not values:
        errors.invalid(f"{path}.values", values, "at least one value is required")
    elif len(values) > _MAX_CODES:
        errors.too_many(f"{path}.values", len(values), _MAX_CODES)
    for index, value in enumerate(values):
        if operator == "In" and value == 0:
            errors.invalid(f"{path}.values[{index}]", value, "must not be 0 for the In operator")
        if value in values[:index]:
            errors.duplicate(f"{path}.values[{index}]", value)
    if values != sorted(values):
        errors.invalid(f"{path}.values", values, "must be ordered")


def _success_policy(errors: Errors, spec: Obj, path: str) -> None:
    policy = spec.get("successPolicy")
    if policy is None:
        return
    rules = policy.get("rules") or []
    if not rules:
        errors.required(f"{path}.rules", "at least one rules must be specified when the successPolicy is specified")
    if len(rules) > _MAX_SUCCESS_RULES:
        errors.too_many(f"{path}.rules", len(rules), _MAX_SUCCESS_RULES)
    for index, rule in enumerate(rules):
        where = f"{path}.rules[{index}]"
        if rule.get("succeededCount") is None and rule.get("succeededIndexes") is None:
            errors.required(where, "at least one of succeededCount or succeededIndexes must be specified")
        count, completions = rule.get("succeededCount"), spec.get("completions")
        listed = _succeeded_indexes(errors, rule.get("succeededIndexes"), completions, f"{where}.succeededIndexes")
        errors.non_negative(f"{where}.succeededCount", count)
        if count is not None and listed is not None and count > listed:
            errors.invalid(
                f"{where}.succeededCount",
                count,
                f"must be less than or equal to {listed} (the number of indexes in the specified succeededIndexes "
                "field)",
            )
        if count is not None and completions is not None and count > completions:
            errors.invalid(
                f"{where}.succeededCount",
                count,
                f"must be less than or equal to {completions} (the number of specified completions)",
            )


def _succeeded_indexes(errors: Errors, text: str | None, completions: int | None, path: str) -> int | None:
    """How many indexes a rule names; None if it names none, 0 if that cannot be told."""
    if text is None or completions is None:
        return None
    try:
        return job_status.count_indexes(text, completions)
    except job_status.IndexesError as error:
        errors.invalid(path, text, f"error parsing succeededIndexes: {error}")
        return 0


def _completions(errors: Errors, after: Obj, before: Obj) -> None:
    if after.get("completions") == before.get("completions"):
        return
    # An indexed job may grow or shrink with its parallelism (KEP-3715).
    if before.get("completionMode") != "Indexed" or after.get("completions") is None:
        errors.unchanged("spec.completions", after.get("completions"), before.get("completions"))
    elif after.get("completions") != after.get("parallelism"):
        errors.invalid(
            "spec.completions", after.get("completions"), "can only be modified in tandem with spec.parallelism"
        )


def _rests(job: Obj) -> bool:
    """Whether the job is suspended and none of its pods runs: it never started, or was stopped (KEP-5440)."""
    status = printing.status(job)
    if not printing.spec(job).get("suspend") or status.get("active"):
        return False
    return not status.get("startTime") or meta.is_condition_true(job, "Suspended")


def _fixed_part(template: Obj) -> Obj:
    """What of a resting job's template must not change: all but scheduling (KEP-2926) and resources (KEP-5440)."""
    head = {
        field: value
        for field, value in (template.get("metadata") or {}).items()
        if field not in ("labels", "annotations")
    }
    free = {"nodeSelector", "tolerations", "schedulingGates"}
    spec = {field: value for field, value in (template.get("spec") or {}).items() if field not in free}
    for kind in ("containers", "initContainers"):
        if spec.get(kind):
            spec[kind] = [{k: v for k, v in container.items() if k != "resources"} for container in spec[kind]]
    affinity = {field: value for field, value in (spec.pop("affinity", None) or {}).items() if field != "nodeAffinity"}
    return {"metadata": head, "spec": spec, "affinity": affinity}
