"""kill -9 of a worker under load: the others go on, it is replaced, and what it was writing to Redis is whole."""

import asyncio
import os
import re
import signal
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import redis as redis_py
import yaml

from clients.stores import codec
from tests.e2e.test_rolling_restart import Answers
from tests.testkit.gateway import CUSTOMERS
from tests.testkit.ports import free_port
from tests.testkit.processes import GATEWAY, running
from tests.testkit.redis import RedisServer
from tests.testkit.upstream import ScriptedUpstream

QUERY = "query ($id: ID!) { customer(id: $id) { id name } }"
CLIENTS = 6


async def _workers(url: str) -> set[int]:
    async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
        text = (await http.get(f"{url}/metrics")).text
    return {int(name) for name in re.findall(r'gateway_build_info\{.*worker="(\d+)"', text)}


async def _until_there_are_two(url: str, *, without: set[int]) -> set[int]:
    async with asyncio.timeout(30):
        while True:
            workers = await _workers(url) - without
            if len(workers) == 2:
                return workers
            await asyncio.sleep(0.05)


async def test_a_killed_worker_is_replaced_the_others_go_on_and_redis_has_nothing_broken(
    tmp_path: Path, redis: RedisServer
) -> None:
    async with ScriptedUpstream(CUSTOMERS) as upstream:
        config = {
            "server": {"shutdown_grace_s": 0},
            "imports": ["schema.customers"],
            "log": {"requests": {"sample": 0}},  # nobody reads them here, and a pipe is soon full
            "redis": {"url": redis.url, "timeout_s": 1},
            "cache": {"max_entries": 1},  # so that Redis is read, and not only written
            "services": {
                "customers": {
                    "graphql": upstream.graphql.url,
                    "cache": {"max_age_s": 600},
                },
                "bank": {"rest": "http://127.0.0.1:9"},
            },
        }
        (file := tmp_path / "gateway.yaml").write_text(yaml.safe_dump(config))
        url = f"http://127.0.0.1:{(port := free_port())}"
        command = [*GATEWAY, "serve", "--config", str(file), "--port", str(port), "--workers", "2"]
        context = running(command, f"{url}/health/ready")
        process = await asyncio.to_thread(context.__enter__)
        try:
            before = await _until_there_are_two(url, without=set())
            answers = Answers()
            ids, done = count(), asyncio.Event()
            async with asyncio.TaskGroup() as tasks:
                for _ in range(CLIENTS):
                    tasks.create_task(_client(url, ids, answers, done))
                await answers.come(50)
                os.kill(min(before), signal.SIGKILL)
                await answers.come(50)
                after = await _until_there_are_two(url, without={min(before)})
                await answers.come(50)
                done.set()
            assert max(before) in after
            # each client has one connection, and meets the end of its worker once at most
            assert set(answers.kinds) <= {"good", "lost"}
            assert answers.kinds["lost"] <= CLIENTS
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, 20) == 0
        finally:
            await asyncio.to_thread(context.__exit__, None, None, None)
    assert _entries(redis.url) > 50


async def _client(url: str, ids: "count[int]", answers: Answers, done: asyncio.Event) -> None:
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as http:
        while not done.is_set():
            wanted = str(1 + next(ids) % len(CUSTOMERS))
            try:
                answer = await http.post("/graphql", json={"query": QUERY, "variables": {"id": wanted}})
            except httpx.TransportError:
                answers.add("lost")
                continue
            expected: Any = {"data": {"customer": {"id": wanted, "name": f"Customer {wanted}"}}}
            answers.add("good" if answer.json() == expected else answer.text)
            await asyncio.sleep(0.01)  # the one that is starting needs the machine as well


def _entries(url: str) -> int:
    """How many entries there are, each read as the store reads it."""
    prefix = b"breakwater:%d:" % codec.VERSION
    found = 0
    with redis_py.Redis.from_url(url) as client:
        for key in client.scan_iter():
            left_ms = client.pttl(key)
            assert left_ms > 0, f"{key!r} would stay for ever"
            if key.startswith(b"breakwater:fleet:"):  # what the workers tell of themselves; test_fleet reads it
                continue
            assert key.startswith(prefix)
            entry = codec.decode(client.get(key), dict[str, Any], left_s=left_ms / 1000, now=0.0)
            assert set(entry.value) >= {"id", "name"}
            found += 1
    return found
