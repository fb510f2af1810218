"""A server of raw bytes on a real socket: what an HTTP server never does on purpose, done on purpose."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

PATIENCE_S = 10.0  # generous: a wait that takes longer is a failure, not a slow machine


@dataclass(frozen=True, slots=True)
class RawRequest:
    """What one client wrote: the request line, headers by lower-case name, and the body."""

    line: str
    headers: dict[str, str]
    body: bytes


class Connection:
    """One accepted connection, seen from the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def request(self) -> RawRequest:
        """The next request; raises IncompleteReadError when the client has gone instead."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *rest = head.rstrip("\r\n").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (text.partition(":") for text in rest)}
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return RawRequest(line, headers, body)

    async def send(self, data: bytes) -> None:
        """Write and wait until the kernel has taken it."""
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Drop the connection with a RST where the transport allows it."""
        self.writer.transport.abort()

    async def until_closed(self) -> None:
        """Wait until the client has gone, whatever it still writes."""
        while await self.reader.read(65536):
            pass


Handler = Callable[[Connection], Awaitable[None]]


@dataclass
class RawServer:
    """A running server.

    Attributes:
        url: without a trailing slash.
        accepted: connections since the start.
        open: connections now.
    """

    port: int = 0
    url: str = ""
    accepted: int = 0
    open: int = 0
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def until(self, condition: Callable[["RawServer"], bool]) -> None:
        """Wait until `condition` holds; it is asked again at each connection that comes or goes."""
        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(lambda: condition(self))

    async def _count(self, accepted: int, opened: int) -> None:
        async with self._changed:
            self.accepted += accepted
            self.open += opened
            self._changed.notify_all()


@asynccontextmanager
async def raw_server(handler: Handler, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawServer]:
    """Serve every connection with `handler` on 127.0.0.1; a connection ends when its handler does."""
    state = RawServer()
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await state._count(1, 1)
        try:
            await handler(Connection(reader, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client went away; that is what many of these tests are about
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
        finally:
            writer.close()
            await state._count(0, -1)
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(PATIENCE_S):
                    await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve(reader, writer))
        serving.add(task)
        task.add_done_callback(serving.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    state.port = server.sockets[0].getsockname()[1]
    state.url = f"{'https' if tls else 'http'}://127.0.0.1:{state.port}"
    try:
        yield state
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        for _ in range(20):
            await asyncio.sleep(0)  # a failed handshake is known to the loop alone; these turns let it close the socket
