"""The time of one attempt: authorisation, sending and the whole body."""

from clients.call import Answer, Call, Handler
from clients.clock import Clock
from clients.errors import AttemptTimeout, DeadlineExceeded
from clients.stages.deadline import remaining_s
from clients.timeouts import Timeouts


class AttemptTimer:
    """Ends an attempt after `timeout_s`, or at the request's deadline when that is nearer."""

    def __init__(self, service: str, timeout_s: float, clock: Clock) -> None:
        self._service = service
        self._timeout_s = timeout_s
        self._clock = clock
        self._timeouts = Timeouts(timeout_s, clock)

    async def __call__(self, call: Call, inner: Handler) -> Answer:
        """Go on, or raise AttemptTimeout; DeadlineExceeded when it was the request that had no more time."""
        left = remaining_s(call, self._clock)
        if left is not None and left < self._timeout_s:
            return await self._within(left, call, inner)
        try:
            with self._timeouts.block():
                return await inner(call)
        except TimeoutError as error:
            said = f"{call.operation.name}: no answer within {self._timeout_s:g} s"
            raise AttemptTimeout(self._service, said) from error

    async def _within(self, left_s: float, call: Call, inner: Handler) -> Answer:
        try:
            async with self._clock.timeout(left_s):
                return await inner(call)
        except TimeoutError as error:
            said = f"{call.operation.name}: no answer before the request's deadline"
            raise DeadlineExceeded(self._service, said, given_s=left_s) from error
