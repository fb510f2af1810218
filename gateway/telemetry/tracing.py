"""Traces for OpenTelemetry: which requests are recorded, and their spans.

Imported only where `tracing:` is configured. W3C Trace Context and Baggage; OpenTelemetry's semantic conventions for
HTTP and GraphQL.

Whether a request is recorded is decided once, when it arrives. One that is not costs the reading of its headers.
"""

import os
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from importlib import metadata
from random import Random
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clients.clock import Clock
from clients.span import CANCELLED, Span, Value
from clients.tracing import code_of
from gateway.identity import Identifier
from gateway.telemetry.otlp import Sender, resource_of
from gateway.telemetry.spans import TRACE, SpanFigures, Trace, TracedIdentifier
from gateway.telemetry.tracing_config import BAGGAGE, TracingConfig
from gateway.tls import tls_files
from gateway.wires import wire_to

_DEFAULT_ENDPOINT = "http://localhost:4318"
_PATH = "/v1/traces"
_SERVICE_NAME = "breakwater"
_MOST_STATE = 2_000  # characters of `tracestate`; the specification asks for 512 at least
_MOST_BAGGAGE = 8_192  # W3C Baggage, "Limits"
_MOST_EVENTS = 32  # of a span, so that no loop makes it large
_KEPT_ADDRESSES = 1_000
_QUERY_OF_ROUTE = re.compile(r"\{?\?.*")  # RFC 6570: {?ids}, or written out
_UNFIT = re.compile(r"[^\t -~]")
# What follows is for versions to come (W3C Trace Context, "Versioning of traceparent").
_TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_INTERNAL, _SERVER, _CLIENT, _CONSUMER = 1, 2, 3, 5  # as OTLP counts kinds


class Parent(msgspec.Struct, frozen=True):
    """What a client's `traceparent` and `tracestate` say."""

    trace_id: int
    span_id: int
    sampled: bool
    state: str


class RecordedSpan:
    """Implements clients.span.Span, and gateway.telemetry.otlp.Ended once it is over.

    OpenTelemetry's own took a tenth of a millisecond for a small request, most of it for checking attributes that are
    all of this module's making.
    """

    __slots__ = (
        "_baggage",
        "_ids",
        "_sender",
        "attributes",
        "began",
        "ended",
        "error",
        "events",
        "kind",
        "links",
        "name",
        "parent",
        "span_id",
        "state",
        "trace_id",
    )

    def __init__(
        self,
        sender: Sender,
        ids: Callable[[int], int],
        name: str,
        kind: int,
        attributes: Mapping[str, Value],
        *,
        trace_id: int,
        parent: int = 0,
        state: str = "",
        baggage: str | None = None,
    ) -> None:
        self._sender = sender
        self._ids = ids
        self._baggage = baggage
        self.name = name
        self.kind = kind
        self.attributes = dict(attributes)
        self.events: list[tuple[str, int, Mapping[str, Value]]] = []
        self.links: list[tuple[int, int]] = []
        self.error: str | None = None
        self.trace_id = trace_id
        self.span_id = ids(64) or 1
        self.parent = parent
        self.state = state
        self.began = time.time_ns()
        self.ended = 0

    @property
    def trace(self) -> str:
        """See `Span`."""
        return f"{self.trace_id:032x}"

    @property
    def propagated(self) -> Mapping[str, str]:
        """See `Span`."""
        return _headers(self.trace_id, self.span_id, "01", self.state, self._baggage)

    def child(self, name: str, attributes: Mapping[str, Value], *, outgoing: bool = False) -> "RecordedSpan":
        """See `Span`."""
        return RecordedSpan(
            self._sender,
            self._ids,
            name,
            _CLIENT if outgoing else _INTERNAL,
            attributes,
            trace_id=self.trace_id,
            parent=self.span_id,
            state=self.state,
            baggage=self._baggage,
        )

    def set(self, attributes: Mapping[str, Value]) -> None:
        """See `Span`."""
        if not self.ended:
            self.attributes.update(attributes)

    def sent(self, method: str, url: str, route: str | None) -> None:
        """See `Span`."""
        if not self.ended:
            self.name, attributes = _sent(method, url, route)
            self.attributes.update(attributes)

    def event(self, name: str, attributes: Mapping[str, Value]) -> None:
        """See `Span`."""
        if not self.ended and len(self.events) < _MOST_EVENTS:
            self.events.append((name, time.time_ns(), attributes))

    def joined(self, other: Span | None) -> None:
        """See `Span`."""
        if not self.ended:
            self.attributes["breakwater.joined"] = True
            if isinstance(other, RecordedSpan):
                self.links.append((other.trace_id, other.span_id))

    def end(self, error: str | None = None) -> None:
        """See `Span`."""
        if self.ended:
            return
        if error == CANCELLED:
            self.attributes["breakwater.cancelled"] = True
        elif error is not None:
            self.attributes["error.type"] = self.error = error
        self.ended = time.time_ns()
        self._sender.put(self)


