"""GraphQL over HTTP as an ASGI application: reads a request, asks the handler, writes the answer.

GraphQL over HTTP (draft), sections Request, Response and Status Codes. What the operation means is the handler's
business; this module knows no schema.
"""

import ipaddress
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from random import Random
from typing import Any, TypeAlias

import msgspec
from graphql import OperationType
from starlette.types import ASGIApp, Receive, Scope, Send

from clients.clock import Clock, SystemClock
from clients.timeouts import Delays, Timeouts
from gateway.http import csrf, params
from gateway.http.batching import Batching, answered
from gateway.http.disconnect import PATIENCE_S, ClientDisconnected, until_disconnected
from gateway.http.errors import (
    BodyTimeout,
    MethodNotAllowed,
    OperationUnsupported,
    PayloadTooLarge,
    RequestError,
    UriTooLong,
    masked_entry,
    refusal_entries,
)
from gateway.http.inflating import inflated
from gateway.http.negotiation import MediaType, check_content_type, negotiate, prefers_events, prefers_html
from gateway.http.params import GraphQLParams, ParamLimits
from gateway.http.shedding import Shedding
from gateway.http.uploads import Uploads


class Exchange(msgspec.Struct, frozen=True):
    """One request, read and checked, as the handler gets it.

    Attributes:
        request_id: goes into every error and into the response header `x-request-id`.
        headers: of the request, by lower-case name; not filtered. Several of one name are joined.
        media_type: what the answer will be written as.
        scope: the ASGI scope, for what other layers put into its `state`.
    """

    request_id: str
    method: str
    headers: Mapping[str, str]
    params: GraphQLParams
    media_type: MediaType
    scope: Scope

    def __repr__(self) -> str:
        return f"Exchange({self.request_id!r}, {self.method})"  # no header: it may be a credential

    def check_operation(self, kind: OperationType) -> None:
        """Raise unless the HTTP request may carry such an operation.

        Raises:
            MethodNotAllowed: a mutation over GET (GraphQL over HTTP, section GET).
            OperationUnsupported: a subscription, which has more than one answer.
        """
        if kind is OperationType.SUBSCRIPTION:
            raise OperationUnsupported(
                "A subscription is asked over WebSocket (graphql-transport-ws), or with Accept: text/event-stream."
            )
        if kind is not OperationType.QUERY and self.method != "POST":
            raise MethodNotAllowed("A mutation needs a POST request.", allow="POST")


class Answer(msgspec.Struct, frozen=True):
    """What the handler gives back: the three entries of a GraphQL response, and how to send them.

    Attributes:
        data: anything msgspec encodes; left out, it says that nothing was executed (a request error).
        errors: entries made by `gateway.http.errors.error_entry`, sent as they are.
        extensions: by name.
        status: of the response; None follows the specification for the media type.
        headers: of the response, by lower-case name, beside the endpoint's own.
        more_headers: lines with names that may repeat.
        body: what `encode` makes of it, for many that are given the same; None: it is encoded when it is sent.
        plan: how it was found, for the log; not sent.
    """

    data: Any = msgspec.UNSET
    errors: Sequence[Mapping[str, Any]] = ()
    extensions: Mapping[str, Any] | None = None
    status: int | None = None
    headers: Mapping[str, str] = {}
    more_headers: Sequence[tuple[str, str]] = ()
    body: bytes | None = None
    plan: Any = None


Handler: TypeAlias = Callable[[Exchange], Awaitable[Answer]]
"""Executes an exchange. May raise any `RequestError`; is cancelled when the client goes away."""

Streams: TypeAlias = Callable[[Exchange, Receive, Send], Awaitable[None]]
"""Answers an exchange with an event stream. Raises a `RequestError` only as long as nothing has been sent."""

OnError: TypeAlias = Callable[[Exception, str], None]
"""Gets the cause of an answer that was masked, and the request id that the client was told."""

OnRefused: TypeAlias = Callable[[RequestError, str], None]
"""Gets the error that refuses a request, and the request id that the client is told."""


def new_request_id(_headers: Mapping[str, str]) -> str:
    """A random id."""
    return os.urandom(16).hex()


