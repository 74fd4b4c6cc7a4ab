"""Cells of the tables that `kubectl get` shows.

Each kind writes its `columns` with `column` and `wide` and its `row` with the helpers here, so that the tables read as
data. Ages are computed when the row is made: a table is a picture of now.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pynetes.machinery import clock, meta, tables
from pynetes.machinery.meta import Obj
from pynetes.machinery.tables import Column

NONE = "<none>"
UNKNOWN = "<unknown>"
UNSET = "<unset>"


def column(name: str, kind: str = "string", description: str = "", *, format: str = "") -> Column:
    """A column that is always shown."""
    return Column(name=name, type=kind, description=description or name, priority=0, format=format)


def wide(name: str, kind: str = "string", description: str = "") -> Column:
    """A column that only `-o wide` shows."""
    return Column(name=name, type=kind, description=description or name, priority=1, format="")


NAME = column("Name", description="The object's name, unique within its namespace.", format="name")
AGE = column("Age", description="How long ago the object was created.")
NAME_AND_CREATED = (NAME, column("Created At", "date", "When the object was created."))
NAME_AND_AGE = (NAME, AGE)


def since(timestamp: str | None) -> str:
    """How long ago a time was, as kubectl writes it; `<unknown>` for none."""
    if not timestamp:
        return UNKNOWN
    return tables.human_duration(clock.time() - clock.parse_time(timestamp).timestamp())


def age(obj: Obj) -> str:
    """The age of an object."""
    return since(obj.get("metadata", {}).get("creationTimestamp"))


def joined(values: Iterable[Any]) -> str:
    """`a,b,c`, or `<none>`."""
    return ",".join(str(value) for value in values) or NONE


def truncated(values: list[str], limit: int) -> str:
    """`a,b,c + 2 more...`, or `<none>`."""
    if len(values) > limit:
        return f"{','.join(values[:limit])} + {len(values) - limit} more..."
    return joined(values)


def label_set(values: Mapping[str, str] | None) -> str:
    """`a=b,c=d` in key order, or `<none>`."""
    return joined(f"{key}={value}" for key, value in sorted((values or {}).items()))


_OPERATORS = {"In": "in", "NotIn": "notin"}


def _requirement(requirement: Obj) -> str:
    key, operator = requirement.get("key", ""), requirement.get("operator")
    if operator == "Exists":
        return key
    if operator == "DoesNotExist":
        return f"!{key}"
    return f"{key} {_OPERATORS.get(operator or '', operator)} ({','.join(sorted(requirement.get('values') or []))})"


def label_selector(selector: Obj | None) -> str:
    """A `metav1.LabelSelector` in the string form of selectors, or `<none>`."""
    if not selector:
        return NONE
    terms = {key: f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()}
    parts = sorted(terms.items())
    parts += [(each.get("key", ""), _requirement(each)) for each in selector.get("matchExpressions") or []]
    return joined(text for _, text in sorted(parts, key=lambda part: part[0]))


def containers(template_spec: Obj) -> list[str]:
    """The `Containers` and `Images` cells of a workload's pod template."""
    listed = template_spec.get("containers") or []
    return [
        ",".join(each.get("name", "") for each in listed),
        ",".join(each.get("image", "") for each in listed),
    ]


def template_spec(obj: Obj) -> Obj:
    """`spec.template.spec`, never None."""
    return ((obj.get("spec") or {}).get("template") or {}).get("spec") or {}


def spec(obj: Obj) -> Obj:
    """`spec`, never None."""
    return obj.get("spec") or {}


def status(obj: Obj) -> Obj:
    """`status`, never None."""
    return obj.get("status") or {}


def yes_no(value: object) -> str:
    """Go's spelling of a boolean."""
    return "true" if value else "false"


def name_age(obj: Obj) -> list[Any]:
    """The row of the kinds that show nothing but their name and age."""
    return [meta.name(obj), age(obj)]
