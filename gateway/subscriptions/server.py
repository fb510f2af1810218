"""uvicorn's connections, told two things more: that the process is about to end, and that some peers read nothing."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

DRAIN = "breakwater.drain"
"""In the state of the lifespan: a function that lets the connections go which stay. May be called again."""


class HttpProtocol(HttpToolsProtocol):
    """When the server shuts down, event streams end: uvicorn would wait for them."""

    def shutdown(self) -> None:
        """See uvicorn."""
        _drain(self.app_state)
        super().shutdown()


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """When the server shuts down, the application closes its sockets in order. One that has ended is gone soon."""

    _abort: asyncio.TimerHandle | None = None

    def shutdown(self) -> None:
        """See uvicorn."""
        if self.handshake_complete:
            _drain(self.app_state)
        else:
            super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        """See uvicorn."""
        super().connection_lost(exc)
        if self._abort is not None:
            self._abort.cancel()

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """See uvicorn, which closes the transport; that would wait for a peer that reads nothing, maybe for ever."""
        super().on_task_complete(task)
        if not self.writable.is_set():
            self.transport.abort()
        self._abort = self.loop.call_later(self.close_timeout, self.transport.abort)


def _drain(state: dict[str, Any]) -> None:
    if DRAIN in state:
        state[DRAIN]()
