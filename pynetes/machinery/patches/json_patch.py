"""JSON patch (RFC 6902), with the departures of the library that upstream uses.

`replace` of an absent key of an object sets it, `test` against null accepts an absent key, negative indices count from
the end, an operation without `value` means null, and numbers are compared as they were written. The texts of errors
are that library's too.
"""

from typing import Any

from pynetes.machinery.meta import Obj
from pynetes.machinery.patches import _encode, copied, unprocessable

COPY_LIMIT = 3 * 1024 * 1024  # bytes that all "copy" operations of one patch may add


class PatchError(ValueError):
    """An operation that does not apply."""


class TestFailedError(PatchError):
    """A `test` found something else than it should."""


def run(doc: Obj, operations: list[Any]) -> Any:
    """`doc` after all `operations`; raises PatchError if one does not apply."""
    return _Document(copied(doc)).run(operations)


def apply(doc: Obj, operations: list[Any]) -> Obj:
    """`doc` after all `operations`; raises StatusError 422 if one does not apply."""
    try:
        patched = run(doc, operations)
    except PatchError as error:
        raise unprocessable(str(error)) from error
    if not isinstance(patched, dict):
        raise unprocessable("the patched document is not an object")
    return patched


class _Document:
    """A document being patched."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._copied = 0

    def run(self, operations: list[Any]) -> Any:
        table = {
            "add": self._add,
            "remove": self._remove,
            "replace": self._replace,
            "move": self._move,
            "test": self._test,
            "copy": self._copy,
        }
        for operation in operations:
            if not isinstance(operation, dict):
                raise PatchError("Unexpected kind: unknown")
            kind = operation.get("op")
            if not isinstance(kind, str) or kind not in table:
                raise PatchError(f"Unexpected kind: {kind if isinstance(kind, str) else 'unknown'}")
            table[kind](operation)
        return self._root

    def _add(self, operation: Obj) -> None:
        path = _pointer(operation, "path", "add operation failed to decode path: missing value")
        found = self._find(path)
        if found is None:
            raise PatchError(f'add operation does not apply: doc is missing path: "{path}": missing value')
        try:
            _add_to(*found, copied(operation.get("value")))
        except PatchError as error:
            raise PatchError(f"error in add for path: '{path}': {error}") from error

    def _remove(self, operation: Obj) -> None:
        path = _pointer(operation, "path", "remove operation failed to decode path: missing value")
        found = self._find(path)
        if found is None:
            raise PatchError(f'remove operation does not apply: doc is missing path: "{path}": missing value')
        try:
            _remove_from(*found)
        except PatchError as error:
            raise PatchError(f"error in remove for path: '{path}': {error}") from error

    def _replace(self, operation: Obj) -> None:
        path = _pointer(operation, "path", f"replace operation failed to decode path: {_no_field('path')}")
        value = copied(operation.get("value"))
        if path == "":
            if not isinstance(value, dict | list):
                raise PatchError("replace operation value must be object or array: %!w(<nil>)")
            self._root = value
            return
        found = self._find(path)
        if found is None:
            raise PatchError(f"replace operation does not apply: doc is missing path: {path}: missing value")
        container, key = found
        if isinstance(container, dict):
            container[key] = value
            return
        try:
            container[_index(key, len(container))] = value
        except PatchError as error:
            raise PatchError(f"replace operation does not apply: doc is missing key: {path}: missing value") from error

    def _move(self, operation: Obj) -> None:
        source = _pointer(operation, "from", f"move operation failed to decode from: {_no_field('from')}")
        found = self._find(source)
        if found is None:
            raise PatchError(f"move operation does not apply: doc is missing from path: {source}: missing value")
        container, key = found
        try:
            value = _get(container, key)
            _remove_from(container, key)
        except PatchError as error:
            raise PatchError(f"error in move for path: '{key}': {error}") from error
        path = _pointer(operation, "path", f"move operation failed to decode path: {_no_field('path')}")
        target = self._find(path)
        if target is None:
            raise PatchError(f"move operation does not apply: doc is missing destination path: {path}: missing value")
        try:
            _add_to(*target, value)
        except PatchError as error:
            raise PatchError(f"error in move for path: '{path}': {error}") from error

    def _test(self, operation: Obj) -> None:
        path = _pointer(operation, "path", f"test operation failed to decode path: {_no_field('path')}")
        if path == "":
            actual = self._root
        else:
            found = self._find(path)
            if found is None:
                raise PatchError(f"test operation does not apply: is missing path: {path}: missing value")
            try:
                actual = _get(*found)
            except PatchError as error:
                raise PatchError(f"error in test for path: '{path}': {error}") from error
        if not _same(actual, operation.get("value")):
            raise TestFailedError(f"testing value {path} failed: test failed")

    def _copy(self, operation: Obj) -> None:
        source = _pointer(operation, "from", f"copy operation failed to decode from: {_no_field('from')}")
        found = self._find(source)
        if found is None:
            raise PatchError(f"copy operation does not apply: doc is missing from path: {source}: missing value")
        try:
            value = copied(_get(*found))
        except PatchError as error:
            raise PatchError(f"error in copy for from: '{source}': {error}") from error
        path = _pointer(operation, "path", "copy operation failed to decode path: missing value")
        target = self._find(path)
        if target is None:
            raise PatchError(f"copy operation does not apply: doc is missing destination path: {path}: missing value")
        self._copied += len(_encode(value))
        if self._copied > COPY_LIMIT:
            raise PatchError(
                f"Unable to complete the copy, the accumulated size increase of copy is {self._copied}, "
                f"exceeding the limit {COPY_LIMIT}"
            )
        try:
            _add_to(*target, value)
        except PatchError as error:
            raise PatchError(f"error while adding value during copy: {error}") from error

    def _find(self, path: str) -> tuple[Obj | list[Any], str] | None:
        """The container that the last part of `path` is looked up in, and that part."""
        parts = [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")]
        if len(parts) < 2:
            return None
        container = self._root
        for part in parts[1:-1]:
            try:
                container = _get(container, part)
            except PatchError:
                return None
            if not isinstance(container, dict | list):
                return None
        return container, parts[-1]


def _pointer(operation: Obj, field: str, missing: str) -> str:
    path = operation.get(field)
    if not isinstance(path, str):
        raise PatchError(missing)
    return path


def _no_field(field: str) -> str:
    return (
        "operation missing path field: missing value"
        if field == "path"
        else "operation, missing from field: missing value"
    )


def _get(container: Obj | list[Any], key: str) -> Any:
    return container.get(key) if isinstance(container, dict) else container[_index(key, len(container))]


def _add_to(container: Obj | list[Any], key: str, value: Any) -> None:
    if isinstance(container, dict):
        container[key] = value
    elif key == "-":
        container.append(value)
    else:
        try:
            number = _number(key)
        except PatchError as error:
            raise PatchError(f"value was not a proper array index: '{key}': {error}") from error
        container.insert(_within(number, len(container) + 1), value)


def _remove_from(container: Obj | list[Any], key: str) -> None:
    if isinstance(container, list):
        del container[_index(key, len(container))]
    elif key in container:
        del container[key]
    else:
        raise PatchError(f"Unable to remove nonexistent key: {key}: missing value")


def _index(key: str, size: int) -> int:
    return _within(_number(key), size)


def _number(key: str) -> int:
    digits = key[1:] if key[:1] in ("+", "-") else key
    if not (digits.isascii() and digits.isdigit()):
        raise PatchError(f'strconv.Atoi: parsing "{key}": invalid syntax')
    return int(key)


def _within(number: int, size: int) -> int:
    if not -size <= number < size:
        raise PatchError(f"Unable to access invalid index: {number}: invalid index referenced")
    return number + size if number < 0 else number


def _same(left: Any, right: Any) -> bool:
    """Equality of JSON values: unlike Python's, 1, 1.0 and true differ."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(_same(value, right[key]) for key, value in left.items())
    if isinstance(left, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return bool(left == right)
