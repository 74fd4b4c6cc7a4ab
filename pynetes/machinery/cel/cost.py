"""How much an expression may cost to evaluate, at worst, before there is a value.

The unit is cel-go's: about one step of evaluation. Names and fields cost 1, traversing a string a tenth of its length,
a loop its body times the most elements of what it goes over. Sizes come from literals and from the limits that types
carry (`types.Type.most`), else from the size of a request; all sums stop at `UNLIMITED`.
"""

import math
from dataclasses import dataclass

from pynetes.machinery.cel.checker import Checked
from pynetes.machinery.cel.syntax import Call, Index, Literal, MakeList, MakeMap, MakeStruct, Name, Node, Select
from pynetes.machinery.cel.types import DYN, Type

UNLIMITED = (1 << 64) - 1
_UNKNOWN = 3 * 1024 * 1024  # no value is larger than a request

_LIST, _MAP, _STRUCT = 10, 30, 40  # what making one costs
_CHECK = 350_000  # asking the authorizer
_COMPARISONS = frozenset({"_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"})
_SCALARS = frozenset({"bool", "int", "uint", "double", "duration", "timestamp", "null_type", "type"})
_OVER_ELEMENTS = frozenset({"isSorted", "sum", "min", "max", "indexOf", "lastIndexOf", "distinct", "sort"})
_OVER_TARGET = frozenset({"lowerAscii", "upperAscii", "trim", "substring", "replace", "split", "format", "reverse"})
_OVER_ARGUMENT = frozenset(
    {"startsWith", "endsWith", "url", "isURL", "ip", "isIP", "cidr", "isCIDR", "quantity", "isQuantity", "semver"}
    | {"isSemver", "validate", "bytes", "containsIP", "containsCIDR"}
)
_SAME_SIZE = frozenset({"lowerAscii", "upperAscii", "trim", "substring", "replace", "reverse", "dyn", "string"})
_LOOPS = frozenset({"all", "exists", "exists_one", "existsOne", "map", "filter"}) | {
    "transformList",
    "transformMap",
    "transformMapEntry",
}


def estimate(checked: Checked) -> int:
    """The most that evaluating the expression can cost."""
    try:
        return min(_Estimate(checked).cost(checked.node), UNLIMITED)
    except RecursionError:
        return UNLIMITED


@dataclass
class _Estimate:
    checked: Checked

    def cost(self, node: Node) -> int:
        match node:
            case Literal():
                return 0
            case Name():
                return 1
            case Select(operand=operand):
                is_mapping = self._type(operand).fields is not None or self._type(operand).name in ("map", "dyn")
                return self.cost(operand) + is_mapping
            case Index(operand=operand, key=key):
                return 1 + self.cost(operand) + self.cost(key)
            case MakeList(items=items):
                return _LIST + sum(self.cost(item) for item, _ in items)
            case MakeMap(entries=entries):
                return _MAP + sum(self.cost(key) + self.cost(value) for key, value, _ in entries)
            case MakeStruct(entries=entries):
                return _STRUCT + sum(self.cost(value) for _, value, _ in entries)
            case Call():
                return min(self._call(node), UNLIMITED)
        raise AssertionError(node)

    def _type(self, node: Node) -> Type:
        return self.checked.types.get(id(node), DYN)

    def size(self, node: Node) -> int:
        """The most elements or characters of a node's value."""
        match node:
            case Literal(value=str(value)) | Literal(value=bytes(value)):
                return len(value)
            case MakeList(items=items):
                return len(items)
            case MakeMap(entries=entries):
                return len(entries)
            case Call(function="_+_", arguments=(left, right)) if self._type(node).name not in _SCALARS:
                return min(self.size(left) + self.size(right), UNLIMITED)
            case Call(function="_?_:_", arguments=(_, yes, no)):
                return max(self.size(yes), self.size(no))
            case Call(function="map" | "filter", target=target) if target is not None:
                return self.size(target)
            case Call(function=function) if function in _SAME_SIZE:
                source = node.target if node.target is not None else node.arguments[0]
                return self.size(source) if self._type(source).name not in _SCALARS else 64
        kind = self._type(node)
        if kind.most is not None:
            return kind.most
        return 1 if kind.name in _SCALARS else _UNKNOWN

    def _traversal(self, node: Node) -> int:
        return math.ceil(self.size(node) / 10)

    def _call(self, node: Call) -> int:
        function, arguments, target = node.function, node.arguments, node.target
        if target is not None and function in _LOOPS and id(target) in self.checked.types:
            return self._loop(node, target)
        if function == "has":
            (argument,) = arguments
            return self.cost(argument.operand) if isinstance(argument, Select) else 0
        if function in ("_&&_", "_||_"):
            return sum(map(self.cost, arguments))
        if function == "_?_:_":
            condition, yes, no = map(self.cost, arguments)
            return condition + max(yes, no)
        on_value = target is not None and id(target) in self.checked.types
        inner = sum(self.cost(each) for each in arguments if id(each) in self.checked.types)
        if target is not None and on_value:
            inner += self.cost(target)
        return inner + self._own(function, target if on_value else None, arguments)

    def _own(self, function: str, target: Node | None, arguments: tuple[Node, ...]) -> int:
        """What the function itself costs."""
        operands = ([target] if target is not None else []) + list(arguments)
        if function in _COMPARISONS:
            return max(1, math.ceil(min(map(self.size, operands)) / 10))
        if function == "@in" and self._type(arguments[1]).name == "list":
            return self.size(arguments[1])
        if function == "_+_" and self._type(arguments[0]).name in ("string", "bytes"):
            return math.ceil((self.size(arguments[0]) + self.size(arguments[1])) / 10)
        if function in ("matches", "find", "findAll") and len(operands) >= 2:
            text, pattern = operands[:2]
            return math.ceil((self.size(text) + 1) / 10) * math.ceil(self.size(pattern) / 4)
        if function == "contains" and len(operands) == 2:
            if self._type(operands[0]).name == "list":
                return self.size(operands[0]) * self.size(operands[1])  # of sets
            return self._traversal(operands[0]) * self._traversal(operands[1])
        if function in ("equivalent", "intersects"):
            return self.size(arguments[0]) * self.size(arguments[1])
        if function == "join":
            return self.size(operands[0]) * (1 + self._element(operands[0]))
        if target is not None and function in _OVER_ELEMENTS:
            return self.size(target) * (1 + self._element(target))
        if target is not None and function in _OVER_TARGET:
            return self._traversal(target)
        if arguments and function in _OVER_ARGUMENT:
            return self._traversal(arguments[0])
        return _CHECK if function == "check" else 1

    def _element(self, listed: Node) -> int:
        """What comparing an element of a list costs beyond the first step."""
        kind = self._type(listed)
        inner = kind.parameters[0] if kind.name == "list" else DYN
        return math.ceil((inner.most or 0) / 10) if inner.name in ("string", "bytes") else 0

    def _loop(self, node: Call, target: Node) -> int:
        bodies = [self.cost(each) for each in node.arguments if id(each) in self.checked.types]
        body, start = sum(bodies), 1
        match node.function:
            case "all":
                body += 3
            case "exists":
                body += 4
            case "exists_one" | "existsOne":
                body, start = body + 2, 2
            case "filter":
                body, start = body + 3 + _LIST, 1 + _LIST
            case _:
                body, start = body + 2 + _LIST, 1 + _LIST
        return self.cost(target) + start + self.size(target) * body
