"""What a gateway on a socket is not easily brought to: failures of its own, credentials that end, odd servers."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import pytest
from starlette.types import Message

from clients.call import Caller
from gateway.http.endpoint import Answer, Exchange
from gateway.http.errors import RequestError
from gateway.http.negotiation import MediaType
from gateway.http.params import GraphQLParams
from gateway.subscriptions.config import SubscriptionsConfig
from gateway.subscriptions.connections import Connections
from gateway.subscriptions.responses import StreamExchange
from gateway.subscriptions.sse import EventStreams
from gateway.subscriptions.websocket import WebSocketEndpoint
from tests.testkit.clock import ManualClock

INIT = {"type": "websocket.receive", "text": '{"type":"connection_init"}'}
ASK = {"type": "websocket.receive", "text": '{"type":"subscribe","id":"1","payload":{"query":"{ a }"}}'}


class Answers:
    """Fails as it is told to."""

    has_subscriptions = True

    def __init__(self, *, caller: Caller | Exception | None = None, answers: Exception | None = None) -> None:
        self._caller = caller
        self._answers = answers

    async def caller(self, exchange: StreamExchange) -> Caller:
        if isinstance(self._caller, Exception):
            raise self._caller
        return self._caller or Caller(exchange.request_id, exchange.request_id)

    async def answers(self, exchange: StreamExchange) -> AsyncGenerator[Answer, None]:
        yield Answer(data={"a": 1})
        if self._answers is not None:
            raise self._answers
        await asyncio.Event().wait()


class Talk:
    """One WebSocket, as ASGI; the client says what it is given and then nothing."""

    def __init__(
        self, answering: Answers, *said: Message, connections: Connections | None = None, gone_at: str = ""
    ) -> None:
        self.clock = ManualClock()
        self.connections = Connections(SubscriptionsConfig(), self.clock) if connections is None else connections
        self.errors: list[Exception] = []
        self.sent: asyncio.Queue[Message] = asyncio.Queue()
        self._gone_at = gone_at
        self._said: asyncio.Queue[Message] = asyncio.Queue()
        for message in ({"type": "websocket.connect"}, *said):
            self._said.put_nowait(message)
        self.endpoint = WebSocketEndpoint(
            answering,
            self.connections,
            on_error=lambda error, _: self.errors.append(error),
            max_message_bytes=1_000,
            allowed_origin=lambda _origin, _headers: False,
        )

    async def run(self, *, subprotocols: Any = ("graphql-transport-ws",), **scope: Any) -> list[Message]:
        """Everything that was sent."""
        made = {"type": "websocket", "path": "/graphql", "headers": [], "subprotocols": subprotocols, **scope}
        async with asyncio.timeout(5):
            await self.endpoint(made, self._said.get, self._send)
        return [self.sent.get_nowait() for _ in range(self.sent.qsize())]

    async def _send(self, message: Message) -> None:
        if message["type"] == self._gone_at:
            raise OSError("gone")
        await self.sent.put(message)


async def test_a_failure_of_the_gateway_closes_with_4500_and_goes_to_the_log() -> None:
    failure = ValueError("canary")
    talk = Talk(Answers(caller=failure), INIT)
    sent = await talk.run()
    assert sent[-1] == {"type": "websocket.close", "code": 4500, "reason": "Internal error"}
    assert talk.errors == [failure]


async def test_who_is_refused_is_closed_with_4403() -> None:
    sent = await Talk(Answers(caller=RequestError("no such token")), INIT).run()
    assert sent[-1] == {"type": "websocket.close", "code": 4403, "reason": "Forbidden: no such token"}


async def test_an_operation_that_fails_is_masked_and_the_others_go_on() -> None:
    failure = ValueError("canary")
    talk = Talk(Answers(answers=failure), INIT, ASK)
    running = asyncio.create_task(talk.run())
    texts: list[dict[str, Any]] = []
    while len(texts) < 3:
        message = await talk.sent.get()
        if message["type"] == "websocket.send":
            texts.append(json.loads(message["text"]))
    assert [text["type"] for text in texts] == ["connection_ack", "next", "error"]
    assert texts[2]["payload"][0]["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
    assert "canary" not in str(texts)
    assert talk.errors == [failure]
    talk.connections.drain()
    assert (await running)[-1]["code"] == 1001


async def test_a_credential_that_ends_ends_its_connection_with_4403() -> None:
    clock = ManualClock()
    connections = Connections(SubscriptionsConfig(), clock)
    answers = Answers(caller=Caller("r", "r", expires_at=clock.now() + 60))
    running = asyncio.create_task(Talk(answers, INIT, ASK, connections=connections).run())
    await clock.wait_for_timeouts(1)
    await clock.advance(60)
    assert (await running)[-1] == {"type": "websocket.close", "code": 4403, "reason": "The credential has expired"}
    assert len(connections) == 0


async def test_a_server_that_cannot_answer_an_upgrade_refuses_it_its_own_way() -> None:
    talk = Talk(Answers())
    talk.connections.drain()
    assert await talk.run() == [
        {"type": "websocket.close", "reason": "The gateway is overloaded; try again later."},
    ]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("websocket.accept", []),
        ("websocket.send", [INIT]),
        ("websocket.close", [{"type": "websocket.receive", "text": "nonsense"}]),
    ],
)
async def test_a_peer_that_is_gone_when_something_is_sent_ends_it(kind: str, said: list[Message]) -> None:
    talk = Talk(Answers(), *said, gone_at=kind)
    await talk.run()
    assert talk.errors == []
    assert len(talk.connections) == 0


async def test_an_event_stream_that_fails_says_so_masked_and_completes() -> None:
    failure, errors = ValueError("canary"), list[Exception]()
    connections = Connections(SubscriptionsConfig(), ManualClock())
    streams = EventStreams(Answers(answers=failure), connections, lambda error, _: errors.append(error))
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    exchange = Exchange("r", "POST", {}, GraphQLParams("{ a }"), MediaType.JSON, {})
    async with asyncio.timeout(5):
        await streams(exchange, asyncio.Queue[Message]().get, send)
    body = b"".join(message.get("body", b"") for message in sent)
    assert body.startswith(b'event: next\ndata: {"data":{"a":1}}\n\nevent: next\ndata: {"errors":[')
    assert body.endswith(b"event: complete\ndata:\n\n")
    assert b"canary" not in body
    assert sent[-1] == {"type": "http.response.body", "body": b""}
    assert errors == [failure]


@pytest.mark.parametrize("kind", ["http.response.start", "http.response.body"])
async def test_a_client_of_a_stream_that_is_gone_ends_it(kind: str) -> None:
    connections = Connections(SubscriptionsConfig(), ManualClock())
    errors = list[Exception]()

    async def send(message: Message) -> None:
        if message["type"] == kind:
            raise OSError("gone")

    exchange = Exchange("r", "POST", {}, GraphQLParams("{ a }"), MediaType.JSON, {})
    async with asyncio.timeout(5):
        streams = EventStreams(Answers(), connections, lambda error, _: errors.append(error))
        await streams(exchange, asyncio.Queue[Message]().get, send)
    assert errors == []
    assert len(connections) == 0


async def test_an_answer_is_one_line_of_an_event_whatever_is_in_it() -> None:
    class Breaks(Answers):
        async def answers(self, exchange: StreamExchange) -> AsyncGenerator[Answer, None]:
            yield Answer(data=msgspec.Raw(b'{\n "a":\r\n "b\\n" }'))

    connections = Connections(SubscriptionsConfig(), ManualClock())
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    exchange = Exchange("r", "POST", {}, GraphQLParams("{ a }"), MediaType.JSON, {})
    await EventStreams(Breaks(), connections, lambda *_: None)(exchange, asyncio.Queue[Message]().get, send)
    [line] = [each for each in sent[1]["body"].split(b"\n") if each.startswith(b"data: ")]
    assert json.loads(line.removeprefix(b"data: ")) == {"data": {"a": "b\n"}}
