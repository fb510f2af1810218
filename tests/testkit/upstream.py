"""A real upstream that keeps a record of every call and misbehaves on command, each protocol by itself.

async with ScriptedUpstream([{"id": "1", "name": "Ada"}]) as upstream:
    upstream.graphql.behave(sequence(status(503), reset()))
    ...
    assert len(upstream.graphql.calls) == 3
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from graphql import GraphQLError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from clients.call import ProtocolName
from tests.testkit.behaviours import (
    Behaviour,
    Exchange,
    Hang,
    RecordedCall,
    drip,
    empty,
    errors,
    hang,
    html,
    huge,
    malformed,
    ok,
    reset,
    sequence,
    slow,
    status,
    truncated,
    wrong_shape,
)
from tests.testkit.rows import Rows
from tests.testkit.serve import TestServer
from tests.testkit.waiting import DEADLINE_S, Signal

__all__ = [
    "Behaviour",
    "Endpoint",
    "Exchange",
    "Hang",
    "RecordedCall",
    "ScriptedUpstream",
    "drip",
    "empty",
    "errors",
    "hang",
    "html",
    "huge",
    "malformed",
    "ok",
    "reset",
    "sequence",
    "slow",
    "status",
    "truncated",
    "wrong_shape",
]


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

        async def drop(reset: bool) -> None:
            await self._upstream.server.drop(scope, reset=reset)

        exchange = Exchange(call, send, answer=self._upstream.answer, drop=drop)
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
    """Keyed rows over GraphQL (at `/graphql`) and REST (at `/api`), on a real socket; see `Rows` for what they answer.

    Attributes:
        graphql: the GraphQL side.
        rest: the REST side.
        server: the socket.
    """

    def __init__(
        self,
        rows: Iterable[Mapping[str, Any]] = (),
        *,
        collection: str = "customers",
        entity: str | None = None,
        key: str = "id",
        types: Mapping[str, str] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        """Prepare an upstream of these rows (the arguments are those of `Rows`, and where it is); enter it to start."""
        self.graphql = Endpoint(ProtocolName.GRAPHQL, self, "/graphql")
        self.rest = Endpoint(ProtocolName.REST, self, "/api")
        self.server = TestServer(self._app, host=host, port=port)
        self._rows = Rows(rows, collection=collection, entity=entity, key=key, types=types)

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        """The rows by key; may be changed at any time."""
        return self._rows.by_key

    @property
    def touched(self) -> Counter[str]:
        """How often each key was touched by the mutation."""
        return self._rows.touched

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
        self._rows.failing[key] = GraphQLError(message, extensions={"code": code})

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
        return self._rows.answer(call)

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        if scope["path"] == "/graphql":
            await self.graphql.handle(scope, receive, send)
        elif scope["path"].startswith("/api/"):
            await self.rest.handle(scope, receive, send)
        else:
            await Response(status_code=404)(scope, receive, send)
