"""Objects as bytes: canonical JSON and back, without types.

Canonical means: as msgspec writes it, keys in the order the object has them, no spaces. The stored value of an object
is what a client reads, and only `metadata.resourceVersion` is unknown when it is made (it is the revision that the
store will give). So `split` cuts the bytes around that value and the store puts the number in between.
"""

import secrets

import msgspec

from pynetes.machinery.meta import Obj

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()

# Stands in the place of the value while encoding; random, so that nobody can put it into an object.
_MARK = secrets.token_hex(16)
_MARK_BYTES = msgspec.json.encode(_MARK)


def encode(obj: object) -> bytes:
    """An object as canonical JSON."""
    return _encoder.encode(obj)


def decode(data: bytes | str) -> Obj:
    """The object in a JSON document, untyped; raises `msgspec.DecodeError` if it is malformed."""
    return _decoder.decode(data)


def split(obj: Obj) -> tuple[bytes, bytes]:
    """Canonical JSON before and after the digits of `metadata.resourceVersion` (put there if it was not)."""
    metadata = obj.setdefault("metadata", {})
    before = metadata.get("resourceVersion")
    metadata["resourceVersion"] = _MARK
    try:
        data = _encoder.encode(obj)
    finally:
        if before is None:
            del metadata["resourceVersion"]
        else:
            metadata["resourceVersion"] = before
    head, _, tail = data.partition(_MARK_BYTES)
    return head + b'"', b'"' + tail
