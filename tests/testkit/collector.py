"""A collector of traces on a real socket: takes OTLP over HTTP, and reads the protobuf."""

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.testkit.serve import serve
from tests.testkit.waiting import Signal

_TOLD = (
    "graphql.operation.name",
    "http.response.status_code",
    "breakwater.served_by",
    "breakwater.cache",
    "breakwater.reason",
    "breakwater.batch.keys",
    "error.type",
)


@dataclass(frozen=True, slots=True)
class Received:
    """A span as it came.

    Attributes:
        parent: id of the parent; empty for the first of a trace.
        kind: of OTLP: 1 internal, 2 server, 3 client, 5 consumer.
        error: whether its status says so.
        events: names with attributes, in their order.
        links: ids of spans.
        resource: attributes of who sent it.
    """

    name: str
    trace_id: str
    id: str
    parent: str
    kind: int
    error: bool
    status: str
    attributes: Mapping[str, Any]
    events: Sequence[tuple[str, Mapping[str, Any]]]
    links: Sequence[str]
    start: int
    end: int
    state: str
    resource: Mapping[str, Any]

    def shown(self) -> str:
        """A line for people."""
        told = [self.attributes[name] for name in _TOLD if name in self.attributes]
        told += [f"{name}{list(attributes.values())[1:]}" for name, attributes in self.events]
        return f"{self.name}  {(self.end - self.start) / 1e6:.1f} ms  {' '.join(map(str, told))}"


class Collector:
    """What was received. `behave` says how requests are answered: a status, or None to be silent."""

    def __init__(self) -> None:
        self.spans: list[Received] = []
        self.headers: list[Mapping[str, str]] = []
        self.bodies: list[bytes] = []
        self.behave: int | None = 200
        self.url = ""
        self._silent = asyncio.Event()
        self._changed = Signal()

    async def take(self, request: Request) -> Response:
        """One request of an exporter."""
        body = await request.body()
        if request.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        self.headers.append(dict(request.headers))
        self._changed.notify()
        if self.behave is None:
            await self._silent.wait()
        if self.behave != 200:
            return Response(status_code=self.behave or 503)
        self.bodies.append(body)
        self.spans += _spans(body)
        self._changed.notify()
        return Response(ExportTraceServiceResponse().SerializeToString(), media_type="application/x-protobuf")

    async def until(self, count: int) -> list[Received]:
        """All spans, once there are so many."""
        await self._changed.until(
            lambda: len(self.spans) >= count, lambda: f"{count} spans; there are {[s.name for s in self.spans]}"
        )
        return self.spans

    async def until_asked(self) -> None:
        """Return once somebody has sent something."""
        await self._changed.until(lambda: bool(self.headers), lambda: "a request")

    def tree(self, trace_id: str | None = None, *, full: bool = False) -> list[str]:
        """The names of the spans of a trace, each below its parent and indented, in the order they began.

        `full` adds what people look for.
        """
        known = {span.id for span in self.spans}
        lines: list[str] = []

        def add(parent: str | None, depth: int) -> None:
            for span in sorted(self.spans, key=lambda s: s.start):
                is_root = span.parent not in known
                if (is_root if parent is None else span.parent == parent) and trace_id in {None, span.trace_id}:
                    lines.append("  " * depth + (span.name if not full else span.shown()))
                    add(span.id, depth + 1)

        add(None, 0)
        return lines

    def named(self, name: str) -> list[Received]:
        """The spans of that name, in the order they began."""
        return sorted((span for span in self.spans if span.name == name), key=lambda span: span.start)

    def release(self) -> None:
        """Answer those that were met with silence."""
        self._silent.set()

    def forget(self) -> None:
        """Begin anew."""
        self.spans.clear()
        self.headers.clear()
        self.bodies.clear()


@asynccontextmanager
async def running_collector() -> AsyncIterator[Collector]:
    """A collector that takes whatever comes."""
    collector = Collector()
    async with serve(Starlette(routes=[Route("/v1/traces", collector.take, methods=["POST"])])) as server:
        collector.url = f"{server.url}/v1/traces"
        try:
            yield collector
        finally:
            collector.release()


def _spans(body: bytes) -> list[Received]:
    request = ExportTraceServiceRequest.FromString(body)
    return [
        Received(
            name=span.name,
            trace_id=span.trace_id.hex(),
            id=span.span_id.hex(),
            parent=span.parent_span_id.hex(),
            kind=span.kind,
            error=span.status.code == 2,
            status=span.status.message,
            attributes=_attributes(span.attributes),
            events=[(event.name, _attributes(event.attributes)) for event in span.events],
            links=[link.span_id.hex() for link in span.links],
            start=span.start_time_unix_nano,
            end=span.end_time_unix_nano,
            state=span.trace_state,
            resource=_attributes(of.resource.attributes),
        )
        for of in request.resource_spans
        for scope in of.scope_spans
        for span in scope.spans
    ]


def _attributes(found: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in found}


async def _show(port: int) -> None:
    collector = Collector()

    async def take(request: Request) -> Response:
        response = await collector.take(request)
        print("\n".join(collector.tree(full=True)), flush=True)  # noqa: T201
        collector.forget()
        return response

    async with serve(Starlette(routes=[Route("/v1/traces", take, methods=["POST"])]), port=port):
        print(f"takes spans at http://127.0.0.1:{port}/v1/traces", flush=True)  # noqa: T201
        await asyncio.Event().wait()


if __name__ == "__main__":  # to look at traces where there is no collector
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_show(4318))