class GraphQLEndpoint:
    """The ASGI application at `/graphql`.

    Args:
        handler: executes what was asked for.
        on_error: told of every exception that is not a `RequestError`; must not raise.
        on_refused: told of every `RequestError`; must not raise.
        graphiql: the page for browsers, served when `Accept` prefers `text/html`; None serves none.
        max_body_bytes: of a request's body, and of its query string.
        body_timeout_s: to receive a whole body.
        param_limits: of `variables` and `extensions`.
        request_id: finds the id of a request in its headers, or makes one.
        clock: for `body_timeout_s` and the timestamps in errors.
        shedding: refuses requests when there are too many; None takes all.
        streams: answers those who would rather have an event stream; None has none.
        batching: reads several requests in one; None takes one at a time.
        uploads: reads requests that bring files; None takes none.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        on_error: OnError,
        on_refused: OnRefused = lambda _error, _request_id: None,
        graphiql: ASGIApp | None = None,
        max_body_bytes: int = 1_000_000,
        body_timeout_s: float = 30.0,
        param_limits: ParamLimits | None = None,
        request_id: Callable[[Mapping[str, str]], str] = new_request_id,
        clock: Clock | None = None,
        shedding: Shedding | None = None,
        streams: Streams | None = None,
        batching: Batching | None = None,
        uploads: Uploads | None = None,
    ) -> None:
        self._handler = handler
        self._on_error = on_error
        self._on_refused = on_refused
        self._graphiql = graphiql
        self._max_body_bytes = max_body_bytes
        self._body_timeout_s = body_timeout_s
        self._param_limits = param_limits or ParamLimits()
        self._request_id = request_id
        self._clock = clock or SystemClock()
        self._streams = streams
        self._body_timeouts = Timeouts(body_timeout_s, self._clock)
        self._batching = batching
        self._uploads = uploads
        self._patience = Delays(PATIENCE_S, SystemClock())  # a time of sockets, whatever a test's clock says
        self._shedding = shedding or Shedding(max_in_flight=None, max_lag_s=None, clock=self._clock, random=Random())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. Returns without an answer when the client has gone."""
        method: str = scope["method"]
        headers = headers_of(scope)
        accept = headers.get("accept") or None
        if self._graphiql is not None and method == "GET" and prefers_html(accept):
            await self._graphiql(scope, receive, send)
            return
        request_id = self._request_id(headers)
        media_type = MediaType.JSON
        try:
            # The method first: a wrong one is wrong whatever it accepts.
            self._check_method(method)
            events = self._streams is not None and accept is not None and prefers_events(accept)
            media_type = MediaType.JSON if events else negotiate(accept)
            self._shedding.check()
            if self._uploads is not None and self._uploads.asked(method, headers):
                reading = self._uploads.received(receive, headers, self._param_limits)
                status, body, answer = await self._answer_form(
                    reading, scope, receive, headers=headers, media_type=media_type, request_id=request_id
                )
            else:
                received = self._query_string(scope, headers) if method == "GET" else await self._body(receive, headers)
                if events and self._streams is not None:
                    exchange = self._exchange(scope, headers, received, media_type, request_id)
                    await self._streams(exchange, receive, send)
                    return
                if self._batching is not None and (parts := self._batching.parts(method, received)):
                    status, body, answer = await self._answer_batch(parts, scope, receive, headers, request_id)
                else:
                    with self._shedding:  # only now: a client that sends slowly takes nobody's place
                        exchange = self._exchange(scope, headers, received, media_type, request_id)
                        answer = await until_disconnected(self._handler(exchange), receive, self._patience)
                        status = answer.status or media_type.status_of_result(has_data=answer.data is not msgspec.UNSET)
                        body = answer.body or encode(answer)
        except ClientDisconnected:
            return
        except RequestError as error:
            self._on_refused(error, request_id)
            answer = self._refusal(error, request_id)
            status, body = media_type.status_of(error), encode(answer)
        except Exception as error:  # noqa: BLE001  # the last resort: masked here, told to on_error
            self._on_error(error, request_id)
            answer = self._masked(request_id)
            status, body = 500, encode(answer)
        raw = [
            *_FIXED_HEADERS[media_type],
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", request_id.encode("latin-1")),
            *((name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()),
        ]
        if answer.more_headers:
            raw += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.more_headers]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": body})

    async def _answer_form(
        self,
        reading: AbstractAsyncContextManager[GraphQLParams],
        scope: Scope,
        receive: Receive,
        *,
        headers: Mapping[str, str],
        media_type: MediaType,
        request_id: str,
    ) -> tuple[int, bytes, Answer]:
        """The answer to a request that brings files, which are there for as long as it takes."""
        async with reading as form:
            with self._shedding:
                exchange = Exchange(
                    request_id=request_id,
                    method="POST",
                    headers=headers,
                    params=form,
                    media_type=media_type,
                    scope=scope,
                )
                answer = await until_disconnected(self._handler(exchange), receive, self._patience)
                status = answer.status or media_type.status_of_result(has_data=answer.data is not msgspec.UNSET)
                return status, answer.body or encode(answer), answer

    async def _answer_batch(
        self, parts: Sequence[bytes], scope: Scope, receive: Receive, headers: Mapping[str, str], request_id: str
    ) -> tuple[int, bytes, Answer]:
        """The array of answers: 200 whatever became of each (appendix Request Batching, Batching Response Format)."""

        async def one(part: bytes) -> tuple[bytes, Mapping[str, str]]:
            try:
                exchange = self._exchange(scope, headers, part, MediaType.JSON, request_id)
                answer = await self._handler(exchange)
                return answer.body or encode(answer), answer.headers
            except RequestError as error:
                self._on_refused(error, request_id)
                answer = self._refusal(error, request_id)
            except Exception as error:  # noqa: BLE001  # as for a request of its own
                self._on_error(error, request_id)
                answer = self._masked(request_id)
            return encode(answer), {}

        with self._shedding.several(len(parts)):
            body, shared = await until_disconnected(answered(parts, one), receive, self._patience)
        return 200, body, Answer(headers=shared)

    @staticmethod
    def _check_method(method: str) -> None:
        if method not in ("GET", "POST"):
            raise MethodNotAllowed("GraphQL is asked with GET or POST.", allow="GET, POST")

    def _query_string(self, scope: Scope, headers: Mapping[str, str]) -> bytes:
        csrf.check_get(headers)
        query_string: bytes = scope["query_string"]
        if len(query_string) > self._max_body_bytes:
            raise UriTooLong(f"The query string is larger than {self._max_body_bytes} bytes.")
        return query_string

    def _exchange(
        self, scope: Scope, headers: Mapping[str, str], received: bytes, media_type: MediaType, request_id: str
    ) -> Exchange:
        read = params.from_query_string if scope["method"] == "GET" else params.from_body
        return Exchange(
            request_id=request_id,
            method=scope["method"],
            headers=headers,
            params=read(received, self._param_limits),
            media_type=media_type,
            scope=scope,
        )

    async def _body(self, receive: Receive, headers: Mapping[str, str]) -> bytes:
        """The whole body, decompressed."""
        if check_content_type(headers.get("content-type"), headers.get("content-encoding")):
            return await inflated(await self._received(receive, headers), self._max_body_bytes)
        return await self._received(receive, headers)

    async def _received(self, receive: Receive, headers: Mapping[str, str]) -> bytes:
        """The body as it comes. What `Content-Length` says can only refuse it early; what arrives is counted."""
        stated = headers.get("content-length", "")
        if stated.isascii() and stated.isdigit() and int(stated[:20]) > self._max_body_bytes:
            raise self._too_large()
        chunks: list[bytes] = []
        size = 0
        try:
            with self._body_timeouts.block():
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientDisconnected
                    chunk: bytes = message.get("body", b"")
                    size += len(chunk)
                    if size > self._max_body_bytes:
                        raise self._too_large()
                    chunks.append(chunk)
                    if not message.get("more_body", False):
                        return b"".join(chunks)
        except TimeoutError as error:
            raise BodyTimeout(f"The body did not arrive within {self._body_timeout_s:g} s.", headers=_CLOSE) from error

    def _too_large(self) -> PayloadTooLarge:
        return PayloadTooLarge(f"The body is larger than {self._max_body_bytes} bytes.", headers=_CLOSE)

    def _refusal(self, error: RequestError, request_id: str) -> Answer:
        return Answer(errors=refusal_entries(error, request_id, self._clock.wall()), headers=error.headers)

    def _masked(self, request_id: str) -> Answer:
        return Answer(errors=[masked_entry(request_id, self._clock.wall())])


