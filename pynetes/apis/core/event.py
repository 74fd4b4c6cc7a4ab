"""Events, as both groups write them.

They are stored as core/v1 events; `versions` knows the other spelling (regarding, note, …). Events with an `eventTime`
follow the newer, stricter rules; those of old clients only need a namespace that agrees with their object's.
"""

from typing import Any, ClassVar

from pynetes.apis import printing
from pynetes.apis.checks import Errors
from pynetes.apis.printing import column, wide
from pynetes.apis.strategy import Strategy
from pynetes.machinery import meta, names
from pynetes.machinery.meta import Obj

_REFERENCE_FIELDS = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_NEWER_IMMUTABLE = ("involvedObject", "reason", "action", "reportingComponent", "reportingInstance", "type", "related")
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

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        involved = obj.get(self.object_field) or {}
        space = involved.get("namespace") or ""
        own = meta.namespace(obj)
        if (space and space != own) or (not space and own not in ("", "default")):
            errors.invalid(f"{self.object_field}.namespace", space, "does not match event.namespace")
        if obj.get("eventTime"):
            self._newer(errors, obj)

    def _newer(self, errors: Errors, obj: Obj) -> None:
        controller = obj.get(self.spelling.get("reportingComponent", "reportingComponent")) or ""
        if not controller:
            errors.required("reportingController")
        errors.check("reportingController", controller, names.qualified_name(controller) if controller else [])
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
        if len(note) > _NOTE_LIMIT:
            errors.invalid(self.spelling.get("message", "message"), "", f"can have at most {_NOTE_LIMIT} characters")
        if obj.get("type") not in ("Normal", "Warning"):
            errors.invalid("type", "", f"has invalid value: {obj.get('type') or ''}")

    def validate_spec_update(self, errors: Errors, new: Obj, old: Obj) -> None:
        if not new.get("eventTime") or not old.get("eventTime"):
            return
        for field in _NEWER_IMMUTABLE:
            named = self.spelling.get(field, field)
            if new.get(named) != old.get(named):
                errors.invalid(named, new.get(named), "field is immutable")

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
    """An events.k8s.io/v1 event: the same, with other names, and always by the newer rules."""

    object_field = "regarding"
    spelling: ClassVar[dict[str, str]] = {
        "involvedObject": "regarding",
        "reportingComponent": "reportingController",
        "message": "note",
    }

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        super().validate_spec(errors, obj)
        if not obj.get("eventTime"):
            errors.required("eventTime")
            self._newer(errors, obj)
        for field in ("deprecatedFirstTimestamp", "deprecatedLastTimestamp", "deprecatedCount", "deprecatedSource"):
            if obj.get(field):
                old_name = field.removeprefix("deprecated")
                name = old_name[0].lower() + old_name[1:]
                errors.invalid(name, "", "needs to be unset")