class Tracing:
    """Decides what is recorded, and begins its spans. An async context manager; leaving it sends what waits.

    Args:
        config: where to, and how many.
        random: decides about requests that nobody has decided about.
        clock: for sending; spans have the machine's time, as those of other machines.
    """

    def __init__(self, config: TracingConfig, random: Random, clock: Clock) -> None:
        self._config = config
        self._random = random
        self._clock = clock
        self._sender: Sender | None = None
        self.figures = SpanFigures()

    @property
    def recording(self) -> Self:
        """Itself, for connections that stay; see `operation`."""
        return self

    def identifying(self, identifier: Identifier) -> Identifier:
        """The identifier, whose callers know of their trace."""
        return TracedIdentifier(identifier)

    def traced(self, app: ASGIApp) -> ASGIApp:
        """The application, each of whose requests begins a trace."""
        return TracedEndpoint(app, self)

    def begin(
        self,
        headers: Mapping[str, str],
        name: str,
        attributes: Callable[[], Mapping[str, Value]] = dict,
        kind: int = _SERVER,
    ) -> Trace:
        """The trace of what begins now.

        Args:
            headers: of the client, by lower-case name.
            name: of the span.
            attributes: of the span; asked for when it is recorded.
            kind: of the span.
        """
        config = self._config
        baggage = _fit(headers.get(BAGGAGE), _MOST_BAGGAGE) if config.baggage else None
        parent = _parent(headers) if "traceparent" in headers else None
        followed = parent if config.trust_incoming else None
        sampled = self._random.random() < config.sample if followed is None else followed.sampled
        ids, sender = self._random.getrandbits, self._sender
        if not sampled or sender is None:
            if followed is not None:
                told = _headers(followed.trace_id, followed.span_id, "00", followed.state, baggage)
            else:  # told all the same: no upstream is to decide anew
                told = _headers(ids(128) or 1, ids(64) or 1, "00", "", baggage)
            return Trace(None, told, config.tenant)
        if followed is None:
            span = RecordedSpan(sender, ids, name, kind, attributes(), trace_id=ids(128) or 1, baggage=baggage)
            if parent is not None:
                span.links.append((parent.trace_id, parent.span_id))
        else:
            span = RecordedSpan(
                sender,
                ids,
                name,
                kind,
                attributes(),
                trace_id=followed.trace_id,
                parent=followed.span_id,
                state=followed.state,
                baggage=baggage,
            )
        return Trace(span, None, config.tenant)

    @contextmanager
    def operation(self, name: str, headers: Mapping[str, str], *, event: bool = False) -> Iterator[Trace]:
        """The trace of what comes over a connection that stays: an operation, or an event of a subscription.

        Args:
            name: of its span.
            headers: of the client, when it connected.
            event: it is an event.
        """
        trace = self.begin(headers, name, kind=_CONSUMER if event else _SERVER)
        span = trace.span
        try:
            yield trace
        except BaseException as error:
            if span is not None:
                span.end(code_of(error))
            raise
        if span is not None:
            span.end()

    async def __aenter__(self) -> Self:
        config = self._config
        version = metadata.version("breakwater")
        wire = wire_to(tls_files(config.tls), timeout_s=config.timeout_s)
        sender = Sender(
            wire,
            _endpoint(config),
            dict(config.headers) or _pairs(_environment("HEADERS")),
            resource=resource_of(_resource(config, version)),
            version=version,
            figures=self.figures,
            timeout_s=config.timeout_s,
            every_s=config.every_s,
            batch=config.batch,
            queue=config.queue,
            flush_s=config.flush_s,
            clock=self._clock,
        )
        self._sender = await sender.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sender, self._sender = self._sender, None
        if sender is not None:
            await sender.__aexit__(kind, error, trace)


