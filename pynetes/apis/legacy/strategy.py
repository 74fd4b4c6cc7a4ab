"""How a kind behaves in an old version: as today, but for the defaults and the warning.

Reading is all that comes here; what is written goes through the current version's own strategy (or a lenient one).
"""

from typing import Any

from pynetes.apis.legacy.row import Legacy
from pynetes.apis.registry import strategy_for
from pynetes.apis.strategy import Strategy
from pynetes.machinery.meta import Obj
from pynetes.machinery.resources import ResourceType


class LegacyStrategy(Strategy):
    """The strategy of a row of the table."""

    def __init__(self, legacy: Legacy, resource: ResourceType, current: Strategy) -> None:
        super().__init__(resource)
        self._legacy = legacy
        self._current = current
        self.deprecated = legacy.warning
        self.columns = current.columns
        self.scale = current.scale or strategy_for(current.resource).scale
        self.allow_create_on_update = current.allow_create_on_update

    def default(self, obj: Obj) -> None:
        self._legacy.default(obj)

    def row(self, obj: Obj) -> list[Any]:
        return self._current.row(self._legacy.to_new(obj))

    def row_conditions(self, obj: Obj) -> list[Obj]:
        return self._current.row_conditions(self._legacy.to_new(obj))

    def fields(self, obj: Obj) -> dict[str, str]:
        return self._current.fields(self._legacy.to_new(obj))
