"""The answers of one exchange over a transport that carries several: one an event, or a query's only one."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Protocol

import structlog
from graphql import GraphQLError, OperationType
from msgspec.structs import replace

from clients.call import Caller
from gateway.context import RequestContext
from gateway.errors import ErrorFormatter, OnMasked
from gateway.execution import Asked, Executed
from gateway.http.endpoint import Answer, Exchange
from gateway.http.errors import MethodNotAllowed
from gateway.http.shedding import Shedding
from gateway.pipeline import OperationPipeline
from gateway.subscriptions.source import Source, SourceRefused
from gateway.telemetry import spans

if TYPE_CHECKING:
    from gateway.telemetry.tracing import Tracing


class StreamExchange(Exchange, frozen=True):
    """An exchange that may be answered more than once."""

    def check_operation(self, kind: OperationType) -> None:
        """Raise unless it may carry such an operation: a mutation over GET."""
        if kind is OperationType.MUTATION and self.method != "POST":
            raise MethodNotAllowed("A mutation needs a POST request.", allow="POST")


class Answering(Protocol):
    """What answers just now."""

    @property
    def has_subscriptions(self) -> bool:
        """Whether the schema has a Subscription type."""
        ...

    async def caller(self, exchange: StreamExchange) -> Caller:
        """Who asks; raises RequestError when it is nobody who may."""
        ...

    def answers(self, exchange: StreamExchange) -> AsyncGenerator[Answer, None]:
        """The answers, as they come; one without `data` is the last. To be closed by whoever stops reading.

        Raises:
            RequestError: it is refused before anything is executed.
        """
        ...


class Responses:
    """Answers the exchanges of connections that stay.

    What waits for an event is no request in progress; opening a source and executing an event are.
    """

    def __init__(
        self,
        pipeline: OperationPipeline,
        shedding: Shedding,
        on_masked: OnMasked,
        tracing: "Tracing | None" = None,
    ) -> None:
        self._pipeline = pipeline
        self._handle = pipeline.handle if tracing is None else partial(self._handle_traced, tracing)
        self._answer = self._executed if tracing is None else partial(self._executed_traced, tracing)
        self._runtime = pipeline.runtime
        self._shedding = shedding
        self._on_masked = on_masked
        self._timeout_s = self._runtime.config.server.request_timeout_s
        self._log = structlog.get_logger("gateway")

    @property
    def has_subscriptions(self) -> bool:
        """See `Answering`."""
        return self._runtime.executor.current().documents.schema.subscription_type is not None

    async def caller(self, exchange: StreamExchange) -> Caller:
        """See `Answering`."""
        return await self._pipeline.caller(exchange)

    async def answers(self, exchange: StreamExchange) -> AsyncGenerator[Answer, None]:
        """See `Answering`."""
        executable, document, operation = await self._pipeline.asked(exchange)
        if operation.kind is not OperationType.SUBSCRIPTION:
            with self._shedding:
                answer = await self._handle(exchange)
            yield answer
            return
        clock = self._runtime.clock
        began, events = clock.now(), 0
        caller = await self.caller(exchange)
        async with RequestContext(replace(caller, deadline=None), self._runtime) as context:
            formatter = self._formatter(exchange)
            asked = Asked(document, operation, exchange.params.variables or {}, context, formatter)
            try:
                with self._shedding, self._pipeline.timeout():
                    source = await executable.subscribe(asked)
            except SourceRefused as refused:
                yield Answer(errors=[formatter.entry(error) for error in refused.errors])
                return
            except TimeoutError:
                yield Answer(errors=self._pipeline.late(formatter).errors)
                return
            try:
                async with aclosing(source.events()) as stream:
                    async for event in stream:
                        events += 1
                        yield await self._answer(source, event, exchange, caller)
                        await asyncio.sleep(0)  # a source that never waits must not keep everybody else waiting
            except GraphQLError as error:
                yield Answer(errors=[self._formatter(exchange).entry(error)])
            finally:
                self._log.info(
                    "subscription ended",
                    operation=operation.name,
                    request_id=caller.request_id,
                    events=events,
                    duration_ms=round((clock.now() - began) * 1000, 2),
                )

    async def _handle_traced(self, tracing: "Tracing", exchange: StreamExchange) -> Answer:
        """An operation with a trace of its own, unless it has the one of an HTTP request."""
        if spans.TRACE in exchange.scope:
            return await self._pipeline.handle(exchange)
        with tracing.operation("graphql over websocket", exchange.headers) as trace:
            return await self._pipeline.handle(replace(exchange, scope={**exchange.scope, spans.TRACE: trace}))

    async def _executed_traced(
        self, tracing: "Tracing", source: Source, event: object, exchange: StreamExchange, caller: Caller
    ) -> Answer:
        """An event with a trace of its own: a subscription may last for days."""
        with tracing.operation("subscription event", exchange.headers, event=True) as trace:
            answer = await self._executed(source, event, exchange, trace.of(caller))
            if trace.span is not None:
                spans.event_answered(trace.span, exchange.params.operation_name, answer)
            return answer

    async def _executed(self, source: Source, event: object, exchange: StreamExchange, caller: Caller) -> Answer:
        """One event, in a context of its own: what it loads is new, and gone after it."""
        formatter = self._formatter(exchange)
        deadline = self._runtime.clock.now() + self._timeout_s
        async with RequestContext(replace(caller, deadline=deadline), self._runtime) as context:
            try:
                with self._shedding.counted(), self._pipeline.timeout():
                    result = await source.execute(event, context)
                data, withheld = source.complete(result.data)
                errors = [formatter.entry(error) for error in result.errors or ()]
                executed = Executed(data, [*errors, *map(formatter.planned, withheld)])
            except TimeoutError:
                executed = self._pipeline.late(formatter)
            return self._pipeline.answer(executed, context, formatter)

    def _formatter(self, exchange: StreamExchange) -> ErrorFormatter:
        return ErrorFormatter(exchange.request_id, self._runtime.clock.wall(), self._on_masked)
