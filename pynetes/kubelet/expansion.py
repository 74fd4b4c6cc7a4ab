"""`$(VAR)` in commands, arguments, environment values and subPathExpr.

`$$(VAR)` escapes, an unknown variable and a lone `$` stay as they are: Kubernetes' rules, not the shell's.
"""

import re
from collections.abc import Callable, Mapping

_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")


def expand(text: str, variables: Mapping[str, str]) -> str:
    """`text` with every known reference replaced."""
    return _expand(text, lambda name, written: variables.get(name, written))


def expand_strictly(text: str, variables: Mapping[str, str]) -> str:
    """As `expand`, but an unknown variable raises KeyError: a path must not keep a `$(…)` in it."""

    def known(name: str, written: str) -> str:
        return variables[name]

    return _expand(text, known)


def _expand(text: str, value: Callable[[str, str], str]) -> str:
    if "$" not in text:
        return text

    def replace(match: re.Match[str]) -> str:
        written = match.group()
        return "$" if written == "$$" else value(match.group(1), written)

    return _REFERENCE.sub(replace, text)
