"""`/monitoring/…`: how everything does, as JSON for people and scripts. For operators, but for the two probes."""

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace
from starlette.requests import Request
from starlette.routing import Route

from clients.call import ProtocolName
from clients.figures import HistogramFigures
from clients.state.circuit import Mode, State
from clients.upstream import Upstream
from gateway.http.errors import MalformedRequest, PayloadTooLarge
from gateway.http.negotiation import check_content_type
from gateway.identity.operators import Operators
from gateway.ops.envelope import Ask, Envelope
from gateway.ops.errors import NotFound, NotReady
from gateway.ops.guard import for_operators
from gateway.ops.plain import Wall, plain
from gateway.ops.probes import health_body
from gateway.runtime import Runtime
from gateway.telemetry.figures import KindFigures, RequestFigures
from gateway.telemetry.loop_lag import LoopLag
from schema.operations import CircuitTarget, Refused

_MOST_BODY = 10_000
_SLOWEST = 20


class Monitoring:
    """The addresses below /monitoring.

    Args:
        current: what serves now; None before and after.
        requests: of this process.
        lag: of its event loop.
        envelope: shapes the answers.
        operators: who may ask for more than whether it lives and is ready.
    """

    def __init__(
        self,
        current: Callable[[], Runtime | None],
        requests: RequestFigures,
        lag: LoopLag,
        envelope: Envelope,
        operators: Operators,
    ) -> None:
        self._current = current
        self._requests = requests
        self._lag = lag
        self._envelope = envelope
        self._operators = operators

    def routes(self) -> list[Route]:
        """The routes."""
        circuits = "/monitoring/circuit-breakers"
        return [
            self._route("/monitoring/health/live", self._live, open_to_all=True),
            self._route("/monitoring/health/ready", self._ready, open_to_all=True),
            self._route("/monitoring/health/deep", self._deep),
            self._route("/monitoring/metrics", self._metrics),
            self._route("/monitoring/performance", self._performance),
            self._route(circuits, self._circuits),
            self._route(circuits + "/{name}", self._circuit),
            self._route(circuits + "/{name}/reset", self._reset, method="POST"),
        ]

    def _route(self, path: str, ask: Ask, *, method: str = "GET", open_to_all: bool = False) -> Route:
        asked = ask if open_to_all else for_operators(self._operators, ask)
        return Route(path, self._envelope.around(asked), methods=[method])

    def _runtime(self) -> Runtime:
        runtime = self._current()
        if runtime is None:
            raise NotReady("The gateway is not ready.")
        return runtime

    async def _live(self, _: Request) -> Mapping[str, Any]:
        return {"status": "ok"}

    async def _ready(self, _: Request) -> Mapping[str, Any]:
        self._runtime()
        return {"status": "ok"}

    async def _deep(self, _: Request) -> Mapping[str, Any]:
        """Asks every upstream now; retries, caches and circuits take no part."""
        runtime = self._runtime()
        upstreams = runtime.upstreams
        async with asyncio.TaskGroup() as tasks:
            pings = {name: tasks.create_task(upstream.ping()) for name, upstream in upstreams.items()}
        checked = {name: plain(task.result(), runtime.wall) for name, task in pings.items()}
        return {**health_body(runtime), "checkedNow": checked}

    async def _metrics(self, _: Request) -> Mapping[str, Any]:
        runtime = self._runtime()
        requests = self._requests.read()
        found = {}
        for name, upstream in runtime.upstreams.items():
            found[name] = _upstream(upstream, runtime.wall)
            await asyncio.sleep(0)  # adding one up takes most of a millisecond
        return {
            "worker": os.getpid(),
            "requests": {
                **{kind: _outcomes(of) for kind, of in requests.kinds.items()},
                "refused": requests.refused,
                "codes": requests.codes,
            },
            "load": plain(runtime.load, runtime.wall),
            "upstreams": found,
        }

    async def _performance(self, _: Request) -> Mapping[str, Any]:
        runtime = self._runtime()
        latency: dict[str, Any] = {}
        slow: list[dict[str, Any]] = []
        for name, upstream in runtime.upstreams.items():
            calls = upstream.figures().calls
            latency[name] = plain(calls.traffic.latency, runtime.wall)
            slow += [{"service": name, **plain(each, runtime.wall)} for each in calls.slow_operations]
            await asyncio.sleep(0)
        documents = runtime.executor.current().documents.info()
        return {
            "worker": os.getpid(),
            "requests": {kind: _durations(of.durations) for kind, of in self._requests.read().kinds.items()},
            "upstreams": latency,
            "slowOperations": sorted(slow, key=lambda each: -each["durationMs"])[:_SLOWEST],
            "documentCache": plain(documents, runtime.wall),
            "planCache": _plans(runtime),
            "eventLoop": {
                "lastLagMs": round(self._lag.last_s * 1000, 3),
                "maxLagMs": round(self._lag.max_s * 1000, 3),
                **_durations(self._lag.read()),
            },
        }

    async def _circuits(self, _: Request) -> Mapping[str, Any]:
        runtime = self._runtime()
        found = [circuit for upstream in runtime.upstreams.values() for circuit in circuits_of(upstream, runtime.wall)]
        states = [circuit["state"] for circuit in found]
        return {
            "worker": os.getpid(),
            "summary": {
                "total": len(found),
                "open": states.count(State.OPEN.value),
                "halfOpen": states.count(State.HALF_OPEN.value),
                "closed": states.count(State.CLOSED.value),
                "byOperator": sum(circuit["mode"] != Mode.AUTOMATIC.value for circuit in found),
            },
            "circuits": found,
        }

    async def _circuit(self, request: Request) -> Mapping[str, Any]:
        runtime = self._runtime()
        upstream, protocol = _named(runtime, request.path_params["name"])
        return {"worker": os.getpid(), "circuits": _of(upstream, protocol, runtime.wall)}

    async def _reset(self, request: Request) -> Mapping[str, Any]:
        runtime = self._runtime()
        # As for GraphQL: no page of another site can make a browser send this without asking first.
        check_content_type(request.headers.get("content-type"), request.headers.get("content-encoding"))
        reason = _reason(await _body(request))
        upstream, protocol = _named(runtime, request.path_params["name"])
        caller = replace(request.state.caller, request_id=request.state.request_id)
        try:
            await runtime.operations.reset_circuit(caller, CircuitTarget(upstream.name, protocol, None, reason))
        except Refused as error:
            raise NotFound(str(error)) from error
        return {"worker": os.getpid(), "circuits": _of(upstream, protocol, runtime.wall)}


