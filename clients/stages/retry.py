"""Another attempt after a transient error: exponential backoff with full jitter, within deadline and budget.

Full jitter after Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
"""

from dataclasses import dataclass
from random import Random

from msgspec.structs import replace

from clients.call import Answer, Call, Handler, ProtocolName
from clients.clock import Clock
from clients.errors import CircuitOpen, LimitReached, UpstreamError
from clients.hooks import GaveUp, Hooks, RetryEvent
from clients.policy import RetryPolicy
from clients.stages.deadline import remaining_s
from clients.state.retry_budget import RetryBudget


@dataclass(slots=True)
class RetryFigures:
    """What was attempted beside the first attempts of one service, since the start.

    Attributes:
        retries: attempts after a failed one.
        waited_s: all backoff together, in seconds.
        hedges: attempts beside a slow one.
        hedges_won: those that gave the answer.
    """

    retries: int = 0
    waited_s: float = 0.0
    hedges: int = 0
    hedges_won: int = 0


class Retry:
    """Makes up to `attempts` attempts over one protocol; what is not transient or not repeatable gets one.

    Args:
        policy: how often and how soon.
        protocol: for the hooks.
        budget: the service's, shared by its protocols: every call earns its share, every further attempt is paid.
        figures: the service's, likewise.
        hooks: are told what follows on each failed attempt.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        protocol: ProtocolName,
        *,
        budget: RetryBudget,
        figures: RetryFigures,
        hooks: Hooks,
        clock: Clock,
        random: Random,
    ) -> None:
        self._policy = policy
        self._protocol = protocol
        self._budget = budget
        self._figures = figures
        self._hooks = hooks
        self._clock = clock
        self._random = random

    async def __call__(self, call: Call, inner: Handler) -> Answer:
        """The first attempt that succeeds, or the last one's error."""
        self._budget.offer(self._clock.now())
        try:
            return await inner(call)
        except (CircuitOpen, LimitReached):
            self._budget.take_back()  # no attempt was made
            raise
        except UpstreamError as error:
            return await self._again(call, inner, error)

    async def _again(self, call: Call, inner: Handler, error: UpstreamError) -> Answer:
        """The attempts after the first one, which ended with `error`."""
        try:
            while True:
                delay_s = self._delay_s(call.attempt, error)
                gave_up = self._why_not(call, error, delay_s)
                if gave_up is not None:
                    self._tell(RetryEvent(call, self._protocol, error.code, gave_up=gave_up))
                    raise error
                self._tell(RetryEvent(call, self._protocol, error.code, delay_s))
                self._figures.retries += 1
                self._figures.waited_s += delay_s
                await self._clock.sleep(delay_s)
                call = replace(call, attempt=call.attempt + 1)
                try:
                    return await inner(call)
                except (CircuitOpen, LimitReached) as refusal:
                    self._figures.retries -= 1
                    self._tell(RetryEvent(call, self._protocol, refusal.code, gave_up=GaveUp.CIRCUIT))
                    raise error from refusal  # what opened the circuit says more than that it is open
                except UpstreamError as latest:
                    error = latest
        finally:
            del error  # its traceback holds this frame: without this, each failure is garbage only the collector finds

    def _tell(self, event: RetryEvent) -> None:
        self._hooks.on_retry(event)
        span = event.call.caller.span
        if span is not None:
            after = {"breakwater.protocol": self._protocol.value, "breakwater.attempt": event.call.attempt}
            if event.gave_up is None:
                span.event("retry", {**after, "error.type": event.error, "breakwater.delay_s": event.delay_s or 0.0})
            else:
                span.event("no retry", {**after, "error.type": event.error, "breakwater.reason": event.gave_up.value})

    def _why_not(self, call: Call, error: UpstreamError, delay_s: float) -> GaveUp | None:
        """Why there is no further attempt; None when there is one, and it is paid."""
        if not error.transient:
            return GaveUp.NOT_TRANSIENT
        if not call.repeatable:
            return GaveUp.NOT_REPEATABLE
        if call.attempt >= self._policy.attempts:
            return GaveUp.ATTEMPTS
        left = remaining_s(call, self._clock)
        # Without a deadline there is no waiting for longer than the policy itself would.
        if delay_s > self._policy.max_backoff_s if left is None else delay_s >= left:
            return GaveUp.RETRY_AFTER if delay_s == error.retry_after_s else GaveUp.DEADLINE
        return None if self._budget.spend(self._clock.now()) else GaveUp.BUDGET

    def _delay_s(self, attempt: int, error: UpstreamError) -> float:
        bound = min(self._policy.backoff_s * 2 ** (attempt - 1), self._policy.max_backoff_s)
        return max(self._random.uniform(0, bound), error.retry_after_s or 0.0)
