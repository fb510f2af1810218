"""What gateway.yaml says of logs and metrics."""

import re
from typing import Annotated, Literal

import msgspec

from clients.policy import PositiveSeconds
from gateway.yaml_source import Finding

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class RequestLogConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which requests are worth a line."""

    sample: Share = 1.0
    """Share of the requests that get a line, 0 to 1. Default 1; lower saves what writing a line costs."""
    slow_s: PositiveSeconds | None = 1.0
    """A slower request gets a warning with its plan and its calls, sampled or not. Default 1; null has none."""
    always: tuple[Literal["errors", "degraded"], ...] = ("errors", "degraded")
    """Requests that get a line whatever `sample` says: with errors, with answers from elsewhere. Default: both."""
    variables: bool = False
    """Write variables into the line: those that `log.mask` names as `***`, 2,000 characters at most. Default false."""


class LogConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Structured logs on standard error."""

    format: Literal["json", "console"] | None = None
    """Default: console in development, json in production."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level that is written. Default info."""
    mask: list[str] = []
    """Names of variables, input fields and fields of log lines whose values are written as `***`, besides those of
    passwords, tokens, keys and the like, which always are. `_`, `-` and case make no difference."""
    exception_messages: bool | None = None
    """Write the messages of unforeseen exceptions, which may hold anything; without, their types and places. Default:
    in development only."""
    requests: RequestLogConfig = RequestLogConfig()


class MetricsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Figures for Prometheus."""

    enabled: bool = True
    """Serve them, to whoever asks: they hold names of services and figures. Default true; false imports nothing."""
    path: str = "/metrics"
    """Where. Default /metrics."""


_TAKEN = ("/graphql", "/health", "/monitoring", "/status")
_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")


def metrics_findings(config: MetricsConfig) -> list[Finding]:
    """What is wrong with a section whose types are right."""
    path = config.path
    if not _PATH.fullmatch(path):
        return [Finding(("metrics", "path"), f"expected a path such as /metrics, found {path!r}")]
    for taken in _TAKEN:
        if path == taken or path.startswith(taken + "/"):
            return [Finding(("metrics", "path"), f"{taken} is the gateway's own; choose another")]
    return []
