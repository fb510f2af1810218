"""An ASGI app under uvicorn inside the running event loop, with a socket that can be closed and opened again."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn import Config
from uvicorn.lifespan.on import LifespanOn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

_SHUTDOWN_S = 5.0
_RST_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER on, for 0 seconds: closing sends RST


class AppServer:
    """Serves `app` on a port of its own while entered; `port=0` picks a free one.

    uvicorn's own `Server` takes over the signals and ends by polling; this drives its protocol directly, so many can
    share a loop and stop at once, whatever their requests are doing.

    Raises:
        OSError: on entering, the port is taken.
        RuntimeError: on entering, the app failed to start; why is in the log of `uvicorn.error`.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        on_change: Callable[[], None] | None = None,
        websockets: type[asyncio.Protocol] | None = None,
    ) -> None:
        """Prepare to serve.

        Args:
            app: may have a lifespan.
            host: address to listen on.
            port: 0 picks a free one.
            on_change: called after a connection opened or closed.
            websockets: uvicorn's protocol for them; by default there are none.
        """
        self.host = host
        self._app = app
        self._port = port
        self._on_change = on_change or _nothing
        self._state = ServerState()
        self._config = Config(
            self._entry,
            http="httptools",
            interface="asgi3",
            proxy_headers=False,  # `drop` finds a connection by the client's real address
            ws=websockets or "none",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
        )
        self._lifespan: LifespanOn | None = None
        self._listener: asyncio.Server | None = None
        self._held: socket.socket | None = None
        self._closing = False

    @property
    def port(self) -> int:
        """Where it listens, or will again after `refuse`."""
        return self._port

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end."""
        return f"http://{self.host}:{self._port}"

    @property
    def listening(self) -> bool:
        """Whether connections are accepted."""
        return self._listener is not None

    @property
    def open_connections(self) -> int:
        """Connections open now, busy or idle."""
        return len(self._state.connections)

    @property
    def running_requests(self) -> int:
        """Requests whose handler has not returned yet."""
        return len(self._state.tasks)

    async def listen(self) -> None:
        """Accept connections; again on the same port after `refuse`."""
        if self._listener is not None:
            return
        lifespan = self._lifespan
        if lifespan is None:
            raise RuntimeError("enter the server first")
        sock, self._held = self._held or self._bind(), None
        self._listener = await asyncio.get_running_loop().create_server(
            lambda: _Connection(self._config, self._state, lifespan.state, self._on_change),
            sock=sock,
            backlog=self._config.backlog,
        )

    async def refuse(self) -> None:
        """Refuse connections and drop those that are open, as if the process had died.

        The port stays bound, so nobody else gets it in the meantime.
        """
        if self._listener is None:
            return
        await self._stop_listening()
        for _ in range(100):
            try:
                self._held = self._bind()
                break
            except OSError:
                await asyncio.sleep(0)  # uvloop closes sockets a turn later
        else:
            raise OSError(f"port {self._port} was taken as soon as it was closed")

    async def drop(self, scope: Scope, *, reset: bool = True) -> None:
        """Cut the connection of a request: with RST, or with FIN once what was sent is out."""
        for connection in list(self._state.connections):
            if isinstance(connection, _Connection) and connection.client == scope["client"]:
                connection.drop(reset=reset)
                await connection.lost.wait()

    async def __aenter__(self) -> Self:
        self._held = self._bind()
        self._port = self._held.getsockname()[1]
        try:
            self._config.load()
            lifespan = LifespanOn(self._config)
            await lifespan.startup()
            if lifespan.should_exit:
                raise RuntimeError("the app failed to start; the log says why")
            self._lifespan = lifespan
            await self.listen()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop listening, drop every connection, end every handler, then the app's lifespan; takes seconds at most."""
        self._closing = True
        await self._stop_listening()
        if self._held is not None:
            self._held.close()
            self._held = None
        tasks = set(self._state.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_SHUTDOWN_S)
        if self._lifespan is not None:
            lifespan, self._lifespan = self._lifespan, None
            async with asyncio.timeout(_SHUTDOWN_S):
                await lifespan.shutdown()

    async def _stop_listening(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        for connection in list(self._state.connections):
            connection.transport.abort()
        if listener is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SHUTDOWN_S):
                    await listener.wait_closed()
        await asyncio.sleep(0)  # aborted transports tell their protocols in the next turn

    def _bind(self) -> socket.socket:
        # asyncio sets TCP_NODELAY only where the protocol is spelled out; without it answers wait 40 ms for an ACK.
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((self.host, self._port))
        except OSError as error:
            sock.close()
            raise OSError(error.errno, f"cannot listen on {self.host}:{self._port}: {error.strerror}") from error
        sock.setblocking(False)
        return sock

    async def _entry(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            # Nobody awaits a request's task but `aclose`, which cancelled it; uvicorn would log it as a crash.
            if not self._closing or scope["type"] == "lifespan":
                raise


class _Connection(HttpToolsProtocol):
    def __init__(
        self, config: Config, state: ServerState, app_state: dict[str, Any], on_change: Callable[[], None]
    ) -> None:
        super().__init__(config=config, server_state=state, app_state=app_state)
        self.lost = asyncio.Event()
        self._on_change = on_change

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._on_change()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.lost.set()
        self._on_change()

    def drop(self, *, reset: bool) -> None:
        if not reset:
            self.transport.close()
            return
        sock: Any = self.transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
        self.transport.abort()


def _nothing() -> None:
    """The default `on_change`."""
