"""What `/metrics` tells: the table of all metrics, and their values, read from what the pipeline keeps anyway.

A request pays nothing for it. Labels hold names of services, protocols, states and codes of the tables: nothing that a
client could make up.
"""

import asyncio
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Literal

from clients.call import ServedBy
from clients.figures import HistogramFigures, TrafficFigures
from clients.health import Health
from clients.state.balancer import EndpointState
from clients.state.circuit import State
from clients.upstream import Upstream
from clients.upstream_status import UpstreamStatus
from gateway.runtime import Runtime
from gateway.telemetry.figures import OTHER_CODE, RequestFigures, known_codes
from gateway.telemetry.loop_lag import LoopLag
from gateway.telemetry.spans import SpanFigures

Value = float | HistogramFigures
Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric; the names of counters end in `_total`."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """A value of a metric, with its labels' values in their order."""

    name: str
    labels: tuple[str, ...]
    value: Value


_SERVICE = ("service",)
_WAY = ("service", "protocol")

METRICS: tuple[Metric, ...] = (
    Metric(
        "integration_requests_total",
        "counter",
        "Attempts sent to a service, by outcome: succeeded, failed, cancelled.",
        (*_WAY, "outcome"),
    ),
    Metric(
        "integration_request_duration_seconds",
        "histogram",
        "From sending an attempt to its last byte, or to its error; cancelled ones are left out.",
        _WAY,
    ),
    Metric("integration_errors_total", "counter", "Failed attempts by code.", (*_WAY, "code")),
    Metric(
        "integration_circuit_breaker_state",
        "gauge",
        "0 closed, 1 open, 2 half-open; where each operation has a circuit, the worst one.",
        _WAY,
    ),
    Metric("integration_circuit_breaker_trips_total", "counter", "Times a circuit has opened by itself.", _WAY),
    Metric("integration_circuit_breaker_refused_total", "counter", "Calls that an open circuit has refused.", _WAY),
    Metric("integration_retries_total", "counter", "Attempts after a failed one.", _SERVICE),
    Metric("integration_retries_refused_total", "counter", "Retries and hedges the budget did not pay for.", _SERVICE),
    Metric("integration_hedges_total", "counter", "Attempts beside a slow one.", _SERVICE),
    Metric(
        "integration_calls_total",
        "counter",
        "Whole calls by how they were answered: graphql, rest, fresh, stale, alternative, default, failed.",
        (*_SERVICE, "served_by"),
    ),
    Metric(
        "integration_call_duration_seconds",
        "histogram",
        "Whole calls: retries, the other protocol and the cache included.",
        _SERVICE,
    ),
    Metric("integration_call_errors_total", "counter", "Calls that were not answered, by code.", (*_SERVICE, "code")),
    Metric("integration_calls_in_flight", "gauge", "Calls under way.", _SERVICE),
    Metric("integration_calls_queued", "gauge", "Calls that wait for one of them to end.", _SERVICE),
    Metric(
        "integration_calls_refused_total",
        "counter",
        "Calls refused here to go easy on the service, by limit: concurrency, rate.",
        (*_SERVICE, "limit"),
    ),
    Metric("integration_batch_keys", "histogram", "Keys that batched calls ask for.", _SERVICE),
    Metric(
        "integration_cache_rows_total",
        "counter",
        "Answers (rows, for batched calls) looked for in the cache, by result: fresh, stale, missed.",
        (*_SERVICE, "result"),
    ),
    Metric("integration_cache_refreshes_total", "counter", "Calls made in the background.", _SERVICE),
    Metric(
        "integration_stale_age_seconds",
        "gauge",
        "Age of the oldest answer served stale since the service last answered; 0 when it has.",
        _SERVICE,
    ),
    Metric("integration_upstream_health", "gauge", "1 healthy, 0.5 degraded, 0 unhealthy.", _SERVICE),
    Metric(
        "integration_endpoints",
        "gauge",
        "Endpoints of a service that has several, by state: healthy, returning, ejected, unhealthy.",
        (*_WAY, "state"),
    ),
    Metric(
        "gateway_requests_total",
        "counter",
        "Requests by kind and outcome: ok, degraded, errors (beside data), failed (no data); refused, of kind none.",
        ("kind", "outcome"),
    ),
    Metric(
        "gateway_request_duration_seconds",
        "histogram",
        "From the whole request read to its answer made; refused requests are left out.",
        ("kind",),
    ),
    Metric("gateway_request_errors_total", "counter", "Errors of answers by code; OTHER for foreign codes.", ("code",)),
    Metric("gateway_requests_in_flight", "gauge", "GraphQL requests being answered."),
    Metric("gateway_requests_limit", "gauge", "How many may be; absent for any number."),
    Metric("gateway_requests_shed_total", "counter", "Requests refused for overload."),
    Metric("gateway_event_loop_lag_seconds", "histogram", "How late the event loop is, looked at four times a second."),
    Metric("gateway_document_cache_hits_total", "counter", "Documents that were parsed and validated already."),
    Metric("gateway_document_cache_misses_total", "counter", "Documents that had to be parsed and validated."),
    Metric("gateway_document_cache_entries", "gauge", "Documents kept."),
    Metric("gateway_plan_cache_hits_total", "counter", "Operations that had a plan already."),
    Metric("gateway_plan_cache_misses_total", "counter", "Operations that had to be planned."),
    Metric("gateway_store_entries", "gauge", "Answers kept in memory."),
    Metric("gateway_store_bytes", "gauge", "Bytes of answers kept in memory, estimated."),
    Metric("gateway_store_evictions_total", "counter", "Answers that had to make room for others."),
    Metric(
        "gateway_store_keys_total",
        "counter",
        "Keys looked for, by store (memory, redis) and result (hit, miss).",
        ("store", "result"),
    ),
    Metric("gateway_redis_circuit_state", "gauge", "0 closed, 1 open, 2 half-open; absent without Redis."),
    Metric(
        "gateway_redis_writes_total",
        "counter",
        "Writes by result: written, dropped (Redis is slow or away), rejected (by Redis).",
        ("result",),
    ),
    Metric(
        "gateway_trace_spans_total",
        "counter",
        "Spans by outcome: exported, dropped (too many waited), failed (not taken); absent without tracing.",
        ("outcome",),
    ),
    Metric(
        "gateway_dependency_trouble",
        "gauge",
        "1 while something is wrong with a store, a credential or the supergraph; /health says what.",
        ("dependency",),
    ),
    Metric("gateway_supergraph_loaded_timestamp_seconds", "gauge", "When what is served was loaded."),
    Metric("gateway_supergraph_age_seconds", "gauge", "Seconds since then."),
    Metric("gateway_supergraph_info", "gauge", "1, with the digest of what is served.", ("digest",)),
    Metric("gateway_start_timestamp_seconds", "gauge", "When this process began to serve."),
    Metric("gateway_build_info", "gauge", "1, with the versions of the gateway and of Python.", ("version", "python")),
)
"""All metrics but those of the process, which the Prometheus client has."""

