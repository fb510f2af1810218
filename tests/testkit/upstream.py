"""A real upstream that keeps a record of every call and misbehaves on command, each protocol by itself.

async with ScriptedUpstream([{"id": "1", "name": "Ada"}]) as upstream:
    upstream.graphql.behave(sequence(status(503), reset()))
    ...
    assert len(upstream.graphql.calls) == 3
"""

import asyncio
import gzip
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs

from graphql import GraphQLError, GraphQLResolveInfo, build_schema, graphql_sync
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Message, Receive, Scope, Send

from clients.call import ProtocolName
from clients.clock import Clock, SystemClock
from tests.testkit.serve import TestServer
from tests.testkit.waiting import DEADLINE_S, Signal

_TYPES = {str: "String", bool: "Boolean", int: "Int", float: "Float"}
_CHUNK = 65_536


class RecordedCall:
    """What reached the upstream.

    Attributes:
        number: counts from 1, per protocol.
        query: every value of every query parameter.
        headers: by lower-case name; of repeated ones the last.
        hung_up: the client went away before the answer was out.
        status: of the answer; None until one starts.
    """

    def __init__(self, protocol: ProtocolName, number: int, request: Request, body: bytes, changed: Signal) -> None:
        self.protocol = protocol
        self.number = number
        self.method = request.method
        self.path = request.url.path
        self.query_string = request.url.query
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

    def __init__(self, upstream: "ScriptedUpstream", call: RecordedCall, scope: Scope, send: Send) -> None:
        self.call = call
        self.finished = False
        self._upstream = upstream
        self._scope = scope
        self._send = send

    def answer(self) -> Response:
        """What a healthy upstream would say."""
        return self._upstream.answer(self.call)

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
        await self._upstream.server.drop(self._scope, reset=reset)


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


