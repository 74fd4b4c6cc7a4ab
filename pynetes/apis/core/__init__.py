"""The kinds of this group."""

from pynetes.apis.strategy import Strategy

STRATEGIES: dict[str, type[Strategy]] = {}
