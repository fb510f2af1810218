"""Another attempt after a transient error: exponential backoff with full jitter, within the request's deadline.

Full jitter after Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
"""

from dataclasses import replace
from random import Random

from clients.call import Answer, Call, Handler
from clients.clock import Clock
from clients.errors import CircuitOpen, UpstreamError
from clients.operation import Kind
from clients.policy import RetryPolicy
from clients.stages.deadline import remaining_s


class Retry:
    """Makes up to `attempts` attempts. Mutations get one; what is not transient is not tried again."""

    def __init__(self, policy: RetryPolicy, clock: Clock, random: Random) -> None:
        self._policy = policy
        self._clock = clock
        self._random = random

    async def __call__(self, call: Call, inner: Handler) -> Answer:
        """The first attempt that succeeds, or the last one's error."""
        attempts = self._policy.attempts if call.operation.kind is Kind.QUERY else 1
        earlier: UpstreamError | None = None
        while True:
            try:
                return await inner(call)
            except CircuitOpen as refusal:
                if earlier is not None:
                    raise earlier from refusal  # what opened the circuit says more than that it is open
                raise
            except UpstreamError as error:
                delay_s = self._delay_s(call.attempt, error)
                if call.attempt >= attempts or not error.transient or not self._may_wait(call, delay_s):
                    raise
                earlier = error
            await self._clock.sleep(delay_s)
            call = replace(call, attempt=call.attempt + 1)

    def _may_wait(self, call: Call, delay_s: float) -> bool:
        """Within the deadline; without one, no longer than the policy itself would wait."""
        left = remaining_s(call, self._clock)
        return delay_s <= self._policy.max_backoff_s if left is None else delay_s < left

    def _delay_s(self, attempt: int, error: UpstreamError) -> float:
        bound = min(self._policy.backoff_s * 2 ** (attempt - 1), self._policy.max_backoff_s)
        return max(self._random.uniform(0, bound), error.retry_after_s or 0.0)
