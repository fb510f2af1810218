"""The endpoints of one service: given, or found by looking its host up again and again."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from urllib.parse import urlsplit

from clients.call import ProtocolName
from clients.clock import Clock
from clients.endpoint import Endpoint, origin_of
from clients.hooks import EndpointEvent, Hooks
from clients.policy import EndpointsPolicy, Origin
from clients.service import Service
from clients.state.balancer import Balancer, EndpointChange, EndpointStatus
from clients.transports.base import Wire

Connect = Callable[[Service], Wire]
"""Makes a wire of a service; `Service.address` says which of its addresses it connects to."""

Lookup = Callable[[str], Awaitable[Sequence[str]]]
"""The addresses of a host, as text. OSError when there is no answer."""

_JITTER = 0.1  # ± share of the interval, so that a fleet does not ask in step
_MARGIN_S = 1.0  # beyond the timeout, until a wire that is not used any more is closed


async def system_lookup(host: str) -> list[str]:
    """What the system's resolver says: IPv6 and IPv4, as far as the machine has them, each once."""
    found = await asyncio.get_running_loop().getaddrinfo(
        host, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
    )
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def connect_to(service: Service) -> tuple[str, str] | None:
    """A wire's option for a service that is reached at one of its addresses: the host, and that address."""
    url = service.graphql or service.rest
    return None if service.address is None or url is None else (urlsplit(url).hostname or "", service.address)


@dataclass(frozen=True, slots=True)
class DiscoveryStatus:
    """The looking up of a service's host, read as data. Times are monotonic seconds.

    Attributes:
        trouble: why the last look-up gave nothing, so that its older addresses are still used; empty when it did.
        looked_up_at: when it last gave addresses; None before the first time.
    """

    host: str
    trouble: str
    looked_up_at: float | None


class Endpoints:
    """The endpoints of a service that has several: a balancer for each protocol, all over the same endpoints.

    With `dns_every_s` the host is looked up in the background. Until that has given addresses the host itself is the
    only endpoint, so no call waits for it; when it fails, the last addresses stay. Each address has a wire of its own,
    which connects there under the host's name: URLs, Host and TLS name stay as they are.

    Args:
        service: has the policy; see `Service.endpoints`.
        connect: makes the wires of addresses; they are closed here. None will do for endpoints that are given.
        lookup: see there.
    """

    def __init__(
        self,
        service: Service,
        policy: EndpointsPolicy,
        *,
        connect: Connect | None,
        hooks: Hooks,
        clock: Clock,
        random: Random,
        lookup: Lookup = system_lookup,
    ) -> None:
        self._service = service
        self._policy = policy
        self._connect = connect
        self._hooks = hooks
        self._clock = clock
        self._random = random
        self._lookup = lookup
        urls = {p: url for p in ProtocolName if (url := service.url(p)) is not None}
        self._host = next((urlsplit(url).hostname or "" for url in urls.values()), "")
        self._by_address: dict[str, Endpoint] = {}
        self._retired: list[tuple[float, Wire]] = []
        self._trouble = ""
        self._looked_up_at: float | None = None
        self._task: asyncio.Task[None] | None = None
        first = [_given(origin) for origin in policy.origins] or [Endpoint(self._host)]
        self.balancers: Mapping[ProtocolName, Balancer] = {p: self._balancer(p, first) for p in urls}

    def start(self) -> None:
        """Begin to look the host up, where that is wanted."""
        if self._policy.dns_every_s is not None and self._task is None:
            self._task = asyncio.create_task(self._keep_looking(self._policy.dns_every_s), name="breakwater discovery")

    async def aclose(self) -> None:
        """Stop looking, and close the wires of all addresses."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        wires = [wire for _, wire in self._retired]
        wires += [endpoint.wire for endpoint in self._by_address.values() if endpoint.wire is not None]
        self._retired, self._by_address = [], {}
        await _close(wires)

    def status(self, now: float) -> dict[ProtocolName, tuple[EndpointStatus, ...]]:
        """The endpoints by protocol."""
        return {protocol: balancer.status(now) for protocol, balancer in self.balancers.items()}

    @property
    def discovery(self) -> DiscoveryStatus | None:
        """The looking up; None for endpoints that are given."""
        if self._policy.dns_every_s is None:
            return None
        return DiscoveryStatus(self._host, self._trouble, self._looked_up_at)

    async def look_up(self) -> None:
        """Look the host up once, and use what is found."""
        await self._close_retired()
        try:
            # No timer: a thread waits for the resolver, which gives up by itself; a timer would leave it behind.
            found = list(dict.fromkeys(await self._lookup(self._host)))
        except Exception as error:  # noqa: BLE001 - whatever a resolver raises, the last addresses stay
            self._trouble = f"{self._host} was not found: {str(error) or type(error).__name__}"
            return
        if not found:
            self._trouble = f"{self._host} has no address"
            return
        self._trouble = ""
        self._looked_up_at = self._clock.now()
        try:
            self._use(found)
        except Exception as error:  # noqa: BLE001 - such as a certificate's file that is gone
            self._trouble = f"no connection to {self._host} can be made: {str(error) or type(error).__name__}"

    async def _keep_looking(self, every_s: float) -> None:
        while True:
            await self.look_up()
            await self._clock.sleep(every_s * self._random.uniform(1 - _JITTER, 1 + _JITTER))

    async def _close_retired(self) -> None:
        now = self._clock.now()
        due = [wire for until, wire in self._retired if until <= now]
        await _close(due)
        self._retired = [entry for entry in self._retired if entry[0] > now]

    def _use(self, addresses: Sequence[str]) -> None:
        now = self._clock.now()
        if set(addresses) != set(self._by_address):
            before = self._by_address
            self._by_address = self._at_each(addresses, now)
            for balancer in self.balancers.values():
                balancer.replace(list(self._by_address.values()), now)
            until = now + self._service.policy.timeout_s + _MARGIN_S  # no attempt takes longer
            gone = (endpoint.wire for address, endpoint in before.items() if address not in self._by_address)
            self._retired += [(until, wire) for wire in gone if wire is not None]

    def _at_each(self, addresses: Sequence[str], now: float) -> dict[str, Endpoint]:
        """The endpoints at these addresses: those known, and new ones. All or none: what a failure leaves is closed."""
        found: dict[str, Endpoint] = {}
        try:
            for address in addresses:
                found[address] = self._by_address.get(address) or self._at(address)
        except Exception:
            made = (endpoint.wire for address, endpoint in found.items() if address not in self._by_address)
            self._retired += [(now, wire) for wire in made if wire is not None]
            raise
        return found

    def _at(self, address: str) -> Endpoint:
        wire = self._connect(replace(self._service, address=address)) if self._connect is not None else None
        return Endpoint(address, wire=wire)

    def _balancer(self, protocol: ProtocolName, endpoints: Sequence[Endpoint]) -> Balancer:
        def tell(change: EndpointChange) -> None:
            self._hooks.on_endpoint(
                EndpointEvent(
                    self._service.name, protocol, change.endpoint.name, change.previous, change.state, change.reason
                )
            )

        return Balancer(endpoints, self._policy, now=self._clock.now(), random=self._random, on_change=tell)


def _given(origin: str | Origin) -> Endpoint:
    """An endpoint of the configuration."""
    url, weight = (origin, 1) if isinstance(origin, str) else (origin.url, origin.weight)
    return Endpoint(name=origin_of(url), weight=weight, origin=origin_of(url))


async def _close(wires: Iterable[Wire]) -> None:
    """Close them all, whatever one of them says."""
    await asyncio.gather(*(wire.aclose() for wire in wires), return_exceptions=True)
