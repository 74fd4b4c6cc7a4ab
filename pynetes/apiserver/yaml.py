"""YAML bodies: read into JSON's types (`machinery.yaml_body`), written with sorted keys as upstream does."""

from typing import Any

import yaml as pyyaml

from pynetes.machinery import errors, yaml_body
from pynetes.machinery.meta import Obj

_Dumper: Any = getattr(pyyaml, "CSafeDumper", pyyaml.SafeDumper)


def load(data: bytes) -> Any:
    """The value of a YAML document in JSON's types; 400 if it is malformed."""
    try:
        return yaml_body.parse(data)[0]
    except (yaml_body.YamlError, UnicodeDecodeError) as error:
        raise errors.bad_request(str(error)) from error


def dump(obj: Obj) -> bytes:
    """An object as a YAML document."""
    text = pyyaml.dump(obj, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, width=1 << 30)
    return text.encode()
