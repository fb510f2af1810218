import asyncio
from typing import Any

import httpx
import pytest

from clients.transports import HttpxWire, WireBroken, WireOptions


async def app(scope: Any, receive: Any, send: Any) -> None:
    message = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-path", scope["path"].encode())]})
    await send({"type": "http.response.body", "body": message["body"].upper()})


async def test_an_asgi_application_answers_without_a_socket() -> None:
    wire = HttpxWire(transport=httpx.ASGITransport(app))
    response = await wire.send("POST", "http://app/graphql", {"a": "b"}, b"abc", max_body_bytes=100)
    assert (response.status, response.headers["x-path"], response.body) == (200, "/graphql", b"ABC")
    await wire.aclose()


async def test_a_transport_that_answers_from_memory() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"host": request.headers["host"]})

    wire = HttpxWire(transport=httpx.MockTransport(answer))
    response = await wire.send("GET", "http://app/", {}, None, max_body_bytes=100)
    assert response.body == b'{"host":"app"}'


async def test_an_encoding_that_was_not_asked_for_is_no_answer() -> None:
    async def brotli(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-encoding", b"br")]})
        await send({"type": "http.response.body", "body": b"abc"})

    wire = HttpxWire(transport=httpx.ASGITransport(brotli))
    with pytest.raises(WireBroken):
        await wire.send("GET", "http://app/", {}, None, max_body_bytes=100)


async def test_a_callers_timeout_is_not_taken_for_the_wires_own() -> None:
    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    wire = HttpxWire(transport=httpx.ASGITransport(slow))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await wire.send("GET", "http://app/", {}, None, max_body_bytes=100)


@pytest.mark.parametrize(
    "wrong",
    [{"max_connections": 0}, {"idle_s": 0}, {"give_up_s": -1.0}, {"client_key_file": "key.pem"}],
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        WireOptions(**wrong)