class TracedEndpoint:
    """Begins a trace with each HTTP request to an application, and ends it with the response."""

    def __init__(self, inner: ASGIApp, tracing: Tracing) -> None:
        self._inner = inner
        self._tracing = tracing

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """See ASGI."""

        def attributes() -> Mapping[str, Value]:
            return {
                "http.request.method": scope["method"],
                "http.route": scope["path"],
                "url.path": scope["path"],
                "url.scheme": scope.get("scheme", "http"),
                "network.protocol.version": scope.get("http_version", "1.1"),
            }

        name = f"{scope['method']} {scope['path']}"
        trace = self._tracing.begin(_read(scope), name, attributes)
        scope[TRACE] = trace
        if trace.span is None:
            return self._inner(scope, receive, send)
        return self._recorded(trace.span, scope, receive, send)

    async def _recorded(self, span: Span, scope: Scope, receive: Receive, send: Send) -> None:
        status = 0

        def watched(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            return send(message)

        try:
            await self._inner(scope, receive, watched)
        except BaseException as error:
            span.end(code_of(error))
            raise
        if not status:
            span.end(CANCELLED)  # the client was gone
            return
        span.set({"http.response.status_code": status})
        span.end(str(status) if status >= 500 else None)


_CONTEXT = {b"traceparent": "traceparent", b"tracestate": "tracestate", b"baggage": BAGGAGE}


def _read(scope: Scope) -> Mapping[str, str]:
    """The headers that traces are about; several of one name are joined, as RFC 9110 §5.3 says."""
    found: dict[str, str] = {}
    for raw, value in scope["headers"]:
        if raw in _CONTEXT:
            name, text = _CONTEXT[raw], value.decode("latin-1")
            found[name] = f"{found[name]},{text}" if name in found else text
    return found


def _parent(headers: Mapping[str, str]) -> Parent | None:
    """What a client's headers say; None when they do not say it as they should."""
    found = _TRACEPARENT.fullmatch(headers["traceparent"])
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "00" and more is not None:
        return None
    state = _fit(headers.get("tracestate"), _MOST_STATE) or ""
    return Parent(int(trace_id, 16), int(span_id, 16), bool(int(flags, 16) & 1), state)


def _fit(text: str | None, most: int) -> str | None:
    """What may be sent on, unread."""
    return text if text and len(text) <= most and not _UNFIT.search(text) else None


def _headers(trace_id: int, span_id: int, flags: str, state: str, baggage: str | None) -> Mapping[str, str]:
    headers = {"traceparent": f"00-{trace_id:032x}-{span_id:016x}-{flags}"}
    if state:
        headers["tracestate"] = state
    if baggage is not None:
        headers[BAGGAGE] = baggage
    return headers


@lru_cache(_KEPT_ADDRESSES)
def _origin(origin: str) -> tuple[str, dict[str, Value]]:
    """Of an address: without user and password, and its attributes."""
    parts = urlsplit(origin)
    host = parts.hostname or ""
    port = parts.port or {"https": 443}.get(parts.scheme, 80)
    shown = f"[{host}]" if ":" in host else host
    bare = f"{parts.scheme}://{shown}" + (f":{parts.port}" if parts.port else "")
    return bare, {"url.scheme": parts.scheme, "server.address": host, "server.port": port}


def _sent(method: str, url: str, route: str | None) -> tuple[str, dict[str, Value]]:
    """Name and attributes of a request. A path that was filled in holds values, so the route stands for it."""
    split = url.find("/", url.find("//") + 2)
    origin, path = (url, "/") if split < 0 else (url[:split], url[split:])
    bare, attributes = _origin(origin.partition("?")[0])
    attributes = {**attributes, "http.request.method": method}
    if route is None:
        return method, {**attributes, "url.full": bare + path.partition("?")[0].partition("#")[0]}
    template = _QUERY_OF_ROUTE.sub("", route)
    return f"{method} {template}", {**attributes, "url.template": template}


def _environment(name: str) -> str:
    """A setting of OpenTelemetry's exporters, for traces or for all signals."""
    return os.environ.get(f"OTEL_EXPORTER_OTLP_TRACES_{name}") or os.environ.get(f"OTEL_EXPORTER_OTLP_{name}") or ""


def _endpoint(config: TracingConfig) -> str:
    """The one of traces is used as it is; to the one of all signals the path is added."""
    given = config.endpoint or os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    return given or (os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or _DEFAULT_ENDPOINT).rstrip("/") + _PATH


def _pairs(text: str) -> dict[str, str]:
    """`a=1,b=2`, percent-encoded, as the variables have it (W3C Baggage, without properties)."""
    pairs = (pair.partition("=") for pair in text.split(","))
    return {name.strip(): unquote(value.strip()) for name, found, value in pairs if found and name.strip()}


def _resource(config: TracingConfig, version: str) -> dict[str, Value]:
    """Who sends the spans."""
    given = _pairs(os.environ.get("OTEL_RESOURCE_ATTRIBUTES") or "")
    named = config.service_name or os.environ.get("OTEL_SERVICE_NAME") or given.get("service.name") or _SERVICE_NAME
    ours: dict[str, Value] = {
        "service.version": version,
        "service.instance.id": str(uuid.uuid4()),
        "process.pid": os.getpid(),
    }
    return {**ours, **given, "service.name": named}
