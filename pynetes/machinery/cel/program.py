"""From a tree to closures: compile an expression once, evaluate it with many bindings.

Every node becomes a Python function from the environment (names to values) to a value. Logic absorbs errors as the
specification says: `false && error` is false, `true || error` is true, whichever side the error is on. Comprehensions
count what their rounds cost, and an evaluation that costs too much is cancelled.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pynetes.machinery.cel import library, syntax
from pynetes.machinery.cel.operators import (
    OPERATORS,
    field_of,
    has_field,
    item_of,
    optional_field,
    optional_item,
    truth,
    unescape,
)
from pynetes.machinery.cel.syntax import Call, Index, Literal, MakeList, MakeMap, MakeStruct, Name, Node, Select
from pynetes.machinery.cel.values import (
    NONE,
    CelError,
    Optional,
    Struct,
    TypeValue,
    no_overload,
)

Environment = dict[str, Any]
Code = Callable[[Environment], Any]

MOST_STEPS = 1_000_000
_STEPS, _ITEM = "@steps", "@item"  # no name can begin with this sign
_TYPE_NAMES = ("bool", "int", "uint", "double", "string", "bytes", "list", "map", "null_type", "type", "optional_type")


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled expression."""

    text: str
    _code: Code
    _weight: int

    def evaluate(self, bindings: Mapping[str, Any]) -> Any:
        """The value of the expression; raises CelError."""
        return self.metered(bindings, [MOST_STEPS])

    def metered(self, bindings: Mapping[str, Any], budget: list[int]) -> Any:
        """The value of the expression; what its loops cost is taken from the budget's one number."""
        environment = dict(bindings)
        environment[_STEPS] = steps = [MOST_STEPS]
        try:
            return self._code(environment)
        except RecursionError:
            raise CelError("expression recursion limit exceeded") from None
        finally:
            budget[0] -= self._weight + MOST_STEPS - steps[0]


def compile(text: str, names: Collection[str] = ()) -> Program:
    """Compile an expression that may use `names`; raises CelError with the place of the fault."""
    if not text.strip():
        raise syntax.syntax_error(text, 0, "Syntax error: mismatched input '<EOF>'")
    try:
        node = syntax.parse(text)
        return Program(text, _Compiler(text, frozenset(names)).code(node), _weight(node))
    except RecursionError:
        raise CelError("expression recursion limit exceeded") from None


