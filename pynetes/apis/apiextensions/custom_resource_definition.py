"""Custom resource definitions."""

from typing import Any, ClassVar

from pynetes.apis import printing
from pynetes.apis.admissionregistration.rules import client_config
from pynetes.apis.apiextensions import structural
from pynetes.apis.checks import Errors
from pynetes.apis.printing import column
from pynetes.apis.strategy import Strategy
from pynetes.machinery import meta, names
from pynetes.machinery.errors import FieldError
from pynetes.machinery.meta import Obj

SCOPES = ("Cluster", "Namespaced")
COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
_PROTECTED = (".k8s.io", ".kubernetes.io")
APPROVED = "api-approved.kubernetes.io"


class CustomResourceDefinitionStrategy(Strategy):
    """A custom resource definition."""

    tracks_generation = True
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
        if not own.get("singular") and own.get("kind"):
            own["singular"] = own["kind"].lower()
        if not own.get("listKind") and own.get("kind"):
            own["listKind"] = f"{own['kind']}List"
        conversion = spec["conversion"] = spec.get("conversion") or {}
        if not conversion.get("strategy"):
            conversion["strategy"] = "None"
        service = ((conversion.get("webhook") or {}).get("clientConfig") or {}).get("service")
        if service is not None and service.get("port") is None:
            service["port"] = 443

    def prepare_create_spec(self, obj: Obj) -> None:
        stored = [each.get("name", "") for each in obj["spec"].get("versions") or [] if each.get("storage")]
        obj["status"] = {
            "conditions": [],
            "acceptedNames": {"plural": "", "kind": ""},
            "storedVersions": stored,
        }

    def prepare_update_spec(self, new: Obj, old: Obj) -> None:
        status = new.setdefault("status", {})
        stored = list(status.get("storedVersions") or [])
        for each in new["spec"].get("versions") or []:
            if each.get("storage") and each.get("name") not in stored:
                new["status"] = {**status, "storedVersions": [*stored, each["name"]]}

    def validate(self, obj: Obj) -> list[FieldError]:
        errors = Errors(super().validate(obj))
        _approval(errors, obj)
        return errors

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        spec = printing.spec(obj)
        own, group = spec.get("names") or {}, spec.get("group") or ""
        wanted = f"{own.get('plural', '')}.{group}"
        if meta.name(obj) != wanted:
            errors.invalid("metadata.name", meta.name(obj), 'must be spec.names.plural+"."+spec.group')
        if not group:
            errors.required("spec.group")
        else:
            errors.check("spec.group", group, names.dns1123_subdomain(group))
            if "." not in group:
                errors.invalid("spec.group", group, "should be a domain with at least one dot")
        errors.required_one_of("spec.scope", spec.get("scope"), SCOPES)
        _versions(errors, spec)
        _names(errors, own, "spec.names")
        _conversion(errors, spec.get("conversion") or {})

    def validate_spec_update(self, errors: Errors, new: Obj, old: Obj) -> None:
        after, before = printing.spec(new), printing.spec(old)
        if meta.is_condition_true(old, "Established"):
            errors.unchanged("spec.scope", after.get("scope"), before.get("scope"))
            kind_after, kind_before = (spec.get("names") or {} for spec in (after, before))
            errors.unchanged("spec.names.kind", kind_after.get("kind"), kind_before.get("kind"))
        errors.unchanged("spec.group", after.get("group"), before.get("group"))
        plural_after, plural_before = ((spec.get("names") or {}).get("plural") for spec in (after, before))
        errors.unchanged("spec.names.plural", plural_after, plural_before)
        listed = {each.get("name") for each in after.get("versions") or []}
        for index, version in enumerate(printing.status(new).get("storedVersions") or []):
            if version not in listed:
                errors.invalid(
                    f"status.storedVersions[{index}]",
                    version,
                    f"missing from spec.versions; {version} was previously a storage version, and must remain in "
                    "spec.versions until a storage migration ensures no data remains persisted in "
                    f"{version} and removes {version} from status.storedVersions",
                )

    def row(self, obj: Obj) -> list[Any]:
        return [meta.name(obj), obj.get("metadata", {}).get("creationTimestamp")]


def _approval(errors: Errors, obj: Obj) -> None:
    """Groups of the project itself need its approval, said in an annotation."""
    group = printing.spec(obj).get("group") or ""
    if not group.endswith(_PROTECTED) and group not in ("k8s.io", "kubernetes.io"):
        return
    value = meta.annotations(obj).get(APPROVED, "")
    path = f"metadata.annotations[{APPROVED}]"
    if not value:
        errors.required(
            path,
            "protected groups must have approval annotation "
            f'"{APPROVED}", see https://github.com/kubernetes/enhancements/pull/1111',
        )
    elif not value.startswith(("https://", "http://", "unapproved")):
        errors.invalid(
            path,
            value,
            f'protected groups must have approval annotation "{APPROVED}" with either a URL or a reason starting '
            'with "unapproved", see https://github.com/kubernetes/enhancements/pull/1111',
        )


