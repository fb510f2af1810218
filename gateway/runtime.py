"""What one process serves: schema, documents, upstreams and stores, opened together and closed together."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    nullcontext,
)
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import strawberry
import structlog
from graphql import GraphQLSchema

from clients.auth import AuthorizedWire, BadSecret
from clients.clock import Clock, SystemClock
from clients.endpoints import connect_to
from clients.hooks import Hooks
from clients.service import Service
from clients.stages.fallback import Alternative
from clients.state.circuit import State
from clients.stores.base import Store
from clients.stores.memory import MemoryStore
from clients.stores.tiered import TieredStore
from clients.transports.base import Wire
from clients.upstream import Upstream
from gateway.access.config import AccessError, load_evaluator
from gateway.access.guard import Access
from gateway.auth import open_authorizer
from gateway.checks import check_operations, subgraph_routes
from gateway.config import Config, ConfigError
from gateway.config.fingerprint import config_hash
from gateway.errors import OnMasked
from gateway.execution import Executor, FederatedExecutor, StrawberryExecutor, subscriber
from gateway.federation.local import LocalSubgraph
from gateway.federation.rest_routes import require_routes
from gateway.federation.serving import ServedSupergraph
from gateway.federation.source import find_source
from gateway.fleet import Fleet, open_fleet
from gateway.fleet.messages import digest_of
from gateway.http.cost import Weights, cost_limit, schema_weights, supergraph_weights
from gateway.http.documents import DocumentCache
from gateway.http.limits import DocumentLimitCheck, DocumentLimits
from gateway.http.persisted import AutomaticQueries, PersistedQueries
from gateway.http.safelist import Safelist
from gateway.http.shedding import LoadStatus
from gateway.identity.settings import ops_access
from gateway.ops.operations import RuntimeOperations
from gateway.ops.process import Process
from gateway.subscriptions.circuits import CircuitFeed, Listener
from gateway.wires import wire_to
from gateway.yaml_source import Finding
from schema.build import build_schema, core_schema, operations
from schema.context import CircuitNews, OpsAccess

if TYPE_CHECKING:
    from clients.stores.redis_store import RedisStore
    from clients.stores.redis_tokens import RedisTokens

Trouble = Callable[[], str]
"""What is wrong with a store or a credential just now; empty for nothing."""

Wires = Callable[[Service], Wire]
"""Makes the wire of a service: its own connections, so that one slow service does not use up another's."""


def pyreqwest_wire(service: Service) -> Wire:
    """The default wire of a service."""
    policy = service.policy
    return wire_to(
        service.tls,
        timeout_s=policy.timeout_s,
        max_connections=policy.max_connections,
        connect_to=connect_to(service),
    )


