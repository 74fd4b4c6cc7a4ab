"""CustomResourceDefinitions in v1beta1.

What v1 says for each version (schema, subresources, columns) could there stand once for all; and a definition without a
structural schema kept unknown fields. Today's kind wants a structural schema: one is made that keeps unknown fields
wherever the old definition did, and the old words are kept in an annotation, to be shown again as long as the schemas
are still the ones made from them.
"""

from typing import Any

from pynetes.apis.apiextensions import structural
from pynetes.apis.legacy.changes import note, noted
from pynetes.machinery import meta
from pynetes.machinery.meta import Obj

NOTE = "apiextensions.k8s.io/v1beta1-unstructured"
PRESERVE = "x-kubernetes-preserve-unknown-fields"
_SHARED = ("subresources", "additionalPrinterColumns")


class Defaults:
    """v1beta1's defaults."""

    def fill(self, obj: Obj) -> None:
        """Fill them in, in place."""
        spec = obj.setdefault("spec", {})
        spec["scope"] = spec.get("scope") or "Namespaced"
        if not spec.get("versions") and spec.get("version"):
            spec["versions"] = [{"name": spec["version"], "served": True, "storage": True}]
        if not spec.get("version") and spec.get("versions"):
            spec["version"] = spec["versions"][0].get("name", "")
        if spec.get("preserveUnknownFields") is None:
            spec["preserveUnknownFields"] = True
        conversion = spec.setdefault("conversion", {"strategy": "None"})
        if conversion.get("strategy") == "Webhook" and not conversion.get("conversionReviewVersions"):
            conversion["conversionReviewVersions"] = ["v1beta1"]


def to_new(obj: Obj) -> None:
    """What stood once goes to each version."""
    spec = obj.get("spec")
    if spec is None:
        return
    name = spec.pop("version", None)
    if not spec.get("versions") and name:
        spec["versions"] = [{"name": name, "served": True, "storage": True}]
    versions: list[Obj] = spec.get("versions") or []
    validation = spec.pop("validation", None)
    for field in _SHARED:
        shared = spec.pop(field, None)
        for version in versions:
            if shared is not None and field not in version:
                version[field] = meta.deep_copy({"": shared})[""]
    for version in versions:
        if validation is not None and "schema" not in version:
            version["schema"] = meta.deep_copy(validation)
        for column in version.get("additionalPrinterColumns") or ():
            if "JSONPath" in column:
                column["jsonPath"] = column.pop("JSONPath")
    if spec.pop("preserveUnknownFields", False):
        original = [version.get("schema") for version in versions]
        note(obj, NOTE, original)
        for version in versions:
            version["schema"] = _keeping(version.get("schema"))
    conversion = spec.get("conversion") or {}
    client, reviews = conversion.pop("webhookClientConfig", None), conversion.pop("conversionReviewVersions", None)
    if client is not None or (reviews is not None and conversion.get("strategy") == "Webhook"):
        webhook: Obj = {} if client is None else {"clientConfig": client}
        conversion["webhook"] = webhook | ({} if reviews is None else {"conversionReviewVersions": reviews})


def to_old(obj: Obj) -> None:
    """What all versions share stands once."""
    spec = obj.get("spec")
    original = noted(obj, NOTE)
    if spec is None:
        return
    versions: list[Obj] = spec.get("versions") or []
    if isinstance(original, list) and [version.get("schema") for version in versions] == list(map(_keeping, original)):
        spec["preserveUnknownFields"] = True
        for version, schema in zip(versions, original, strict=True):
            version.pop("schema", None)
            if schema is not None:
                version["schema"] = schema
    else:
        spec.setdefault("preserveUnknownFields", False)
    for version in versions:
        for column in version.get("additionalPrinterColumns") or ():
            if "jsonPath" in column:
                column["JSONPath"] = column.pop("jsonPath")
    if versions:
        spec["version"] = versions[0].get("name", "")
    for field, top in (("schema", "validation"), *((field, field) for field in _SHARED)):
        first = versions[0].get(field) if versions else None
        if first is not None and all(version.get(field) == first for version in versions):
            spec[top] = first
            for version in versions:
                del version[field]
    conversion = spec.get("conversion") or {}
    webhook = conversion.pop("webhook", None)
    if webhook is not None:
        if "clientConfig" in webhook:
            conversion["webhookClientConfig"] = webhook["clientConfig"]
        if "conversionReviewVersions" in webhook:
            conversion["conversionReviewVersions"] = webhook["conversionReviewVersions"]


def _keeping(validation: Obj | None) -> Obj:
    """A structural schema that keeps unknown fields, and checks as much of what the old one did as it can."""
    bare: Obj = {"type": "object", PRESERVE: True}
    schema = (validation or {}).get("openAPIV3Schema")
    if not schema:
        return {"openAPIV3Schema": bare}
    healed = _healed(schema) | {"type": "object"}
    return {"openAPIV3Schema": bare if structural.findings(healed, "") else healed}


def _healed(schema: Any) -> Any:
    """A schema with the types it implies, that keeps unknown fields in every object."""
    if not isinstance(schema, dict):
        return schema
    made = dict(schema)
    if isinstance(schema.get("properties"), dict):
        made["properties"] = {name: _healed(inner) for name, inner in schema["properties"].items()}
    for field in ("items", "additionalProperties"):
        if isinstance(schema.get(field), dict):
            made[field] = _healed(schema[field])
    if "type" not in made and not made.get("x-kubernetes-int-or-string"):
        if "properties" in made or "additionalProperties" in made or "required" in made:
            made["type"] = "object"
        elif "items" in made:
            made["type"] = "array"
        else:
            made[PRESERVE] = True
    if made.get("type") == "object" and "additionalProperties" not in made:
        made[PRESERVE] = True
    return made
