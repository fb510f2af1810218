import asyncio
from datetime import timedelta

import pytest

from clients.clock import Clock
from tests.testkit.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def test_it_is_a_clock(clock: ManualClock) -> None:
    as_clock: Clock = clock
    assert as_clock.now() == 1000.0


async def test_time_stands_still_until_it_is_moved(clock: ManualClock) -> None:
    before = clock.now(), clock.wall()
    await asyncio.sleep(0)
    assert (clock.now(), clock.wall()) == before
    await clock.advance(1.5)
    assert clock.now() == before[0] + 1.5
    assert clock.wall() == before[1] + timedelta(seconds=1.5)


async def test_sleepers_wake_in_order_each_at_its_own_time(clock: ManualClock) -> None:
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, delay_s: float) -> None:
        await clock.sleep(delay_s)
        woken.append((name, clock.now()))

    async with asyncio.TaskGroup() as group:
        for name, delay_s in [("c", 3.0), ("a", 1.0), ("a2", 1.0), ("b", 2.0)]:
            group.create_task(sleeper(name, delay_s))
        await clock.settle()
        assert clock.sleepers == (1.0, 1.0, 2.0, 3.0)
        await clock.advance(2.5)
        assert woken == [("a", 1001.0), ("a2", 1001.0), ("b", 1002.0)]
        await clock.advance(0.5)
    assert woken[-1] == ("c", 1003.0)


async def test_advance_goes_through_sleeps_that_follow_one_another(clock: ManualClock) -> None:
    async def twice() -> float:
        await clock.sleep(2)
        await clock.sleep(3)
        return clock.now()

    task = asyncio.create_task(twice())
    await clock.advance(5)
    assert task.done()
    assert await task == 1005.0


async def test_jump_lets_nothing_run_in_between(clock: ManualClock) -> None:
    async def twice() -> None:
        await clock.sleep(2)
        await clock.sleep(3)

    task = asyncio.create_task(twice())
    await clock.settle()
    clock.jump(5)
    await clock.settle()
    assert not task.done()
    assert clock.sleepers == (3.0,)
    await clock.advance(3)
    await task


async def test_a_sleep_of_zero_takes_one_turn(clock: ManualClock) -> None:
    await clock.sleep(0)
    await clock.sleep(-1)
    assert clock.sleepers == ()


async def test_a_cancelled_sleeper_is_forgotten(clock: ManualClock) -> None:
    task = asyncio.create_task(clock.sleep(10))
    await clock.settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert clock.sleepers == ()


async def test_a_timeout_fires_at_its_time_and_not_before(clock: ManualClock) -> None:
    async def limited() -> str:
        try:
            async with clock.timeout(2):
                await asyncio.Event().wait()
        except TimeoutError:
            return f"timed out at {clock.now()}"
        return "unreachable"

    task = asyncio.create_task(limited())
    await clock.advance(1.999)
    assert not task.done()
    assert len(clock.timeouts) == 1
    await clock.advance(0.5)
    assert await task == "timed out at 1002.0"
    assert not clock.timeouts


async def test_a_timeout_left_in_time_does_nothing(clock: ManualClock) -> None:
    async with clock.timeout(2):
        await asyncio.sleep(0)
    assert clock.timeouts == ()
    await clock.advance(3)


async def test_a_timeout_of_zero_fires_at_the_first_wait(clock: ManualClock) -> None:
    with pytest.raises(TimeoutError):
        async with clock.timeout(0):
            await asyncio.Event().wait()


async def test_of_nested_timeouts_the_nearer_one_fires(clock: ManualClock) -> None:
    fired: list[str] = []

    async def limited() -> None:
        async with clock.timeout(5):
            try:
                async with clock.timeout(1):
                    await asyncio.Event().wait()
            except TimeoutError:
                fired.append("inner")
            await clock.sleep(1)
            fired.append("went on")

    task = asyncio.create_task(limited())
    await clock.advance(10)
    await task
    assert fired == ["inner", "went on"]


async def test_cancellation_from_outside_stays_cancellation(clock: ManualClock) -> None:
    async def limited() -> None:
        async with clock.timeout(5):
            await asyncio.Event().wait()

    task = asyncio.create_task(limited())
    await clock.settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_errors_pass_through_a_timeout(clock: ManualClock) -> None:
    with pytest.raises(KeyError):
        async with clock.timeout(5):
            raise KeyError("x")


async def test_the_wall_clock_can_be_set_without_monotonic_time_noticing(clock: ManualClock) -> None:
    before = clock.wall()
    task = asyncio.create_task(clock.sleep(1))
    await clock.settle()
    clock.shift_wall(timedelta(hours=-1))
    assert clock.wall() == before - timedelta(hours=1)
    assert not task.done()
    assert clock.now() == 1000.0
    await clock.advance(1)
    await task


async def test_waiting_for_sleepers_returns_when_they_sleep(clock: ManualClock) -> None:
    start = asyncio.Event()

    async def later() -> None:
        await start.wait()
        async with clock.timeout(9):
            await clock.sleep(1)

    task = asyncio.create_task(later())
    asyncio.get_running_loop().call_later(0.01, start.set)
    await clock.wait_for_sleepers(1)
    await clock.wait_for_timeouts(1)
    await clock.advance(1)
    await task


async def test_waiting_for_sleepers_ends_with_its_deadline(clock: ManualClock) -> None:
    with pytest.raises(TimeoutError, match="1 sleepers; there are 0"):
        await clock.wait_for_sleepers(1, deadline_s=0.01)


async def test_settle_follows_long_chains_of_tasks(clock: ManualClock) -> None:
    async def chain(depth: int) -> int:
        return depth if depth == 0 else await asyncio.create_task(chain(depth - 1))

    task = asyncio.create_task(chain(300))
    await clock.settle()
    assert task.done()


async def test_settle_gives_up_on_a_loop_that_never_rests(clock: ManualClock) -> None:
    resting = False

    def again() -> None:
        if not resting:
            asyncio.get_running_loop().call_soon(again)

    again()
    with pytest.raises(RuntimeError, match="still busy"):
        await clock.settle()
    resting = True


async def test_time_does_not_go_back(clock: ManualClock) -> None:
    with pytest.raises(ValueError, match="back"):
        await clock.advance(-1)
    with pytest.raises(ValueError, match="back"):
        clock.jump(-1)
