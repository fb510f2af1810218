"""What the steps of a request say of themselves when it is traced. Knows spans as a Protocol: nothing is imported here.

Who finds that a request has no span calls nothing of this.
"""

import hashlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec
from graphql import OperationType
from msgspec.structs import replace
from starlette.types import Scope

from clients.call import Caller
from clients.span import Span, Value
from clients.tracing import code_of
from gateway.context import RequestContext
from gateway.http.documents import Document, DocumentCache, Operation
from gateway.http.endpoint import Answer
from gateway.http.errors import RequestError
from gateway.identity import Identifier

TRACE = "breakwater.trace"
"""Where a scope has the `Trace` of its request."""

_KINDS = {kind: kind.value for kind in OperationType}
_MOST_CODES = 10


class Trace(msgspec.Struct, frozen=True):
    """What is recorded of one request.

    Attributes:
        span: of the whole request; None when it is not recorded.
        propagated: what upstreams are sent when it is not recorded, so that they decide alike.
        tenant: whether the caller's tenant may be told.
    """

    span: Span | None
    propagated: Mapping[str, str] | None
    tenant: bool

    def of(self, caller: Caller) -> Caller:
        """The caller, whose calls are part of it."""
        span = self.span
        if span is not None:
            attributes: dict[str, Value] = {
                "breakwater.request_id": caller.request_id,
                "breakwater.correlation_id": caller.correlation_id,
            }
            if self.tenant and caller.tenant:
                attributes["breakwater.tenant"] = caller.tenant
            span.set(attributes)
        return replace(caller, span=span, propagated=self.propagated)


@dataclass(slots=True)
class SpanFigures:
    """Spans since the start.

    Attributes:
        exported: taken by the collector.
        dropped: too many waited, or there was no time to send them.
        failed: the collector did not take them.
    """

    exported: int = 0
    dropped: int = 0
    failed: int = 0


class TracedIdentifier:
    """Makes callers that know of the trace of their request, which is in its scope."""

    def __init__(self, inner: Identifier) -> None:
        self._inner = inner

    def caller(
        self, scope: Scope, headers: Mapping[str, str], request_id: str, deadline: float
    ) -> Caller | Awaitable[Caller]:
        """See `Identifier`."""
        found = self._inner.caller(scope, headers, request_id, deadline)
        trace: Trace | None = scope.get(TRACE)
        if trace is None:
            return found
        return trace.of(found) if isinstance(found, Caller) else self._later(trace, found)

    @staticmethod
    async def _later(trace: Trace, found: Awaitable[Caller]) -> Caller:
        return trace.of(await found)


def document_of(
    span: Span, documents: DocumentCache, text: str, find: Callable[[], tuple[Document, Operation]]
) -> tuple[Document, Operation]:
    """What `find` finds; a part of the request where the text has to be parsed and validated for it."""
    try:
        if documents.holds(text):
            document, operation = find()
        else:
            with part(span, "graphql.parse_and_validate", {"breakwater.document.size": len(text)}):
                document, operation = find()
    except RequestError as error:
        span.set({"error.type": error.code})
        raise
    span.set(of_operation(document, operation))
    return document, operation


def of_operation(document: Document, operation: Operation) -> dict[str, Value]:
    """What is told of an operation: never its text, which may hold a client's data."""
    attributes: dict[str, Value] = {
        "graphql.operation.type": _KINDS[operation.kind],
        "graphql.document.hash": "sha256:" + hashlib.sha256(document.text.encode()).hexdigest(),
    }
    if operation.name is not None:
        attributes["graphql.operation.name"] = operation.name
    return attributes


def answered(span: Span, answer: Answer) -> None:
    """What became of an operation, by codes."""
    if answer.errors:
        codes = dict.fromkeys(str(entry.get("extensions", {}).get("code", "")) for entry in answer.errors)
        span.set(
            {
                "graphql.errors": len(answer.errors),
                "graphql.error_codes": ",".join(list(codes)[:_MOST_CODES]),
                "error.type": next(iter(codes)),
            }
        )
    if answer.extensions and (degraded := answer.extensions.get("upstreams")):
        span.set({"breakwater.degraded": sum(each["count"] for each in degraded)})


def event_answered(span: Span, name: str | None, answer: Answer) -> None:
    """What became of an event of a subscription."""
    span.set({"graphql.operation.type": "subscription"})
    if name is not None:
        span.set({"graphql.operation.name": name})
    answered(span, answer)


@contextmanager
def part(span: Span, name: str, attributes: Mapping[str, Value] | None = None) -> Iterator[Span]:
    """A part of the request, for as long as the block runs."""
    child = span.child(name, attributes or {})
    try:
        yield child
    except BaseException as error:
        child.end(code_of(error))
        raise
    child.end()


@contextmanager
def executing(span: Span, context: RequestContext, document: Document, operation: Operation) -> Iterator[None]:
    """The execution of an operation: what services are asked meanwhile is part of it."""
    caller = context.caller
    with part(span, "graphql.execute", of_operation(document, operation)) as child:
        context.caller = replace(caller, span=child)
        try:
            yield
        finally:
            context.caller = caller
