"""The head of a request has bounds, and nobody answers a client that has gone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.types import Receive, Scope, Send

from gateway.http.protocol import guarded
from tests.testkit.waiting import until_true


class App:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.begun = 0
        self.failed: list[Exception] = []
        self.go = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.begun += 1
        await self.go.wait()
        try:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
            await send({"type": "http.response.body", "body": b"ok"})
        except Exception as error:
            self.failed.append(error)
            raise


@asynccontextmanager
async def served(app: App, *, timeout_s: float = 30.0, max_bytes: int = 1_000) -> AsyncIterator[int]:
    """The port of a server with these bounds."""
    http = guarded(timeout_s, max_bytes)
    config = uvicorn.Config(app, http=http, port=0, lifespan="off", log_level="warning", loop="asyncio")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    await until_true(lambda: server.started, "the server to start")
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        app.go.set()
        server.should_exit = True
        await serving


async def answer(port: int, *pieces: bytes) -> bytes:
    """All that comes until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)
    try:
        async with asyncio.timeout(10):
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.transport.abort()


HEAD = b"GET / HTTP/1.1\r\nhost: a\r\n"


async def test_a_head_that_is_not_whole_in_time_is_a_408() -> None:
    async with served(App(), timeout_s=0.1) as port:
        assert (await answer(port, HEAD)).startswith(b"HTTP/1.1 408 ")


async def test_a_connection_that_says_nothing_is_closed() -> None:
    async with served(App(), timeout_s=0.1) as port:
        assert await answer(port) == b""


async def test_the_head_of_a_later_request_has_as_long() -> None:
    app = App()
    app.go.set()
    async with served(app, timeout_s=0.5) as port:
        said = await answer(port, HEAD + b"\r\n" + HEAD)
        assert said.count(b"HTTP/1.1 200 ") == 1
        assert b"HTTP/1.1 408 " in said


async def test_time_for_the_head_is_not_time_for_the_answer() -> None:
    app = App()
    async with served(app, timeout_s=0.5) as port:
        asking = asyncio.create_task(answer(port, HEAD + b"connection: close\r\n\r\n"))
        await asyncio.sleep(0.7)
        app.go.set()
        assert (await asking).endswith(b"ok")


async def test_a_head_that_grows_too_large_is_a_431() -> None:
    async with served(App(), max_bytes=200) as port:
        assert (await answer(port, HEAD + b"x-a: " + b"b" * 300)).startswith(b"HTTP/1.1 431 ")


async def test_of_pipelined_requests_none_begins_when_their_client_has_gone() -> None:
    app = App()
    async with served(app) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write((HEAD + b"\r\n") * 5)
        await until_true(lambda: app.begun == 1, "the first request")
        writer.transport.abort()
        await asyncio.sleep(0.05)
        app.go.set()
        await asyncio.sleep(0.05)
    assert (app.begun, app.failed) == (1, [])
