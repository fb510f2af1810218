"""Bodies as they arrive at the endpoint: in pieces, too large, too slow, or not to the end."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest
from starlette.types import Message, Scope

from gateway.http import GraphQLEndpoint
from tests.gateway.http.support import SchemaHandler, endpoint
from tests.testkit.clock import ManualClock

DISCONNECT: Message = {"type": "http.disconnect"}
QUERY = b'{"query":"{hello}"}'


def piece(content: bytes, *, more: bool = False) -> Message:
    return {"type": "http.request", "body": content, "more_body": more}


class Connection:
    """One POST as a server hands it over; after the last message, silence."""

    def __init__(self, messages: Sequence[Message], headers: dict[str, str] | None = None) -> None:
        self.messages = list(messages)
        self.sent: list[Message] = []
        self.scope: Scope = {
            "type": "http",
            "method": "POST",
            "path": "/graphql",
            "query_string": b"",
            "headers": [
                (name.encode(), value.encode())
                for name, value in {"content-type": "application/json", **(headers or {})}.items()
            ],
        }

    async def receive(self) -> Message:
        if self.messages:
            return self.messages.pop(0)
        await asyncio.Event().wait()
        raise AssertionError("nothing sets this event")

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def through(self, app: GraphQLEndpoint) -> "Connection":
        await app(self.scope, self.receive, self.send)
        return self

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def code(self) -> str:
        (error,) = msgspec.json.decode(self.sent[1]["body"])["errors"]
        return str(error["extensions"]["code"])


async def test_a_body_in_pieces_is_put_together() -> None:
    messages = [piece(QUERY[:3], more=True), piece(b"", more=True), piece(QUERY[3:], more=True), piece(b"")]
    connection = await Connection(messages).through(endpoint())
    assert (connection.status, connection.sent[1]["body"]) == (200, b'{"data":{"hello":"hello world"}}')


async def test_messages_without_their_optional_keys_are_an_empty_body() -> None:
    connection = await Connection([{"type": "http.request"}]).through(endpoint())
    assert (connection.status, connection.code) == (400, "BAD_REQUEST")


async def test_a_body_of_just_the_limit_is_read_and_one_byte_more_is_413() -> None:
    app = endpoint(max_body_bytes=len(QUERY))
    assert (await Connection([piece(QUERY)]).through(app)).status == 200
    connection = await Connection([piece(QUERY + b" ")]).through(app)
    assert (connection.status, connection.code) == (413, "PAYLOAD_TOO_LARGE")
    assert connection.headers["connection"] == "close"


async def test_a_length_over_the_limit_is_413_before_anything_is_read() -> None:
    connection = Connection([piece(QUERY)], {"content-length": "21"})
    await connection.through(endpoint(max_body_bytes=20))
    assert connection.status == 413
    assert connection.messages == [piece(QUERY)]


@pytest.mark.parametrize("length", ["9" * 5_000, "0" * 30 + "9" * 30], ids=["huge", "huge after zeros"])
async def test_a_length_of_very_many_digits_is_no_trouble(length: str) -> None:
    connection = await Connection([piece(b"x" * 21)], {"content-length": length}).through(endpoint(max_body_bytes=20))
    assert connection.status == 413


@pytest.mark.parametrize("length", ["1", "0", "-1", "1e9", "abc", "", "٣٣٣٣", "+99999"])
async def test_a_length_that_lies_does_not_help_a_body_over_the_limit(length: str) -> None:
    pieces = [piece(b"x" * 8, more=True) for _ in range(100)]
    connection = await Connection(pieces, {"content-length": length}).through(endpoint(max_body_bytes=20))
    assert connection.status == 413
    assert len(connection.messages) == 97


async def test_a_body_in_pieces_without_an_end_is_413_once_it_is_over_the_limit() -> None:
    taken = 0

    async def receive() -> Message:
        nonlocal taken
        taken += 1
        return piece(b"x" * 1_000, more=True)

    connection = Connection([])
    await endpoint(max_body_bytes=10_000)(connection.scope, receive, connection.send)
    assert (connection.status, taken) == (413, 11)


async def test_a_body_that_stalls_is_408_and_the_connection_is_closed() -> None:
    clock = ManualClock()
    handler = SchemaHandler()
    connection = Connection([piece(QUERY[:5], more=True)])
    task = asyncio.create_task(connection.through(endpoint(handler, clock=clock, body_timeout_s=5)))
    await clock.wait_for_timeouts(1)
    await clock.advance(4.9)
    assert connection.sent == []
    await clock.advance(0.1)
    await task
    assert (connection.status, connection.code, handler.calls) == (408, "REQUEST_TIMEOUT", 0)
    assert connection.headers["connection"] == "close"


async def test_the_time_for_a_body_is_for_the_whole_of_it() -> None:
    clock = ManualClock()
    pieces: asyncio.Queue[Message] = asyncio.Queue()
    connection = Connection([])
    app = endpoint(clock=clock, body_timeout_s=5)
    task = asyncio.create_task(app(connection.scope, pieces.get, connection.send))
    await clock.wait_for_timeouts(1)
    for _ in range(5):
        pieces.put_nowait(piece(b" ", more=True))
        await clock.advance(1)
    await task
    assert connection.status == 408


async def test_the_time_for_a_body_does_not_count_for_the_handler() -> None:
    clock = ManualClock()

    async def slow(exchange: object) -> object:
        await clock.sleep(100)
        raise ValueError("done")

    connection = Connection([piece(QUERY)])
    task = asyncio.create_task(connection.through(endpoint(slow, clock=clock, body_timeout_s=5)))
    await clock.wait_for_sleepers(1)
    await clock.advance(100)
    await task
    assert connection.status == 500


@pytest.mark.parametrize("before", [[], [piece(QUERY[:5], more=True)], [piece(QUERY, more=True)]])
async def test_a_client_that_goes_before_its_body_is_whole_gets_no_answer(before: list[Message]) -> None:
    handler = SchemaHandler()
    connection = await Connection([*before, DISCONNECT]).through(endpoint(handler))
    assert (connection.sent, handler.calls) == ([], 0)


async def test_a_client_that_goes_while_it_is_answered_ends_the_handler_and_gets_no_answer() -> None:
    ended = asyncio.Event()

    async def waits(exchange: object) -> object:
        try:
            return await asyncio.Event().wait()
        finally:
            ended.set()

    before = asyncio.all_tasks()
    connection = await Connection([piece(QUERY), DISCONNECT]).through(endpoint(waits))
    assert ended.is_set()
    assert connection.sent == []
    assert asyncio.all_tasks() == before


async def test_a_cancellation_from_outside_ends_the_handler_and_passes() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def waits(exchange: object) -> object:
        began.set()
        try:
            return await asyncio.Event().wait()
        finally:
            ended.set()

    before = asyncio.all_tasks()
    connection = Connection([piece(QUERY)])
    task = asyncio.create_task(connection.through(endpoint(waits)))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
    assert connection.sent == []
    assert asyncio.all_tasks() == before


async def test_a_cancellation_while_a_body_is_read_passes() -> None:
    clock = ManualClock()
    connection = Connection([piece(b"", more=True)])
    task = asyncio.create_task(connection.through(endpoint(clock=clock)))
    await clock.wait_for_timeouts(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert connection.sent == []
