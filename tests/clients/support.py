"""What the tests of the pipeline share: rows, operations, callers, and one upstream service wired up."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from starlette.responses import JSONResponse, Response

from clients.call import Answer, Call, Caller, ProtocolName
from clients.clock import Clock
from clients.hooks import AttemptEvent, CircuitEvent, EndpointEvent, RetryEvent, ServedEvent
from clients.operation import Kind, Operation, operation
from clients.policy import BreakerPolicy, CachePolicy, RetryPolicy, ServicePolicy
from clients.service import Service
from clients.state.circuit import CircuitStatus
from clients.stores.memory import MemoryStore
from clients.transports import HttpxWire, PyreqwestWire, Wire
from clients.upstream import Upstream
from tests.testkit.clock import ManualClock
from tests.testkit.upstream import Behaviour, Exchange, ScriptedUpstream

WIRES: dict[str, Callable[[], Wire]] = {"pyreqwest": PyreqwestWire, "httpx": HttpxWire}
ROWS = [{"id": str(n), "name": f"Customer {n}", "tier": "gold"} for n in range(1, 301)]


class Customer(msgspec.Struct, frozen=True):
    id: str | int
    name: str


def customer(number: int | str) -> Customer:
    return Customer(str(number), f"Customer {number}")


MANY = operation(
    "crm",
    "customers",
    row=Customer,
    graphql="query Customers($ids: [ID!]!) { customers(ids: $ids) { id name } }",
    rest="GET /customers{?ids}",
    key="id",
)
PUBLIC = operation(
    "crm",
    "publicCustomers",
    row=Customer,
    graphql="query Customers($ids: [ID!]!) { customers(ids: $ids) { id name } }",
    rest="GET /customers{?ids}",
    key="id",
    public=True,
)
ONE = operation(
    "crm",
    "customer",
    row=Customer,
    graphql="query ($id: ID!) { customer(id: $id) { id name } }",
    rest="GET /customers/{id}",
)
FIRST = operation(
    "crm",
    "first",
    row=Customer,
    many=True,
    graphql="query ($first: Int) { customers(first: $first) { id name } }",
    rest="GET /customers{?first}",
)
TOUCH = operation(
    "crm",
    "touch",
    row=Customer,
    graphql="mutation ($id: ID!) { touchCustomer(id: $id) { id name } }",
    rest="POST /customers/{id}/touch",
)
GRAPHQL_ONLY = operation(
    "crm",
    "customerByGraphQL",
    row=Customer,
    graphql="query ($id: ID!) { customer(id: $id) { id name } }",
)
REST_ONLY = operation("crm", "customerByRest", row=Customer, rest="GET /customers/{id}")
SEARCH = operation("crm", "search", row=Customer, rest="POST /customers/search", key="id", by="ids", kind=Kind.QUERY)

CALLER = Caller("request-1", "correlation-1")


def ask(*ids: int | str, declared: Operation = MANY, caller: Caller = CALLER) -> Call:
    """A batched call."""
    return Call(declared, {}, caller).for_keys([str(i) for i in ids])


def ask_one(number: int | str = 1, *, declared: Operation = ONE, caller: Caller = CALLER) -> Call:
    return Call(declared, {"id": str(number)}, caller)


def says(body: Any, *, http_status: int = 200) -> Behaviour:
    """Exactly this JSON."""

    async def behave(_: Exchange) -> Response:
        return JSONResponse(body, http_status)

    return behave


def partial(rows: Any, *items: dict[str, Any], field: str = "customers") -> Behaviour:
    """A GraphQL answer with rows and errors."""
    return says({"data": {field: rows}, "errors": list(items)})


class Recorder:
    """Hooks that remember."""

    wants_successes = True

    def __init__(self) -> None:
        self.attempts: list[AttemptEvent] = []
        self.circuits: list[CircuitEvent] = []
        self.endpoints: list[EndpointEvent] = []
        self.served: list[ServedEvent] = []
        self.retries: list[RetryEvent] = []

    def on_attempt(self, event: AttemptEvent) -> None:
        self.attempts.append(event)

    def on_retry(self, event: RetryEvent) -> None:
        self.retries.append(event)

    def on_circuit(self, event: CircuitEvent) -> None:
        self.circuits.append(event)

    def on_endpoint(self, event: EndpointEvent) -> None:
        self.endpoints.append(event)

    def on_served(self, event: ServedEvent) -> None:
        self.served.append(event)


# Abandoned async generators are closed by tasks of one turn, and a server whose client has its answer has a few to go.
_LAST_TURNS = 10


class Rig:
    """One scripted upstream and the pipeline in front of it, on a clock moved by hand.

    Retries are off and the cache is off unless a test turns them on; nothing is random but by seed.
    """

    def __init__(self, script: ScriptedUpstream, wire: Wire, **parts: Any) -> None:
        self.script = script
        self.wire = wire
        self.clock: ManualClock = parts.pop("clock", None) or ManualClock()
        pipeline_clock: Clock = parts.pop("pipeline_clock", None) or self.clock
        self.hooks = Recorder()
        self.store = parts.pop("store", None) or MemoryStore(10_000, 50_000_000, pipeline_clock)
        policy = ServicePolicy(
            **{name: parts.pop(name) for name in ("concurrency", "rate", "max_connections") if name in parts},
            timeout_s=parts.pop("timeout_s", 5.0),
            retry=parts.pop("retry", RetryPolicy(attempts=1)),
            hedge=parts.pop("hedge", None),
            breaker=parts.pop("breaker", BreakerPolicy(failures=1000)),
            cache=parts.pop("cache", CachePolicy(max_age_s=0, stale_if_error_s=0)),
            max_body_bytes=parts.pop("max_body_bytes", 1_000_000),
            health=parts.pop("health", None),
        )
        name, beyond = parts.pop("name", "crm"), parts.pop("beyond", ())
        extra = {name: parts.pop(name) for name in ("connect", "lookup") if name in parts}
        service: dict[str, Any] = {"graphql": script.graphql.url, "rest": script.rest.url, **parts}
        self.service = Service(name, policy, **{"show_errors": True, **service})
        self.upstream = Upstream(
            self.service,
            wire,
            self.store,
            beyond=beyond,
            hooks=self.hooks,
            clock=pipeline_clock,
            random=random.Random(42),
            **extra,
        )

    async def execute(self, call: Call) -> Answer:
        return await self.upstream.execute(call)

    def start(self, call: Call) -> "asyncio.Task[Answer]":
        return asyncio.create_task(self.upstream.execute(call))

    def circuit(self, protocol: ProtocolName) -> CircuitStatus:
        return self.upstream.status().circuits[protocol]

    @property
    def calls(self) -> tuple[int, int]:
        """Calls that reached the upstream by GraphQL and by REST."""
        return len(self.script.graphql.calls), len(self.script.rest.calls)


@asynccontextmanager
async def rig(wire: str = "pyreqwest", *, rows: Sequence[Mapping[str, Any]] = ROWS, **parts: Any) -> AsyncIterator[Rig]:
    """A rig for one test; at its end no task may be left, and over httpx no call."""
    before = asyncio.all_tasks()
    sending = WIRES[wire]()
    async with ScriptedUpstream(rows) as script:
        try:
            async with (made := Rig(script, sending, **parts)).upstream:
                yield made
        finally:
            await sending.aclose()
        if wire == "httpx":  # pyreqwest hangs up on a silent upstream only after a while
            await script.graphql.wait_until_idle()
            await script.rest.wait_until_idle()
    left: list[asyncio.Task[Any]] = []
    for _ in range(_LAST_TURNS):
        await asyncio.sleep(0)
        left = [task for task in asyncio.all_tasks() - before if not task.done()]
        if not left:
            break
    assert not left, f"tasks left: {left}"
