"""Subresources that are the object itself, of which only a part may be written.

`ephemeralcontainers` and `resize` of pods, `finalize` of namespaces and `approval` of certificate signing requests are
read, replaced and patched like their object; the kind's strategy keeps all but their part as it was.
"""

from typing import TYPE_CHECKING

from pynetes.apiserver import verbs
from pynetes.apiserver.request import Request, Response
from pynetes.apiserver.subresources import Handler, subresource
from pynetes.machinery.resources import ResourceType

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer

VIEWS = {
    ("pods", "ephemeralcontainers"): ("get", "update", "patch"),
    ("pods", "resize"): ("get", "update", "patch"),
    ("namespaces", "finalize"): ("update",),
    ("certificatesigningrequests.certificates.k8s.io", "approval"): ("get", "update", "patch"),
}


def _handler(part: str) -> Handler:
    async def handle(request: Request, server: "ApiServer", rt: ResourceType, namespace: str, name: str) -> Response:
        registry, info = server.registry, request.info
        assert info is not None
        resource = registry.resource(rt)
        if info.verb == "get":
            return verbs.get(registry, resource, request, info)
        act = verbs.update if info.verb == "update" else verbs.patch_
        return await act(registry, resource, request, info, part)

    return handle


for (_kind, _part), _verbs in VIEWS.items():
    subresource(_kind, _part, verbs=_verbs)(_handler(_part))
