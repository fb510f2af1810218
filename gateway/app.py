"""The composition root: builds everything, hands it to whoever needs it, and owns its lifetime."""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random

import msgspec
import strawberry
import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Lifespan, Receive, Scope, Send

from clients.call import Caller
from clients.clock import Clock, SystemClock
from clients.timeouts import Timeouts
from clients.upstream import Upstream
from gateway import collector, identity
from gateway.alerts import open_alerts
from gateway.config import Config, ConfigError, FederationConfig, load
from gateway.draining import Draining, closing
from gateway.flights import QueryFlights, QueryKeys
from gateway.http.batching import Batching
from gateway.http.cors import allowed_origin, with_cors
from gateway.http.endpoint import Answer, Exchange, GraphQLEndpoint
from gateway.http.graphiql import GraphiQL
from gateway.http.safelist import Safelist
from gateway.http.shedding import Shedding
from gateway.http.uploads import Uploads, has_upload
from gateway.identity import Identifier
from gateway.identity.opening import open_identity
from gateway.identity.operators import Operators
from gateway.identity.settings import ops_access
from gateway.ops.envelope import Envelope
from gateway.ops.monitoring import Monitoring
from gateway.ops.probes import probe_routes
from gateway.ops.status import StatusPage, own_documents
from gateway.pipeline import OperationPipeline
from gateway.runtime import Parts, Runtime, Wires, load_schema, open_runtime, pyreqwest_wire
from gateway.subscriptions.connections import Connections
from gateway.subscriptions.responses import Responses, StreamExchange
from gateway.subscriptions.server import DRAIN
from gateway.subscriptions.sse import EventStreams
from gateway.subscriptions.websocket import WebSocketEndpoint
from gateway.telemetry import logs
from gateway.telemetry.exposed import ExposedMetrics
from gateway.telemetry.figures import RequestFigures
from gateway.telemetry.loop_lag import LoopLag
from gateway.telemetry.opening import open_tracing
from gateway.telemetry.requests import RequestLog
from gateway.telemetry.series import RecentFigures
from gateway.telemetry.upstreams import UpstreamLog
from gateway.yaml_source import Finding
from schema.build import core_schema

CONFIG_VARIABLE = "BREAKWATER_CONFIG"
SUPERGRAPH_VARIABLE = "BREAKWATER_SUPERGRAPH"
WORKERS_VARIABLE = "BREAKWATER_WORKERS"


class _Serving:
    """What answers just now; empty while the application starts and stops."""

    runtime: Runtime | None = None
    pipeline: OperationPipeline | None = None
    identifier: Identifier | None = None
    responses: Responses | None = None

    def handle(self, exchange: Exchange) -> Awaitable[Answer]:
        """Hand an exchange to the pipeline."""
        if self.pipeline is None:
            raise RuntimeError("the application is asked outside of its lifespan")
        return self.pipeline.handle(exchange)

    def upstreams(self) -> Collection[Upstream]:
        """The upstreams as they are now."""
        return () if self.runtime is None else self.runtime.upstreams.values()

    @property
    def has_subscriptions(self) -> bool:
        """Whether the schema has a Subscription type."""
        return self.responses is not None and self.responses.has_subscriptions

    async def caller(self, exchange: StreamExchange) -> Caller:
        """Who asks."""
        return await self._responses().caller(exchange)

    def answers(self, exchange: StreamExchange) -> AsyncGenerator[Answer, None]:
        """Hand an exchange with several answers on."""
        return self._responses().answers(exchange)

    def _responses(self) -> Responses:
        if self.responses is None:
            raise RuntimeError("the application is asked outside of its lifespan")
        return self.responses

    def takes_files(self) -> bool:
        """Whether the schema, as it is now, has a place for files."""
        return self.runtime is not None and has_upload(self.runtime.executor.current().documents.schema)


_GRAPHQL = "/graphql"


