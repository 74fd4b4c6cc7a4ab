"""The published schemas: OpenAPI v2 in one document, OpenAPI v3 in one per group version.

An `OpenApi` is made for the set of resources that a server offers, built-in and custom. It builds documents only when
they are asked for and keeps what it sends, compressed; the prose, the largest part, is read for that and let go. The
hash in v3's index, and the ETag of each document, come from what decides their content, so the index costs nothing.
"""

import gzip
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pynetes.machinery import definitions, openapi_custom, openapi_merge, openapi_paths, openapi_proto
from pynetes.machinery.resources import ResourceType

Json = dict[str, Any]

# What clients ask for, and what they are told they get: Go cannot parse a media type with an at sign.
V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_COMPONENTS = "#/components/schemas/"
_TITLE = "Kubernetes"


@dataclass(frozen=True, slots=True)
class Document:
    """A document as it is sent: the gzipped body, its ETag and media type."""

    gzipped: bytes
    etag: str
    media_type: str

    @property
    def body(self) -> bytes:
        """The document for clients that do not take gzip."""
        return gzip.decompress(self.gzipped)


@dataclass(frozen=True, slots=True)
class CustomType:
    """A custom resource and its structural schema (None if it has none)."""

    resource: ResourceType
    schema: Mapping[str, Any] | None


