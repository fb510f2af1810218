"""The time of one attempt: authorisation, sending and the whole body."""

from clients.call import Answer, Call, Handler
from clients.clock import Clock
from clients.errors import AttemptTimeout, DeadlineExceeded
from clients.stages.deadline import remaining_s


class AttemptTimer:
    """Ends an attempt after `timeout_s`, or at the request's deadline when that is nearer."""

    def __init__(self, service: str, timeout_s: float, clock: Clock) -> None:
        self._service = service
        self._timeout_s = timeout_s
        self._clock = clock

    async def __call__(self, call: Call, inner: Handler) -> Answer:
        """Go on, or raise AttemptTimeout; DeadlineExceeded when it was the request that had no more time."""
        left = remaining_s(call, self._clock)
        limit = self._timeout_s if left is None else min(left, self._timeout_s)
        try:
            async with self._clock.timeout(limit):
                return await inner(call)
        except TimeoutError as error:
            if limit < self._timeout_s:
                raise DeadlineExceeded(
                    self._service, f"{call.operation.name}: no answer before the request's deadline", given_s=limit
                ) from error
            raise AttemptTimeout(
                self._service, f"{call.operation.name}: no answer within {self._timeout_s:g} s"
            ) from error
