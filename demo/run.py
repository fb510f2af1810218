"""All demo upstreams and their control server, in one process and one event loop."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from starlette.types import ASGIApp, Scope

from demo.bank import TEMPER, bank_app
from demo.control import control_app
from demo.customers import customers_app
from demo.faults import FaultBoard
from demo.faulty import Faulty, Sleep, Temper
from demo.invoices import invoices_app
from demo.products import products_app
from demo.reviews import reviews_app
from demo.serving import AppServer


@dataclass(frozen=True, slots=True)
class Ports:
    """Where everything listens, on 127.0.0.1; 0 picks a free port."""

    control: int = 4100
    customers: int = 4101
    invoices: int = 4102
    bank: int = 4103
    products: int = 4104
    reviews: int = 4105


ANY_PORTS = Ports(0, 0, 0, 0, 0, 0)
"""Free ports for everything, as tests want them."""


class Demo:
    """The running demo.

    Attributes:
        board: the switches' state; after changing it, `apply`. From outside the process use the control server.
    """

    def __init__(self, ports: Ports, *, seed: int, sleep: Sleep) -> None:
        self.board = FaultBoard()
        upstreams: dict[str, tuple[ASGIApp, int, Temper | None]] = {
            "customers": (customers_app(), ports.customers, None),
            "invoices": (invoices_app(), ports.invoices, None),
            "bank": (bank_app(), ports.bank, TEMPER),
            "products": (products_app(), ports.products, None),
            "reviews": (reviews_app(), ports.reviews, None),
        }
        rng = random.Random(seed)
        self._servers = {
            name: self._server(name, app, port, rng=random.Random(rng.random()), sleep=sleep, temper=temper)
            for name, (app, port, temper) in upstreams.items()
        }
        self._ports = ports
        self._control: AppServer | None = None
        self._applying = asyncio.Lock()

    @property
    def control_url(self) -> str:
        """The control server's address."""
        if self._control is None:
            raise RuntimeError("the demo is not running")
        return self._control.url

    @property
    def urls(self) -> dict[str, str]:
        """The upstreams' base addresses by name; GraphQL is at `/graphql`, REST at `/api`."""
        return {name: server.url for name, server in self._servers.items()}

    async def apply(self) -> None:
        """Close the sockets of upstreams that are to be down, and open those of the others."""
        async with self._applying:
            for name, server in self._servers.items():
                await (server.refuse() if self.board.is_down(name) else server.listen())

    async def start(self, stack: AsyncExitStack) -> None:
        """Start everything; `stack` ends it."""
        for server in self._servers.values():
            await stack.enter_async_context(server)
        control = AppServer(control_app(self.board, self.urls, self.apply), port=self._ports.control)
        self._control = await stack.enter_async_context(control)

    def _server(
        self, name: str, app: ASGIApp, port: int, *, rng: random.Random, sleep: Sleep, temper: Temper | None
    ) -> AppServer:
        async def drop(scope: Scope) -> None:
            await server.drop(scope)

        faulty = Faulty(app, upstream=name, board=self.board, drop=drop, rng=rng, sleep=sleep, temper=temper)
        server = AppServer(faulty, port=port)
        return server


@asynccontextmanager
async def serve_demo(ports: Ports | None = None, *, seed: int = 1, sleep: Sleep = asyncio.sleep) -> AsyncIterator[Demo]:
    """Run the demo upstreams inside the block; at its end they are gone, whatever hangs.

    Args:
        ports: default: control 4100, customers 4101, invoices 4102, bank 4103, products 4104, reviews 4105.
        seed: of what is left to chance; the same seed gives the same failures in the same order of requests.
        sleep: what the bank and slow upstreams wait with.

    Raises:
        OSError: a port is taken; the message names it.
    """
    demo = Demo(ports or Ports(), seed=seed, sleep=sleep)
    async with AsyncExitStack() as stack:
        await demo.start(stack)
        yield demo