PROCESS_METRICS: Mapping[str, str] = {
    "process_resident_memory_bytes": "Memory in use.",
    "process_virtual_memory_bytes": "Memory reserved.",
    "process_cpu_seconds_total": "CPU used.",
    "process_open_fds": "Open files and sockets.",
    "process_max_fds": "How many there may be.",
    "process_start_time_seconds": "When the process started.",
    "python_gc_collections_total": "Collections, by `generation`.",
    "python_gc_objects_collected_total": "Objects collected, by `generation`.",
    "python_gc_objects_uncollectable_total": "Objects that could not be, by `generation`.",
}
"""Of the process; the first six where there is a /proc."""

_STATES = {State.CLOSED: 0.0, State.OPEN: 1.0, State.HALF_OPEN: 2.0}
_HEALTH = {Health.HEALTHY: 1.0, Health.DEGRADED: 0.5, Health.UNHEALTHY: 0.0}
_KNOWN = known_codes()


class GatewayMetrics:
    """Reads all values.

    Args:
        current: what serves now; None before and after.
        requests: of this process.
        lag: of its loop.
        spans: of its traces; None where there are none.
    """

    def __init__(
        self,
        current: Callable[[], Runtime | None],
        requests: RequestFigures,
        lag: LoopLag,
        spans: SpanFigures | None = None,
    ) -> None:
        self._current = current
        self._requests = requests
        self._lag = lag
        self._spans = spans
        self._build = (metadata.version("breakwater"), platform.python_version())

    async def read(self) -> list[Reading]:
        """All values; lets others have the loop between two services."""
        found = [*self._gateway()]
        runtime = self._current()
        if runtime is not None:
            found += _runtime(runtime)
            for upstream in runtime.upstreams.values():
                found += _upstream(upstream)
                await asyncio.sleep(0)
        return found

    def _gateway(self) -> Iterator[Reading]:
        yield Reading("gateway_build_info", self._build, 1)
        yield Reading("gateway_event_loop_lag_seconds", (), self._lag.read())
        requests = self._requests.read()
        for kind, of in requests.kinds.items():
            for outcome in ("ok", "degraded", "errors", "failed"):
                yield Reading("gateway_requests_total", (kind, outcome), getattr(of, outcome))
            yield Reading("gateway_request_duration_seconds", (kind,), of.durations)
        yield Reading("gateway_requests_total", ("none", "refused"), requests.refused)
        for code, count in requests.codes.items():
            yield Reading("gateway_request_errors_total", (code,), count)
        if (spans := self._spans) is not None:
            for outcome in ("exported", "dropped", "failed"):
                yield Reading("gateway_trace_spans_total", (outcome,), getattr(spans, outcome))


