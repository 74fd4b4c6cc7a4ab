"""YAML bodies: read into JSON's types (`machinery.yaml_body`), written with sorted keys as upstream does."""

from typing import Any

import yaml as pyyaml

from pynetes.machinery import yaml_body
from pynetes.machinery.meta import Obj
from pynetes.machinery.yaml_body import YamlError

PREFIX = "error converting YAML to JSON: "
REPEATED = "yaml: unmarshal errors:\n  "

_Dumper: Any = getattr(pyyaml, "CSafeDumper", pyyaml.SafeDumper)


def load(data: bytes) -> tuple[Any, list[str]]:
    """The value of a YAML document in JSON's types, and what is given twice in it; raises YamlError."""
    try:
        return yaml_body.parse(data)
    except UnicodeDecodeError as error:
        raise YamlError(f"{PREFIX}yaml: {error}") from error


def repeated_text(repeated: list[str]) -> str:
    """What is given twice, as the one error that Go's strict reader makes of it."""
    return REPEATED + "\n  ".join(repeated)


def dump(obj: Obj) -> bytes:
    """An object as a YAML document."""
    text = pyyaml.dump(obj, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, width=1 << 30)
    return text.encode()
