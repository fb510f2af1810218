"""`tracing:` of gateway.yaml."""

from collections.abc import Iterator, Mapping
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from clients.policy import PositiveInt, PositiveSeconds
from gateway.auth import HeaderName
from gateway.tls import TlsConfig
from gateway.yaml_source import Finding, Path

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
CONTEXT_HEADERS = frozenset({"traceparent", "tracestate"})
"""W3C Trace Context."""
BAGGAGE = "baggage"
"""W3C Baggage."""

_OUR_OWN = frozenset({"content-type", "content-encoding", "content-length", "host"})


class TracingConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Traces for OpenTelemetry, sent to a collector over HTTP. Needs `pip install 'breakwater[tracing]'`."""

    endpoint: str | None = None
    """URL that spans are posted to (OTLP over HTTP, protobuf), such as http://collector:4318/v1/traces. Default: what
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or OTEL_EXPORTER_OTLP_ENDPOINT says, else http://localhost:4318/v1/traces."""
    headers: dict[HeaderName, str] = msgspec.field(default_factory=dict)
    """Headers sent with them, such as an API key (write ${NAME}, not the key). Default: OTEL_EXPORTER_OTLP_HEADERS."""
    service_name: str | None = None
    """What this gateway is called in traces. Default: OTEL_SERVICE_NAME, else breakwater."""
    sample: Share = 0.1
    """Share of the requests that are recorded, 0 to 1, where nobody before the gateway has decided. Default 0.1."""
    trust_incoming: bool = True
    """Continue the trace of a client's `traceparent`, and record it if that says so. Default true; false begins a trace
    of its own for each request, linked to the client's: for clients that must not decide what is recorded."""
    baggage: bool = False
    """Send the client's `baggage` on to all upstreams, unread. Default false: it may hold anything."""
    tenant: bool = True
    """Tell the caller's tenant in spans. Default true."""
    tls: TlsConfig | None = None
    """Certificates: what is trusted besides the system's authorities, and what is shown. Default: nothing."""
    timeout_s: PositiveSeconds = 10.0
    """For sending one batch, its repetitions included. Default 10."""
    every_s: PositiveSeconds = 5.0
    """Spans wait so long at most before they are sent. Default 5."""
    batch: PositiveInt = 512
    """Spans sent at once; so many that wait are sent at once. Default 512."""
    queue: PositiveInt = 4_096
    """Spans that wait at most; more are dropped, and counted. Default 4,096, some 6 MB."""
    flush_s: PositiveSeconds = 5.0
    """At shutdown, time to send what waits. Default 5."""

    def __repr__(self) -> str:
        return f"TracingConfig(sample={self.sample!r})"  # addresses and headers may hold a key


def tracing_findings(config: TracingConfig | None, sent: Mapping[str, Mapping[str, Path]]) -> Iterator[Finding]:
    """What types cannot say of it.

    Args:
        config: the section; None where there is none.
        sent: by service, the lower-case names of the headers it is sent, each with where in its entry it is said.
    """
    if config is None:
        return
    if config.endpoint is not None and (wrong := _wrong_endpoint(config.endpoint)):
        yield Finding(("tracing", "endpoint"), wrong)
    for name, value in config.headers.items():
        if name.lower() in _OUR_OWN:
            yield Finding(("tracing", "headers", name), "is written by whoever sends the spans; remove it")
        elif not value.isascii() or not value.isprintable():
            yield Finding(("tracing", "headers", name), "has characters that no header may have")
    if config.service_name is not None and not config.service_name.strip():
        yield Finding(("tracing", "service_name"), "is empty; name the gateway, or remove it")
    if config.batch > config.queue:
        message = f"is more than tracing.queue ({config.queue}) lets wait; lower it, or raise the queue"
        yield Finding(("tracing", "batch"), message)
    ours = CONTEXT_HEADERS | {BAGGAGE} if config.baggage else CONTEXT_HEADERS
    for service, headers in sent.items():
        for name, where in headers.items():
            if name in ours:
                message = f"{name} is sent to every service by tracing: already; remove it here"
                yield Finding(("services", service, *where), message)


def _wrong_endpoint(endpoint: str) -> str:
    parts = urlsplit(endpoint)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.fragment:
        return "expected a URL such as http://collector:4318/v1/traces"
    if parts.username is not None:
        return "expected neither user nor password; write them as a header, such as authorization: ${NAME}"
    if parts.path in {"", "/"}:
        return f"has no path, and is used as it is; most collectors take spans at {endpoint.rstrip('/')}/v1/traces"
    return ""
