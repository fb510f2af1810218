"""A bucket that processes share, over a real Redis: well, ill, killed and back. Refills are too slow to matter."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from clients.call import Answer, Call, Served, ServedBy
from clients.errors import RateLimitReached
from clients.policy import RatePolicy
from clients.stages.rate_limit import RateLimit
from clients.stores.redis_tokens import RedisTokens, SharedBucket
from tests.clients.stores.test_redis import ILL, silent, slow_proxy
from tests.clients.support import CALLER, ONE
from tests.testkit.clock import ManualClock
from tests.testkit.raw_server import Connection, raw_server
from tests.testkit.redis import RedisServer

SLOW = RatePolicy(capacity=20, per_s=0.0001)
CALL = Call(ONE, {"id": "1"}, CALLER)
ANSWER = Answer(None, Served(ServedBy.GRAPHQL))


async def inner(_: Call) -> Answer:
    return ANSWER


class Process:
    """What one process has: a connection, a bucket, a stage, a clock."""

    def __init__(self, tokens: RedisTokens, policy: RatePolicy, clock: ManualClock) -> None:
        self.clock = clock
        self.tokens = tokens
        self.bucket: SharedBucket = tokens.bucket("crm", policy, clock)
        self.stage = RateLimit("crm", policy, clock, self.bucket)

    async def goes(self) -> bool:
        try:
            await self.stage(CALL, inner)
        except RateLimitReached:
            return False
        return True

    async def go(self, times: int) -> int:
        """How many of so many calls at once go."""
        return sum(await asyncio.gather(*(self.goes() for _ in range(times))))


@asynccontextmanager
async def process(url: str, policy: RatePolicy = SLOW, *, timeout_s: float = 5.0) -> AsyncIterator[Process]:
    async with asyncio.timeout(30), RedisTokens(url, timeout_s=timeout_s) as tokens:
        made = Process(tokens, policy, ManualClock())
        async with made.bucket:
            yield made


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0)


async def test_two_processes_share_one_limit(redis: RedisServer) -> None:
    async with process(redis.url) as one, process(redis.url) as other:
        went = [0, 0]
        for _ in range(25):
            went[0] += await one.goes()
            went[1] += await other.goes()
        assert sum(went) == 20
        assert min(went) >= 5, "a busy process takes at most a quarter of the bucket ahead"
        now = one.stage.status()
        assert (now.shared, now.left, now.refused) == (True, 0, 25 - went[0])


async def test_a_burst_asks_redis_once(redis: RedisServer) -> None:
    async with process(redis.url) as one:
        assert await one.go(30) == 20
        assert await one.go(100) == 0
    calls = redis.command("INFO", "commandstats").decode()
    assert "cmdstat_evalsha:calls=2," in calls  # the first found no script yet; "none" is remembered


async def test_a_refusal_says_when_the_next_token_comes(redis: RedisServer) -> None:
    async with process(redis.url, RatePolicy(capacity=1, per_s=0.01)) as one:
        await one.goes()
        with pytest.raises(RateLimitReached) as raised:
            await one.stage(CALL, inner)
        assert raised.value.retry_after_s is not None
        assert 50 < raised.value.retry_after_s <= 100


async def test_a_call_that_may_wait_gets_its_token_from_redis(redis: RedisServer) -> None:
    async with process(redis.url, RatePolicy(capacity=1, per_s=50, wait_s=10)) as one:
        await one.goes()
        waiting = [asyncio.create_task(one.goes()) for _ in range(5)]
        while not all(task.done() for task in waiting):
            await asyncio.sleep(0.002)  # Redis has a clock of its own, which no test moves
            await one.clock.advance(0.002)
        assert all(task.result() for task in waiting)


async def test_a_token_kept_too_long_is_given_up(redis: RedisServer) -> None:
    async with process(redis.url) as one:
        for _ in range(4):
            await one.goes()
        held = one.bucket._leased
        assert held > 0, "a busy process holds some ahead"
        one.clock.jump(2)
        assert sum([await one.goes() for _ in range(20)]) == 16 - held


@pytest.mark.parametrize("illness", ILL)
async def test_when_redis_is_ill_each_process_counts_for_itself(illness: str) -> None:
    async with (
        raw_server(ILL[illness]) as server,
        process(f"redis://127.0.0.1:{server.port}", timeout_s=0.05) as one,
    ):
        assert await one.go(30) == 20
        assert one.stage.status().shared is False
        asked = server.accepted
        assert await one.go(30) == 0
        assert server.accepted == asked, "it is not asked again within the second"


@pytest.mark.parametrize(
    "reply",
    [
        b":1\r\n",
        b"*3\r\n:0\r\n:0\r\n:0\r\n",
        b"*3\r\n:99\r\n:1\r\n:1\r\n",
        b"*3\r\n:-1\r\n:1\r\n:1\r\n",
        b"*3\r\n$1\r\nx\r\n:1\r\n:1\r\n",
    ],
)
async def test_an_answer_that_makes_no_sense_is_none(reply: bytes) -> None:
    async def handle(connection: Connection) -> None:
        while data := await connection.reader.read(65536):
            await connection.send(reply * data.count(b"*"))  # one for each command

    async with raw_server(handle) as server, process(f"redis://127.0.0.1:{server.port}") as one:
        assert await one.go(30) == 20
        assert one.bucket.alone


async def test_a_redis_that_is_killed_and_back_is_used_again(redis: RedisServer) -> None:
    async with process(redis.url) as one:
        assert await one.go(5) == 5
        redis.kill()
        one.clock.jump(2)
        assert await one.go(30) == 15, "what the process used before is counted"
        assert one.bucket.alone
        redis.start()
        assert one.bucket.alone
        one.clock.jump(1)
        assert await one.go(1) == 0, "it asks, and does not wait for the answer"
        await until(lambda: not one.bucket.alone)
        assert await one.go(30) == 20, "the new server has a full bucket"


async def test_a_cancelled_caller_leaves_its_command_to_the_others_and_no_reply_behind(redis: RedisServer) -> None:
    gate = asyncio.Event()
    async with slow_proxy(redis, gate) as url, process(url) as one:
        for number in range(10):
            gone, stays = asyncio.create_task(one.goes()), asyncio.create_task(one.goes())
            for _ in range(number * 3):
                await asyncio.sleep(0)  # each time a little further into the call
            gone.cancel()
            await asyncio.wait([gone])
            gate.set()
            assert await stays
            gate.clear()
            one.clock.jump(2)  # nothing is held over
        gate.set()
        assert not one.bucket.alone


async def test_an_answer_that_comes_too_late_is_not_taken_for_the_next(redis: RedisServer) -> None:
    gate = asyncio.Event()
    gate.set()
    async with slow_proxy(redis, gate) as url, process(url) as one, process(redis.url) as other:
        await one.tokens.take("crm", SLOW, 1)
        gate.clear()
        one.tokens._timeout_s = 0.05
        assert await one.tokens.take("crm", SLOW, 7) is None
        gate.set()
        one.tokens._timeout_s = 5.0
        answer = await one.tokens.take("crm", SLOW, 2)
        assert answer is not None
        assert answer[0] == 2
        assert await other.tokens.take("crm", SLOW, 20) is not None


async def test_closing_in_front_of_a_silent_redis_leaves_no_task() -> None:
    async with raw_server(silent) as server:
        async with process(f"redis://127.0.0.1:{server.port}", timeout_s=5.0) as one:
            asking: Awaitable[bool] = asyncio.ensure_future(one.goes())
            await server.until(lambda s: s.open == 1)
        await asyncio.wait([asyncio.ensure_future(asking)])
        await server.until(lambda s: s.open == 0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
