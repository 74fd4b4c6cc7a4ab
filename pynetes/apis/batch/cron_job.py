"""Cron jobs."""

import zoneinfo
from typing import Any, ClassVar

from pynetes.apis import metadata, printing
from pynetes.apis.batch import schedule
from pynetes.apis.batch.job import default_failure_policy, validate_job_spec
from pynetes.apis.checks import Errors
from pynetes.apis.core import pod_defaults, pod_warnings
from pynetes.apis.core.pod_defaults import fill
from pynetes.apis.printing import column, wide
from pynetes.apis.strategy import Strategy
from pynetes.machinery import meta
from pynetes.machinery.errors import FieldError
from pynetes.machinery.meta import Obj

CONCURRENCY = ("Allow", "Forbid", "Replace")
SPEC = {
    "concurrencyPolicy": "Allow",
    "suspend": False,
    "successfulJobsHistoryLimit": 3,
    "failedJobsHistoryLimit": 1,
}
# Jobs are named after their cron job and a time of eleven characters.
MAX_NAME = 52


class CronJobStrategy(Strategy):
    """A cron job."""

    tracks_generation = True
    initial_status: ClassVar[Obj] = {}
    columns = (
        printing.NAME,
        column("Schedule", description="When it runs."),
        column("Timezone", description="The time zone of the schedule."),
        column("Suspend", "boolean", "Whether it is suspended."),
        column("Active", "integer", "How many of its jobs run now."),
        column("Last Schedule", description="How long ago it ran last."),
        printing.AGE,
        wide("Containers", description="The names of the template's containers."),
        wide("Images", description="The images of the template's containers."),
        wide("Selector", description="Which pods its jobs control."),
    )

    def default(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        fill(spec, SPEC)
        template = spec.setdefault("jobTemplate", {})
        template.setdefault("metadata", {})
        template.setdefault("spec", {})
        _job_defaults(template["spec"])

    def validate(self, obj: Obj) -> list[FieldError]:
        errors = Errors(super().validate(obj))
        if len(meta.name(obj)) > MAX_NAME:
            errors.invalid("metadata.name", meta.name(obj), f"must be no more than {MAX_NAME} characters")
        zone = printing.spec(obj).get("timeZone")
        if zone is not None:
            _time_zone(errors, zone)
        return errors

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        spec = printing.spec(obj)
        text = spec.get("schedule") or ""
        if not text:
            errors.required("spec.schedule")
        else:
            fault = schedule.problem(text)
            if fault:
                errors.invalid("spec.schedule", text, fault)
            if "TZ" in text:
                errors.invalid(
                    "spec.schedule", text, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
                )
        for field in ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
            errors.non_negative(f"spec.{field}", spec.get(field))
        policy = spec.get("concurrencyPolicy")
        errors.required_one_of("spec.concurrencyPolicy", policy, CONCURRENCY)
        self._template(errors, spec.get("jobTemplate") or {})

    def _template(self, errors: Errors, template: Obj) -> None:
        spec = template.get("spec") or {}
        validate_job_spec(errors, spec, "spec.jobTemplate.spec")
        metadata.annotations(
            errors, (template.get("metadata") or {}).get("annotations"), "spec.jobTemplate.annotations"
        )
        if spec.get("selector") is not None:
            errors.invalid("spec.jobTemplate.spec.selector", spec["selector"], "`selector` will be auto-generated")
        if spec.get("manualSelector"):
            errors.unsupported("spec.jobTemplate.spec.manualSelector", spec["manualSelector"], ("nil", "false"))

    def validate_spec_update(self, errors: Errors, new: Obj, old: Obj) -> None:
        zone = printing.spec(new).get("timeZone")
        if zone is not None and zone != printing.spec(old).get("timeZone"):
            _time_zone(errors, zone)

    def warnings(self, obj: Obj) -> list[str]:
        spec = printing.spec(obj)
        template = (spec.get("jobTemplate") or {}).get("spec", {}).get("template") or {}
        return pod_warnings.pod_names(obj) + pod_warnings.for_template(template, "spec.jobTemplate.spec.template")

    def row(self, obj: Obj) -> list[Any]:
        spec, status = printing.spec(obj), printing.status(obj)
        last = status.get("lastScheduleTime")
        job = (spec.get("jobTemplate") or {}).get("spec") or {}
        return [
            meta.name(obj),
            spec.get("schedule", ""),
            spec.get("timeZone") or printing.NONE,
            "True" if spec.get("suspend") else "False",
            len(status.get("active") or []),
            printing.since(last) if last else printing.NONE,
            printing.age(obj),
            *printing.containers((job.get("template") or {}).get("spec") or {}),
            printing.label_selector(job.get("selector")),
        ]


def _job_defaults(spec: Obj) -> None:
    """A template's job spec gets the defaults of its parts only; the rest is given to each job when it is made."""
    default_failure_policy(spec)
    pod_defaults.pod_template(spec.setdefault("template", {}))


def _time_zone(errors: Errors, zone: str) -> None:
    if not zone:
        errors.invalid("spec.timeZone", zone, "timeZone must be nil or non-empty string")
    elif zone.lower() == "local":
        errors.invalid(
            "spec.timeZone",
            zone,
            "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
        )
    elif zone not in _zones():
        errors.invalid("spec.timeZone", zone, f"unknown time zone {zone}")


def _zones() -> set[str]:
    return zoneinfo.available_timezones()
