"""Strategic merge patch: a merge patch that knows the object's type.

Where the type says so (patch strategy `merge`), lists merge instead of being replaced: lists of objects item by item,
by their merge key, lists of scalars as sets. Directives in the patch say what a merge cannot:

- `$patch: replace | delete` in an object, or as an item of a list: replace the whole, delete this;
- `$deleteFromPrimitiveList/<field>`: scalars to take out of a list;
- `$setElementOrder/<field>`: the order that the items the patch's author knows of shall have;
- `$retainKeys`: every other key of the object goes.
"""

from collections.abc import Callable
from typing import Any

from pynetes.machinery import errors
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj
from pynetes.machinery.patches import copied, failed, unprocessable
from pynetes.machinery.patches.go_text import go_text
from pynetes.machinery.schema import Field, Schema, schema

_PATCH = "$patch"
_RETAIN = "$retainKeys"
_ORDER = "$setElementOrder"
_DELETE = "$deleteFromPrimitiveList"


def apply(doc: Obj, patch: Obj, definition: str | Schema) -> Obj:
    """`doc` of type `definition` merged with `patch`; raises StatusError for a patch that makes no sense."""
    known = schema(definition) if isinstance(definition, str) else definition
    return _merge_object(copied(doc), copied(patch), known)


def _merge_object(original: Obj, patch: Obj, known: Schema | None) -> Obj:
    """Merge into `original`; consumes `patch`."""
    if _PATCH in patch:
        return _whole(patch)
    _retain_keys(original, patch)
    for key in [key for key in patch if key.startswith(_ORDER)]:
        if key in patch:
            _merge_in_order(original, patch, key, known)
    for key, value in patch.items():
        deleting = key.startswith(_DELETE)
        name = _field_of(key, _DELETE, "primitive list") if deleting else key
        if value is None:
            original.pop(name, None)
        elif name not in original:
            if not deleting:
                original[name] = _plain(value)
        elif isinstance(value, dict) and isinstance(original[name], dict):
            field = _lookup(known, name)
            if "replace" in _strategy(field):
                original[name] = value
            else:
                original[name] = _merge_object(original[name], value, _inner(field))
        elif isinstance(value, list) and isinstance(original[name], list):
            original[name] = _merge_list(original[name], value, _lookup(known, name), deleting)
        elif not deleting:
            original[name] = _plain(value)
    return original


def _whole(patch: Obj) -> Obj:
    """What an object with a `$patch` directive becomes."""
    directive = patch.pop(_PATCH)
    if directive == "replace":
        return patch
    if directive == "delete":
        return {}
    raise failed(f"unknown patch type: {directive} in map: {go_text({_PATCH: directive, **patch})}")


def _plain(value: Any) -> Any:
    """A value that meets nothing in the original: without nulls and directives, which would speak of what was there."""
    if isinstance(value, dict):
        return {
            key: _plain(inner)
            for key, inner in value.items()
            if inner is not None and not key.startswith("$") and not _is_directive(inner)
        }
    if isinstance(value, list):
        return [_plain(inner) for inner in value if not _is_directive(inner)]
    return value


def _is_directive(value: Any) -> bool:
    return isinstance(value, dict) and _PATCH in value


def _retain_keys(original: Obj, patch: Obj) -> None:
    if _RETAIN not in patch:
        return
    retained = patch.pop(_RETAIN)
    if not isinstance(retained, list):
        raise _bad_format("retainKeys")
    for key, value in patch.items():
        if value is not None and not key.startswith((_DELETE, _ORDER)) and key not in retained:
            raise _bad_format("retainKeys")
    for key in [key for key in original if key not in retained]:
        del original[key]


def _merge_in_order(original: Obj, patch: Obj, directive: str, known: Schema | None) -> None:
    """Merge the list that a `$setElementOrder` speaks of, and put it in that order."""
    order = patch.pop(directive)
    name = _field_of(directive, _ORDER, "setElementOrder list")
    current, wanted = original.get(name), patch.get(name)
    for value in (order, current, wanted):
        if value is not None and not isinstance(value, list):
            raise failed(f"expected a []interface {{}}, but received a {_go_type(value)}")
    if order is None:
        raise failed("expected a []interface {}, but received a %!s(<nil>)")
    if name not in original and name not in patch:
        return
    field = _lookup(known, name)
    key = field.patch_merge_key if field is not None else None
    _check_order(wanted or [], order, key)
    before = list(current or [])
    if wanted is None:
        merged = current or []
    elif current is None:
        merged = _plain(wanted)
    else:
        merged = _merge_list(current, wanted, field, False)
    original[name] = _interleaved(merged, order, before, key)
    patch.pop(name, None)


def _check_order(items: list[Any], order: list[Any], key: str | None) -> None:
    """The patch's items must come in the order that the patch itself sets."""
    places = iter(order)
    for item in items if order else []:
        if not _is_directive(item) and not any(_same_item(item, place, key) for place in places):
            raise failed(
                f"The order in patch list:\n{go_text(items)}\n doesn't match {_ORDER} list:\n{go_text(order)}\n"
            )