@dataclass(frozen=True, slots=True)
class Runtime:
    """A running gateway. Satisfies schema.context.GatewayState."""

    config: Config
    executor: Executor
    services: Mapping[str, Upstream]
    stores: Mapping[str, Trouble]
    credentials: Mapping[str, Trouble]
    supergraph: ServedSupergraph | None
    persisted: PersistedQueries | None
    clock: Clock
    started_at: datetime
    measured_load: Callable[[], LoadStatus]
    ops_access: OpsAccess
    identity: Mapping[str, Trouble]
    memory: MemoryStore
    redis: "RedisStore | None"
    circuits: CircuitFeed
    process: Process
    fleet: Fleet
    declared: Mapping[str, frozenset[str]]
    config_hash: str

    @property
    def operations(self) -> RuntimeOperations:
        """What operators may ask, and have done."""
        return RuntimeOperations(self, self.declared, self.config_hash)

    def joined_fleet(self) -> AbstractAsyncContextManager[None]:
        """Take part in the fleet for as long as it is entered."""
        return self.fleet.joined(lambda: digest_of(self, self.clock.wall()), self.operations.obey)

    @property
    def load(self) -> LoadStatus:
        """The load of this process."""
        return self.measured_load()

    @property
    def upstreams(self) -> Mapping[str, Upstream]:
        """The services of gateway.yaml, and those that only the supergraph names."""
        if self.supergraph is None:
            return self.services
        return {**self.services, **self.supergraph.snapshot.upstreams}

    @property
    def dependencies(self) -> Mapping[str, str]:
        """What else is depended on, and what is wrong with it."""
        found = {f"store:{name}": trouble() for name, trouble in self.stores.items()}
        upstreams = self.upstreams
        found |= {f"credential:{name}": trouble() for name, trouble in self.credentials.items() if name in upstreams}
        found |= {name: trouble() for name, trouble in self.identity.items()}
        if self.supergraph is not None:
            found["supergraph"] = self.supergraph.status.trouble
        if self.persisted is not None:
            found |= self.persisted.troubles()
        return found

    def circuit_changes(self) -> AbstractContextManager[AsyncIterator[CircuitNews]]:
        """The changes of all circuits from now on, for as long as it is entered."""
        return self.circuits.listening()

    def wall(self, at: float) -> datetime:
        """A monotonic time as the time people read."""
        return self.clock.wall() - timedelta(seconds=self.clock.now() - at)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a runtime is made of that is not of its own making.

    Attributes:
        wires: makes each service's wire; what it makes is closed with the runtime.
        on_masked: gets the cause of each masked error of the local subgraph.
        on_settled: called when a supergraph has been replaced and the old one is gone.
        load: of this process, read as data; without the HTTP layer there is none.
        identity: what callers are known by, and what is wrong with it.
        safelist: the operations that clients are known to send; kept current with the runtime.
        on_circuit: are told of every change of a circuit, those while it opens among them.
        process: this one.
    """

    wires: Wires
    hooks: Hooks
    clock: Clock
    random: Random
    on_masked: OnMasked
    on_settled: Callable[[], None] = lambda: None
    load: Callable[[], LoadStatus] = lambda: LoadStatus(in_flight=0, limit=None, lag_s=0.0, shed=0)
    identity: Mapping[str, Trouble] = field(default_factory=dict)
    safelist: Safelist | None = None
    on_circuit: Sequence[Listener] = ()
    process: Process = field(default_factory=Process)


def load_schema(config: Config) -> strawberry.Schema:
    """The schema of the configured modules, its operations checked against the services.

    Raises:
        SchemaError: a module cannot be used.
        ConfigError: an operation and the services do not fit.
    """
    schema = build_schema(config.imports, federated=config.federation is not None)
    findings = check_operations(schema, config)
    try:
        load_evaluator(config.access)
    except AccessError as error:
        findings.append(Finding(("access", "policies"), str(error)))
    if findings:
        raise ConfigError("schema", findings)
    return schema


@asynccontextmanager
async def open_runtime(config: Config, schema: strawberry.Schema, parts: Parts) -> AsyncIterator[Runtime]:
    """Open what the configuration names, and close it in reverse order, whatever happens.

    `schema` is as `load_schema` gives it.

    Raises:
        SourceError: there is no supergraph to start with.
        FederationError: the supergraph is not usable.
    """
    clock = parts.clock
    circuits = CircuitFeed(parts.hooks, clock, parts.on_circuit)
    async with AsyncExitStack() as stack:
        memory, redis = await _open_stores(config, parts, stack)
        store: Store = memory if redis is None else TieredStore(memory, redis)
        stores: dict[str, Trouble] = {"memory": str}
        if redis is not None:
            stores["redis"] = partial(_trouble, redis)
        redis_tokens = await _open_redis_tokens(config, stack)

        opened: dict[str, Upstream] = {}
        wires: dict[str, Wire] = {}
        credentials: dict[str, Trouble] = {}

        def open_upstream(service: Service, owner: AsyncExitStack) -> Upstream:
            wire = service_wire(config, service, wires=parts.wires, clock=clock, random=parts.random)
            wires[service.name] = wire
            if isinstance(wire, AuthorizedWire):
                credentials[service.name] = wire.trouble
            owner.push_async_callback(wire.aclose)
            rate, tokens = service.policy.rate, None
            if redis_tokens is not None and rate is not None and rate.shared:
                tokens = redis_tokens.bucket(service.name, rate, clock)
                owner.push_async_exit(tokens)
            other = service.fallback.service
            beyond = [] if other is None else [Alternative(opened[other])]
            upstream = Upstream(
                service,
                wire,
                store,
                beyond=beyond,
                hooks=circuits,
                clock=clock,
                random=parts.random,
                connect=partial(_connected, wire, parts.wires),
                tokens=tokens,
            )
            owner.push_async_exit(upstream)
            upstream.start()
            return upstream

        access = Access(load_evaluator(config.access), reject_unauthorized=config.access.reject_unauthorized)
        services = {s.name: s for s in config.clients_services()}
        # What stands in for another service is opened before it, and closed after it.
        for service in sorted(services.values(), key=lambda s: len(config.stand_ins(s.name))):
            if service.graphql or service.rest:
                opened[service.name] = open_upstream(service, stack)
        upstreams = {name: opened[name] for name in services if name in opened}
        supergraph = local = None
        if (federation := config.served_federation) is not None:
            local = federation.local
            supergraph = ServedSupergraph(
                find_source(
                    config, schema, lambda name: nullcontext(wires[name] if _is_special(config, name) else None)
                ),
                services,
                known=upstreams,
                open_upstream=open_upstream,
                make_documents=lambda engine: documents_of(
                    config, engine.api_schema, lambda: supergraph_weights(engine.model.document, schema)
                ),
                local=(local, LocalSubgraph(schema, parts.on_masked, clock)) if local else None,
                poll_interval_s=federation.poll_interval_s,
                last_good=Path(federation.last_good) if federation.last_good else None,
                clock=clock,
                accept=partial(require_routes, subgraph_routes(schema, config)),
                on_drained=parts.on_settled,
                access=access,
                show_errors=config.development,
            )
            await stack.enter_async_context(supergraph)
        executor: Executor = (
            FederatedExecutor(
                supergraph,
                parts.random,
                (local, subscriber(schema, hide_suggestions=not config.development)) if local else None,
            )
            if supergraph is not None
            else StrawberryExecutor(
                schema,
                documents_of(config, core_schema(schema), lambda: schema_weights(schema)),
                hide_suggestions=not config.development,
                access=access,
            )
        )
        persisted = await _open_persisted(config, redis, lambda: executor.current().documents, parts, stack)
        yield Runtime(
            config=config,
            executor=executor,
            services=upstreams,
            stores=stores,
            credentials=credentials,
            supergraph=supergraph,
            persisted=persisted,
            clock=clock,
            started_at=clock.wall(),
            measured_load=parts.load,
            ops_access=ops_access(config.identity, config.ops),
            identity=parts.identity,
            memory=memory,
            redis=redis,
            circuits=circuits,
            process=parts.process,
            fleet=Fleet(parts.process.instance, clock)
            if config.redis is None
            else open_fleet(parts.process.instance, config.redis, clock, parts.random),
            declared=_declared(schema),
            config_hash=config_hash(config),
        )


def _declared(schema: strawberry.Schema) -> dict[str, frozenset[str]]:
    """By service, the names of the operations that fields of the schema are answered by."""
    found: dict[str, set[str]] = {}
    for _, operation in operations(schema):
        found.setdefault(operation.service, set()).add(operation.circuit_name)
    return {service: frozenset(names) for service, names in found.items()}


def _connected(wire: Wire, wires: Wires, service: Service) -> Wire:
    """A wire to one address of a service, authorized as the service's own wire is."""
    bare = wires(service)
    return wire.over(bare) if isinstance(wire, AuthorizedWire) else bare


