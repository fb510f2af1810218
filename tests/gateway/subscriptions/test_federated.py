"""Subscriptions of a supergraph: those of the gateway's own schema are served, whole; others are refused by name."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import websockets

from tests.gateway.subscriptions.support import client
from tests.testkit.gateway import Gateway, running_gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIKES = """
extend schema @link(url: "https://specs.apollo.dev/federation/v2.7", import: ["@key"])
type Query { likes: Int }
type Note @key(fields: "id") { id: ID! likes: Int }
type Subscription { noteLiked: Note }
"""


def federation(folder: Path, *, sdl: str = LIKES, local: str | None = "local") -> dict[str, Any]:
    file = folder / "likes.graphql"
    file.write_text(sdl)
    return {
        "imports": ["tests.gateway.subscriptions.local_notes"],
        "federation": {"local": local},
        "services": {"likes": {"graphql": "http://127.0.0.1:9/graphql", "subgraph": {"sdl": str(file)}}},
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    async with running_gateway(federation(tmp_path_factory.mktemp("likes"))) as running:
        yield running


async def test_a_subscription_of_the_local_schema_is_served(gateway: Gateway) -> None:
    async with client(gateway) as it:
        await it.subscribe("subscription { noteAdded { __typename id ...Text } } fragment Text on Note { text }")
        assert [(await it.data())["noteAdded"] for _ in range(2)] == [
            {"__typename": "Note", "id": "1", "text": "note 1"},
            {"__typename": "Note", "id": "2", "text": "note 2"},
        ]
        assert (await it.receive())["type"] == "complete"
        await it.subscribe("{ note { text } }")
        assert await it.data() == {"note": {"text": "hello"}}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("subscription { noteLiked { id } }", "Subscription.noteLiked is resolved by the subgraph 'likes'"),
        ("subscription { noteAdded { ...L } } fragment L on Note { likes }", "Note.likes is resolved by the subgraph"),
    ],
)
async def test_a_subscription_that_needs_another_subgraph_is_refused_by_name(
    gateway: Gateway, query: str, field: str
) -> None:
    async with client(gateway) as it:
        await it.subscribe(query)
        message = await it.receive()
        assert message["type"] == "error"
        [error] = message["payload"]
        assert error["extensions"]["code"] == "OPERATION_NOT_SUPPORTED"
        assert field in error["message"]


async def test_without_a_local_schema_and_subscriptions_there_is_nothing_to_connect_to(tmp_path: Path) -> None:
    sdl = LIKES.replace("type Subscription { noteLiked: Note }", "")
    async with running_gateway(federation(tmp_path, sdl=sdl, local=None)) as gateway:
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with client(gateway):
                raise AssertionError
        assert refused.value.response.status_code == 404


async def test_without_a_local_schema_a_subscription_is_refused_by_name(tmp_path: Path) -> None:
    async with running_gateway(federation(tmp_path, local=None)) as gateway, client(gateway) as it:
        await it.subscribe("subscription { noteLiked { id } }")
        assert "'likes': federated subscriptions are not served" in (await it.receive())["payload"][0]["message"]
