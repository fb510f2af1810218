"""Tells the hooks of every attempt."""

from clients.call import Answer, Call, Handler, ProtocolName
from clients.clock import Clock
from clients.errors import UpstreamError
from clients.hooks import AttemptEvent, Hooks


class Observe:
    """Reports each attempt's duration and error; a cancelled attempt is not reported."""

    def __init__(self, protocol: ProtocolName, hooks: Hooks, clock: Clock) -> None:
        self._protocol = protocol
        self._hooks = hooks
        self._clock = clock

    async def __call__(self, call: Call, inner: Handler) -> Answer:
        """Go on, and report."""
        began = self._clock.now()
        try:
            answer = await inner(call)
        except UpstreamError as error:
            took = self._clock.now() - began
            self._hooks.on_attempt(AttemptEvent(call, self._protocol, took, error.code, error.message))
            raise
        self._hooks.on_attempt(AttemptEvent(call, self._protocol, self._clock.now() - began))
        return answer
