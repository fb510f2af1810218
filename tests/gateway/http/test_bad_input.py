"""What no client should send, sent to the whole gateway over a socket: a clean answer, and the server lives on."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from gateway.http import Answer, Exchange
from tests.gateway.http.support import endpoint
from tests.testkit.clock import ManualClock
from tests.testkit.gateway import Gateway, running_gateway
from tests.testkit.serve import serve
from tests.testkit.waiting import DEADLINE_S, until_true

GOOD = b'{"query":"{ __typename }"}'


@dataclass(frozen=True, slots=True)
class Raw:
    """What came back until the server closed the connection."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        return str(self.errors[0]["extensions"]["code"])

    @property
    def errors(self) -> list[dict[str, Any]]:
        return list(msgspec.json.decode(self.body)["errors"])


def post(body: bytes, *headers: str, length: int | None = None) -> bytes:
    """A POST whose connection ends with its answer."""
    names = {header.partition(":")[0] for header in headers}
    lines = ["POST /graphql HTTP/1.1", "host: gateway.test", "connection: close", *headers]
    if "transfer-encoding" not in names:
        lines.append(f"content-length: {len(body) if length is None else length}")
    if "content-type" not in names:
        lines.append("content-type: application/json")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


async def exchange(gateway: Gateway, request: bytes, *, finish: bool = False) -> Raw:
    """Send bytes and read to the end; a server that stops reading and answers is no failure of the client's."""
    async with asyncio.timeout(DEADLINE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.server.port)
        try:
            with contextlib.suppress(ConnectionError):
                writer.write(request)
                await writer.drain()
                if finish:
                    writer.write_eof()
            return parse(await read(reader))
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def read(reader: asyncio.StreamReader) -> bytes:
    answer = b""
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(65_536):
            answer += chunk
    return answer


def parse(answer: bytes) -> Raw:
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return Raw(int(first.split(" ")[1]), headers, body)


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    """A gateway that must still answer when the test is over."""
    async with running_gateway() as gateway:
        yield gateway
        answered = await gateway.ask("{ __typename }")
        assert answered.data == {"__typename": "Query"}
        upstreams = (gateway.customers, gateway.invoices, gateway.bank)
        assert [call for u in upstreams for call in (*u.rest.calls, *u.graphql.calls)] == []


def query(text: str) -> bytes:
    return msgspec.json.encode({"query": text})


GARBAGE = bytes(range(256)) * 4_096  # 1,048,576 bytes


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "BAD_REQUEST"),
        (b"garbage", 400, "BAD_REQUEST"),
        (GARBAGE[:1_000_000], 400, "BAD_REQUEST"),
        (GARBAGE, 413, "PAYLOAD_TOO_LARGE"),
        (b"{" * 1_000_000, 400, "BAD_REQUEST"),
        (b"[" * 500 + b"]" * 500, 400, "BAD_REQUEST"),
        (b"[" * 500_000 + b"]" * 500_000, 400, "BAD_REQUEST"),
        (b'{"a":' * 500 + b"1" + b"}" * 500, 400, "BAD_REQUEST"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, 400, "LIMIT_EXCEEDED"),
        (b'{"query":"{a}","variables":{"v":' + b"[" * 500 + b"]" * 500 + b"}}", 400, "LIMIT_EXCEEDED"),
        (b'{"query":"{a}","variables":{"v":"' + b"x" * 500_000 + b'"}}', 400, "LIMIT_EXCEEDED"),
        (b'{"query":"{a}","variables":{"v":' + b"9" * 100_000 + b"}}", 400, "BAD_REQUEST"),
        (b"\0" * 1_000, 400, "BAD_REQUEST"),
        (GOOD + b"\0", 400, "BAD_REQUEST"),
        (b'{"query":"{ \xff }"}', 400, "BAD_REQUEST"),
        (b"\xff" * 1_000, 400, "BAD_REQUEST"),
        (b'{"query":"\\ud800"}', 400, "BAD_REQUEST"),
        (b'{"query":"\\u0000"}', 200, "GRAPHQL_PARSE_FAILED"),
        (query("{ __typename" + "\0" * 1_000), 200, "GRAPHQL_PARSE_FAILED"),
        (query("{a" * 500 + "}" * 500), 400, "LIMIT_EXCEEDED"),
        (query("{" * 100_000), 400, "LIMIT_EXCEEDED"),
        (query("a " * 60_000), 400, "LIMIT_EXCEEDED"),
        (query("{" + "a " * 60_000 + "}"), 400, "LIMIT_EXCEEDED"),
        (query("{" + "," * 900_000 + "}"), 400, "LIMIT_EXCEEDED"),
        (query("{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }"), 200, "GRAPHQL_VALIDATION_FAILED"),
        (query("{ " + "__typename " * 4_900 + "}"), 400, "LIMIT_EXCEEDED"),
    ],
    ids=lambda value: value[:24].decode("latin-1") if isinstance(value, bytes) else None,
)
async def test_a_bad_body_gets_a_clean_answer(gateway: Gateway, body: bytes, status: int, code: str) -> None:
    answer = await exchange(gateway, post(body))
    assert (answer.status, answer.code) == (status, code)
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert set(answer.errors[0]["extensions"]) - {"limit"} == {"code", "category", "requestId", "timestamp"}


