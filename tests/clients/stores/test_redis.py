"""Redis well and ill, over real sockets. Bounds are generous; the circuit and the counters say what happened."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any

import msgspec
import pytest

from clients.clock import SystemClock
from clients.state.circuit import State
from clients.stores.base import Entry
from clients.stores.redis_store import RedisStore
from tests.clients.stores.support import ManualClock, entry
from tests.testkit.raw_server import Connection, Handler, raw_server
from tests.testkit.redis import RedisServer, redis_server

PATIENCE_S = 10.0


@asynccontextmanager
async def opened(url: str, clock: Any = None, *, timeout_s: float = 5.0, **options: Any) -> AsyncIterator[RedisStore]:
    store = RedisStore(url, clock or ManualClock(), Random(1), timeout_s=timeout_s, **options)
    async with asyncio.timeout(3 * PATIENCE_S), store:
        yield store


async def until(condition: Callable[[], bool]) -> None:
    """Turn the loop until `condition` holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - counters have no event to wait for
            await asyncio.sleep(0)


def values(entries: list[Entry | None]) -> list[Any]:
    return [e.value if e else None for e in entries]


async def test_what_one_process_wrote_another_reads(redis: RedisServer) -> None:
    async with opened(redis.url) as writer, opened(redis.url, ManualClock(5.0)) as reader:
        await writer.put_many({b"1": entry({"a": 1}), b"2": entry({"b": 2})})
        await until(lambda: writer.figures.written == 2)
        found = await reader.get_many([b"2", b"?", b"1"], dict[str, int])
    assert values(found) == [{"b": 2}, None, {"a": 1}]
    assert (reader.figures.hits, reader.figures.misses, reader.figures.corrupt) == (2, 1, 0)
    first = found[0]
    assert first is not None
    assert 5.0 - PATIENCE_S < first.produced_at <= 5.0
    assert first.fresh_until - first.produced_at == pytest.approx(60)
    assert first.stale_until - first.produced_at == pytest.approx(660)


async def test_ages_are_what_is_left_to_live_and_no_clock_on_the_wall(redis: RedisServer) -> None:
    clock = ManualClock()
    async with opened(redis.url, clock) as store:
        old = entry("v", now=clock.now(), max_age_s=60, stale_s=600)
        clock.advance(100)  # it was not fresh any more when it was written
        clock.wall_time = clock.wall_time.replace(year=2001)
        await store.put_many({b"k": old})
        await until(lambda: store.figures.written == 1)
        [found] = await store.get_many([b"k"], str)
    assert found is not None
    assert found.produced_at == pytest.approx(old.produced_at, abs=PATIENCE_S)
    assert found.fresh_until < clock.now() < found.stale_until


async def test_redis_forgets_an_entry_when_it_is_of_no_more_use(redis: RedisServer) -> None:
    async with opened(redis.url) as store:
        await store.put_many({b"k": entry("v", max_age_s=60, stale_s=40)})
        await until(lambda: store.figures.written == 1)
    left_ms = int(redis.command("PTTL", b"breakwater:2:k")[1:-2])
    assert 100_000 - 1000 * PATIENCE_S < left_ms <= 100_000


async def test_an_entry_of_no_more_use_is_not_written(redis: RedisServer) -> None:
    clock = ManualClock()
    async with opened(redis.url, clock) as store:
        await store.put_many({b"old": entry("v", now=clock.now() - 1000), b"new": entry("v")})
        await until(lambda: store.figures.written == 1)
        assert values(await store.get_many([b"old", b"new"], str)) == [None, "v"]
    assert store.figures.dropped == 0


async def test_a_deleted_entry_is_gone(redis: RedisServer) -> None:
    async with opened(redis.url) as store:
        await store.put_many({b"k": entry("v")})
        await store.delete_many([b"k"])
        await until(lambda: store.figures.written == 1)  # the later of the two is what is written
        assert await store.get_many([b"k"], str) == [None]
    assert redis.command("DBSIZE") == b":0\r\n"


async def test_closing_writes_what_is_queued(redis: RedisServer) -> None:
    async with opened(redis.url) as store:
        await store.put_many({b"%d" % n: entry(n) for n in range(1000)})
    assert store.figures.written == 1000
    assert redis.command("DBSIZE") == b":1000\r\n"


async def test_the_oldest_writes_go_when_too_many_wait(redis: RedisServer) -> None:
    async with opened(redis.url, max_queued=10) as store:
        await store.put_many({b"%d" % n: entry(n) for n in range(50)})
        await until(lambda: store.figures.written == 10)
        assert values(await store.get_many([b"39", b"40", b"49"], int)) == [None, 40, 49]
    assert store.figures.dropped == 40


