"""One timer for all attempts of a service: each still ends in its own time, and nobody else's cancellation is taken."""

import asyncio

import pytest
from msgspec.structs import replace

from clients.call import ProtocolName
from clients.errors import AttemptTimeout, DeadlineExceeded
from clients.policy import BreakerPolicy
from tests.clients.support import CALLER, GRAPHQL_ONLY, ask_one, rig
from tests.testkit.upstream import hang

GRAPHQL = ProtocolName.GRAPHQL


async def test_each_attempt_ends_in_its_own_time() -> None:
    async with rig("httpx", timeout_s=5.0) as made:
        made.script.graphql.behave(hang())
        ended: list[tuple[int, float]] = []

        async def run(number: int) -> None:
            with pytest.raises(AttemptTimeout, match="no answer within 5 s"):
                await made.execute(ask_one(number, declared=GRAPHQL_ONLY))
            ended.append((number, made.clock.now() - 1000))

        async with asyncio.TaskGroup() as tasks:
            for number in (1, 2, 3):
                tasks.create_task(run(number))
                await made.script.graphql.wait_for_calls(number)
                await made.clock.advance(2)
            await made.clock.advance(10)
        assert ended == [(1, 5.0), (2, 7.0), (3, 9.0)]


async def test_an_attempt_that_is_over_is_passed_over() -> None:
    async with rig("httpx", timeout_s=5.0) as made:
        await made.execute(ask_one(1, declared=GRAPHQL_ONLY))
        await made.clock.advance(4)
        made.script.graphql.behave(hang())
        task = made.start(ask_one(2, declared=GRAPHQL_ONLY))
        await made.script.graphql.wait_for_calls(2)
        await made.clock.advance(4.5)
        assert not task.done()
        await made.clock.advance(0.5)
        assert isinstance(task.exception(), AttemptTimeout)


async def test_a_caller_who_leaves_as_the_time_is_up_is_cancelled() -> None:
    async with rig("httpx", timeout_s=5.0, breaker=BreakerPolicy(failures=1)) as made:
        made.script.graphql.behave(hang())
        task = made.start(ask_one(1, declared=GRAPHQL_ONLY))
        await made.script.graphql.wait_for_calls(1)
        made.clock.jump(5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert made.circuit(GRAPHQL).consecutive_failures == 0


async def test_a_deadline_that_is_nearer_ends_the_attempt_first() -> None:
    async with rig("httpx", timeout_s=5.0) as made:
        made.script.graphql.behave(hang())
        hurried = replace(CALLER, deadline=made.clock.now() + 2)
        tasks = [made.start(ask_one(n, declared=GRAPHQL_ONLY, caller=c)) for n, c in ((1, CALLER), (2, hurried))]
        await made.script.graphql.wait_for_calls(2)
        await made.clock.advance(5)
        assert isinstance(tasks[0].exception(), AttemptTimeout)
        assert isinstance(tasks[1].exception(), DeadlineExceeded)
