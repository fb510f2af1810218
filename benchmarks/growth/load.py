"""Clients of the gateway: as fast as they are answered, or at a rate."""

import asyncio
import statistics
import time
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus

import msgspec
from pyreqwest.client import Client, ClientBuilder

_TIMEOUT_S = 30


@dataclass
class Measured:
    """What came of a load.

    Attributes:
        took: seconds to each answer, of those that count.
        shed: requests that were refused for overload.
        lasted_s: how long the load was on.
    """

    took: list[float] = field(default_factory=list)
    shed: int = 0
    lasted_s: float = 0.0

    @property
    def per_s(self) -> float:
        """Answers a second."""
        return len(self.took) / self.lasted_s

    def percentile_ms(self, percent: int) -> float:
        """Milliseconds in which so many of a hundred were answered."""
        return statistics.quantiles(self.took, n=100, method="inclusive")[percent - 1] * 1000


class Overloaded(Exception):
    """The gateway has too much to do."""


class Clients:
    """Ask one query again and again.

    Args:
        url: of the gateway.
        query: the document.
        variables: sent with it.
    """

    def __init__(self, url: str, query: str, variables: dict[str, object] | None = None) -> None:
        self._url = url
        self._payload = msgspec.json.encode({"query": query, "variables": variables or {}})
        self._client: Client = ClientBuilder().http1_only().no_proxy().timeout(timedelta(seconds=_TIMEOUT_S)).build()

    async def ask(self) -> bytes:
        """Ask once.

        Raises:
            Overloaded: it was refused for overload.
            RuntimeError: the answer is no answer, or has errors.
        """
        request = self._client.post(self._url).body_bytes(self._payload).header("content-type", "application/json")
        response = await request.build().send()
        body = bytes(await response.bytes())
        if response.status == HTTPStatus.SERVICE_UNAVAILABLE:
            raise Overloaded
        if response.status != HTTPStatus.OK or not body.startswith(b'{"data":') or b'"errors":' in body[-500:]:
            raise RuntimeError(f"{response.status}: {body[:300]!r} … {body[-300:]!r}")
        return body

    async def closed(self, seconds: float, clients: int = 1, at_least: int = 1) -> Measured:
        """So many clients, each asking anew as soon as it is answered, for so long and each so often."""
        measured = Measured()
        began = time.monotonic()

        async def work() -> None:
            done = 0
            while time.monotonic() - began < seconds or done < at_least:
                asked = time.monotonic()
                await self.ask()
                measured.took.append(time.monotonic() - asked)
                done += 1

        await asyncio.gather(*(work() for _ in range(clients)))
        measured.lasted_s = time.monotonic() - began
        return measured

    async def open(self, per_s: float, seconds: float, settles_s: float = 1.0) -> Measured:
        """Requests at a rate, evenly, whether earlier ones are answered or not; the first ones do not count.

        The time to an answer counts from when the request was due, so that a generator that comes late hides nothing.
        """
        measured = Measured(lasted_s=seconds)
        began = time.monotonic()

        async def one(due: float) -> None:
            try:
                await self.ask()
            except Overloaded:
                measured.shed += 1
                return
            if due - began >= settles_s:
                measured.took.append(time.monotonic() - due)

        async with asyncio.TaskGroup() as group:
            for number in range(int(per_s * (settles_s + seconds))):
                due = began + number / per_s
                if (wait_s := due - time.monotonic()) > 0:
                    await asyncio.sleep(wait_s)
                group.create_task(one(due))
        return measured