class Endpoint:
    """One protocol of an upstream.

    Attributes:
        url: where it is.
        calls: every call, in order of arrival.
        running: calls being answered now.
        peak: the most that were answered at the same time.
    """

    def __init__(self, protocol: ProtocolName, upstream: "ScriptedUpstream", path: str) -> None:
        self.protocol = protocol
        self.calls: list[RecordedCall] = []
        self.running = 0
        self.peak = 0
        self._upstream = upstream
        self._path = path
        self._behaviour: Behaviour = ok()
        self._changed = Signal()

    @property
    def url(self) -> str:
        """Where it is."""
        return self._upstream.url + self._path

    def behave(self, behaviour: Behaviour) -> None:
        """Answer calls from now on like this; those already running go on as they began."""
        self._behaviour = behaviour

    def heal(self) -> None:
        """Give true answers from now on."""
        self._behaviour = ok()

    def forget(self) -> None:
        """Empty the record."""
        self.calls.clear()
        self.peak = self.running

    async def wait_for_calls(self, count: int, *, deadline_s: float = DEADLINE_S) -> None:
        """Return once at least `count` calls have arrived.

        Raises:
            TimeoutError: saying how many there are instead.
        """
        await self._changed.until(
            lambda: len(self.calls) >= count,
            lambda: f"{count} {self.protocol} calls; there are {len(self.calls)}",
            deadline_s=deadline_s,
        )

    async def wait_until_idle(self, *, deadline_s: float = DEADLINE_S) -> None:
        """Return once no call is being answered.

        Raises:
            TimeoutError: saying how many are.
        """
        await self._changed.until(
            lambda: self.running == 0, lambda: f"{self.running} {self.protocol} calls to end", deadline_s=deadline_s
        )

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Record a call and let the behaviour answer it, until the client hangs up."""
        request = Request(scope, receive)
        try:
            body = await request.body()
        except ClientDisconnect:
            return
        call = RecordedCall(self.protocol, len(self.calls) + 1, request, body, self._changed)
        exchange = Exchange(self._upstream, call, scope, send)
        self.calls.append(call)
        self.running += 1
        self.peak = max(self.peak, self.running)
        self._changed.notify()
        watching = asyncio.create_task(self._watch(exchange, receive))
        working = asyncio.create_task(self._work(exchange, self._behaviour, scope, receive))
        try:
            await asyncio.wait({watching, working}, return_when=asyncio.FIRST_COMPLETED)
            if not call.hung_up:
                await working
        finally:
            for task in (watching, working):
                task.cancel()
            await asyncio.gather(watching, working, return_exceptions=True)
            self.running -= 1
            self._changed.notify()

    async def _work(self, exchange: Exchange, behaviour: Behaviour, scope: Scope, receive: Receive) -> None:
        response = await behaviour(exchange)
        if response is not None:
            await response(scope, receive, exchange.send)

    async def _watch(self, exchange: Exchange, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        if not exchange.finished:
            exchange.call.hung_up = True
            self._changed.notify()


class ScriptedUpstream:
    """Keyed rows over GraphQL and REST, on a real socket.

    GraphQL, at `/graphql`, for rows of `customers` with key `id` (graphql-core executes what is asked, so a wrong
    document is refused as it would be elsewhere)::

        type Query {
          customers(ids: [ID!], first: Int): [Customer]!   # in the order asked, null where unknown
          customer(id: ID!): Customer
        }
        type Mutation { touchCustomer(id: ID!): Customer } # counted in `touched`

    REST, at `/api`, in stored order, unknown ones left out::

        GET  /api/customers?ids=1,2        also ?ids=1&ids=2 and ?id=1&id=2; ?first=10
        POST /api/customers/search         {"ids": ["1", "2"]}
        GET  /api/customers/1              404 when unknown
        POST /api/customers/1/touch

    Attributes:
        rows: by key; may be changed at any time.
        touched: how often each key was touched by the mutation.
        graphql: the GraphQL side.
        rest: the REST side.
    """

    def __init__(
        self,
        rows: Iterable[Mapping[str, Any]] = (),
        *,
        collection: str = "customers",
        entity: str | None = None,
        key: str = "id",
        types: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare an upstream; enter it to start.

        Args:
            rows: must have the same fields; with none, the fields are those of `types`.
            collection: names the rows in both protocols.
            entity: the singular of `collection`; by default without its last letter.
            key: the field by which rows are asked for.
            types: GraphQL types of fields, where they do not follow from the first row.
        """
        stored = [dict(row) for row in rows]
        self.collection = collection
        self.entity = entity or collection[:-1]
        self.key = key
        self.rows: dict[str, dict[str, Any]] = {str(row[key]): row for row in stored}
        self.touched: Counter[str] = Counter()
        self.graphql = Endpoint(ProtocolName.GRAPHQL, self, "/graphql")
        self.rest = Endpoint(ProtocolName.REST, self, "/api")
        self.server = TestServer(self._app)
        self._failing: dict[str, GraphQLError] = {}
        self._schema = build_schema(self._sdl(stored[0] if stored else {}, dict(types or {})))

    @property
    def url(self) -> str:
        """The base of both protocols."""
        return self.server.url

    @property
    def open_connections(self) -> int:
        """Connections open now."""
        return self.server.open_connections

    def fail_key(self, key: str, message: str = "scripted failure", *, code: str = "INTERNAL") -> None:
        """Let GraphQL answer null with an error for this key, and REST 500 when it is asked for alone."""
        self._failing[key] = GraphQLError(message, extensions={"code": code})

    async def refuse(self) -> None:
        """Refuse connections and drop the open ones, as if the process had died."""
        await self.server.refuse()

    async def listen(self) -> None:
        """Accept connections again, on the same port."""
        await self.server.listen()

    async def wait_for_connections(self, count: int, *, deadline_s: float = DEADLINE_S) -> None:
        """Return once exactly `count` connections are open.

        Raises:
            TimeoutError: saying how many there are instead.
        """
        await self.server.wait_for_connections(count, deadline_s=deadline_s)

    async def __aenter__(self) -> Self:
        await self.server.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.server.__aexit__(kind, error, trace)

    def answer(self, call: RecordedCall) -> Response:
        """What a healthy upstream says to this call."""
        return self._graphql_answer(call) if call.protocol is ProtocolName.GRAPHQL else self._rest_answer(call)

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        if scope["path"] == "/graphql":
            await self.graphql.handle(scope, receive, send)
        elif scope["path"].startswith("/api/"):
            await self.rest.handle(scope, receive, send)
        else:
            await Response(status_code=404)(scope, receive, send)

    def _sdl(self, row: Mapping[str, Any], types: dict[str, str]) -> str:
        types = {name: _TYPES.get(type(value), "JSON") for name, value in row.items()} | {self.key: "ID!"} | types
        fields = " ".join(f"{name}: {kind}" for name, kind in types.items())
        name = self.entity[0].upper() + self.entity[1:]
        return f"""
            scalar JSON
            type {name} {{ {fields} }}
            type Query {{
              {self.collection}({self.key}s: [ID!], first: Int): [{name}]!
              {self.entity}({self.key}: ID!): {name}
            }}
            type Mutation {{ touch{name}({self.key}: ID!): {name} }}
        """

    def _graphql_answer(self, call: RecordedCall) -> Response:
        try:
            body = call.json
            document, variables, name = body["query"], body.get("variables"), body.get("operationName")
        except (ValueError, TypeError, KeyError, AttributeError):
            return JSONResponse({"errors": [{"message": "the body is no GraphQL request"}]}, 400)

        def one(info: GraphQLResolveInfo[Any], **arguments: str) -> Any:
            return self._graphql_row(arguments[self.key])

        def many(info: GraphQLResolveInfo[Any], first: int | None = None, **arguments: list[str] | None) -> Any:
            keys = arguments.get(f"{self.key}s")
            return [self._graphql_row(key) for key in (self.rows if keys is None else keys)][:first]

        def touch(info: GraphQLResolveInfo[Any], **arguments: str) -> Any:
            self.touched[arguments[self.key]] += 1
            return self._graphql_row(arguments[self.key])

        touch_name = f"touch{self.entity[0].upper()}{self.entity[1:]}"
        root = {self.entity: one, self.collection: many, touch_name: touch}
        result = graphql_sync(self._schema, document, root, variable_values=variables, operation_name=name)
        return JSONResponse(result.formatted, 400 if result.data is None and result.errors else 200)

    def _graphql_row(self, key: str) -> dict[str, Any] | GraphQLError | None:
        return self._failing.get(key) or self.rows.get(key)

    def _rest_answer(self, call: RecordedCall) -> Response:
        match call.method, call.path.removeprefix("/api/").split("/"):
            case "GET", [self.collection]:
                given = call.query.get(f"{self.key}s", []) + call.query.get(self.key, [])
                keys = {key for value in given for key in value.split(",")} if given else None
                first = call.query.get("first")
                return JSONResponse(self._select(keys)[: int(first[0]) if first else None])
            case "POST", [self.collection, "search"]:
                return JSONResponse(self._select({str(key) for key in call.json[f"{self.key}s"]}))
            case "GET", [self.collection, key]:
                return self._rest_row(key)
            case "POST", [self.collection, key, "touch"]:
                self.touched[key] += 1
                return self._rest_row(key)
        return JSONResponse({"error": f"no route {call.method} {call.path}"}, 404)

    def _select(self, keys: set[str] | None) -> list[dict[str, Any]]:
        return [row for key, row in self.rows.items() if keys is None or key in keys]

    def _rest_row(self, key: str) -> Response:
        if key in self._failing:
            return JSONResponse({"error": self._failing[key].message}, 500)
        if key not in self.rows:
            return JSONResponse({"error": f"no {self.entity} {key}"}, 404)
        return JSONResponse(self.rows[key])


def _body(body: bytes, media_type: str = "application/json") -> Behaviour:
    async def behave(exchange: Exchange) -> Response:
        return Response(body, media_type=media_type)

    return behave
