"""The WebSocket at /graphql: `protocol` says what is to be done, this does it.

One task reads, each operation has a task, and one waits for the end; all of them are gone when the call returns. A
client that reads slowly is not sent more than it takes: the operation waits, and so does its source.
"""

import asyncio
import re
import uuid
from collections.abc import Coroutine, Mapping
from contextlib import aclosing, suppress
from typing import Any

import msgspec
from starlette.types import Message, Receive, Scope, Send

from gateway.http.cors import AllowedOrigin
from gateway.http.endpoint import OnError, encode, headers_of
from gateway.http.errors import Overloaded, RequestError, masked_entry, refusal_entries
from gateway.http.negotiation import MediaType
from gateway.http.params import GraphQLParams
from gateway.subscriptions.connections import Connection, Connections
from gateway.subscriptions.protocol import (
    SUBPROTOCOL,
    Begin,
    Close,
    CloseCode,
    End,
    Initialise,
    Protocol,
    Refuse,
    Reply,
    complete_message,
    error_message,
    next_message,
)
from gateway.subscriptions.responses import Answering, StreamExchange

_HEADER_VALUE = re.compile(r"[\t -~]+")
_RETRY_AFTER_S = 5
_NOT_ACCEPTABLE = Close(CloseCode.SUBPROTOCOL_NOT_ACCEPTABLE, f"Subprotocol not acceptable, use {SUBPROTOCOL}")
_INIT_TIMEOUT = Close(CloseCode.INIT_TIMEOUT, "Connection initialisation timeout")
_BINARY = Close(CloseCode.INVALID_MESSAGE, "Invalid message: binary")
_TOO_LARGE = Close(CloseCode.TOO_LARGE, "Message too large")
_TOO_MANY = "This connection has {limit} operations already; end one, or connect once more."


