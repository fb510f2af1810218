"""Calls to Redis that are never in anyone's way: each with a deadline, all of them behind a circuit.

redis-py's own defaults wait for seconds on a dead server.
"""

import asyncio
from random import Random
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError

from clients.clock import Clock
from clients.policy import BreakerPolicy
from clients.state.circuit import Circuit, CircuitStatus, Failure, Outcome, Permit

BREAKER = BreakerPolicy(failures=3, open_s=5.0, max_open_s=60.0, probe_timeout_s=5.0)


class RedisCalls:
    """Connections to a Redis, and what is asked over them.

    Args:
        url: redis://, rediss:// or unix://, as redis-py takes it.
        clock: all time of the circuit comes from it.
        random: the source of jitter for the circuit.
        timeout_s: most that one call may take, connecting included.
        max_connections: calls at once; more wait, within `timeout_s`.
        breaker: when it stops asking. Default: after 3 failures in a row, for 5 s.

    Attributes:
        errors: calls that failed or took too long.
        refused: calls not made because the circuit was open.
    """

    def __init__(
        self,
        url: str,
        clock: Clock,
        random: Random,
        *,
        timeout_s: float,
        max_connections: int,
        breaker: BreakerPolicy = BREAKER,
    ) -> None:
        self._clock = clock
        self._timeout_s = timeout_s
        self._circuit = Circuit(breaker, now=clock.now(), random=random)
        self._redis = Redis.from_pool(
            BlockingConnectionPool.from_url(
                url,
                max_connections=max_connections,
                timeout=timeout_s,
                # The call as a whole has a deadline. With a socket timeout the library sends under asyncio.wait_for,
                # which up to Python 3.11 swallows a cancellation that meets the end of what it waits for.
                socket_timeout=None,
                socket_connect_timeout=timeout_s,
                retry=Retry(NoBackoff(), 0),
                protocol=2,  # RESP3 adds a round trip to every new connection and nothing we use
            )
        )
        self._slots = asyncio.Semaphore(max_connections)
        self.errors = 0
        self.refused = 0

    def status(self) -> CircuitStatus:
        """Its circuit, read as data."""
        return self._circuit.status(self._clock.now())

    def pipeline(self, *, transaction: bool = False) -> Pipeline:
        """An empty list of commands, for `ask`."""
        return self._redis.pipeline(transaction=transaction)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def ask(self, pipeline: Pipeline) -> Any:
        """The replies, with refusals of single commands among them; None when there are none to be had."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._slots.acquire()
        except TimeoutError:
            self.errors += 1  # ours to answer for, so the circuit does not hear of it
            return None
        try:
            permit = self._circuit.acquire(self._clock.now())
            if not isinstance(permit, Permit):
                self.refused += 1
                return None
            return await self._call_permitted(pipeline, permit)
        finally:
            self._slots.release()

    async def _call_permitted(self, pipeline: Pipeline, permit: Permit) -> Any:
        outcome, failure = Outcome.IGNORED, None
        try:
            async with asyncio.timeout(self._timeout_s):
                replies = await pipeline.execute(raise_on_error=False)
            outcome = Outcome.SUCCESS
            return replies
        except Exception as error:  # noqa: BLE001 - garbage breaks the library's parser in ways it does not list
            # On every failure and on cancellation the library closes the connection: no reply is left for the next.
            outcome = Outcome.FAILURE
            code = "REDIS_REFUSED" if isinstance(error, ResponseError) else "REDIS_UNREACHABLE"
            failure = Failure(code, type(error).__name__, self._clock.now())
            self.errors += 1
            return None
        finally:
            self._circuit.settle(permit, outcome, self._clock.now(), failure)
