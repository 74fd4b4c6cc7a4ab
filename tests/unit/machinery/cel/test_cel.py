"""CEL: the language and Kubernetes' library, by expression and value."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pynetes.machinery import cel
from pynetes.machinery.cel.values import UInt, type_name

VALUES: dict[str, Any] = {
    "x": 5,
    "s": "hello",
    "l": [1, 2, 3],
    "m": {"a": 1, "b": {"c": [True]}, "in-valid": 2, "namespace": 3},
    "t": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    "none": None,
}


def run(text: str) -> Any:
    return cel.compile(text, set(VALUES)).evaluate(VALUES)


@pytest.mark.parametrize(
    "text",
    [
        # Precedence, arithmetic and comparison.
        "1 + 2 * 3 == 7",
        "(1 + 2) * 3 == 9",
        "-7 / 2 == -3 && -7 % 3 == -1 && 7 % -3 == 1",
        "1 < 2 && 2.0 >= 2 && 3u == 3 && 1.5 > 1u",
        "'a' < 'b' && b'a' < b'b' && !false",
        "true || 1 / 0 == 1",
        "1 / 0 == 1 || true",
        "!(false && 1 / 0 == 1) && !(1 / 0 == 1 && false)",
        "x > 3 ? true : 1 / 0 == 0",
        "[1, 2.0] == [1.0, 2] && {'a': 1} == {'a': 1.0} && [1] != ['1']",
        "1 != '1' && null == none && true != 1",
        "-9223372036854775808 < 0 && 0x10 == 16 && 1e3 == 1000.0",
        # Text.
        "'a\\n\\x41\\u00e9\\101' == \"a\\nAéA\" && r'\\n' == '\\\\n'",
        "'''one\"two''' == 'one\"two' && b'\\xff' == bytes(b'\\377')",
        "'héllo'.size() == 5 && size('x' + 'y') == 2",
        "s.startsWith('he') && s.endsWith('lo') && s.contains('ell') && s.matches('^h.*o$') && matches(s, 'l+')",
        "'a,b,c'.split(',') == ['a', 'b', 'c'] && 'a,b,c'.split(',', 2) == ['a', 'b,c']",
        "['a', 'b'].join('-') == 'a-b' && s.substring(1, 3) == 'el' && s.charAt(4) == 'o'",
        "s.replace('l', 'L', 1) == 'heLlo' && s.upperAscii() == 'HELLO' && ' x '.trim() == 'x'",
        "s.indexOf('l') == 2 && s.lastIndexOf('l') == 3 && s.indexOf('z') == -1 && 'abc'.reverse() == 'cba'",
        "'%s %d %.2f %x'.format(['a', 1, 1.5, 255]) == 'a 1 1.50 ff'",
        "'abc 123'.find('[0-9]+') == '123' && '1 2 3'.findAll('[0-9]', 2) == ['1', '2']",
        # Fields, has and items.
        "m.a == 1 && m['a'] == 1 && m.b.c[0] && has(m.a) && !has(m.z) && !has(m.b.z)",
        "m.in__dash__valid == 2 && m.__namespace__ == 3 && m.`in-valid` == 2",
        "1 in l && 'a' in m && !('z' in m) && l[0] == 1",
        # Macros.
        "l.all(i, i > 0) && l.exists(i, i == 2) && l.exists_one(i, i > 2) && !l.exists_one(i, i > 1)",
        "l.map(i, i * 2) == [2, 4, 6] && l.filter(i, i > 1) == [2, 3] && l.map(i, i > 1, -i) == [-2, -3]",
        "m.all(k, k in m) && m.filter(k, k == 'a') == ['a'] && m.exists(k, v, k == 'a' && v == 1)",
        "[1, 2].exists(i, i == 1 || 1 / 0 == 1) && ![1, 2].all(i, i == 1 && 1 / 0 == 1) ? true : true",
        "l.all(i, l.exists(j, i == j))",
        "cel.bind(y, x + 1, y * y) == 36",
        "l.transformList(i, v, i + v) == [1, 3, 5] && {'a': 1}.transformMap(k, v, v + 1) == {'a': 2}",
        "quantity('5k').isInteger() && !quantity('9999999999999999999999G').isInteger()",
        # Optional values.
        "m.?a.orValue(0) == 1 && m.?z.orValue(0) == 0 && m.?b.?c[?0].hasValue() && !l[?9].hasValue()",
        "optional.of(1).value() == 1 && !optional.none().hasValue() && optional.ofNonZeroValue('') == optional.none()",
        "[?m.?a, ?m.?z] == [1] && {?'k': m.?z, 'j': 1} == {'j': 1} && m.?a.optMap(v, v + 1).value() == 2",
        # Conversions and types.
        "int('7') == 7 && int(7.9) == 7 && uint(3) == 3u && double('1.5') == 1.5 && string(1.0) == '1'",
        "string(true) == 'true' && bool('true') && string(b'abc') == 'abc' && type(1) == int && type('') == string",
        "type(l) == list && type(m) == map && type(null) == null_type && type(1u) != int && dyn(1) == 1",
        # Time.
        "t.getFullYear() == 2026 && t.getMonth() == 0 && t.getDate() == 2 && t.getHours('+01:00') == 4",
        "t + duration('1h30m') == timestamp('2026-01-02T04:34:05Z') && t - t == duration('0s')",
        "duration('90s').getMinutes() == 1 && duration('1h') > duration('59m') && string(t) == '2026-01-02T03:04:05Z'",
        # Lists and sets.
        "[3, 1].min() == 1 && [3, 1].max() == 3 && [1, 2].sum() == 3 && [1, 2].isSorted() && l.indexOf(2) == 1",
        "sets.contains([1, 2], [2]) && sets.equivalent([1, 1], [1.0]) && !sets.intersects([1], [2])",
        "[[1], [2]].flatten() == [1, 2] && [1, 1].distinct() == [1] && [2, 1].sort() == [1, 2] "
        "&& lists.range(2) == [0, 1]",
        # Kubernetes' kinds.
        "quantity('1Gi').isGreaterThan(quantity('1G')) && quantity('1500m').asApproximateFloat() == 1.5",
        "quantity('2').add(quantity('500m')) == quantity('2.5') && quantity('1k').asInteger() == 1000 "
        "&& isQuantity('1') && !isQuantity('x') && quantity('1').compareTo(quantity('2')) == -1 "
        "&& quantity('-1').sign() == -1",
        "ip('10.0.0.1').family() == 4 && ip('::1').isLoopback() && isIP('1.2.3.4') && !isIP('1.2.3') "
        "&& ip.isCanonical('::1') && !ip.isCanonical('0::1')",
        "cidr('10.0.0.0/8').containsIP('10.1.2.3') && cidr('10.0.0.0/8').containsCIDR(cidr('10.1.0.0/16')) "
        "&& cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8') && cidr('10.0.0.0/8').prefixLength() == 8 "
        "&& string(cidr('10.0.0.0/8').ip()) == '10.0.0.0'",
        "url('https://user@example.com:80/a?b=c').getHost() == 'example.com:80' && isURL('/a') && !isURL('a') "
        "&& url('https://example.com:80/a?b=c').getPort() == '80' && url('/a?b=c').getQuery() == {'b': ['c']}",
        "semver('1.2.3').isLessThan(semver('1.10.0')) && semver('1.0.0-rc.1').isLessThan(semver('1.0.0')) "
        "&& semver('v1.2', true).minor() == 2 && !isSemver('1.2')",
        "!format.dns1123Label().validate('abc').hasValue() && format.dns1123Label().validate('A').hasValue() "
        "&& format.named('uuid').value().validate('x').value().size() == 1 && !format.named('no').hasValue()",
    ],
)
def test_what_is_true(text: str) -> None:
    assert run(text) is True


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 / 0", "division by zero"),
        ("1 % 0", "modulus by zero"),
        ("9223372036854775807 + 1", "integer overflow"),
        ("1u - 2u", "unsigned integer overflow"),
        ("m.z", "no such key: z"),
        ("m['z']", "no such key: z"),
        ("l[3]", "index out of bounds: 3"),
        ("1 + '1'", "no such overload: _+_"),
        ("'a' < 1", "no such overload"),
        ("x ? 1 : 2", "no such overload"),
        ("s.startsWith(1)", "no such overload"),
        ("{'a': 1, 'a': 2}", "repeated key"),
        ("optional.none().value()", "optional.none() dereference"),
        ("quantity('x')", "quantities must match"),
        ("[].min()", "min called on empty list"),
        ("'a'.matches('(')", "error parsing regexp"),
        (
            "lists.range(2000).all(a, lists.range(2000).all(b, true))",
            "operation cancelled: actual cost limit exceeded",
        ),
    ],
)
def test_what_cannot_be_evaluated(text: str, message: str) -> None:
    with pytest.raises(cel.CelError) as error:
        run(text)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("foo > 1", "ERROR: <input>:1:1: undeclared reference to 'foo' (in container '')\n | foo > 1\n | ^"),
        (
            "x +\n nope(1)",
            "ERROR: <input>:2:6: undeclared reference to 'nope' (in container '')\n |  nope(1)\n | .....^",
        ),
        ("x.frobnicate()", "undeclared reference to 'frobnicate'"),
        ("1 +", "ERROR: <input>:1:4: Syntax error: mismatched input '<EOF>'"),
        ("a b", "Syntax error"),
        ("'open", "Syntax error: token recognition error"),
        ("l.all(1, true)", "argument must be a simple name"),
        ("has(x)", "invalid argument to has() macro"),
        ("", "Syntax error"),
        ("9223372036854775808", "invalid int literal"),
        ("package", "reserved identifier: package"),
        ("(" * 400 + "1" + ")" * 400, "recursion limit"),
    ],
)
def test_what_cannot_be_compiled(text: str, message: str) -> None:
    with pytest.raises(cel.CelError) as error:
        run(text)
    assert message in str(error.value)


def test_a_named_type_makes_a_struct() -> None:
    made = run("Object{spec: Object.spec{replicas: x, ?gone: m.?z}}")
    assert made == {"spec": {"replicas": 5}}
    assert type_name(made["spec"]) == "Object.spec"


def test_a_loops_variable_does_not_outlive_it() -> None:
    with pytest.raises(cel.CelError, match="undeclared reference to 'i'"):
        run("l.all(i, true) && i == 1")


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1))
def test_integers_are_64_bits_or_an_error(left: int, right: int) -> None:
    program = cel.compile("a + b", {"a", "b"})
    if -(2**63) <= left + right < 2**63:
        assert program.evaluate({"a": left, "b": right}) == left + right
    else:
        with pytest.raises(cel.CelError):
            program.evaluate({"a": left, "b": right})


@given(st.integers(0, 2**64 - 1))
def test_unsigned_literals_are_what_they_say(value: int) -> None:
    found = cel.compile(f"{value}u").evaluate({})
    assert (found, type(found)) == (value, UInt)


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        cel.compile(text)
    except cel.CelError:
        return


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-100, 100) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, JSON)
def test_equality_is_an_equivalence_of_json(left: Any, right: Any) -> None:
    program = cel.compile("a == b", {"a", "b"})
    assert program.evaluate({"a": left, "b": left}) is True
    assert program.evaluate({"a": left, "b": right}) == program.evaluate({"a": right, "b": left})
