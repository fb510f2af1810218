"""The way of one operation, top to bottom, as named steps."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from graphql import OperationType
from msgspec.structs import replace

from clients.call import Caller, ServedBy
from clients.headers import Heard
from clients.timeouts import Block, Timeouts
from gateway.context import RequestContext
from gateway.errors import ErrorFormatter
from gateway.execution import Asked, Executable, Executed
from gateway.flights import QueryFlights
from gateway.http.documents import Document, Operation
from gateway.http.endpoint import Answer, Exchange
from gateway.identity import Identifier
from gateway.runtime import Runtime
from gateway.telemetry import spans
from gateway.telemetry.requests import RequestLog

# Upstream calls end at the deadline by themselves and leave a partial answer; this ends a resolver that does not.
_RESOLVER_GRACE_S = 0.5
_LATE = {
    "message": "A resolver did not end by the request's deadline.",
    "extensions": {"code": "DEADLINE_EXCEEDED", "category": "internal"},
}
_UNFIT = re.compile(r"[^ -~]")  # for a header's value, to be on the safe side (RFC 9110 §5.5)
_MAX_PLAN_HEADER = 4_000  # servers and proxies refuse headers of more than 8 kB


class OperationPipeline:
    """Answers the exchanges of one runtime: document, operation, execution, answer.

    Args:
        runtime: what is served.
        identifier: makes the caller.
        log: gets a line for each operation.
        flights: shares executions of queries; None: each request has its own.
    """

    def __init__(
        self, runtime: Runtime, identifier: Identifier, log: RequestLog, flights: QueryFlights | None = None
    ) -> None:
        self._runtime = runtime
        self._identifier = identifier
        self._log = log
        self._flights = flights
        self._execute_query = self._execute if flights is None else partial(self._execute_shared, flights)
        self._timeout_s = runtime.config.server.request_timeout_s
        self._timeouts = Timeouts(self._timeout_s + _RESOLVER_GRACE_S, runtime.clock)
        self._relays = any(entry.response_headers for entry in runtime.config.services.values())

    async def handle(self, exchange: Exchange) -> Answer:
        """One operation. Cancelling it ends everything it began.

        Raises:
            RequestError: the request is refused before anything is executed.
        """
        clock = self._runtime.clock
        began = clock.now()
        deadline = began + self._timeout_s
        # First: who may not ask learns nothing of the schema.
        caller = self._identifier.caller(exchange.scope, exchange.headers, exchange.request_id, deadline)
        if not isinstance(caller, Caller):
            caller = await caller
        if self._relays:
            caller = replace(caller, heard=Heard())
        persisted = self._runtime.persisted
        text = exchange.params.require_query() if persisted is None else await persisted.text(exchange.params)
        executable = self._runtime.executor.current()  # after whatever waits: a snapshot may be replaced meanwhile
        span = caller.span
        if span is None:
            document, operation = self._document(exchange, executable, text)
        else:
            find = partial(self._document, exchange, executable, text)
            document, operation = spans.document_of(span, executable.documents, text, find)
        costs = executable.documents.costs
        cost = None if costs is None else costs.admit(document, operation, exchange)
        formatter = ErrorFormatter(exchange.request_id, clock.wall(), self._log.masked)
        context = RequestContext(caller, self._runtime)
        params = exchange.params
        asked = Asked(document, operation, params.variables, context, formatter, params.variables_text)
        execute = self._execute_query if operation.kind is OperationType.QUERY else self._execute
        answer = await execute(executable, asked)
        if cost is not None:
            answer = replace(answer, extensions={**(answer.extensions or {}), "cost": cost}, body=None)
        if span is not None:
            spans.answered(span, answer)
        self._log.finished(operation, context, answer, clock.now() - began, variables=params.variables)
        return answer

    @property
    def runtime(self) -> Runtime:
        """What it answers from."""
        return self._runtime

    async def asked(self, exchange: Exchange) -> tuple[Executable, Document, Operation]:
        """What an exchange asks for, and what executes it.

        Raises:
            RequestError: it is not to be executed.
        """
        persisted = self._runtime.persisted
        text = exchange.params.require_query() if persisted is None else await persisted.text(exchange.params)
        executable = self._runtime.executor.current()
        document, operation = self._document(exchange, executable, text)
        if (costs := executable.documents.costs) is not None:
            costs.admit(document, operation, exchange)
        return executable, document, operation

    async def caller(self, exchange: Exchange) -> Caller:
        """Who asks; with the deadline of something that is executed now.

        Raises:
            RequestError: nobody who may.
        """
        deadline = self._runtime.clock.now() + self._timeout_s
        found = self._identifier.caller(exchange.scope, exchange.headers, exchange.request_id, deadline)
        return found if isinstance(found, Caller) else await found

    def timeout(self) -> Block:
        """Ends what is executed now a little after its deadline, with TimeoutError."""
        return self._timeouts.block()

    @staticmethod
    def late(formatter: ErrorFormatter) -> Executed:
        """What comes of something that did not end by its deadline."""
        return Executed(None, [formatter.planned(_LATE)])

    def answer(self, executed: Executed, context: RequestContext, formatter: ErrorFormatter) -> Answer:
        """What came of it, with what was not served as it should have been."""
        return self._answer(executed, context, formatter)

    def _document(self, exchange: Exchange, executable: Executable, text: str) -> tuple[Document, Operation]:
        document = executable.documents.get(text)
        operation = document.operation(exchange.params.operation_name)
        exchange.check_operation(operation.kind)
        return document, operation

    async def _execute(self, executable: Executable, asked: Asked) -> Answer:
        """The answer; what the request began has ended with it."""
        context, formatter = asked.context, asked.formatter
        try:
            try:
                with self._timeouts.block():
                    executed = await executable.execute(asked)
            except TimeoutError:
                executed = self.late(formatter)
            return self._answer(executed, context, formatter)
        finally:
            if context.has_tasks:
                await context.aclose()
            context.loaders.clear()  # they know their request: all that was loaded would wait for the garbage collector

    async def _execute_shared(self, flights: QueryFlights, executable: Executable, asked: Asked) -> Answer:
        """The answer of one execution for all who ask the same meanwhile, with this request's own headers."""
        answer = await flights.answer(asked, partial(self._execute, executable, asked))
        return replace(answer, headers={**answer.headers, **_own_headers(asked.context)})

    def _answer(self, executed: Executed, context: RequestContext, formatter: ErrorFormatter) -> Answer:
        entries: Sequence[Mapping[str, Any]] = executed.errors
        if context.problems:
            entries = [
                *entries,
                *(
                    formatter.upstream_problem(service, path, problem.message, problem.code)
                    for service, path, problem in context.problems
                ),
            ]
        degraded = context.degraded() if context.is_degraded else None
        extensions: dict[str, Any] | None = {"upstreams": degraded} if degraded else None
        headers = _own_headers(context)
        if executed.plan is not None and self._runtime.config.development:
            headers["x-query-plan"] = _one_line(str(executed.plan))
        if degraded and self._runtime.config.development and (stale := _stale(degraded)):
            headers["x-cache"] = _one_line(stale)
        heard = context.caller.heard
        more = () if heard is None else tuple(heard.lines())
        return Answer(executed.data, entries, extensions, headers=headers, more_headers=more, plan=executed.plan)


def _own_headers(context: RequestContext) -> dict[str, str]:
    """What no two requests share."""
    return {"x-correlation-id": context.caller.correlation_id}


def _stale(degraded: Sequence[Mapping[str, Any]]) -> str:
    """The services that were answered for from the cache, past their time; `extensions.upstreams` says more."""
    services = dict.fromkeys(each["service"] for each in degraded if each["servedBy"] == ServedBy.STALE.name)
    return ", ".join(f"STALE {service}" for service in services)


def _one_line(plan: str) -> str:
    """A plan as a header can carry it: one line, ASCII, not too long."""
    text = _UNFIT.sub("?", "; ".join(plan.splitlines()))
    return text if len(text) <= _MAX_PLAN_HEADER else text[:_MAX_PLAN_HEADER] + " (cut)"
