"""Calls as an upstream sees them, and the ways it can answer, well or badly."""

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Message, Send

from clients.call import ProtocolName
from clients.clock import Clock, SystemClock
from tests.testkit.waiting import DEADLINE_S, Signal

_CHUNK = 65_536


class RecordedCall:
    """What reached the upstream.

    Attributes:
        number: counts from 1, per protocol.
        raw_path: path and query as they were sent.
        query: every value of every query parameter.
        headers: by lower-case name; of repeated ones the last.
        hung_up: the connection was lost before the answer was out: the client went away, or `refuse` cut it.
        status: of the answer; None until one starts.
    """

    def __init__(self, protocol: ProtocolName, number: int, request: Request, body: bytes, changed: Signal) -> None:
        self.protocol = protocol
        self.number = number
        self.method = request.method
        self.path = request.url.path
        self.query_string = request.url.query
        self.raw_path = request.scope["raw_path"].decode() + (f"?{self.query_string}" if self.query_string else "")
        self.query = parse_qs(request.url.query, keep_blank_values=True)
        self.headers = {name.lower(): value for name, value in request.headers.items()}
        self.body = body
        self.hung_up = False
        self.status: int | None = None
        self._changed = changed

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)

    @property
    def document(self) -> str:
        """The GraphQL document."""
        document: str = self.json["query"]
        return document

    @property
    def variables(self) -> dict[str, Any]:
        """The GraphQL variables."""
        return self.json.get("variables") or {}

    async def wait_for_hang_up(self, *, deadline_s: float = DEADLINE_S) -> None:
        """Return once the client has gone away without its answer.

        Raises:
            TimeoutError: it stays.
        """
        await self._changed.until(lambda: self.hung_up, f"the client of {self} to hang up", deadline_s=deadline_s)

    def __repr__(self) -> str:
        return f"<{self.protocol} call {self.number}: {self.method} {self.path}?{self.query_string}>"


class Exchange:
    """What a behaviour works with: the call, the true answer, and the connection."""

    def __init__(
        self,
        call: RecordedCall,
        send: Send,
        *,
        answer: Callable[[RecordedCall], Response],
        drop: Callable[[bool], Awaitable[None]],
    ) -> None:
        self.call = call
        self.finished = False
        self._send = send
        self._answer = answer
        self._drop = drop

    def answer(self) -> Response:
        """What a healthy upstream would say."""
        return self._answer(self.call)

    async def send(self, message: Message) -> None:
        """Send an ASGI message, for answers that `Response` has no words for."""
        if message["type"] == "http.response.start":
            self.call.status = message["status"]
        elif not message.get("more_body", False):
            self.finished = True
        await self._send(message)

    async def drop(self, *, reset: bool = True) -> None:
        """Cut the connection, with RST or with FIN."""
        self.finished = True
        await self._drop(reset)


Behaviour = Callable[[Exchange], Awaitable[Response | None]]
"""How a call is answered; None when the behaviour has dealt with the connection itself.

Cancelled when the client hangs up, unless the answer was already out.
"""


def ok() -> Behaviour:
    """The true answer."""

    async def behave(exchange: Exchange) -> Response:
        return exchange.answer()

    return behave


def status(code: int, *, headers: Mapping[str, str] | None = None, body: Any = None) -> Behaviour:
    """An HTTP status with a JSON body; `headers` such as `{"retry-after": "3"}`."""

    async def behave(exchange: Exchange) -> Response:
        return JSONResponse({"error": f"scripted {code}"} if body is None else body, code, headers=headers)

    return behave


def errors(*messages: str, code: str | None = None, data: Any = None, http_status: int = 200) -> Behaviour:
    """A GraphQL answer with errors, each with `extensions.code` if given, beside `data`."""

    async def behave(exchange: Exchange) -> Response:
        extensions = {"extensions": {"code": code}} if code else {}
        return JSONResponse({"data": data, "errors": [{"message": m, **extensions} for m in messages]}, http_status)

    return behave


class Hang:
    """Takes the call and says nothing until `release()`; then gives the true answer."""

    def __init__(self) -> None:
        self._released = asyncio.Event()

    def release(self) -> None:
        """Answer the calls that hang, and those to come."""
        self._released.set()

    async def __call__(self, exchange: Exchange) -> Response:
        await self._released.wait()
        return exchange.answer()


