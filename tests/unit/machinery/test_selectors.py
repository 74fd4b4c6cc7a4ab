"""Label and field selectors: parsing, printing, matching."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pynetes.machinery import selectors
from pynetes.machinery.selectors import FieldSelector, FieldTerm, LabelSelector, Requirement

keys = st.sampled_from(["app", "tier", "example.com/role", "x1", "in", "notin"])
values = st.sampled_from(["web", "db", "a.b_c", "1", "", "in"])
labels = st.dictionaries(keys, values)
requirements = st.one_of(
    st.builds(lambda key, value, operator: Requirement(key, operator, (value,)), keys, values, st.sampled_from("=")),
    st.builds(lambda key, value: Requirement(key, "!=", (value,)), keys, values),
    st.builds(
        lambda key, some, operator: Requirement(key, operator, tuple(sorted(some))),
        keys,
        st.sets(values, min_size=1),
        st.sampled_from(["in", "notin"]),
    ),
    st.builds(lambda key, operator: Requirement(key, operator), keys, st.sampled_from(["exists", "!"])),
    st.builds(
        lambda key, bound, op: Requirement(key, op, (str(bound),)),
        keys,
        st.integers(0, 99),
        st.sampled_from(["gt", "lt"]),
    ),
)
label_selectors = st.lists(requirements, max_size=4).map(
    lambda found: LabelSelector(tuple(sorted(found, key=lambda condition: condition.key)))
)


@given(label_selectors)
def test_a_printed_label_selector_parses_to_itself(selector: LabelSelector) -> None:
    assert selectors.parse_label_selector(str(selector)) == selector


@given(label_selectors, labels)
def test_a_selector_matches_when_each_requirement_does(selector: LabelSelector, found: dict[str, str]) -> None:
    def holds(condition: Requirement) -> bool:
        value = found.get(condition.key)
        if condition.operator in ("gt", "lt"):
            if value is None or not value.isdecimal():
                return False
            return (
                int(value) > int(condition.values[0])
                if condition.operator == "gt"
                else int(value) < int(condition.values[0])
            )
        return {
            "=": value in condition.values,
            "in": value in condition.values,
            "!=": value not in condition.values,
            "notin": value not in condition.values,
            "exists": value is not None,
            "!": value is None,
        }[condition.operator]

    assert selector.matches(found) == all(holds(condition) for condition in selector.requirements)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("", ""),
        ("a", "a"),
        (" a = b , c ", "a=b,c"),
        ("b,a", "a,b"),
        ("a==b", "a==b"),
        ("a!=", "a!="),
        ("a=", "a="),
        ("a in (y,x,x)", "a in (x,y)"),
        ("a in (,x)", "a in (,x)"),
        ("a in ()", "a in ()"),
        ("!a,b notin (x)", "!a,b notin (x)"),
        ("a>5,b<3", "a>5,b<3"),
        ("in in (in,notin)", "in in (in,notin)"),
    ],
)
def test_label_selector_syntax(text: str, canonical: str) -> None:
    assert str(selectors.parse_label_selector(text)) == canonical


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (",", "found ',', expected: !, identifier, or 'end of string'"),
        ("a,", "found '', expected: identifier after ','"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("a in x", "unable to parse requirement: found 'x' expected: '('"),
        ("a in (x", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("a===b", "unable to parse requirement: found '=', expected: identifier"),
        (
            "a>x",
            'unable to parse requirement: values[0]: Invalid value: "x":'
            " for 'Gt', 'Lt' operators, the value must be an integer",
        ),
    ],
)
def test_malformed_label_selectors_are_refused_in_upstreams_words(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        selectors.parse_label_selector(text)
    assert str(caught.value) == message


def test_bad_keys_and_values_are_named() -> None:
    with pytest.raises(
        ValueError, match=r'unable to parse requirement: <nil>: Invalid value: "-a": name part must consist'
    ):
        selectors.parse_label_selector("-a=b")
    with pytest.raises(ValueError, match=r'values\[0\]\[a\]: Invalid value: "b\$": a valid label must be'):
        selectors.parse_label_selector("a=b$")


def test_an_absent_label_selector_selects_nothing_and_an_empty_one_everything() -> None:
    assert not selectors.from_label_selector(None).matches({"a": "b"})
    assert selectors.from_label_selector({}).matches({"a": "b"})
    assert selectors.from_label_selector({}).empty


def test_label_selector_objects() -> None:
    selector = selectors.from_label_selector(
        {
            "matchLabels": {"app": "web"},
            "matchExpressions": [
                {"key": "tier", "operator": "NotIn", "values": ["db", "cache"]},
                {"key": "old", "operator": "DoesNotExist"},
            ],
        }
    )
    assert str(selector) == "app=web,!old,tier notin (cache,db)"
    assert selector.exact("app") == "web"
    with pytest.raises(ValueError, match='"Gt" is not a valid label selector operator'):
        selectors.from_label_selector({"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]})
    with pytest.raises(ValueError, match="values set can't be empty"):
        selectors.from_label_selector({"matchExpressions": [{"key": "a", "operator": "In"}]})


def test_node_selector_terms_also_compare_numbers() -> None:
    terms = selectors.from_node_selector_requirements([{"key": "cores", "operator": "Gt", "values": ["4"]}])
    assert terms.matches({"cores": "8"})
    assert not terms.matches({"cores": "4"})
    assert not terms.matches({"cores": "many"})
    assert not terms.matches({})


field_values = st.text(st.sampled_from("ab=,\\!. "), max_size=8)
field_selectors = st.lists(
    st.builds(
        FieldTerm,
        st.sampled_from(["metadata.name", "spec.nodeName", "status.phase"]),
        st.sampled_from(["=", "!="]),
        field_values,
    ),
    max_size=3,
).map(lambda terms: FieldSelector(tuple(sorted(terms, key=lambda term: term.field))))


@given(field_selectors)
def test_a_printed_field_selector_parses_to_itself(selector: FieldSelector) -> None:
    assert selectors.parse_field_selector(str(selector)) == selector


def test_field_selectors_compare_with_absent_fields_as_empty() -> None:
    selector = selectors.parse_field_selector("spec.nodeName=,status.phase!=Failed")
    assert selector.matches({"status.phase": "Running"})
    assert not selector.matches({"spec.nodeName": "n", "status.phase": "Running"})
    assert not selector.matches({"status.phase": "Failed"})
    assert selectors.parse_field_selector("metadata.name==x").exact("metadata.name") == "x"


def test_malformed_field_selectors_are_refused() -> None:
    with pytest.raises(ValueError, match='invalid selector: "name"; can\'t understand "name"'):
        selectors.parse_field_selector("name")
    with pytest.raises(ValueError, match="invalid field selector"):
        selectors.parse_field_selector("a=b=c")


def test_field_selectors_can_be_renamed() -> None:
    selector = selectors.parse_field_selector("involvedObject.name=x,type!=Normal")
    renamed = selector.transform(lambda field, value: (field.replace("involvedObject", "regarding"), value))
    assert str(renamed) == "regarding.name=x,type!=Normal"
