"""Makes the compact API definitions out of the published ones.

PyPI's `kubernetes-validate` carries the OpenAPI definitions of v1.37 (types, formats, merge keys, list-map keys,
group-version-kinds, prose) in the dress of JSON Schema. This script takes that dress off (`null` in every type, an
enum of one apiVersion) and writes two files: `definitions.json`, with an index of kinds, which every process that
decodes objects reads, and `descriptions.json`, the prose, which only `kubectl explain` asks for. What the package
leaves out and behaviour depends on, the literal defaults, is added from the table below.

The build hook runs this file by path, so it imports nothing of pynetes. By hand:
`python -m pynetes.machinery.build_definitions`.
"""

import importlib.util
import json
from pathlib import Path
from typing import Any

VERSION = "v1.37.0"
DEFINITIONS = "definitions.json"
DESCRIPTIONS = "descriptions.json"

_CORE = "io.k8s.api.core.v1"

# Literal defaults of the published schemas. Those of list-map keys decide which entries of a list are the same.
_DEFAULTS: dict[str, dict[str, Any]] = {
    f"{_CORE}.ContainerPort": {"protocol": "TCP"},
    f"{_CORE}.ServicePort": {"protocol": "TCP"},
    f"{_CORE}.FileKeySelector": {"optional": False},
    f"{_CORE}.GRPCAction": {"service": ""},
    f"{_CORE}.ISCSIVolumeSource": {"iscsiInterface": "default"},
    f"{_CORE}.ISCSIPersistentVolumeSource": {"iscsiInterface": "default"},
    f"{_CORE}.RBDVolumeSource": {"keyring": "/etc/ceph/keyring", "pool": "rbd", "user": "admin"},
    f"{_CORE}.RBDPersistentVolumeSource": {"keyring": "/etc/ceph/keyring", "pool": "rbd", "user": "admin"},
    f"{_CORE}.ScaleIOVolumeSource": {"fsType": "xfs", "storageMode": "ThinProvisioned"},
    f"{_CORE}.ScaleIOPersistentVolumeSource": {"fsType": "xfs", "storageMode": "ThinProvisioned"},
    f"{_CORE}.AzureDiskVolumeSource": {
        "cachingMode": "ReadWrite",
        "fsType": "ext4",
        "kind": "Shared",
        "readOnly": False,
    },
}


def generate(target: Path) -> None:
    """Write both files into `target`."""
    published = json.loads(_source().read_text())["$defs"]
    definitions, descriptions, kinds = {}, {}, {}
    for name, schema in sorted(published.items()):
        definitions[name] = _definition(name, schema)
        descriptions[name] = _prose(schema)
        for gvk in schema.get("x-kubernetes-group-version-kind", ()):
            kinds[f"{gvk['group']}/{gvk['version']}/{gvk['kind']}".removeprefix("/")] = name
    target.mkdir(parents=True, exist_ok=True)
    _write(target / DEFINITIONS, {"kinds": kinds, "definitions": definitions})
    _write(target / DESCRIPTIONS, descriptions)


def _source() -> Path:
    package = importlib.util.find_spec("kubernetes_validate")
    if package is None or not package.submodule_search_locations:
        raise SystemExit("kubernetes-validate is not installed; it carries the API definitions that pynetes builds on")
    root = Path(package.submodule_search_locations[0])
    return root / "kubernetes-json-schema" / f"{VERSION}-local" / "_definitions.json"


def _definition(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """One definition as OpenAPI v2 has it, without prose."""
    compact = _plain({key: value for key, value in schema.items() if key != "properties"})
    if "oneOf" in compact:  # IntOrString and Quantity: unions in JSON Schema, strings with a name in OpenAPI
        del compact["oneOf"]
        compact |= {"type": "string"} | ({"format": "int-or-string"} if name.endswith("IntOrString") else {})
    if "properties" in schema:
        compact["properties"] = {field: _plain(value) for field, value in schema["properties"].items()}
        for field, default in _DEFAULTS.get(name, {}).items():
            compact["properties"][field]["default"] = default
    return compact


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema of one field: one type instead of a type or null, references as OpenAPI spells them."""
    compact: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("description", "enum"):
            continue
        if key == "type":
            value = next(kind for kind in value if kind != "null") if isinstance(value, list) else value
        elif key == "$ref":
            value = value.replace("#/$defs/", "#/definitions/")
        elif isinstance(value, dict):
            value = _plain(value) if key in ("items", "additionalProperties") else value
        compact[key] = value
    return compact


def _prose(schema: dict[str, Any]) -> dict[str, str]:
    """The descriptions of a definition (under the empty name) and of its fields."""
    prose = {"": schema.get("description", "")}
    prose |= {field: value.get("description", "") for field, value in schema.get("properties", {}).items()}
    return {field: text for field, text in prose.items() if text}


def _write(path: Path, content: dict[str, Any]) -> None:
    """Replace the file in one step: another process may be reading it."""
    scratch = path.with_suffix(".tmp")
    scratch.write_text(json.dumps(content, separators=(",", ":"), ensure_ascii=False))
    scratch.replace(path)


if __name__ == "__main__":
    generate(Path(__file__).resolve().parent.parent / "_generated")
