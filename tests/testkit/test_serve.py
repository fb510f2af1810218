import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tests.testkit.ports import bound_port, free_port
from tests.testkit.serve import TestServer, serve


async def hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


class Hanging:
    """Never answers, and pays no heed to the client going away."""

    def __init__(self) -> None:
        self.arrived = asyncio.Event()
        self.cancelled = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        self.arrived.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise


@pytest.fixture
def app() -> Starlette:
    return Starlette(routes=[Route("/", hello)])


async def test_it_answers_on_a_real_socket(app: Starlette) -> None:
    async with serve(app) as server, httpx.AsyncClient() as client:
        assert (await client.get(server.url)).text == "hello"
        assert server.open_connections == 1
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(server.url)


async def test_connections_are_counted_until_they_close(app: Starlette) -> None:
    async with serve(app) as server:
        async with httpx.AsyncClient() as one, httpx.AsyncClient() as two:
            await asyncio.gather(one.get(server.url), two.get(server.url))
            await server.wait_for_connections(2)
        await server.wait_for_connections(0)
        with pytest.raises(TimeoutError, match="3 open connections; there are 0"):
            await server.wait_for_connections(3, deadline_s=0.01)


async def test_the_lifespan_surrounds_the_serving() -> None:
    events = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        events.append("up")
        yield
        events.append("down")

    async with serve(Starlette(lifespan=lifespan)):
        events.append("serving")
    assert events == ["up", "serving", "down"]


async def test_an_app_that_fails_to_start_is_an_error_and_leaves_no_socket() -> None:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        if app.routes == []:
            raise ValueError("no routes")
        yield

    port = free_port()
    with pytest.raises(RuntimeError, match="failed to start"):
        async with serve(Starlette(lifespan=lifespan), port=port):
            pass
    async with serve(Starlette(), port=port) as server:
        assert server.port == port


async def test_a_hanging_request_does_not_hold_up_the_end() -> None:
    hanging = Hanging()
    async with httpx.AsyncClient(timeout=5) as client:
        async with asyncio.timeout(4), serve(hanging) as server:
            request = asyncio.create_task(client.get(server.url))
            await hanging.arrived.wait()
            assert server.running_requests == 1
        assert hanging.cancelled
        assert server.running_requests == 0
        assert server.open_connections == 0
        with pytest.raises(httpx.TransportError):
            await request


async def test_it_refuses_and_listens_again_on_the_same_port(app: Starlette) -> None:
    async with serve(app) as server, httpx.AsyncClient() as client:
        url = server.url
        await client.get(url)
        await server.refuse()
        assert not server.listening
        assert server.open_connections == 0
        with pytest.raises(httpx.ConnectError):
            await client.get(url)
        await server.refuse()
        await server.listen()
        await server.listen()
        assert server.url == url
        assert (await client.get(url)).status_code == 200


async def test_it_can_end_while_refusing(app: Starlette) -> None:
    async with serve(app) as server:
        await server.refuse()


async def test_a_request_can_be_reset() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await server.drop(scope)

    async with serve(app) as server, httpx.AsyncClient() as client:
        with pytest.raises(httpx.ReadError):
            await client.get(server.url)


async def test_a_taken_port_is_named(app: Starlette) -> None:
    async with serve(app) as server:
        with pytest.raises(OSError, match=f"127.0.0.1:{server.port}"):
            async with TestServer(app, port=server.port):
                pass


def test_a_bound_port_refuses() -> None:
    with bound_port() as port, pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}")
