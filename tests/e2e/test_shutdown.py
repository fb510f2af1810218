"""SIGTERM, as a load balancer and its clients live through it: nothing is lost, and the exit status is 0."""

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from demo.products import products_schema
from tests.testkit.behaviours import hang
from tests.testkit.federation import ScriptedSubgraph, supergraph_of
from tests.testkit.ports import free_port
from tests.testkit.processes import GATEWAY, running
from tests.testkit.serve import TestServer
from tests.testkit.upstream import ScriptedUpstream
from tests.testkit.waiting import Signal

_QUERY = {"query": "{ health { status } }"}


@asynccontextmanager
async def _client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        yield client


def _config(folder: Path, text: str) -> list[str]:
    file = folder / "gateway.yaml"
    file.write_text(text)
    return [*GATEWAY, "serve", "--config", str(file), "--port", str(free_port())]


def _url(command: list[str]) -> str:
    return f"http://127.0.0.1:{command[command.index('--port') + 1]}"


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_under_load_no_request_is_lost_and_the_exit_status_is_0(tmp_path: Path, workers: str) -> None:
    command = [*_config(tmp_path, "server: { shutdown_grace_s: 1 }\n"), "--workers", workers]
    url = _url(command)
    answered = 0
    noticed = asyncio.Event()

    async def client() -> None:
        """Asks on and on over kept connections, until the load balancer has noticed."""
        nonlocal answered
        async with _client() as http:
            while not noticed.is_set():
                assert (await http.post(f"{url}/graphql", json=_QUERY)).json()["data"] is not None
                answered += 1

    async def balancer(process: subprocess.Popen[str]) -> None:
        """Asks for readiness on connections of its own, as probes do; two misses count."""
        misses = 0
        while misses < 2:
            async with _client() as http:
                ready = await http.get(f"{url}/health/ready")
            misses += ready.status_code == 503
            if answered > 50 and process.poll() is None and not misses and not told.is_set():
                told.set()
                process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.02)
        noticed.set()

    told = asyncio.Event()
    with running(command, f"{url}/health/ready") as process:
        assert process.stdout is not None
        ready = (line for line in process.stdout if "ready" in line)
        for _ in range(int(workers)):  # each says so
            next(ready)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(balancer(process))
            for _ in range(8):
                tasks.create_task(client())
        assert await asyncio.to_thread(process.wait, 20) == 0


async def test_in_the_grace_period_it_is_not_ready_and_answers_each_client_for_the_last_time(tmp_path: Path) -> None:
    command = _config(tmp_path, "server: { shutdown_grace_s: 60 }\n")
    url = _url(command)
    with running(command, f"{url}/health/ready") as process:
        async with _client() as http:
            assert "connection" not in (await http.post(f"{url}/graphql", json=_QUERY)).headers
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(20):
                while (await http.get(f"{url}/health/ready")).status_code == 200:
                    pass
            assert (await http.get(f"{url}/health/ready")).status_code == 503
            assert (await http.get(f"{url}/health/live")).status_code == 200
            last = await http.post(f"{url}/graphql", json=_QUERY)
            assert (last.status_code, last.headers["connection"]) == (200, "close")
        process.send_signal(signal.SIGTERM)  # the second one ends the grace period
        assert await asyncio.to_thread(process.wait, 20) == 0


_SERVICES = """
server: {{ shutdown_grace_s: 0, shutdown_timeout_s: 1 }}
imports: [schema.customers]
services:
  customers: {{ graphql: "{url}/graphql", timeout_s: 15, health: {{ every_s: 60, timeout_s: 10 }} }}
  bank: {{ rest: "http://127.0.0.1:9" }}
"""
_CUSTOMER = {"query": '{ customer(id: "1") { name } }'}


async def test_what_does_not_end_in_time_is_cancelled_and_the_exit_status_is_0_still(tmp_path: Path) -> None:
    async with ScriptedUpstream() as upstream, _client() as http:
        command = _config(tmp_path, _SERVICES.format(url=upstream.url))
        with ExitStack() as stack:
            process = await _started(command, stack)
            upstream.graphql.behave(hang())
            asking = asyncio.create_task(http.post(f"{_url(command)}/graphql", json=_CUSTOMER))
            await upstream.graphql.wait_for_calls(2)  # the first was the check
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, 20) == 0
            assert (await asking).status_code == 500


async def test_it_takes_no_request_before_every_upstream_was_checked_once(tmp_path: Path) -> None:
    async with ScriptedUpstream() as upstream, _client() as http:
        upstream.graphql.behave(held := hang())
        command = _config(tmp_path, _SERVICES.format(url=upstream.url))
        with ExitStack() as stack:
            starting = asyncio.create_task(_started(command, stack))
            await upstream.graphql.wait_for_calls(1)
            with pytest.raises(httpx.ConnectError):
                await http.get(f"{_url(command)}/health/ready")
            held.release()
            process = await starting
            assert (await http.get(f"{_url(command)}/health/ready")).status_code == 200
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, 20) == 0


async def _started(command: list[str], stack: ExitStack) -> subprocess.Popen[str]:
    return await asyncio.to_thread(stack.enter_context, running(command, f"{_url(command)}/health/ready"))


async def test_while_a_supergraph_is_replaced_and_another_is_fetched_what_is_under_way_ends(tmp_path: Path) -> None:
    fetches: list[asyncio.Event] = []
    fetched = Signal()
    sdl = ""

    async def supergraph(_: Request) -> Response:
        fetches.append(held := asyncio.Event())
        fetched.notify()
        if len(fetches) > 2:
            await held.wait()  # for ever: whoever asks hangs up
        return Response(sdl)

    products, other = ScriptedSubgraph.of(products_schema()), ScriptedSubgraph.of(products_schema())
    server = TestServer(Starlette(routes=[Route("/", supergraph)]))
    async with server, products, other, _client() as http:
        sdl = supergraph_of({"products": products})
        federation = f"federation: {{ supergraph: '{server.url}/', poll_interval_s: 1, local: null }}\n"
        command = _config(tmp_path, federation + "server: { shutdown_grace_s: 0 }\n")
        with ExitStack() as stack:
            process = await _started(command, stack)
            products.graphql.behave(held := hang())
            query = {"query": "{ products(first: 1) { name } }"}
            asking = asyncio.create_task(http.post(f"{_url(command)}/graphql", json=query))
            await products.graphql.wait_for_calls(1)
            sdl = supergraph_of({"products": other})  # the request goes on with the one it began with
            await fetched.until(lambda: len(fetches) > 2, "a third fetch")
            process.send_signal(signal.SIGTERM)
            held.release()
            assert (await asking).json()["data"]["products"] == [{"name": "Anchor"}]
            assert await asyncio.to_thread(process.wait, 20) == 0
        assert not other.graphql.calls
