"""What may stand in a Job's status, and how it may change.

Any controller may run a Job (`spec.managedBy`), so the API server holds them all to the same rules. A rule is applied
only where what it speaks of changes: a status that was stored before the rule stays writable.
"""

from pynetes.apis import printing
from pynetes.apis.checks import Errors
from pynetes.machinery import meta
from pynetes.machinery.errors import OMITTED
from pynetes.machinery.meta import Obj

_COUNTS = ("active", "succeeded", "failed", "ready", "terminating")
_FINAL = ("Failed", "Complete", "FailureTarget")


class IndexesError(ValueError):
    """The text is no list of indexes; the message says why."""


def count_indexes(text: str, completions: int) -> int:
    """How many indexes `text` (`1,3-5,7`) lists, all of them below `completions` and in order."""
    total, last = 0, -1
    for part in text.split(",") if text else []:
        first, end = _interval(part, completions)
        if last >= first:
            raise IndexesError(f"non-increasing order, previous: {last}, current: {first}")
        total += end - first + 1
        last = end
    return total


def _interval(text: str, completions: int) -> tuple[int, int]:
    limits = text.split("-")
    if len(limits) > 2:
        raise IndexesError(
            f'the fragment "{text}" violates the requirement that an index interval can have at most two parts '
            "separated by '-'"
        )
    numbers = []
    for limit in limits:
        if not (limit.isascii() and limit.isdigit()):
            raise IndexesError(f'cannot convert string to integer for index: "{limit}"')
        if int(limit) >= completions:
            raise IndexesError(f'too large index: "{limit}"')
        numbers.append(int(limit))
    if len(numbers) == 2 and numbers[0] >= numbers[1]:
        raise IndexesError(f"non-increasing order, previous: {numbers[0]}, current: {numbers[1]}")
    return numbers[0], numbers[-1]


def validate(errors: Errors, new: Obj, old: Obj) -> None:
    """All rules."""
    status = printing.status(new)
    for field in _COUNTS:
        errors.non_negative(f"status.{field}", status.get(field))
    changed = {
        field
        for field in status.keys() | printing.status(old).keys()
        if status.get(field) != printing.status(old).get(field)
    }
    if "conditions" in changed:
        _conditions(errors, new)
    _completion_time(errors, new, old, changed)
    _finished(errors, new, changed)
    _indexes(errors, new, changed)
    ready = status.get("ready")
    if {"ready", "active"} & changed and ready is not None and ready > (status.get("active") or 0):
        errors.invalid("status.ready", ready, "cannot set more ready pods than active")
    _transition(errors, new, old)


def _conditions(errors: Errors, job: Obj) -> None:
    path = "status.conditions"
    complete, failed = meta.is_condition_true(job, "Complete"), meta.is_condition_true(job, "Failed")
    failing = meta.is_condition_true(job, "FailureTarget")
    if complete and failed:
        errors.invalid(path, OMITTED, "cannot set Complete=True and Failed=true conditions")
    if complete and failing:
        errors.invalid(path, OMITTED, "cannot set Complete=True and FailureTarget=true conditions")
    if failed and not failing:
        errors.invalid(path, OMITTED, "cannot set Failed=True condition without the FailureTarget=true condition")
    if complete and not meta.is_condition_true(job, "SuccessCriteriaMet"):
        errors.invalid(
            path, OMITTED, "cannot set Complete=True condition without the SuccessCriteriaMet=true condition"
        )


def _completion_time(errors: Errors, new: Obj, old: Obj, changed: set[str]) -> None:
    if not {"conditions", "completionTime", "startTime"} & changed:
        return
    status, path = printing.status(new), "status.completionTime"
    complete = meta.is_condition_true(new, "Complete")
    time, started = status.get("completionTime"), status.get("startTime")
    if time and not complete:
        errors.invalid(path, time, "cannot set completionTime when there is no Complete=True condition")
    if complete and not time:
        errors.required(path, "completionTime is required for Complete jobs")
    if time and started and time < started:
        errors.invalid(path, time, "completionTime cannot be set before startTime")
    before = printing.status(old).get("completionTime")
    if time and before and time != before:
        errors.invalid(path, time, "completionTime cannot be mutated")


def _finished(errors: Errors, job: Obj, changed: set[str]) -> None:
    """What must be over when a Job is."""
    if not (meta.is_condition_true(job, "Complete") or meta.is_condition_true(job, "Failed")):
        return
    status = printing.status(job)
    for field in ("active", "terminating"):
        if {"conditions", field} & changed and status.get(field, 0) > 0:
            errors.invalid(f"status.{field}", status[field], f"{field}>0 is invalid for finished job")
    suspended = printing.spec(job).get("suspend")
    if {"conditions", "startTime"} & changed and not status.get("startTime") and not suspended:
        errors.required("status.startTime", "startTime is required for finished job")
    uncounted = status.get("uncountedTerminatedPods") or {}
    if {"conditions", "uncountedTerminatedPods"} & changed and any(uncounted.values()):
        text = "uncountedTerminatedPods needs to be empty for finished job"
        errors.invalid("status.uncountedTerminatedPods", uncounted, text)


def _indexes(errors: Errors, job: Obj, changed: set[str]) -> None:
    spec, status = printing.spec(job), printing.status(job)
    for field in ("completedIndexes", "failedIndexes"):
        if field in changed and status.get(field) and spec.get("completions") is not None:
            try:
                count_indexes(status[field], spec["completions"])
            except IndexesError as error:
                errors.invalid(f"status.{field}", status[field], f"error parsing {field}: {error}")
    if "completedIndexes" in changed and status.get("completedIndexes") and spec.get("completionMode") != "Indexed":
        text = "cannot set non-empty completedIndexes when non-indexed completion mode"
        errors.invalid("status.completedIndexes", status["completedIndexes"], text)
    without = spec.get("backoffLimitPerIndex") is None
    if "failedIndexes" in changed and without and status.get("failedIndexes") is not None:
        text = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
        errors.invalid("status.failedIndexes", status["failedIndexes"], text)


def _transition(errors: Errors, new: Obj, old: Obj) -> None:
    for kind in _FINAL:
        if meta.is_condition_true(old, kind) and not meta.is_condition_true(new, kind):
            errors.invalid("status.conditions", OMITTED, f"cannot disable the terminal {kind}=True condition")
    after, before = printing.status(new), printing.status(old)
    for field in ("failed", "succeeded"):
        indexed = field == "succeeded" and printing.spec(new).get("completionMode") == "Indexed"
        if after.get(field, 0) < before.get(field, 0) and not indexed:
            errors.invalid(f"status.{field}", after.get(field, 0), f"cannot decrease the {field} counter")
    started = before.get("startTime")
    if started and after.get("startTime") != started and not printing.spec(new).get("suspend"):
        errors.required("status.startTime", "startTime cannot be removed for unsuspended job")