def service_wire(config: Config, service: Service, *, wires: Wires, clock: Clock, random: Random) -> Wire:
    """The wire of a service, with what its `auth:` puts on requests.

    Raises:
        ConfigError: its secrets or certificates cannot be used any more.
    """
    entry = config.services.get(service.name)
    path = ("services", service.name)
    try:
        wire = wires(service)
    except (OSError, ValueError) as error:
        raise ConfigError("gateway.yaml", [Finding((*path, "tls"), str(error))]) from error
    if entry is None or entry.auth is None:
        return wire
    log = structlog.get_logger("upstream")
    try:
        authorizer = open_authorizer(
            entry.auth,
            timeout_s=service.policy.timeout_s,
            token_wire=partial(wires, service),
            clock=clock,
            random=random,
            tell=lambda trouble: log.warning("credential trouble", service=service.name, trouble=trouble),
        )
    except BadSecret as error:
        raise ConfigError("gateway.yaml", [Finding((*path, "auth"), str(error))]) from error
    return AuthorizedWire(wire, authorizer)


@asynccontextmanager
async def lent_wire(config: Config, name: str) -> AsyncIterator[Wire | None]:
    """A wire with a service's certificates and credentials, for as long as it is needed; None where it has neither."""
    if not _is_special(config, name):
        yield None
        return
    service = next(service for service in config.clients_services() if service.name == name)
    wire = service_wire(config, service, wires=pyreqwest_wire, clock=SystemClock(), random=Random())
    try:
        yield wire
    finally:
        await wire.aclose()


