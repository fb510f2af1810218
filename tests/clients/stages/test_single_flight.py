"""One call upstream for many that ask the same at once."""

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import pytest

from clients.errors import DeadlineExceeded, ServerFailed
from tests.clients.support import CALLER, GRAPHQL_ONLY, TOUCH, WIRES, ask, ask_one, customer, rig
from tests.testkit.clock import ManualClock
from tests.testkit.upstream import hang, sequence, status

CALL = ask_one(declared=GRAPHQL_ONLY)


@pytest.mark.parametrize("wire", WIRES)
async def test_a_thousand_concurrent_misses_are_one_call(wire: str) -> None:
    async with rig(wire) as made:
        hanging = hang()
        made.script.graphql.behave(hanging)
        tasks = [made.start(ask(1, 2, caller=replace(CALLER, request_id=str(n)))) for n in range(1000)]
        await made.script.graphql.wait_for_calls(1)
        hanging.release()
        answers = await asyncio.gather(*tasks)
        assert all(answer.value == [customer(1), customer(2)] for answer in answers)
        assert made.calls == (1, 0)


async def test_later_calls_and_other_calls_fly_alone() -> None:
    async with rig() as made:
        await made.execute(ask(1))
        await made.execute(ask(1))
        await asyncio.gather(
            made.execute(ask(1)),
            made.execute(ask(2)),
            made.execute(ask(1, caller=replace(CALLER, tenant="other"))),
        )
        assert made.calls == (5, 0)


async def test_the_first_callers_cancellation_does_not_touch_the_others() -> None:
    async with rig("httpx") as made:
        hanging = hang()
        made.script.graphql.behave(hanging)
        leader = made.start(CALL)
        await made.script.graphql.wait_for_calls(1)
        followers = [made.start(CALL) for _ in range(10)]
        await made.clock.settle()
        leader.cancel()
        await asyncio.wait([leader])
        assert leader.cancelled()
        hanging.release()
        assert {(await follower).value for follower in followers} == {customer(1)}
        assert made.calls == (1, 0)
        assert not made.script.graphql.calls[0].hung_up


async def test_when_the_last_caller_goes_the_call_is_cut_and_nothing_is_left() -> None:
    async with rig("httpx") as made:
        before = asyncio.all_tasks()
        made.script.graphql.behave(hang())
        tasks = [made.start(CALL) for _ in range(5)]
        await made.script.graphql.wait_for_calls(1)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await made.script.graphql.calls[0].wait_for_hang_up()
        await made.script.graphql.wait_until_idle()
        await made.script.wait_for_connections(0)
        await made.clock.settle()
        assert asyncio.all_tasks() <= before
        made.script.graphql.heal()
        assert (await made.execute(CALL)).value == customer(1)


async def test_a_new_caller_after_all_have_gone_begins_a_new_call() -> None:
    async with rig("httpx") as made:
        made.script.graphql.behave(sequence(hang()))
        gone = made.start(CALL)
        await made.script.graphql.wait_for_calls(1)
        gone.cancel()
        await asyncio.wait([gone])
        assert (await made.execute(CALL)).value == customer(1)
        assert made.calls == (2, 0)


async def test_an_error_is_shared_like_an_answer() -> None:
    async with rig() as made:
        hanging = hang()

        async def fail(exchange: object) -> object:
            await hanging(exchange)  # type: ignore[arg-type]
            return await status(500)(exchange)  # type: ignore[arg-type]

        made.script.graphql.behave(fail)  # type: ignore[arg-type]
        tasks = [made.start(CALL) for _ in range(20)]
        await made.script.graphql.wait_for_calls(1)
        hanging.release()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(outcome, ServerFailed) for outcome in outcomes)
        assert made.calls == (1, 0)


async def test_a_caller_whose_time_is_up_goes_and_the_others_are_answered() -> None:
    async with rig("httpx") as made:
        hanging = hang()
        made.script.graphql.behave(hanging)
        patient = made.start(CALL)
        await made.script.graphql.wait_for_calls(1)
        hurried = made.start(replace(CALL, caller=replace(CALLER, deadline=made.clock.now() + 1)))
        await made.clock.advance(1)
        with pytest.raises(DeadlineExceeded):
            await hurried
        hanging.release()
        assert (await patient).value == customer(1)
        assert made.calls == (1, 0)


async def test_one_with_more_time_than_the_flight_begins_another() -> None:
    async with rig("httpx") as made:
        made.script.graphql.behave(sequence(hang()))
        hurried = made.start(replace(CALL, caller=replace(CALLER, deadline=made.clock.now() + 1)))
        await made.script.graphql.wait_for_calls(1)
        patient = [made.start(CALL) for _ in range(10)]
        await made.clock.advance(1)
        with pytest.raises(DeadlineExceeded):
            await hurried
        assert {(await task).value for task in patient} == {customer(1)}
        assert made.calls == (2, 0), "one new flight for all ten"


class EarlyClock(ManualClock):
    """Timeouts fire a little before their time, as those of a loop with coarse timers do."""

    def timeout(self, delay_s: float) -> AbstractAsyncContextManager[asyncio.Timeout]:
        return super().timeout(max(0.0, delay_s - 0.001))


async def test_callers_with_the_flights_own_deadline_begin_no_other_when_its_time_is_up() -> None:
    async with rig("httpx", clock=EarlyClock()) as made:
        made.script.graphql.behave(hang())
        call = replace(CALL, caller=replace(CALLER, deadline=made.clock.now() + 1))
        tasks = [made.start(call) for _ in range(10)]
        await made.script.graphql.wait_for_calls(1)
        await made.clock.advance(0.9995)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(outcome, DeadlineExceeded) for outcome in outcomes)
        await made.script.graphql.wait_until_idle()
        assert made.calls == (1, 0)


async def test_mutations_never_share() -> None:
    async with rig() as made:
        await asyncio.gather(*(made.execute(ask_one(declared=TOUCH)) for _ in range(3)))
        assert made.calls == (3, 0)


async def test_closing_with_calls_in_flight_leaves_nothing() -> None:
    async with rig("httpx") as made:
        before = asyncio.all_tasks()
        made.script.graphql.behave(hang())
        tasks = [made.start(ask_one(n, declared=GRAPHQL_ONLY)) for n in (1, 1, 2)]
        await made.script.graphql.wait_for_calls(2)
        await made.upstream.__aexit__(None, None, None)
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)
        await made.script.wait_for_connections(0)
        await made.clock.settle()
        assert asyncio.all_tasks() <= before