def _runtime(runtime: Runtime) -> Iterator[Reading]:
    load = runtime.load
    yield Reading("gateway_start_timestamp_seconds", (), runtime.started_at.timestamp())
    yield Reading("gateway_requests_in_flight", (), load.in_flight)
    if load.limit is not None:
        yield Reading("gateway_requests_limit", (), load.limit)
    yield Reading("gateway_requests_shed_total", (), load.shed)
    documents = runtime.executor.current().documents.info()
    yield Reading("gateway_document_cache_hits_total", (), documents.hits)
    yield Reading("gateway_document_cache_misses_total", (), documents.misses)
    yield Reading("gateway_document_cache_entries", (), documents.entries)
    for name, trouble in runtime.dependencies.items():
        yield Reading("gateway_dependency_trouble", (name,), 1 if trouble else 0)
    memory = runtime.memory.figures
    yield Reading("gateway_store_entries", (), memory.entries)
    yield Reading("gateway_store_bytes", (), memory.bytes)
    yield Reading("gateway_store_evictions_total", (), memory.evictions)
    yield Reading("gateway_store_keys_total", ("memory", "hit"), memory.hits)
    yield Reading("gateway_store_keys_total", ("memory", "miss"), memory.misses)
    if (redis := runtime.redis) is not None:
        yield Reading("gateway_redis_circuit_state", (), _STATES[redis.status().state])
        yield Reading("gateway_store_keys_total", ("redis", "hit"), redis.figures.hits)
        yield Reading("gateway_store_keys_total", ("redis", "miss"), redis.figures.misses)
        for result in ("written", "dropped", "rejected"):
            yield Reading("gateway_redis_writes_total", (result,), getattr(redis.figures, result))
    if (supergraph := runtime.supergraph) is not None:
        snapshot, status = supergraph.snapshot, supergraph.status
        yield Reading("gateway_plan_cache_hits_total", (), snapshot.plans_asked - snapshot.plans_made)
        yield Reading("gateway_plan_cache_misses_total", (), snapshot.plans_made)
        loaded_at = status.loaded_at.timestamp()
        yield Reading("gateway_supergraph_loaded_timestamp_seconds", (), loaded_at)
        yield Reading("gateway_supergraph_age_seconds", (), max(0.0, runtime.clock.wall().timestamp() - loaded_at))
        yield Reading("gateway_supergraph_info", (status.digest,), 1)


def _upstream(upstream: Upstream) -> Iterator[Reading]:
    name, status, figures = upstream.name, upstream.status(), upstream.figures(window=False)
    for protocol, traffic in figures.attempts.items():
        way = (name, protocol.value)
        for outcome in ("succeeded", "failed", "cancelled"):
            yield Reading("integration_requests_total", (*way, outcome), getattr(traffic, outcome))
        yield Reading("integration_request_duration_seconds", way, traffic.durations)
        for code, count in _codes(traffic):
            yield Reading("integration_errors_total", (*way, code), count)
    yield from _circuits(status)
    retries = status.retries
    yield Reading("integration_retries_total", (name,), retries.retries)
    yield Reading("integration_retries_refused_total", (name,), retries.refused)
    yield Reading("integration_hedges_total", (name,), retries.hedges)
    calls = figures.calls.traffic
    for by in ServedBy:
        yield Reading("integration_calls_total", (name, by.value), status.served.counts[by])
    yield Reading("integration_calls_total", (name, "failed"), status.served.failed)
    yield Reading("integration_call_duration_seconds", (name,), calls.durations)
    for code, count in _codes(calls):
        yield Reading("integration_call_errors_total", (name, code), count)
    yield Reading("integration_calls_in_flight", (name,), calls.in_flight)
    yield Reading("integration_calls_queued", (name,), status.concurrency.queued)
    yield Reading("integration_calls_refused_total", (name, "concurrency"), status.concurrency.refused)
    if status.rate is not None:
        yield Reading("integration_calls_refused_total", (name, "rate"), status.rate.refused)
    yield Reading("integration_batch_keys", (name,), figures.calls.batches)
    cache = status.cache
    for result, rows in (("fresh", cache.fresh), ("stale", cache.stale), ("missed", cache.misses - cache.stale)):
        yield Reading("integration_cache_rows_total", (name, result), rows)
    yield Reading("integration_cache_refreshes_total", (name,), cache.refreshes)
    yield Reading("integration_stale_age_seconds", (name,), status.served.oldest_stale_s or 0.0)
    yield Reading("integration_upstream_health", (name,), _HEALTH[status.health])
    for protocol, endpoints in status.endpoints.items():
        for state in EndpointState:
            count = sum(endpoint.state is state for endpoint in endpoints)
            yield Reading("integration_endpoints", (name, protocol.value, state.value), count)


def _circuits(status: UpstreamStatus) -> Iterator[Reading]:
    for protocol, worst in status.circuits.items():
        way = (status.name, protocol.value)
        each = [c for (of, _), c in status.by_operation.items() if of is protocol] or [worst]
        yield Reading("integration_circuit_breaker_state", way, _STATES[worst.state])
        yield Reading("integration_circuit_breaker_trips_total", way, sum(c.trips for c in each))
        yield Reading("integration_circuit_breaker_refused_total", way, sum(c.refused for c in each))


def _codes(traffic: TrafficFigures) -> Iterable[tuple[str, int]]:
    """Errors by code; those of a company's own kinds together."""
    found: dict[str, int] = {}
    for error in traffic.errors:
        code = error.code if error.code in _KNOWN else OTHER_CODE
        found[code] = found.get(code, 0) + error.count
    return found.items()
