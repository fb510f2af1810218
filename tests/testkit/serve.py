"""ASGI apps on real sockets, in the test's own event loop."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import ASGIApp

from demo.serving import AppServer
from gateway.subscriptions.server import WebSocketProtocol
from tests.testkit.waiting import DEADLINE_S, Signal


class TestServer(AppServer):
    """An `AppServer` whose connections a test can wait for."""

    __test__ = False  # pytest collects classes by this prefix

    def __init__(self, app: ASGIApp, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self._connections_changed = Signal()
        super().__init__(
            app, host=host, port=port, on_change=self._connections_changed.notify, websockets=WebSocketProtocol
        )

    async def wait_for_connections(self, count: int, *, deadline_s: float = DEADLINE_S) -> None:
        """Return once exactly `count` connections are open.

        Raises:
            TimeoutError: saying how many there are instead.
        """
        await self._connections_changed.until(
            lambda: self.open_connections == count,
            lambda: f"{count} open connections; there are {self.open_connections}",
            deadline_s=deadline_s,
        )


@asynccontextmanager
async def serve(app: ASGIApp, *, port: int = 0) -> AsyncIterator[TestServer]:
    """Serve `app` with uvicorn on a free port of 127.0.0.1; ready to answer inside the block, gone after it.

    Requests still running at the end are cancelled, so a hanging one does not hold the test up.
    """
    async with TestServer(app, port=port) as server:
        yield server