class Application(Starlette):
    """Starlette, but for the endpoint, which needs nothing of what a framework does around a route.

    That costs a third of a small query. The endpoint's route is there as well, for root paths. Nothing is redirected:
    the address would be made of what the client says its host is.
    """

    def __init__(
        self,
        *,
        endpoint: ASGIApp,
        sockets: ASGIApp,
        routes: Sequence[BaseRoute],
        lifespan: Lifespan[Starlette],
        envelope: Envelope,
        draining: Draining,
    ) -> None:
        both = [Route(_GRAPHQL, endpoint), WebSocketRoute(_GRAPHQL, sockets)]
        handlers = {HTTPException: envelope.not_routed}
        super().__init__(routes=[*both, *routes], lifespan=lifespan, exception_handlers=handlers)
        self.router.redirect_slashes = False
        self._endpoint = endpoint
        self._draining = draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if self._draining.active and scope["type"] == "http":
            send = closing(send)
        if scope["type"] == "http" and scope["path"] == _GRAPHQL:
            await self._endpoint(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def create_app(
    config: Config,
    *,
    wires: Wires = pyreqwest_wire,
    clock: Clock | None = None,
    random: Random | None = None,
    on_settled: Callable[[], None] = lambda: None,
    workers: Path | None = None,
) -> Application:
    """The gateway as an ASGI application.

    Args:
        config: as `gateway.config.load` gives it.
        wires: how upstreams are reached; pyreqwest by default.
        clock: all time comes from it.
        random: all jitter comes from it.
        on_settled: called when what lives long has been built, and again when a supergraph has been replaced.
        workers: the folder of the processes that serve together, if there are several.

    Raises:
        SchemaError: a module of `imports` cannot be used.
        ConfigError: the schema's operations do not fit the services.
        ManifestError: the safelist cannot be used.
    """
    schema = load_schema(config)
    clock = clock or SystemClock()
    serving = _Serving()
    draining = Draining(config.server.grace_s(development=config.development))
    random = random or Random()
    figures = RequestFigures()
    lag = LoopLag()
    tracing = open_tracing(config.tracing, random, clock)
    recent = RecentFigures(figures, serving.upstreams, clock)
    metrics = ExposedMetrics(
        config.metrics, lambda: serving.runtime, figures, lag, workers=workers, spans=tracing.figures
    )
    log = RequestLog(config.log.requests, figures=figures, random=random)
    shedding = Shedding(
        max_in_flight=config.server.max_in_flight,
        max_lag_s=config.server.max_loop_lag_s,
        clock=clock,
        random=random,
    )

    connections = Connections(config.subscriptions, clock)
    listed = config.persisted_queries.safelist
    safelist = None if listed is None else Safelist(listed, clock)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, object]]:
        async with AsyncExitStack() as stack:
            open_ = stack.enter_async_context
            await open_(tracing)
            known = await open_(open_identity(config, clock, random))
            alerts = await open_(
                open_alerts(
                    config.alerts,
                    instance=f"{socket.gethostname()}:{os.getpid()}",
                    upstreams=lambda: None if serving.runtime is None else serving.runtime.upstreams,
                    wires=wires,
                    clock=clock,
                    random=random,
                )
            )
            parts = Parts(
                wires,
                UpstreamLog(),
                clock,
                random,
                on_masked=log.masked,
                on_settled=on_settled,
                load=shedding.status,
                identity=known.troubles,
                safelist=safelist,
                on_circuit=[alerts.circuit_changed],
            )
            await open_(metrics)
            runtime = await open_(open_runtime(config, schema, parts))
            await asyncio.gather(*(upstream.checked() for upstream in runtime.upstreams.values()))
            flights = await open_(_flights(config, clock)) if config.server.dedupe_inflight else None
            serving.pipeline = OperationPipeline(runtime, tracing.identifying(known.identifier), log, flights)
            serving.responses = Responses(serving.pipeline, shedding, log.masked, tracing.recording)
            serving.identifier = known.unlimited
            serving.runtime = runtime
            stack.enter_context(recent)
            on_settled()
            structlog.get_logger("gateway").info("ready", upstreams=len(runtime.upstreams))
            try:
                with draining.listening():
                    yield {DRAIN: connections.drain}
            finally:
                serving.runtime = None
        serving.pipeline = serving.responses = serving.identifier = None
        logs.flush()

    shown = config.development if config.server.graphiql is None else config.server.graphiql
    graphiql = GraphiQL() if shown else None
    endpoint = GraphQLEndpoint(
        serving.handle,
        on_error=log.unanswered,
        on_refused=log.refused,
        graphiql=graphiql,
        max_body_bytes=config.server.max_body_bytes,
        body_timeout_s=config.server.body_timeout_s,
        request_id=identity.request_id,
        clock=clock,
        shedding=shedding,
        streams=EventStreams(serving, connections, log.masked),
        batching=None if config.server.batching is None else Batching(config.server.batching),
        uploads=_uploads(config, schema, serving, clock),
    )
    sockets = WebSocketEndpoint(
        serving,
        connections,
        on_error=log.masked,
        max_message_bytes=config.server.max_body_bytes,
        allowed_origin=allowed_origin(config.cors),
    )
    operators = Operators(lambda: serving.identifier, ops_access(config.identity, config.ops), clock)
    envelope = Envelope(identity.request_id, log.masked, clock)
    monitoring = Monitoring(lambda: serving.runtime, figures, lag, envelope, operators)
    probes = probe_routes(lambda: None if draining.active else serving.runtime, operators, envelope)
    routes = [*probes, *metrics.routes, *monitoring.routes()]
    if config.ops.status_page:
        documents = own_documents(config, schema)
        routes += StatusPage(lambda: serving.runtime, recent, envelope, operators, documents).routes()
    if graphiql is not None:
        routes += graphiql.routes()
    return Application(
        endpoint=tracing.traced(with_cors(_compressed(endpoint, config), config.cors)),
        sockets=sockets,
        routes=routes,
        lifespan=lifespan,
        envelope=envelope,
        draining=draining,
    )


