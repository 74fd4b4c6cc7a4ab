"""Objects in the form that was asked for: as they are, as table rows, or only their metadata.

As they are costs nothing: the stored bytes are written, a list is its items joined. Tables and partial metadata are
made from the decoded objects, because few ask for them (people, and the garbage collector).
"""

from collections.abc import Sequence

from pynetes.apiserver.negotiate import Form, encode, reform
from pynetes.apiserver.registry import Resource
from pynetes.machinery import errors, tables, wire
from pynetes.machinery.meta import Obj
from pynetes.storage.interface import Record

META = "meta.k8s.io"
INCLUDES = ("None", "Metadata", "Object")


def include_policy(value: str) -> str:
    """How much of each object a table's rows carry (`?includeObject=`)."""
    if value and value not in INCLUDES:
        raise errors.bad_request(
            f"Unable to convert to Table as requested: includeObject: Invalid value: {errors.quote(value)}: "
            "must be 'Metadata', 'Object', 'None', or empty"
        )
    return value or "Metadata"


def one(resource: Resource, value: bytes, form: Form, *, pretty: bool = False, include: str = "Metadata") -> bytes:
    """One object, given as the client's bytes, in `form`."""
    if not form.transform:
        return reform(value, form, pretty)
    obj = wire.decode(value)
    if form.transform == "Table":
        metadata = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
        return encode(table(resource, [obj], metadata, form.version, include), form, pretty)
    if form.transform == "PartialObjectMetadata":
        return encode(partial(obj, form.version), form, pretty)
    raise _not_acceptable(form, resource, "not a list", "")


def many(
    resource: Resource,
    records: Sequence[Record],
    metadata: Obj,
    form: Form,
    *,
    pretty: bool = False,
    include: str = "Metadata",
) -> bytes | list[bytes]:
    """A list of records in `form`. Plain JSON comes in pieces, to be joined on the wire."""
    if not form.transform and form.media == "application/json" and not pretty:
        return list_pieces(resource, records, metadata)
    if not form.transform:
        return reform(b"".join(list_pieces(resource, records, metadata)), form, pretty)
    objects = [resource.decode(record) for record in records]
    if form.transform == "Table":
        return encode(table(resource, objects, metadata, form.version, include), form, pretty)
    if form.transform == "PartialObjectMetadataList":
        made: Obj = {
            "kind": "PartialObjectMetadataList",
            "apiVersion": f"{META}/{form.version}",
            "metadata": metadata,
            "items": [partial(obj, form.version) for obj in objects],
        }
        return encode(made, form, pretty)
    raise _not_acceptable(form, resource, "a list", "List")


def _not_acceptable(form: Form, resource: Resource, what: str, suffix: str) -> errors.StatusError:
    """406: metadata of a list was asked for one object, or the other way round."""
    package = resource.rt.group.partition(".")[0] or "core"
    message = (
        f"you requested {form.transform}, but the requested object is {what} (*{package}.{resource.rt.kind}{suffix})"
    )
    return errors.StatusError(406, "NotAcceptable", message)


def list_pieces(resource: Resource, records: Sequence[Record], metadata: Obj) -> list[bytes]:
    """The bytes of a list, in three pieces: what is before the items, the items, what is after."""
    if resource.converts:
        items = b",".join([wire.encode(resource.decode(record)) for record in records])
    else:
        items = b",".join([record.value for record in records])
    return [resource.list_head + wire.encode(metadata) + b',"items":[', items, b"]}"]


def table(
    resource: Resource,
    objects: Sequence[Obj],
    metadata: Obj,
    version: str = "v1",
    include: str = "Metadata",
    *,
    headers: bool = True,
) -> Obj:
    """The objects as rows under the kind's columns."""
    strategy = resource.strategy
    rows = [tables.Row(strategy.row(obj), obj, strategy.row_conditions(obj)) for obj in objects]
    api_version = f"{META}/{version}"
    return tables.table(strategy.columns, rows, metadata, include, headers=headers, api_version=api_version)  # type: ignore[arg-type]  # checked by include_policy


def partial(obj: Obj, version: str = "v1") -> Obj:
    """Only the metadata of an object."""
    return tables.partial_metadata(obj, f"{META}/{version}")
