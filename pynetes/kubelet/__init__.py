"""The node agent: makes the pods bound to this node run, and reports how they are."""
