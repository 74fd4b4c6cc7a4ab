"""Reading PEM as strictly as the certificate API asks: only blocks of one type, without headers."""

import base64
import binascii
import re
from collections.abc import Iterator
from typing import NamedTuple

_BLOCK = re.compile(
    r"^-----BEGIN (?P<type>[^\n-]*)-----[ \t\r]*\n(?P<body>.*?)^-----END (?P=type)-----[ \t\r]*$",
    re.DOTALL | re.MULTILINE,
)
_HEADER = re.compile(r"^[^\n:]+:", re.MULTILINE)


class Block(NamedTuple):
    """One block: its type, whether it has headers, and its bytes."""

    type: str
    has_headers: bool
    data: bytes


def blocks(text: str) -> Iterator[Block]:
    """The blocks of a text; what is no block is passed over, as in Go."""
    for match in _BLOCK.finditer(text):
        body = match["body"]
        has_headers = bool(_HEADER.search(body))
        encoded = body.partition("\n\n")[2] if has_headers else body
        try:
            yield Block(match["type"], has_headers, base64.b64decode("".join(encoded.split()), validate=True))
        except binascii.Error:
            continue


def from_wire(value: str | None) -> str:
    """The text in a field of bytes, which JSON carries in base64."""
    try:
        return base64.b64decode(value or "", validate=True).decode("utf-8", "replace")
    except binascii.Error:
        return ""
