"""Errors in the API's own form.

Two values: `FieldError`, one thing wrong with one field, and `StatusError`, a failed request, which is an exception
that knows how to become the `Status` object clients read. Both are made by the small functions here, whose messages
are upstream's to the letter, because clients and people match on them. Whoever knows the cause raises; the server's
pipeline turns what it catches into a response, the client turns responses back into the same exception.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pynetes.machinery.meta import Obj

_HEADINGS = {
    "FieldValueNotFound": "Not found",
    "FieldValueRequired": "Required value",
    "FieldValueDuplicate": "Duplicate value",
    "FieldValueInvalid": "Invalid value",
    "FieldValueTypeInvalid": "Invalid value",
    "FieldValueNotSupported": "Unsupported value",
    "FieldValueForbidden": "Forbidden",
    "FieldValueTooLong": "Too long",
    "FieldValueTooMany": "Too many",
    "InternalError": "Internal error",
}
_WITHOUT_VALUE = {"FieldValueRequired", "FieldValueForbidden", "FieldValueTooLong", "InternalError"}


class _Omitted:
    """The bad value of an error that shows none."""


OMITTED = _Omitted()


def quote(text: str) -> str:
    """`text` in double quotes, escaped as Go's `%q` does."""
    return json.dumps(text, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class FieldError:
    """One fault in one field; `type` is a `StatusCause` reason, `field` a path such as `spec.containers[0].name`."""

    type: str
    field: str
    detail: str = ""
    bad_value: Any = OMITTED

    @property
    def body(self) -> str:
        """The message without the field's path."""
        text = _HEADINGS[self.type]
        if self.type not in _WITHOUT_VALUE and self.bad_value is not OMITTED:
            text += f": {_show(self.bad_value)}"
        return f"{text}: {self.detail}" if self.detail else text

    def __str__(self) -> str:
        return f"{self.field}: {self.body}"

    def cause(self) -> Obj:
        """The entry for `Status.details.causes`."""
        return {"reason": self.type, "message": self.body, "field": self.field}


NIL_MAP: dict[str, str] = {}
"""A map that is not there, as a bad value: it has a type, so it is shown as JSON's null and not as the word."""


def _show(value: Any) -> str:
    """A bad value as it stands in a message: Go prints a nil without a type as the quoted word."""
    if value is NIL_MAP:
        return "null"
    return '"null"' if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def required(path: str, detail: str = "") -> FieldError:
    """The field must be there and not empty."""
    return FieldError("FieldValueRequired", path, detail, "")


def invalid_value(path: str, value: Any, detail: str) -> FieldError:
    """The value is malformed or out of bounds."""
    return FieldError("FieldValueInvalid", path, detail, value)


def invalid_type(path: str, value: Any, detail: str) -> FieldError:
    """The value is not of the type that the schema says."""
    return FieldError("FieldValueTypeInvalid", path, detail, value)


def not_supported(path: str, value: Any, allowed: Iterable[str]) -> FieldError:
    """The value is not one of the enumerated ones; name them in the order they shall be shown."""
    shown = ", ".join(quote(text) for text in allowed)
    return FieldError("FieldValueNotSupported", path, f"supported values: {shown}" if shown else "", value)


def duplicate(path: str, value: Any) -> FieldError:
    """The value must be unique and is not."""
    return FieldError("FieldValueDuplicate", path, "", value)


def forbidden_field(path: str, detail: str) -> FieldError:
    """The value may not be set, or not be changed, here."""
    return FieldError("FieldValueForbidden", path, detail, "")


def too_long(path: str, limit: int) -> FieldError:
    """The text has more than `limit` bytes."""
    detail = f"may not be more than {limit} bytes" if limit >= 0 else "value is too long"
    return FieldError("FieldValueTooLong", path, detail, "<value omitted>")


def too_many(path: str, actual: int, limit: int) -> FieldError:
    """The list has more than `limit` items."""
    detail = f"must have at most {limit} items" if limit >= 0 else "too many items"
    return FieldError("FieldValueTooMany", path, detail, actual if actual >= 0 else OMITTED)


def field_not_found(path: str, value: Any) -> FieldError:
    """The value refers to something that is not there."""
    return FieldError("FieldValueNotFound", path, "", value)


def aggregate(messages: Iterable[object]) -> str:
    """Several messages as one: duplicates left out, in brackets when more than one remains."""
    unique = list(dict.fromkeys(str(message) for message in messages))
    return unique[0] if len(unique) == 1 else f"[{', '.join(unique)}]"


class StatusError(Exception):
    """A request that failed, with everything its `Status` says."""

    def __init__(self, code: int, reason: str, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details: Obj = {field: value for field, value in (details or {}).items() if value not in ("", None, 0)}

    def status(self) -> Obj:
        """The `Status` object for the response's body."""
        status: Obj = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "details": self.details,
            "code": self.code,
        }
        if not self.details:
            del status["details"]
        if not self.reason:
            del status["reason"]
        return status

    @property
    def retry_after(self) -> int:
        """Seconds after which the client may try again; 0 if nothing was said."""
        return self.details.get("retryAfterSeconds", 0)

    @property
    def causes(self) -> list[Obj]:
        """`details.causes`, never None."""
        return self.details.get("causes") or []


def from_status(status: Mapping[str, Any]) -> StatusError:
    """The exception for a `Status` read from a server."""
    return StatusError(
        status.get("code", 500), status.get("reason", ""), status.get("message", ""), status.get("details") or {}
    )


def qualified(group: str, resource: str) -> str:
    """`deployments.apps`, or `pods` in the core group."""
    return f"{resource}.{group}" if group else resource


def _about(group: str, resource: str, name: str) -> Obj:
    return {"name": name, "group": group, "kind": resource}


def not_found(group: str, resource: str, name: str) -> StatusError:
    """404: there is no such object."""
    message = f"{qualified(group, resource)} {quote(name)} not found"
    return StatusError(404, "NotFound", message, _about(group, resource, name))


def path_not_found() -> StatusError:
    """404: there is no such resource or path at all."""
    return StatusError(404, "NotFound", "the server could not find the requested resource")


def already_exists(group: str, resource: str, name: str) -> StatusError:
    """409: the name is taken."""
    message = f"{qualified(group, resource)} {quote(name)} already exists"
    return StatusError(409, "AlreadyExists", message, _about(group, resource, name))


def generate_name_conflict(group: str, resource: str, name: str, retry_after: int = 1) -> StatusError:
    """409: the name made from `generateName` is taken; another try makes another."""
    message = (
        f"{qualified(group, resource)} {quote(name)} already exists,"
        " the server was not able to generate a unique name for the object"
    )
    return StatusError(
        409, "AlreadyExists", message, _about(group, resource, name) | {"retryAfterSeconds": retry_after}
    )


STALE = "the object has been modified; please apply your changes to the latest version and try again"


def conflict(group: str, resource: str, name: str, message: str = STALE) -> StatusError:
    """409: the object is not as the request supposed."""
    text = f"Operation cannot be fulfilled on {qualified(group, resource)} {quote(name)}: {message}"
    return StatusError(409, "Conflict", text, _about(group, resource, name))


def apply_conflict(causes: Sequence[Obj], message: str) -> StatusError:
    """409: server-side apply found fields that other managers own."""
    return StatusError(409, "Conflict", message, {"causes": list(causes)})


def invalid(group: str, kind: str, name: str, errors: Sequence[FieldError]) -> StatusError:
    """422: validation failed."""
    message = f"{qualified(group, kind)} {quote(name)} is invalid"
    if errors:
        message += f": {aggregate(errors)}"
    return StatusError(
        422, "Invalid", message, _about(group, kind, name) | {"causes": [error.cause() for error in errors] or None}
    )


def bad_request(message: str) -> StatusError:
    """400: the request makes no sense."""
    return StatusError(400, "BadRequest", message)


def unauthorized(message: str = "Unauthorized") -> StatusError:
    """401: the credentials are missing or wrong."""
    return StatusError(401, "Unauthorized", message)


def forbidden(group: str, resource: str, name: str, message: str) -> StatusError:
    """403: authorization or admission said no."""
    if not resource:
        text = f"forbidden: {message}"
    elif not name:
        text = f"{qualified(group, resource)} is forbidden: {message}"
    else:
        text = f"{qualified(group, resource)} {quote(name)} is forbidden: {message}"
    return StatusError(403, "Forbidden", text, _about(group, resource, name))


def expired(message: str) -> StatusError:
    """410: the revision asked for has been compacted away."""
    return StatusError(410, "Expired", message)


def gone(message: str) -> StatusError:
    """410: the object will not come back."""
    return StatusError(410, "Gone", message)


def method_not_supported(group: str, resource: str, action: str) -> StatusError:
    """405: this resource knows no such verb."""
    message = f"{action} is not supported on resources of kind {quote(qualified(group, resource))}"
    return StatusError(405, "MethodNotAllowed", message, {"group": group, "kind": resource})


def unsupported_media_type(accepted: Iterable[str]) -> StatusError:
    """415: the body is of a type that nothing here reads."""
    message = f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
    return StatusError(415, "UnsupportedMediaType", message)


def not_acceptable(accepted: Iterable[str]) -> StatusError:
    """406: the client wants a type that nothing here writes."""
    message = f"only the following media types are accepted: {', '.join(accepted)}"
    return StatusError(406, "NotAcceptable", message)


def request_entity_too_large(message: str) -> StatusError:
    """413: the body is over the limit."""
    return StatusError(413, "RequestEntityTooLarge", f"Request entity too large: {message}")


def too_many_requests(message: str, retry_after: int = 1) -> StatusError:
    """429: come back later."""
    return StatusError(429, "TooManyRequests", message, {"retryAfterSeconds": retry_after})


def timeout(message: str, retry_after: int = 0) -> StatusError:
    """504: no answer in time; the operation may still complete."""
    return StatusError(504, "Timeout", f"Timeout: {message}", {"retryAfterSeconds": retry_after})


def service_unavailable(message: str) -> StatusError:
    """503: what is needed is down."""
    return StatusError(503, "ServiceUnavailable", message)


def internal(message: str) -> StatusError:
    """500: our fault."""
    return StatusError(500, "InternalError", f"Internal error occurred: {message}", {"causes": [{"message": message}]})