def hang() -> Hang:
    """Take the call and say nothing."""
    return Hang()


def slow(delay_s: float, *, clock: Clock | None = None) -> Behaviour:
    """The true answer, `delay_s` late."""
    sleep = (clock or SystemClock()).sleep

    async def behave(exchange: Exchange) -> Response:
        await sleep(delay_s)
        return exchange.answer()

    return behave


def malformed() -> Behaviour:
    """Status 200 and a body that says it is JSON and is none."""
    return _body(b'{"data": {"oops')


def empty() -> Behaviour:
    """Status 200 and no body."""
    return _body(b"")


def html() -> Behaviour:
    """Status 200 and a page for people, as proxies and sign-in walls give."""
    return _body(b"<html><body>Please sign in</body></html>", "text/html")


def wrong_shape() -> Behaviour:
    """JSON, where the rows should be something else stands."""

    async def behave(exchange: Exchange) -> Response:
        if exchange.call.protocol is ProtocolName.REST:
            return JSONResponse({"unexpected": "shape"})
        data = json.loads(bytes(exchange.answer().body)).get("data") or {}
        return JSONResponse({"data": dict.fromkeys(data, "unexpected shape")})

    return behave


def reset() -> Behaviour:
    """Drop the connection without an answer (RST)."""

    async def behave(exchange: Exchange) -> None:
        await exchange.drop()

    return behave


def truncated() -> Behaviour:
    """Half the body, then the connection closes."""

    async def behave(exchange: Exchange) -> None:
        answer = exchange.answer()
        await exchange.send(
            {"type": "http.response.start", "status": answer.status_code, "headers": answer.raw_headers}
        )
        half = bytes(answer.body)[: len(answer.body) // 2]
        await exchange.send({"type": "http.response.body", "body": half, "more_body": True})
        await exchange.drop(reset=False)

    return behave


def drip(interval_s: float, *, chunk: int = 1, clock: Clock | None = None) -> Behaviour:
    """The true answer, `chunk` bytes at a time with `interval_s` between."""
    sleep = (clock or SystemClock()).sleep

    async def behave(exchange: Exchange) -> None:
        answer = exchange.answer()
        body = bytes(answer.body)
        await exchange.send(
            {"type": "http.response.start", "status": answer.status_code, "headers": answer.raw_headers}
        )
        for start in range(0, len(body), chunk):
            await exchange.send({"type": "http.response.body", "body": body[start : start + chunk], "more_body": True})
            await sleep(interval_s)
        await exchange.send({"type": "http.response.body", "body": b""})

    return behave


def huge(size: int, *, compressed: bool = False) -> Behaviour:
    """A JSON string of `size` bytes; `compressed` sends it with gzip, a thousandth of that on the wire."""

    async def behave(exchange: Exchange) -> Response | None:
        headers = [(b"content-type", b"application/json")]
        if compressed:
            body = gzip.compress(b'"' + b"x" * (size - 2) + b'"')
            return Response(body, headers={"content-encoding": "gzip"}, media_type="application/json")
        await exchange.send({"type": "http.response.start", "status": 200, "headers": headers})
        await exchange.send({"type": "http.response.body", "body": b'"', "more_body": True})
        for start in range(0, size - 2, _CHUNK):
            piece = b"x" * min(_CHUNK, size - 2 - start)
            await exchange.send({"type": "http.response.body", "body": piece, "more_body": True})
        await exchange.send({"type": "http.response.body", "body": b'"'})
        return None

    return behave


def sequence(*behaviours: Behaviour, then: Behaviour | None = None) -> Behaviour:
    """One behaviour a call, then `then` (the true answer) for all that follow."""
    left = iter(behaviours)
    last = then or ok()

    async def behave(exchange: Exchange) -> Response | None:
        return await next(left, last)(exchange)

    return behave


def _body(body: bytes, media_type: str = "application/json") -> Behaviour:
    async def behave(exchange: Exchange) -> Response:
        return Response(body, media_type=media_type)

    return behave
