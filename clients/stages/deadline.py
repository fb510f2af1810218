"""The request's deadline: a call whose time is up is not begun.

Inside the pipeline every wait (an attempt, a backoff, another caller's flight) is bounded by the same deadline where
it happens, so that an answer at hand can still be given; no second timer is needed here.
"""

from collections.abc import Awaitable

from clients.call import Answer, Call, Handler
from clients.clock import Clock
from clients.errors import DeadlineExceeded


def remaining_s(call: Call, clock: Clock) -> float | None:
    """Seconds until the caller's deadline, not below 0; None without one."""
    deadline = call.caller.deadline
    return None if deadline is None else max(0.0, deadline - clock.now())


class Deadline:
    """Refuses calls whose deadline has passed."""

    def __init__(self, service: str, clock: Clock) -> None:
        self._service = service
        self._clock = clock

    def __call__(self, call: Call, inner: Handler) -> Awaitable[Answer]:
        """Go on, or raise DeadlineExceeded."""
        deadline = call.caller.deadline
        if deadline is not None and deadline <= self._clock.now():
            raise DeadlineExceeded(self._service, "the request's deadline passed before the call was made")
        return inner(call)
