"""Values with a structure: what server-side apply needs to know of a type, and can do with values of it.

A `Type` says how a value is owned: as one piece (scalars, atomic lists and maps) or piece by piece (objects field by
field, maps key by key, lists item by item, found by their keys or their value). `structure` makes it of a schema; where
there is none it is *deduced* from the value: objects piece by piece, everything else as one.

The operations are structured-merge-diff's: `field_set` (what a configuration speaks of), `diff` (which fields one
value gained, changed and lost against another), `merge`, `remove` and `validate`. `diff` runs on every write of the
API server, so it compares subtrees with `==` first and descends only where they differ.

Upstream compares Go structs, in which a field that is no pointer is always there. So such a field is never itself
added or removed, only what is in it; `present` marks them.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from pynetes.machinery.patches.fieldset import LEAF, FieldSet, below, is_member
from pynetes.machinery.patches.go_text import go_text

Node = FieldSet | None
Faults = list[tuple[str, str]]  # (path, message)


class Type(Protocol):
    """A structure of values. Values are never None; absent and null are the caller's business."""

    leaf: bool  # owned as one piece

    def added(self, value: Any, present: bool = False) -> Node:
        """What is gained with `value` where nothing was; None if that is nothing."""
        ...

    def diff(self, old: Any, new: Any) -> tuple[Node, Node]:
        """Under this place: what `new` gained or changed, and what it lost. They are known to differ."""
        ...

    def field_set(self, value: Any) -> FieldSet:
        """The paths under this place that a configuration with this value speaks of."""
        ...

    def merge(self, live: Any, config: Any) -> Any:
        """`live` with everything that `config` (which may be None) says."""
        ...

    def remove(self, value: Any, fields: FieldSet) -> Any:
        """`value` without `fields`; None if nothing is left."""
        ...

    def validate(self, value: Any) -> Faults: ...

    def named(self, fields: FieldSet) -> FieldSet:
        """`fields` with every declared field on the way to a member a member too."""
        ...

    def reconcile(self, node: FieldSet) -> FieldSet:
        """A node written under an earlier schema, brought to this one: nothing is owned inside of one piece."""
        ...


class Leaf:
    """One piece: a scalar, an atomic list or an atomic object."""

    leaf = True

    def __init__(self, kind: str, inner: "Type | None" = None) -> None:
        self._kind = kind
        self._inner = inner  # checks the inside of an atomic value

    def added(self, value: Any, present: bool = False) -> Node:
        return LEAF

    def diff(self, old: Any, new: Any) -> tuple[Node, Node]:
        return LEAF, None

    def field_set(self, value: Any) -> FieldSet:
        return LEAF

    def merge(self, live: Any, config: Any) -> Any:
        return config

    def remove(self, value: Any, fields: FieldSet) -> Any:
        return value if self._inner is None else None

    def validate(self, value: Any) -> Faults:
        if value is None:
            return []
        if self._inner is not None:
            return self._inner.validate(value)
        accepted, wanted = _SCALARS.get(self._kind, _SCALARS["any"])
        if isinstance(value, accepted) and (not isinstance(value, bool) or bool in accepted):
            return []
        shown = _GO_NAMES.get(type(value), "interface {}") if "numeric" in wanted else _go(value)
        return [("", f"expected {wanted}, got {shown}")]

    def named(self, fields: FieldSet) -> FieldSet:
        return fields

    def reconcile(self, node: FieldSet) -> FieldSet:
        return LEAF


_SCALARS: dict[str, tuple[tuple[type, ...], str]] = {
    "string": ((str,), "string"),
    "integer": ((int, float), "numeric (int or float)"),
    "number": ((int, float), "numeric (int or float)"),
    "boolean": ((bool,), "boolean"),
    "any": ((str, int, float, bool), "any scalar"),
}
_GO_NAMES = {str: "string", bool: "bool", int: "int64", float: "float64", dict: "map[string]interface {}"}
_GO_NAMES[list] = "[]interface {}"

SCALAR = Leaf("any")


class Member(NamedTuple):
    """A declared field of an object."""

    element: str  # "f:<name>"
    type: Type
    present: bool