class _Asked(msgspec.Struct, forbid_unknown_fields=True):
    reason: str | None = None


def _reason(body: bytes) -> str | None:
    if not body:
        return None
    try:
        return msgspec.json.decode(body, type=_Asked).reason
    except msgspec.DecodeError as error:
        raise MalformedRequest('The body must be empty, or {"reason": "…"}.') from error


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BODY:
            raise PayloadTooLarge(f"The body is larger than {_MOST_BODY} bytes.", headers={"connection": "close"})
    return body


def _named(runtime: Runtime, name: str) -> tuple[Upstream, ProtocolName | None]:
    """What `service` or `service:protocol` names."""
    upstreams = runtime.upstreams
    if name in upstreams:
        return upstreams[name], None
    service, _, protocol = name.rpartition(":")
    if service in upstreams and protocol in set(ProtocolName):
        return upstreams[service], ProtocolName(protocol)
    known = [each["name"] for upstream in upstreams.values() for each in circuits_of(upstream, runtime.wall)]
    raise NotFound(
        errors=[{"message": "There is no such circuit.", "extensions": {"known": sorted({*upstreams, *known})}}]
    )


def _of(upstream: Upstream, protocol: ProtocolName | None, wall: Wall) -> list[dict[str, Any]]:
    return [c for c in circuits_of(upstream, wall) if protocol is None or c["protocol"] == protocol.value]


def circuits_of(upstream: Upstream, wall: Wall) -> Iterator[dict[str, Any]]:
    """The circuits of an upstream, as JSON."""
    status = upstream.status()
    each = (
        status.by_operation.items()
        if status.by_operation
        else [((protocol, None), circuit) for protocol, circuit in status.circuits.items()]
    )
    for (protocol, operation), circuit in each:
        yield {
            "name": f"{upstream.name}:{protocol.value}",
            "service": upstream.name,
            "protocol": protocol.value,
            "operation": operation,
            **plain(circuit, wall),
            "failureRate": circuit.failure_rate,
            "slowRate": circuit.slow_rate,
        }


def _upstream(upstream: Upstream, wall: Wall) -> dict[str, Any]:
    status, figures = upstream.status(), upstream.figures()
    calls = plain(figures.calls.traffic, wall)
    return {
        "health": status.health.value,
        "reason": status.reason,
        "since": plain(status.since, wall, "since"),
        "calls": {**calls, "durations": _durations(figures.calls.traffic.durations)},
        "attempts": {
            protocol.value: {**plain(traffic, wall), "durations": _durations(traffic.durations)}
            for protocol, traffic in figures.attempts.items()
        },
        "servedBy": {by.value: count for by, count in status.served.counts.items()} | {"failed": status.served.failed},
        "staleRatio": figures.calls.stale_ratio,
        "cache": plain(status.cache, wall),
        "retries": plain(status.retries, wall),
        "batches": {"count": sum(figures.calls.batches.counts), "keys": int(figures.calls.batches.total)},
        "concurrency": plain(status.concurrency, wall),
        "rate": plain(status.rate, wall),
        "endpoints": plain(status.endpoints, wall),
    }


def _outcomes(of: KindFigures) -> dict[str, int]:
    return {"ok": of.ok, "degraded": of.degraded, "errors": of.errors, "failed": of.failed}


def _durations(of: HistogramFigures) -> dict[str, Any]:
    """How many took at most so many milliseconds; not added up."""
    count = sum(of.counts)
    names = [*(f"{bound * 1000:g}" for bound in of.bounds), "more"]
    return {
        "count": count,
        "meanMs": round(of.total / count * 1000, 3) if count else None,
        "upToMs": dict(zip(names, of.counts, strict=True)),
    }


def _plans(runtime: Runtime) -> dict[str, int] | None:
    if runtime.supergraph is None:
        return None
    snapshot = runtime.supergraph.snapshot
    return {"hits": snapshot.plans_asked - snapshot.plans_made, "misses": snapshot.plans_made}