@dataclass
class OpenApi:
    """The documents for one set of resources."""

    resources: Sequence[ResourceType]
    custom: Sequence[CustomType] = ()
    version: str = "v1.37.0"
    others: Mapping[str, Json] = field(default_factory=dict)
    """What other servers serve: v2 documents restricted to the group version of their path, `apis/example.com/v1`."""
    _kept: dict[str, Document] = field(default_factory=dict, repr=False)

    def v2_json(self) -> Document:
        """`/openapi/v2` as JSON."""
        return self._keep("v2.json", "application/json", lambda: msgspec.json.encode(self._v2()))

    def v2_protobuf(self) -> Document:
        """`/openapi/v2` as gnostic's protobuf, which kubectl before 1.27 reads."""
        return self._keep("v2.pb", V2_PROTOBUF, lambda: openapi_proto.encode(self._v2()))

    def v3_index(self) -> Document:
        """`/openapi/v3`: where each group version's document is."""
        paths = {
            path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={self._fingerprint(path)}"}
            for path in self.v3_paths()
        }
        return self._keep("v3", "application/json", lambda: msgspec.json.encode({"paths": paths}))

    def v3(self, path: str) -> Document | None:
        """`/openapi/v3/<path>`, where path is `api/v1` or `apis/apps/v1`; None if there is none such."""
        if path not in self.v3_paths():
            return None
        return self._keep(f"v3/{path}", "application/json", lambda: msgspec.json.encode(self._v3(path)))

    def v3_hash(self, path: str) -> str:
        """What stands in the index for a path: a request with this hash may be cached for long."""
        return self._fingerprint(path)

    def v3_paths(self) -> list[str]:
        """All paths in the index."""
        found: dict[str, None] = {"api": None, "apis": None, "version": None}
        for rt in self._all():
            if rt.group:
                found[f"apis/{rt.group}"] = None
            found[_gv_path(rt)] = None
        return sorted([*found, *(path for path in self.others if path not in found)])

    def _all(self) -> list[ResourceType]:
        return [*self.resources, *(custom.resource for custom in self.custom)]

    def _keep(self, key: str, media_type: str, make: Any) -> Document:
        if key not in self._kept:
            path = key.removeprefix("v3/") if key.startswith("v3/") else ""
            etag = f'"{self._fingerprint(path) if path else self._fingerprint("", key)}"'
            self._kept[key] = Document(gzip.compress(make(), 6, mtime=0), etag, media_type)
        return self._kept[key]

    def _fingerprint(self, path: str, salt: str = "") -> str:
        """A hash over everything that the document of a path (or of all paths) is made from."""
        chosen = [rt for rt in self._all() if not path or _gv_path(rt) == path]
        schemas = [custom.schema for custom in self.custom if custom.resource in chosen]
        others = [other for where, other in self.others.items() if not path or where == path]
        parts = msgspec.json.encode([self.version, path, salt, chosen, schemas, *others])
        return hashlib.sha512(parts).hexdigest().upper()

    # --- documents

    def _v2(self) -> Json:
        prose = definitions.descriptions()
        paths = self._paths(self.resources) | self._discovery_paths(self._all())
        wanted = {*definitions.names(), *_reachable([*_roots(paths.values()), *_kinds(self.resources)])}
        schemas = {name: _with_prose(definitions.get(name), prose.get(name, {})) for name in wanted}
        for custom in self.custom:
            schemas |= openapi_custom.v2_definitions(custom.resource, custom.schema)
            paths |= openapi_paths.of_resource(custom.resource, openapi_custom.name_of(custom.resource))
        document = _v2_document(paths, schemas, self.version)
        return openapi_merge.merged(document, self.others.values()) if self.others else document

    def _v3(self, path: str) -> Json:
        if path in self.others:
            return _v3_of(self.others[path], self.version)
        chosen = [rt for rt in self.resources if _gv_path(rt) == path]
        customs = [custom for custom in self.custom if _gv_path(custom.resource) == path]
        served = [*chosen, *(custom.resource for custom in customs)]
        own: dict[str, Json] = {}
        paths = self._paths(chosen) | {
            key: item for key, item in self._discovery_paths(self._all()).items() if key.strip("/") == path
        }
        for custom in customs:
            own |= openapi_custom.v3_schemas(custom.resource, custom.schema)
            paths |= openapi_paths.of_resource(custom.resource, openapi_custom.name_of(custom.resource))
        wanted = _reachable([*_roots(paths.values()), *(_roots(own.values())), *_kinds(served)])
        prose = definitions.descriptions()
        schemas = {name: _v3_schema(_with_prose(definitions.get(name), prose.get(name, {})), name) for name in wanted}
        schemas |= {name: _v3_schema(schema, name) for name, schema in own.items()}
        return {
            "openapi": "3.0.0",
            "info": {"title": _TITLE, "version": self.version},
            "paths": {key: _v3_path(item) for key, item in sorted(paths.items())},
            "components": {
                "schemas": dict(sorted(schemas.items())),
                "securitySchemes": {"BearerToken": _BEARER},
            },
        }

    def _paths(self, chosen: Iterable[ResourceType]) -> dict[str, Json]:
        paths: dict[str, Json] = {}
        for rt in chosen:
            name = definitions.of_kind(rt.api_version, rt.kind)
            if name is not None:
                paths.update(openapi_paths.of_resource(rt, name))
        return paths

    def _discovery_paths(self, served: Iterable[ResourceType]) -> dict[str, Json]:
        make = openapi_paths.discovery
        paths = dict(
            (
                make("/api/", "get available API versions", "APIVersions", "getCoreAPIVersions", "core"),
                make("/apis/", "get available API versions", "APIGroupList", "getAPIVersions", "apis"),
            )
        )
        for rt in served:
            camel, label = openapi_paths.group_camel(rt.group, ""), openapi_paths.tag(rt.group, rt.version)
            if rt.group:
                group = label.rpartition("_")[0]
                what = "get information of a group"
                paths.update([make(f"/apis/{rt.group}/", what, "APIGroup", f"get{camel}APIGroup", group)])
            identifier = f"get{openapi_paths.group_camel(rt.group, rt.version)}APIResources"
            what = "get available resources"
            paths.update([make(f"/{_gv_path(rt)}/", what, "APIResourceList", identifier, label)])
        return paths


_BEARER = {
    "type": "apiKey",
    "description": "Bearer Token authentication",
    "name": "authorization",
    "in": "header",
}


def _gv_path(rt: ResourceType) -> str:
    return f"apis/{rt.api_version}" if rt.group else f"api/{rt.api_version}"


def _with_prose(schema: Json, prose: Mapping[str, str]) -> Json:
    """A definition with its descriptions put back."""
    if prose.get(""):
        schema["description"] = prose[""]
    for name, value in (schema.get("properties") or {}).items():
        if text := prose.get(name):
            value["description"] = text
    return schema


def _roots(values: Iterable[Any]) -> set[str]:
    """The names of all built-in definitions that some JSON refers to."""
    found: set[str] = set()
    pending = list(values)
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            ref = value.get("$ref")
            if isinstance(ref, str) and definitions.has(definitions.referenced(ref)):
                found.add(definitions.referenced(ref))
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)
    return found


