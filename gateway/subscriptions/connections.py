"""The connections that stay: how many there are, and how each of them ends."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from clients.call import Caller
from clients.clock import Clock, Timer
from clients.timeouts import Timeouts
from gateway.http.errors import Overloaded
from gateway.subscriptions.config import SubscriptionsConfig
from gateway.subscriptions.protocol import Close, CloseCode

_RETRY_AFTER_S = (
    5  # a place is free when somebody leaves: later than one of the requests, whose `Retry-After` is 1 to 3
)

_EXPIRED = Close(CloseCode.FORBIDDEN, "The credential has expired")

GOING_AWAY = Close(CloseCode.GOING_AWAY, "Going away, connect again")
"""What a connection is closed with that the gateway does not want any more, through no fault of its client."""


class Connection:
    """One connection, until somebody says that it ends: the first one counts.

    Args:
        clock: for what ends it later.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._timers: list[Timer] = []
        self._ended: asyncio.Future[Close | None] = asyncio.get_running_loop().create_future()

    def end(self, close: Close | None = None) -> None:
        """End it, and say so with `close`; None when there is nobody to be told."""
        if not self._ended.done():
            self._ended.set_result(close)

    def end_later(self, delay_s: float, close: Close) -> Timer:
        """End it in `delay_s`, unless the timer is cancelled or it has ended before."""
        timer = self._clock.call_later(delay_s, lambda: self.end(close))
        self._timers.append(timer)
        return timer

    def expire_with(self, caller: Caller) -> None:
        """End it when the caller's credential does."""
        if caller.expires_at is not None:
            self.end_later(caller.expires_at - self._clock.now(), _EXPIRED)

    def forget_timers(self) -> None:
        """It has ended."""
        for timer in self._timers:
            timer.cancel()

    @property
    def ended(self) -> bool:
        """Whether it has been ended."""
        return self._ended.done()

    async def until_ended(self) -> Close | None:
        """What it ends with."""
        return await self._ended


class Connections:
    """All connections of one process that stay. Belongs to one event loop.

    Args:
        settings: how many there may be, and for how long.
        clock: measures how long.
    """

    def __init__(self, settings: SubscriptionsConfig, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.sending = Timeouts(settings.send_timeout_s, clock)
        """For each message to a client."""
        self._open: set[Connection] = set()
        self._draining = False

    def __len__(self) -> int:
        return len(self._open)

    def check(self) -> None:
        """Refuse one more when there is no place for it.

        Raises:
            Overloaded: there are too many, or this process is about to end.
        """
        if self._draining or len(self._open) >= self.settings.max_connections:
            raise Overloaded(_RETRY_AFTER_S)

    @contextmanager
    def admitted(self) -> Iterator[Connection]:
        """One more connection, for as long as the block runs; raises as `check` does."""
        self.check()
        connection = Connection(self.clock)
        self._open.add(connection)
        try:
            if self.settings.max_lifetime_s is not None:
                connection.end_later(self.settings.max_lifetime_s, GOING_AWAY)
            yield connection
        finally:
            self._open.discard(connection)
            connection.forget_timers()

    def drain(self) -> None:
        """Let all of them go, and nobody in any more. May be called again."""
        self._draining = True
        for connection in list(self._open):
            connection.end(GOING_AWAY)
