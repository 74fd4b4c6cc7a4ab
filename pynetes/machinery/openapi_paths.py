"""The paths and operations of a resource, as OpenAPI v2 says them.

What a `ResourceType` lists (scope, verbs, subresources) decides everything: which paths there are, which operations
they have, what each takes and returns. Parameters are shared values, so a document of thousands of operations holds
each of them once. `openapi` puts the paths into documents and turns them into v3's form.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from pynetes.machinery import definitions
from pynetes.machinery.resources import ResourceType, Subresource

Json = dict[str, Any]

_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
JSON_TYPES = ["application/json", "application/yaml"]
WATCH_TYPES = [*JSON_TYPES, "application/json;stream=watch"]
PATCH_TYPES = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
]


def _query(name: str, kind: str, description: str) -> Json:
    return {"description": description, "in": "query", "name": name, "type": kind, "uniqueItems": True}


def _in_path(name: str, description: str) -> Json:
    return {
        "description": description,
        "in": "path",
        "name": name,
        "required": True,
        "type": "string",
        "uniqueItems": True,
    }


def _body(ref: str, required: bool = True) -> Json:
    body = {"in": "body", "name": "body", "schema": _ref(ref)}
    return body | {"required": True} if required else body


def _ref(name: str) -> Json:
    return {"$ref": f"{definitions.REF_PREFIX}{name}"}


PRETTY = _query("pretty", "string", "Whether the output shall be indented for people: true or false.")
NAMESPACE = _in_path("namespace", "object name and auth scope, such as for teams and projects")

_LIST = [
    _query("allowWatchBookmarks", "boolean", "Whether a watch may send BOOKMARK events, which only move the revision."),
    _query("continue", "string", "The token from a previous, limited list: go on where it ended."),
    _query("fieldSelector", "string", "Restrict the list by fields. Defaults to everything."),
    _query("labelSelector", "string", "Restrict the list by labels. Defaults to everything."),
    _query("limit", "integer", "The largest number of items to return; more come with `continue`."),
    _query("resourceVersion", "string", "From which revision the request may be served."),
    _query("resourceVersionMatch", "string", "How resourceVersion constrains a list: Exact or NotOlderThan."),
    _query("sendInitialEvents", "boolean", "Whether a watch begins with the present state as ADDED events."),
    _query("timeoutSeconds", "integer", "Ends the call after so many seconds, busy or not."),
]
_WATCH = _query("watch", "boolean", "Stream changes to the described resources instead of returning a list.")
_DRY_RUN = _query("dryRun", "string", "With the value All, nothing is persisted; the response is what it would be.")
_WRITE = [
    _query("fieldManager", "string", "Who is making the change: up to 128 printable characters."),
    _query(
        "fieldValidation",
        "string",
        "What becomes of unknown and duplicate fields: Ignore drops them, Warn (the default) tells, Strict refuses.",
    ),
]
_FORCE = _query("force", "boolean", "Whether an apply takes over fields that other managers own.")
_DELETE = [
    _DRY_RUN,
    _query("gracePeriodSeconds", "integer", "Seconds before the object is deleted; 0 means at once."),
    _query(
        "ignoreStoreReadErrorWithClusterBreakingPotential",
        "boolean",
        "Whether to delete an object that can no longer be read from the store.",
    ),
    _query("orphanDependents", "boolean", "Deprecated: use propagationPolicy."),
    _query("propagationPolicy", "string", "What happens to dependents: Orphan, Background or Foreground."),
]
_DELETE_COLLECTION = [parameter for parameter in _LIST if parameter["name"] != "allowWatchBookmarks"]

_CONTAINER = _query("container", "string", "The container; may be left out if the pod has only one.")
_STREAMS = [
    _CONTAINER,
    _query("stderr", "boolean", "Whether to attach to standard error."),
    _query("stdin", "boolean", "Whether to attach to standard input."),
    _query("stdout", "boolean", "Whether to attach to standard output."),
    _query("tty", "boolean", "Whether the streams belong to a terminal."),
]
_PROXY = [_query("path", "string", "The part of the URL to pass on, with its query.")]

# The query parameters of subresources, by the kind that they speak or, for logs, by name.
_OPTIONS: dict[str, list[Json]] = {
    "PodAttachOptions": _STREAMS,
    "PodExecOptions": [_query("command", "string", "The command to run, not in a shell; repeatable."), *_STREAMS],
    "PodPortForwardOptions": [_query("ports", "integer", "The ports to forward, when over WebSockets.")],
    "PodProxyOptions": _PROXY,
    "NodeProxyOptions": _PROXY,
    "ServiceProxyOptions": _PROXY,
    "log": [
        _CONTAINER,
        _query("follow", "boolean", "Whether to go on streaming as lines are written."),
        _query("insecureSkipTLSVerifyBackend", "boolean", "Whether to trust any certificate of the kubelet."),
        _query("limitBytes", "integer", "The largest number of bytes to return."),
        _query("previous", "boolean", "Whether to show the container's previous run."),
        _query("sinceSeconds", "integer", "Only lines of the last so many seconds."),
        _query("stream", "string", "Which stream to show: All, Stdout or Stderr."),
        _query("tailLines", "integer", "Only so many lines from the end."),
        _query("timestamps", "boolean", "Whether to put the time before each line."),
    ],
}

_ACTIONS = {"get": "get", "update": "put", "patch": "patch", "delete": "delete", "create": "post"}
_PREFIXES = {"get": "read", "put": "replace", "patch": "patch", "delete": "delete", "post": "create"}
_SENTENCES = {
    "get": "read {what}",
    "put": "replace {what}",
    "patch": "partially update {what}",
    "delete": "delete {a} {kind}",
    "post": "create {a} {kind}",
}
_UNAUTHORIZED = {"description": "Unauthorized"}


def group_camel(group: str, version: str) -> str:
    """`RbacAuthorizationV1`: how operation ids name a group version."""
    parts = (group.removesuffix(".k8s.io") or "core").replace("-", ".").split(".")
    return "".join(part[:1].upper() + part[1:] for part in [*parts, version])


def tag(group: str, version: str) -> str:
    """`rbacAuthorization_v1`."""
    camel = group_camel(group, "")
    return f"{camel[0].lower()}{camel[1:]}_{version}"


def of_resource(rt: ResourceType, definition: str) -> Iterator[tuple[str, Json]]:
    """All paths of a resource; `definition` is the name of its kind's."""
    return _Paths(rt, definition).all()


