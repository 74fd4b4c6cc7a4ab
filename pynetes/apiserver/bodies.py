"""The object in a request's body: read, typed, and checked against the path.

`fieldValidation` decides what becomes of unknown and repeated fields: refused (Strict), told to the client (Warn, the
default) or dropped in silence (Ignore).
"""

from typing import Any

import msgspec

from pynetes.apiserver import negotiate, yaml
from pynetes.apiserver.registry import Context, Resource
from pynetes.apiserver.request import Request
from pynetes.machinery import decode_errors, errors, json_syntax, scheme, wire
from pynetes.machinery.meta import Obj
from pynetes.machinery.resources import ResourceType

_SCHEME = '"k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30"'


def decode(request: Request, resource: Resource, ctx: Context) -> Obj:
    """The body as an object of this resource, in the version of the path."""
    raw, repeated = negotiate.read_body(request, resource.rt.kind)
    if resource.definition is None and resource.schema is not None:
        return _decode_custom(raw, resource, ctx, repeated)
    target = resource.rt if resource.definition is not None else None
    return decode_as(raw, target, resource.rt.api_version, resource.rt.kind, ctx, repeated=repeated)


def _decode_custom(raw: bytes, resource: Resource, ctx: Context, repeated: list[str]) -> Obj:
    """A body as a custom kind: what its schema does not name is dropped, and told of."""
    rt, schema = resource.rt, resource.schema
    assert schema is not None
    try:
        obj: Obj = wire.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _unrecognized(raw, rt, json_syntax.error(raw) or str(error)) from error
    if not isinstance(obj, dict):
        raise _unrecognized(raw, rt, "not an object")
    check_custom(obj, rt)
    checked = ctx.field_validation != "Ignore"
    faults = [f'unknown field "{path}"' for path in decode_errors.unknown_fields(schema, obj)] if checked else []
    if checked and not repeated:
        faults = decode_errors.duplicates(raw) + faults
    _judge(repeated, faults, f'{rt.kind} in version "{rt.version}" cannot be handled as a {rt.kind}', ctx)
    resource.strategy.receive(obj)
    return obj


def _unrecognized(raw: bytes, rt: ResourceType, reason: str) -> errors.StatusError:
    """The refusal of a body that is no object at all."""
    return errors.bad_request(
        f"the object provided is unrecognized (must be of type {rt.kind}): couldn't get version/kind; "
        f"json parse error: {reason} ({decode_errors.summarize(raw)})"
    )


def check_custom(obj: Obj, rt: ResourceType) -> None:
    """A custom object says what it is; that its kind is wrong is a fault of the object, not of its form."""
    kind, version = obj.get("kind"), obj.get("apiVersion") or ""
    if not isinstance(kind, str) or not kind:
        raise errors.bad_request("Object 'Kind' is missing in 'unstructured object has no kind'")
    if version != rt.api_version:
        raise errors.bad_request(
            f"the API version in the data ({version}) does not match the expected API version ({rt.api_version})"
        )
    if kind != rt.kind:
        metadata = obj.get("metadata")
        name = metadata.get("name", "") if isinstance(metadata, dict) else ""
        raise errors.invalid(rt.group, kind, name, [errors.invalid_value("kind", kind, f"must be {rt.kind}")])


def _judge(repeated: list[str], unknown: list[str], what: str, ctx: Context) -> None:
    """Refuse or tell of what a body gives twice or should not give at all, as the client wishes."""
    if ctx.field_validation == "Strict" and (repeated or unknown):
        faults = [yaml.repeated_text(repeated), *unknown] if repeated else unknown
        raise errors.bad_request(f"{what}: strict decoding error: {', '.join(faults)}")
    if ctx.field_validation == "Warn":
        ctx.warnings += repeated + unknown


def decode_as(
    raw: bytes,
    target: Any,
    api_version: str,
    kind: str,
    ctx: Context,
    *,
    also: tuple[str, ...] = (),
    repeated: list[str] | None = None,
) -> Obj:
    """A JSON body as `kind` of `api_version`; `target` is what `scheme` knows it by (None: not typed).

    `also` names older versions of the same shape that are as good, `repeated` what was given twice before it was JSON.
    """
    if target is None:
        obj: Obj = wire.decode(raw)
    elif ctx.field_validation == "Ignore":
        obj = scheme.decode(target, raw)
    else:
        obj, faults = scheme.decode_reporting(target, raw)
        said_version, said_kind = obj.get("apiVersion") or api_version, obj.get("kind") or kind
        what = f'{said_kind} in version "{said_version.rpartition("/")[2]}" cannot be handled as a {kind}'
        _judge(repeated or [], faults, what, ctx)
    if obj.get("apiVersion") in also:
        obj["apiVersion"] = api_version
    check_kind(obj, api_version, kind)
    return obj


def check_kind(obj: Obj, api_version: str, kind: str) -> None:
    """What the body says it is must be what the path takes; silence is agreement."""
    said_version, said_kind = obj.get("apiVersion") or api_version, obj.get("kind") or kind
    if (said_version, said_kind) == (api_version, kind):
        return
    short = said_version.rpartition("/")[2]
    what = f'{said_kind} in version "{short}" cannot be handled as a {kind}'
    known = scheme.definition_of(api_version, kind) is not None
    if (known or said_kind != kind) and scheme.definition_of(said_version, said_kind) is None:
        raise errors.bad_request(
            f'{what}: no kind "{said_kind}" is registered for version "{said_version}" in scheme {_SCHEME}'
        )
    if said_kind != kind:
        own = "core" if "/" not in api_version else api_version.partition("/")[0].partition(".")[0]
        raise errors.bad_request(f"{what}: converting ({short}.{said_kind}) to ({own}.{kind}): unknown conversion")
    raise errors.bad_request(
        f"the API version in the data ({said_version}) does not match the expected API version ({api_version})"
    )


def check_name(obj: Obj, name: str, namespace: str) -> None:
    """The name and namespace in the body of an update must be those of the path."""
    metadata = obj.get("metadata") or {}
    if namespace and metadata.get("namespace", namespace) not in ("", namespace):
        raise errors.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    own = metadata.get("name", "")
    if not own:
        raise errors.bad_request(
            f"the name of the object ({name} based on URL) was undeterminable: name must be provided"
        )
    if own != name:
        raise errors.bad_request(f"the name of the object ({own}) does not match the name on the URL ({name})")
