"""Spans as OTLP writes them (protobuf), and sending them to a collector over HTTP.

OpenTelemetry Protocol 1.x, "OTLP/HTTP". The messages are OpenTelemetry's own; attributes that come again and again are
made once.
"""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from types import TracebackType
from typing import Protocol, Self

import structlog
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from clients.clock import Clock
from clients.span import Value
from clients.transports.base import Wire, WireError
from gateway.telemetry.logs import without_accounts
from gateway.telemetry.spans import SpanFigures

_TRY_AGAIN = frozenset({429, 502, 503, 504})  # OTLP/HTTP, "Retryable Response Codes"
_FIRST_WAIT_S = 0.5
_MAX_ANSWER_BYTES = 65_536
_MAX_TEXT = 256  # characters of an attribute
_KEPT = 4_096  # attributes that come again
_IDS = frozenset({"breakwater.request_id", "breakwater.correlation_id", "graphql.document.hash"})
"""Clean ids and digests, as in the log: they are not looked at, and seldom come again."""
_SAMPLED = 1


class Ended(Protocol):
    """A span that is over. Times are nanoseconds since 1970; ids are numbers, and `parent` is 0 for none."""

    trace_id: int
    span_id: int
    parent: int
    state: str
    name: str
    kind: int
    began: int
    ended: int
    attributes: dict[str, Value]
    events: list[tuple[str, int, Mapping[str, Value]]]
    links: list[tuple[int, int]]
    error: str | None


def encode(resource: Resource, scope: InstrumentationScope, spans: Sequence[Ended]) -> bytes:
    """The body of a request."""
    message = ExportTraceServiceRequest(
        resource_spans=[
            ResourceSpans(resource=resource, scope_spans=[ScopeSpans(scope=scope, spans=map(_span, spans))])
        ]
    )
    body: bytes = message.SerializeToString()
    return body


def resource_of(attributes: Mapping[str, Value]) -> Resource:
    """Who sends them."""
    return Resource(attributes=_attributes(attributes))


def _span(span: Ended) -> Span:
    found = Span(
        trace_id=span.trace_id.to_bytes(16, "big"),
        span_id=span.span_id.to_bytes(8, "big"),
        name=_text(span.name),
        kind=span.kind,  # type: ignore[arg-type]  # an enumeration, of numbers
        start_time_unix_nano=span.began,
        end_time_unix_nano=span.ended,
        attributes=_attributes(span.attributes),
        flags=_SAMPLED,
    )
    if span.parent:
        found.parent_span_id = span.parent.to_bytes(8, "big")
    if span.state:
        found.trace_state = span.state
    for name, at, attributes in span.events:
        found.events.add(name=name, time_unix_nano=at, attributes=_attributes(attributes))
    for trace_id, span_id in span.links:
        found.links.add(trace_id=trace_id.to_bytes(16, "big"), span_id=span_id.to_bytes(8, "big"))
    if span.error is not None:
        found.status.code = Status.STATUS_CODE_ERROR
        found.status.message = _text(span.error)
    return found


def _attributes(attributes: Mapping[str, Value]) -> list[KeyValue]:
    return [_made(name, value) if name in _IDS else _attribute(name, value) for name, value in attributes.items()]


def _made(name: str, value: Value) -> KeyValue:
    """Of somebody's words, no account number: one may be in the name of an operation, say."""
    if isinstance(value, str):
        return KeyValue(key=name, value=AnyValue(string_value=value if name in _IDS else _text(value)))
    if isinstance(value, bool):
        return KeyValue(key=name, value=AnyValue(bool_value=value))
    if isinstance(value, int):
        return KeyValue(key=name, value=AnyValue(int_value=value))
    return KeyValue(key=name, value=AnyValue(double_value=value))


_attribute = lru_cache(_KEPT, typed=True)(_made)


@lru_cache(_KEPT)
def _text(text: str) -> str:
    return without_accounts(text[:_MAX_TEXT])


