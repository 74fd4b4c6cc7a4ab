"""Objects as bytes."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pynetes.machinery import wire

texts = st.text(max_size=10)
objects = st.fixed_dictionaries(
    {"metadata": st.dictionaries(texts | st.just("resourceVersion"), texts, max_size=4)},
    optional={"data": st.dictionaries(texts, texts, max_size=3)},
)


@given(objects, st.integers(1, 2**63))
def test_the_halves_around_a_revision_are_the_object_at_that_revision(obj: dict, revision: int) -> None:
    before = msgspec.json.encode(obj)
    head, tail = wire.split(obj)
    whole = wire.decode(head + str(revision).encode() + tail)
    assert whole["metadata"] == obj["metadata"] | {"resourceVersion": str(revision)}
    assert {k: v for k, v in whole.items() if k != "metadata"} == {k: v for k, v in obj.items() if k != "metadata"}
    assert msgspec.json.encode(obj) == before


def test_metadata_is_made_if_there_is_none() -> None:
    head, tail = wire.split({"a": 1})
    assert wire.decode(head + b"7" + tail) == {"a": 1, "metadata": {"resourceVersion": "7"}}


def test_encoding_is_canonical() -> None:
    assert wire.encode({"b": "<é>", "a": [1, None, True]}) == '{"b":"<é>","a":[1,null,true]}'.encode()
