"""The time between being told to stop and stopping: not ready any more, and still serving.

Whoever sends the traffic needs a moment to notice (a load balancer, a Kubernetes service). Until then requests come and
are answered; each answer asks its client for another connection, so that none is cut while it carries a request.
"""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import structlog
from starlette.types import Message, Send

Handler = Callable[[int, FrameType | None], Any]

_CLOSE = (b"connection", b"close")  # RFC 9112 §9.6; HTTP/1.1 only, as is the server


def closing(send: Send) -> Send:
    """A `send` whose answers ask the client for another connection next time."""

    async def send_last(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), _CLOSE]}
        await send(message)

    return send_last


class Draining:
    """Listens to SIGTERM in place of the server, and passes it on when the grace period is over.

    Args:
        grace_s: seconds between SIGTERM and the server's own way of stopping, which lets requests in progress end.
    """

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self.active = False
        """Whether the process was told to stop."""

    def begin(self) -> None:
        """Not ready from now on."""
        if not self.active:
            self.active = True
            structlog.get_logger("gateway").info("draining", grace_s=self._grace_s)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take SIGTERM over from the server that runs the loop; for its lifespan. A second one ends the grace period.

        Does nothing outside of the main thread, where no signal arrives.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        before = signal.getsignal(signal.SIGTERM)
        if not callable(before):  # whoever runs this loop does not listen: SIGTERM ends the process, as it always did
            yield
            return
        stop: Handler = before

        def told(number: int, frame: FrameType | None) -> None:
            if self.active or not self._grace_s:
                self.begin()
                stop(number, frame)
            else:
                loop.call_soon_threadsafe(self.begin)
                loop.call_soon_threadsafe(loop.call_later, self._grace_s, stop, number, None)

        signal.signal(signal.SIGTERM, told)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)
