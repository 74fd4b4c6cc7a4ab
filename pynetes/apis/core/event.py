"""Events, as both groups write them.

They are stored as core/v1 events; `versions` knows the other spelling (regarding, note, …). Events with an `eventTime`
say who reports what; those of old clients only need a namespace that agrees with their object's. What comes by the
newer group is judged strictly, and never changes but in its series and its note.
"""

from typing import Any, ClassVar

from pynetes.apis import printing
from pynetes.apis.checks import Errors
from pynetes.apis.printing import column, wide
from pynetes.apis.strategy import Strategy
from pynetes.machinery import meta, names
from pynetes.machinery.errors import FieldError
from pynetes.machinery.meta import Obj

_REFERENCE_FIELDS = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
# Upstream has `message` here as well, but did not enforce any of this in 1.20, whose conformance test patches a note.
_IMMUTABLE = (
    *("involvedObject", "reason", "source", "firstTimestamp", "lastTimestamp", "count", "type", "eventTime"),
    *("action", "related", "reportingComponent", "reportingInstance"),
)
_LEAST_SERIES = 2
_NOTE_LIMIT, _REASON_LIMIT, _ACTION_LIMIT, _CONTROLLER_LIMIT = 1024, 128, 128, 128

EVENT_COLUMNS = (
    column("Last Seen", description="How long ago it happened last."),
    column("Type", description="Normal, or Warning."),
    column("Reason", description="Why it happened, in a word."),
    column("Object", description="What it happened to."),
    wide("Subobject", description="The part of the object it happened to."),
    wide("Source", description="Who reported it."),
    column("Message", description="What happened."),
    wide("First Seen", description="How long ago it happened first."),
    wide("Count", description="How often it happened."),
    wide("Name", description="The event's own name."),
)


class EventStrategy(Strategy):
    """A core/v1 event."""

    allow_create_on_update = True
    columns = EVENT_COLUMNS
    object_field: ClassVar[str] = "involvedObject"
    spelling: ClassVar[dict[str, str]] = {}
    controller_field: ClassVar[str] = "reportingComponent"

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        space = (obj.get(self.object_field) or {}).get("namespace") or ""
        own = meta.namespace(obj)
        if obj.get("eventTime"):
            agrees = bool(space) or own in ("default", "kube-system")
            self._newer(errors, obj)
        else:
            agrees = space == own if space else own in ("", "default")
        if not agrees:
            errors.invalid("involvedObject.namespace", space, "does not match event.namespace")

    def _newer(self, errors: Errors, obj: Obj) -> None:
        controller = obj.get(self.spelling.get("reportingComponent", "reportingComponent")) or ""
        if not controller:
            errors.required(self.controller_field)
        errors.check(self.controller_field, controller, names.qualified_name(controller))
        if not obj.get("reportingInstance"):
            errors.required("reportingInstance")
        elif len(obj["reportingInstance"]) > _CONTROLLER_LIMIT:
            errors.invalid("reportingInstance", "", f"can have at most {_CONTROLLER_LIMIT} characters")
        for field, limit in (("action", _ACTION_LIMIT), ("reason", _REASON_LIMIT)):
            if not obj.get(field):
                errors.required(field)
            elif len(obj[field]) > limit:
                errors.invalid(field, "", f"can have at most {limit} characters")
        note = obj.get(self.spelling.get("message", "message")) or ""
        if len(note.encode()) > _NOTE_LIMIT:
            errors.invalid("message", "", f"can have at most {_NOTE_LIMIT} characters")

    def row(self, obj: Obj) -> list[Any]:
        involved = obj.get(self.object_field) or {}
        source = obj.get("source") or obj.get("deprecatedSource") or {}
        component = source.get("component") or obj.get("reportingComponent") or obj.get("reportingController") or ""
        host = source.get("host") or obj.get("reportingInstance") or ""
        first = obj.get("firstTimestamp") or obj.get("deprecatedFirstTimestamp") or obj.get("eventTime")
        series = obj.get("series") or {}
        last = series.get("lastObservedTime") or obj.get("lastTimestamp") or obj.get("deprecatedLastTimestamp") or first
        count = series.get("count") or obj.get("count") or obj.get("deprecatedCount") or 1
        target = (involved.get("kind") or "").lower()
        if involved.get("name"):
            target += f"/{involved['name']}"
        return [
            printing.since(last),
            obj.get("type", ""),
            obj.get("reason", ""),
            target,
            involved.get("fieldPath", ""),
            ", ".join(filter(None, [component, host])),
            (obj.get("message") or obj.get("note") or "").strip(),
            printing.since(first),
            count,
            meta.name(obj),
        ]

    def selectable(self, obj: Obj) -> dict[str, str]:
        involved = obj.get(self.object_field) or {}
        source = obj.get("source") or obj.get("deprecatedSource") or {}
        controller = obj.get("reportingComponent") or obj.get("reportingController") or ""
        # In both spellings: an event written in one group is found by a selector of the other.
        found = {
            f"{spelling}.{field}": involved.get(field) or ""
            for spelling in ("involvedObject", "regarding")
            for field in _REFERENCE_FIELDS
        }
        return found | {
            "reason": obj.get("reason") or "",
            "reportingComponent": controller,
            "reportingController": controller,
            "source": source.get("component") or controller,
            "type": obj.get("type") or "",
        }


class NewEventStrategy(EventStrategy):
    """An events.k8s.io/v1 event: the same with other names, and strictly judged. Errors use the names of the core."""

    object_field = "regarding"
    spelling: ClassVar[dict[str, str]] = {
        "involvedObject": "regarding",
        "reportingComponent": "reportingController",
        "message": "note",
        "source": "deprecatedSource",
        "firstTimestamp": "deprecatedFirstTimestamp",
        "lastTimestamp": "deprecatedLastTimestamp",
        "count": "deprecatedCount",
    }
    controller_field = "reportingController"

    def validate(self, obj: Obj) -> list[FieldError]:
        errors = Errors(super().validate(obj))
        self._series(errors, obj)
        if not obj.get("eventTime"):
            errors.required("eventTime")
        if obj.get("type") not in ("Normal", "Warning"):
            errors.invalid("type", "", f"has invalid value: {obj.get('type') or ''}")
        for field in ("firstTimestamp", "lastTimestamp", "count", "source"):
            if obj.get(self.spelling[field]):
                errors.invalid(field, "", "needs to be unset")
        return errors

    def validate_spec_update(self, errors: Errors, new: Obj, old: Obj) -> None:
        if new.get("series") != old.get("series"):
            self._series(errors, new)
        for field in _IMMUTABLE:
            named = self.spelling.get(field, field)
            if (new.get(named) or None) != (old.get(named) or None):
                path = self.controller_field if field == "reportingComponent" else field
                errors.invalid(path, new.get(named), "field is immutable")

    def _series(self, errors: Errors, obj: Obj) -> None:
        series = obj.get("series")
        if series is None:
            return
        if (series.get("count") or 0) < _LEAST_SERIES:
            errors.invalid("series.count", "", f"should be at least {_LEAST_SERIES}")
        if not series.get("lastObservedTime"):
            errors.required("series.lastObservedTime")
