"""What the pipeline says of the calls and attempts of a request that is traced; for others, nothing here is called."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from msgspec.structs import replace

from clients.call import Answer, Call, ServedBy
from clients.errors import UpstreamError
from clients.operation import Operation
from clients.span import CANCELLED, Span, Value
from clients.subgraph import SubgraphOperation

Run: TypeAlias = Callable[[Call], Awaitable[Answer]]


def code_of(error: BaseException) -> str:
    """How an exception is told of: by its code or its type, and never by its words."""
    if isinstance(error, UpstreamError):
        return error.code
    if isinstance(error, asyncio.CancelledError):
        return CANCELLED
    code = getattr(error, "code", None)
    return code if isinstance(code, str) else type(error).__name__


async def recorded_fetch(span: Span, call: Call, run: Run, *, keeps: bool) -> Answer:
    """`run`, as a part of `span`.

    Args:
        span: of what asks for it.
        call: what is asked for.
        run: answers it.
        keeps: whether the service's answers are kept, so that there is something to say of the cache.
    """
    operation = call.operation
    fetch = span.child(f"fetch {operation.service}", _of_operation(operation, call))
    call = replace(call, caller=replace(call.caller, span=fetch))
    try:
        answer = await run(call)
    except BaseException as error:
        fetch.end(code_of(error))
        raise
    fetch.set(_of_answer(answer, keeps=keeps))
    fetch.end()
    return answer


def _of_operation(operation: Operation, call: Call) -> dict[str, Value]:
    attributes: dict[str, Value] = {
        "breakwater.service": operation.service,
        "breakwater.operation": operation.circuit_name,
        "graphql.operation.type": operation.kind.value,
    }
    if call.keys is not None:
        attributes["breakwater.batch.keys"] = len(call.keys)
    elif isinstance(operation, SubgraphOperation) and (names := operation.representations):  # entities undivided
        attributes["breakwater.batch.keys"] = sum(len(call.variables.get(name, ())) for name in names)
    return attributes


def _of_answer(answer: Answer, *, keeps: bool) -> dict[str, Value]:
    served = answer.served
    rows = [answer.served_row(i) for i in range(len(answer.value))] if answer.served_rows else [served]
    attributes: dict[str, Value] = {"breakwater.served_by": served.by.value}
    if answer.served_rows:
        for by in ServedBy:
            if count := sum(row.by is by for row in rows):
                attributes[f"breakwater.rows.{by.value}"] = count
    reason = next((row.reason for row in rows if row.reason is not None), None)
    if reason is not None:
        attributes["breakwater.reason"] = reason
    age_s = max((row.age_s for row in rows if row.age_s is not None), default=None)
    if age_s is not None:
        attributes["breakwater.age_s"] = age_s
    if keeps:
        by_rows = {row.by for row in rows}
        if ServedBy.STALE in by_rows:
            because = any(row.by is ServedBy.STALE and row.reason is not None for row in rows)
            attributes["breakwater.cache"] = "stale" if because else "revalidating"
        else:
            attributes["breakwater.cache"] = "hit" if by_rows == {ServedBy.FRESH} else "miss"
            if ServedBy.FRESH in by_rows and len(by_rows) > 1:
                attributes["breakwater.cache"] = "partial"
    if answer.queued_s:
        attributes["breakwater.queued_s"] = answer.queued_s
    return attributes


async def recorded_attempt(span: Span, call: Call, protocol: str, run: Run) -> Answer:
    """`run`, one attempt on the wire, as a part of `span`."""
    attributes: dict[str, Value] = {
        "breakwater.service": call.operation.service,
        "breakwater.protocol": protocol,
        "breakwater.attempt": call.attempt,
    }
    if call.attempt > 1:
        attributes["http.request.resend_count"] = call.attempt - 1
    if call.hedge:
        attributes["breakwater.hedge"] = call.hedge
    if call.endpoint is not None:
        attributes["breakwater.endpoint"] = call.endpoint.name
    attempt = span.child(f"attempt {protocol}", attributes, outgoing=True)
    call = replace(call, caller=replace(call.caller, span=attempt, propagated=attempt.propagated))
    try:
        answer = await run(call)
    except BaseException as error:
        attempt.end(code_of(error))
        raise
    attempt.end()
    return answer