def _versions(errors: Errors, spec: Obj) -> None:
    versions = spec.get("versions") or []
    stored = [each.get("name", "") for each in versions if each.get("storage")]
    seen: set[str] = set()
    for index, version in enumerate(versions):
        path, name = f"spec.versions[{index}]", version.get("name") or ""
        errors.check(f"{path}.name", name, names.dns1035_label(name))
        if name in seen:
            errors.invalid("spec.versions", versions, "must contain unique version names")
        seen.add(name)
        warning = version.get("deprecationWarning")
        if warning is not None:
            if not version.get("deprecated"):
                errors.invalid(f"{path}.deprecationWarning", warning, "can only be set for deprecated versions")
            elif not warning:
                errors.invalid(f"{path}.deprecationWarning", warning, "must not be empty")
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if schema is None:
            errors.required(f"{path}.schema.openAPIV3Schema", "schemas are required")
        else:
            structural.schema(errors, schema, f"{path}.schema.openAPIV3Schema")
        _subresources(errors, version.get("subresources") or {}, f"{path}.subresources")
        for position, each in enumerate(version.get("additionalPrinterColumns") or []):
            _column(errors, each, f"{path}.additionalPrinterColumns[{position}]")
        for position, each in enumerate(version.get("selectableFields") or []):
            if not each.get("jsonPath"):
                errors.required(f"{path}.selectableFields[{position}].jsonPath")
    if len(stored) != 1:
        errors.invalid("spec.versions", versions, "must have exactly one version marked as storage version")


def _subresources(errors: Errors, value: Obj, path: str) -> None:
    scale = value.get("scale")
    if scale is None:
        return
    rules = (("specReplicasPath", ".spec."), ("statusReplicasPath", ".status."), ("labelSelectorPath", ""))
    for field, prefix in rules:
        text = scale.get(field) or ""
        if not text:
            if field != "labelSelectorPath":
                errors.required(f"{path}.scale.{field}")
            continue
        prefixes = (prefix,) if prefix else (".spec.", ".status.")
        if not text.startswith(prefixes):
            words = f"should be a json path under {' or '.join(p.rstrip('.') for p in prefixes)}"
            errors.invalid(f"{path}.scale.{field}", text, words)


def _column(errors: Errors, value: Obj, path: str) -> None:
    errors.present(f"{path}.name", value.get("name"))
    kind = value.get("type") or ""
    if not kind:
        errors.required(f"{path}.type", f"must be one of {','.join(COLUMN_TYPES)}")
    elif kind not in COLUMN_TYPES:
        errors.invalid(f"{path}.type", kind, f"must be one of {','.join(COLUMN_TYPES)}")
    form = value.get("format")
    if form and form not in COLUMN_FORMATS:
        errors.invalid(f"{path}.format", form, f"must be one of {','.join(COLUMN_FORMATS)}")
    if errors.present(f"{path}.jsonPath", value.get("jsonPath")) and not value["jsonPath"].startswith("."):
        errors.invalid(f"{path}.jsonPath", value["jsonPath"], "must be a simple json path starting with .")


def _names(errors: Errors, own: Obj, path: str) -> None:
    for field in ("plural", "singular", "kind", "listKind"):
        text = own.get(field) or ""
        if not text and field in ("plural", "kind"):
            errors.required(f"{path}.{field}")
        if text:
            errors.check(f"{path}.{field}", text, names.dns1035_label(text.lower()))
    for field in ("shortNames", "categories"):
        for index, text in enumerate(own.get(field) or []):
            errors.check(f"{path}.{field}[{index}]", text, names.dns1035_label(text))
    if own.get("kind") and own.get("kind") == own.get("listKind"):
        errors.invalid(f"{path}.listKind", own["listKind"], "kind and listKind may not be the same")


def _conversion(errors: Errors, conversion: Obj) -> None:
    path, strategy = "spec.conversion", conversion.get("strategy") or ""
    webhook = conversion.get("webhook")
    if strategy == "None":
        if webhook is not None:
            errors.forbidden(f"{path}.webhook", "should not be set when strategy is not set to Webhook")
    elif strategy == "Webhook":
        if webhook is None:
            errors.required(f"{path}.webhook.clientConfig", "required when strategy is set to Webhook")
            return
        if webhook.get("clientConfig") is None:
            errors.required(f"{path}.webhook.clientConfig", "required when strategy is set to Webhook")
        else:
            client_config(errors, webhook["clientConfig"], f"{path}.webhook.clientConfig")
        _review_versions(
            errors, webhook.get("conversionReviewVersions") or [], f"{path}.webhook.conversionReviewVersions"
        )
    elif not strategy:
        errors.required(f"{path}.strategy")
    else:
        errors.unsupported(f"{path}.strategy", strategy, ("None", "Webhook"))


def _review_versions(errors: Errors, versions: list[str], path: str) -> None:
    if not versions:
        errors.required(path)
        return
    for index, version in enumerate(versions):
        if version in versions[:index]:
            errors.invalid(f"{path}[{index}]", version, "duplicate version")
        errors.check(f"{path}[{index}]", version, names.dns1035_label(version))
    if not set(versions) & {"v1", "v1beta1"}:
        errors.invalid(path, versions, "must include at least one of v1, v1beta1")
