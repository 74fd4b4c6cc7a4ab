"""Discovery: what is served here, told in the two ways clients ask.

The old way is a document for each level (`/api`, `/apis`, `/apis/apps`, `/apis/apps/v1`); the aggregated way is one
document of everything, at `/api` and `/apis` under an Accept header of `apidiscovery.k8s.io`. All are made from the
registry's table and kept until it changes.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha512

from pynetes.apiserver import negotiate
from pynetes.apiserver.aggregation import local
from pynetes.apiserver.aggregation.remote import Remote
from pynetes.apiserver.registry import Registry, Resource, version_priority
from pynetes.apiserver.request import JSON, Request, Response
from pynetes.machinery import errors, wire
from pynetes.machinery.meta import Obj

AGGREGATED = "apidiscovery.k8s.io"
AGGREGATED_VERSIONS = ("v2", "v2beta1")

_VIRTUAL = frozenset(
    {"bindings", "componentstatuses", "localsubjectaccessreviews", "selfsubjectaccessreviews", "selfsubjectreviews",
     "selfsubjectrulesreviews", "subjectaccessreviews", "tokenreviews"}
)  # fmt: skip


@dataclass(slots=True)
class _Made:
    """The documents made for one state of the registry."""

    changes: int = -1
    documents: dict[str, bytes] = field(default_factory=dict)


class Discovery:
    """The discovery documents of a registry."""

    def __init__(self, registry: Registry, address: Callable[[], str]) -> None:
        self._registry = registry
        self._address = address
        self._made = _Made()
        self.remotes: Callable[[], list[Remote]] = list
        """Group versions that other servers serve."""

    def answer(self, request: Request, path: str) -> Response:
        """The document at `/api…` or `/apis…`; 404 for groups and versions that are not served."""
        if self._made.changes != self._registry.changes:
            self._made = _Made(self._registry.changes)
        aggregated = _wants_aggregated(request) if path in ("/api", "/apis") else ""
        if aggregated:
            return self._aggregated(request, path, aggregated)
        form = negotiate.accepted(request)
        body = self._document(path, lambda: wire.encode(self._legacy(path)))
        return Response(
            200, {"Content-Type": form.media}, negotiate.reform(body, form, negotiate.wants_pretty(request))
        )

    def _document(self, key: str, make: Callable[[], bytes]) -> bytes:
        documents = self._made.documents
        if key not in documents:
            documents[key] = make()
        return documents[key]

    # Everything at once.

    def _aggregated(self, request: Request, path: str, version: str) -> Response:
        body = self._document(f"{path} {version}", lambda: wire.encode(self._everything(path, version)))
        etag = f'"{sha512(body).hexdigest().upper()}"'
        headers = {
            "Content-Type": f"{JSON};g={AGGREGATED};v={version};as=APIGroupDiscoveryList",
            "ETag": etag,
            "Vary": "Accept",
            "Cache-Control": "public",
        }
        if request.headers.get("if-none-match") == etag:
            return Response(304, headers)
        return Response(200, headers, body)

    def _everything(self, path: str, version: str) -> Obj:
        groups = [group for group in self._groups() if bool(group) == (path == "/apis")]
        return {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": f"{AGGREGATED}/{version}",
            "metadata": {},
            "items": [
                {
                    "metadata": {"name": group} if group else {},
                    "versions": [
                        {
                            "version": each,
                            "resources": self._aggregated_resources(group, each),
                            "freshness": self._freshness(group, each),
                        }
                        for each in self._versions(group)
                    ],
                }
                for group in groups
            ],
        }

    def _remote(self, group: str, version: str) -> Remote | None:
        return next((each for each in self.remotes() if (each.group, each.version) == (group, version)), None)

    def _aggregated_resources(self, group: str, version: str) -> list[Obj]:
        remote = self._remote(group, version)
        if remote is not None:
            return _aggregated_remote(remote)
        return [_aggregated_resource(found) for found in self._resources(group, version)]

    def _freshness(self, group: str, version: str) -> str:
        """What is known of a server that does not answer is what it offered when it last did."""
        remote = self._remote(group, version)
        gone = remote is not None and (remote.available is None or remote.available.status != "True")
        return "Stale" if gone else "Current"

    # Level by level.

    def _legacy(self, path: str) -> Obj:
        segments = path.strip("/").split("/")
        if path == "/api":
            address = {"clientCIDR": "0.0.0.0/0", "serverAddress": self._address()}
            return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [address]}
        if path == "/apis":
            groups = [self._group(group) for group in self._groups() if group]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
        if segments[0] == "apis" and len(segments) == 2 and segments[1] in self._groups():
            return {"kind": "APIGroup", "apiVersion": "v1", **self._group(segments[1])}
        group, version = ("", segments[1]) if segments[0] == "api" else (segments[1], segments[-1])
        found = self._resources(group, version)
        if not found or len(segments) != (3 if group else 2):
            raise errors.path_not_found()
        entries = [entry for each in found for entry in _legacy_entries(each)]
        entries.sort(key=lambda entry: entry["name"])
        group_version = f"{group}/{version}" if group else version
        made: Obj = {"kind": "APIResourceList", "groupVersion": group_version, "resources": entries}
        return {"kind": made.pop("kind"), "apiVersion": "v1", **made} if group else made

    def _group(self, group: str) -> Obj:
        versions = [{"groupVersion": f"{group}/{each}", "version": each} for each in self._versions(group)]
        return {"name": group, "versions": versions, "preferredVersion": versions[0]}

    def _groups(self) -> list[str]:
        """All groups: those first that clients should prefer."""
        priorities = {group: local.group_priority(group) for group in {each.rt.group for each in self._registry}}
        for remote in self.remotes():
            priorities[remote.group] = max(priorities.get(remote.group, 0), remote.group_priority)
        return sorted(priorities, key=lambda group: (-priorities[group], group))

    def _versions(self, group: str) -> list[str]:
        """The versions of a group: the preferred one first."""
        own = [each for each in self._registry if each.rt.group == group]
        priorities = {each.rt.version: local.version_priority(each) for each in own}
        priorities |= {remote.version: remote.version_priority for remote in self.remotes() if remote.group == group}
        return sorted(priorities, key=lambda version: (-priorities[version], version_priority(version)))

    def _resources(self, group: str, version: str) -> list[Resource]:
        found = [each for each in self._registry if (each.rt.group, each.rt.version) == (group, version)]
        return sorted(found, key=lambda each: each.rt.plural)


def _wants_aggregated(request: Request) -> str:
    """The version of aggregated discovery that the client prefers to the old documents, or an empty string."""
    for clause in request.headers.get("accept", "").split(","):
        parameters = dict(part.strip().partition("=")[::2] for part in clause.split(";")[1:])
        media = clause.partition(";")[0].strip()
        if parameters.get("as") == "APIGroupDiscoveryList":
            version = parameters.get("v", "")
            if media == JSON and parameters.get("g") == AGGREGATED and version in AGGREGATED_VERSIONS:
                return version
        elif media in (JSON, "*/*"):
            return ""
    return ""


def _legacy_entries(resource: Resource) -> list[Obj]:
    rt = resource.rt
    entry: Obj = {
        "name": rt.plural,
        "singularName": rt.singular,
        "namespaced": rt.namespaced,
        "kind": rt.kind,
        "verbs": sorted(rt.verbs),
    }
    if rt.short_names:
        entry["shortNames"] = list(rt.short_names)
    if rt.categories:
        entry["categories"] = list(rt.categories)
    if rt.plural not in _VIRTUAL:
        entry["storageVersionHash"] = resource.stored.storage_version_hash
    entries = [entry]
    for sub in rt.subresources:
        made: Obj = {"name": f"{rt.plural}/{sub.name}", "singularName": "", "namespaced": rt.namespaced}
        if (sub.group, sub.version) != (rt.group, rt.version):
            made |= {"group": sub.group, "version": sub.version} if sub.group else {"version": sub.version}
        entries.append(made | {"kind": sub.kind, "verbs": sorted(sub.verbs)})
    return entries


def _aggregated_resource(resource: Resource) -> Obj:
    rt = resource.rt
    scope = "Namespaced" if rt.namespaced else "Cluster"
    made: Obj = {
        "resource": rt.plural,
        "responseKind": {"group": rt.group, "version": rt.version, "kind": rt.kind},
        "scope": scope,
        "singularResource": rt.singular,
        "verbs": sorted(rt.verbs),
    }
    if rt.short_names:
        made["shortNames"] = list(rt.short_names)
    if rt.categories:
        made["categories"] = list(rt.categories)
    if rt.subresources:
        made["subresources"] = [
            {
                "subresource": sub.name,
                "responseKind": {"group": sub.group, "version": sub.version, "kind": sub.kind},
                "verbs": sorted(sub.verbs),
            }
            for sub in rt.subresources
        ]
    return made


def _aggregated_remote(remote: Remote) -> list[Obj]:
    """What another server's old discovery document says, in the new form."""
    made: dict[str, Obj] = {}
    for each in sorted(remote.resources, key=lambda each: str(each.get("name", "")).count("/")):
        name, _, subresource = str(each.get("name", "")).partition("/")
        kind = {
            "group": each.get("group") or remote.group,
            "version": each.get("version") or remote.version,
            "kind": each.get("kind", ""),
        }
        if subresource:
            entry: Obj = {"subresource": subresource, "responseKind": kind, "verbs": each.get("verbs") or []}
            if name in made:
                made[name].setdefault("subresources", []).append(entry)
            continue
        made[name] = {
            "resource": name,
            "responseKind": kind,
            "scope": "Namespaced" if each.get("namespaced") else "Cluster",
            "singularResource": each.get("singularName", ""),
            "verbs": each.get("verbs") or [],
        }
        made[name] |= {key: each[key] for key in ("shortNames", "categories") if each.get(key)}
    return list(made.values())