def _compressed(endpoint: ASGIApp, config: Config) -> ASGIApp:
    if config.server.compression is None:
        return endpoint
    from gateway.http.compression import Compression  # noqa: PLC0415 - it loads a library that others need not

    return Compression(endpoint, config.server.compression)


def _uploads(config: Config, schema: strawberry.Schema, serving: _Serving, clock: Clock) -> Uploads | None:
    """What reads files; None where no schema can have a place for them."""
    if config.served_federation is None and not has_upload(core_schema(schema)):
        return None
    return Uploads(
        config.server.uploads,
        max_body_bytes=config.server.max_body_bytes,
        body_timeouts=Timeouts(config.server.body_timeout_s, clock),
        accepted=serving.takes_files,
    )


def _flights(config: Config, clock: Clock) -> QueryFlights:
    return QueryFlights(
        QueryKeys(config.clients_services(), code=bool(config.imports or config.access.policies)), clock
    )


def load_config(file: Path | None, supergraph: str | None = None) -> Config:
    """The configuration of a file, of a supergraph alone with defaults, or of both: then the supergraph is this one.

    Args:
        file: default: gateway.yaml, unless a supergraph is given.
        supergraph: file or URL.

    Raises:
        ConfigError: it cannot be used.
    """
    if supergraph is None:
        return load(file or Path("gateway.yaml"))
    config = Config() if file is None else load(file)
    base = config.federation or FederationConfig(local=None)
    if base.as_subgraph:
        message = "is a subgraph itself and serves no supergraph; remove it, or --supergraph"
        raise ConfigError(str(file), [Finding(("federation", "as_subgraph"), message)])
    return msgspec.structs.replace(config, federation=msgspec.structs.replace(base, supergraph=supergraph))


def from_environment() -> Application:
    """The application that BREAKWATER_CONFIG and BREAKWATER_SUPERGRAPH name; what each worker process builds."""
    file = os.environ.get(CONFIG_VARIABLE)
    config = load_config(Path(file) if file else None, os.environ.get(SUPERGRAPH_VARIABLE) or None)
    configure_logs(config)
    collector.tune()
    workers = os.environ.get(WORKERS_VARIABLE)
    return create_app(config, on_settled=collector.settle, workers=Path(workers) if workers else None)


def configure_logs(config: Config) -> None:
    """Set logging up as the configuration says."""
    chosen = config.log.format or ("console" if config.development else "json")
    told = config.log.exception_messages
    told = config.development if told is None else told
    logs.configure(json=chosen == "json", level=config.log.level, mask=config.log.mask, exception_messages=told)
    logs.adopt(config.log.level, exception_messages=told)
