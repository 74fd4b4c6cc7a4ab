"""Custom resource definitions.

Upstream validates a definition in an internal form, where what all versions share stands once at the top
(`spec.validation`, `spec.subresources`, `spec.additionalPrinterColumns`), and its messages have that form's paths;
so have ours. What is served for a definition is `apiserver.crd`'s business.
"""

import copy
from typing import Any, ClassVar
from urllib.parse import urlsplit

from pynetes.apis import printing
from pynetes.apis.admissionregistration import rules
from pynetes.apis.apiextensions import json_path, schema_rules, shape
from pynetes.apis.certificates import pem
from pynetes.apis.checks import Errors
from pynetes.apis.printing import column
from pynetes.apis.strategy import Strategy
from pynetes.machinery import meta, names
from pynetes.machinery.errors import FieldError, quote
from pynetes.machinery.meta import Obj

SCOPES = ("Cluster", "Namespaced")
CONVERSIONS = ("None", "Webhook")
COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
SELECTABLE_TYPES = ("string", "boolean", "integer")
SELECTABLE_LIMIT = 8
WARNING_LIMIT = 256
FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
APPROVED = "api-approved.kubernetes.io"
_PROTECTED = ("k8s.io", "kubernetes.io")
_SEE = "see https://github.com/kubernetes/enhancements/pull/1111"


