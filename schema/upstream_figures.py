"""What became of an upstream's calls, as fields: how many, how fast, what went wrong, what was slow."""

from collections.abc import Callable
from datetime import datetime
from functools import cached_property

import strawberry

import schema.enums  # noqa: F401 - describes ProtocolName before a field has it
from clients import figures, upstream, upstream_status
from clients.call import ProtocolName
from clients.health import Health
from schema import upstream_recent
from schema.scalars import Long

Wall = Callable[[float], datetime]
_WINDOW = f"the last {figures.WINDOW_S / 60:g} minutes"


@strawberry.type(description=f"How long things took in {_WINDOW}; failures count, what was cancelled does not.")
class UpstreamLatency:
    """How long things took lately."""

    count: int = strawberry.field(
        description="Durations that the other figures are made of; they are null without any."
    )
    window_s: float = strawberry.field(description="Seconds that the figures look back: fewer soon after the start.")
    mean_ms: float | None = strawberry.field(description="The mean, exact.")
    p50_ms: float | None = strawberry.field(description="The median; percentiles are within 1 % of the exact one.")
    p95_ms: float | None = strawberry.field(description="One in 20 took longer.")
    p99_ms: float | None = strawberry.field(description="One in 100 took longer.")
    max_ms: float | None = strawberry.field(description="The longest, exact.")


@strawberry.type(description="How often an error was met since the gateway started.")
class UpstreamErrorCount:
    """How often an error was met since the start."""

    code: str = strawberry.field(description="Its code, as in `errors[].extensions.code`.")
    count: Long = strawberry.field(description="Times it was met.")
    last_at: datetime = strawberry.field(description="When it was met last.")


@strawberry.type(description="An error that was met.")
class UpstreamError:
    """An error that was met."""

    code: str = strawberry.field(description="Its code, as in `errors[].extensions.code`.")
    message: str = strawberry.field(
        description="What went wrong, with service and route; not the upstream's own words."
    )
    at: datetime = strawberry.field(description="When it was met.")
    operation: str = strawberry.field(description="The operation that met it.")
    request_id: str = strawberry.field(description="The request that met it.")


@strawberry.type(description=f"The slowest call of an operation in {_WINDOW}.")
class UpstreamSlowOperation:
    """The slowest call of an operation lately."""

    operation: str = strawberry.field(description="The operation.")
    duration_ms: float = strawberry.field(description="How long the whole call took.")
    at: datetime = strawberry.field(description="When it was over.")
    request_id: str = strawberry.field(description="The request that waited for it.")


@strawberry.type(description="What was sent to an upstream over one protocol, counted since the gateway started.")
class UpstreamAttempts:
    """What was sent over one protocol."""

    protocol: ProtocolName = strawberry.field(description="The protocol.")
    count: Long = strawberry.field(description="Attempts begun: the sum of the next four.")
    in_flight: int = strawberry.field(description="Attempts under way now.")
    succeeded: Long = strawberry.field(description="Attempts that were answered.")
    failed: Long = strawberry.field(description="Attempts that ended in an error.")
    cancelled: Long = strawberry.field(description="Attempts that nobody waited for any more.")
    rate_per_s: float = strawberry.field(description=f"Attempts that ended each second of {_WINDOW}.")
    error_ratio: float | None = strawberry.field(description=f"Failed share in {_WINDOW}, 0 to 1.")
    latency: UpstreamLatency = strawberry.field(description="From sending to the last byte, or to the error.")
    errors: list[UpstreamErrorCount] = strawberry.field(description="By code; the one met last comes first.")
    last_error: UpstreamError | None = strawberry.field(description="The last error.")
    last_errors: list[UpstreamError] = strawberry.field(
        description=f"The latest {figures.LAST_ERRORS} errors, the last one first."
    )


@strawberry.type(description="How long an upstream was in each `status`, since the gateway started.")
class UpstreamUptime:
    """How long an upstream was in each status."""

    since: datetime = strawberry.field(description="When counting began.")
    ratio: float = strawberry.field(description="Share of the time in which it was not UNHEALTHY, 0 to 1.")
    healthy_s: float = strawberry.field(description="Seconds HEALTHY.")
    degraded_s: float = strawberry.field(description="Seconds DEGRADED.")
    unhealthy_s: float = strawberry.field(description="Seconds UNHEALTHY.")


class FiguresReading:
    """The figures of one upstream at one moment; added up when the first field asks."""

    def __init__(self, of: upstream.Upstream, wall: Wall) -> None:
        self._of = of
        self.wall = wall

    @cached_property
    def figures(self) -> upstream_status.UpstreamFigures:
        """As they are now."""
        return self._of.figures()

    def recent(self) -> list[upstream_recent.UpstreamSlot]:
        """Its last quarter of an hour."""
        return upstream_recent.recent(self._of.recent(), self.wall)


