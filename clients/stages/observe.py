"""Counts every attempt, and tells the hooks."""

from clients.call import Answer, Call, Handler, ProtocolName
from clients.clock import Clock
from clients.errors import UpstreamError
from clients.figures import Traffic
from clients.hooks import AttemptEvent, Hooks


class Observe:
    """Counts and reports each attempt's duration and error; of a cancelled one, only that it was begun and is over."""

    def __init__(self, protocol: ProtocolName, traffic: Traffic, hooks: Hooks, clock: Clock) -> None:
        self._protocol = protocol
        self._traffic = traffic
        self._hooks = hooks
        self._tell_success = hooks.on_attempt if hooks.wants_successes else None
        self._clock = clock

    async def __call__(self, call: Call, inner: Handler) -> Answer:
        """Go on, count and report."""
        traffic, clock = self._traffic, self._clock
        began = clock.now()
        traffic.begun += 1
        try:
            answer = await inner(call)
        except UpstreamError as error:
            now = clock.now()
            traffic.note_failure(call, error, now - began, now)
            self._hooks.on_attempt(AttemptEvent(call, self._protocol, now - began, error.code, error.message))
            raise
        finally:
            traffic.ended += 1
        now = clock.now()
        traffic.note_success(now - began, now)
        if self._tell_success is not None:
            self._tell_success(AttemptEvent(call, self._protocol, now - began))
        return answer
