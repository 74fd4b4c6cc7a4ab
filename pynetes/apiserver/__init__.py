"""The API server: HTTP in front of a revisioned store.

`pipeline` is the way in: it follows one request from the connection to the answer. Every kind is served by the same
verbs; what differs between kinds stands in `pynetes.apis`.
"""
