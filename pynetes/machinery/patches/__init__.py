"""The four ways a client may change part of an object, as pure functions from one plain dict to another.

`json_patch` (RFC 6902), `merge` (RFC 7386), `strategic` (Kubernetes' own merge, which knows lists by their keys) and
`apply` (server-side apply, with the ownership of fields that it and every other write leave in `managedFields`).
Inputs are never changed, unless a function says so.
"""

import copy
from typing import Any

import msgspec

from pynetes.machinery.errors import StatusError

_encode = msgspec.json.encode
_decode = msgspec.json.Decoder().decode


def copied(value: Any) -> Any:
    """A copy of a JSON value that shares nothing with it; much faster than `copy.deepcopy`."""
    try:
        return _decode(_encode(value))
    except (TypeError, ValueError, OverflowError, RecursionError):
        return copy.deepcopy(value)


def unprocessable(cause: str) -> StatusError:
    """422 for a patch that does not fit the object; like upstream it does not tell why, `__cause__` does."""
    error = StatusError(422, "Invalid", "the server rejected our request due to an error in our request")
    error.__cause__ = ValueError(cause)
    return error


def failed(message: str) -> StatusError:
    """500 with a message and no reason: what upstream answers where nobody has named the error."""
    return StatusError(500, "", message)
