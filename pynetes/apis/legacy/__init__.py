"""Old API versions that upstream has removed: a 2017 manifest and a 2026 one, side by side.

`table` has a row for each: what the kind is today and how the old version differs (`changes`, `defaults`, `shape`).
Objects are written and stored as the current version; the old one is a spelling of it, converted at the door without
loss. `apiserver.legacy` serves the rows. Nothing here is read before something old is asked for, but for the names.
"""

from collections.abc import Mapping
from functools import cache

from pynetes.apis.legacy import deployment_rollback, pod_security_policy
from pynetes.apis.legacy.row import Legacy
from pynetes.apis.legacy.shape import Shapes
from pynetes.apis.legacy.table import TABLE
from pynetes.machinery import definitions
from pynetes.machinery.meta import Obj

__all__ = ["TABLE", "Legacy", "convert", "install"]


@cache
def _rows() -> Mapping[tuple[str, str], Legacy]:
    return {(row.api_version, row.kind): row for row in TABLE}


def convert(obj: Obj, api_version: str) -> Obj | None:
    """The object in another version, if one of the two is an old one; None if neither is."""
    own, kind = obj.get("apiVersion", ""), obj.get("kind", "")
    row = _rows().get((own, kind))
    if row is not None:
        current = row.to_new(obj)
        return current if row.of == api_version else convert(current, api_version)
    row = _rows().get((api_version, kind))
    return row.to_old(obj) if row is not None and row.of == own else None


@cache
def install() -> None:
    """Make the old versions' schemas known, beside the current ones."""
    whole = pod_security_policy.DEFINITIONS | deployment_rollback.DEFINITIONS
    definitions.add(Shapes(TABLE, whole, pod_security_policy.PROSE | deployment_rollback.PROSE))
