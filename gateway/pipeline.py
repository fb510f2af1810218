"""The way of one operation, top to bottom, as named steps."""

from collections.abc import Awaitable
from typing import Any

from graphql import ExecutionResult, GraphQLError, execute

from gateway.context import RequestContext
from gateway.errors import ErrorFormatter
from gateway.http.documents import Document
from gateway.http.endpoint import Answer, Exchange
from gateway.http.errors import MalformedRequest
from gateway.identity import Identifier
from gateway.runtime import Runtime
from gateway.telemetry.requests import RequestLog
from schema.build import core_schema

# Upstream calls end at the deadline by themselves and leave a partial answer; this ends a resolver that does not.
_RESOLVER_GRACE_S = 0.5


class OperationPipeline:
    """Answers the exchanges of one runtime: document, operation, execution, answer."""

    def __init__(self, runtime: Runtime, identifier: Identifier, log: RequestLog) -> None:
        self._runtime = runtime
        self._identifier = identifier
        self._log = log

    async def handle(self, exchange: Exchange) -> Answer:
        """One operation. Cancelling it ends everything it began.

        Raises:
            RequestError: the request is refused before anything is executed.
        """
        clock = self._runtime.clock
        began = clock.now()
        document, name = self._document(exchange)
        deadline = began + self._runtime.config.server.request_timeout_s
        caller = self._identifier.caller(exchange.scope, exchange.headers, exchange.request_id, deadline)
        async with RequestContext(caller, self._runtime) as context:
            result = await self._execute(document, exchange, context)
            answer = self._answer(result, context)
        self._log.finished(name, context, answer, clock.now() - began)
        return answer

    def _document(self, exchange: Exchange) -> tuple[Document, str | None]:
        params = exchange.params
        if params.query is None:
            raise MalformedRequest("The request has no query; send the parameter query.")
        document = self._runtime.documents.get(params.query)
        operation = document.operation(params.operation_name)
        exchange.check_operation(operation.kind)
        return document, operation.name

    async def _execute(self, document: Document, exchange: Exchange, context: RequestContext) -> ExecutionResult:
        schema, clock = self._runtime.schema, self._runtime.clock
        allowed_s = self._runtime.config.server.request_timeout_s + _RESOLVER_GRACE_S
        try:
            async with clock.timeout(allowed_s):
                result = execute(
                    core_schema(schema),
                    document.ast,
                    context_value=context,
                    variable_values=dict(exchange.params.variables or {}),
                    operation_name=exchange.params.operation_name,
                    executor_class=schema.execution_context_class,
                    hide_suggestions=not self._runtime.config.development,
                )
                return await result if isinstance(result, Awaitable) else result
        except TimeoutError:
            late = GraphQLError(
                "A resolver did not end by the request's deadline.",
                extensions={"code": "DEADLINE_EXCEEDED", "category": "internal"},
            )
            return ExecutionResult(None, [late])

    def _answer(self, result: ExecutionResult, context: RequestContext) -> Answer:
        errors = result.errors or []
        formatter = ErrorFormatter(context.caller.request_id, self._runtime.clock.wall(), self._log.masked)
        entries = [formatter.entry(error) for error in errors]
        entries += [
            formatter.upstream_problem(service, path, problem.message, problem.code)
            for service, path, problem in context.problems
        ]
        degraded = context.degraded()
        extensions: dict[str, Any] | None = {"upstreams": degraded} if degraded else None
        headers = {"x-correlation-id": context.caller.correlation_id}
        if result.data is None and errors and all(error.path is None for error in errors):
            return Answer(errors=entries, extensions=extensions, headers=headers)  # nothing was executed
        return Answer(data=result.data, errors=entries, extensions=extensions, headers=headers)