@pytest.mark.parametrize(
    "target",
    [
        "/graphql?query=%ff",
        "/graphql?query=%00",
        "/graphql?query=" + "{a" * 500,
        "/graphql?query={a}&variables=" + "[" * 5_000,
        "/graphql?" + "a=b&" * 10_000,
        "/graphql?query=" + "x" * 60_000,
        "/graphql?%00=%00",
        "/graphql?query=%7B__typename%7D&variables=%00",
    ],
    ids=lambda target: target[:30],
)
async def test_a_bad_address_gets_a_clean_answer(gateway: Gateway, target: str) -> None:
    request = (
        f"GET {target} HTTP/1.1\r\nhost: g\r\nconnection: close\r\naccept: application/graphql-response+json\r\n\r\n"
    )
    answer = await exchange(gateway, request.encode("latin-1"))
    assert answer.status == 400
    assert answer.errors


@pytest.mark.parametrize(
    "header",
    [
        "accept: " + '"' + '\\"' * 30_000,
        "accept: application/json;q=\xff",
        "content-type: application/json; charset=\xff",
        "content-type: application/json;" + "a=b;" * 10_000 + "charset=utf-16",
        "content-encoding: gzip",
        "x-request-id: \xff\xfe",
        "cookie: " + "a" * 50_000,
    ],
    ids=lambda header: header[:32],
)
async def test_a_bad_header_gets_a_clean_answer(gateway: Gateway, header: str) -> None:
    answer = await exchange(gateway, post(GOOD, header))
    assert answer.status in (200, 400, 406, 415)
    assert isinstance(msgspec.json.decode(answer.body), dict)


@pytest.mark.parametrize(
    "request_bytes",
    [
        GARBAGE,
        b"\0" * 1_000,
        b"GET\r\n\r\n",
        b"POST /graphql HTTP/9.9\r\n\r\n",
        b"GET /graphql?query=" + b"x" * 200_000 + b" HTTP/1.1\r\n\r\n",
        post(GOOD, length=-5),
        post(b"", "transfer-encoding: chunked") + b"zz\r\ngarbage\r\n",
        post(b"", "transfer-encoding: chunked", "content-length: 5") + b"5\r\nhello\r\n0\r\n\r\n",
    ],
    ids=[
        "garbage",
        "NULs",
        "no version",
        "version",
        "long address",
        "negative length",
        "chunk size",
        "chunked and a length",
    ],
)
async def test_what_is_not_http_is_400(gateway: Gateway, request_bytes: bytes) -> None:
    answer = await exchange(gateway, request_bytes, finish=True)
    assert answer.status == 400


async def test_a_body_longer_than_its_length_is_cut_there(gateway: Gateway) -> None:
    answer = await exchange(gateway, post(GOOD + b"more than was said", length=len(GOOD)))
    assert (answer.status, answer.body) == (200, b'{"data":{"__typename":"Query"}}')


async def test_a_body_shorter_than_its_length_is_not_answered_once_the_client_is_gone(gateway: Gateway) -> None:
    async with asyncio.timeout(DEADLINE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.server.port)
        writer.write(post(GOOD, length=len(GOOD) + 1))
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_a_length_over_the_limit_is_413_before_the_body_comes(gateway: Gateway) -> None:
    answer = await exchange(gateway, post(b"", length=10**12))
    assert (answer.status, answer.code) == (413, "PAYLOAD_TOO_LARGE")
    assert answer.headers["connection"] == "close"


async def test_chunks_without_an_end_are_413_and_the_connection_is_closed(gateway: Gateway) -> None:
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    answer = await exchange(gateway, post(b"", "transfer-encoding: chunked") + chunk * 40)
    assert (answer.status, answer.code) == (413, "PAYLOAD_TOO_LARGE")


async def test_a_body_in_chunks_is_read(gateway: Gateway) -> None:
    chunks = b"".join(b"1\r\n" + bytes([byte]) + b"\r\n" for byte in GOOD) + b"0\r\n\r\n"
    answer = await exchange(gateway, post(b"", "transfer-encoding: chunked") + chunks)
    assert (answer.status, answer.body) == (200, b'{"data":{"__typename":"Query"}}')


async def test_a_body_that_never_comes_is_408_and_the_connection_is_closed() -> None:
    clock = ManualClock()
    async with running_gateway(clock=clock) as gateway:
        before = len(clock.timeouts)
        asking = asyncio.create_task(exchange(gateway, post(GOOD[:5], length=100)))
        await clock.wait_for_timeouts(before + 1)
        await clock.advance(30)
        answer = await asking
        assert (answer.status, answer.code) == (408, "REQUEST_TIMEOUT")
        await gateway.server.wait_for_connections(0)


async def test_a_client_that_goes_ends_its_request() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def waits(_: Exchange) -> Answer:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError("nothing sets this event")

    async with asyncio.timeout(DEADLINE_S), serve(endpoint(waits)) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(post(GOOD))
        await began.wait()
        writer.close()
        await ended.wait()
        await server.wait_for_connections(0)
        await until_true(lambda: server.running_requests == 0, "the request to end")