class _Paths:
    """The paths of one resource, step by step."""

    def __init__(self, rt: ResourceType, definition: str) -> None:
        self.rt = rt
        self.definition = definition
        self.id_part = group_camel(rt.group, rt.version)
        self.scope = "Namespaced" if rt.namespaced else ""
        root = f"/apis/{rt.api_version}" if rt.group else f"/api/{rt.api_version}"
        self.all_namespaces = f"{root}/{rt.plural}"
        self.collection = f"{root}/namespaces/{{namespace}}/{rt.plural}" if rt.namespaced else self.all_namespaces
        self.outer = [NAMESPACE] if rt.namespaced else []
        self.patch_types = [kind for kind in PATCH_TYPES if definitions.has(definition) or "strategic" not in kind]

    def all(self) -> Iterator[tuple[str, Json]]:
        if self.rt.namespaced and "list" in self.rt.verbs:
            item = {"get": self.list(f"{self.rt.kind}ForAllNamespaces"), "parameters": [*_LIST, PRETTY, _WATCH]}
            yield self.all_namespaces, item
        if item := self.collection_item():
            yield self.collection, item | {"parameters": [*self.outer, PRETTY]}
        item = {
            method: self.on_object(method)
            for verb in ("get", "update", "patch", "delete")
            if verb in self.rt.verbs and (method := _ACTIONS[verb])
        }
        name = _in_path("name", f"name of the {self.rt.kind}")
        if item:
            yield f"{self.collection}/{{name}}", item | {"parameters": [name, *self.outer, PRETTY]}
        for sub in self.rt.subresources:
            yield from self.subresource(sub, name)

    def collection_item(self) -> Json:
        item: Json = {}
        if "list" in self.rt.verbs:
            item["get"] = self.list(f"{self.scope}{self.rt.kind}") | {"parameters": [*_LIST, _WATCH]}
        if "create" in self.rt.verbs:
            item["post"] = self.operation("post", self.definition, f"{self.scope}{self.rt.kind}")
        if "deletecollection" in self.rt.verbs:
            item["delete"] = {
                "consumes": ["*/*"],
                "description": f"delete collection of {self.rt.kind}",
                "operationId": f"delete{self.id_part}Collection{self.scope}{self.rt.kind}",
                "parameters": [_body(f"{_META}.DeleteOptions", required=False), *_DELETE, *_DELETE_COLLECTION],
                "produces": JSON_TYPES,
                "responses": _responses(f"{_META}.Status"),
                "schemes": ["https"],
                "tags": [tag(self.rt.group, self.rt.version)],
                "x-kubernetes-action": "deletecollection",
                "x-kubernetes-group-version-kind": self.gvk(),
            }
        return item

    def list(self, suffix: str) -> Json:
        return {
            "consumes": ["*/*"],
            "description": f"list or watch objects of kind {self.rt.kind}",
            "operationId": f"list{self.id_part}{suffix}",
            "produces": WATCH_TYPES,
            "responses": _responses(f"{self.definition}List"),
            "schemes": ["https"],
            "tags": [tag(self.rt.group, self.rt.version)],
            "x-kubernetes-action": "list",
            "x-kubernetes-group-version-kind": self.gvk(),
        }

    def on_object(self, method: str) -> Json:
        return self.operation(method, self.definition, f"{self.scope}{self.rt.kind}")

    def operation(self, method: str, definition: str, suffix: str, sub: Subresource | None = None) -> Json:
        """Read, create, replace, patch or delete, of an object or of what a subresource speaks."""
        kind = sub.kind if sub else self.rt.kind
        what = f"{sub.name} of the specified {self.rt.kind}" if sub else f"the specified {self.rt.kind}"
        article = "an" if kind[0] in "AEIOU" else "a"
        made: Json = {
            "consumes": self.patch_types if method == "patch" else ["*/*"],
            "description": _SENTENCES[method].format(what=what, a=article, kind=kind),
            "operationId": f"{_PREFIXES[method]}{self.id_part}{suffix}",
            "produces": JSON_TYPES,
            "responses": _responses(definition, *_more_codes(method)),
            "schemes": ["https"],
            "tags": [tag(self.rt.group, self.rt.version)],
            "x-kubernetes-action": method,
            "x-kubernetes-group-version-kind": self.gvk(sub),
        }
        if method == "delete":
            made["parameters"] = [_body(f"{_META}.DeleteOptions", required=False), *_DELETE]
            if kind not in ("Pod", "PersistentVolume", "PersistentVolumeClaim", "ServiceAccount"):
                made["responses"] = _responses(f"{_META}.Status", "202")
        elif method in ("post", "put"):
            made["parameters"] = [_body(definition), _DRY_RUN, *_WRITE]
        elif method == "patch":
            made["parameters"] = [_body(f"{_META}.Patch"), _DRY_RUN, *_WRITE, _FORCE]
        return made

    def subresource(self, sub: Subresource, name: Json) -> Iterator[tuple[str, Json]]:
        path = f"{self.collection}/{{name}}/{sub.name}"
        suffix = f"{self.scope}{self.rt.kind}{_camel(sub.name)}"
        outer = [name, *self.outer]
        if sub.kind.endswith("Options"):
            target = _in_path("name", f"name of the {sub.kind}")
            options = [target, *self.outer, *_OPTIONS[sub.kind]]
            yield path, self.connect(sub, suffix) | {"parameters": options}
            if sub.name == "proxy":
                rest = _in_path("path", "path to the resource")
                yield f"{path}/{{path}}", self.connect(sub, f"{suffix}WithPath") | {"parameters": [*options, rest]}
            return
        definition = self.definition
        if sub.kind != self.rt.kind:
            definition = definitions.of_kind(sub.api_version, sub.kind) or self.definition
        item = {
            method: self.operation(method, definition, suffix, sub)
            for verb in ("get", "create", "update", "patch")
            if verb in sub.verbs and (method := _ACTIONS[verb])
        }
        if sub.name == "log":
            item["get"] |= {"produces": ["text/plain", *JSON_TYPES], "responses": _string_responses()}
            outer += _OPTIONS["log"]
        yield path, item | {"parameters": [*outer, PRETTY]}

    def connect(self, sub: Subresource, suffix: str) -> Json:
        """Every method that a connection may be opened with."""
        methods = (
            ("get", "post") if sub.name != "proxy" else ("delete", "get", "head", "options", "patch", "post", "put")
        )
        return {
            method: {
                "consumes": ["*/*"],
                "description": f"connect {method.upper()} requests to {sub.name} of {self.rt.kind}",
                "operationId": f"connect{self.id_part}{method.capitalize()}{suffix}",
                "produces": ["*/*"],
                "responses": _string_responses(),
                "schemes": ["https"],
                "tags": [tag(self.rt.group, self.rt.version)],
                "x-kubernetes-action": "connect",
                "x-kubernetes-group-version-kind": self.gvk(sub),
            }
            for method in methods
        }

    def gvk(self, sub: Subresource | None = None) -> Json:
        spoken = sub or self.rt
        return {"group": spoken.group, "kind": spoken.kind, "version": spoken.version}


