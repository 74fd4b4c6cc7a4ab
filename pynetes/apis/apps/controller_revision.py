"""Controller revisions: immutable snapshots of a template."""

from typing import Any

from pynetes.apis import checks, printing
from pynetes.apis.checks import Errors
from pynetes.apis.printing import column
from pynetes.apis.strategy import Strategy
from pynetes.machinery import meta
from pynetes.machinery.meta import Obj


class ControllerRevisionStrategy(Strategy):
    """A controller revision."""

    columns = (
        printing.NAME,
        column("Controller", description="What the revision belongs to."),
        column("Revision", description="The revision's number."),
        printing.AGE,
    )

    def default(self, obj: Obj) -> None:
        obj.setdefault("revision", 0)

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        if obj.get("data") is None:
            errors.required("data", "data is mandatory")
        errors.non_negative("revision", obj.get("revision"))

    def validate_spec_update(self, errors: Errors, new: Obj, old: Obj) -> None:
        errors.unchanged("data", new.get("data"), old.get("data"), checks.IMMUTABLE)

    def row(self, obj: Obj) -> list[Any]:
        controller = meta.controller_of(obj)
        owner = printing.NONE
        if controller is not None:
            group = controller.get("apiVersion", "").rpartition("/")[0]
            kind = controller.get("kind", "").lower()
            owner = f"{kind}{f'.{group}' if group else ''}/{controller.get('name', '')}"
        return [meta.name(obj), owner, obj.get("revision", 0), printing.age(obj)]
