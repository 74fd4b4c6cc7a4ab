"""The events.k8s.io group: the newer spelling of events; see `core.event`."""

from pynetes.apis.core.event import NewEventStrategy
from pynetes.apis.strategy import Strategy

STRATEGIES: dict[str, type[Strategy]] = {"events.events.k8s.io": NewEventStrategy}
