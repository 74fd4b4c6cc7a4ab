"""The behaviour of custom resources, as one version of a definition says it.

A `CustomResourceStrategy` is made for each served version. `receive` gives an untyped body the shape of the kind
(metadata typed, unknown fields pruned), `default` fills in the schema's defaults, validation checks value against
schema. On an update, what did not change is not looked at again.
"""

from typing import Any

from pynetes.apis import printing
from pynetes.apis.apiextensions import expressions, json_path, shape, values
from pynetes.apis.checks import Errors
from pynetes.apis.metadata import STANDARD_FINALIZERS
from pynetes.apis.strategy import ScaleSpec, Strategy
from pynetes.machinery import errors as status_errors
from pynetes.machinery import meta, scheme, selectors, wire
from pynetes.machinery.errors import FieldError, StatusError, quote
from pynetes.machinery.meta import Obj
from pynetes.machinery.resources import ResourceType
from pynetes.machinery.tables import Column

_METADATA = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_INT32_LIMIT = 2**31 - 1


class CustomResourceStrategy(Strategy):
    """One version of a custom kind."""

    tracks_generation = True
    any_finalizer = True
    allow_create_on_update = False
    allow_unconditional_update = False
    status_keeps = ("labels", "annotations", "finalizers", "ownerReferences")

    def __init__(self, resource: ResourceType, version: Obj) -> None:
        super().__init__(resource)
        self.schema: Obj = (version.get("schema") or {}).get("openAPIV3Schema") or {}
        self._has_rules = expressions.has_rules(self.schema)
        self._printed = version.get("additionalPrinterColumns") or []
        self._selected = [each["jsonPath"] for each in version.get("selectableFields") or []]
        self.columns = _columns(self._printed)
        self.scale = _scale(version)
        self.deprecated = _deprecation(resource, version)

    # The shape of the kind.

    def receive(self, obj: Obj) -> list[str]:
        """Type the metadata and prune what the schema does not name; returns the paths of what was pruned."""
        metadata = obj.get("metadata")
        if metadata is not None:
            try:
                obj["metadata"] = scheme.convert(_METADATA, metadata)
            except StatusError as error:
                kind, version = self.resource.kind, self.resource.version
                reason = error.message.partition(": ")[2]
                message = f'{kind} in version "{version}" cannot be handled as a {kind}: {reason}'
                raise status_errors.bad_request(message) from error
        dropped = shape.prune(obj, self.schema, is_resource=True)
        try:
            shape.type_metadata(obj, self.schema)
        except ValueError as error:
            kind, version = self.resource.kind, self.resource.version
            message = f'{kind} in version "{version}" cannot be handled as a {kind}: {error}'
            raise status_errors.bad_request(message) from None
        return dropped

    def default(self, obj: Obj) -> None:
        shape.default(obj, self.schema)
        shape.drop_nulls(obj, self.schema)

    def content(self, obj: Obj) -> Obj:
        ignored = {"apiVersion", "kind", "metadata"} | ({"status"} if self.has_status else set())
        return {field: value for field, value in obj.items() if field not in ignored}

    # Rules.

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        self._check(errors, obj, values.ABSENT)

    def validate_update(self, new: Obj, old: Obj) -> list[FieldError]:
        errors = Errors(super().validate_status_update(new, old))
        self._check(errors, new, old)
        return errors

    def validate_status_update(self, new: Obj, old: Obj) -> list[FieldError]:
        return self.validate_update(new, old)

    def _check(self, errors: Errors, obj: Obj, old: Any) -> None:
        wrong = values.findings(obj, self.schema, "", old)
        errors.extend(wrong)
        if self._has_rules:
            blocked = any(each.type in expressions.BLOCKING for each in wrong)
            errors.extend([expressions.skipped()] if blocked else expressions.findings(obj, self.schema, old))
        errors.extend(shape.embedded_faults(obj, self.schema))
        if old is values.ABSENT or not shape.repeated(old, self.schema):
            errors.extend(shape.repeated(obj, self.schema))
        if self.scale is not None:
            _check_scale(errors, obj, self.scale)

    def warnings(self, obj: Obj) -> list[str]:
        return [
            f"metadata.finalizers: {quote(each)}: prefer a domain-qualified finalizer name including a path (/) to "
            "avoid accidental conflicts with other finalizer writers"
            for each in obj["metadata"].get("finalizers") or []
            if "/" not in each and each not in STANDARD_FINALIZERS
        ]

    # Presentation.

    def selectable(self, obj: Obj) -> dict[str, str]:
        return {path.removeprefix("."): _text(json_path.find(obj, path)) for path in self._selected}

    def row(self, obj: Obj) -> list[Any]:
        cells: list[Any] = [meta.name(obj)]
        if not self._printed:
            return [*cells, printing.age(obj)]
        return cells + [_cell(each, obj) for each in self._printed]


