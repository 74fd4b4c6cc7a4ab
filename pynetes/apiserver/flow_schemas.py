"""Which flow schema a request belongs to, told in the headers of its answer, and conditions that tell of lost levels.

The seats are given out by `flowcontrol` without regard to schemas. But clients see how they were classified, as
upstream shows them: the uids of the first schema that matches, by precedence, and of its priority level. A schema
whose level does not exist matches nothing and says so in its status.
"""

import asyncio
import functools
import logging
from collections.abc import Iterable
from typing import Any

from pynetes.apiserver.mirror import Mirror
from pynetes.apiserver.registry import Context, Registry
from pynetes.apiserver.request import RequestInfo, UserInfo
from pynetes.machinery import meta, resources
from pynetes.machinery.errors import StatusError, quote
from pynetes.machinery.meta import Obj

SCHEMA_HEADER = "X-Kubernetes-Pf-Flowschema-Uid"
LEVEL_HEADER = "X-Kubernetes-Pf-Prioritylevel-Uid"
_PREFIX = "/flowcontrol.apiserver.k8s.io/"
_MANAGER = "api-priority-and-fairness-config-consumer-v1"
_MOST_CACHED = 10_000

log = logging.getLogger(__name__)


class FlowSchemas:
    """Follows the flow schemas and priority levels of a registry's store."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._schemas: Mirror[Obj] = Mirror(registry.store, f"{_PREFIX}flowschemas/", self._changed)
        self._levels: Mirror[Obj] = Mirror(registry.store, f"{_PREFIX}prioritylevelconfigurations/", self._changed)
        self._ordered: list[tuple[Obj, str]] | None = None
        self._cache: dict[Any, str] = {}
        self._stir = asyncio.Event()

    def start(self) -> None:
        """Follow the store from here on."""
        self._schemas.start()
        self._levels.start()

    async def stop(self) -> None:
        """Stop following."""
        await self._schemas.stop()
        await self._levels.stop()

    def lines(self, user: UserInfo, info: RequestInfo) -> str:
        """The lines of headers that name the schema and the level of a request; nothing if none matches."""
        path = "" if info.is_resource else info.path
        key = (user.name, user.groups, info.verb, info.group, info.resource, info.subresource, info.namespace, path)
        found = self._cache.get(key)
        if found is None:
            if len(self._cache) >= _MOST_CACHED:
                self._cache.clear()
            found = self._cache[key] = self._classify(user, info)
        return found

    async def keep_conditions(self) -> None:
        """Until cancelled: each schema's `Dangling` says whether its level is missing."""
        rt = resources.lookup("flowschemas.flowcontrol.apiserver.k8s.io")
        context = Context(field_manager=_MANAGER, skip_admission=True)
        task = asyncio.current_task()
        assert task is not None
        while not task.cancelling():  # a write that has begun is finished first, cancelled or not
            self._stir.clear()
            levels = {meta.name(level) for level in self._levels}
            for schema in list(self._schemas):
                dangling = _dangling(schema, levels)
                if _says(schema, dangling) or task.cancelling():
                    continue
                try:
                    await self._registry.update(
                        rt, None, meta.name(schema), functools.partial(_say, dangling), context, "status"
                    )
                except StatusError as error:
                    log.debug("the condition of flow schema %s: %s", meta.name(schema), error)
            if not task.cancelling():
                await self._stir.wait()

    def _changed(self, old: Obj | None, new: Obj | None) -> None:
        self._ordered = None
        self._cache.clear()
        self._stir.set()

    def _classify(self, user: UserInfo, info: RequestInfo) -> str:
        if self._ordered is None:
            self._ordered = _in_order(self._schemas, {meta.name(level): level for level in self._levels})
        for schema, shown in self._ordered:
            if any(_matches(rule, user, info) for rule in schema["spec"].get("rules") or []):
                return shown
        return ""


def _in_order(schemas: Iterable[Obj], levels: dict[str, Obj]) -> list[tuple[Obj, str]]:
    """The schemas with a level, the lowest precedence first, with the headers of each."""
    useful = [(schema, levels[_level_of(schema)]) for schema in schemas if _level_of(schema) in levels]
    useful.sort(key=lambda pair: (pair[0]["spec"].get("matchingPrecedence", 0), meta.name(pair[0])))
    return [
        (schema, f"{SCHEMA_HEADER}: {meta.uid(schema)}\r\n{LEVEL_HEADER}: {meta.uid(level)}\r\n")
        for schema, level in useful
    ]


def _level_of(schema: Obj) -> str:
    level: str = (schema["spec"].get("priorityLevelConfiguration") or {}).get("name", "")
    return level


def _matches(rule: Obj, user: UserInfo, info: RequestInfo) -> bool:
    if not any(_is(subject, user) for subject in rule.get("subjects") or []):
        return False
    if info.is_resource:
        return any(_covers(each, info) for each in rule.get("resourceRules") or [])
    return any(_covers_path(each, info) for each in rule.get("nonResourceRules") or [])


def _is(subject: Obj, user: UserInfo) -> bool:
    match subject.get("kind"):
        case "User":
            return subject["user"]["name"] in ("*", user.name)
        case "Group":
            return subject["group"]["name"] == "*" or subject["group"]["name"] in user.groups
        case "ServiceAccount":
            account = subject["serviceAccount"]
            prefix = f"system:serviceaccount:{account['namespace']}:"
            if account["name"] == "*":
                return user.name.startswith(prefix)
            return user.name == prefix + str(account["name"])
    return False


def _has(listed: list[str] | None, value: str) -> bool:
    return listed is not None and ("*" in listed or value in listed)


def _covers(rule: Obj, info: RequestInfo) -> bool:
    resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    return (
        _has(rule.get("verbs"), info.verb)
        and _has(rule.get("apiGroups"), info.group)
        and _has(rule.get("resources"), resource)
        and (_has(rule.get("namespaces"), info.namespace) if info.namespace else bool(rule.get("clusterScope")))
    )


def _covers_path(rule: Obj, info: RequestInfo) -> bool:
    return _has(rule.get("verbs"), info.verb) and any(
        url == info.path or (url.endswith("*") and info.path.startswith(url.rstrip("*")))
        for url in rule.get("nonResourceURLs") or []
    )


def _dangling(schema: Obj, levels: set[str]) -> tuple[str, str, str]:
    level = _level_of(schema)
    names = f"This FlowSchema references the PriorityLevelConfiguration object named {quote(level)}"
    if level in levels:
        return "False", "Found", f"{names} and it exists"
    return "True", "NotFound", f"{names} but there is no such object"


def _says(schema: Obj, dangling: tuple[str, str, str]) -> bool:
    said = meta.get_condition(schema, "Dangling") or {}
    return (said.get("status"), said.get("reason"), said.get("message")) == dangling


def _say(dangling: tuple[str, str, str], obj: Obj) -> None:
    meta.set_condition(obj, "Dangling", *dangling)
