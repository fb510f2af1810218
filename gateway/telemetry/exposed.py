"""The metrics of one process, open for as long as it serves."""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from starlette.routing import BaseRoute, Route

from gateway.runtime import Runtime
from gateway.telemetry.config import MetricsConfig
from gateway.telemetry.figures import RequestFigures
from gateway.telemetry.loop_lag import LoopLag
from gateway.telemetry.metrics import GatewayMetrics
from gateway.telemetry.spans import SpanFigures
from gateway.telemetry.workers import Workers

if TYPE_CHECKING:
    from gateway.telemetry.prometheus import Prometheus


class ExposedMetrics:
    """Measures the loop, and serves all figures where the configuration says. An async context manager.

    Args:
        config: whether, and where.
        current: what serves now; None before and after.
        requests: of this process.
        lag: measured from entering to leaving.
        workers: the folder of the processes that serve together; None for one alone.
        spans: of this process; None where nothing is traced.
    """

    def __init__(
        self,
        config: MetricsConfig,
        current: Callable[[], Runtime | None],
        requests: RequestFigures,
        lag: LoopLag,
        *,
        workers: Path | None,
        spans: SpanFigures | None = None,
    ) -> None:
        self._lag = lag
        self._folder = workers
        self._workers: Workers | None = None
        self._prometheus: Prometheus | None = None
        self._stack = AsyncExitStack()
        self.routes: Sequence[BaseRoute] = ()
        if config.enabled:
            self._prometheus = _prometheus(GatewayMetrics(current, requests, lag, spans), lambda: self._workers)
            self.routes = (Route(config.path, self._prometheus.__call__, methods=["GET"]),)

    async def __aenter__(self) -> None:
        async with AsyncExitStack() as stack:
            stack.enter_context(self._lag)
            if self._prometheus is not None and self._folder is not None:
                self._workers = await stack.enter_async_context(Workers(self._folder, self._prometheus.told))
            self._stack = stack.pop_all()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._workers = None
        await self._stack.aclose()


def _prometheus(metrics: GatewayMetrics, workers: Callable[[], Workers | None]) -> "Prometheus":
    from gateway.telemetry.prometheus import Prometheus  # noqa: PLC0415 - costs 70 ms, so only when it is on

    return Prometheus(metrics.read, workers)
