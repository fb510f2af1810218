import asyncio

import pytest

from clients.timeouts import Delays, Timeouts
from tests.testkit.clock import ManualClock


async def test_callbacks_come_in_order_each_in_its_time_with_one_timer() -> None:
    clock, called = ManualClock(now=0), []
    delays = Delays(5, clock)
    for number in (1, 2, 3):
        delays.start(lambda number=number: called.append((number, clock.now())))  # type: ignore[misc]
        assert len(clock.timeouts) == 1
        await clock.advance(2)
    await clock.advance(60)
    assert called == [(1, 5), (2, 7), (3, 9)]
    assert clock.timeouts == ()


async def test_what_was_taken_back_does_not_come_and_is_not_kept() -> None:
    clock, called = ManualClock(now=0), []
    delays = Delays(5, clock)
    for _ in range(100):
        delays.start(lambda: called.append(1)).cancel()
    assert len(delays._waiting) == 1
    await clock.advance(60)
    assert called == []


async def test_a_callback_may_ask_for_another() -> None:
    clock, called = ManualClock(now=0), []
    delays = Delays(5, clock)

    def again() -> None:
        called.append(clock.now())
        if len(called) < 3:
            delays.start(again)

    delays.start(again)
    await clock.advance(60)
    assert called == [5, 10, 15]


async def test_a_block_that_runs_too_long_times_out() -> None:
    clock = ManualClock()
    timeouts = Timeouts(5, clock)

    async def run() -> None:
        with timeouts.block():
            await asyncio.Event().wait()

    task = asyncio.create_task(run())
    await clock.advance(5)
    with pytest.raises(TimeoutError):
        await task


async def test_a_block_that_ends_in_time_leaves_the_task_alone() -> None:
    clock = ManualClock()
    with Timeouts(5, clock).block():
        await asyncio.sleep(0)
    await clock.advance(60)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_somebody_elses_cancellation_passes() -> None:
    clock = ManualClock()
    timeouts = Timeouts(5, clock)

    async def run() -> None:
        with timeouts.block():
            await asyncio.Event().wait()

    task = asyncio.create_task(run())
    await clock.settle()
    clock.jump(5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_that_the_timeout_caused_is_told_as_it_is() -> None:
    clock = ManualClock()
    timeouts = Timeouts(5, clock)

    async def run() -> None:
        with timeouts.block():
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise ValueError("while closing") from None

    task = asyncio.create_task(run())
    await clock.advance(5)
    with pytest.raises(ValueError, match="while closing"):
        await task
    assert task.cancelling() == 0
