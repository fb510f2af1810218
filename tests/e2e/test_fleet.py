"""Two gateway processes that share a Redis; one of them is killed under load."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import redis as redis_py

from clients.stores import codec
from gateway.fleet.messages import read_command, read_digest
from tests.testkit.gateway import CUSTOMERS
from tests.testkit.ports import free_port
from tests.testkit.processes import GATEWAY, running
from tests.testkit.redis import RedisServer
from tests.testkit.upstream import ScriptedUpstream

_CONFIG = """
mode: development
server: {{ max_loop_lag_s: null }}
redis: {{ url: "{redis}", timeout_s: 0.5, fleet_every_s: 0.25 }}
imports: [schema.customers]
services:
  customers: {{ graphql: "{url}/graphql", rest: "{url}/api" }}
  bank: {{ rest: "http://127.0.0.1:9" }}
"""
_FLEET = "{ fleet { complete instances { id pid uptimeS } } build { instance pid } }"


@asynccontextmanager
async def _process(folder: Path, text: str) -> AsyncIterator[tuple[Any, httpx.AsyncClient]]:
    port = free_port()
    file = folder / "gateway.yaml"
    file.write_text(text)
    command = [*GATEWAY, "serve", "--config", str(file), "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    started = running(command, f"{url}/health/ready")
    process = await asyncio.to_thread(started.__enter__)
    try:
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as http:
            yield process, http
    finally:
        await asyncio.to_thread(started.__exit__, None, None, None)


async def _ask(http: httpx.AsyncClient, query: str) -> Any:
    return (await http.post("/graphql", json={"query": query})).json()["data"]


async def _fleet(http: httpx.AsyncClient, expected: int) -> Any:
    async with asyncio.timeout(20):
        while len((found := await _ask(http, _FLEET))["fleet"]["instances"]) != expected:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return found


async def test_one_that_is_killed_is_gone_soon_and_leaves_nothing_corrupt(tmp_path: Path, redis: RedisServer) -> None:
    async with ScriptedUpstream(CUSTOMERS) as upstream, AsyncExitStack() as stack:
        text = _CONFIG.format(redis=redis.url, url=upstream.url)
        (killed, doomed), (_, other) = await asyncio.gather(
            stack.enter_async_context(_process(tmp_path, text)), stack.enter_async_context(_process(tmp_path, text))
        )
        found = await _fleet(other, 2)
        assert found["fleet"]["complete"] is True
        assert {each["pid"] for each in found["fleet"]["instances"]} >= {killed.pid, found["build"]["pid"]}

        asked = 0

        async def load(http: httpx.AsyncClient, first: int) -> None:
            nonlocal asked
            with contextlib.suppress(httpx.HTTPError):  # of the one that is killed
                for number in range(first, 10_000, 4):
                    await _ask(http, f'{{ customer(id: "{number % 300 + 1}") {{ name email }} }}')
                    asked += 1

        loads = [asyncio.create_task(load(doomed, first)) for first in range(4)]
        async with asyncio.timeout(20):
            while asked < 100:  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.01)
        killed.kill()
        await asyncio.gather(*loads)
        assert killed.wait() == -9

        left = await _fleet(other, 1)
        assert left["fleet"]["complete"] is True
        assert left["fleet"]["instances"][0]["id"] == left["build"]["instance"]
        assert _decoded(redis) >= 20


def _decoded(redis: RedisServer) -> int:
    """How many keys there are; each is what it should be."""
    with redis_py.Redis.from_url(redis.url) as client:
        names: list[bytes] = client.keys("*")
        for name in names:
            if name == b"breakwater:fleet:commands":
                for _, fields in client.xrange(name):
                    assert read_command(fields[b"c"]) is not None
            elif name == b"breakwater:fleet:instances":
                assert client.type(name) == b"zset"
            elif name.startswith(b"breakwater:fleet:"):
                assert read_digest(client.get(name)) is not None
            else:
                assert name.startswith(b"breakwater:2:customers\0")
                data: bytes = client.get(name)
                left_ms: int = client.pttl(name)
                value = codec.decode(data, Any, left_s=left_ms / 1000, now=1000.0).value
                assert msgspec.convert(value, dict[str, Any])["name"].startswith("Customer ")
            assert client.ttl(name) > 0
    return len(names)