class Object:
    """An object with declared fields, a map, or both: owned key by key."""

    leaf = False

    def __init__(self, fields: dict[str, Member] | None = None, element: Type | None = None) -> None:
        self.fields = fields if fields is not None else {}
        self.element = element

    def member(self, key: str) -> Member | None:
        found = self.fields.get(key)
        if found is None and self.element is not None:
            return Member("f:" + key, self.element, False)
        return found

    def added(self, value: Any, present: bool = False) -> Node:
        if not value or not isinstance(value, dict):
            return None if present else LEAF
        gained: FieldSet = {} if present else {".": LEAF}
        fields, element = self.fields, self.element
        for key, item in value.items():
            if item is None:
                continue
            member = fields.get(key)
            if member is not None:
                path, kind, inner_present = member
                node = LEAF if kind.leaf else kind.added(item, inner_present)
                if node is not None:
                    gained[path] = node
            elif element is not None:
                node = element.added(item)
                if node is not None:
                    gained["f:" + key] = node
        if len(gained) == 1 and not present:
            return LEAF
        return gained or None

    def diff(self, old: Any, new: Any) -> tuple[Node, Node]:
        if not isinstance(old, dict) or not isinstance(new, dict):
            return LEAF, None
        taken: FieldSet = {}
        lost: FieldSet = {}
        for key, value in new.items():
            before = old.get(key)
            if before == value and before is not None:
                continue
            member = self.fields.get(key) or self.member(key)
            if member is None or value is None:
                continue
            path, kind, present = member
            if kind.leaf:
                taken[path] = LEAF
                continue
            if before is None:
                gained, gone = kind.added(value, present), None
            else:
                gained, gone = kind.diff(before, value)
            if gained is not None:
                taken[path] = gained
            if gone is not None:
                lost[path] = gone
        for key, before in old.items():
            if before is not None and new.get(key) is None:
                member = self.member(key)
                if member is not None:
                    gone = member.type.added(before, member.present)
                    if gone is not None:
                        lost[member.element] = gone
        return taken or None, lost or None

    def field_set(self, value: Any) -> FieldSet:
        fields: FieldSet = {}
        for key, item in value.items() if isinstance(value, dict) else ():
            member = self.member(key)
            if member is None:
                continue
            itself = item is None or item == {} or member.type.leaf or key not in self.fields
            inner = {} if item is None or member.type.leaf else member.type.field_set(item)
            if itself:
                fields[member.element] = {".": LEAF, **inner} if inner else LEAF
            elif inner:
                fields[member.element] = inner
        return fields

    def merge(self, live: Any, config: Any) -> Any:
        if not isinstance(live, dict):
            return config
        if not isinstance(config, dict):
            return live or config
        merged = dict(live)
        for key, wanted in config.items():
            member, present = self.member(key), merged.get(key)
            value = wanted if member is None or present is None else member.type.merge(present, wanted)
            if value is None:
                merged.pop(key, None)
            else:
                merged[key] = value
        return merged

    def remove(self, value: Any, fields: FieldSet) -> Any:
        if not isinstance(value, dict):
            return None
        kept = {}
        for key, item in value.items():
            node, member = fields.get("f:" + key), self.member(key)
            if node is None or member is None:
                kept[key] = item
            elif not is_member(node):
                rest = member.type.remove(item, node)
                if rest is not None:
                    kept[key] = rest
        return kept or None

    def validate(self, value: Any) -> Faults:
        if value is None:
            return []
        if not isinstance(value, dict):
            return [("", f"expected map, got {_go(value)}")]
        faults: Faults = []
        for key, item in value.items():
            member = self.member(key)
            if member is None:
                faults.append((f".{key}", "field not declared in schema"))
            else:
                faults += [(f".{key}{path}", message) for path, message in member.type.validate(item)]
        return faults

    def named(self, fields: FieldSet) -> FieldSet:
        result: FieldSet = {}
        for key, node in fields.items():
            if not node:
                result[key] = node
                continue
            member = self.member(key[2:])
            inner = member.type.named(node) if member is not None else node
            result[key] = {".": LEAF, **inner} if key[2:] in self.fields else inner
        return result

    def reconcile(self, node: FieldSet) -> FieldSet:
        result: FieldSet = {}
        for key, child in node.items():
            member = self.member(key[2:]) if key != "." else None
            result[key] = child if member is None or not child else member.type.reconcile(child)
        return result