def _is_special(config: Config, name: str) -> bool:
    entry = config.services[name]
    return entry.auth is not None or entry.tls is not None


def documents_of(config: Config, schema: GraphQLSchema, weights: Callable[[], Weights] | None = None) -> DocumentCache:
    """The documents that are valid for a schema, and within the limits; without weights, whatever they cost."""
    asked = config.server.introspection
    introspection = config.development if asked is None else asked
    limits = DocumentLimits(
        max_depth=config.limits.max_depth,
        max_aliases=config.limits.max_aliases,
        max_directives=config.limits.max_directives,
        max_root_fields=config.limits.max_root_fields,
        max_selections=config.limits.max_selections,
    )
    return DocumentCache(
        schema,
        max_tokens=config.limits.max_tokens,
        introspection=introspection,
        suggestions=config.development,
        check_limits=DocumentLimitCheck(limits, introspection=introspection),
        costs=None if weights is None else cost_limit(config, schema, weights),
    )


async def _open_persisted(
    config: Config, redis: Store | None, documents: Callable[[], DocumentCache], parts: Parts, stack: AsyncExitStack
) -> PersistedQueries | None:
    """What knows documents by identifiers; None where nothing is to."""
    persisted = config.persisted_queries
    automatic = None if persisted.automatic is None else AutomaticQueries(persisted.automatic, redis, parts.clock)
    if parts.safelist is not None:
        await stack.enter_async_context(parts.safelist)
    if automatic is None and parts.safelist is None:
        return None
    return PersistedQueries(automatic, parts.safelist, documents)


async def _open_stores(config: Config, parts: Parts, stack: AsyncExitStack) -> "tuple[MemoryStore, RedisStore | None]":
    memory = MemoryStore(config.cache.max_entries, config.cache.max_bytes, parts.clock)
    if config.redis is None:
        return memory, None
    redis = _redis_store()(config.redis.url, parts.clock, parts.random, timeout_s=config.redis.timeout_s)
    await stack.enter_async_context(redis)
    return memory, redis


async def _open_redis_tokens(config: Config, stack: AsyncExitStack) -> "RedisTokens | None":
    """The buckets that processes share, where a service has one."""
    if config.redis is None or not any(s.rate is not None and s.rate.shared for s in config.services.values()):
        return None
    from clients.stores.redis_tokens import RedisTokens  # noqa: PLC0415 - optional, see _redis_store

    return await stack.enter_async_context(RedisTokens(config.redis.url, timeout_s=config.redis.timeout_s))


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