def headers_of(scope: Scope) -> dict[str, str]:
    """By lower-case name, as ASGI gives them; several of one name are joined (RFC 9110 §5.3)."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


_FIXED_HEADERS = {
    media_type: (
        (b"content-type", media_type.content_type.encode()),
        (b"vary", b"accept"),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    )
    for media_type in MediaType
}

# What is left of a body is not read: the connection cannot be used again.
_CLOSE = {"connection": "close"}


class _Envelope(msgspec.Struct):
    """The order of the entries in every answer."""

    data: Any = msgspec.UNSET
    errors: Any = msgspec.UNSET
    extensions: Any = msgspec.UNSET


def _encode_scalar(value: object) -> object:
    """What custom scalars may give that msgspec does not know; anything else is a mistake and stays a TypeError."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, ipaddress.IPv4Address | ipaddress.IPv6Address):
        return str(value)
    raise TypeError(f"a {type(value).__name__} is not JSON")


_encoder = msgspec.json.Encoder(enc_hook=_encode_scalar)


def encode(answer: Answer) -> bytes:
    """The body of a response."""
    return _encoder.encode(
        _Envelope(
            data=answer.data,
            errors=list(answer.errors) or msgspec.UNSET,
            extensions=answer.extensions or msgspec.UNSET,
        )
    )
