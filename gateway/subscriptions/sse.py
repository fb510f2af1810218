"""Event streams at /graphql: graphql-sse's "distinct connections", one operation each.

GraphQL over Server-Sent Events Protocol, https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md; HTML
standard, §9.2 Server-sent events.
"""

import asyncio
from contextlib import aclosing, suppress

import msgspec
from starlette.types import Receive, Send

from gateway.http.endpoint import Answer, Exchange, OnError, encode
from gateway.http.errors import RequestError, masked_entry, refusal_entries
from gateway.subscriptions.connections import Connection, Connections
from gateway.subscriptions.protocol import Close, CloseCode
from gateway.subscriptions.responses import Answering, StreamExchange

_COMPLETE = b"event: complete\ndata:\n\n"  # without `data` a browser's EventSource would not tell of it
_DONE = Close(CloseCode.NORMAL, "")
_SAME_LINE = bytes.maketrans(b"\r\n", b"  ")  # in JSON they are nothing but space between tokens
_KEEP_ALIVE = b":\n\n"
_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"vary", b"accept"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-accel-buffering", b"no"),  # nginx would wait until it has a buffer full
)


class EventStreams:
    """Answers an exchange with a stream: `next` for each answer, and `complete`.

    What is wrong with an operation is in the stream, too. A stream that ends without `complete` was cut off: the client
    is to ask again. A client that reads slowly is not sent more than it takes.
    """

    def __init__(self, answering: Answering, connections: Connections, on_error: OnError) -> None:
        self._answering = answering
        self._connections = connections
        self._on_error = on_error

    async def __call__(self, exchange: Exchange, receive: Receive, send: Send) -> None:
        """Serve one stream to its end.

        Raises:
            RequestError: it is not begun: nobody may ask this, or there are too many.
        """
        asked = StreamExchange(
            request_id=exchange.request_id,
            method=exchange.method,
            headers=exchange.headers,
            params=exchange.params,
            media_type=exchange.media_type,
            scope=exchange.scope,
        )
        caller = await self._answering.caller(asked)
        with self._connections.admitted() as connection:
            connection.expire_with(caller)
            stream = _Stream(self._connections, connection, send)
            with suppress(OSError):  # the client is gone (ASGI, "Send")
                request_id = (b"x-request-id", asked.request_id.encode("latin-1"))
                await send({"type": "http.response.start", "status": 200, "headers": [*_HEADERS, request_id]})
                async with asyncio.TaskGroup() as group:
                    tasks = [
                        group.create_task(self._answer(asked, stream)),
                        group.create_task(stream.keep_alive()),
                        group.create_task(_watch(receive, connection)),
                    ]
                    close = await connection.until_ended()
                    for task in tasks:
                        task.cancel()
                if close is not None:
                    await stream.finish()

    async def _answer(self, exchange: StreamExchange, stream: "_Stream") -> None:
        try:
            async with aclosing(self._answering.answers(exchange)) as answers:
                async for answer in answers:
                    await stream.next(answer)
                    if answer.data is msgspec.UNSET:
                        break
        except RequestError as error:
            entries = refusal_entries(error, exchange.request_id, self._connections.clock.wall())
            await stream.next(Answer(errors=entries))
        except Exception as error:  # noqa: BLE001  # the last resort: masked here, told to on_error
            self._on_error(error, exchange.request_id)
            await stream.next(Answer(errors=[masked_entry(exchange.request_id, self._connections.clock.wall())]))
        await stream.complete()


class _Stream:
    """The body of one response."""

    def __init__(self, connections: Connections, connection: Connection, send: Send) -> None:
        self._connections = connections
        self._connection = connection
        self._asgi_send = send

    async def next(self, answer: Answer) -> None:
        """One answer."""
        await self._send(b"event: next\ndata: " + encode(answer).translate(_SAME_LINE) + b"\n\n")

    async def complete(self) -> None:
        """There are no more answers."""
        await self._send(_COMPLETE)
        self._connection.end(_DONE)

    async def keep_alive(self) -> None:
        """A comment now and then, so that proxies do not take the connection for dead."""
        while True:
            await self._connections.clock.sleep(self._connections.settings.keep_alive_s)
            await self._send(_KEEP_ALIVE)

    async def finish(self) -> None:
        """End the body."""
        with suppress(TimeoutError), self._connections.sending.block():
            await self._asgi_send({"type": "http.response.body", "body": b""})

    async def _send(self, body: bytes) -> None:
        try:
            with self._connections.sending.block():
                await self._asgi_send({"type": "http.response.body", "body": body, "more_body": True})
        except (TimeoutError, OSError):
            self._connection.end()


async def _watch(receive: Receive, connection: Connection) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    connection.end()
