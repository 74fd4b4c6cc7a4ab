"""Requests that are carried on to somebody else: to a kubelet, a pod, a service or a node.

`kubelet` says how a node's kubelet is reached and trusted, `streams` serves log, exec, attach and port-forward through
it, `proxy` carries plain HTTP on to nodes, pods and services. Where client and kubelet speak the same protocol, bytes
are passed on untouched (`relay`); where kubectl speaks WebSocket and the kubelet SPDY, `translate` sits in between
(over `spdy` and `websocket`).
"""


def load() -> None:
    """Register the handlers of this package."""
    from pynetes.apiserver.tunnels import proxy, streams  # noqa: F401  (imported for their registrations)