async def test_a_value_that_has_no_bytes_is_lost_and_the_others_are_kept(redis: RedisServer) -> None:
    async with opened(redis.url) as store:
        await store.put_many({b"odd": entry(object()), b"k": entry("v")})
        await until(lambda: store.figures.written == 1)
        assert values(await store.get_many([b"odd", b"k"], str)) == [None, "v"]
    assert store.figures.rejected == 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"garbage",
        b"\x02",
        b"\x02garbage",
        b"\x01" + msgspec.msgpack.encode([60.0, 60.0, 600.0, "v"]),
        b"\x02" + msgspec.msgpack.encode([60.0, 60.0, 600.0, 17]),
        b"\x80\x04\x95",
    ],
)
async def test_a_corrupt_entry_is_a_miss(redis: RedisServer, data: bytes) -> None:
    redis.command("SET", b"breakwater:2:k", data, "PX", "60000")
    async with opened(redis.url) as store:
        assert await store.get_many([b"k"], str) == [None]
        assert (store.figures.corrupt, store.figures.misses, store.figures.errors) == (1, 1, 0)
        assert store.status().state is State.CLOSED


async def test_a_value_without_time_to_live_was_not_written_by_a_store(redis: RedisServer) -> None:
    redis.command("SET", b"breakwater:2:k", b"\x02" + msgspec.msgpack.encode([60.0, 60.0, 600.0, "v"]))
    async with opened(redis.url) as store:
        assert await store.get_many([b"k"], str) == [None]
        assert store.figures.corrupt == 1


async def test_a_key_of_another_type_is_a_miss(redis: RedisServer) -> None:
    redis.command("LPUSH", b"breakwater:2:k", "x")
    async with opened(redis.url) as store:
        await store.put_many({b"other": entry("v")})
        await until(lambda: store.figures.written == 1)
        assert values(await store.get_many([b"k", b"other"], str)) == [None, "v"]
        assert store.status().state is State.CLOSED


async def test_a_read_only_redis_is_read(redis: RedisServer) -> None:
    async with opened(redis.url) as store:
        await store.put_many({b"k": entry("v")})
        await until(lambda: store.figures.written == 1)
        redis.command("REPLICAOF", "127.0.0.1", "1")
        for number in range(5):
            await store.put_many({b"%d" % number: entry("new")})
            await until(lambda number=number: store.figures.rejected == number + 1)  # type: ignore[misc]
        assert values(await store.get_many([b"k"], str)) == ["v"]
        assert store.status().state is State.CLOSED


async def test_a_full_redis_is_read() -> None:
    with redis_server("--maxmemory", "2mb", "--maxmemory-policy", "noeviction") as full:
        async with opened(full.url) as store:
            await store.put_many({b"k": entry("v")})
            await until(lambda: store.figures.written == 1)
            await store.put_many({b"%d" % n: entry("x" * 50_000) for n in range(100)})
            await until(lambda: store.figures.written + store.figures.rejected == 101)
            assert store.figures.rejected > 0
            assert values(await store.get_many([b"k"], str)) == ["v"]
            assert store.status().state is State.CLOSED


async def silent(connection: Connection) -> None:
    await connection.until_closed()


def saying(data: bytes) -> Handler:
    async def handle(connection: Connection) -> None:
        while await connection.reader.read(65536):
            await connection.send(data)

    return handle


async def hanging_up(connection: Connection) -> None:
    await connection.reader.read(1)


ILL: dict[str, Handler] = {
    "silent": silent,
    "hangs up": hanging_up,
    "HTTP": saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "nonsense": saying(b"\x00\xff" * 100 + b"\r\n"),
    "bad length": saying(b"*x\r\n$y\r\n"),
    "negative": saying(b"*-7\r\n$-9\r\n"),
    "refuses everything": saying(b"-NOAUTH Authentication required.\r\n" * 4),
    "loading": saying(b"-LOADING Redis is loading the dataset in memory\r\n" * 4),
}


@pytest.mark.parametrize("illness", ILL)
async def test_an_ill_redis_is_a_miss_until_the_circuit_leaves_it_alone(illness: str) -> None:
    async with raw_server(ILL[illness]) as server:
        async with opened(f"redis://127.0.0.1:{server.port}", timeout_s=0.05) as store:
            for _ in range(3):
                assert await store.get_many([b"k"], str) == [None]
            assert store.status().state is State.OPEN
            accepted = server.accepted
            for _ in range(100):
                assert await store.get_many([b"k"], str) == [None]
            await store.put_many({b"k": entry("v")})
            await until(lambda: store.figures.dropped == 1)
            assert server.accepted == accepted
            assert (store.figures.errors, store.figures.refused, store.figures.misses) == (3, 101, 103)
        await server.until(lambda s: s.open == 0)