class Items:
    """A list owned item by item: its items are found by some of their fields, or, being scalars, by their value."""

    leaf = False

    def __init__(self, item: Type, keys: tuple[str, ...] = (), defaults: dict[str, Any] | None = None) -> None:
        self.item = item
        self.keys = tuple(sorted(keys))
        self.defaults = defaults or {}

    def element(self, item: Any) -> str:
        """The path element of an item; raises ValueError if it has none."""
        if not self.keys:
            if isinstance(item, dict):
                raise ValueError("associative list without keys has an element that's a map type")
            if isinstance(item, list):
                raise ValueError("not supported: associative list with lists as elements")
            if item is None:
                raise ValueError("associative list without keys has an element that's an explicit null")
            return "v:" + _json(item)
        if item is None:
            raise ValueError("associative list with keys may not have a null element")
        if not isinstance(item, dict):
            raise ValueError("associative list with keys may not have non-map elements")
        parts = []
        for key in self.keys:
            value = item.get(key, self.defaults.get(key))
            if value is None and key not in item:
                raise ValueError(
                    f'associative list with keys has an element that omits key field "{key}" '
                    "(and doesn't have default value)"
                )
            parts.append(f'"{key}":{_json(value)}')
        return "k:{" + ",".join(parts) + "}"

    def _by_element(self, items: Any) -> dict[str, list[Any]]:
        """The items by their path elements; those that have none are left out."""
        found: dict[str, list[Any]] = {}
        for item in items if isinstance(items, list) else ():
            try:
                found.setdefault(self.element(item), []).append(item)
            except ValueError:
                continue
        return found

    def added(self, value: Any, present: bool = False) -> Node:
        if not value or not isinstance(value, list):
            return None if present else LEAF
        gained: FieldSet = {} if present else {".": LEAF}
        for element, same in self._by_element(value).items():
            node = self.item.added(same[0]) if len(same) == 1 else LEAF
            gained[element] = LEAF if node is None else node
        if len(gained) == 1 and not present:
            return LEAF
        return gained or None

    def diff(self, old: Any, new: Any) -> tuple[Node, Node]:
        taken: FieldSet = {}
        lost: FieldSet = {}
        olds, news = self._by_element(old), self._by_element(new)
        for element, same in news.items():
            before = olds.get(element)
            if before == same:
                continue
            gained, gone = self._diff_items(before, same)
            if gained is not None:
                taken[element] = gained
            if gone is not None:
                lost[element] = gone
        for element, before in olds.items():
            if element not in news:
                lost[element] = LEAF if len(before) > 1 else self.item.added(before[0]) or LEAF
        return taken or None, lost or None

    def _diff_items(self, before: list[Any] | None, after: list[Any]) -> tuple[Node, Node]:
        """Items under one path element; more than one of them are duplicates, owned as one piece."""
        if before is None:
            return LEAF if len(after) > 1 else self.item.added(after[0]) or LEAF, None
        if len(before) == 1 and len(after) == 1:
            return self.item.diff(before[0], after[0])
        if len(before) > 1 and len(after) > 1:
            return LEAF, None
        if len(after) == 1:
            return self.item.added(after[0]), LEAF
        return LEAF, self.item.added(before[0])

    def field_set(self, value: Any) -> FieldSet:
        fields: FieldSet = {}
        for element, same in self._by_element(value).items():
            inner = self.item.field_set(same[0]) if len(same) == 1 and not self.item.leaf else {}
            fields[element] = {".": LEAF, **inner} if inner else LEAF
        return fields

    def merge(self, live: Any, config: Any) -> Any:
        if not live or not isinstance(live, list):
            return config
        if not config:
            return live
        return [*_merged_items(self, live, config)]

    def remove(self, value: Any, fields: FieldSet) -> Any:
        kept = []
        for item in value if isinstance(value, list) else ():
            try:
                node = fields.get(self.element(item))
            except ValueError:
                node = None
            if node is None:
                kept.append(item)
            elif not is_member(node):
                kept.append(self.item.remove(item, node))
        return kept or None

    def validate(self, value: Any) -> Faults:
        if value is None:
            return []
        if not isinstance(value, list):
            return [("", f"expected list, got {_go(value)}")]
        faults: Faults = []
        seen: set[str] = set()
        for number, item in enumerate(value):
            try:
                element = self.element(item)
            except ValueError as error:
                return [*faults, ("", f"element {number}: {error}")]
            if element in seen:
                faults.append(("", f"duplicate entries for key {show_element(element)}"))
            seen.add(element)
            faults += [(show_element(element) + path, message) for path, message in self.item.validate(item)]
        return faults

    def named(self, fields: FieldSet) -> FieldSet:
        return {
            key: node if not node or key == "." else _with_dot(self.item.named(below(node)), "." in node)
            for key, node in fields.items()
        }

    def reconcile(self, node: FieldSet) -> FieldSet:
        return {key: child if not child or key == "." else self.item.reconcile(child) for key, child in node.items()}


