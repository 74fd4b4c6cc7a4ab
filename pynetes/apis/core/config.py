"""ConfigMaps, Secrets and ServiceAccounts."""

import base64
import json
from typing import Any

from pynetes.apis import printing
from pynetes.apis.checks import Errors
from pynetes.apis.printing import column
from pynetes.apis.strategy import Strategy
from pynetes.machinery import meta, names
from pynetes.machinery.meta import Obj

MAX_SIZE = 1024 * 1024
IMMUTABLE_SET = "field is immutable when `immutable` is set"


def _decoded_size(text: str) -> int:
    return len(text.rstrip("=")) * 3 // 4


def _immutable(errors: Errors, new: Obj, old: Obj, fields: tuple[str, ...]) -> None:
    """Once `immutable` is true it stays, and so does the data."""
    if not old.get("immutable"):
        return
    if not new.get("immutable"):
        errors.forbidden("immutable", IMMUTABLE_SET)
    for field in fields:
        if (new.get(field) or {}) != (old.get(field) or {}):
            errors.forbidden(field, IMMUTABLE_SET)


class ConfigMapStrategy(Strategy):
    """A ConfigMap."""

    columns = (printing.NAME, column("Data", description="How many keys it holds."), printing.AGE)

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
        total = 0
        for key, value in data.items():
            errors.check(f"data[{key}]", key, names.config_key(key))
            if key in binary:
                errors.invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
            total += len((value or "").encode())
        for key, value in binary.items():
            errors.check(f"binaryData[{key}]", key, names.config_key(key))
            total += _decoded_size(value or "")
        if total > MAX_SIZE:
            errors.too_long("[]", MAX_SIZE)

    def validate_spec_update(self, errors: Errors, new: Obj, old: Obj) -> None:
        _immutable(errors, new, old, ("data", "binaryData"))

    def row(self, obj: Obj) -> list[Any]:
        count = len(obj.get("data") or {}) + len(obj.get("binaryData") or {})
        return [meta.name(obj), count, printing.age(obj)]


_ACCOUNT_NAME = "kubernetes.io/service-account.name"
_REQUIRED_KEYS = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}
_REDACTED = "<secret contents redacted>"


class SecretStrategy(Strategy):
    """A Secret; `stringData` is written, never read."""

    columns = (
        printing.NAME,
        column("Type", description="What the secret is for."),
        column("Data", description="How many keys it holds."),
        printing.AGE,
    )

    def default(self, obj: Obj) -> None:
        if not obj.get("type"):
            obj["type"] = "Opaque"
        plain = obj.pop("stringData", None)
        if plain:
            data = obj["data"] = obj.get("data") or {}
            data.update({key: base64.b64encode((value or "").encode()).decode() for key, value in plain.items()})

    def prepare_update_spec(self, new: Obj, old: Obj) -> None:
        # This is for clients that knew secrets before they had types.
        if not new.get("type"):
            new["type"] = old.get("type")

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        data = obj.get("data") or {}
        total = 0
        for key, value in data.items():
            errors.check(f"data[{key}]", key, names.config_key(key))
            total += _decoded_size(value or "")
        if total > MAX_SIZE:
            errors.too_long("data", MAX_SIZE)
        self._by_type(errors, obj, data)

    def _by_type(self, errors: Errors, obj: Obj, data: dict[str, str]) -> None:
        kind = obj.get("type", "")
        if kind == "kubernetes.io/service-account-token":
            if not meta.annotations(obj).get(_ACCOUNT_NAME):
                errors.required(f"metadata.annotations[{_ACCOUNT_NAME}]")
        elif kind == "kubernetes.io/basic-auth":
            if "username" not in data and "password" not in data:
                errors.required("data[username]")
                errors.required("data[password]")
        for key in _REQUIRED_KEYS.get(kind, ()):
            if key not in data or (kind == "kubernetes.io/ssh-auth" and not data[key]):
                errors.required(f"data[{key}]")
            elif key.startswith(".docker"):
                try:
                    json.loads(base64.b64decode(data[key] or ""))
                except ValueError as error:
                    errors.invalid(f"data[{key}]", _REDACTED, _go_json_error(error))

    def validate_spec_update(self, errors: Errors, new: Obj, old: Obj) -> None:
        errors.unchanged("type", new.get("type"), old.get("type"))
        _immutable(errors, new, old, ("data",))

    def row(self, obj: Obj) -> list[Any]:
        return [meta.name(obj), obj.get("type", ""), len(obj.get("data") or {}), printing.age(obj)]

    def selectable(self, obj: Obj) -> dict[str, str]:
        return {"type": obj.get("type") or ""}


def _go_json_error(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        if error.pos >= len(error.doc):
            return "unexpected end of JSON input"
        return f"invalid character '{error.doc[error.pos]}' looking for beginning of value"
    return str(error)


class ServiceAccountStrategy(Strategy):
    """A service account."""

    columns = (
        printing.NAME,
        column("Secrets", "string", "How many secrets it names."),
        printing.AGE,
    )

    def warnings(self, obj: Obj) -> list[str]:
        found = []
        if meta.annotations(obj).get("kubernetes.io/enforce-mountable-secrets"):
            found.append(
                "metadata.annotations[kubernetes.io/enforce-mountable-secrets]: deprecated in v1.32+; prefer separate "
                "namespaces to isolate access to mounted secrets"
            )
        return found

    def row(self, obj: Obj) -> list[Any]:
        return [meta.name(obj), len(obj.get("secrets") or []), printing.age(obj)]
