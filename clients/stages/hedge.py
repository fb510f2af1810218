"""A second attempt beside a slow first one; the first answer counts (Dean and Barroso, "The Tail at Scale", 2013).

It stands inside of retry: what races are attempts, so that an attempt which fails soon is the retry's business, and the
two never multiply by more than `1 + max`. It stands outside of the breaker: each attempt has a permit of its own, and
the loser's goes back without a result.
"""

import asyncio

from msgspec.structs import replace

from clients.call import Answer, Call, Handler
from clients.clock import Clock
from clients.errors import UpstreamError
from clients.operation import Kind
from clients.policy import HedgePolicy
from clients.stages.retry import RetryFigures
from clients.state.retry_budget import RetryBudget

_Attempt = asyncio.Task[Answer | UpstreamError]


class Hedge:
    """Races attempts of queries. A loser is cancelled, and has ended before the answer is given.

    Args:
        policy: when the next one starts, and how many.
        budget: pays for each but the first.
        figures: the service's.
    """

    def __init__(self, policy: HedgePolicy, *, budget: RetryBudget, figures: RetryFigures, clock: Clock) -> None:
        self._policy = policy
        self._budget = budget
        self._figures = figures
        self._clock = clock

    async def __call__(self, call: Call, inner: Handler) -> Answer:
        """The first answer. When there is none, the first attempt's error: at once where the others cannot help it."""
        if call.operation.kind is not Kind.QUERY:
            return await inner(call)
        async with asyncio.TaskGroup() as attempts:  # when the caller goes away, it ends them all
            running = [attempts.create_task(_outcome(call, inner))]
            first = running[0]
            while (won := await self._next(running, first)) is None:
                running.append(attempts.create_task(_outcome(replace(call, hedge=len(running)), inner)))
                self._figures.hedges += 1
            self._figures.hedges_won += won is not first
            for attempt in running:
                attempt.cancel()
        outcome = won.result()
        if isinstance(outcome, UpstreamError):
            raise outcome
        return outcome

    async def _next(self, started: list[_Attempt], first: _Attempt) -> _Attempt | None:
        """The attempt whose outcome counts; None when it is time for another one."""
        running = {attempt for attempt in started if not attempt.done()}
        may_hedge = len(started) <= self._policy.max
        while running:
            ended = await self._ended(running, may_hedge=may_hedge)
            if not ended:
                if self._budget.spend(self._clock.now()):
                    return None
                may_hedge = False
            for attempt in ended:
                if isinstance(attempt.result(), Answer):
                    return attempt
            if first in ended and _is_final(first):
                return first
            running -= ended
            may_hedge = may_hedge and not ended  # what fails is the retry's business
        return first

    async def _ended(self, running: set[_Attempt], *, may_hedge: bool) -> set[_Attempt]:
        """The attempts that end first; none when all are silent for `after_s`."""
        if not may_hedge:
            return (await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED))[0]
        try:
            async with self._clock.timeout(self._policy.after_s):
                return (await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED))[0]
        except TimeoutError:
            return {attempt for attempt in running if attempt.done()}


async def _outcome(call: Call, inner: Handler) -> Answer | UpstreamError:
    """An error as a value: one attempt's is no reason for the group to end the others."""
    try:
        return await inner(call)
    except UpstreamError as error:
        return error


def _is_final(attempt: _Attempt) -> bool:
    outcome = attempt.result()
    return isinstance(outcome, UpstreamError) and not outcome.transient