class Sender:
    """Has spans wait, and sends them in batches. An async context manager; leaving it sends the rest, as time allows.

    Nobody waits for it. Where too many wait, or outside of it, spans are dropped.

    Args:
        wire: sends; closed by it.
        url: where to.
        headers: sent along.
        resource: who sends.
        version: of the gateway.
        figures: counts.
        timeout_s: for one batch.
        every_s: a span waits so long at most.
        batch: spans sent at once.
        queue: that wait at most.
        flush_s: for the rest, at the end.
        clock: all time but the last comes from it.
    """

    def __init__(
        self,
        wire: Wire,
        url: str,
        headers: Mapping[str, str],
        *,
        resource: Resource,
        version: str,
        figures: SpanFigures,
        timeout_s: float,
        every_s: float,
        batch: int,
        queue: int,
        flush_s: float,
        clock: Clock,
    ) -> None:
        self._wire = wire
        self._url = url
        self._headers = {**headers, "content-type": "application/x-protobuf"}
        self._encode = partial(encode, resource, InstrumentationScope(name="breakwater", version=version))
        self._figures = figures
        self._timeout_s = timeout_s
        self._every_s = every_s
        self._batch = batch
        self._queue = queue
        self._flush_s = flush_s
        self._clock = clock
        self._waiting: deque[Ended] = deque()
        self._room = 0
        self._due = asyncio.Event()
        self._closing = False
        self._refused = False
        self._log = structlog.get_logger("tracing")
        self._task: asyncio.Task[None] | None = None

    def put(self, span: Ended) -> None:
        """Have it sent, if there is room."""
        waiting = self._waiting
        if len(waiting) >= self._room:
            self._figures.dropped += 1
            return
        waiting.append(span)
        if len(waiting) == self._batch:
            self._due.set()

    async def __aenter__(self) -> Self:
        self._room = self._queue
        self._task = asyncio.create_task(self._run(), name="breakwater traces")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._room = 0
        self._closing = True
        self._due.set()
        task = self._task
        if task is not None:
            try:
                await asyncio.wait({task}, timeout=self._flush_s)
            finally:
                task.cancel()
            await asyncio.wait({task})
            self._figures.dropped += len(self._waiting)
        await self._wire.aclose()

    async def _run(self) -> None:
        while True:
            try:
                async with self._clock.timeout(self._every_s):
                    await self._due.wait()
            except TimeoutError:
                pass
            self._due.clear()
            while self._waiting:
                await self._send([self._waiting.popleft() for _ in range(min(self._batch, len(self._waiting)))])
            if self._closing:
                return

    async def _send(self, spans: Sequence[Ended]) -> None:
        why = "cancelled"
        try:
            body = await asyncio.to_thread(self._encode, spans)  # some milliseconds: not of everybody's
            async with self._clock.timeout(self._timeout_s):
                why = await self._post(body)
        except TimeoutError:
            why = f"no answer within {self._timeout_s:g} s"
        except Exception as error:  # noqa: BLE001  # whatever it is, the next batch is sent
            why = type(error).__name__
            self._log.error("spans not sent", exc_info=error)
        finally:
            if why:
                self._figures.failed += len(spans)
            else:
                self._figures.exported += len(spans)
        if bool(why) is not self._refused:
            self._refused = bool(why)
            if why:
                self._log.warning("the collector does not take spans", reason=why, lost=len(spans))
            else:
                self._log.info("the collector takes spans again", lost=self._figures.failed)

    async def _post(self, body: bytes) -> str:
        """Why the collector did not take it, and will not; empty when it did. Tries again what may go well later."""
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                response = await self._wire.send(
                    "POST", self._url, self._headers, body, max_body_bytes=_MAX_ANSWER_BYTES
                )
            except WireError as error:
                why = str(error)
            else:
                if 200 <= response.status < 300:
                    return ""
                why = f"it answered {response.status}"
                if response.status not in _TRY_AGAIN:
                    return why
            if self._closing:
                return why
            await self._clock.sleep(wait_s)
            wait_s *= 2