class WebSocketEndpoint:
    """The ASGI application for scopes of type `websocket`.

    Args:
        answering: answers operations.
        connections: all that stay.
        on_error: told of every exception that is not a `RequestError`; must not raise.
        max_message_bytes: of a client; a larger one closes the socket with 1009.
        allowed_origin: whether pages of an origin other than the gateway's own may connect, by what `cors` says.
    """

    def __init__(
        self,
        answering: Answering,
        connections: Connections,
        *,
        on_error: OnError,
        max_message_bytes: int,
        allowed_origin: AllowedOrigin,
    ) -> None:
        self._answering = answering
        self._connections = connections
        self._on_error = on_error
        self._max_message_bytes = max_message_bytes
        self._allowed_origin = allowed_origin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one WebSocket to its end."""
        if (await receive())["type"] != "websocket.connect":
            return
        headers = headers_of(scope)
        with suppress(OSError):  # the client is gone (ASGI, "Send")
            if not self._answering.has_subscriptions:
                await _refuse(scope, send, 404, "The schema has no subscriptions.")
                return
            if not self._may_connect(headers):
                await _refuse(scope, send, 403, "Pages of this origin may not connect.")
                return
            try:
                self._connections.check()
            except Overloaded as error:
                await _refuse(scope, send, error.status, str(error), error.headers)
                return
            with self._connections.admitted() as connection:
                await self._serve(scope, headers, receive, send, connection)

    async def _serve(
        self, scope: Scope, headers: Mapping[str, str], receive: Receive, send: Send, connection: Connection
    ) -> None:
        if SUBPROTOCOL not in scope["subprotocols"]:
            await send({"type": "websocket.accept"})
            await send(_closing(_NOT_ACCEPTABLE))
            return
        await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL})
        socket = _Socket(
            answering=self._answering,
            connections=self._connections,
            connection=connection,
            on_error=self._on_error,
            scope=scope,
            headers=headers,
            receive=receive,
            send=send,
        )
        await socket.run(self._max_message_bytes)

    def _may_connect(self, headers: Mapping[str, str]) -> bool:
        """Browsers let any page open a WebSocket anywhere, with cookies, and say whose page it is; others do not."""
        origin = headers.get("origin")
        if origin is None:
            return True
        scheme, _, authority = origin.partition("://")
        return (scheme in ("http", "https") and authority == headers.get("host")) or self._allowed_origin(
            origin, headers
        )


class _Socket:
    """One WebSocket, accepted."""

    def __init__(
        self,
        *,
        answering: Answering,
        connections: Connections,
        connection: Connection,
        on_error: OnError,
        scope: Scope,
        headers: Mapping[str, str],
        receive: Receive,
        send: Send,
    ) -> None:
        self._answering = answering
        self._clock = connections.clock
        self._settings = connections.settings
        self._sending = connections.sending
        self._connection = connection
        self._on_error = on_error
        self._scope = scope
        self._headers = headers
        self._receive = receive
        self._asgi_send = send
        self._protocol = Protocol()
        self._init = connection.end_later(self._settings.init_timeout_s, _INIT_TIMEOUT)
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, max_message_bytes: int) -> None:
        """Until one side ends it."""
        async with asyncio.TaskGroup() as group:
            self._start(group, self._read(group, max_message_bytes))
            close = await self._connection.until_ended()
            for task in self._tasks:
                task.cancel()
            if close is not None:
                with suppress(OSError), self._sending.block():  # TimeoutError is one
                    await self._asgi_send(_closing(close))

    def _start(self, group: asyncio.TaskGroup, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _read(self, group: asyncio.TaskGroup, max_message_bytes: int) -> None:
        try:
            while not self._connection.ended:
                message = await self._receive()
                if message["type"] == "websocket.disconnect":
                    self._connection.end()
                elif (text := message.get("text")) is None:
                    self._connection.end(_BINARY)
                elif len(text) > max_message_bytes:
                    self._connection.end(_TOO_LARGE)
                else:
                    await self._take(text, group)
        except Exception as error:  # noqa: BLE001  # the last resort: told to on_error
            self._on_error(error, "websocket")
            self._connection.end(Close(CloseCode.INTERNAL_ERROR, "Internal error"))

    async def _take(self, text: str, group: asyncio.TaskGroup) -> None:
        """Do what a message of the client asks for."""
        match self._protocol.received(text):
            case Begin(id=id_, params=params):
                if len(self._tasks) > self._settings.max_per_connection:  # one of them reads
                    self._protocol.finish(id_)
                    error = Overloaded(_RETRY_AFTER_S, _TOO_MANY.format(limit=self._settings.max_per_connection))
                    await self._send(self._refusal(id_, error, uuid.uuid4().hex))
                else:
                    self._operations[id_] = self._start(group, self._operate(id_, params))
            case End(id=id_):
                self._operations.pop(id_).cancel()
            case Reply(text=reply):
                await self._send(reply)
            case Initialise(payload=payload):
                await self._initialise(payload)
            case Refuse(id=id_, error=error):
                await self._send(self._refusal(id_, error, uuid.uuid4().hex))
            case Close() as close:
                self._connection.end(close)

    async def _initialise(self, payload: Mapping[str, Any]) -> None:
        self._init.cancel()
        given = next((value for name, value in payload.items() if name.lower() == "authorization"), None)
        if given is not None and "authorization" not in self._headers:  # of the two, a proxy has seen the header
            if not isinstance(given, str) or not _HEADER_VALUE.fullmatch(given):
                self._connection.end(Close(CloseCode.INVALID_MESSAGE, "authorization must be text fit for a header"))
                return
            self._headers = {**self._headers, "authorization": given}
        try:
            caller = await self._answering.caller(self._exchange(GraphQLParams(), uuid.uuid4().hex))
        except RequestError as error:
            self._connection.end(Close(CloseCode.FORBIDDEN, f"Forbidden: {error}"))
            return
        self._connection.expire_with(caller)
        await self._send(self._protocol.acknowledge())

    def _exchange(self, params: GraphQLParams, request_id: str) -> StreamExchange:
        return StreamExchange(
            request_id=request_id,
            method="POST",
            headers=self._headers,
            params=params,
            media_type=MediaType.JSON,
            scope=self._scope,
        )

    async def _operate(self, id_: str, params: GraphQLParams) -> None:
        """One operation, from its first answer to its last message; after a cancellation nothing is sent of it."""
        request_id = uuid.uuid4().hex
        try:
            async with aclosing(self._answering.answers(self._exchange(params, request_id))) as answers:
                async for answer in answers:
                    if answer.data is msgspec.UNSET:
                        await self._end_operation(id_, error_message(id_, answer.errors))
                        return
                    await self._send(next_message(id_, encode(answer)))
            await self._end_operation(id_, complete_message(id_))
        except RequestError as error:
            await self._end_operation(id_, self._refusal(id_, error, request_id))
        except Exception as error:  # noqa: BLE001  # the last resort: masked here, told to on_error
            self._on_error(error, request_id)
            await self._end_operation(id_, error_message(id_, [masked_entry(request_id, self._clock.wall())]))

    async def _end_operation(self, id_: str, last: str) -> None:
        """Its id is free before the client can know, which may use it again at once, or has: then nothing is sent."""
        if self._operations.get(id_) is asyncio.current_task():
            del self._operations[id_]
            self._protocol.finish(id_)
            await self._send(last)

    def _refusal(self, id_: str, error: RequestError, request_id: str) -> str:
        return error_message(id_, refusal_entries(error, request_id, self._clock.wall()))

    async def _send(self, text: str) -> None:
        """Send a message; waits while the client takes none. One that takes none for too long has gone."""
        try:
            with self._sending.block():
                await self._asgi_send({"type": "websocket.send", "text": text})
        except (TimeoutError, OSError):
            self._connection.end()


def _closing(close: Close) -> Message:
    return {"type": "websocket.close", "code": int(close.code), "reason": close.reason}


async def _refuse(scope: Scope, send: Send, status: int, reason: str, headers: Mapping[str, str] | None = None) -> None:
    """Answer the upgrade with an HTTP response where the server can, with its own refusal otherwise."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "reason": reason})
        return
    raw = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
    raw += [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    await send({"type": "websocket.http.response.start", "status": status, "headers": raw})
    await send({"type": "websocket.http.response.body", "body": reason.encode()})
