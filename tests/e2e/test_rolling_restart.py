"""Two gateways behind a balancer are replaced one after the other, under load, and no client notices."""

import asyncio
import contextlib
import signal
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import yaml

from tests.attacks.target import Target, query, read_reply, start
from tests.testkit.balancer import balancer
from tests.testkit.gateway import INVOICES
from tests.testkit.ports import free_port
from tests.testkit.upstream import ScriptedUpstream, hang, slow
from tests.testkit.waiting import Signal

BODY = {"query": "{ invoices(first: 1) { id } }"}
GOOD = {"data": {"invoices": [{"id": "1"}]}}
CLIENTS = 3


class Answers:
    """What clients were answered: `good`, or what it was instead."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self._changed = Signal()

    def add(self, kind: str) -> None:
        self.kinds[kind] += 1
        self._changed.notify()

    async def come(self, count: int) -> None:
        """Wait for that many more."""
        until = self.kinds.total() + count
        await self._changed.until(lambda: self.kinds.total() >= until, f"{count} more answers", deadline_s=20)


async def test_gateways_replaced_one_by_one_under_load_fail_no_request(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        invoices = await stack.enter_async_context(ScriptedUpstream(INVOICES, collection="invoices"))
        file = _configuration(tmp_path, invoices)
        ports = [free_port(), free_port()]
        gateways = list(await asyncio.gather(*(start(file, port, tmp_path / "log") for port in ports)))
        stack.push_async_callback(_stop, gateways)
        between = await stack.enter_async_context(balancer(ports))
        invoices.graphql.behave(slow(0.005))  # so that there is always something under way
        answers = Answers()
        done = asyncio.Event()
        async with asyncio.TaskGroup() as clients:
            for _ in range(CLIENTS):
                clients.create_task(_client(between.url, answers, done))
            try:
                for index in (0, 1):
                    gateways[index].send_signal(signal.SIGTERM)
                    await gateways[index].wait()
                    await answers.come(10)  # from the other alone
                    gateways[index] = await start(file, ports[index], tmp_path / "log")
                    await answers.come(10)
            finally:
                done.set()
        assert dict(answers.kinds) == {"good": answers.kinds.total()}
        assert between.given_up == 0
        assert [gateway.troubles() for gateway in gateways] == [[], []]


async def test_a_gateway_that_is_told_to_stop_finishes_what_it_began_and_lets_go_of_the_rest(tmp_path: Path) -> None:
    async with ScriptedUpstream(INVOICES, collection="invoices") as invoices:
        gateway = await start(_configuration(tmp_path, invoices), free_port(), tmp_path / "log")
        try:
            idle, idle_writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            idle_writer.write(query("{ __typename }"))
            assert (await read_reply(idle)).status == 200
            hanging = hang()
            invoices.graphql.behave(hanging)
            busy, busy_writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            busy_writer.write(query("{ invoices(first: 1) { id } }"))
            await invoices.graphql.wait_for_calls(1)
            gateway.send_signal(signal.SIGTERM)
            assert await idle.read() == b""  # closed at once: nothing was asked there
            hanging.release()
            reply = await read_reply(busy)
            assert (reply.status, reply.headers["connection"]) == (200, "close")
            assert b'"id":"1"' in reply.body
            assert await busy.read() == b""
            for writer in (idle_writer, busy_writer):
                writer.close()
        finally:
            await gateway.stop()


def _configuration(folder: Path, invoices: ScriptedUpstream) -> Path:
    rest = {"rest": invoices.rest.url}
    config = {
        "imports": ["schema.invoices"],
        "server": {"max_loop_lag_s": None, "shutdown_grace_s": 0.2},  # how fast the machine is decides nothing
        "services": {"invoices": {"graphql": invoices.graphql.url, "timeout_s": 15}, "customers": rest, "bank": rest},
    }
    file = folder / "gateway.yaml"
    file.write_text(yaml.safe_dump(config))
    return file


async def _stop(gateways: list[Target]) -> None:
    for gateway in gateways:
        await gateway.stop()


async def _client(url: str, answers: Answers, done: asyncio.Event) -> None:
    """Asks again and again, each time on a connection of its own."""
    async with httpx.AsyncClient(headers={"connection": "close"}, trust_env=False, timeout=20) as http:
        while not done.is_set():
            try:
                response = await http.post(f"{url}/graphql", json=BODY)
                answers.add("good" if response.json() == GOOD else f"{response.status_code} {response.text[:200]}")
            except httpx.HTTPError as error:
                answers.add(repr(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.02):  # a load, not a flood: others need the processor, too
                    await done.wait()
