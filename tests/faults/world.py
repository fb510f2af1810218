"""Three upstreams, a fault proxy before each protocol of each, and the configuration of a gateway over them."""

import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from clients.call import ProtocolName
from tests.faults.fields import SERVICES
from tests.faults.process import text_of
from tests.testkit.certificates import Certificates
from tests.testkit.fault_proxy import FaultProxy
from tests.testkit.upstream import Endpoint, ScriptedUpstream

BOTH = (ProtocolName.GRAPHQL, ProtocolName.REST)
KEYS = [str(number) for number in range(1, 201)]

TIMEOUT_S = 1.0
DEADLINE_S = 2.0
OPEN_S = 1.0
MAX_OPEN_S = 2.0

POLICY: dict[str, Any] = {
    "timeout_s": TIMEOUT_S,
    "retry": {"attempts": 2, "backoff_s": 0.05, "max_backoff_s": 0.2},
    "breaker": {
        "failures": 5,
        "failure_rate": 0.5,
        "window": 50,
        "minimum_calls": 10,
        "open_s": OPEN_S,
        "max_open_s": MAX_OPEN_S,
        "probes": 1,
    },
    "cache": {"stale_if_error_s": 600, "retry_after_stale_s": OPEN_S},
    "max_body_bytes": 1_000_000,
}
"""What every service of the matrix is configured with, times scaled down; rows add to it. `probe_timeout_s` stays at
its 30 s on purpose: a probe's permit that is lost keeps the circuit from closing for longer than a row waits."""

TOP: dict[str, Any] = {
    "imports": ["tests.faults.fields"],
    "ops": {"public": True},
    "server": {"request_timeout_s": DEADLINE_S},
    "log": {"format": "json", "level": "warning"},
}
"""The rest of the configuration of every gateway of the matrix."""


@dataclass(frozen=True, slots=True)
class Site:
    """One service: an upstream that is well, with a proxy before each of its protocols."""

    name: str
    upstream: ScriptedUpstream
    proxies: Mapping[ProtocolName, FaultProxy]
    tls: Mapping[ProtocolName, ssl.SSLContext]

    def endpoint(self, protocol: ProtocolName) -> Endpoint:
        """The upstream's own side of a protocol."""
        return self.upstream.graphql if protocol is ProtocolName.GRAPHQL else self.upstream.rest

    def requests(self) -> dict[ProtocolName, int]:
        """Requests that came as far as the proxies, by protocol."""
        return {protocol: proxy.requests for protocol, proxy in self.proxies.items()}

    @property
    def ports(self) -> list[int]:
        """Of its proxies."""
        return [proxy.port for proxy in self.proxies.values()]


@dataclass(frozen=True, slots=True)
class World:
    """The three services."""

    sites: Mapping[str, Site]

    @property
    def ports(self) -> list[int]:
        """Of every proxy."""
        return [port for site in self.sites.values() for port in site.ports]

    def config(
        self,
        policy: Mapping[str, Any] | None = None,
        top: Mapping[str, Any] | None = None,
        hosts: Mapping[tuple[str, ProtocolName], str] | None = None,
    ) -> dict[str, Any]:
        """The gateway's configuration.

        Args:
            policy: merged into every service's.
            top: merged into the whole.
            hosts: by service and protocol, another host than the proxy's.
        """
        services = {}
        for name, site in self.sites.items():
            urls = {
                protocol: proxy.url.replace("127.0.0.1", (hosts or {}).get((name, protocol), "127.0.0.1"))
                for protocol, proxy in site.proxies.items()
            }
            services[name] = merged(
                POLICY,
                {"graphql": urls[ProtocolName.GRAPHQL] + "/graphql", "rest": urls[ProtocolName.REST] + "/api"},
                policy or {},
            )
        return merged(TOP, {"services": services}, top or {})


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings laid over one another, key by key at every depth."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            below = result.get(key)
            if isinstance(below, dict) and isinstance(value, Mapping):
                result[key] = merged(below, value)
            else:
                result[key] = value
    return result


@asynccontextmanager
async def open_world(*, certificates: Certificates | None = None, keys: Iterable[str] = KEYS) -> AsyncIterator[World]:
    """The services on free ports, all of them well.

    Args:
        certificates: with these the proxies speak TLS to the gateway.
        keys: the rows that each service has.
    """
    known = list(keys)
    async with AsyncExitStack() as stack:
        sites = {}
        for name in SERVICES:
            rows = [{"id": key, "text": text_of(name, key)} for key in known]
            upstream = await stack.enter_async_context(ScriptedUpstream(rows, collection=name))
            tls = {protocol: _tls(certificates) for protocol in BOTH} if certificates else {}
            proxies = {
                protocol: await stack.enter_async_context(FaultProxy(upstream.server.port, tls=tls.get(protocol)))
                for protocol in BOTH
            }
            sites[name] = Site(name, upstream, proxies, tls)
        yield World(sites)


def _tls(certificates: Certificates) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0  # a client that resumes a session does not look at the certificate again
    context.load_cert_chain(certificates.server)
    return context
