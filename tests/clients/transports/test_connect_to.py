"""Connecting to one of a host's addresses, under the host's name, over real sockets."""

import asyncio

import pytest

from tests.clients.transports.conftest import MakeWire
from tests.clients.transports.test_wires import answer, send, tls
from tests.testkit.certificates import Certificates
from tests.testkit.raw_server import Connection, Handler, raw_server


def telling(hosts: list[str]) -> Handler:
    """Keeps the Host header of each connection's first request."""

    async def handle(connection: Connection) -> None:
        hosts.append((await connection.request()).headers["host"])
        await connection.send(answer(b"ok", "connection: close"))

    return handle


async def test_the_address_is_used_and_the_host_header_stays_whatever_the_case_of_the_name(make_wire: MakeWire) -> None:
    hosts: list[str] = []
    async with raw_server(telling(hosts)) as server:
        wire = make_wire(connect_to=("CRM.test", "127.0.0.1"))
        assert (await send(wire, f"http://crm.test:{server.port}/x")).body == b"ok"
        assert (await send(wire, f"http://Crm.test:{server.port}/x")).body == b"ok"
    assert [host.lower() for host in hosts] == [f"crm.test:{server.port}"] * 2


async def test_an_address_of_ipv6(make_wire: MakeWire) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(head.lower().split(b"host: ")[1].split(b":")[0], "connection: close"))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    try:
        server = await asyncio.start_server(serve, "::1", 0)
    except OSError:
        pytest.skip("this machine has no IPv6")
    async with server:
        port = server.sockets[0].getsockname()[1]
        wire = make_wire(connect_to=("crm.test", "::1"))
        assert (await send(wire, f"http://crm.test:{port}/x")).body == b"crm.test"


async def test_the_certificate_is_that_of_the_name_not_of_the_address(
    make_wire: MakeWire, certificates: Certificates
) -> None:
    hosts: list[str] = []
    named: list[str | None] = []
    context = tls(certificates.elsewhere)
    context.sni_callback = lambda _, name, __: named.append(name)
    async with raw_server(telling(hosts), tls=context) as server:
        wire = make_wire(connect_to=("elsewhere.test", "127.0.0.1"), ca_files=(certificates.authority,))
        assert (await send(wire, f"https://elsewhere.test:{server.port}/x")).body == b"ok"
    assert (hosts, named) == (
        [f"elsewhere.test:{server.port}"],
        ["elsewhere.test"],
    )  # the certificate is for that name alone


async def test_other_hosts_are_looked_up(make_wire: MakeWire) -> None:
    hosts: list[str] = []
    async with raw_server(telling(hosts)) as server:
        wire = make_wire(connect_to=("crm.test", "127.0.0.2"))
        assert (await send(wire, f"http://127.0.0.1:{server.port}/x")).body == b"ok"
