"""What `kubectl get` shows of controllers that keep so many copies of a pod: ReplicaSet and ReplicationController."""

from typing import Any

from pynetes.apis import printing
from pynetes.apis.printing import column, wide
from pynetes.machinery import meta
from pynetes.machinery.meta import Obj

COLUMNS = (
    printing.NAME,
    column("Desired", "integer", "How many pods there should be."),
    column("Current", "integer", "How many pods there are."),
    column("Ready", "integer", "How many of them are ready."),
    printing.AGE,
    wide("Containers", description="The names of the template's containers."),
    wide("Images", description="The images of the template's containers."),
    wide("Selector", description="Which pods it controls."),
)


def row(obj: Obj, selector: str) -> list[Any]:
    """The cells; `selector` is the selector as text."""
    spec, status = printing.spec(obj), printing.status(obj)
    return [
        meta.name(obj),
        spec.get("replicas", 0),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        printing.age(obj),
        *printing.containers(printing.template_spec(obj)),
        selector,
    ]
