"""What uvicorn leaves open: how long the head of a request may take, how large it may grow, and who still waits.

A client that opens connections and sends a byte now and then, or headers without an end, would hold sockets and memory
for as long as it likes. One that pipelines requests and goes away would have all of them answered, each with a
traceback.
"""

import asyncio
from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from gateway.subscriptions.server import HttpProtocol

_TOO_SLOW = b"408 Request Timeout"
_TOO_LARGE = b"431 Request Header Fields Too Large"


class GuardedProtocol(HttpProtocol):
    """uvicorn's protocol; a connection whose request's head is not whole in time, or too large, is closed.

    A head that comes in one piece costs nothing but a look.

    Args:
        timeout_s: from the connection, or a later request's first byte, to the end of the head.
        max_bytes: of a head that comes in several pieces.
    """

    def __init__(self, *args: Any, timeout_s: float, max_bytes: int, **options: Any) -> None:
        super().__init__(*args, **options)
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._received = 0
        self._timer: asyncio.TimerHandle | None = None
        self._running: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """See asyncio."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(self._timeout_s, self._late)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self._stop()
        self.pipeline.clear()
        if (running := self._running) is not None and not running.response_complete:
            running.disconnected = True  # uvicorn tells the request that came last, which may be another
            running.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        super().data_received(data)
        scope: Any = self.scope  # None before the first head begins
        if self._timer is not None or scope is None or "method" not in scope:
            self._watch(scope, len(data))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _watch(self, scope: Any, size: int) -> None:
        if scope is not None and "method" in scope:  # which uvicorn enters when the head is whole
            self._stop()
        elif not self.transport.is_closing():
            self._received += size
            if self._received > self._max_bytes:
                self._refuse(_TOO_LARGE)
            elif self._timer is None:
                self._timer = self.loop.call_later(self._timeout_s, self._late)

    def _late(self) -> None:
        if self._received:
            self._refuse(_TOO_SLOW)
        else:
            self.transport.close()  # a connection made ahead, which nobody needed

    def _refuse(self, status: bytes) -> None:
        self.transport.write(b"HTTP/1.1 %s\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % status)
        self.transport.close()

    def _stop(self) -> None:
        self._received = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def guarded(timeout_s: float, max_bytes: int) -> Any:
    """The protocol with its bounds, as uvicorn's `http` takes it."""
    return partial(GuardedProtocol, timeout_s=timeout_s, max_bytes=max_bytes)
