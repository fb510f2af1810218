"""What one process serves: schema, documents, upstreams and stores, opened together and closed together."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import TYPE_CHECKING

import strawberry

from clients.clock import Clock
from clients.hooks import Hooks
from clients.service import Service
from clients.state.circuit import State
from clients.stores.base import Store
from clients.stores.memory import MemoryStore
from clients.stores.tiered import TieredStore
from clients.transports.base import Wire
from clients.transports.options import WireOptions
from clients.transports.pyreqwest_wire import PyreqwestWire
from clients.upstream import Upstream
from gateway.checks import check_operations
from gateway.config import Config, ConfigError
from gateway.http.documents import DocumentCache
from gateway.yaml_source import Finding
from schema.build import build_schema, core_schema

if TYPE_CHECKING:
    from clients.stores.redis_store import RedisStore

Trouble = Callable[[], str]
"""What is wrong with a store just now; empty for nothing."""

Wires = Callable[[Service], Wire]
"""Makes the wire of a service: its own connections, so that one slow service does not use up another's."""

# The wire ends by itself what a cancelled caller left behind; it must not be sooner than the caller's own timer.
_GIVE_UP_MARGIN_S = 0.25


def pyreqwest_wire(service: Service) -> Wire:
    """The default wire of a service."""
    policy = service.policy
    options = WireOptions(max_connections=policy.max_connections, give_up_s=policy.timeout_s + _GIVE_UP_MARGIN_S)
    return PyreqwestWire(options)


@dataclass(frozen=True, slots=True)
class Runtime:
    """A running gateway. Satisfies schema.context.GatewayState."""

    config: Config
    schema: strawberry.Schema
    documents: DocumentCache
    upstreams: Mapping[str, Upstream]
    stores: Mapping[str, Trouble]
    clock: Clock
    started_at: datetime

    @property
    def store_status(self) -> Mapping[str, str]:
        """Each store of answers, and what is wrong with it."""
        return {name: trouble() for name, trouble in self.stores.items()}

    def wall(self, at: float) -> datetime:
        """A monotonic time as the time people read."""
        return self.clock.wall() - timedelta(seconds=self.clock.now() - at)


def load_schema(config: Config) -> strawberry.Schema:
    """The schema of the configured modules, its operations checked against the services.

    Raises:
        SchemaError: a module cannot be used.
        ConfigError: an operation and the services do not fit.
    """
    schema = build_schema(config.imports)
    findings = check_operations(schema, config)
    if findings:
        raise ConfigError("schema", findings)
    return schema


@asynccontextmanager
async def open_runtime(
    config: Config, schema: strawberry.Schema, *, wires: Wires, hooks: Hooks, clock: Clock, random: Random
) -> AsyncIterator[Runtime]:
    """Open what the configuration names, and close it in reverse order, whatever happens.

    `schema` is as `load_schema` gives it; what `wires` makes is closed with the runtime.
    """
    async with AsyncExitStack() as stack:
        memory = MemoryStore(config.cache.max_entries, config.cache.max_bytes, clock)
        store: Store = memory
        stores: dict[str, Trouble] = {"memory": str}
        if config.redis is not None:
            redis_store = _redis_store()
            redis = redis_store(config.redis.url, clock, random, timeout_s=config.redis.timeout_s)
            await stack.enter_async_context(redis)
            store = TieredStore(memory, redis)
            stores["redis"] = partial(_trouble, redis)
        upstreams = {}
        for service in config.clients_services():
            wire = wires(service)
            stack.push_async_callback(wire.aclose)
            upstream = Upstream(service, wire, store, hooks=hooks, clock=clock, random=random)
            upstreams[service.name] = await stack.enter_async_context(upstream)
        introspection = config.server.introspection
        yield Runtime(
            config=config,
            schema=schema,
            documents=DocumentCache(
                core_schema(schema),
                introspection=config.development if introspection is None else introspection,
                suggestions=config.development,
            ),
            upstreams=upstreams,
            stores=stores,
            clock=clock,
            started_at=clock.wall(),
        )


def _redis_store() -> "type[RedisStore]":
    """The store's class; `redis` is an optional dependency, so it is imported when it is configured only.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        from clients.stores.redis_store import RedisStore  # noqa: PLC0415 - see above
    except ModuleNotFoundError as error:
        if error.name != "redis":
            raise
        message = "needs the package redis; install it with: pip install 'breakwater[redis]', or remove this key"
        raise ConfigError("gateway.yaml", [Finding(("redis",), message)]) from error
    return RedisStore


def _trouble(redis: "RedisStore") -> str:
    status = redis.status()
    return "" if status.state is State.CLOSED else f"circuit {status.state}: {status.reason}"
