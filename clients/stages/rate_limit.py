"""How often a service is called: a call without a token waits for its turn where it may, or is refused at once."""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from msgspec.structs import replace

from clients.call import Answer, Call, Handler
from clients.clock import Clock
from clients.errors import LimitReached, RateLimitReached
from clients.policy import RatePolicy
from clients.stages.deadline import remaining_s
from clients.state.token_bucket import TokenBucket

_TOLERANCE_S = 1e-9  # of sums of floats


class Tokens(Protocol):
    """Where tokens come from: `clients.state.token_bucket.TokenBucket`, or a bucket shared among processes."""

    def take(self, now: float) -> bool:
        """Take a token, if there is one at hand."""
        ...

    def give_back(self, now: float) -> None:
        """Put back a token that was not used."""
        ...

    def wait_s(self, now: float, ahead: int = 0) -> float:
        """Seconds until there is a token for a caller with `ahead` others before it; 0 when that is not known."""
        ...

    def left(self, now: float) -> float:
        """Tokens in the bucket, as far as is known."""
        ...


class SharedTokens(Tokens, Protocol):
    """Tokens of a bucket that processes share."""

    @property
    def alone(self) -> bool:
        """Whether this process counts for itself, because the shared bucket cannot be had."""
        ...

    async def refill(self) -> None:
        """Ask the shared bucket; afterwards there is a token, or a time to wait.

        Takes a bounded time, and raises nothing for the shared bucket's own trouble.
        """
        ...


@dataclass(frozen=True, slots=True)
class RateStatus:
    """The limit, read as data.

    Attributes:
        left: tokens in the bucket, as far as is known.
        waiting: calls waiting for their turn.
        refused: calls refused since the start.
        shared: whether it counts for all processes together just now; None when it was not asked to.
    """

    capacity: int
    per_s: float
    left: float
    waiting: int
    refused: int
    shared: bool | None


class RateLimit:
    """Takes a token for each call. One that waits does so in order, and only where its token comes in time.

    Args:
        service: its name, for messages.
        policy: the rate.
        clock: all time comes from it.
        shared: where tokens come from when they are shared; owned by the caller.
    """

    def __init__(self, service: str, policy: RatePolicy, clock: Clock, shared: SharedTokens | None = None) -> None:
        self._service = service
        self._policy = policy
        self._clock = clock
        self._shared = shared
        self._tokens: Tokens = shared or TokenBucket(policy.capacity, policy.per_s, now=clock.now())
        self._line: deque[asyncio.Future[None]] = deque()  # the first one has its turn, the others wait for theirs
        self._refused = 0

    async def __call__(self, call: Call, inner: Handler) -> Answer:
        """Go on with a token.

        Raises:
            RateLimitReached: there is none in time.
        """
        queued_s = 0.0
        if self._line or not self._tokens.take(self._clock.now()):
            began = self._clock.now()
            await self._wait(call)
            queued_s = self._clock.now() - began
        try:
            answer = await inner(call)
        except LimitReached:
            self._tokens.give_back(self._clock.now())  # it was not sent
            raise
        return answer if queued_s == 0.0 else replace(answer, queued_s=answer.queued_s + queued_s)

    def status(self) -> RateStatus:
        """The limit as it is now."""
        return RateStatus(
            capacity=self._policy.capacity,
            per_s=self._policy.per_s,
            left=self._tokens.left(self._clock.now()),
            waiting=len(self._line),
            refused=self._refused,
            shared=None if self._shared is None else not self._shared.alone,
        )

    async def _wait(self, call: Call) -> None:
        """Wait for a token in order; refuse as soon as it is known that it would come too late."""
        if not self._line and await self._refilled():
            return
        now = self._clock.now()
        left = remaining_s(call, self._clock)
        until = now + (self._policy.wait_s if left is None else min(self._policy.wait_s, left))
        wait_s = self._tokens.wait_s(now, ahead=len(self._line))
        if until <= now or now + wait_s > until + _TOLERANCE_S:
            raise self._refusal(wait_s)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        try:
            if self._line[0] is not turn:
                async with self._clock.timeout(until - now):
                    await turn
            while not (self._tokens.take(self._clock.now()) or await self._refilled()):
                now = self._clock.now()
                wait_s = self._tokens.wait_s(now)
                if now + wait_s > until + _TOLERANCE_S:
                    raise self._refusal(wait_s)
                await self._clock.sleep(wait_s)
        except TimeoutError as error:
            raise self._refusal(self._tokens.wait_s(self._clock.now())) from error
        finally:
            self._line.remove(turn)
            if self._line and not self._line[0].done():
                self._line[0].set_result(None)

    async def _refilled(self) -> bool:
        """Ask the shared bucket, if there is one, until there is a token for us or a time to wait."""
        while self._shared is not None and self._shared.wait_s(self._clock.now()) <= 0:
            await self._shared.refill()
            if self._shared.take(self._clock.now()):
                return True
        return False

    def _refusal(self, wait_s: float) -> RateLimitReached:
        self._refused += 1
        policy = self._policy
        return RateLimitReached(
            self._service,
            f"at its limit of {policy.per_s:g} calls a second; the next may go in {wait_s:.1f} s",
            retry_after_s=wait_s,
        )
