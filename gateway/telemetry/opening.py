"""What records requests, as far as it is configured; OpenTelemetry is imported only where it is."""

import os
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING

from starlette.types import ASGIApp

from clients.clock import Clock
from gateway.config import ConfigError
from gateway.identity import Identifier
from gateway.telemetry.tracing_config import TracingConfig
from gateway.yaml_source import Finding

if TYPE_CHECKING:
    from gateway.telemetry.tracing import Tracing


class NoTracing:
    """Records nothing, and stands in nobody's way."""

    figures = None
    recording = None

    def identifying(self, identifier: Identifier) -> Identifier:
        """As it is."""
        return identifier

    def traced(self, app: ASGIApp) -> ASGIApp:
        """As it is."""
        return app

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


def open_tracing(config: TracingConfig | None, random: Random, clock: Clock) -> "Tracing | NoTracing":
    """What records requests: nothing where nothing is configured, or where OTEL_SDK_DISABLED says so.

    Raises:
        ConfigError: its packages are not installed.
    """
    if config is None or os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return NoTracing()
    try:
        from gateway.telemetry.tracing import Tracing  # noqa: PLC0415 - optional, and costs 20 ms
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in {"opentelemetry", "google"}:
            raise
        message = "needs OpenTelemetry; install it with: pip install 'breakwater[tracing]', or remove this section"
        raise ConfigError("gateway.yaml", [Finding(("tracing",), message)]) from error
    return Tracing(config, random, clock)
