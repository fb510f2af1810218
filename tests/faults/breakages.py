"""Ways to break a service, and to mend it again."""

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from random import Random
from typing import Protocol

from starlette.responses import JSONResponse, Response

from clients.call import ProtocolName
from tests.faults.world import Site
from tests.testkit.certificates import Certificates
from tests.testkit.fault_proxy import Fault
from tests.testkit.upstream import Behaviour, Exchange

_TIMERS_MAY_BE_EARLY_S = 0.01


class Breakage(Protocol):
    """Breaks some protocols of a service while its block runs."""

    def broken(self, site: Site, protocols: Sequence[ProtocolName]) -> contextlib.AbstractAsyncContextManager[None]:
        """Broken inside, mended after."""
        ...


@dataclass(frozen=True, slots=True)
class OnTheWire:
    """The upstream is well; what lies between is not."""

    fault: Fault

    @contextlib.asynccontextmanager
    async def broken(self, site: Site, protocols: Sequence[ProtocolName]) -> AsyncIterator[None]:
        """Broken inside, mended after."""
        for protocol in protocols:
            await site.proxies[protocol].set(self.fault)
        try:
            yield
        finally:
            for protocol in protocols:
                await site.proxies[protocol].heal()


@dataclass(frozen=True, slots=True)
class Flapping:
    """There for a while, gone for a while."""

    fault: Fault
    bad_s: float
    good_s: float

    @contextlib.asynccontextmanager
    async def broken(self, site: Site, protocols: Sequence[ProtocolName]) -> AsyncIterator[None]:
        """Broken inside, mended after."""
        async with contextlib.AsyncExitStack() as stack:
            for protocol in protocols:
                proxy = site.proxies[protocol]
                await stack.enter_async_context(proxy.flapping(self.fault, bad_s=self.bad_s, good_s=self.good_s))
            yield


@dataclass(frozen=True, slots=True)
class InTheUpstream:
    """The network is well; the upstream says the wrong thing."""

    graphql: Callable[[], Behaviour]
    rest: Callable[[], Behaviour] | None = None

    @contextlib.asynccontextmanager
    async def broken(self, site: Site, protocols: Sequence[ProtocolName]) -> AsyncIterator[None]:
        """Broken inside, mended after."""
        for protocol in protocols:
            make = self.graphql if protocol is ProtocolName.GRAPHQL else self.rest or self.graphql
            site.endpoint(protocol).behave(make())
        try:
            yield
        finally:
            for protocol in protocols:
                site.endpoint(protocol).heal()


@dataclass(frozen=True, slots=True)
class Expired:
    """The service's certificate has run out. The world has to have been opened with certificates."""

    certificates: Certificates

    @contextlib.asynccontextmanager
    async def broken(self, site: Site, protocols: Sequence[ProtocolName]) -> AsyncIterator[None]:
        """Broken inside, mended after."""
        for protocol in protocols:
            site.tls[protocol].load_cert_chain(self.certificates.expired)
            await site.proxies[protocol].cut()
        try:
            yield
        finally:
            for protocol in protocols:
                site.tls[protocol].load_cert_chain(self.certificates.server)


class FromTheStart:
    """What is broken in the configuration, from the first call to the last; there is nothing to mend."""

    @contextlib.asynccontextmanager
    async def broken(self, site: Site, protocols: Sequence[ProtocolName]) -> AsyncIterator[None]:
        """Nothing to do."""
        yield


def sometimes(share: float, bad: Behaviour) -> Behaviour:
    """The behaviour for this share of the calls, drawn from a fixed seed; the true answer for the others."""
    random = Random(7)

    async def behave(exchange: Exchange) -> Response | None:
        return await bad(exchange) if random.random() < share else exchange.answer()

    return behave


@dataclass(slots=True)
class AsksToWait:
    """A status with Retry-After, and an eye on who does not wait.

    Attributes:
        write: gives the header's value and the Unix time before which no further attempt should come.
        impatient: attempts that came before the time their predecessor was told.
    """

    status: int
    write: Callable[[float], tuple[str, float]]
    impatient: int = 0
    _told: dict[str, float] = field(default_factory=dict)

    async def __call__(self, exchange: Exchange) -> Response:
        """Count, and say it again."""
        now = time.time()
        headers = exchange.call.headers
        request_id = f"{headers['host']} {headers.get('x-request-id', '')}"  # the host tells service and protocol
        if now < self._told.get(request_id, 0.0) - _TIMERS_MAY_BE_EARLY_S:
            self.impatient += 1
        value, self._told[request_id] = self.write(now)
        return JSONResponse({"error": "later"}, self.status, headers={"retry-after": value})


@dataclass(frozen=True, slots=True)
class Watched:
    """An upstream that asks to wait, in both protocols, and sees who does not."""

    waits: AsksToWait

    def broken(self, site: Site, protocols: Sequence[ProtocolName]) -> contextlib.AbstractAsyncContextManager[None]:
        """Broken inside, mended after."""
        return InTheUpstream(lambda: self.waits).broken(site, protocols)


def in_seconds(seconds: float) -> Callable[[float], tuple[str, float]]:
    """Retry-After in seconds."""
    return lambda now: (f"{seconds:g}", now + seconds if seconds > 0 else float("inf"))


def at_a_date(now: float) -> tuple[str, float]:
    """Retry-After as a date one to two seconds away; dates have no fractions."""
    at = int(now) + 2
    return format_datetime(datetime.fromtimestamp(at, UTC), usegmt=True), float(at)
