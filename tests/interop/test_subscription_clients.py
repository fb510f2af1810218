"""Subscriptions with clients that nobody here wrote: graphql-ws, graphql-sse and gql."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from gql import Client, gql
from gql.transport.exceptions import TransportQueryError
from gql.transport.websockets import WebsocketsTransport

from tests.gateway.subscriptions.support import subscribed_gateway
from tests.gateway.subscriptions.ticks import notes
from tests.testkit.gateway import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

_NODE = Path(__file__).parent / "node"
_SCRIPT_S = 60


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway() -> AsyncIterator[Gateway]:
    async with subscribed_gateway() as running:
        yield running


@pytest.mark.node
async def test_graphql_ws_and_graphql_sse_get_what_they_ask_for(node: str, gateway: Gateway) -> None:
    process = await asyncio.create_subprocess_exec(
        node, "subscribe.mjs", f"{gateway.server.url}/graphql", cwd=_NODE, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(_SCRIPT_S):
            printed, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    report: dict[str, dict[str, Any]] = json.loads(printed)
    assert {*report} == {"graphql-ws", "graphql-sse"}
    for name, got in report.items():
        assert got["inOrder"], name
        assert got["query"] == [{"data": {"__typename": "Query"}}]
        assert got["mutation"] == [{"data": {"touch": 1}}]
        assert got["left"] == got["afterwards"] == {"data": {"onceAndWait": {"number": 1}}}
        [refused] = got["refused"]
        assert refused["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
    assert report["graphql-ws"]["credential"][0]["data"]["count"] == {"credential": "Bearer of the payload"}
    assert report["graphql-sse"]["credential"][0]["data"]["count"] == {"credential": "Bearer of the header"}
    await notes.none_running()


async def test_gql_gets_what_it_asks_for(gateway: Gateway) -> None:
    url = gateway.server.url.replace("http:", "ws:") + "/graphql"
    transport = WebsocketsTransport(url=url, subprotocols=["graphql-transport-ws"], ping_interval=1000)
    async with Client(transport=transport) as session:
        counted = [
            each["count"]["number"]
            async for each in session.subscribe(gql("subscription { count(to: 50) { number } }"))
        ]
        assert counted == [*range(1, 51)]
        assert await session.execute(gql("{ __typename }")) == {"__typename": "Query"}
        with pytest.raises(TransportQueryError, match="nothing"):
            await session.execute(gql("{ nothing }"))
