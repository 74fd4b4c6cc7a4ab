"""Authorization: may this user do this?

`authorizer` is the way in: it asks the Node authorizer and RBAC in turn and knows the text of a refusal. `rbac` holds
the index that answers in microseconds, `node` the graph from nodes to the objects their pods use. The default policy
is data (`policy`, `controller_policy`, `pynetes_policy`), kept true at start by `reconcile`; `escalation` refuses to
let anyone grant what they do not hold.
"""
