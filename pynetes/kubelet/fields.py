"""What the downward API shows of a pod: `fieldRef` and `resourceFieldRef`, for variables and files alike."""

import re

from pynetes.machinery import meta, quantity
from pynetes.machinery.meta import Obj

_SUBSCRIPT = re.compile(r"^(metadata\.(?:labels|annotations))\['(.*)'\]$")


class FieldError(Exception):
    """The field cannot be shown; the text is for the user."""


def field_value(pod: Obj, path: str) -> str:
    """The value at a field path, for what `apis` lets through."""
    match = _SUBSCRIPT.match(path)
    if match:
        source = meta.labels(pod) if match.group(1) == "metadata.labels" else meta.annotations(pod)
        return source.get(match.group(2), "")
    if path in ("metadata.labels", "metadata.annotations"):
        source = meta.labels(pod) if path == "metadata.labels" else meta.annotations(pod)
        return "\n".join(f"{key}={_quoted(value)}" for key, value in sorted(source.items()))
    simple = {
        "metadata.name": lambda: meta.name(pod),
        "metadata.namespace": lambda: meta.namespace(pod),
        "metadata.uid": lambda: meta.uid(pod),
        "spec.nodeName": lambda: pod["spec"].get("nodeName", ""),
        "spec.serviceAccountName": lambda: pod["spec"].get("serviceAccountName", ""),
    }.get(path)
    if simple is None:
        raise FieldError(f"unsupported fieldPath: {path}")
    return simple()


def resource_value(pod: Obj, container: Obj, reference: Obj, allocatable: dict[str, str]) -> str:
    """The value of a `resourceFieldRef`; a limit that is not set reads as what the node has to give."""
    kind, _, name = reference["resource"].partition(".")
    resources = container.get("resources") or {}
    amounts = resources.get(kind) or {}
    text = amounts.get(name)
    if text is None and kind == "limits" and name in ("cpu", "memory", "ephemeral-storage"):
        text = allocatable.get(name)
    divisor = str(reference.get("divisor") or "1")
    if quantity.parse(divisor) == quantity.parse("0"):
        divisor = "1"
    if text is None:
        return "0"
    if name == "cpu":
        return str(-(-quantity.milli(text) // quantity.milli(divisor)))
    return str(-(-quantity.value(text) // quantity.value(divisor)))


def _quoted(text: str) -> str:
    """As Go's strconv.Quote writes it: annotations may hold anything."""
    out = []
    simple = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\a": "\\a", "\b": "\\b"}
    simple |= {"\f": "\\f", "\v": "\\v"}
    for char in text:
        if char in simple:
            out.append(simple[char])
        elif char.isprintable():
            out.append(char)
        elif ord(char) < 0x80:
            out.append(f"\\x{ord(char):02x}")
        else:
            out.append(f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}")
    return f'"{"".join(out)}"'
