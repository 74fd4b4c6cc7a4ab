"""Carrying a request on to the server of its group version, in the name of its user."""

from typing import TYPE_CHECKING

from pynetes.apiserver.aggregation.remote import Remote, user_headers
from pynetes.apiserver.endpoints import NoEndpoint
from pynetes.apiserver.request import Request, Response, text_response
from pynetes.apiserver.tunnels.kubelet import tunnel
from pynetes.apiserver.tunnels.proxy import forward

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer

_IDENTITY = (b"x-remote-user", b"x-remote-uid", b"x-remote-group", b"x-remote-extra-")


async def handle(request: Request, server: "ApiServer", remote: Remote) -> Response:
    """The remote server's answer; 503 while it is not available."""
    assert request.user is not None
    if remote.available is None or remote.available.status != "True":
        return text_response("service unavailable\n", 503)
    try:
        location = remote.location(server)
    except NoEndpoint:
        return text_response("service unavailable\n", 503)
    # Who the client says it is counts for nothing: who it is has been established.
    kept = [(key, value) for key, value in request.raw_headers if not key.lower().startswith(_IDENTITY)]
    named = [(key.encode("latin-1"), value.encode("utf-8")) for key, value in user_headers(request.user)]
    request.raw_headers = kept + named
    path = request.raw_path + (f"?{request.raw_query}" if request.raw_query else "")
    if request.is_upgrade:
        return await tunnel(request, location, path)
    return await forward(request, server, location, path, "")
