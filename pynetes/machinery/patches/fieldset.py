"""Sets of field paths, in the very form in which `managedFields` stores them (FieldsV1).

A set is a nested dict. A key is one element of a path: `f:<name>` a field, `k:<json>` a list item by its keys,
`v:<json>` a list item by its value, `i:<n>` by its place. A node that is empty, or has the key `.`, is a member; its
other keys lead to members below. So a set is encoded by doing nothing, and needs no schema.

All functions here are pure and share what they did not change: a result that `is` its argument means "nothing done".
The set itself (the root) is empty when the dict is; below the root, an empty dict is a member.
"""

import json
from collections.abc import Iterator
from typing import Any

FieldSet = dict[str, Any]
Path = tuple[str, ...]

LEAF: FieldSet = {}
_ORDER = {"f": 0, "k": 1, "v": 2, "i": 3}  # in which upstream lists path elements


def is_member(node: FieldSet) -> bool:
    """Whether the path that leads to `node` is itself in the set."""
    return not node or "." in node


def below(node: FieldSet) -> FieldSet:
    """The set of paths under a node."""
    return {key: child for key, child in node.items() if key != "."} if "." in node else node


def union(left: FieldSet, right: FieldSet) -> FieldSet:
    """Paths in either set."""
    if not left or left is right:
        return right
    merged = left
    for key, node in right.items():
        present = merged.get(key)
        combined = node if present is None else _union_of_nodes(present, node)
        if combined is not present:
            if merged is left:
                merged = dict(left)
            merged[key] = combined
    return merged


def _union_of_nodes(left: FieldSet, right: FieldSet) -> FieldSet:
    if left == right:
        return left
    if not left:
        return right if "." in right else {".": LEAF, **right}
    if not right:
        return left if "." in left else {".": LEAF, **left}
    return union(left, right)


def difference(left: FieldSet, right: FieldSet) -> FieldSet:
    """Paths in `left` that are not themselves in `right`; what is under a path of `right` stays."""
    result = left
    for key, node in right.items():
        present = result.get(key)
        if present is None:
            continue
        rest = _difference_of_nodes(present, node)
        if rest is not present:
            if result is left:
                result = dict(left)
            if rest is None:
                del result[key]
            else:
                result[key] = rest
    return result


def _difference_of_nodes(left: FieldSet, right: FieldSet) -> FieldSet | None:
    if not left:
        return None if is_member(right) else left
    if not right:
        return below(left) or None
    return _normal(difference(left, right), left)


def recursive_difference(left: FieldSet, right: FieldSet) -> FieldSet:
    """Paths in `left` that are neither in `right` nor under one that is."""
    result: FieldSet = {}
    for key, node in left.items():
        other = right.get(key)
        if other is None:
            result[key] = node
        elif not is_member(other):
            rest = _normal(recursive_difference(node, other), node) if node else node
            if rest is not None:
                result[key] = rest
    return result


def intersection(left: FieldSet, right: FieldSet) -> FieldSet:
    """Paths in both sets."""
    result: FieldSet = {}
    for key, node in left.items():
        other = right.get(key)
        if other is None:
            continue
        if not node or not other:
            common = LEAF if is_member(node) and is_member(other) else None
        else:
            common = _normal(intersection(node, other), node)
        if common is not None:
            result[key] = common
    return result


def _normal(node: FieldSet, before: FieldSet) -> FieldSet | None:
    """A node after something was taken from it: None if nothing is left, empty if only itself is."""
    if node is before:
        return node
    if not node:
        return None
    return LEAF if len(node) == 1 and "." in node else node


def of_paths(*paths: Path) -> FieldSet:
    """The set of exactly these paths."""
    result: FieldSet = {}
    for path in paths:
        branch: FieldSet = LEAF
        for element in reversed(path):
            branch = {element: branch}
        result = union(result, branch)
    return result


def paths(fields: FieldSet, prefix: Path = ()) -> Iterator[Path]:
    """Every path, in upstream's order: at each level the members first, then what is under them."""
    keys = sorted((key for key in fields if key != "."), key=lambda key: (_ORDER.get(key[0], 9), key))
    for key in keys:
        if is_member(fields[key]):
            yield (*prefix, key)
    for key in keys:
        yield from paths(fields[key], (*prefix, key))


def show(path: Path) -> str:
    """A path as messages show it: `.spec.containers[name="app"].image`."""
    return "".join(map(_show_element, path))


def _show_element(element: str) -> str:
    kind, text = element[0], element[2:]
    if kind == "f":
        return f".{text}"
    if kind == "k":
        keys = json.loads(text)
        return "[" + ",".join(f"{name}={_json(keys[name])}" for name in sorted(keys)) + "]"
    return f"[={text}]" if kind == "v" else f"[{text}]"


def checked(fields: Any) -> FieldSet:
    """A set that came from a client, with its keys in the form used here; raises ValueError if it is none."""
    if not isinstance(fields, dict):
        raise ValueError(f"a set of fields must be an object, not {fields!r}")
    result: FieldSet = {}
    for key, node in fields.items():
        children = checked(node)
        if key == ".":
            result[key] = LEAF
            continue
        kind, colon, text = key[:1], key[1:2], key[2:]
        if colon != ":" or kind not in _ORDER:
            raise ValueError(f"{key!r} is not an element of a path")
        if kind in "kv":
            key = f"{kind}:{_json(json.loads(text))}"
        elif kind == "i":
            int(text)
        result[key] = LEAF if list(children) == ["."] else children
    return result


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
