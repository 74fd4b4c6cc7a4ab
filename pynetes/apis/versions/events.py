"""Events in core/v1 and events.k8s.io/v1: the same facts under other names."""

from pynetes.machinery.meta import Obj

NAMES = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
_BACK = {new: old for old, new in NAMES.items()}


def to_new(event: Obj) -> Obj:
    """A core/v1 event as events.k8s.io/v1 spells it."""
    return {NAMES.get(field, field): value for field, value in event.items()}


def to_core(event: Obj) -> Obj:
    """An events.k8s.io/v1 event as core/v1 spells it."""
    return {_BACK.get(field, field): value for field, value in event.items()}
