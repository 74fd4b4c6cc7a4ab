"""Subresources and virtual resources: whatever is not plain create-read-update-delete of a stored object.

A handler registers itself for a resource and a subresource; an empty subresource means the resource itself is virtual
(a SubjectAccessReview is answered, never stored). Handlers are found by importing every module of this package once.

    @subresource("pods", "binding", verbs=("create",))
    async def bind(request: Request, server: ApiServer, rt: ResourceType, namespace: str, name: str) -> Response: ...

`request.body` has been read, `request.user` authorized. `registry.context(request)` makes the write context,
`negotiate.decode_body(request, definition)` the object sent, `negotiate.object_response(request, obj, status)` the
answer. `streaming=True` leaves the body unread (`request.chunks()`), for proxies.
"""

import importlib
import pkgutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pynetes.apiserver.request import Request, Response
from pynetes.machinery.resources import ResourceType

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer

Handler = Callable[[Request, "ApiServer", ResourceType, str, str], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One handler and the verbs it answers."""

    handler: Handler
    verbs: frozenset[str]
    streaming: bool = False


ANY = "*"
"""Stands for every kind that has the subresource but no handler of its own for it: custom resources."""

_endpoints: dict[tuple[str, str], dict[str, Endpoint]] = {}


def subresource(
    group_resource: str, name: str, *, verbs: tuple[str, ...], streaming: bool = False
) -> Callable[[Handler], Handler]:
    """Register the decorated handler for `verbs` on `group_resource`/`name` ("pods", "deployments.apps", …)."""

    def register(handler: Handler) -> Handler:
        endpoint = Endpoint(handler, frozenset(verbs), streaming)
        by_verb = _endpoints.setdefault((group_resource, name), {})
        for verb in verbs:
            by_verb[verb] = endpoint
        return handler

    return register


def find(group_resource: str, name: str) -> dict[str, Endpoint] | None:
    """The handlers for a subresource by verb, or None if it has none of its own."""
    return _endpoints.get((group_resource, name))


def load_all() -> None:
    """Import every module of this package, so that their handlers are registered."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
