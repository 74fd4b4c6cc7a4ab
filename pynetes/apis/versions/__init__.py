"""Objects in their other versions.

Every object is stored in one version; the others are spellings of it, converted at the door. A version that differs is
a pair of functions in `CONVERSIONS`, to and from the stored one; where it differs only in names the pair is made from a
table. Versions that upstream has removed are the business of `apis.legacy`. Everything else is the same object under
another `apiVersion`.
"""

from collections.abc import Callable

from pynetes.apis.versions import autoscaling, events
from pynetes.machinery import resources
from pynetes.machinery.meta import Obj
from pynetes.machinery.resources import ResourceType

Converter = Callable[[Obj], Obj]

# (stored version, other version, kind): to the other version, back to the stored one.
CONVERSIONS: dict[tuple[str, str, str], tuple[Converter, Converter]] = {
    ("v1", "events.k8s.io/v1", "Event"): (events.to_new, events.to_core),
    ("autoscaling/v2", "autoscaling/v1", "HorizontalPodAutoscaler"): (autoscaling.to_v1, autoscaling.to_v2),
}
_HUBS = {
    ("events.k8s.io/v1", "Event"): "v1",
    ("autoscaling/v1", "HorizontalPodAutoscaler"): "autoscaling/v2",
}


def hub(resource: ResourceType) -> ResourceType:
    """The version a resource is stored in; itself for all but a few."""
    api_version = _HUBS.get((resource.api_version, resource.kind))
    found = resources.by_kind(api_version, resource.kind) if api_version else None
    return found or resource


def convert(obj: Obj, api_version: str) -> Obj:
    """The object in another version; the one given is not changed."""
    own, kind = obj.get("apiVersion", ""), obj.get("kind", "")
    if own == api_version:
        return obj
    pair = CONVERSIONS.get((own, api_version, kind))
    if pair is not None:
        return pair[0](obj) | {"apiVersion": api_version}
    pair = CONVERSIONS.get((api_version, own, kind))
    if pair is not None:
        return pair[1](obj) | {"apiVersion": api_version}
    from pynetes.apis import legacy

    return legacy.convert(obj, api_version) or obj | {"apiVersion": api_version}
