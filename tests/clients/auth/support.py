"""One scripted upstream behind a wire that authorizes, and a place for what operators are told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from starlette.responses import Response

from clients.auth import AuthorizedWire, Authorizer, OAuth2, OAuth2Client, Secret
from clients.transports import PyreqwestWire
from tests.clients.support import ROWS, Rig
from tests.testkit.clock import ManualClock
from tests.testkit.token_server import TokenServer
from tests.testkit.upstream import Behaviour, Exchange, ScriptedUpstream


@asynccontextmanager
async def authorized(authorizer: Authorizer, **parts: Any) -> AsyncIterator[Rig]:
    wire = AuthorizedWire(PyreqwestWire(), authorizer)
    async with ScriptedUpstream(ROWS) as script:
        try:
            async with (made := Rig(script, wire, **parts)).upstream:
                yield made
        finally:
            await wire.aclose()


def oauth2(server: TokenServer, clock: ManualClock, told: list[str] | None = None, **changes: Any) -> OAuth2:
    settings: dict[str, Any] = {"client_id": "gateway", "client_secret": Secret("hush"), "timeout_s": 2.5, **changes}
    client = OAuth2Client(token_url=server.url, **settings)
    told = [] if told is None else told
    return OAuth2(client, PyreqwestWire(), clock, Random(42), told.append)


def wants(*credentials: str, header: str = "authorization") -> Behaviour:
    """True answers to requests with one of these credentials, 401 to others."""

    async def behave(exchange: Exchange) -> Response:
        if exchange.call.headers.get(header) in credentials:
            return exchange.answer()
        return Response(status_code=401, headers={"www-authenticate": "Bearer"})

    return behave
