"""Which resources a server has.

Aggregated discovery answers in two requests; a server that does not offer it is asked group by group. Groups that
cannot be reached (an aggregated API server that is down) are named, not silently left out: a caller that acts on
"everything" must know that it did not see everything.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from pynetes.client.client import Client
from pynetes.machinery import resources
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj
from pynetes.machinery.resources import ResourceType, Subresource

_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


@dataclass(slots=True)
class Discovered:
    """The resources in their preferred versions, and the group-versions that did not answer.

    `views` are resources that only show objects of the others under a former name.
    """

    resources: list[ResourceType] = field(default_factory=list)
    views: list[ResourceType] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


# Groups that only show, under their former names, objects that live in other groups.
_VIEWS = frozenset({"extensions"})


async def discover(client: Client, *, every_version: bool = False) -> Discovered:
    """Ask the server what it serves: each kind once, or in every version and under every name that it has."""
    found = Discovered()
    for path in ("/api", "/apis"):
        answer = (await client.raw("GET", path, headers={"accept": _AGGREGATED})).json()
        if answer.get("kind") == "APIGroupDiscoveryList":
            _read_aggregated(answer, found, every_version)
        elif path == "/api":
            await _read_version(client, "", "v1", found)
        else:
            groups = answer.get("groups") or []
            await asyncio.gather(*(_read_group(client, group, found, every_version) for group in groups))
    if not every_version:
        found.views = [resource for resource in found.resources if resource.group in _VIEWS]
        found.resources = [resource for resource in found.resources if resource.group not in _VIEWS]
    return found


async def resource_of_kind(client: Client, api_version: str, kind: str) -> ResourceType:
    """The resource whose objects are of that kind; LookupError, in upstream's words, if the server has none."""
    known = resources.by_kind(api_version, kind)
    if known is not None:
        return known
    for found in (await discover(client, every_version=True)).resources:
        if (found.api_version, found.kind) == (api_version, kind):
            return found
    raise LookupError(f'no matches for kind "{kind}" in version "{api_version}"')


def _read_aggregated(answer: Obj, found: Discovered, every_version: bool) -> None:
    for group in answer.get("items") or []:
        name = group.get("metadata", {}).get("name", "")
        seen: set[str] = set()
        for version in group.get("versions") or []:
            if version.get("freshness") == "Stale":
                found.failed[_group_version(name, version["version"])] = "stale GroupVersion discovery"
                continue
            for resource in version.get("resources") or []:
                if resource["resource"] in seen and not every_version:
                    continue
                seen.add(resource["resource"])
                found.resources.append(_aggregated_resource(name, version["version"], resource))


def _aggregated_resource(group: str, version: str, resource: Obj) -> ResourceType:
    kind = (resource.get("responseKind") or {}).get("kind", "")
    subresources = tuple(
        Subresource(
            name=sub["subresource"],
            group=(sub.get("responseKind") or {}).get("group", ""),
            version=(sub.get("responseKind") or {}).get("version", ""),
            kind=(sub.get("responseKind") or {}).get("kind", ""),
            verbs=tuple(sub.get("verbs") or ()),
        )
        for sub in resource.get("subresources") or []
    )
    return ResourceType(
        group=group,
        version=version,
        plural=resource["resource"],
        kind=kind,
        singular=resource.get("singularResource") or kind.lower(),
        namespaced=resource.get("scope") == "Namespaced",
        short_names=tuple(resource.get("shortNames") or ()),
        categories=tuple(resource.get("categories") or ()),
        verbs=tuple(resource.get("verbs") or ()),
        subresources=subresources,
    )


async def _read_group(client: Client, group: Obj, found: Discovered, every_version: bool = False) -> None:
    version = (group.get("preferredVersion") or group["versions"][0])["version"]
    others = [v["version"] for v in group["versions"] if v["version"] != version]
    for candidate in [version, *others]:
        await _read_version(client, group["name"], candidate, found, every_version)


async def _read_version(
    client: Client, group: str, version: str, found: Discovered, every_version: bool = False
) -> None:
    path = f"/apis/{group}/{version}" if group else f"/api/{version}"
    try:
        answer: dict[str, Any] = (await client.raw("GET", path)).json()
    except StatusError as error:
        found.failed[_group_version(group, version)] = error.message
        return
    have = set() if every_version else {(r.group, r.plural) for r in found.resources}
    for resource in answer.get("resources") or []:
        if "/" in resource["name"] or (group, resource["name"]) in have:
            continue
        found.resources.append(
            ResourceType(
                group=group,
                version=version,
                plural=resource["name"],
                kind=resource["kind"],
                singular=resource.get("singularName") or resource["kind"].lower(),
                namespaced=bool(resource.get("namespaced")),
                short_names=tuple(resource.get("shortNames") or ()),
                categories=tuple(resource.get("categories") or ()),
                verbs=tuple(resource.get("verbs") or ()),
                subresources=(),
            )
        )


def _group_version(group: str, version: str) -> str:
    return f"{group}/{version}" if group else version
