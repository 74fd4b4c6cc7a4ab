"""Values that an old version allowed and the current one refuses from its own clients."""

import re
from typing import Any, ClassVar

from pynetes.apis.strategy import Strategy
from pynetes.machinery.errors import FieldError
from pynetes.machinery.meta import Obj


class Tolerant(Strategy):
    """Mixed into the current version's strategy: does not find fault with the values in `tolerated`."""

    tolerated: ClassVar[tuple[tuple[str, tuple[Any, ...]], ...]] = ()

    def validate(self, obj: Obj) -> list[FieldError]:
        return self._without_tolerated(super().validate(obj))

    def validate_update(self, new: Obj, old: Obj) -> list[FieldError]:
        return self._without_tolerated(super().validate_update(new, old))

    def _without_tolerated(self, findings: list[FieldError]) -> list[FieldError]:
        return [finding for finding in findings if not self._tolerates(finding)]

    def _tolerates(self, finding: FieldError) -> bool:
        return any(re.fullmatch(path, finding.field) and finding.bad_value in values for path, values in self.tolerated)
