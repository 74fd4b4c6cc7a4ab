"""Continue tokens, field managers, flow control seats: the small values of a request."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pynetes.apiserver import parameters
from pynetes.apiserver.flowcontrol import FlowControl, Seats
from pynetes.apiserver.parameters import Continuation, continuation
from pynetes.apiserver.request import Request, RequestInfo, UserInfo
from pynetes.machinery.errors import StatusError


@given(st.integers(min_value=0, max_value=2**62), st.text(min_size=1).filter(lambda text: "\0" not in text))
def test_a_continue_token_says_what_was_put_in(revision: int, key: str) -> None:
    assert continuation(Continuation(revision, key).encode()) == Continuation(revision, key)


@given(st.text())
def test_any_other_text_is_refused_with_400(text: str) -> None:
    try:
        continuation(text)
    except StatusError as error:
        assert error.code == 400 and error.message.startswith("continue key is not valid")


def test_the_token_has_upstreams_form() -> None:
    # {"v":"meta.k8s.io/v1","rv":7,"start":"ns/a\u0000"}
    token = "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6Nywic3RhcnQiOiJucy9hXHUwMDAwIn0"
    assert continuation(token) == Continuation(7, "ns/a")


@pytest.mark.parametrize(
    ("agent", "manager"),
    [("kubectl/v1.32.4 (linux/amd64)", "kubectl"), ("", "unknown"), ("a\x01b/1", "ab"), ("x" * 200, "x" * 128)],
)
def test_the_default_field_manager_is_the_user_agent(agent: str, manager: str) -> None:
    assert parameters.prefix_of_agent(agent) == manager


@pytest.mark.parametrize(("query", "seconds"), [("", 60), ("timeout=5s", 5), ("timeout=10m", 60), ("timeout=0s", 60)])
def test_a_request_may_only_shorten_its_time(query: str, seconds: float) -> None:
    assert parameters.timeout(Request("GET", "/", raw_query=query), 60) == seconds


def test_a_timeout_that_is_none_is_400() -> None:
    with pytest.raises(StatusError, match="invalid timeout specified in the request URL"):
        parameters.timeout(Request("GET", "/", raw_query="timeout=soon"), 60)


async def test_seats_are_given_in_turn() -> None:
    seats = Seats(1)
    await seats.take()
    order: list[str] = []

    async def sit(name: str) -> None:
        await seats.take()
        order.append(name)
        seats.leave()

    waiting = [asyncio.create_task(sit(name)) for name in ("first", "second")]
    await asyncio.sleep(0)
    seats.leave()
    await asyncio.gather(*waiting)
    assert (order, seats.taken) == (["first", "second"], 0)


async def test_a_line_that_is_too_long_is_429() -> None:
    seats = Seats(1)
    await seats.take()
    waiting = [asyncio.create_task(seats.take()) for _ in range(8)]
    await asyncio.sleep(0)
    with pytest.raises(StatusError) as caught:
        await seats.take()
    assert (caught.value.code, caught.value.retry_after) == (429, 1)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    seats.leave()
    assert seats.taken == 0, "who stopped waiting holds no seat"


def test_administrators_and_plain_paths_need_no_seat() -> None:
    flow = FlowControl(1, 1)
    info = RequestInfo(True, "create", resource="pods")
    assert flow.seats(UserInfo("a", groups=("system:masters",)), info) is None
    assert flow.seats(UserInfo("a"), RequestInfo(False, "get", path="/healthz")) is None
    assert flow.seats(UserInfo("a"), info) is flow.mutating
    assert flow.seats(UserInfo("a"), RequestInfo(True, "list", resource="pods")) is flow.reading