def _camel(name: str) -> str:
    known = {"ephemeralcontainers": "Ephemeralcontainers", "portforward": "Portforward"}
    return known.get(name, name.capitalize())


def _more_codes(method: str) -> Iterable[str]:
    """Success has more than one code where something may be created or accepted."""
    return {"post": ("201", "202"), "put": ("201",), "patch": ("201",), "delete": ("202",)}.get(method, ())


_DESCRIPTIONS = {"200": "OK", "201": "Created", "202": "Accepted"}


def _responses(definition: str, *more: str) -> Json:
    made = {code: {"description": _DESCRIPTIONS[code], "schema": _ref(definition)} for code in ("200", *more)}
    return made | {"401": _UNAUTHORIZED}


def _string_responses() -> Json:
    return {"200": {"description": "OK", "schema": {"type": "string"}}, "401": _UNAUTHORIZED}


def discovery(path: str, what: str, definition: str, operation_id: str, label: str) -> tuple[str, Json]:
    """A discovery path: the versions, the groups, the resources of a group version."""
    get = {
        "consumes": JSON_TYPES,
        "description": what,
        "operationId": operation_id,
        "produces": JSON_TYPES,
        "responses": _responses(f"{_META}.{definition}"),
        "schemes": ["https"],
        "tags": [label],
    }
    return path, {"get": get}
