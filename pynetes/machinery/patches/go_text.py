"""How Go prints a decoded JSON value (`%v`): upstream's messages about patches contain such text."""

from typing import Any


def go_text(value: Any) -> str:
    """The value as upstream's messages show it."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{go_text(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(go_text, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "<nil>" if value is None else str(value)
