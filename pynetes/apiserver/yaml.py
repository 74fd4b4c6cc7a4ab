"""YAML bodies, read as upstream reads them: translated to JSON's types.

YAML 1.1 scalars (so `yes` is a boolean and `0644` an octal number), except that times stay strings, as they are on the
wire; keys become strings.
"""

from typing import Any

import yaml as pyyaml

from pynetes.machinery import errors
from pynetes.machinery.meta import Obj

_BaseLoader: Any = getattr(pyyaml, "CSafeLoader", pyyaml.SafeLoader)
_Dumper: Any = getattr(pyyaml, "CSafeDumper", pyyaml.SafeDumper)


class _Loader(_BaseLoader):
    """The safe loader, without times."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in _BaseLoader.yaml_implicit_resolvers.items()
}


def load(data: bytes) -> Any:
    """The value of a YAML document in JSON's types; 400 if it is malformed."""
    try:
        return _json_types(pyyaml.load(data, Loader=_Loader))  # noqa: S506 (a safe loader)
    except (pyyaml.YAMLError, UnicodeDecodeError) as error:
        raise errors.bad_request(f"error converting YAML to JSON: yaml: {_explain(error)}") from error


def dump(obj: Obj) -> bytes:
    """An object as a YAML document, its keys sorted."""
    text = pyyaml.dump(obj, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, width=1 << 30)
    return text.encode()


def _json_types(value: Any) -> Any:
    if isinstance(value, dict):
        return {_key(key): _json_types(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_json_types(item) for item in value]
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value


def _key(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return "null" if key is None else str(key)


def _explain(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return f"line {mark.line + 1}: {problem}" if mark is not None else problem
