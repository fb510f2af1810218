"""A TCP proxy that harms what passes through it, on command, over real sockets.

async with FaultProxy(upstream.server.port) as proxy:
    await proxy.set(Fault(latency_s=0.5, bytes_per_s=10_000))
    ...
    await proxy.heal()

After Toxiproxy's idea: the server is well, the network is not.
"""

import asyncio
import contextlib
import select
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from random import Random
from types import TracebackType
from typing import Any, Literal, Self

import httptools

from clients.clock import Clock, SystemClock
from tests.testkit.waiting import DEADLINE_S, Signal

_READ = 65_536
_RST_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER on, for 0 seconds: closing sends RST
_BEFORE_RESET_S = 0.02  # a RST overtakes what the peer has not read yet
_STEPS_PER_S = 50  # how finely a bandwidth is metered out
_FILLED_AFTER_S = 0.05  # on the loopback a connection is there at once, or not at all


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What becomes of connections and of the answers on them; the fields may be combined.

    An answer is what the server sends after the client has said something.

    Attributes:
        door: `refuses`: connections are refused, open ones cut, as if the process had died. `ignores`: nobody takes
            connections any more (the handshake does not complete) and open ones fall silent, as if the host had gone.
        latency_s: each answer begins this much later.
        jitter_s: give or take up to this.
        bytes_per_s: answers come no faster.
        slice_bytes: answers come in pieces of this size ...
        slice_every_s: ... one after each such pause.
        silent: a black hole: connections are accepted and read, and never answered, also once it has been mended.
        reset_after: RST after that many bytes of an answer.
        truncate_after: FIN after that many bytes of an answer.
        instead: the client gets these bytes for each piece of the answer.
        close_after_s: when the server closes, the client is told this much later.
    """

    door: Literal["open", "refuses", "ignores"] = "open"
    latency_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float | None = None
    slice_bytes: int | None = None
    slice_every_s: float = 0.01
    silent: bool = False
    reset_after: int | None = None
    truncate_after: int | None = None
    instead: bytes | None = None
    close_after_s: float = 0.0

    def pieces(self, data: bytes) -> Iterator[tuple[bytes, float]]:
        """The data as it is let through: each piece with the pause after it, in seconds."""
        size, pause_s = len(data), 0.0
        if self.slice_bytes is not None:
            size, pause_s = self.slice_bytes, self.slice_every_s
        elif self.bytes_per_s is not None:
            size = max(1, int(self.bytes_per_s / _STEPS_PER_S))
            pause_s = size / self.bytes_per_s
        for start in range(0, len(data), max(1, size)):
            yield data[start : start + size], pause_s


HEALTHY = Fault()
"""Everything passes as it came."""

Choose = Callable[[int], Fault]
"""The fault of a connection by its number, which counts from 1."""


class FaultProxy:
    """Stands between clients and a server on 127.0.0.1. An async context manager; leaving it ends every connection.

    A fault that is set applies at once, to open connections too. A client that ends its side is taken to have gone.

    Attributes:
        accepted: connections since the start.
        requests: HTTP/1.1 requests that clients began to send, answered or not; 0 for other protocols.
    """

    def __init__(
        self,
        server_port: int,
        *,
        tls: ssl.SSLContext | None = None,
        clock: Clock | None = None,
        random: Random | None = None,
    ) -> None:
        """Prepare a proxy.

        Args:
            server_port: of the server, which speaks plain TCP.
            tls: what clients are spoken to with; a certificate loaded into it later is shown to later connections.
            clock: latencies and pauses are waited on it.
            random: the source of the jitter.
        """
        self.accepted = 0
        self.requests = 0
        self.port = 0
        self._server_port = server_port
        self._tls = tls
        self._clock = clock or SystemClock()
        self._random = random or Random(0)
        self._fault: Fault | Choose = HEALTHY
        self._door = "open"
        self._socket: socket.socket | None = None
        self._fillers: list[socket.socket] = []
        self._listener: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], _Connection] = {}
        self._changed = Signal()

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def open_connections(self) -> int:
        """Connections of clients now."""
        return len(self._connections)

    async def set(self, fault: Fault | Choose) -> None:
        """Do this from now on; a function gives each connection a fault of its own (and no door)."""
        self._fault = fault
        door = fault.door if isinstance(fault, Fault) else "open"
        if door != self._door:
            await self._set_door(door)

    async def heal(self) -> None:
        """Let everything pass as it came."""
        await self.set(HEALTHY)

    @contextlib.asynccontextmanager
    async def flapping(self, fault: Fault, *, bad_s: float, good_s: float) -> AsyncIterator[None]:
        """Within the block: the fault for `bad_s` seconds, health for `good_s`, and so on; health after it."""

        async def flap() -> None:
            while True:
                await self.set(fault)
                await self._clock.sleep(bad_s)
                await self.heal()
                await self._clock.sleep(good_s)

        task = asyncio.create_task(flap())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.heal()

    async def cut(self) -> None:
        """Reset every open connection; new ones are taken."""
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def wait_for_connections(self, count: int, *, deadline_s: float = DEADLINE_S) -> None:
        """Return once exactly `count` connections of clients are open.

        Raises:
            TimeoutError: saying how many there are instead.
        """
        await self._changed.until(
            lambda: self.open_connections == count,
            lambda: f"{count} open connections; there are {self.open_connections}",
            deadline_s=deadline_s,
        )

    async def wait_for_requests(self, count: int, *, deadline_s: float = DEADLINE_S) -> None:
        """Return once at least `count` requests have arrived.

        Raises:
            TimeoutError: saying how many there are instead.
        """
        await self._changed.until(
            lambda: self.requests >= count,
            lambda: f"{count} requests; there are {self.requests}",
            deadline_s=deadline_s,
        )

    async def __aenter__(self) -> Self:
        self._socket = self._bound()
        self.port = self._socket.getsockname()[1]
        await self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close_door()
        await self.cut()

    def fault_of(self, number: int) -> Fault:
        """What the connection of that number suffers now."""
        return self._fault if isinstance(self._fault, Fault) else self._fault(number)

    def jittered(self, fault: Fault) -> float:
        """The seconds an answer is held back, drawn anew each time."""
        return max(0.0, fault.latency_s + self._random.uniform(-fault.jitter_s, fault.jitter_s))

    async def _set_door(self, door: str) -> None:
        self._door = door
        await self._close_door()
        if door == "refuses":
            await self.cut()
        self._socket = await self._rebound()
        if door == "open":
            await self._listen()
        elif door == "ignores":
            self._fill(self._socket)

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(self._accept, sock=self._socket, ssl=self._tls)

    async def _close_door(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for sock in [*self._fillers, *([self._socket] if self._socket else [])]:
            sock.close()
        self._fillers.clear()
        self._socket = None
        await asyncio.sleep(0)  # uvloop closes sockets a turn later

    def _bound(self) -> socket.socket:
        # spelled out, because asyncio sets TCP_NODELAY only then
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", self.port))
        except OSError:
            sock.close()
            raise
        sock.setblocking(False)
        return sock

    async def _rebound(self) -> socket.socket:
        """The port again, so that nobody else gets it meanwhile: bound, and nobody listens."""
        for _ in range(100):
            try:
                return self._bound()
            except OSError:
                await asyncio.sleep(0)
        raise OSError(f"port {self.port} was taken as soon as it was closed")

    def _fill(self, sock: socket.socket) -> None:
        """Fill the queue of connections that nobody accepts; the kernel then ignores whoever else knocks."""
        sock.listen(0)
        while True:
            filler = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            filler.setblocking(False)
            self._fillers.append(filler)
            filler.connect_ex(sock.getsockname())
            if not select.select([], [filler], [], _FILLED_AFTER_S)[1]:
                return

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        connection = _Connection(self, self.accepted, self._clock, reader, writer)
        task = asyncio.create_task(connection.run(self._server_port, self._count_request))
        self._connections[task] = connection
        task.add_done_callback(self._gone)
        self._changed.notify()

    def _gone(self, task: asyncio.Task[None]) -> None:
        del self._connections[task]
        self._changed.notify()

    def _count_request(self) -> None:
        self.requests += 1
        self._changed.notify()


class _Connection:
    """One client's connection and the one to the server that belongs to it."""

    def __init__(
        self,
        proxy: FaultProxy,
        number: int,
        clock: Clock,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._proxy = proxy
        self._number = number
        self._clock = clock
        self._reader = reader
        self._writer = writer
        self._swallowed = False  # a part of a request is lost, so no answer on this connection could be right
        self._passed: int | None = None  # bytes of this answer; None before it begins

    @property
    def _fault(self) -> Fault:
        return self._proxy.fault_of(self._number)

    async def run(self, server_port: int, on_request: Callable[[], None]) -> None:
        """Pass on until one side has gone; then nothing is left open, whatever happens."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", server_port)
        except OSError:
            self._reset()
            return
        except asyncio.CancelledError:
            self._reset()
            raise
        pumps = {
            asyncio.create_task(self._ask(writer, _RequestCounter(on_request))),
            asyncio.create_task(self._answer(reader)),
        }
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._reset()
            raise
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            writer.transport.abort()
            self._writer.close()

    async def _ask(self, server: asyncio.StreamWriter, counter: "_RequestCounter") -> None:
        """What the client says, to the server."""
        while data := await self._reader.read(_READ):
            counter.feed(data)
            self._passed = None
            if self._swallowed or _is_silent(self._fault):
                self._swallowed = True
                continue
            server.write(data)
            await server.drain()
        self._writer.transport.abort()

    async def _answer(self, server: asyncio.StreamReader) -> None:
        """What the server says, to the client, as the fault lets it."""
        while data := await server.read(_READ):
            if self._passed is None:
                self._passed = 0
                await self._clock.sleep(self._proxy.jittered(self._fault))
            fault = self._fault
            for piece, pause_s in fault.pieces(data if fault.instead is None else fault.instead):
                await self._silence()
                if not await self._pass(piece):
                    return
                await self._clock.sleep(pause_s)
        await self._silence()
        await self._clock.sleep(self._fault.close_after_s)

    async def _silence(self) -> None:
        """Never end, where the client is to hear nothing more."""
        if self._swallowed or _is_silent(self._fault):
            self._swallowed = True
            await asyncio.Event().wait()

    async def _pass(self, piece: bytes) -> bool:
        """Send a piece; False when the connection ends with it, as the fault has it."""
        fault, passed = self._fault, self._passed or 0
        limit = fault.truncate_after if fault.reset_after is None else fault.reset_after
        if limit is not None:
            piece = piece[: max(0, limit - passed)]
        self._writer.write(piece)
        await self._writer.drain()
        self._passed = passed + len(piece)
        if limit is None or self._passed < limit:
            return True
        if fault.reset_after is not None:
            if self._passed:
                await asyncio.sleep(_BEFORE_RESET_S)
            self._reset()
        return False

    def _reset(self) -> None:
        sock: Any = self._writer.get_extra_info("socket")
        if sock is not None:
            with contextlib.suppress(OSError):  # gone already
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
        self._writer.transport.abort()


def _is_silent(fault: Fault) -> bool:
    return fault.silent or fault.door == "ignores"


class _RequestCounter:
    """Counts the HTTP requests in a stream of bytes, and minds no other protocol."""

    def __init__(self, on_request: Callable[[], None]) -> None:
        self.on_message_begin = on_request  # the name that the parser looks for
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)

    def feed(self, data: bytes) -> None:
        """Look at what the client sent."""
        if self._parser is None:
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._parser = None
