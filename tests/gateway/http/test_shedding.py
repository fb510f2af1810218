"""Refusing new requests under load: by their number, and by the lag of the event loop."""

import asyncio
from random import Random
from typing import Any

import pytest

from gateway.http.endpoint import Answer, Exchange
from gateway.http.errors import Overloaded
from gateway.http.shedding import LagLimit, Shedding
from tests.gateway.http.support import GRAPHQL_RESPONSE, URL, client, endpoint
from tests.testkit.clock import ManualClock
from tests.testkit.waiting import until_true


def shedding(most: int | None = 2, lag_s: float | None = None, clock: ManualClock | None = None) -> Shedding:
    return Shedding(max_in_flight=most, max_lag_s=lag_s, clock=clock or ManualClock(), random=Random(1))


class Gate:
    """A handler that answers when it is told to."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.inside = 0

    async def __call__(self, _: Exchange) -> Answer:
        self.inside += 1
        await self.open.wait()
        return Answer(data={"hello": "world"})


async def test_past_the_limit_a_request_is_refused_with_503_before_anything_of_it_is_read() -> None:
    load, gate = shedding(2), Gate()
    async with client(endpoint(gate, shedding=load)) as http:
        tasks = [asyncio.create_task(http.post(URL, json={"query": "{ hello }"})) for _ in range(2)]
        await until_true(lambda: gate.inside == 2, "two requests")
        read = []

        async def unread() -> Any:
            read.append(True)
            yield b'{"query": "{ hello }"}'

        headers = {"content-type": "application/json", "accept": GRAPHQL_RESPONSE}
        refused = await http.post(URL, content=unread(), headers=headers)
        assert refused.status_code == 503
        assert not read
        assert refused.headers["content-type"].startswith(GRAPHQL_RESPONSE)
        [error] = refused.json()["errors"]
        assert error["message"] == "The gateway is overloaded; try again later."
        extensions = error["extensions"]
        assert (extensions["code"], extensions["category"]) == ("OVERLOADED", "rate_limit")
        assert refused.headers["retry-after"] == str(extensions["retryAfter"])
        assert extensions["retryAfter"] in (1, 2, 3)
        now = load.status()
        assert (now.in_flight, now.limit, now.shed) == (2, 2, 1)
        gate.open.set()
        assert [response.status_code for response in await asyncio.gather(*tasks)] == [200, 200]
        assert load.status().in_flight == 0
        assert (await http.post(URL, json={"query": "{ hello }"})).status_code == 200


async def test_of_many_that_come_in_the_same_turn_no_more_than_the_limit_are_let_in() -> None:
    gate = Gate()
    async with client(endpoint(gate, shedding=shedding(3))) as http:
        tasks = [asyncio.create_task(http.post(URL, json={"query": "{ hello }"})) for _ in range(10)]
        done: set[asyncio.Task[Any]] = set()
        while len(done) < 7:
            done |= (await asyncio.wait(set(tasks) - done, return_when=asyncio.FIRST_COMPLETED))[0]
        assert {task.result().status_code for task in done} == {503}
        assert gate.inside == 3
        gate.open.set()
        await asyncio.gather(*tasks)


async def test_a_client_that_sends_slowly_takes_nobodys_place() -> None:
    load = shedding(1)
    sending = asyncio.Event()

    async def slow_body() -> Any:
        yield b'{"query": '
        await sending.wait()
        yield b'"{ hello }"}'

    async with client(endpoint(shedding=load)) as http:
        slow = asyncio.create_task(http.post(URL, content=slow_body(), headers={"content-type": "application/json"}))
        await asyncio.sleep(0)
        assert (await http.post(URL, json={"query": "{ hello }"})).status_code == 200
        sending.set()
        assert (await slow).status_code == 200
        assert load.status().shed == 0


async def test_a_request_that_fails_or_is_cancelled_gives_its_place_back() -> None:
    async def failing(_: Exchange) -> Answer:
        raise ValueError("scripted")

    load = shedding(1)
    async with client(endpoint(failing, shedding=load)) as http:
        for _ in range(3):
            assert (await http.post(URL, json={"query": "{ hello }"})).status_code == 500
    gate = Gate()
    async with client(endpoint(gate, shedding=load)) as http:
        task = asyncio.create_task(http.post(URL, json={"query": "{ hello }"}))
        await until_true(lambda: gate.inside == 1, "a request")
        task.cancel()
        await asyncio.wait([task])
    assert load.status().in_flight == 0


def observed(limit: LagLimit, lag_s: float, *, seconds: float, since: float = 0.0, in_flight: int = 1000) -> float:
    """Look at a lag twenty times a second; the time afterwards."""
    for step in range(int(seconds * 20)):
        limit.observe(lag_s, in_flight, since + step / 20)
    return since + seconds


def test_a_lag_that_stays_lets_fewer_in_and_more_again_when_it_is_gone() -> None:
    limit = LagLimit(0.1, most=1000)
    now = observed(limit, 0.3, seconds=0.6)
    assert limit.limit == pytest.approx(333, abs=1), "a third, for a turn that takes three times too long"
    observed(limit, 0.01, seconds=2, since=now)
    assert limit.limit == 1000


def test_a_turn_that_takes_longer_than_the_interval_is_no_quiet_time() -> None:
    limit = LagLimit(0.1, most=1000)
    for second in (0, 2, 4):
        limit.observe(2.0, 500, second)
    assert limit.limit == 100


def test_a_lag_that_comes_and_goes_changes_nothing() -> None:
    limit = LagLimit(0.1, most=1000)
    for step in range(100):
        limit.observe(0.5 if step % 5 else 0.0, 1000, step / 20)
    assert limit.limit == 1000


def test_some_are_let_in_whatever_the_lag_is() -> None:
    limit = LagLimit(0.1)
    observed(limit, 9.0, seconds=60)
    assert limit.limit == 10
    few = LagLimit(0.1, most=3)
    observed(few, 9.0, seconds=60)
    assert few.limit == 3


def test_a_single_long_turn_changes_nothing() -> None:
    limit = LagLimit(0.1, most=1000)
    limit.observe(5.0, 500, 0.0)
    limit.observe(5.0, 500, 100.0)
    assert limit.limit == 1000


async def test_the_lag_is_what_a_turn_of_the_loop_takes() -> None:
    clock = ManualClock()
    load = shedding(1000, 0.1, clock)
    for _ in range(20):
        load.check()
        clock.jump(0.3)  # somebody else's callback keeps the loop
        await asyncio.sleep(0)
    now = load.status()
    assert now.lag_s == pytest.approx(0.3)
    assert now.limit == 10
    for _ in range(10):
        load.__enter__()
    with pytest.raises(Overloaded):
        load.check()


async def test_without_limits_nothing_is_refused_and_nothing_measured() -> None:
    load = shedding(None, None)
    for _ in range(5000):
        load.__enter__()
    now = load.status()
    assert (now.in_flight, now.limit, now.lag_s, now.shed) == (5000, None, 0.0, 0)