class _Compiler:
    """Compiles the nodes of one expression; `names` are those in scope."""

    def __init__(self, text: str, names: frozenset[str]) -> None:
        self._text = text
        self._names = names

    def code(self, node: Node) -> Code:
        match node:
            case Literal(value=value):
                return lambda environment: value
            case Name():
                return self._name(node)
            case Select():
                return self._select(node)
            case Index():
                return self._index(node)
            case MakeList(items=items):
                return self._list(items)
            case MakeMap(entries=entries):
                return self._map(entries)
            case MakeStruct():
                return self._struct(node)
            case Call():
                return self._call(node)
        raise AssertionError(node)

    def _undeclared(self, node: Node, name: str) -> CelError:
        return syntax.syntax_error(self._text, node.at, f"undeclared reference to '{name}' (in container '')")

    def _name(self, node: Name) -> Code:
        name = node.name
        if name in self._names:
            return lambda environment: environment[name]
        if name in _TYPE_NAMES:
            value = TypeValue(name)
            return lambda environment: value
        raise self._undeclared(node, name)

    def _select(self, node: Select) -> Code:
        qualified = _qualified(node)
        if qualified in ("google.protobuf.Timestamp", "google.protobuf.Duration"):
            value = TypeValue(qualified)
            return lambda environment: value
        operand, field = self.code(node.operand), unescape(node.field)
        if node.optional:
            return lambda environment: optional_field(operand(environment), field)
        return lambda environment: field_of(operand(environment), field)

    def _index(self, node: Index) -> Code:
        operand, key = self.code(node.operand), self.code(node.key)
        if node.optional:
            return lambda environment: optional_item(operand(environment), key(environment))
        return lambda environment: item_of(operand(environment), key(environment))

    def _list(self, items: Iterable[tuple[Node, bool]]) -> Code:
        parts = [(self.code(item), optional) for item, optional in items]

        def make(environment: Environment) -> list[Any]:
            found = []
            for part, optional in parts:
                value = part(environment)
                if not optional:
                    found.append(value)
                elif value.is_set:
                    found.append(value.value)
            return found

        return make

    def _map(self, entries: Iterable[tuple[Node, Node, bool]]) -> Code:
        parts = [(self.code(key), self.code(value), optional) for key, value, optional in entries]

        def make(environment: Environment) -> dict[Any, Any]:
            found: dict[Any, Any] = {}
            for key, value, optional in parts:
                name, made = key(environment), value(environment)
                if not isinstance(name, str | bool | int):
                    raise CelError("unsupported key type")
                if name in found:
                    raise CelError(f"Failed with repeated key: {name}")
                if not optional:
                    found[name] = made
                elif made.is_set:
                    found[name] = made.value
            return found

        return make

    def _struct(self, node: MakeStruct) -> Code:
        parts = [(unescape(field), self.code(value), optional) for field, value, optional in node.entries]

        def make(environment: Environment) -> Struct:
            found: dict[str, Any] = {}
            for field, value, optional in parts:
                made = value(environment)
                if not optional:
                    found[field] = made
                elif made.is_set:
                    found[field] = made.value
            return Struct(node.type, found)

        return make

    # Calls.

    def _call(self, node: Call) -> Code:
        special = _SPECIAL.get((node.function, len(node.arguments), node.target is not None))
        if special is not None:
            made = special(self, node)
            if made is not None:
                return made
        arguments = [self.code(argument) for argument in node.arguments]
        if node.target is None:
            return self._function(node, arguments)
        if (qualified := _qualified(node.target)) and f"{qualified}.{node.function}" in library.FUNCTIONS:
            if not isinstance(node.target, Name) or node.target.name not in self._names:
                function = library.FUNCTIONS[f"{qualified}.{node.function}"]
                return _applied(function, arguments, f"{qualified}.{node.function}")
        target, name = self.code(node.target), node.function
        if name not in library.METHODS and name not in library.OBJECT_METHODS:
            raise self._undeclared(node, name)
        return lambda environment: call_method(
            target(environment), name, [argument(environment) for argument in arguments]
        )

    def _function(self, node: Call, arguments: list[Code]) -> Code:
        operator = OPERATORS.get(node.function)
        if operator is not None:
            if len(arguments) == 1:
                (only,) = arguments
                return lambda environment: operator(only(environment))
            left, right = arguments
            return lambda environment: operator(left(environment), right(environment))
        function = library.FUNCTIONS.get(node.function)
        if function is None:
            raise self._undeclared(node, node.function)
        return _applied(function, arguments, node.function)

    def _and(self, node: Call) -> Code:
        return self._logic(node, decisive=False, operator="_&&_")

    def _or(self, node: Call) -> Code:
        return self._logic(node, decisive=True, operator="_||_")

    def _logic(self, node: Call, *, decisive: bool, operator: str) -> Code:
        left, right = (self.code(argument) for argument in node.arguments)

        def decide(environment: Environment) -> bool:
            try:
                value = left(environment)
                if value is decisive:
                    return decisive
                if not isinstance(value, bool):
                    raise no_overload(operator)
            except CelError as error:
                if right(environment) is decisive:
                    return decisive
                raise error
            value = right(environment)
            if not isinstance(value, bool):
                raise no_overload(operator)
            return value

        return decide

    def _choice(self, node: Call) -> Code:
        condition, yes, no = (self.code(argument) for argument in node.arguments)

        def choose(environment: Environment) -> Any:
            value = condition(environment)
            if not isinstance(value, bool):
                raise no_overload("_?_:_")
            return yes(environment) if value else no(environment)

        return choose

    def _has(self, node: Call) -> Code:
        (argument,) = node.arguments
        if not isinstance(argument, Select):
            raise syntax.syntax_error(self._text, argument.at, "invalid argument to has() macro")
        operand, field = self.code(argument.operand), unescape(argument.field)

        def has(environment: Environment) -> bool:
            value = operand(environment)
            if isinstance(value, Optional):
                return value.is_set and has_field(value.value, field)
            return has_field(value, field)

        return has

    def _inner(self, *variables: Node) -> tuple["_Compiler", list[str]]:
        names = []
        for variable in variables:
            if not isinstance(variable, Name):
                raise syntax.syntax_error(self._text, variable.at, "argument must be a simple name")
            names.append(variable.name)
        return _Compiler(self._text, self._names | set(names)), names

    def _comprehension(self, node: Call) -> Code | None:
        """all, exists, exists_one, map and filter, over one variable or (for the first three) two."""
        assert node.target is not None
        over = self.code(node.target)
        function, arguments = node.function, node.arguments
        two = len(arguments) == 3 and function not in ("map",)
        inner, names = self._inner(*arguments[: 2 if two else 1])
        bodies = [inner.code(argument) for argument in arguments[2 if two else 1 :]]
        loop = _LOOPS[function]
        weight = _ROUND.get(function, _ROUND["map"]) + sum(map(_weight, arguments[2 if two else 1 :]))
        return lambda environment: loop(_bound(over(environment), names, environment, function, weight), *bodies)

    def _transform(self, node: Call) -> Code:
        """transformList, transformMap and transformMapEntry, over key (or index) and value."""
        assert node.target is not None
        over = self.code(node.target)
        inner, names = self._inner(*node.arguments[:2])
        bodies = [inner.code(argument) for argument in node.arguments[2:]]
        function, body = node.function, bodies[-1]
        condition = bodies[0] if len(bodies) == 2 else None
        weight = _ROUND["map"] + sum(map(_weight, node.arguments[2:]))

        def transform(environment: Environment) -> Any:
            found: dict[Any, Any] = {}
            listed: list[Any] = []
            for scope in _bound(over(environment), names, environment, function, weight):
                if condition is not None and not condition(scope):
                    continue
                if function == "transformList":
                    listed.append(body(scope))
                elif function == "transformMap":
                    found[scope[names[0]]] = body(scope)
                else:
                    found |= body(scope)
            return listed if function == "transformList" else found

        return transform

    def _bind(self, node: Call) -> Code | None:
        if not isinstance(node.target, Name) or node.target.name != "cel":
            return None
        variable, initial, result = node.arguments
        inner, (name,) = self._inner(variable)
        value, body = self.code(initial), inner.code(result)
        return lambda environment: body({**environment, name: value(environment)})

    def _opt_map(self, node: Call) -> Code:
        assert node.target is not None
        optional = self.code(node.target)
        inner, (name,) = self._inner(node.arguments[0])
        body, flat = inner.code(node.arguments[1]), node.function == "optFlatMap"

        def mapped(environment: Environment) -> Optional:
            value = optional(environment)
            if not isinstance(value, Optional):
                raise no_overload(node.function)
            if not value.is_set:
                return NONE
            made = body({**environment, name: value.value})
            return made if flat else Optional(made)

        return mapped


