"""What the type checker refuses, in cel-go's words and at its places."""

import pytest

from pynetes.machinery import cel
from pynetes.machinery.cel import CelError, checker, types

SELF = types.object_of(
    {
        "count": types.INT,
        "name": types.STRING,
        "names": types.list_of(types.STRING),
        "limits": types.map_of(types.INT),
        "a-b": types.STRING,
        "namespace": types.STRING,
        "when": types.TIMESTAMP,
        "any": types.DYN,
    }
)


def check(text: str) -> str:
    return str(checker.check(text, {"self": SELF}).type)


@pytest.mark.parametrize(
    ("text", "gives"),
    [
        ("self.count + 1", "int"),
        ("self.count > 1.5", "bool"),
        ("self.names.all(a, self.names.exists(b, a == b))", "bool"),
        ("self.names.map(n, size(n))", "list(int)"),
        ("self.limits.filter(k, self.limits[k] > 1)", "list(string)"),
        ("self.limits.transformMap(k, v, v > 1)", "map(string, bool)"),
        ("self.?name.orValue('none')", "string"),
        ("self.names[?0]", "optional_type(string)"),
        ("self.__namespace__ + self.a__dash__b", "string"),
        ("self.when - duration('1h')", "timestamp"),
        ("self.any.whatever", "dyn"),
        ("type(self.count) == int", "bool"),
        ("'%s %d'.format(['a', 1])", "string"),
        ("quantity('1Gi').add(1)", "kubernetes.Quantity"),
        ("format.dns1123Label().validate(self.name)", "optional_type(list(string))"),
        ("cel.bind(n, self.names, n.size())", "int"),
        ("self.names == []", "bool"),
        ("self.name.matches('[[:alpha:]]\\\\pL\\\\z')", "bool"),
    ],
)
def test_what_an_expression_gives(text: str, gives: str) -> None:
    assert check(text) == gives


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("self.nothing == 1", 5, "undefined field 'nothing'"),
        ("has(self.nothing)", 9, "undefined field 'nothing'"),
        ("self.namespace == ''", 5, "undefined field 'namespace'"),
        ("self.count.x == 1", 11, "type 'int' does not support field selection"),
        ("self.count == 'a'", 12, "found no matching overload for '_==_' applied to '(int, string)'"),
        ("self.name.startsWith(1)", 21, "found no matching overload for 'startsWith' applied to 'string.(int)'"),
        ("self.names['a']", 11, "found no matching overload for '_[_]' applied to '(list(string), string)'"),
        ("size(1) > 0", 5, "found no matching overload for 'size' applied to '(int)'"),
        ("1 in self.names", 3, "found no matching overload for '@in' applied to '(int, list(string))'"),
        ("self.names.all(n, n)", 15, "found no matching overload for '_&&_' applied to '(bool, string)'"),
        ("[1, 'a']", 5, "expected type 'int' but found 'string'"),
        ("true ? 1 : 'a'", 6, "found no matching overload for '_?_:_' applied to '(bool, int, string)'"),
        ("self.name.frobnicate()", 21, "undeclared reference to 'frobnicate' (in container '')"),
        ("self.name.matches('(')", 19, "invalid matches argument"),
        (
            "self.count.all(c, true)",
            5,
            "expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)",
        ),
    ],
)
def test_what_cannot_work(text: str, place: int, message: str) -> None:
    with pytest.raises(CelError) as error:
        check(text)
    assert str(error.value) == f"ERROR: <input>:1:{place}: {message}\n | {text}\n | {'.' * (place - 1)}^"


def test_every_complaint_is_told() -> None:
    with pytest.raises(CelError) as error:
        check("self.x == self.y")
    assert [line for line in str(error.value).splitlines() if line.startswith("ERROR")] == [
        "ERROR: <input>:1:5: undefined field 'x'",
        "ERROR: <input>:1:15: undefined field 'y'",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 +", "mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT"),
        ("[1, 2, ", "ERROR: <input>:1:8: Syntax error: missing ']' at '<EOF>'"),
        ("size('a'", "Syntax error: missing ')' at '<EOF>'"),
        ("1 2", "extraneous input '2' expecting <EOF>"),
        ("1 2 3", "mismatched input '2' expecting <EOF>"),
    ],
)
def test_what_is_no_expression(text: str, message: str) -> None:
    with pytest.raises(CelError, match="Syntax error: ") as error:
        check(text)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "text",
    ["self.names.transformList(i, n)", "self.names.map(n)", "has()", "1" + " + 1" * 5000, "self.names.all(1, true)"],
)
def test_whatever_is_written_is_answered(text: str) -> None:
    with pytest.raises(CelError):
        cel.compile(text, {"self"})
        check(text)
        pytest.fail("it compiles")
