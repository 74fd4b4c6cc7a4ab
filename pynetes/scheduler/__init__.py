"""The scheduler: finds a node for each pod that has none. Start reading at `cycle.py`."""
