"""One attempt: its time, which covers authorisation, sending and the whole body; and the counting of it.

Both are of every attempt alone, so they share a frame: each coroutine between the caller and the wire is gone through
again whenever something comes, with caches that the wire's own thread has emptied meanwhile.
"""

from collections.abc import Coroutine
from functools import partial
from typing import Any

from clients.call import Answer, Call, Handler, ProtocolName
from clients.clock import Clock
from clients.errors import AttemptTimeout, DeadlineExceeded, UpstreamError
from clients.figures import Traffic
from clients.hooks import AttemptEvent, Hooks
from clients.timeouts import Timeouts
from clients.tracing import recorded_attempt


class Attempt:
    """Ends an attempt after `timeout_s`, or at the request's deadline when that is nearer; counts and reports it.

    Of a cancelled one it is only told that it was begun and is over.

    Args:
        service: its name, for messages.
        protocol: for the hooks.
        timeout_s: the time.
        traffic: counts.
        hooks: are told of what failed, and of what went well if they want to be.
        clock: all time comes from it.
    """

    def __init__(
        self, service: str, protocol: ProtocolName, *, timeout_s: float, traffic: Traffic, hooks: Hooks, clock: Clock
    ) -> None:
        self._service = service
        self._protocol = protocol
        self._timeout_s = timeout_s
        self._timeouts = Timeouts(timeout_s, clock)
        self._traffic = traffic
        self._hooks = hooks
        self._tell_success = hooks.on_attempt if hooks.wants_successes else None
        self._clock = clock

    def __call__(self, call: Call, inner: Handler) -> Coroutine[Any, Any, Answer]:
        """Go on, or raise AttemptTimeout; DeadlineExceeded when it was the request that had no more time."""
        span = call.caller.span
        if span is None:
            return self._attempt(call, inner)
        return recorded_attempt(span, call, self._protocol.value, partial(self._attempt, inner=inner))

    async def _attempt(self, call: Call, inner: Handler) -> Answer:
        traffic, clock = self._traffic, self._clock
        began = clock.now()
        deadline = call.caller.deadline
        traffic.begun += 1
        try:
            if deadline is not None and deadline - began < self._timeout_s:
                answer = await self._until_deadline(max(0.0, deadline - began), call, inner)
            else:
                with self._timeouts.block():
                    answer = await inner(call)
        except TimeoutError as error:
            said = f"{call.operation.name}: no answer within {self._timeout_s:g} s"
            late = AttemptTimeout(self._service, said)
            self._note(call, late, began)
            raise late from error
        except UpstreamError as error:
            self._note(call, error, began)
            raise
        finally:
            traffic.ended += 1
        now = clock.now()
        traffic.note_success(now - began, now)
        if self._tell_success is not None:
            self._tell_success(AttemptEvent(call, self._protocol, now - began))
        return answer

    async def _until_deadline(self, left_s: float, call: Call, inner: Handler) -> Answer:
        try:
            async with self._clock.timeout(left_s):
                return await inner(call)
        except TimeoutError as error:
            said = f"{call.operation.name}: no answer before the request's deadline"
            raise DeadlineExceeded(self._service, said, given_s=left_s) from error

    def _note(self, call: Call, error: UpstreamError, began: float) -> None:
        now = self._clock.now()
        self._traffic.note_failure(call, error, now - began, now)
        said = f"{error.service}: {error.summary}"
        self._hooks.on_attempt(AttemptEvent(call, self._protocol, now - began, error.code, said))