class CustomResourceDefinitionStrategy(Strategy):
    """A custom resource definition."""

    tracks_generation = True
    any_finalizer = True
    allow_unconditional_update = False
    status_keeps = ("labels", "annotations", "finalizers", "ownerReferences")
    initial_status: ClassVar[Obj] = {
        "conditions": [],
        "acceptedNames": {"plural": "", "kind": ""},
        "storedVersions": [],
    }
    columns = (printing.NAME, column("Created At", "date", "When the object was created."))

    def default(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        own = spec.setdefault("names", {})
        kind = own.get("kind")
        if kind:
            own["singular"] = own.get("singular") or kind.lower()
            own["listKind"] = own.get("listKind") or f"{kind}List"
        if spec.get("conversion") is None:
            spec["conversion"] = {"strategy": "None"}
        service = ((spec["conversion"].get("webhook") or {}).get("clientConfig") or {}).get("service")
        if service is not None and service.get("port") is None:
            service["port"] = 443

    def prepare_create_spec(self, obj: Obj) -> None:
        status = copy.deepcopy(dict(self.initial_status))
        status["storedVersions"] = [each.get("name", "") for each in _versions(obj) if each.get("storage")][:1]
        obj["status"] = status

    def prepare_update_spec(self, new: Obj, old: Obj) -> None:
        status = printing.status(new)
        stored = list(status.get("storedVersions") or [])
        added = [
            each.get("name", "") for each in _versions(new) if each.get("storage") and each.get("name") not in stored
        ][:1]
        if added:
            new["status"] = {**status, "storedVersions": stored + added}

    def validate(self, obj: Obj) -> list[FieldError]:
        errors = Errors(super().validate(obj))
        _approval(errors, obj, None)
        _preserve(errors, obj)
        return errors

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        spec, name = printing.spec(obj), meta.name(obj)
        own = spec.get("names") or {}
        if name and name != f"{own.get('plural', '')}.{spec.get('group', '')}":
            errors.invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group')
        _spec(errors, spec)
        status = printing.status(obj)
        _names(errors, status.get("acceptedNames") or {}, "status.acceptedNames")
        _stored_versions(errors, status.get("storedVersions") or [], _versions(obj))

    def validate_spec_update(self, errors: Errors, new: Obj, old: Obj) -> None:
        after, before = printing.spec(new), printing.spec(old)
        own, former = after.get("names") or {}, before.get("names") or {}
        if meta.is_condition_true(old, "Established"):
            errors.unchanged("spec.scope", after.get("scope"), before.get("scope"))
            errors.unchanged("spec.names.kind", own.get("kind"), former.get("kind"))
            if not _has_bad_bundle(before) and _has_bad_bundle(after):
                detail = "unable to load root certificates: unable to parse bytes as PEM block"
                errors.invalid("spec.conversion.webhookClientConfig.caBundle", _bundle(after), detail)
        errors.unchanged("spec.group", after.get("group"), before.get("group"))
        errors.unchanged("spec.names.plural", own.get("plural"), former.get("plural"))
        _approval(errors, new, old)
        if not before.get("preserveUnknownFields"):
            _preserve(errors, new)

    def validate_status(self, errors: Errors, new: Obj, old: Obj) -> None:
        _names(errors, printing.status(new).get("acceptedNames") or {}, "status.acceptedNames")

    def prepare_delete(self, obj: Obj) -> None:
        """Instances go first: the definition stays until its finalizer is taken away."""
        if meta.is_deleting(obj):
            return
        finalizers = obj["metadata"].setdefault("finalizers", [])
        if FINALIZER not in finalizers:
            finalizers.append(FINALIZER)
        message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
        meta.set_condition(obj, "Terminating", "True", "InstanceDeletionPending", message)

    def row(self, obj: Obj) -> list[Any]:
        return [meta.name(obj), obj.get("metadata", {}).get("creationTimestamp")]


def _versions(obj: Obj) -> list[Obj]:
    return printing.spec(obj).get("versions") or []


def approval(annotations: dict[str, str]) -> tuple[str, str]:
    """Whether a group of the project itself may be used: (approved, bypassed, missing or invalid; why)."""
    value = annotations.get(APPROVED, "")
    wanted = f"protected groups must have approval annotation {quote(APPROVED)}"
    if not value:
        return "missing", f"{wanted}, {_SEE}"
    if value.startswith("unapproved"):
        return "bypassed", f"not approved: {quote(value)}"
    url = urlsplit(value)
    if url.scheme and url.netloc:
        return "approved", f"approved in {value}"
    return "invalid", f'{wanted} with either a URL or a reason starting with "unapproved", {_SEE}'


def is_protected(group: str) -> bool:
    """Whether a group's name belongs to the project itself."""
    return any(group == name or group.endswith(f".{name}") for name in _PROTECTED)


def _approval(errors: Errors, new: Obj, old: Obj | None) -> None:
    if not is_protected(printing.spec(new).get("group") or ""):
        return
    state, reason = approval(meta.annotations(new))
    if old is not None and approval(meta.annotations(old))[0] == state:
        return
    path = f"metadata.annotations[{APPROVED}]"
    if state == "missing":
        errors.required(path, reason)
    elif state == "invalid":
        errors.invalid(path, meta.annotations(new)[APPROVED], reason)


def _preserve(errors: Errors, obj: Obj) -> None:
    if printing.spec(obj).get("preserveUnknownFields"):
        detail = (
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        )
        errors.invalid("spec.preserveUnknownFields", True, detail)


def _stored_versions(errors: Errors, stored: list[str], versions: list[Obj]) -> None:
    path = "status.storedVersions"
    if not stored:
        errors.invalid(path, stored, "must have at least one stored version")
        return
    known = {version.get("name", "") for version in versions}
    for version in versions:
        if version.get("storage") and version.get("name", "") not in stored:
            errors.invalid(path, stored, f"must have the storage version {version.get('name', '')}")
    for index, name in enumerate(stored):
        if name not in known:
            detail = (
                f"missing from spec.versions; {name} was previously a storage version, and must remain in "
                f"spec.versions until a storage migration ensures no data remains persisted in {name} and removes "
                f"{name} from status.storedVersions"
            )
            errors.invalid(f"{path}[{index}]", name, detail)


# The spec, in the internal form's order.


def _spec(errors: Errors, spec: Obj) -> None:
    group, versions, own = spec.get("group") or "", spec.get("versions") or [], spec.get("names") or {}
    if errors.present("spec.group", group):
        faults = names.dns1123_subdomain(group)
        if faults:
            errors.invalid("spec.group", group, ",".join(faults))
        elif "." not in group:
            errors.invalid("spec.group", group, "should be a domain with at least one dot")
    errors.required_one_of("spec.scope", spec.get("scope"), SCOPES)
    schemas = [(version.get("schema") or {}).get("openAPIV3Schema") for version in versions]
    for index, schema in enumerate(schemas):
        if schema is None:
            errors.required(f"spec.versions[{index}].schema.openAPIV3Schema", "schemas are required")
    if spec.get("preserveUnknownFields") and any(shape.has_defaults(schema) for schema in schemas):
        errors.invalid("spec.preserveUnknownFields", True, "must be false in order to use defaults in the schema")
    _each_version(errors, versions)
    if len({version.get("name", "") for version in versions}) < len(versions):
        errors.invalid("spec.versions", versions, "must contain unique version names")
    if sum(bool(version.get("storage")) for version in versions) != 1:
        errors.invalid("spec.versions", versions, "must have exactly one version marked as storage version")
    for field in ("plural", "singular", "kind", "listKind"):
        errors.present(f"spec.names.{field}", own.get(field))
    _names(errors, own, "spec.names")
    _shared_by_versions(errors, versions)
    _conversion(errors, spec.get("conversion") or {}, bool(spec.get("preserveUnknownFields")))


def _shared(versions: list[Obj], field: str) -> bool:
    """Whether all versions have the same there, so that the internal form has it once."""
    return all(version.get(field) == versions[0].get(field) for version in versions)


def _has_status(version: Obj) -> bool:
    return (version.get("subresources") or {}).get("status") is not None


def _each_version(errors: Errors, versions: list[Obj]) -> None:
    for index, version in enumerate(versions):
        path, name = f"spec.versions[{index}]", version.get("name") or ""
        faults = names.dns1035_label(name)
        if faults:
            errors.invalid(f"{path}.name", name, ",".join(faults))
        _deprecation(errors, version, f"{path}.deprecationWarning")
        if not _shared(versions, "schema"):
            _schema(errors, version, f"{path}.schema", has_status=_has_status(version))
        if not _shared(versions, "subresources"):
            _subresources(errors, version, f"{path}.subresources")
        if not _shared(versions, "additionalPrinterColumns"):
            _columns(errors, version, f"{path}.additionalPrinterColumns")
        if not _shared(versions, "selectableFields"):
            _selectable(errors, version, f"{path}.selectableFields")


def _shared_by_versions(errors: Errors, versions: list[Obj]) -> None:
    if not versions:
        return
    first = versions[0]
    if _shared(versions, "schema"):
        _schema(errors, first, "spec.validation", has_status=any(_has_status(each) for each in versions))
    if _shared(versions, "subresources"):
        _subresources(errors, first, "spec.subresources")
    if _shared(versions, "additionalPrinterColumns"):
        _columns(errors, first, "spec.additionalPrinterColumns")
    if _shared(versions, "selectableFields"):
        _selectable(errors, first, "spec.selectableFields")


def _schema(errors: Errors, version: Obj, path: str, *, has_status: bool) -> None:
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    if schema is not None:
        schema_rules.findings(errors, schema, f"{path}.openAPIV3Schema", has_status=has_status)


def _deprecation(errors: Errors, version: Obj, path: str) -> None:
    warning = version.get("deprecationWarning")
    if warning is None:
        return
    if not version.get("deprecated"):
        errors.invalid(path, warning, "can only be set for deprecated versions")
        return
    if len(warning.encode()) > WARNING_LIMIT:
        errors.invalid(path, warning, f"must be <= {WARNING_LIMIT} characters long")
    if not warning:
        errors.invalid(path, warning, "must not be an empty string")
    for index, character in enumerate(warning):
        if not character.isprintable():
            detail = f"must only contain printable UTF-8 characters; non-printable character found at index {index}"
            errors.invalid(path, warning, detail)
            break


def _names(errors: Errors, own: Obj, path: str) -> None:
    for field in ("plural", "singular"):
        value = own.get(field) or ""
        if value and (faults := names.dns1035_label(value)):
            errors.invalid(f"{path}.{field}", value, ",".join(faults))
    for field in ("kind", "listKind"):
        value = own.get(field) or ""
        if value and (faults := names.dns1035_label(value.lower())):
            detail = f"may have mixed case, but should otherwise match: {','.join(faults)}"
            errors.invalid(f"{path}.{field}", value, detail)
    _labels(errors, own.get("shortNames"), f"{path}.shortNames")
    if own.get("kind") and own["kind"] == own.get("listKind"):
        errors.invalid(f"{path}.listKind", own["listKind"], "kind and listKind may not be the same")
    _labels(errors, own.get("categories"), f"{path}.categories")


def _labels(errors: Errors, labels: list[str] | None, path: str) -> None:
    for index, label in enumerate(labels or []):
        faults = names.dns1035_label(label)
        if faults:
            errors.invalid(f"{path}[{index}]", label, ",".join(faults))


def _simple_path(errors: Errors, value: str, path: str) -> bool:
    if not value.startswith("."):
        errors.invalid(path, value, "must be a simple json path starting with .")
        return False
    return True


def _subresources(errors: Errors, version: Obj, path: str) -> None:
    scale = (version.get("subresources") or {}).get("scale")
    if scale is None:
        return
    for field, prefix in (("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")):
        value, where = scale.get(field) or "", f"{path}.scale.{field}"
        if errors.present(where, value) and _simple_path(errors, value, where) and not value.startswith(prefix):
            errors.invalid(where, value, f"should be a json path under {prefix.removesuffix('.')}")
    value, where = scale.get("labelSelectorPath") or "", f"{path}.scale.labelSelectorPath"
    if value and _simple_path(errors, value, where) and not value.startswith((".spec.", ".status.")):
        errors.invalid(where, value, "should be a json path under either .spec or .status")


def _columns(errors: Errors, version: Obj, path: str) -> None:
    for index, each in enumerate(version.get("additionalPrinterColumns") or []):
        where, kind, form = f"{path}[{index}]", each.get("type") or "", each.get("format") or ""
        errors.present(f"{where}.name", each.get("name"))
        types = f"must be one of {','.join(COLUMN_TYPES)}"
        if errors.present(f"{where}.type", kind, types) and kind not in COLUMN_TYPES:
            errors.invalid(f"{where}.type", kind, types)
        if form and form not in COLUMN_FORMATS:
            errors.invalid(f"{where}.format", form, f"must be one of {','.join(COLUMN_FORMATS)}")
        value = each.get("jsonPath") or ""
        if errors.present(f"{where}.JSONPath", value):
            _simple_path(errors, value, f"{where}.JSONPath")


def _selectable(errors: Errors, version: Obj, path: str) -> None:
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    fields = version.get("selectableFields") or []
    if schema is None:
        if fields:
            errors.invalid(path, "", "selectableFields may only be set when validations.schema is included")
        return
    seen: set[tuple[str, ...]] = set()
    for index, each in enumerate(fields):
        where, value = f"{path}[{index}].jsonPath", each.get("jsonPath") or ""
        if not errors.present(where, value):
            continue
        found, steps = json_path.schema_at(schema, value), json_path.names(value)
        if isinstance(found, str) or isinstance(steps, str):
            errors.invalid(where, value, f"is an invalid path: {found}")
            continue
        if steps[0] == "metadata":
            errors.invalid(where, value, "must not point to fields in metadata")
        if found.get("type") not in SELECTABLE_TYPES:
            detail = (
                "must point to a field of type string, boolean or integer. Enum string fields and strings with formats "
                "are allowed."
            )
            errors.invalid(where, value, detail)
        if tuple(steps) in seen:
            errors.duplicate(where, value)
        seen.add(tuple(steps))
    if len(seen) > SELECTABLE_LIMIT:
        errors.too_many(path, len(seen), SELECTABLE_LIMIT)


def _conversion(errors: Errors, conversion: Obj, preserves: bool) -> None:
    path, strategy = "spec.conversion", conversion.get("strategy") or ""
    if preserves and strategy != "None":
        errors.invalid(f"{path}.strategy", strategy, "must be None if spec.preserveUnknownFields is true")
    errors.required_one_of(f"{path}.strategy", strategy, CONVERSIONS)
    webhook = conversion.get("webhook") or {}
    config, versions = webhook.get("clientConfig"), webhook.get("conversionReviewVersions") or []
    config_path, versions_path = f"{path}.webhookClientConfig", f"{path}.conversionReviewVersions"
    if strategy != "Webhook":
        detail = "should not be set when strategy is not set to Webhook"
        if config is not None:
            errors.forbidden(config_path, detail)
        if versions:
            errors.forbidden(versions_path, detail)
        return
    if config is None:
        errors.required(config_path, "required when strategy is set to Webhook")
    else:
        rules.client_config(errors, config, config_path)
    if not versions:
        errors.required(versions_path)
    else:
        rules.review_versions(errors, versions, versions_path)


def _bundle(spec: Obj) -> str:
    webhook = (spec.get("conversion") or {}).get("webhook") or {}
    return (webhook.get("clientConfig") or {}).get("caBundle") or ""


def _has_bad_bundle(spec: Obj) -> bool:
    """Once a definition is established, its conversion webhook is trusted by real certificates only."""
    bundle = _bundle(spec)
    return bool(bundle) and not any(block.type == "CERTIFICATE" for block in pem.blocks(pem.from_wire(bundle)))
