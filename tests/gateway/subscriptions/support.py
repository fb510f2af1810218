"""A gateway with subscriptions on a socket, and a client that speaks graphql-transport-ws word by word."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import websockets
from websockets.asyncio.client import ClientConnection

from clients.clock import Clock
from tests.testkit.gateway import Gateway, running_gateway

TICKS = "tests.gateway.subscriptions.ticks"


class Client:
    """One WebSocket."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def send(self, kind: str, **more: Any) -> None:
        """Send a message of the protocol."""
        await self.socket.send(json.dumps({"type": kind, **more}))

    async def init(self, payload: Mapping[str, Any] | None = None) -> None:
        """Come to be acknowledged."""
        await self.send("connection_init", **({} if payload is None else {"payload": payload}))
        assert await self.receive() == {"type": "connection_ack"}

    async def subscribe(self, query: str, id_: str = "1", **variables: Any) -> None:
        """Ask."""
        await self.send("subscribe", id=id_, payload={"query": query, "variables": variables})

    async def receive(self) -> dict[str, Any]:
        """The next message."""
        message: dict[str, Any] = json.loads(await self.socket.recv())
        return message

    async def data(self) -> Any:
        """The `data` of the next message, which is an answer without errors."""
        message = await self.receive()
        assert (message["type"], "errors" in message.get("payload", {})) == ("next", False), message
        return message["payload"]["data"]

    async def closed(self) -> tuple[int | None, str | None]:
        """Wait for the server to close; code and reason."""
        await self.socket.wait_closed()
        return self.socket.close_code, self.socket.close_reason


@asynccontextmanager
async def client(gateway: Gateway, *, init: bool = True, **options: Any) -> AsyncIterator[Client]:
    """A client, acknowledged unless `init` is false."""
    options.setdefault("subprotocols", ["graphql-transport-ws"])
    options.setdefault("compression", None)  # so that what is sent is as large as it looks
    url = gateway.server.url.replace("http:", "ws:") + "/graphql"
    async with websockets.connect(url, proxy=None, **options) as socket:
        made = Client(socket)
        if init:
            await made.init()
        yield made


@asynccontextmanager
async def subscribed_gateway(
    overrides: Mapping[str, Any] | None = None, *, clock: Clock | None = None
) -> AsyncIterator[Gateway]:
    """A gateway whose schema has the fields of `ticks`."""
    more = {"imports": ["schema.customers", TICKS], **(overrides or {})}
    async with running_gateway(more, clock=clock) as gateway:
        yield gateway