def _columns(printed: list[Obj]) -> tuple[Column, ...]:
    if not printed:
        return (printing.NAME, Column("Age", "date", _described({"jsonPath": ".metadata.creationTimestamp"})))
    return (
        printing.NAME,
        *(
            Column(
                each["name"],
                each.get("type", "string"),
                _described(each),
                each.get("priority", 0),
                each.get("format", ""),
            )
            for each in printed
        ),
    )


def _described(printed: Obj) -> str:
    default = f"Custom resource definition column (in JSONPath format): {printed.get('jsonPath', '')}"
    return printed.get("description") or default


def _scale(version: Obj) -> ScaleSpec | None:
    scale = (version.get("subresources") or {}).get("scale")
    if scale is None:
        return None
    return ScaleSpec(scale["specReplicasPath"], scale["statusReplicasPath"], scale.get("labelSelectorPath") or "")


def _deprecation(resource: ResourceType, version: Obj) -> str:
    if not version.get("deprecated"):
        return ""
    return version.get("deprecationWarning") or f"{resource.api_version} {resource.kind} is deprecated"


def _check_scale(errors: Errors, obj: Obj, scale: ScaleSpec) -> None:
    for path in (scale.spec_replicas_path, scale.status_replicas_path):
        for value in json_path.find(obj, path):
            if not isinstance(value, int):
                continue
            if value < 0:
                errors.invalid(path, value, "should be a non-negative integer")
            elif value > _INT32_LIMIT:
                errors.invalid(path, value, f"should be less than or equal to {_INT32_LIMIT}")
    for value in json_path.find(obj, scale.label_selector_path) if scale.label_selector_path else ():
        if isinstance(value, str):
            try:
                selectors.parse_label_selector(value)
            except (ValueError, StatusError) as error:
                errors.invalid(scale.label_selector_path, value, str(error))


def _text(found: list[Any]) -> str:
    """A field's value as a selector compares it."""
    value = found[0] if found else ""
    if isinstance(value, bool):
        return printing.yes_no(value)
    return "" if value is None else str(value)


def _cell(printed: Obj, obj: Obj) -> Any:
    try:
        found = json_path.find(obj, printed.get("jsonPath", ""))
    except ValueError:
        return None
    if not found or found[0] is None:
        return None
    value, kind = found[0], printed.get("type")
    if kind == "string":
        return _printed(value)
    if kind == "integer":
        return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    if kind == "number":
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if kind == "date":
        return _date(value)
    return None


def _printed(value: Any) -> str:
    """A value as kubectl's JSON path printer writes it."""
    if isinstance(value, bool):
        return printing.yes_no(value)
    if isinstance(value, dict | list):
        return wire.encode(value).decode()
    return str(value)


def _date(value: Any) -> str:
    if not isinstance(value, str):
        return "<invalid>"
    try:
        return printing.since(value)
    except ValueError:
        return "<invalid>"
