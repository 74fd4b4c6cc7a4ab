"""Conditions of flow schemas and priority levels."""

from pynetes.apis import printing
from pynetes.apis.checks import Errors
from pynetes.machinery.meta import Obj


def validate(errors: Errors, obj: Obj) -> None:
    """Each type once, and none empty."""
    conditions = printing.status(obj).get("conditions") or []
    types = [each.get("type", "") for each in conditions]
    for index, kind in enumerate(types):
        if kind in types[:index]:
            errors.duplicate(f"status.conditions[{index}].type", kind)
        if not kind:
            errors.required(f"status.conditions[{index}].type", "must not be empty")
