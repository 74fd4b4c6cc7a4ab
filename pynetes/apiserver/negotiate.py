"""Which form a body has and which form the answer should have.

Objects are read and written as JSON or YAML, and read as protocol buffers too. An answer may further be asked for
`as=` a `Table`, or as `PartialObjectMetadata(List)`, of `meta.k8s.io/v1` or `v1beta1`. A client that prefers protocol
buffers gets the JSON it names beside them. Accept headers repeat, so what they say is remembered.
"""

import functools
from dataclasses import dataclass

import msgspec

from pynetes.apiserver import yaml
from pynetes.apiserver.request import JSON, Request, Response
from pynetes.machinery import decode_errors, errors, protobuf, wire
from pynetes.machinery.meta import Obj

YAML = "application/yaml"
ACCEPTED = (JSON, YAML)
READ = (JSON, YAML, protobuf.MEDIA_TYPE)
PATCH_TYPES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)
_TABLES = frozenset({"Table"})
_TRANSFORMS = _TABLES | {"PartialObjectMetadata", "PartialObjectMetadataList"}


@dataclass(frozen=True, slots=True)
class Form:
    """How to write the answer: the media type, what it is transformed into, and the version of that."""

    media: str = JSON
    transform: str = ""
    version: str = "v1"

    @property
    def content_type(self) -> str:
        """The `Content-Type` of an answer of this form."""
        return self.media


PLAIN = Form()


def accepted(request: Request) -> Form:
    """The form the client wants most among those that can be had; 406 if it wants none of them."""
    header = request.headers.get("accept")
    if not header or header == "*/*" or header == JSON:
        return PLAIN
    form = _choose(header)
    if form is None:
        raise errors.not_acceptable(ACCEPTED)
    return form


def accepted_untransformed(request: Request) -> Form:
    """The same where there are neither tables nor metadata to be had: a client that wants only those gets 406."""
    return _without(request, _TRANSFORMS)


def accepted_streamed(request: Request) -> Form:
    """The same for a list that is streamed as a watch: there are no tables of that; the next best wish counts."""
    return _without(request, _TABLES)


def _without(request: Request, transforms: frozenset[str]) -> Form:
    form: Form | None = accepted(request)
    if form is not None and form.transform in transforms:
        form = _choose(request.headers["accept"], _TRANSFORMS - transforms)
    if form is None:
        raise errors.not_acceptable(ACCEPTED)
    return form


@functools.lru_cache(maxsize=1024)
def _choose(header: str, transforms: frozenset[str] = _TRANSFORMS) -> Form | None:
    for media, parameters in clauses(header):
        if media in ("*/*", "application/*"):
            media = JSON
        if media not in (JSON, YAML, "text/yaml"):
            continue
        transform = parameters.get("as", "")
        if not transform:
            return Form(YAML if media != JSON else JSON)
        group, version = parameters.get("g", ""), parameters.get("v", "")
        if transform in transforms and group == "meta.k8s.io" and version in ("v1", "v1beta1"):
            return Form(YAML if media != JSON else JSON, transform, version)
    return None


def clauses(header: str) -> list[tuple[str, dict[str, str]]]:
    """The media ranges of an Accept header with their parameters, the most wanted first."""
    found: list[tuple[float, str, dict[str, str]]] = []
    for clause in header.split(","):
        media, *rest = [part.strip() for part in clause.split(";")]
        parameters = dict(part.partition("=")[::2] for part in rest)
        try:
            quality = float(parameters.pop("q", "1"))
        except ValueError:
            quality = 1.0
        if media and quality > 0:
            found.append((quality, media.lower(), parameters))
    found.sort(key=lambda each: -each[0])
    return [(media, parameters) for _, media, parameters in found]


@functools.lru_cache(maxsize=256)
def body_type(header: str) -> str:
    """The media type of a body, without its parameters; JSON if the client does not say."""
    return header.partition(";")[0].strip().lower() or JSON


def body_json(request: Request, kind: str) -> bytes:
    """The body as JSON, translated if it came as YAML or as protocol buffers; 415 for other types."""
    return read_body(request, kind)[0]


def read_body(request: Request, kind: str) -> tuple[bytes, list[str]]:
    """The body as JSON, and what a YAML body gives twice; `kind` is what errors say it must be."""
    media = body_type(request.headers.get("content-type", ""))
    if media == JSON:
        return _as_utf8(request.body), []
    if media == protobuf.MEDIA_TYPE:
        try:
            return wire.encode(protobuf.decode(request.body)), []
        except protobuf.ProtobufError as error:
            raise errors.bad_request(str(error)) from error
    if media in (YAML, "text/yaml"):
        try:
            value, repeated = yaml.load(request.body)
        except yaml.YamlError as error:
            raise errors.bad_request(
                f"the object provided is unrecognized (must be of type {kind}): "
                f"{str(error).removeprefix(yaml.PREFIX)} ({decode_errors.summarize(request.body)})"
            ) from error
        return msgspec.json.encode(value, order="sorted"), repeated
    raise errors.unsupported_media_type(READ)


def _as_utf8(body: bytes) -> bytes:
    """The body with what is not UTF-8 replaced by U+FFFD, as Go's decoder reads it."""
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError:
            return body.decode(errors="replace").encode()
    return body


def encode(obj: Obj, form: Form, pretty: bool = False) -> bytes:
    """An object in the media type of `form`."""
    return reform(wire.encode(obj), form, pretty)


def reform(data: bytes, form: Form, pretty: bool = False) -> bytes:
    """Ready JSON in the media type of `form`, indented if asked for."""
    if form.media == YAML:
        return yaml.dump(wire.decode(data))
    if pretty:
        return msgspec.json.format(data, indent=2) + b"\n"
    return data


def wants_pretty(request: Request) -> bool:
    """Whether a person will read the answer: `?pretty=true`, or a browser, curl or wget without an opinion."""
    if request.raw_query and "pretty" in request.query:
        return request.param("pretty").lower() not in ("0", "false")
    return request.headers.get("user-agent", "").startswith(("curl", "Wget", "Mozilla/5.0"))


def object_response(request: Request, obj: Obj, status: int = 200) -> Response:
    """An object as the answer, in the media type the client accepts, not transformed.

    Virtual resources (reviews) have no metadata: who wants a table of one, and nothing else, gets 406.
    """
    virtual = request.info is not None and request.info.verb == "create" and not request.info.subresource
    form = accepted_untransformed(request) if virtual else accepted(request)
    return Response(status, {"Content-Type": form.media}, encode(obj, form, wants_pretty(request)))


def error_response(request: Request, error: errors.StatusError) -> Response:
    """The answer for a failure. A client that accepts nothing we write gets JSON all the same."""
    form = _choose(request.headers.get("accept", "") or JSON) or PLAIN
    response = Response(error.code, {"Content-Type": form.media}, encode(error.status(), Form(form.media)))
    if error.retry_after:
        response.headers["Retry-After"] = str(error.retry_after)
    return response