@strawberry.type
class UpstreamFigures:
    """The fields of `Upstream` that are figures; they cost nothing unless they are asked for."""

    reading: strawberry.Private[FiguresReading]

    @strawberry.field(description="Calls under way now.")
    def in_flight(self) -> int:
        """Calls under way now."""
        return self.reading.figures.calls.traffic.in_flight

    @strawberry.field(description=f"Calls that ended each second of {_WINDOW}.")
    def rate_per_s(self) -> float:
        """Calls that ended each second of the window."""
        return _rounded(self.reading.figures.calls.traffic.per_s)

    @strawberry.field(description=f"Share of the calls of {_WINDOW} that were not answered, 0 to 1; null without any.")
    def error_ratio(self) -> float | None:
        """Failed share of the window."""
        return _ratio(self.reading.figures.calls.traffic.error_ratio)

    @strawberry.field(
        description=f"Share of the calls of {_WINDOW} answered, in part at least, with the last good rows, 0 to 1; "
        "null without any."
    )
    def stale_ratio(self) -> float | None:
        """Stale share of the window."""
        return _ratio(self.reading.figures.calls.stale_ratio)

    @strawberry.field(
        description="How long whole calls took, however they were answered: retries and the cache included."
    )
    def latency(self) -> UpstreamLatency:
        """Durations of whole calls."""
        return _latency(self.reading.figures.calls.traffic)

    @strawberry.field(description=upstream_recent.DESCRIPTION)
    def recent(self) -> list[upstream_recent.UpstreamSlot]:
        """The last quarter of an hour."""
        return self.reading.recent()

    @strawberry.field(
        description="Why calls were not answered, by code, since the gateway started; the one met last comes first. "
        "What the other protocol or the cache made good is in `attempts`."
    )
    def errors(self) -> list[UpstreamErrorCount]:
        """Errors of whole calls."""
        return _errors(self.reading.figures.calls.traffic, self.reading.wall)

    @strawberry.field(description="The last error that left a call unanswered.")
    def last_error(self) -> UpstreamError | None:
        """The last error of a whole call."""
        return _last_error(self.reading.figures.calls.traffic, self.reading.wall)

    @strawberry.field(
        description=f"The latest {figures.LAST_ERRORS} errors that left a call unanswered, the last one first."
    )
    def last_errors(self) -> list[UpstreamError]:
        """The latest errors of whole calls."""
        return _last_errors(self.reading.figures.calls.traffic, self.reading.wall)

    @strawberry.field(description=f"The {figures.SLOWEST} slowest operations of {_WINDOW}, slowest first.")
    def slow_operations(self) -> list[UpstreamSlowOperation]:
        """The slowest operations of the window."""
        wall = self.reading.wall
        return [
            UpstreamSlowOperation(
                operation=slow.operation,
                duration_ms=_ms(slow.duration_s),
                at=wall(slow.at),
                request_id=slow.request_id,
            )
            for slow in self.reading.figures.calls.slow_operations
        ]

    @strawberry.field(description="What was sent to it, one entry for each protocol it is spoken to by.")
    def attempts(self) -> list[UpstreamAttempts]:
        """Attempts by protocol."""
        wall = self.reading.wall
        return [
            UpstreamAttempts(
                protocol=protocol,
                count=Long(traffic.begun),
                in_flight=traffic.in_flight,
                succeeded=Long(traffic.succeeded),
                failed=Long(traffic.failed),
                cancelled=Long(traffic.cancelled),
                rate_per_s=_rounded(traffic.per_s),
                error_ratio=_ratio(traffic.error_ratio),
                latency=_latency(traffic),
                errors=_errors(traffic, wall),
                last_error=_last_error(traffic, wall),
                last_errors=_last_errors(traffic, wall),
            )
            for protocol, traffic in self.reading.figures.attempts.items()
        ]

    @strawberry.field(description="How long it was well.")
    def uptime(self) -> UpstreamUptime:
        """Seconds in each status."""
        read = self.reading.figures
        healthy_s, degraded_s, unhealthy_s = (read.time_in.get(health, 0.0) for health in Health)
        whole_s = healthy_s + degraded_s + unhealthy_s
        return UpstreamUptime(
            since=self.reading.wall(read.since),
            ratio=round(1 - unhealthy_s / whole_s, 6) if whole_s else 1.0,
            healthy_s=_rounded(healthy_s),
            degraded_s=_rounded(degraded_s),
            unhealthy_s=_rounded(unhealthy_s),
        )


def _rounded(value: float) -> float:
    return round(value, 3)


def _ratio(share: float | None) -> float | None:
    return None if share is None else round(share, 4)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _maybe_ms(seconds: float | None) -> float | None:
    return None if seconds is None else _ms(seconds)


def _latency(traffic: figures.TrafficFigures) -> UpstreamLatency:
    latency = traffic.latency
    return UpstreamLatency(
        count=latency.count,
        window_s=_rounded(traffic.window_s),
        mean_ms=_maybe_ms(latency.mean_s),
        p50_ms=_maybe_ms(latency.p50_s),
        p95_ms=_maybe_ms(latency.p95_s),
        p99_ms=_maybe_ms(latency.p99_s),
        max_ms=_maybe_ms(latency.max_s),
    )


def _errors(traffic: figures.TrafficFigures, wall: Wall) -> list[UpstreamErrorCount]:
    return [UpstreamErrorCount(code=e.code, count=Long(e.count), last_at=wall(e.last_at)) for e in traffic.errors]


def _last_error(traffic: figures.TrafficFigures, wall: Wall) -> UpstreamError | None:
    return next(iter(_last_errors(traffic, wall)), None)


def _last_errors(traffic: figures.TrafficFigures, wall: Wall) -> list[UpstreamError]:
    return [
        UpstreamError(
            code=error.code,
            message=error.message,
            at=wall(error.at),
            operation=error.operation,
            request_id=error.request_id,
        )
        for error in traffic.last_errors
    ]
