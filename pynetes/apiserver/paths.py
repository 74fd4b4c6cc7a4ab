"""From a method and a URL path to what is asked for: upstream's request info.

`/api/<version>/…` and `/apis/<group>/<version>/…` name resources; everything else is a plain path. The answer depends
on method and path alone (the query only turns a list into a watch), so it is remembered per path.
"""

from dataclasses import replace
from urllib.parse import parse_qs, unquote

from pynetes.apiserver.request import RequestInfo
from pynetes.machinery import selectors

_VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})
_CACHE_SIZE = 16_384
_cache: dict[tuple[str, str], RequestInfo] = {}


def request_info(method: str, path: str, raw_query: str) -> RequestInfo:
    """What a request asks for; `path` is still percent-encoded."""
    info = _cache.get((method, path))
    if info is None:
        if len(_cache) >= _CACHE_SIZE:
            _cache.clear()
        info = _cache[method, path] = parse(method, path)
    if raw_query and info.verb in ("list", "deletecollection", "get") and info.is_resource and not info.subresource:
        return _with_query(info, raw_query)
    return info


def parse(method: str, path: str) -> RequestInfo:
    """The request info of a path without its query."""
    plain = RequestInfo(is_resource=False, verb=method.lower(), path=unquote(path))
    segments = path.strip("/").split("/")
    if len(segments) < 3 or segments[0] not in ("api", "apis"):
        return plain
    if segments[0] == "api":
        group, version, rest = "", segments[1], segments[2:]
    elif len(segments) < 4:
        return plain
    else:
        group, version, rest = segments[1], segments[2], segments[3:]
    verb = _VERBS.get(method, method.lower())
    if rest[0] == "watch" and len(rest) > 1:
        verb, rest = "watch", rest[1:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = unquote(rest[1])
        if len(rest) > 2 and rest[2] not in _NAMESPACE_SUBRESOURCES:
            rest = rest[2:]
    name = unquote(rest[1]) if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    if not name:
        verb = {"get": "list", "delete": "deletecollection"}.get(verb, verb)
    # What follows the subresource is forwarded as it came: a trailing slash matters to what is behind a proxy.
    tail = ""
    if subresource:
        behind = path.split(f"/{rest[1]}/{subresource}", 1)
        tail = behind[1] if len(behind) > 1 else ""
    return RequestInfo(True, verb, group, version, rest[0], subresource, namespace, name, plain.path, tail)


def _with_query(info: RequestInfo, raw_query: str) -> RequestInfo:
    """A list with `watch=true` is a watch, and one selected by `metadata.name` concerns that name."""
    query = parse_qs(raw_query, keep_blank_values=True)
    verb, name = info.verb, info.name
    if verb == "list" and query.get("watch", ["false"])[0].lower() not in ("false", "0"):
        verb = "watch"
    selector = query.get("fieldSelector", [""])[0]
    if not name and selector:
        name = _selected_name(selector)
    if verb == info.verb and not selector:
        return info
    return replace(info, verb=verb, name=name, field_selector=selector)


def _selected_name(selector: str) -> str:
    """The name a field selector asks for, when it asks for exactly one."""
    try:
        parsed = selectors.parse_field_selector(selector)
    except ValueError:
        return ""  # the verb will say what is wrong with it
    return parsed.exact("metadata.name") or ""
