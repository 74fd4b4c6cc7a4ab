"""The type checker: what of an expression cannot work, said before it is ever evaluated.

`check` gives the type of an expression whose names have known types, or raises with every complaint, each drawn at its
place as cel-go draws it. It also notes the type of every node, which the estimate of costs needs. What is `dyn` is left
to evaluation.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pynetes.machinery import go_regexp
from pynetes.machinery.cel import syntax, types
from pynetes.machinery.cel.signatures import OVERLOADS, Signature
from pynetes.machinery.cel.syntax import Call, Index, Literal, MakeList, MakeMap, MakeStruct, Name, Node, Select
from pynetes.machinery.cel.types import BOOL, DYN, INT, Type, compatible
from pynetes.machinery.cel.values import CelError, UInt

Scope = Mapping[str, Type]

_LITERALS = {bool: BOOL, int: INT, UInt: types.UINT, float: types.DOUBLE, str: types.STRING, bytes: types.BYTES}
_TYPE_NAMES = ("bool", "int", "uint", "double", "string", "bytes", "list", "map", "null_type", "type", "optional_type")
_PREDICATES = {"all": "_&&_", "exists": "_||_", "exists_one": "_?_:_", "existsOne": "_?_:_"}
_TRANSFORMS = ("transformList", "transformMap", "transformMapEntry")
_LOOPS = frozenset({*_PREDICATES, "map", "filter", *_TRANSFORMS})


@dataclass(frozen=True)
class Checked:
    """What checking found: the type of the whole, and of every node by its identity."""

    node: Node
    type: Type
    types: Mapping[int, Type]


def check(text: str, names: Scope) -> Checked:
    """Check an expression that may use `names`; raises CelError with all that is wrong with it."""
    node = syntax.parse(text)
    checker = _Checker(text)
    try:
        found = checker.type_of(node, names)
    except RecursionError:
        raise CelError("expression recursion limit exceeded") from None
    if checker.complaints:
        raise CelError("\n".join(checker.complaints))
    return Checked(node, found, checker.types)


@dataclass
class _Checker:
    text: str
    complaints: list[str] = field(default_factory=list)
    types: dict[int, Type] = field(default_factory=dict)

    def complain(self, node: Node, message: str) -> Type:
        self.complaints.append(str(syntax.syntax_error(self.text, node.at, message)))
        return DYN

    def type_of(self, node: Node, scope: Scope) -> Type:
        found = self._type_of(node, scope)
        self.types[id(node)] = found
        return found

    def _type_of(self, node: Node, scope: Scope) -> Type:
        match node:
            case Literal(value=value):
                return types.NULL if value is None else _LITERALS[type(value)]
            case Name():
                return self._name(node, scope)
            case Select():
                return self._select(node, scope)
            case Index():
                arguments = [self.type_of(node.operand, scope), self.type_of(node.key, scope)]
                return self._resolve(node, "_[?_]" if node.optional else "_[_]", arguments)
            case MakeList(items=items):
                return types.list_of(self._same([(item, optional) for item, optional in items], scope))
            case MakeMap(entries=entries):
                keys = self._same([(key, False) for key, _, _ in entries], scope)
                return types.map_of(self._same([(value, optional) for _, value, optional in entries], scope), keys)
            case MakeStruct(type=name, entries=entries):
                for _, value, _ in entries:
                    self.type_of(value, scope)
                return types.named(name)
            case Call():
                return self._call(node, scope)
        raise AssertionError(node)

    def _name(self, node: Name, scope: Scope) -> Type:
        if node.name in scope:
            return scope[node.name]
        if node.name in _TYPE_NAMES:
            return Type("type", (types.named(node.name),))
        return self.complain(node, f"undeclared reference to '{node.name}' (in container '')")

    def _same(self, items: list[tuple[Node, bool]], scope: Scope) -> Type:
        """The one type of the items of a list or of a map: literals are not mixed."""
        common: Type | None = None
        for item, optional in items:
            found = self.type_of(item, scope)
            if optional and found.name == "optional_type":
                found = found.parameters[0]
            if common is None or common.name == "null_type":
                common = found
            elif not compatible(common, found):
                self.complain(item, f"expected type '{common}' but found '{found}'")
            elif found.name == "dyn":
                common = found
        return common or DYN

    # Fields.

    def _select(self, node: Select, scope: Scope) -> Type:
        if _qualified(node) in ("google.protobuf.Timestamp", "google.protobuf.Duration"):
            return Type("type", (types.named(_qualified(node)),))
        found = self._field(node, self.type_of(node.operand, scope))
        if node.optional and found.name != "optional_type":
            return types.optional_of(found)
        return found

    def _field(self, node: Select, operand: Type) -> Type:
        if operand.name == "optional_type":
            inner = self._field(node, operand.parameters[0])
            return inner if inner.name == "optional_type" else types.optional_of(inner)
        if operand.name == "map":
            return operand.parameters[1]
        if operand.fields is not None:
            if node.field in operand.fields:
                return operand.fields[node.field]
            return self.complain(node, f"undefined field '{node.field}'")
        if operand.name in ("dyn", "Object", "JSONPatch") or operand.name.startswith("Object."):
            return DYN
        return self.complain(node, f"type '{operand}' does not support field selection")

    # Calls.

    def _call(self, node: Call, scope: Scope) -> Type:
        if node.target is None:
            if node.function == "has" and len(node.arguments) == 1:
                return self._has(node, scope)
            return self._resolve(node, node.function, [self.type_of(each, scope) for each in node.arguments])
        namespace = _qualified(node.target)
        if namespace and namespace.partition(".")[0] not in scope:
            if (namespace, node.function) == ("cel", "bind") and len(node.arguments) == 3:
                return self._bind(node, scope)
            full = f"{namespace}.{node.function}"
            if full in OVERLOADS:
                return self._resolve(node, full, [self.type_of(each, scope) for each in node.arguments])
            if full in ("math.greatest", "math.least"):
                found = [self.type_of(each, scope) for each in node.arguments]
                first = found[0] if found else DYN
                return first.parameters[0] if first.name == "list" else first
        if len(node.arguments) >= (3 if node.function in _TRANSFORMS else 2) and node.function in _LOOPS:
            return self._comprehension(node, node.target, scope)
        if node.function in ("optMap", "optFlatMap") and len(node.arguments) == 2:
            target = self.type_of(node.target, scope)
            value = target.parameters[0] if target.name == "optional_type" else DYN
            inner = self.type_of(node.arguments[1], {**scope, _variable(node.arguments[0]): value})
            return inner if node.function == "optFlatMap" else types.optional_of(inner)
        arguments = [self.type_of(node.target, scope), *(self._argument(node, each, scope) for each in node.arguments)]
        return self._resolve(node, f".{node.function}", arguments)

    def _argument(self, node: Call, argument: Node, scope: Scope) -> Type:
        if node.function != "format" or not isinstance(argument, MakeList):
            return self.type_of(argument, scope)
        for item, _ in argument.items:
            self.type_of(item, scope)
        return types.list_of(DYN)  # what is formatted may be of any kind

    def _has(self, node: Call, scope: Scope) -> Type:
        (argument,) = node.arguments
        if isinstance(argument, Select):
            self.type_of(argument, scope)
        else:
            self.complain(argument, "invalid argument to has() macro")
        return BOOL

    def _bind(self, node: Call, scope: Scope) -> Type:
        variable, initial, result = node.arguments
        return self.type_of(result, {**scope, _variable(variable): self.type_of(initial, scope)})

    def _comprehension(self, node: Call, target: Node, scope: Scope) -> Type:
        over = self.type_of(target, scope)
        if over.name == "list":
            first, second = INT, over.parameters[0]
        elif over.name == "map":
            first, second = over.parameters
        else:
            first = second = DYN
            if over.name != "dyn":
                said = f"expression of type '{over}' cannot be range of a comprehension (must be list, map, or dynamic)"
                self.complain(target, said)
        function, pair = node.function, node.function in _TRANSFORMS
        if function in _PREDICATES:
            pair = len(node.arguments) == 3
        variables = node.arguments[: 2 if pair else 1]
        alone = first if over.name == "map" else second
        bound = dict(zip(map(_variable, variables), (first, second) if pair else (alone,), strict=True))
        bodies = [self.type_of(each, {**scope, **bound}) for each in node.arguments[len(variables) :]]
        if function in _PREDICATES:
            self._is_bool(node, bodies[0], _PREDICATES[function])
            return BOOL
        if function == "filter" or len(bodies) == 2:
            self._is_bool(node, bodies[0], "_?_:_")
        if function == "filter":
            return types.list_of(alone, over.most)
        if function in ("map", "transformList"):
            return types.list_of(bodies[-1], over.most)
        return types.map_of(bodies[-1], first) if function == "transformMap" else bodies[-1]

    def _is_bool(self, node: Call, found: Type, operator: str) -> None:
        if not compatible(BOOL, found):
            applied = {
                "_&&_": f"(bool, {found})",
                "_||_": f"(bool, {found})",
                "_?_:_": f"({found}, {'int, int' if node.function.startswith('exists') else 'list(dyn), list(dyn)'})",
            }
            self.complain(node, f"found no matching overload for '{operator}' applied to '{applied[operator]}'")

    def _resolve(self, node: Node, name: str, arguments: list[Type]) -> Type:
        overloads, shown = OVERLOADS.get(name), name.removeprefix(".")
        if overloads is None:
            return self.complain(node, f"undeclared reference to '{shown}' (in container '')")
        applicable = (_applied(each, arguments) for each in overloads)
        gives = [found for found in applicable if found is not None]
        if not gives:
            if name.startswith("."):
                applied = f"{arguments[0]}.({', '.join(map(str, arguments[1:]))})"
            else:
                applied = f"({', '.join(map(str, arguments))})"
            return self.complain(node, f"found no matching overload for '{shown}' applied to '{applied}'")
        if isinstance(node, Call):
            self._literals(node, shown)
        return gives[0] if all(each == gives[0] for each in gives) else DYN

    def _literals(self, node: Call, name: str) -> None:
        """Literal arguments that can never be right."""
        if name in ("matches", "find", "findAll"):
            last = node.arguments[1] if node.target is None and len(node.arguments) > 1 else node.arguments[0]
            if isinstance(last, Literal) and isinstance(last.value, str) and not _compiles(last.value):
                self.complain(last, f"invalid {name} argument")


def _applied(signature: Signature, arguments: list[Type]) -> Type | None:
    """What a call gives, or None if the signature does not take these arguments."""
    if len(signature.takes) != len(arguments):
        return None
    bound: dict[str, Type] = {}
    if not all(_binds(wanted, found, bound) for wanted, found in zip(signature.takes, arguments, strict=True)):
        return None
    return _substituted(signature.gives, bound)


def _binds(wanted: Type, found: Type, bound: dict[str, Type]) -> bool:
    if wanted.is_parameter:
        known = bound.get(wanted.name)
        if known is None or known.name == "null_type":
            bound[wanted.name] = found
            return True
        if known.fields is None and known.name != "dyn" and found.name == "dyn":
            bound[wanted.name] = found
        return compatible(known, found)
    if "dyn" in (wanted.name, found.name) or found.name == "null_type":
        return True
    if wanted.name != found.name or len(wanted.parameters) != len(found.parameters):
        return False
    return all(_binds(left, right, bound) for left, right in zip(wanted.parameters, found.parameters, strict=True))


def _substituted(gives: Type, bound: dict[str, Type]) -> Type:
    if gives.is_parameter:
        return bound.get(gives.name, DYN)
    if not gives.parameters:
        return gives
    return Type(gives.name, tuple(_substituted(each, bound) for each in gives.parameters))


def _variable(node: Node) -> str:
    return node.name if isinstance(node, Name) else ""


def _qualified(node: Node) -> str:
    if isinstance(node, Name):
        return node.name
    if isinstance(node, Select) and not node.optional:
        outer = _qualified(node.operand)
        return f"{outer}.{node.field}" if outer else ""
    return ""


def _compiles(pattern: str) -> bool:
    try:
        go_regexp.compile(pattern)
    except re.error:
        return False
    return True
