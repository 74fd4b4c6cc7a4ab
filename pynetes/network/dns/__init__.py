"""Cluster DNS, answered on every node from that node's caches.

`message` is the wire format, `zone` the names of the cluster (a pure lookup), `forward` everything else, `server` the
sockets. Every node answers the cluster DNS address itself, on its loopback interface: no pod's lookup crosses the
network or a translation, and none fails because another node is down.
"""