_SPECIAL: dict[tuple[str, int, bool], Callable[[_Compiler, Call], Code | None]] = {
    ("_&&_", 2, False): _Compiler._and,
    ("_||_", 2, False): _Compiler._or,
    ("_?_:_", 3, False): _Compiler._choice,
    ("has", 1, False): _Compiler._has,
    ("bind", 3, True): _Compiler._bind,
    ("optMap", 2, True): _Compiler._opt_map,
    ("optFlatMap", 2, True): _Compiler._opt_map,
    ("map", 3, True): _Compiler._comprehension,
    **{
        (name, 2, True): _Compiler._comprehension
        for name in ("all", "exists", "exists_one", "existsOne", "map", "filter")
    },
    **{(name, 3, True): _Compiler._comprehension for name in ("all", "exists", "exists_one", "existsOne")},
    **{
        (name, count, True): _Compiler._transform
        for name in ("transformList", "transformMap", "transformMapEntry")
        for count in (3, 4)
    },
}


def _applied(function: Callable[..., Any], arguments: list[Code], name: str) -> Code:
    def apply(environment: Environment) -> Any:
        values = [argument(environment) for argument in arguments]
        try:
            return function(*values)
        except (TypeError, AttributeError):
            raise no_overload(name) from None

    return apply


def call_method(target: Any, name: str, arguments: list[Any]) -> Any:
    """`target.name(arguments)`."""
    own = getattr(target, "call", None)
    if own is not None:
        return own(name, arguments)
    method = library.METHODS.get(name)
    if method is None:
        raise no_overload(name)
    try:
        return method(target, *arguments)
    except (TypeError, AttributeError):
        raise no_overload(name) from None


