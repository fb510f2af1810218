import asyncio
from collections.abc import AsyncIterator
from functools import partial

import pytest
from starlette.types import Message

from clients.clock import SystemClock
from clients.timeouts import Delays
from gateway.http import disconnect
from gateway.http.disconnect import ClientDisconnected
from tests.testkit.waiting import DEADLINE_S, until_true

until_disconnected = partial(disconnect.until_disconnected, patience=Delays(0, SystemClock()))


class Client:
    """What a server's `receive` tells: nothing, until the client sends or goes."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[Message] = asyncio.Queue()
        self.waiting = 0
        self.watched = 0

    async def receive(self) -> Message:
        self.waiting += 1
        self.watched += 1
        try:
            return await self.messages.get()
        finally:
            self.waiting -= 1

    def go(self) -> None:
        self.messages.put_nowait({"type": "http.disconnect"})


class Work:
    """Runs until it is released or cancelled."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.released = asyncio.Event()
        self.ended_by: BaseException | None = None

    async def run(self) -> str:
        self.began.set()
        try:
            await self.released.wait()
        except BaseException as error:
            self.ended_by = error
            raise
        return "done"


@pytest.fixture(autouse=True)
async def _leaves_no_task() -> AsyncIterator[None]:
    yield
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_work_that_ends_gives_its_result_and_receive_is_let_go() -> None:
    client, work = Client(), Work()
    work.released.set()
    assert await until_disconnected(work.run(), client.receive) == "done"
    assert client.waiting == 0


async def test_work_that_is_quick_is_not_watched() -> None:
    client = Client()
    assert (
        await disconnect.until_disconnected(asyncio.sleep(0, "done"), client.receive, Delays(60, SystemClock()))
        == "done"
    )
    assert client.watched == 0


async def test_work_runs_in_the_calling_task() -> None:
    async def task() -> asyncio.Task[object] | None:
        return asyncio.current_task()

    assert await until_disconnected(task(), Client().receive) is asyncio.current_task()


async def test_an_exception_of_the_work_passes_and_receive_is_let_go() -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("work failed")

    client = Client()
    with pytest.raises(ValueError, match="work failed"):
        await until_disconnected(fail(), client.receive)
    assert client.waiting == 0


async def test_a_disconnect_cancels_the_work_and_leaves_the_task_usable() -> None:
    client, work = Client(), Work()
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().call_soon(client.go)
    with pytest.raises(ClientDisconnected) as caught:
        await until_disconnected(work.run(), client.receive)
    assert isinstance(work.ended_by, asyncio.CancelledError)
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)
    assert task.cancelling() == 0
    await asyncio.sleep(0)  # raises if a cancellation were left over


async def test_a_client_that_has_gone_before_the_work_waits_is_noticed() -> None:
    client, work = Client(), Work()
    client.go()
    with pytest.raises(ClientDisconnected):
        await until_disconnected(work.run(), client.receive)


async def test_work_that_never_waits_is_done_though_the_client_has_gone() -> None:
    async def quick() -> str:
        return "done"

    client = Client()
    client.go()
    assert await until_disconnected(quick(), client.receive) == "done"


async def test_what_comes_before_the_disconnect_is_passed_over() -> None:
    client, work = Client(), Work()
    for _ in range(3):
        client.messages.put_nowait({"type": "http.request", "body": b"late", "more_body": True})
    client.go()
    with pytest.raises(ClientDisconnected):
        await until_disconnected(work.run(), client.receive)


async def test_work_that_swallows_its_cancellation_is_still_told_as_disconnected() -> None:
    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "kept on"
        raise AssertionError("unreachable")

    client = Client()
    client.go()
    with pytest.raises(ClientDisconnected):
        await until_disconnected(stubborn(), client.receive)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_work_that_fails_while_it_is_cancelled_is_told_as_disconnected_with_the_cause() -> None:
    async def untidy() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("while closing")

    client = Client()
    client.go()
    with pytest.raises(ClientDisconnected) as caught:
        await until_disconnected(untidy(), client.receive)
    assert isinstance(caught.value.__cause__, ValueError)


async def test_what_the_work_waits_for_while_it_is_cancelled_is_waited_for() -> None:
    closed = False

    async def tidy() -> None:
        nonlocal closed
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            closed = True

    client = Client()
    client.go()
    with pytest.raises(ClientDisconnected):
        await until_disconnected(tidy(), client.receive)
    assert closed


async def test_a_cancellation_from_outside_passes() -> None:
    client, work = Client(), Work()
    task = asyncio.create_task(until_disconnected(work.run(), client.receive))
    await work.began.wait()
    task.cancel("shutting down")
    with pytest.raises(asyncio.CancelledError, match="shutting down"):
        await task
    assert task.cancelled()
    assert isinstance(work.ended_by, asyncio.CancelledError)
    assert client.waiting == 0


@pytest.mark.parametrize("client_first", [True, False])
async def test_a_cancellation_from_outside_passes_though_the_client_goes_at_the_same_time(client_first: bool) -> None:
    client, work = Client(), Work()
    task = asyncio.create_task(until_disconnected(work.run(), client.receive))
    await work.began.wait()
    await until_true(lambda: client.waiting == 1, "the client to be watched")
    if client_first:
        client.go()
        await until_true(lambda: client.waiting == 0, "the disconnect to be seen")
        task.cancel()
    else:
        task.cancel()
        client.go()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert isinstance(work.ended_by, asyncio.CancelledError)


async def test_a_deadline_outside_is_told_as_a_timeout() -> None:
    client, work = Client(), Work()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await until_disconnected(work.run(), client.receive)
    assert client.waiting == 0


async def test_a_disconnect_inside_a_deadline_is_told_as_a_disconnect() -> None:
    client = Client()
    client.go()
    with pytest.raises(ClientDisconnected):
        async with asyncio.timeout(DEADLINE_S):
            await until_disconnected(Work().run(), client.receive)


async def test_a_task_that_is_being_cancelled_can_still_wait_for_work() -> None:
    async def cleanup(client: Client) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            with pytest.raises(ClientDisconnected):
                await until_disconnected(Work().run(), client.receive)
            return "cleaned up"
        raise AssertionError("unreachable")

    client = Client()
    task = asyncio.create_task(cleanup(client))
    await asyncio.sleep(0)
    task.cancel()
    client.go()
    assert await task == "cleaned up"
    assert task.cancelling() == 1


async def test_a_receive_that_fails_does_not_stop_the_work() -> None:
    work = Work()

    async def broken() -> Message:
        work.released.set()
        raise RuntimeError("the server is confused")

    assert await until_disconnected(work.run(), broken) == "done"