def _with_dot(fields: FieldSet, member: bool) -> FieldSet:
    return {".": LEAF, **fields} if member else fields


def _merged_items(kind: Items, live: list[Any], config: list[Any]) -> Iterator[Any]:
    """The items of both lists, each once, in the configuration's order; live ones keep their places around them."""
    lefts = [(kind.element(item), item) for item in live]
    rights = [(kind.element(item), item) for item in config]
    left_items: dict[str, Any] = {}
    for element, item in lefts:
        left_items[element] = None if element in left_items else item  # duplicates are not merged
    right_items = dict(rights)
    shared = [element for element, _ in rights if element in left_items]
    done: set[str] = set()
    at_left = at_right = 0
    while at_left < len(lefts) or at_right < len(rights):
        if at_left < len(lefts):
            element, item = lefts[at_left]
            next_shared = next((wanted for wanted in shared if wanted not in done), None)
            if element not in right_items:
                at_left += 1
                yield item
                continue
            if element in done or (
                at_right < len(rights) and element != rights[at_right][0] and element != next_shared
            ):
                at_left += 1
                continue
        if at_right < len(rights):
            element, wanted = rights[at_right]
            at_right += 1
            done.add(element)
            present = left_items.get(element)
            yield wanted if present is None else kind.item.merge(present, wanted)


class Deduced:
    """No schema: objects are owned key by key, everything else as one piece."""

    leaf = False

    def __init__(self) -> None:
        self._map = Object(element=self)

    def _type(self, value: Any) -> Type:
        return self._map if isinstance(value, dict) else SCALAR

    def added(self, value: Any, present: bool = False) -> Node:
        return self._type(value).added(value, present)

    def diff(self, old: Any, new: Any) -> tuple[Node, Node]:
        if isinstance(old, dict) and isinstance(new, dict):
            return self._map.diff(old, new)
        gone = self._map.added(old, present=True) if isinstance(old, dict) else None
        gained = self._map.added(new, present=True) if isinstance(new, dict) else None
        return _with_dot(gained, True) if gained else LEAF, gone

    def field_set(self, value: Any) -> FieldSet:
        return self._type(value).field_set(value)

    def merge(self, live: Any, config: Any) -> Any:
        if isinstance(live, dict) and isinstance(config, dict | None):
            return self._map.merge(live, config)
        return config

    def remove(self, value: Any, fields: FieldSet) -> Any:
        return self._map.remove(value, fields) if isinstance(value, dict) else value

    def validate(self, value: Any) -> Faults:
        return []

    def named(self, fields: FieldSet) -> FieldSet:
        return fields

    def reconcile(self, node: FieldSet) -> FieldSet:
        return node


DEDUCED = Deduced()


class Sequence(Leaf):
    """The inside of an atomic list, for `validate` only."""

    def __init__(self, item: Type) -> None:
        super().__init__("list")
        self._item = item

    def validate(self, value: Any) -> Faults:
        if not isinstance(value, list):
            return [("", f"expected list, got {_go(value)}")]
        return [(f"[{i}]{path}", text) for i, item in enumerate(value) for path, text in self._item.validate(item)]


def show_element(element: str) -> str:
    """A list item's path element as messages show it."""
    if element[0] == "v":
        return f"[={element[2:]}]"
    keys = json.loads(element[2:])
    return "[" + ",".join(f"{name}={_json(value)}" for name, value in keys.items()) + "]"


def _json(value: Any) -> str:
    if isinstance(value, str) and value.isalnum() and value.isascii():
        return f'"{value}"'
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _go(value: Any) -> str:
    """A value as upstream's message shows it."""
    return "&{" + go_text(value) + "}"
