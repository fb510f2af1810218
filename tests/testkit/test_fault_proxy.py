import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.testkit.certificates import make_certificates
from tests.testkit.clock import ManualClock
from tests.testkit.fault_proxy import Fault, FaultProxy
from tests.testkit.raw_server import Connection, raw_server

ANSWER = b"0123456789" * 20


@asynccontextmanager
async def answering(
    *, clock: ManualClock | None = None, tls: ssl.SSLContext | None = None, close: bool = False
) -> AsyncIterator[FaultProxy]:
    """A proxy before a server that says ANSWER for each line it reads."""

    async def answer(connection: Connection) -> None:
        while await connection.reader.readline():
            await connection.send(ANSWER)
            if close:
                return

    async with raw_server(answer) as server, FaultProxy(server.port, clock=clock, tls=tls) as proxy:
        yield proxy


class Client:
    """One connection to a proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def say(self) -> None:
        self.writer.write(b"hello\n")

    async def answer(self) -> bytes:
        return await self.reader.readexactly(len(ANSWER))


@asynccontextmanager
async def connected(proxy: FaultProxy) -> AsyncIterator[Client]:
    async with asyncio.timeout(10):
        client = Client(*await asyncio.open_connection("127.0.0.1", proxy.port))
        try:
            yield client
        finally:
            client.writer.transport.abort()


async def test_a_healthy_proxy_passes_everything_on() -> None:
    async with answering() as proxy, connected(proxy) as client:
        for _ in range(3):
            client.say()
            assert await client.answer() == ANSWER
        assert (proxy.accepted, proxy.open_connections) == (1, 1)


async def test_nothing_is_left_when_clients_and_the_proxy_are_gone() -> None:
    before = asyncio.all_tasks()
    async with answering() as proxy:
        async with connected(proxy) as client:
            client.say()
            await client.answer()
        await proxy.wait_for_connections(0)
        async with connected(proxy) as one, connected(proxy) as two:
            await proxy.set(Fault(silent=True))
            one.say()
            two.say()
            await proxy.wait_for_connections(2)
    assert asyncio.all_tasks() == before


async def test_latency_holds_each_answer_back() -> None:
    clock = ManualClock()
    async with answering(clock=clock) as proxy, connected(proxy) as client:
        await proxy.set(Fault(latency_s=5))
        for _ in range(2):
            client.say()
            await clock.wait_for_sleepers(1)
            assert list(clock.sleepers) == [5.0]
            await clock.advance(5)
            assert await client.answer() == ANSWER


async def test_jitter_spreads_the_latency() -> None:
    async with answering() as proxy:
        drawn = [proxy.jittered(Fault(latency_s=1, jitter_s=0.5)) for _ in range(100)]
        assert min(drawn) < 0.7
        assert max(drawn) > 1.3
        assert all(0.5 <= delay <= 1.5 for delay in drawn)


@pytest.mark.parametrize(
    ("fault", "piece"), [(Fault(bytes_per_s=500), 10), (Fault(slice_bytes=10, slice_every_s=0.02), 10)]
)
async def test_answers_come_in_pieces(fault: Fault, piece: int) -> None:
    clock = ManualClock()
    async with answering(clock=clock) as proxy, connected(proxy) as client:
        await proxy.set(fault)
        client.say()
        for start in range(0, len(ANSWER), piece):
            assert await client.reader.read(1000) == ANSWER[start : start + piece]
            await clock.wait_for_sleepers(1)
            await clock.advance(0.02)


async def test_a_black_hole_reads_and_never_answers_even_once_it_is_mended() -> None:
    async with answering() as proxy, connected(proxy) as client:
        await proxy.set(Fault(silent=True))
        client.writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await proxy.wait_for_requests(1)
        await proxy.heal()
        client.say()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.answer()
        async with connected(proxy) as other:
            other.say()
            assert await other.answer() == ANSWER


@pytest.mark.parametrize("after", [0, 50])
async def test_an_answer_is_reset_after_so_many_bytes(after: int) -> None:
    async with answering() as proxy, connected(proxy) as client:
        client.say()
        await client.answer()
        await proxy.set(Fault(reset_after=after))
        client.say()
        if after:
            assert await client.reader.readexactly(after) == ANSWER[:after]
        with pytest.raises(ConnectionResetError):
            await client.reader.read()


async def test_an_answer_is_truncated_after_so_many_bytes() -> None:
    async with answering() as proxy, connected(proxy) as client:
        await proxy.set(Fault(truncate_after=50))
        client.say()
        assert await client.reader.read() == ANSWER[:50]


async def test_other_bytes_come_instead_of_the_answer() -> None:
    async with answering() as proxy, connected(proxy) as client:
        await proxy.set(Fault(instead=b"garbage"))
        client.say()
        assert await client.reader.readexactly(7) == b"garbage"


async def test_a_close_is_told_late() -> None:
    clock = ManualClock()
    async with answering(clock=clock, close=True) as proxy, connected(proxy) as client:
        await proxy.set(Fault(close_after_s=60))
        client.say()
        assert await client.answer() == ANSWER
        await clock.wait_for_sleepers(1)
        assert list(clock.sleepers) == [60.0]
        await clock.advance(60)
        assert await client.reader.read() == b""


async def test_a_closed_door_refuses_and_cuts_and_opens_again_on_the_same_port() -> None:
    async with answering() as proxy, connected(proxy) as client:
        client.say()
        await client.answer()
        await proxy.set(Fault(door="refuses"))
        with pytest.raises(ConnectionResetError):
            await client.reader.read()
        with pytest.raises(ConnectionRefusedError):
            async with connected(proxy):
                pass
        await proxy.heal()
        async with connected(proxy) as again:
            again.say()
            assert await again.answer() == ANSWER


async def test_a_door_that_ignores_lets_nobody_in_and_falls_silent() -> None:
    async with answering() as proxy, connected(proxy) as client:
        client.say()
        await client.answer()
        await proxy.set(Fault(door="ignores"))
        with socket.socket() as knocking:
            knocking.setblocking(False)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await asyncio.get_running_loop().sock_connect(knocking, ("127.0.0.1", proxy.port))
        client.say()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.answer()
        await proxy.heal()
        async with connected(proxy) as again:
            again.say()
            assert await again.answer() == ANSWER


async def test_each_connection_may_have_a_fault_of_its_own() -> None:
    async with answering() as proxy, connected(proxy) as odd, connected(proxy) as even:
        await proxy.wait_for_connections(2)
        await proxy.set(lambda number: Fault(truncate_after=5) if number % 2 else Fault())
        odd.say()
        even.say()
        assert await odd.reader.read() == ANSWER[:5]
        assert await even.answer() == ANSWER


async def test_it_flaps_by_the_clock() -> None:
    clock = ManualClock()
    async with answering(clock=clock) as proxy:
        async with proxy.flapping(Fault(truncate_after=5), bad_s=3, good_s=7):
            await clock.wait_for_sleepers(1)
            for wait_s, bad in ((3, True), (7, False), (3, True)):
                assert (proxy.fault_of(1) == Fault(truncate_after=5)) is bad
                await clock.advance(wait_s)
        assert proxy.fault_of(1) == Fault()
        assert not clock.sleepers


async def test_a_client_that_leaves_is_not_kept_waiting_for() -> None:
    clock = ManualClock()
    async with answering(clock=clock) as proxy:
        await proxy.set(Fault(latency_s=3600))
        async with connected(proxy) as client:
            client.say()
            await clock.wait_for_sleepers(1)
        await proxy.wait_for_connections(0)
        assert not clock.sleepers


async def test_requests_are_counted_whether_they_are_answered_or_not() -> None:
    async def answer(connection: Connection) -> None:
        while True:
            await connection.request()
            await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")

    async with (
        raw_server(answer) as server,
        FaultProxy(server.port) as proxy,
        httpx.AsyncClient(trust_env=False) as http,
    ):
        for _ in range(2):
            assert (await http.post(proxy.url, content=b"GET / HTTP/1.1")).text == "hi"
        assert (proxy.requests, proxy.accepted) == (2, 1)
        await proxy.set(Fault(silent=True))
        asking = asyncio.create_task(http.get(proxy.url))
        await proxy.wait_for_requests(3)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


async def test_a_server_that_is_gone_is_a_reset() -> None:
    async with raw_server(_silent) as server:
        port = server.port
    async with FaultProxy(port) as proxy, connected(proxy) as client:
        with pytest.raises(ConnectionResetError):
            await client.reader.read()


async def test_a_certificate_can_expire_while_it_runs(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(made.server)
    trusted = ssl.create_default_context(cafile=made.authority)

    async with answering(tls=tls) as proxy:
        _, writer = await asyncio.open_connection("127.0.0.1", proxy.port, ssl=trusted)
        writer.transport.abort()
        tls.load_cert_chain(made.expired)
        await proxy.cut()
        with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
            await asyncio.open_connection("127.0.0.1", proxy.port, ssl=trusted)


async def _silent(connection: Connection) -> None:
    await connection.until_closed()