@pytest.mark.parametrize(
    "reply", [b":1\r\n", b"+OK\r\n" * 20, b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n*0\r\n:1\r\n", b"$1\r\nx\r\n" * 9]
)
async def test_replies_of_the_wrong_shape_are_misses(reply: bytes) -> None:
    async with (
        raw_server(saying(reply)) as server,
        opened(f"redis://127.0.0.1:{server.port}", timeout_s=0.05) as store,
    ):
        for _ in range(5):
            assert await store.get_many([b"k"], str) == [None]


async def test_nothing_listens() -> None:
    with redis_server() as gone:
        gone.kill()
        async with opened(gone.url) as store:
            await store.put_many({b"k": entry("v")})
            for _ in range(10):
                assert await store.get_many([b"k"], str) == [None]
            assert store.status().state is State.OPEN
            await until(lambda: store.figures.dropped == 1)


async def test_a_redis_killed_in_the_middle_is_used_again_when_it_is_back(redis: RedisServer) -> None:
    clock = ManualClock()
    async with opened(redis.url, clock) as store:
        await store.put_many({b"k": entry("v")})
        await until(lambda: store.figures.written == 1)
        redis.kill()
        for _ in range(5):
            assert await store.get_many([b"k"], str) == [None]
        assert store.status().state is State.OPEN
        redis.start()
        assert await store.get_many([b"k"], str) == [None]
        clock.advance(10)
        assert await store.get_many([b"k"], str) == [None]  # the probe; the new server has nothing
        assert store.status().state is State.CLOSED
        await store.put_many({b"k": entry("again", now=clock.now())})
        await until(lambda: store.figures.written == 2)
        assert values(await store.get_many([b"k"], str)) == ["again"]


@asynccontextmanager
async def slow_proxy(redis: RedisServer, gate: asyncio.Event) -> AsyncIterator[str]:
    """Passes everything on; answers wait for the gate."""

    async def handle(connection: Connection) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", redis.port)

        async def answers() -> None:
            while data := await reader.read(65536):
                await gate.wait()
                await connection.send(data)

        task = asyncio.create_task(answers())
        try:
            while data := await connection.reader.read(65536):
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async with raw_server(handle) as proxy:
        yield f"redis://127.0.0.1:{proxy.port}"


async def test_a_cancelled_read_leaves_no_reply_for_the_next(redis: RedisServer) -> None:
    gate = asyncio.Event()
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(slow_proxy(redis, gate))
        store = await stack.enter_async_context(opened(url, max_connections=1))
        gate.set()
        await store.put_many({b"%d" % n: entry(n) for n in range(20)})
        await until(lambda: store.figures.written == 20)
        gate.clear()
        for number in range(10):
            reading = asyncio.create_task(store.get_many([b"%d" % number], int))
            for _ in range(number * 3):
                await asyncio.sleep(0)  # each time a little further into the call
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                async with asyncio.timeout(2):  # a swallowed cancellation would wait for the store's own 5 s
                    await reading
            gate.set()
            assert values(await store.get_many([b"%d" % (19 - number)], int)) == [19 - number]
            gate.clear()
        gate.set()
        assert store.figures.errors == 0
        assert store.status().state is State.CLOSED
        assert store.status().consecutive_failures == 0


async def test_a_burst_waits_for_its_turn(redis: RedisServer) -> None:
    async with opened(redis.url, max_connections=4) as store:
        await store.put_many({b"%d" % n: entry(n) for n in range(200)})
        await until(lambda: store.figures.written == 200)
        found = await asyncio.gather(*(store.get_many([b"%d" % n], int) for n in range(200)))
        assert [values(each) for each in found] == [[n] for n in range(200)]
    assert store.figures.errors == 0


async def test_no_keys_cost_no_call() -> None:
    async with opened("redis://127.0.0.1:1", SystemClock()) as store:
        assert await store.get_many([], str) == []
    assert store.figures.errors == 0


async def test_closing_in_front_of_a_silent_redis_is_bounded_and_leaves_no_task() -> None:
    async with raw_server(silent) as server:
        async with opened(f"redis://127.0.0.1:{server.port}", timeout_s=0.05) as store:
            await store.put_many({b"%d" % n: entry(n) for n in range(1000)})
        assert store.figures.dropped == 1000
        await server.until(lambda s: s.open == 0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_what_begins_alike_is_purged_whatever_bytes_it_is_of_and_what_was_to_be_written(
    redis: RedisServer,
) -> None:
    odd = b"c*[m]?\\\0"
    async with opened(redis.url) as store:
        many = {b"%s%d" % (odd, number): entry(number) for number in range(2_500)}
        await store.put_many({**many, b"c-m-?\\\0": entry(0), b"other": entry(0)})
        await until(lambda: store.figures.written == 2_502)
        await store.put_many({odd + b"late": entry(0)})
        assert await store.purge(odd) == 2_500
        assert await store.purge(odd) == 0
    assert redis.command("DBSIZE") == b":2\r\n"


async def test_a_purge_that_redis_does_not_answer_says_so(redis: RedisServer) -> None:
    async with opened(redis.url) as store:
        await store.put_many({b"k": entry("v")})
        await until(lambda: store.figures.written == 1)
        redis.kill()
        assert await store.purge(b"k") is None