def _merge_list(original: list[Any], patch: list[Any], field: Field | None, deleting: bool) -> list[Any]:
    if "merge" not in _strategy(field):
        return patch
    if not original and not patch:
        return original
    if _item_kind(original, patch) is not dict:
        if deleting:
            return [item for item in original if item not in patch]
        merged = list({_identity(item, None): item for item in [*original, *patch]}.values())
        return _interleaved(merged, patch, original, None)
    key = field.patch_merge_key if field is not None else None
    if not key:
        raise failed("cannot merge lists without merge key for type map")
    original, patch = _special_items(original, patch, key)
    before = list(original)
    merged = list(original)
    for item in patch:
        value = _key_value(item, key)
        place = next((i for i, present in enumerate(merged) if _has_key(present, key, value)), None)
        if place is None:
            merged.append(_plain(item))
        else:
            merged[place] = _merge_object(merged[place], item, _inner(field))
            merged[place].setdefault(key, value)
    return _interleaved(merged, patch, before, key)


def _special_items(original: list[Any], patch: list[Any], key: str) -> tuple[list[Any], list[Any]]:
    """Act on the items with a `$patch` directive; returns both lists without them."""
    plain: list[Any] = []
    replace = False
    for item in patch:
        if _PATCH not in item:
            plain.append(item)
        elif item[_PATCH] == "delete":
            value = _key_value(item, key)
            original = [present for present in original if not _has_key(present, key, value)]
        elif item[_PATCH] == "replace":
            replace = True
        elif item[_PATCH] == "merge":
            raise failed("merging lists cannot yet be specified in the patch")
        else:
            raise failed(f"unknown patch type: {item[_PATCH]} in map: {go_text(item)}")
    return ([_plain(item) for item in plain], []) if replace else (original, plain)


def _interleaved(merged: list[Any], order: list[Any], live: list[Any], key: str | None) -> list[Any]:
    """The items named in `order`, in that order, with the others let in where the live list had them."""
    place_in_order, place_in_live = _places(order, key), _places(live, key)
    named = [(place, item) for item in merged if (place := place_in_order(item)) is not None]
    others = [(place_in_live(item) or 0, item) for item in merged if place_in_order(item) is None]
    right = [item for _, item in sorted(named, key=lambda pair: pair[0])]
    left = [item for _, item in sorted(others, key=lambda pair: pair[0])]
    result: list[Any] = []
    for item in right:
        there = place_in_live(item)
        while left and there is not None and (here := place_in_live(left[0])) is not None and here < there:
            result.append(left.pop(0))
        result.append(item)
    return result + left


def _places(items: list[Any], key: str | None) -> Callable[[Any], int | None]:
    """A function from an item to its place in `items`."""
    places: dict[Any, int] = {}
    for number, item in enumerate(items):
        places.setdefault(_identity(item, key), number)
    return lambda item: places.get(_identity(item, key))


def _identity(item: Any, key: str | None) -> Any:
    """What tells an item from the others: its merge key's value, or itself if it is a scalar."""
    found = item if key is None else _key_value(item, key)
    if isinstance(found, dict | list):
        raise failed(f"cannot merge lists without merge key for type {_go_type(found)}")
    return found


def _item_kind(*lists: list[Any]) -> type:
    kinds = {type(item) for items in lists for item in items}
    if list in kinds:
        raise unprocessable("lists of lists are not supported")
    if len(kinds) > 1:
        raise failed(f"list element types are not identical: {go_text([list(items) for items in lists])}")
    return kinds.pop()


def _same_item(left: Any, right: Any, key: str | None) -> bool:
    return left == right if key is None else bool(_key_value(left, key) == _key_value(right, key))


def _has_key(item: Any, key: str, value: Any) -> bool:
    return isinstance(item, dict) and key in item and item[key] == value


def _key_value(item: Any, key: str) -> Any:
    if not isinstance(item, dict):
        raise failed(f"expected a map[string]interface {{}}, but received a {_go_type(item)}")
    if key not in item:
        raise failed(f"map: {go_text(item)} does not contain declared merge key: {key}")
    return item[key]


def _field_of(directive: str, prefix: str, what: str) -> str:
    head, slash, name = directive.partition("/")
    if head != prefix or not slash:
        raise _bad_format(what)
    return name


def _bad_format(what: str) -> StatusError:
    return errors.bad_request(f"invalid patch format of {what}")


def _lookup(known: Schema | None, name: str) -> Field | None:
    """The field's patch metadata; None inside maps and untyped values."""
    if known is None or known.preserve_unknown:
        return None
    if name not in known.fields:
        raise failed(f'unable to find api field in struct {known.go_name} for the json field "{name}"')
    return known.fields[name]


def _inner(field: Field | None) -> Schema | None:
    """The type of the object that stands in the field, or of its list's items."""
    return field.schema if field is not None and field.type in ("object", "array") else None


def _strategy(field: Field | None) -> tuple[str, ...]:
    return field.patch_strategy if field is not None else ()


_GO_TYPES = {str: "string", bool: "bool", int: "int64", float: "float64", dict: "map[string]interface {}"}


def _go_type(value: Any) -> str:
    return _GO_TYPES.get(type(value), "[]interface {}")