def _qualified(node: Node) -> str:
    if isinstance(node, Name):
        return node.name
    if isinstance(node, Select) and not node.optional:
        outer = _qualified(node.operand)
        return f"{outer}.{node.field}" if outer else ""
    return ""


# Comprehensions.


_ROUND = {"all": 3, "exists": 4, "exists_one": 2, "existsOne": 2, "map": 12, "filter": 13}
"""What a round of a loop costs apart from its body, as cel-go expands the macros."""


def _weight(node: Node) -> int:
    """What evaluating a node costs, apart from the rounds of loops in it: they are counted as they happen."""
    match node:
        case Name():
            return 1
        case Select(operand=operand):
            return 1 + _weight(operand)
        case Index(operand=operand, key=key):
            return 1 + _weight(operand) + _weight(key)
        case MakeList(items=items):
            return 10 + sum(_weight(item) for item, _ in items)
        case Call(function=function, arguments=arguments, target=target):
            inner = _weight(target) if target is not None else 0
            if target is not None and (function in _LOOPS or function.startswith("transform")):
                return inner
            return inner + sum(map(_weight, arguments)) + (function not in ("_&&_", "_||_", "_?_:_"))
    return 0


def _bound(over: Any, names: list[str], environment: Environment, function: str, weight: int) -> Iterable[Environment]:
    """The environments of a loop's rounds."""
    if isinstance(over, dict):
        rounds: Iterable[tuple[Any, ...]] = over.items() if len(names) == 2 else ((key,) for key in over)
    elif isinstance(over, list):
        rounds = enumerate(over) if len(names) == 2 else ((item,) for item in over)
    else:
        raise no_overload(function)
    steps = environment[_STEPS]
    scope = dict(environment)
    for values in rounds:
        steps[0] -= weight
        if steps[0] < 0:
            raise CelError("operation cancelled: actual cost limit exceeded")
        scope.update(zip(names, values, strict=True))
        scope[_ITEM] = values[-1]
        yield scope


def _all(rounds: Iterable[Environment], body: Code) -> bool:
    failure: CelError | None = None
    for scope in rounds:
        try:
            if not truth(body(scope), "all"):
                return False
        except CelError as error:
            failure = failure or error
    if failure is not None:
        raise failure
    return True


def _exists(rounds: Iterable[Environment], body: Code) -> bool:
    failure: CelError | None = None
    for scope in rounds:
        try:
            if truth(body(scope), "exists"):
                return True
        except CelError as error:
            failure = failure or error
    if failure is not None:
        raise failure
    return False


def _exists_one(rounds: Iterable[Environment], body: Code) -> bool:
    return sum(truth(body(scope), "exists_one") for scope in rounds) == 1


def _mapped(rounds: Iterable[Environment], *bodies: Code) -> list[Any]:
    *condition, body = bodies
    return [body(scope) for scope in rounds if not condition or truth(condition[0](scope), "map")]


def _filtered(rounds: Iterable[Environment], body: Code) -> list[Any]:
    return [scope[_ITEM] for scope in rounds if truth(body(scope), "filter")]


_LOOPS: dict[str, Callable[..., Any]] = {
    "all": _all,
    "exists": _exists,
    "exists_one": _exists_one,
    "existsOne": _exists_one,
    "map": _mapped,
    "filter": _filtered,
}
