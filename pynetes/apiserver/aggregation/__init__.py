"""API aggregation: group versions that other servers serve, behind this one.

An APIService object says who serves a group version. `local` writes those for what this server serves itself, `remote`
follows those that name a service, finds out whether it can be reached and what it offers, and `proxy` carries requests
on to it in the name of their user. `manager` puts them together.
"""