def _kinds(served: Iterable[ResourceType]) -> set[str]:
    """The definitions of the kinds served and of what they speak in watches and deletions."""
    found = {name for rt in served if (name := definitions.of_kind(rt.api_version, rt.kind))}
    if found or served:
        found |= {f"io.k8s.apimachinery.pkg.apis.meta.v1.{kind}" for kind in ("WatchEvent", "DeleteOptions", "Status")}
    return found


def _reachable(names: Iterable[str]) -> set[str]:
    """The definitions, and those that they refer to, and so on."""
    found: set[str] = set()
    pending = list(names)
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending.extend(_roots([definitions.get(name)]))
    return found


_V3_WHOLE: dict[str, Json] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]},
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {
        "format": "int-or-string",
        "oneOf": [{"type": "integer"}, {"type": "string"}],
    },
}


def _v3_schema(schema: Any, name: str = "") -> Any:
    """A schema in v3's form: other references, and none that has something beside it."""
    if name in _V3_WHOLE:
        return _V3_WHOLE[name] | {key: value for key, value in schema.items() if key == "description"}
    if not isinstance(schema, dict):
        return [_v3_schema(inner) for inner in schema] if isinstance(schema, list) else schema
    made = {key: _v3_inner(key, value) for key, value in schema.items() if key != "$ref"}
    if "$ref" in schema:
        ref = {"$ref": f"{_COMPONENTS}{definitions.referenced(schema['$ref'])}"}
        return made | {"allOf": [ref]} if made else ref
    return made


def _v2_document(paths: Json, schemas: Json, version: str) -> Json:
    return {
        "swagger": "2.0",
        "info": {"title": _TITLE, "version": version},
        "paths": dict(sorted(paths.items())),
        "definitions": dict(sorted(schemas.items())),
        "securityDefinitions": {"BearerToken": _BEARER},
        "security": [{"BearerToken": []}],
    }


def check(part: Json) -> None:
    """Whether a restricted document can be published in every form; KeyError, TypeError… if it is malformed."""
    openapi_proto.encode(_v2_document(part["paths"], part["definitions"], ""))
    _v3_of(part, "")


def _v3_of(document: Json, version: str) -> Json:
    """Another server's v2 document in v3's form, for those who have none."""
    schemas = {name: _v3_schema(schema, name) for name, schema in sorted(document["definitions"].items())}
    return {
        "openapi": "3.0.0",
        "info": {"title": _TITLE, "version": version},
        "paths": {key: _v3_path(item) for key, item in sorted(document["paths"].items())},
        "components": {"schemas": schemas, "securitySchemes": {"BearerToken": _BEARER}},
    }


def _v3_inner(key: str, value: Any) -> Any:
    """What stands in a schema; names of properties and literal values are not schemas."""
    if key == "properties":
        return {name: _v3_schema(inner) for name, inner in value.items()}
    if key in ("items", "additionalProperties", "allOf", "anyOf", "oneOf", "not"):
        return _v3_schema(value)
    return value


def _v3_path(item: Json) -> Json:
    made: Json = {key: _v3_operation(value) for key, value in item.items() if key != "parameters"}
    if "parameters" in item:
        made["parameters"] = [_v3_parameter(parameter) for parameter in item["parameters"]]
    return made


def _v3_operation(operation: Json) -> Json:
    """A v2 operation with its body and its media types where v3 has them."""
    dropped = ("consumes", "produces", "schemes", "parameters", "responses")
    made = {key: value for key, value in operation.items() if key not in dropped}
    others = []
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "body":
            schema = _v3_schema(parameter["schema"])
            made["requestBody"] = {
                "content": {kind: {"schema": schema} for kind in operation.get("consumes") or ["*/*"]}
            }
            if parameter.get("required"):
                made["requestBody"]["required"] = True
        else:
            others.append(_v3_parameter(parameter))
    if others:
        made["parameters"] = others
    made["responses"] = {
        code: _v3_response(response, operation.get("produces") or ["*/*"])
        for code, response in operation["responses"].items()
    }
    return made


def _v3_response(response: Json, produces: Iterable[str]) -> Json:
    if "schema" not in response:
        return response
    schema = _v3_schema(response["schema"])
    return {"description": response.get("description", ""), "content": {kind: {"schema": schema} for kind in produces}}


def _v3_parameter(parameter: Json) -> Json:
    made = {key: value for key, value in parameter.items() if key not in ("type", "uniqueItems")}
    return made | {"schema": {"type": parameter["type"], "uniqueItems": True}}
