"""What a gateway is made of, built once for a configuration: what is opened, what answers, what is routed."""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random

import structlog
from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from clients.call import Caller
from clients.clock import Clock
from clients.timeouts import Timeouts
from clients.upstream import Upstream
from gateway import identity
from gateway.alerts import open_alerts
from gateway.alerts.sending import Alerts
from gateway.config import Config
from gateway.draining import Draining
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
from gateway.ops.process import Process
from gateway.ops.status import StatusPage, own_documents
from gateway.pipeline import OperationPipeline
from gateway.runtime import Parts, Runtime, Wires, load_schema, open_runtime
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
from schema.build import core_schema


class Serving:
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


class Assembly:
    """The parts of one gateway. Nothing is open before `lifespan` is entered.

    Args:
        config: as `gateway.config.load` gives it.
        wires: how upstreams are reached.
        clock: all time comes from it.
        random: all jitter comes from it.
        on_settled: called when what lives long has been built, and again when a supergraph has been replaced.
        workers: the folder of the processes that serve together, if there are several.
        worker_count: how many they are.

    Raises:
        SchemaError: a module of `imports` cannot be used.
        ConfigError: the schema's operations do not fit the services.
        ManifestError: the safelist cannot be used.
    """

    def __init__(
        self,
        config: Config,
        *,
        wires: Wires,
        clock: Clock,
        random: Random,
        on_settled: Callable[[], None],
        workers: Path | None,
        worker_count: int,
    ) -> None:
        self._config = config
        self._wires = wires
        self._clock = clock
        self._random = random
        self._on_settled = on_settled
        self._schema = load_schema(config)
        self._serving = Serving()
        self.draining = Draining(config.server.grace_s(development=config.development))
        self._figures = RequestFigures()
        self._lag = LoopLag()
        self._process = Process(self._lag, worker_count)
        self._tracing = open_tracing(config.tracing, random, clock)
        self._recent = RecentFigures(self._figures, self._serving.upstreams, clock)
        self._metrics = ExposedMetrics(
            config.metrics, self._runtime, self._figures, self._lag, workers=workers, spans=self._tracing.figures
        )
        self._log = RequestLog(config.log.requests, figures=self._figures, random=random)
        self._shedding = Shedding(
            max_in_flight=config.server.max_in_flight,
            max_lag_s=config.server.max_loop_lag_s,
            clock=clock,
            random=random,
        )
        self._connections = Connections(config.subscriptions, clock)
        listed = config.persisted_queries.safelist
        self._safelist = None if listed is None else Safelist(listed, clock)
        shown = config.development if config.server.graphiql is None else config.server.graphiql
        self._graphiql = GraphiQL() if shown else None
        self.envelope = Envelope(identity.request_id, self._log.masked, clock)

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[dict[str, object]]:
        """Open everything, serve, and close it in reverse order, whatever happens."""
        serving = self._serving
        async with AsyncExitStack() as stack:
            serving.runtime = runtime = await self._open(stack)
            self._on_settled()
            structlog.get_logger("gateway").info("ready", upstreams=len(runtime.upstreams))
            try:
                with self.draining.listening():
                    yield {DRAIN: self._connections.drain}
            finally:
                serving.runtime = None
        serving.pipeline = serving.responses = serving.identifier = None
        logs.flush()

    async def _open(self, stack: AsyncExitStack) -> Runtime:
        config, serving, log, open_ = self._config, self._serving, self._log, stack.enter_async_context
        await open_(self._tracing)
        known = await open_(open_identity(config, self._clock, self._random))
        alerts = await open_(self._alerts())
        await open_(self._metrics)
        parts = Parts(
            self._wires,
            UpstreamLog(),
            self._clock,
            self._random,
            on_masked=log.masked,
            on_settled=self._on_settled,
            load=self._shedding.status,
            identity=known.troubles,
            safelist=self._safelist,
            on_circuit=[alerts.circuit_changed],
            process=self._process,
        )
        runtime = await open_(open_runtime(config, self._schema, parts))
        await asyncio.gather(*(upstream.checked() for upstream in runtime.upstreams.values()))
        flights = await open_(self._flights()) if config.server.dedupe_inflight else None
        serving.pipeline = OperationPipeline(runtime, self._tracing.identifying(known.identifier), log, flights)
        serving.responses = Responses(serving.pipeline, self._shedding, log.masked, self._tracing.recording)
        serving.identifier = known.unlimited
        await open_(runtime.joined_fleet())
        stack.enter_context(self._recent)
        return runtime

    def endpoint(self) -> ASGIApp:
        """What answers GraphQL over HTTP."""
        config = self._config
        endpoint: ASGIApp = GraphQLEndpoint(
            self._serving.handle,
            on_error=self._log.unanswered,
            on_refused=self._log.refused,
            graphiql=self._graphiql,
            max_body_bytes=config.server.max_body_bytes,
            body_timeout_s=config.server.body_timeout_s,
            request_id=identity.request_id,
            clock=self._clock,
            shedding=self._shedding,
            streams=EventStreams(self._serving, self._connections, self._log.masked),
            batching=None if config.server.batching is None else Batching(config.server.batching),
            uploads=self._uploads(),
        )
        if config.server.compression is not None:
            from gateway.http.compression import Compression  # noqa: PLC0415 - it loads a library that others need not

            endpoint = Compression(endpoint, config.server.compression)
        return self._tracing.traced(with_cors(endpoint, config.cors))

    def sockets(self) -> ASGIApp:
        """What answers GraphQL over WebSocket."""
        return WebSocketEndpoint(
            self._serving,
            self._connections,
            on_error=self._log.masked,
            max_message_bytes=self._config.server.max_body_bytes,
            allowed_origin=allowed_origin(self._config.cors),
        )

    def routes(self) -> list[BaseRoute]:
        """Everything beside GraphQL: probes, metrics, monitoring, pages."""
        config, envelope = self._config, self.envelope
        operators = Operators(lambda: self._serving.identifier, ops_access(config.identity, config.ops), self._clock)
        probes = probe_routes(lambda: None if self.draining.active else self._runtime(), operators, envelope)
        monitoring = Monitoring(self._runtime, self._figures, self._lag, envelope, operators)
        routes: list[BaseRoute] = [*probes, *self._metrics.routes, *monitoring.routes()]
        if config.ops.status_page:
            documents = own_documents(config, self._schema)
            routes += StatusPage(self._runtime, self._recent, envelope, operators, documents).routes()
        if self._graphiql is not None:
            routes += self._graphiql.routes()
        return routes

    def _runtime(self) -> Runtime | None:
        return self._serving.runtime

    def _alerts(self) -> AbstractAsyncContextManager[Alerts]:
        return open_alerts(
            self._config.alerts,
            instance=f"{socket.gethostname()}:{os.getpid()}",
            upstreams=lambda: None if self._serving.runtime is None else self._serving.runtime.upstreams,
            wires=self._wires,
            clock=self._clock,
            random=self._random,
        )

    def _flights(self) -> QueryFlights:
        code = bool(self._config.imports or self._config.access.policies)
        return QueryFlights(QueryKeys(self._config.clients_services(), code=code), self._clock)

    def _uploads(self) -> Uploads | None:
        """What reads files; None where no schema can have a place for them."""
        config = self._config
        if config.served_federation is None and not has_upload(core_schema(self._schema)):
            return None
        return Uploads(
            config.server.uploads,
            max_body_bytes=config.server.max_body_bytes,
            body_timeouts=Timeouts(config.server.body_timeout_s, self._clock),
            accepted=self._serving.takes_files,
        )
