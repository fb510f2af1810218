"""A token bucket in Redis that processes share, with a bucket of one's own for when Redis does not answer.

Callers that come at the same time ask with one command. A busy process asks for as many tokens ahead as it used in the
last tenth of a second, so it waits for Redis ten times a second, not at each call; a quiet one holds nothing back from
the others. An answer of "none" holds until the time it names: refusing costs no command. After a failure the process's
own bucket decides at once, and Redis is asked again once a second, with nobody waiting for it.
"""

import asyncio
from types import TracebackType
from typing import Any, Self

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from clients.clock import Clock
from clients.policy import RatePolicy
from clients.state.token_bucket import TokenBucket

_PREFIX = "breakwater:tokens:"
_AHEAD_S = 0.1  # what is asked for ahead lasts about so long
_LEASE_S = 1.0  # tokens asked for and not used by then are given up; nothing may be saved for later
_ALONE_S = 1.0  # how long after a failure Redis is not asked
_CONNECTIONS = 4

# The clock is Redis's own, one for all processes. When it is set back, nothing is gained until it goes on.
_SCRIPT = """
local capacity, per_s, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local kept = redis.call('HMGET', KEYS[1], 'level', 'at')
local level = tonumber(kept[1]) or capacity
local at = tonumber(kept[2]) or now
level = math.min(capacity, level + math.max(0, now - at) * per_s / 1000000)
local granted = math.min(wanted, math.floor(level + 1e-9))
level = math.max(0, level - granted)
redis.call('HSET', KEYS[1], 'level', string.format('%.17g', level), 'at', string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.min(864e5, capacity / per_s * 1000) + 1000))
local wait_us = math.max(0, 1 - level) / per_s * 1000000
return {granted, math.floor(level), string.format('%.0f', math.min(9e15, math.ceil(wait_us)))}
"""


class RedisTokens:
    """The connection that all shared buckets of a process use. An async context manager.

    Args:
        url: redis://, rediss:// or unix://, as redis-py takes it.
        timeout_s: most that one command may take, connecting included. Default 50 ms.
    """

    def __init__(self, url: str, *, timeout_s: float = 0.05) -> None:
        self._timeout_s = timeout_s
        self._redis = Redis.from_pool(
            BlockingConnectionPool.from_url(
                url,
                max_connections=_CONNECTIONS,
                timeout=timeout_s,
                socket_timeout=None,  # see RedisStore: the command as a whole has a deadline
                socket_connect_timeout=timeout_s,
                retry=Retry(NoBackoff(), 0),
                protocol=2,
            )
        )
        self._script = self._redis.register_script(_SCRIPT)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._redis.aclose()

    def bucket(self, service: str, policy: RatePolicy, clock: Clock) -> "SharedBucket":
        """The bucket of a service."""
        return SharedBucket(self, service, policy, clock)

    async def take(self, service: str, policy: RatePolicy, wanted: int) -> tuple[int, int, float] | None:
        """Up to `wanted` tokens of a service: how many there were, how many are left, seconds until the next one.

        None when Redis did not say. Cancelled or late, it closes its connection, so no reply is left for the next.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                reply: Any = await self._script([_PREFIX + service], [policy.capacity, policy.per_s, wanted])
            granted, left, wait_us = (int(part) for part in reply)
        except Exception:  # noqa: BLE001 - garbage breaks the library's parser in ways it does not list
            return None
        sensible = 0 <= granted <= wanted and left >= 0 and wait_us >= (granted < wanted)
        return (granted, left, wait_us / 1e6) if sensible else None


class SharedBucket:
    """One service's tokens; satisfies `clients.stages.rate_limit.SharedTokens`. An async context manager.

    Args:
        redis: asked for tokens; owned by the caller.
        service: names the bucket: processes that use the name share it.
        policy: the rate.
        clock: all time comes from it.
    """

    def __init__(self, redis: RedisTokens, service: str, policy: RatePolicy, clock: Clock) -> None:
        self._redis = redis
        self._service = service
        self._policy = policy
        self._clock = clock
        now = clock.now()
        self._own = TokenBucket(policy.capacity, policy.per_s, now=now)  # follows what this process uses
        self._leased = 0
        self._leased_until = now
        self._none_until = now
        self._left = policy.capacity
        self._alone_until: float | None = None
        self._asked_at = now - _AHEAD_S
        self._used = 0  # since then
        self._wanted = 0
        self._asking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    @property
    def alone(self) -> bool:
        """Whether this process counts for itself, because Redis did not answer."""
        return self._alone_until is not None

    @property
    def busy(self) -> bool:
        """Whether Redis is being asked: until it has answered, this has to be kept, and closed in the end."""
        return self._asking is not None

    def take(self, now: float) -> bool:
        """Take a token that was asked for before; alone, one of this process's own."""
        if self._alone_until is not None:
            if now >= self._alone_until:
                self._ask()
            return self._own.take(now)
        if self._leased == 0 or now >= self._leased_until:
            self._leased = 0
            return False
        self._leased -= 1
        self._used += 1
        self._own.take(now)
        return True

    def give_back(self, now: float) -> None:
        """Put back a token that was not used."""
        if not self.alone:
            self._leased += 1
            self._used = max(0, self._used - 1)
        self._own.give_back(now)

    def wait_s(self, now: float, ahead: int = 0) -> float:
        """Seconds until there is a token; 0 when Redis has to be asked."""
        if self.alone:
            return self._own.wait_s(now, ahead)
        if now >= self._none_until:
            return 0.0
        return self._none_until - now + ahead / self._policy.per_s

    def left(self, now: float) -> float:
        """Tokens at hand and, when Redis was last asked, there."""
        return self._own.left(now) if self.alone else self._leased + self._left

    async def refill(self) -> None:
        """Ask Redis, together with everybody who asks now."""
        self._wanted += 1
        # Shielded: whoever goes away leaves the command to those who wait with him.
        await asyncio.shield(self._ask())

    def _ask(self) -> asyncio.Task[None]:
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask_redis(), name=f"breakwater tokens {self._service}")
        return self._asking

    async def _ask_redis(self) -> None:
        try:
            began = self._clock.now()
            rate = self._used / max(_AHEAD_S, began - self._asked_at)
            ahead = min(int(rate * _AHEAD_S), self._policy.capacity // 4)
            wanted = min(max(1, self._wanted) + ahead, self._policy.capacity)
            self._wanted = self._used = 0
            self._asked_at = began
            answer = await self._redis.take(self._service, self._policy, wanted)
        finally:
            self._asking = None
            self._wanted = 0  # who came meanwhile asks again if it has to
        now = self._clock.now()
        if answer is None:
            self._alone_until = now + _ALONE_S
            self._leased = 0
            return
        self._alone_until = None
        granted, self._left, wait_s = answer
        self._leased += granted
        self._leased_until = now + _LEASE_S
        self._none_until = now + wait_s
