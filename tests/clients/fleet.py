"""One service that answers at several places, each a scripted upstream on a socket."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from clients.endpoints import connect_to
from clients.policy import EjectionPolicy, EndpointsPolicy, Origin
from clients.service import Service
from clients.transports import Wire, WireOptions
from tests.clients.support import ROWS, WIRES, Rig
from tests.testkit.upstream import ScriptedUpstream


class Fleet(Rig):
    """A rig in front of several upstreams; `script` is the first of them."""

    scripts: Sequence[ScriptedUpstream]

    @property
    def spread(self) -> list[int]:
        """Calls of the operations that reached each, over GraphQL."""
        return [len(script.graphql.calls) for script in self.scripts]

    def states(self) -> list[str]:
        """Of each endpoint, for GraphQL."""
        return [endpoint.state.value for endpoint in self.upstream.status().endpoints[self.script.graphql.protocol]]

    def outstanding(self) -> Counter[str]:
        """Calls under way by endpoint, over both protocols; empty when there are none."""
        found: Counter[str] = Counter()
        for endpoints in self.upstream.status().endpoints.values():
            for endpoint in endpoints:
                found[endpoint.name] += endpoint.outstanding
        return +found


@asynccontextmanager
async def fleet(
    weights: Sequence[int] = (1, 1, 1), *, wire: str = "pyreqwest", balance: Any = "round-robin", **parts: Any
) -> AsyncIterator[Fleet]:
    """A service with an endpoint of each weight; two failures in a row eject one for 10 s."""
    eject = EjectionPolicy(**{"failures": 2, "eject_s": 10.0, **parts.pop("eject", {})})
    async with AsyncExitStack() as stack:
        scripts = [await stack.enter_async_context(ScriptedUpstream(ROWS)) for _ in weights]
        origins = tuple(Origin(script.url, weight) for script, weight in zip(scripts, weights, strict=True))
        policy = EndpointsPolicy(origins=origins, balance=balance, eject=eject)
        async with _running(scripts, wire, endpoints=policy, **parts) as made:
            yield made


@asynccontextmanager
async def looked_up(
    lookup: Any, scripts: Sequence[ScriptedUpstream], *, host: str = "crm.test", wire: str = "pyreqwest", **parts: Any
) -> AsyncIterator[Fleet]:
    """A service whose endpoints are the addresses of `host`, all on the port of the first of `scripts`."""

    def connect(service: Service) -> Wire:
        return WIRES[wire](WireOptions(connect_to=connect_to(service)))  # type: ignore[call-arg]

    parts.setdefault("connect", connect)
    policy = EndpointsPolicy(dns_every_s=30.0, balance="round-robin", eject=EjectionPolicy(failures=2))
    base = f"http://{host}:{scripts[0].server.port}"
    urls = {"graphql": f"{base}/graphql", "rest": f"{base}/api"}
    async with _running(scripts, wire, endpoints=policy, lookup=lookup, **urls, **parts) as rig:
        yield rig


@asynccontextmanager
async def _running(scripts: Sequence[ScriptedUpstream], wire: str, **parts: Any) -> AsyncIterator[Fleet]:
    sending = WIRES[wire]()
    made = Fleet(scripts[0], sending, **parts)
    made.scripts = scripts
    try:
        async with made.upstream:
            yield made
    finally:
        await sending.aclose()
    left = [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("breakwater")]
    assert not left, f"tasks left: {left}"
