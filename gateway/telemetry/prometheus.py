"""`/metrics`: the values of the table in the text that Prometheus reads, or in OpenMetrics when it asks for that."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from itertools import accumulate

import msgspec
from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from starlette.requests import Request
from starlette.responses import Response

from clients.figures import HistogramFigures
from gateway.telemetry.metrics import METRICS, PROCESS_METRICS, Metric, Reading
from gateway.telemetry.workers import Workers

_WORKER = "worker"
_OPENMETRICS = "application/openmetrics-text; version=1.0.0"  # the client would take any version for its own
_TABLE = (
    *METRICS,
    *(
        Metric(
            name,
            "counter" if name.endswith("_total") else "gauge",
            text,
            ("generation",) if name.startswith("python_gc") else (),
        )
        for name, text in PROCESS_METRICS.items()
    ),
)


class Prometheus:
    """Answers a scrape.

    Args:
        read: gives the values of this process.
        workers: the other processes of the same gateway; their values are given too, with a label `worker`.
    """

    def __init__(self, read: Callable[[], Awaitable[list[Reading]]], workers: Callable[[], Workers | None]) -> None:
        self._read = read
        self._workers = workers
        self._process = ProcessCollector(registry=None)
        self._garbage = CollectorRegistry()
        GCCollector(self._garbage)
        self._decoder = msgspec.msgpack.Decoder(list[Reading])

    async def __call__(self, request: Request) -> Response:
        """See Starlette's endpoints."""
        workers = self._workers()
        if workers is None:
            every = [*_labelled(None, await self.readings())]
        else:
            every = [*_labelled(workers.name, await self.readings())]
            for name, told in (await workers.others()).items():
                try:
                    every += _labelled(name, self._decoder.decode(told))
                except msgspec.DecodeError:  # cut off: the other one has ended meanwhile
                    continue
        accept = request.headers.get("accept", "")
        # In a thread: the text of many services takes milliseconds, which nobody's request should wait for.
        body, content_type = await asyncio.to_thread(_encoded, every, accept, workers is not None)
        return Response(body, headers={"content-type": content_type, "cache-control": "no-store"})

    async def told(self) -> bytes:
        """The values of this process, for another worker."""
        return msgspec.msgpack.encode(await self.readings())

    async def readings(self) -> list[Reading]:
        """The values of this process."""
        return [*await self._read(), *self._of_process()]

    def _of_process(self) -> Iterator[Reading]:
        for family in (*self._process.collect(), *self._garbage.collect()):
            for sample in family.samples:
                yield Reading(sample.name, tuple(sample.labels.values()), sample.value)


def _labelled(worker: str | None, readings: Iterable[Reading]) -> Iterator[Reading]:
    for reading in readings:
        yield reading if worker is None else Reading(reading.name, (*reading.labels, worker), reading.value)


class _Collected:
    """What the encoders of the Prometheus client take for a registry."""

    def __init__(self, families: list[Family]) -> None:
        self._families = families

    def collect(self) -> list[Family]:
        return self._families


def _encoded(readings: Iterable[Reading], accept: str, by_worker: bool) -> tuple[bytes, str]:
    encode, content_type = choose_encoder(_OPENMETRICS if "application/openmetrics-text" in accept else "")
    return encode(_Collected([*_families(readings, by_worker)])), content_type


def _families(readings: Iterable[Reading], by_worker: bool) -> Iterator[Family]:
    found: dict[str, list[Reading]] = {}
    for reading in readings:
        found.setdefault(reading.name, []).append(reading)
    for metric in _TABLE:
        if metric.name in found:
            yield _family(metric, found[metric.name], (*metric.labels, _WORKER) if by_worker else metric.labels)


_FAMILIES: Mapping[str, type[CounterMetricFamily] | type[GaugeMetricFamily]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
}


def _family(metric: Metric, readings: Iterable[Reading], labels: tuple[str, ...]) -> Family:
    if metric.kind == "histogram":
        histogram = HistogramMetricFamily(metric.name, metric.help, labels=labels)
        for reading in readings:
            if isinstance(reading.value, HistogramFigures):
                histogram.add_metric(reading.labels, _buckets(reading.value), reading.value.total)
        return histogram
    family = _FAMILIES[metric.kind](metric.name, metric.help, labels=labels)
    for reading in readings:
        if not isinstance(reading.value, HistogramFigures):
            family.add_metric(reading.labels, reading.value)
    return family


def _buckets(figures: HistogramFigures) -> list[tuple[str, float]]:
    bounds = [*(str(float(bound)) for bound in figures.bounds), "+Inf"]
    return list(zip(bounds, accumulate(figures.counts), strict=True))
