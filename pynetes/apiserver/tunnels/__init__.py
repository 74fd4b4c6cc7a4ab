"""Requests that are carried on to somebody else: to a kubelet, a pod, a service or a node.

`kubelet` says how a node's kubelet is reached and trusted, `streams` serves log, exec, attach and port-forward through
it, `proxy` carries plain HTTP on to nodes, pods and services. Where client and kubelet speak the same protocol, bytes
are passed on untouched (`relay`); where kubectl speaks WebSocket and the kubelet SPDY, `translate` sits in between
(over `spdy` and `websocket`).
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer


def load() -> None:
    """Register the handlers of this package."""
    from pynetes.apiserver.tunnels import proxy, streams  # noqa: F401  (imported for their registrations)


async def close(server: "ApiServer") -> None:
    """Close what connections to kubelets, pods and services are kept open."""
    session = server.__dict__.pop("tunnel_session", None)
    if session is not None:
        await session.close()
