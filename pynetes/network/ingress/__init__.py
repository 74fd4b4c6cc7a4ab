"""Ingress by a real nginx on every node, straight to the endpoints.

`model` turns Ingresses, Services and EndpointSlices into virtual hosts (a pure function), `config` those into nginx's
configuration (another), `nginx` runs the process, `controller` ties them to the caches and writes the address into
each Ingress. Nothing runs until there is an Ingress of our class.
"""
