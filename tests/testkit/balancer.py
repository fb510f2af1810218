"""A load balancer of the smallest kind: one request a connection, the next server when one does not answer."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.testkit.raw_server import Connection, raw_server

_READ = 65_536


@dataclass
class Balancer:
    """A running balancer.

    Attributes:
        url: without a slash at its end.
        moved_on: requests that the server first asked refused, or left without a byte of an answer.
        given_up: requests that no server answered.
    """

    url: str = ""
    moved_on: int = 0
    given_up: int = 0


@asynccontextmanager
async def balancer(ports: Sequence[int]) -> AsyncIterator[Balancer]:
    """Spread requests over servers on 127.0.0.1, in turn.

    A request is sent again only while nothing of an answer has come, as balancers do with queries. Clients have to
    send `connection: close`, and so does what they get.
    """
    state = Balancer()
    turn = 0

    async def serve(client: Connection) -> None:
        nonlocal turn
        turn += 1
        head = await client.reader.readuntil(b"\r\n\r\n")
        request = head + await client.reader.readexactly(_length(head))
        for attempt in range(2 * len(ports)):
            if attempt:
                state.moved_on += attempt == 1
            if await _answered(ports[(turn + attempt) % len(ports)], request, client):
                return
        state.given_up += 1

    async with raw_server(serve) as server:
        state.url = server.url
        yield state


async def _answered(port: int, request: bytes, client: Connection) -> bool:
    """Pass on the server's whole answer; False when not a byte of one came."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    begun = False
    try:
        if writer.get_extra_info("sockname") == writer.get_extra_info("peername"):
            return False  # nobody listens: the system took that very port for this side, and connected it to itself
        writer.write(request)
        while data := await reader.read(_READ):
            begun = True
            await client.send(data)
    except OSError:
        return begun
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return begun


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0
