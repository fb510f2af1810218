"""One call upstream for many that ask the same at once."""

import asyncio
from contextlib import AbstractAsyncContextManager
from random import Random

import pytest
from msgspec.structs import replace

from clients.call import Answer, Call, Served, ServedBy
from clients.errors import DeadlineExceeded, ServerFailed
from clients.policy import ServicePolicy
from clients.service import Service
from clients.stages.cache_key import CacheKeys
from clients.stages.single_flight import SingleFlight
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


async def test_the_first_callers_cancellation_costs_one_more_call_and_nobody_their_answer() -> None:
    async with rig("httpx") as made:
        hanging = hang()
        made.script.graphql.behave(sequence(hang(), hanging))
        leader = made.start(CALL)
        await made.script.graphql.wait_for_calls(1)
        followers = [made.start(CALL) for _ in range(10)]
        await made.clock.settle()
        leader.cancel()
        await asyncio.wait([leader])
        assert leader.cancelled()
        await made.script.graphql.wait_for_calls(2)
        late = made.start(CALL)
        await made.clock.settle()
        for gone in followers[:5]:  # the call is nobody's own now: no further hang-up costs another
            gone.cancel()
        await asyncio.wait(followers[:5])
        hanging.release()
        assert {(await follower).value for follower in (*followers[5:], late)} == {customer(1)}
        assert made.calls == (2, 0)
        assert not made.script.graphql.calls[1].hung_up


async def test_when_all_hang_up_one_after_the_other_nothing_runs_on() -> None:
    async with rig("httpx") as made:
        made.script.graphql.behave(hang())
        tasks = [made.start(CALL) for _ in range(3)]
        await made.script.graphql.wait_for_calls(1)
        tasks[0].cancel()
        await asyncio.wait(tasks[:1])
        await made.script.graphql.wait_for_calls(2)
        for task in tasks[1:]:
            task.cancel()
        await asyncio.wait(tasks)
        await made.script.graphql.calls[1].wait_for_hang_up()
        await made.script.graphql.wait_until_idle()
        assert made.calls == (2, 0)


async def test_one_who_is_cancelled_as_the_call_passes_on_is_not_waited_for() -> None:
    async with rig("httpx") as made:
        made.script.graphql.behave(hang())
        leader, follower = made.start(CALL), made.start(CALL)
        await made.script.graphql.wait_for_calls(1)
        leader.cancel()
        asyncio.get_running_loop().call_soon(follower.cancel)  # in the turn in which it is told of the new call
        await asyncio.wait([leader, follower])
        assert follower.cancelled()
        await made.script.graphql.wait_until_idle()


async def test_a_short_deadline_holds_when_the_call_passes_to_one_with_more_time() -> None:
    async with rig("httpx") as made:
        made.script.graphql.behave(hang())
        hurried, patient = (replace(CALL, caller=replace(CALLER, deadline=made.clock.now() + s)) for s in (1, 3))
        leader = made.start(hurried)
        await made.script.graphql.wait_for_calls(1)
        tasks = [made.start(hurried), made.start(patient)]
        await made.clock.settle()
        leader.cancel()
        await made.script.graphql.wait_for_calls(2)
        await made.clock.advance(1)
        with pytest.raises(DeadlineExceeded):
            await tasks[0]
        assert not tasks[1].done()
        await made.clock.advance(2)
        with pytest.raises(DeadlineExceeded):
            await tasks[1]
        assert made.calls == (2, 0)


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


async def test_closing_with_others_waiting_passes_no_call_on() -> None:
    async with rig("httpx") as made:
        made.script.graphql.behave(hang())
        tasks = [made.start(CALL) for _ in range(3)]
        await made.script.graphql.wait_for_calls(1)
        await made.clock.settle()
        await made.upstream.__aexit__(None, None, None)
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)
        assert made.calls == (1, 0)


class Counting:
    """Stands for the rest of the pipeline: takes its time, and counts."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.running = self.most = self.made = self.cancelled = 0

    async def __call__(self, call: Call) -> Answer:
        self.made += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            for _ in range(self.random.randint(0, 6)):
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        if self.random.random() < 0.2:
            raise ServerFailed("crm", "failed", transient=False)
        return Answer("answer", Served(ServedBy.GRAPHQL))


@pytest.mark.parametrize("seed", range(40))
async def test_whoever_is_cancelled_the_rest_is_answered_and_no_more_is_called_than_must_be(seed: int) -> None:
    random = Random(seed)
    service = Service("crm", ServicePolicy(), graphql="http://127.0.0.1/graphql")
    flights, inner = SingleFlight("crm", CacheKeys(service), ManualClock()), Counting(random)
    callers: list[asyncio.Task[Answer]] = []
    hung_up = 0
    for _ in range(60):
        callers += [asyncio.ensure_future(flights(CALL, inner)) for _ in range(random.randint(0, 3))]
        waiting = [task for task in callers if not task.done()]
        if waiting and random.random() < 0.5:
            hung_up += random.choice(waiting).cancel()
        await asyncio.sleep(0)
    outcomes = await asyncio.gather(*callers, return_exceptions=True)
    await asyncio.sleep(0)
    answered = [o for o in outcomes if not isinstance(o, asyncio.CancelledError)]
    assert all(isinstance(o, Answer | ServerFailed) for o in answered)
    assert len(outcomes) - len(answered) <= hung_up, "none is cancelled but by itself"
    assert inner.running == 0
    assert inner.cancelled <= hung_up
    assert not flights._flights
    assert not flights._tasks
    assert inner.most <= 2, "one more only while a cancelled one is on its way out"
