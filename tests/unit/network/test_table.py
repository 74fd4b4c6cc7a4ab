"""The plan of a table: what it sends for which change."""

import random

from hypothesis import given
from hypothesis import strategies as st

from pynetes.network import nft
from pynetes.network.nft import SetSpec, goto, verdict
from pynetes.network.table import Fragment, Plan

MAP = SetSpec(("ipv4_addr",), ("verdict",))


def fragment(elements: dict[int, str], chain: str = "", mark: int = 0) -> Fragment:
    part = Fragment()
    for last, target in elements.items():
        part.element("map", nft.ip(f"10.0.0.{last}"), goto(target))
    if chain:
        part.chain(chain, (nft.load(nft.host32(mark), nft.R0), verdict(nft.ACCEPT)))
    return part


def plan() -> Plan:
    made = Plan("test")
    made.put("base", Fragment(sets={"map": MAP}, chains={"a": (), "b": ()}))
    made.transaction()
    made.written()
    return made


def labels(made: Plan) -> list[str]:
    return [message.label for message in made.transaction()]


def test_nothing_changed_is_no_message() -> None:
    made = plan()
    made.put("x", fragment({1: "a"}))
    made.transaction()
    made.written()
    made.put("x", fragment({1: "a"}))
    assert labels(made) == []


def test_a_changed_element_is_removed_and_added_in_one_transaction() -> None:
    made = plan()
    made.put("x", fragment({1: "a", 2: "a"}))
    assert labels(made) == ["add element map"]
    made.written()
    made.put("x", fragment({1: "b", 2: "a"}))
    assert labels(made) == ["delete element map", "add element map"]


def test_a_change_that_is_taken_back_before_it_is_written_costs_nothing() -> None:
    made = plan()
    made.put("x", fragment({1: "a"}))
    made.transaction()
    made.written()
    made.put("x", fragment({1: "b"}))
    made.put("x", fragment({1: "a"}))
    assert labels(made) == []


def test_a_changed_chain_is_flushed_and_filled_again() -> None:
    made = plan()
    made.put("x", fragment({}, "own", 1))
    assert labels(made) == ["add chain own", "add rule own"]
    made.written()
    made.put("x", fragment({}, "own", 2))
    assert labels(made) == ["flush chain own", "add rule own"]


def test_chains_go_after_what_leads_to_them_and_sets_go_last() -> None:
    made = plan()
    part = fragment({1: "own"}, "own")
    part.sets["extra"] = SetSpec(("ipv4_addr",))
    made.put("x", part)
    made.transaction()
    made.written()
    made.put("x", None)
    assert labels(made) == ["delete element map", "flush chain own", "delete chain own", "delete set extra"]


def test_of_two_claims_the_first_name_wins_and_the_other_inherits() -> None:
    made = plan()
    key = nft.ip("10.0.0.1")
    made.put("second", fragment({1: "b"}))
    made.put("first", fragment({1: "a"}))
    assert made.elements("map") == {key: goto("a")}
    made.put("first", None)
    assert made.elements("map") == {key: goto("b")}
    made.put("second", None)
    assert made.elements("map") == {}


def test_a_shared_chain_is_made_once_and_stays() -> None:
    made = plan()
    part = Fragment(shared={"pick-1": ((verdict(nft.ACCEPT),),)})
    made.put("x", part)
    made.put("y", part)
    assert labels(made) == ["add chain pick-1", "add rule pick-1"]
    made.written()
    made.put("x", None)
    made.put("y", None)
    assert labels(made) == []


def test_rebuilding_replaces_everything_but_the_kept_sets() -> None:
    made = Plan("test")
    sticky = SetSpec(("ipv4_addr",), ("mark",), timeout_ms=1000, size=10)
    made.put("base", Fragment(sets={"map": MAP, "sticky": sticky}, chains={"a": ()}))
    made.put("x", fragment({1: "a"}))
    messages = [m.label for m in made.rebuild(["old", "a"], ["map", "sticky", "gone"], ["sticky"])]
    assert messages[0] == "add table test"
    assert "delete set sticky" not in messages and "add set sticky" not in messages
    assert {"delete set map", "delete set gone", "delete chain old", "add set map", "add chain a"} <= set(messages)
    assert messages[-1] == "add element map"


def test_elements_of_any_number_fit_into_messages_of_bounded_size() -> None:
    elements = [(nft.ip(f"10.{i >> 8}.{i & 255}.1"), b"") for i in range(5000)]
    messages = nft.add_elements("t", "s", SetSpec(("ipv4_addr",)), elements)
    assert len(messages) > 1
    assert all(len(m.payload) < 65535 for m in messages)


@given(
    st.lists(st.tuples(st.sampled_from("xyz"), st.dictionaries(st.integers(1, 4), st.sampled_from("ab"))), max_size=20)
)
def test_any_sequence_of_changes_ends_where_the_claims_say(steps: list[tuple[str, dict[int, str]]]) -> None:
    made = plan()
    kernel: dict[bytes, object] = {}
    claims: dict[str, dict[int, str]] = {}
    chance = random.Random(1)
    for owner, elements in steps:
        made.put(owner, fragment(elements) if elements else None)
        claims[owner] = elements
        if chance.random() < 0.5:
            made.transaction()
            made.written()
    made.transaction()
    made.written()
    kernel = dict(made.elements("map"))
    expected = {
        nft.ip(f"10.0.0.{last}"): goto(next(claims[o][last] for o in sorted(claims) if last in claims[o]))
        for last in {last for elements in claims.values() for last in elements}
    }
    assert kernel == expected
