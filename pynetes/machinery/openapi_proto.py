"""OpenAPI v2 in gnostic's protobuf form, which kubectl before 1.27 asks for.

The message types are few and the document is ours, so the encoder is by hand: each message is a table of its fields'
numbers, and one function knows how to write them. Values without a type of their own (defaults, enums, `x-` extensions)
travel as YAML text, and JSON is YAML.
"""

import struct
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

Json = Mapping[str, Any]

_SCHEMA_TEXTS = {"$ref": 1, "format": 2, "title": 3, "description": 4, "pattern": 13, "discriminator": 26}
_SCHEMA_DOUBLES = {"multipleOf": 6, "maximum": 7, "minimum": 9}
_SCHEMA_FLAGS = {"exclusiveMaximum": 8, "exclusiveMinimum": 10, "uniqueItems": 16, "readOnly": 27}
_SCHEMA_INTEGERS = {
    "maxLength": 11,
    "minLength": 12,
    "maxItems": 14,
    "minItems": 15,
    "maxProperties": 17,
    "minProperties": 18,
}
_OPERATIONS = {"get": 2, "put": 3, "post": 4, "delete": 5, "options": 6, "head": 7, "patch": 8}
_QUERY, _PATH = 3, 4  # fields of NonBodyParameter


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _bytes(field: int, data: bytes) -> bytes:
    """A length-delimited field: a message or a text."""
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _text(field: int, text: str | None) -> bytes:
    return _bytes(field, text.encode()) if text else b""


def _texts(field: int, texts: Iterable[str]) -> bytes:
    return b"".join(_bytes(field, text.encode()) for text in texts)


def _number(field: int, number: int) -> bytes:
    return _varint(field << 3) + _varint(number & (2**64 - 1)) if number else b""


def _double(field: int, number: float) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<d", number) if number else b""


def _any(value: Any) -> bytes:
    """An `Any`: the value as YAML text."""
    return _text(2, msgspec.json.encode(value).decode() + "\n")


def _named(field: int, name: str, value: bytes) -> bytes:
    """An entry of a map."""
    return _bytes(field, _text(1, name) + _bytes(2, value))


def _extensions(field: int, values: Json) -> bytes:
    return b"".join(_named(field, name, _any(value)) for name, value in values.items() if name.startswith("x-"))


def encode(document: Json) -> bytes:
    """The document as a protobuf message."""
    parameters = _Parameters()
    paths = (_named(2, path, _path_item(item, parameters)) for path, item in document["paths"].items())
    schemas = (_named(1, name, _schema(schema)) for name, schema in document["definitions"].items())
    security = (_named(1, name, _api_key(item)) for name, item in document["securityDefinitions"].items())
    return b"".join(
        (
            _text(1, document["swagger"]),
            _bytes(2, _text(1, document["info"]["title"]) + _text(2, document["info"]["version"])),
            _bytes(8, b"".join(paths)),
            _bytes(9, b"".join(schemas)),
            *(
                _bytes(12, b"".join(_named(1, name, _texts(1, scopes)) for name, scopes in requirement.items()))
                for requirement in document["security"]
            ),
            _bytes(13, b"".join(security)),
        )
    )


def _api_key(item: Json) -> bytes:
    key = _text(1, item["type"]) + _text(2, item["name"]) + _text(3, item["in"]) + _text(4, item["description"])
    return _bytes(2, key)


def _schema(schema: Json) -> bytes:
    parts = [_text(number, schema.get(key)) for key, number in _SCHEMA_TEXTS.items()]
    parts += [_double(number, schema[key]) for key, number in _SCHEMA_DOUBLES.items() if key in schema]
    parts += [_number(number, int(schema[key])) for key, number in _SCHEMA_FLAGS.items() if key in schema]
    parts += [_number(number, schema[key]) for key, number in _SCHEMA_INTEGERS.items() if key in schema]
    if "default" in schema:
        parts.append(_bytes(5, _any(schema["default"])))
    parts.append(_texts(19, schema.get("required") or ()))
    parts += [_bytes(20, _any(value)) for value in schema.get("enum") or ()]
    extra = schema.get("additionalProperties")
    if isinstance(extra, bool):
        parts.append(_bytes(21, _number(2, int(extra))))
    elif extra is not None:
        parts.append(_bytes(21, _bytes(1, _schema(extra))))
    if "type" in schema:
        parts.append(_bytes(22, _text(1, schema["type"])))
    if "items" in schema:
        parts.append(_bytes(23, _bytes(1, _schema(schema["items"]))))
    if "properties" in schema:
        fields = (_named(1, name, _schema(value)) for name, value in schema["properties"].items())
        parts.append(_bytes(25, b"".join(fields)))
    parts.append(_extensions(31, schema))
    return b"".join(parts)


class _Parameters:
    """Encodes parameters, each shared one once."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Json, bytes]] = {}

    def items(self, field: int, parameters: Iterable[Json]) -> bytes:
        """A repeated field of `ParametersItem`."""
        return b"".join(_bytes(field, self._item(parameter)) for parameter in parameters)

    def _item(self, parameter: Json) -> bytes:
        known = self._known.get(id(parameter))
        if known is None:  # the parameter is kept too, so that its id is not given to another
            known = self._known[id(parameter)] = (parameter, _bytes(1, _parameter(parameter)))
        return known[1]


def _parameter(parameter: Json) -> bytes:
    if parameter["in"] == "body":
        body = [
            _text(1, parameter.get("description")),
            _text(2, parameter["name"]),
            _text(3, "body"),
            _number(4, int(parameter.get("required", False))),
            _bytes(5, _schema(parameter["schema"])),
        ]
        return _bytes(1, b"".join(body))
    query = parameter["in"] == "query"
    simple = [
        _number(1, int(parameter.get("required", False))),
        _text(2, parameter["in"]),
        _text(3, parameter.get("description")),
        _text(4, parameter["name"]),
        _text(6 if query else 5, parameter["type"]),
        _number(20 if query else 19, int(parameter.get("uniqueItems", False))),
    ]
    return _bytes(2, _bytes(_QUERY if query else _PATH, b"".join(simple)))


def _path_item(item: Json, parameters: _Parameters) -> bytes:
    parts = [
        _bytes(number, _operation(item[method], parameters)) for method, number in _OPERATIONS.items() if method in item
    ]
    parts.append(parameters.items(9, item.get("parameters") or ()))
    return b"".join(parts)


def _operation(operation: Json, parameters: _Parameters) -> bytes:
    responses = (_named(1, code, _bytes(1, _response(response))) for code, response in operation["responses"].items())
    return b"".join(
        (
            _texts(1, operation.get("tags") or ()),
            _text(3, operation.get("description")),
            _text(5, operation.get("operationId")),
            _texts(6, operation.get("produces") or ()),
            _texts(7, operation.get("consumes") or ()),
            parameters.items(8, operation.get("parameters") or ()),
            _bytes(9, b"".join(responses)),
            _texts(10, operation.get("schemes") or ()),
            _extensions(13, operation),
        )
    )


def _response(response: Json) -> bytes:
    schema = _bytes(2, _bytes(1, _schema(response["schema"]))) if "schema" in response else b""
    return _text(1, response.get("description")) + schema
