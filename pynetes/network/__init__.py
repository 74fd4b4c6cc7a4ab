"""The node's network: services, policy, cluster DNS, load balancer addresses, pod routes and ingress.

Everything here is one agent per node (`main`), which watches the API through `pynetes.client` and keeps the kernel's
state (one nftables table, a few routes, a CNI configuration) and its own DNS answers equal to what it saw.
"""
