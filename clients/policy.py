"""How patient the gateway is with a service: timeouts, retries, circuit and cache; and the named profiles.

Every field states its default; a service in gateway.yaml names a profile and overrides what differs.
"""

from typing import Annotated

import msgspec

Seconds = Annotated[float, msgspec.Meta(ge=0)]
PositiveSeconds = Annotated[float, msgspec.Meta(gt=0)]
PositiveInt = Annotated[int, msgspec.Meta(ge=1)]
Rate = Annotated[float, msgspec.Meta(gt=0, le=1)]


class RetryPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When and how soon a failed attempt is made again."""

    attempts: PositiveInt = 3
    """Attempts in all, the first included; 1 turns retrying off. Default 3."""
    backoff_s: PositiveSeconds = 1.0
    """Upper bound of the wait before the second attempt; the wait is drawn from 0 to it (full jitter). Default 1."""
    max_backoff_s: PositiveSeconds = 10.0
    """The bound doubles with each attempt up to this. Default 10."""


class BreakerPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When a circuit opens, and how it closes again."""

    failures: PositiveInt = 5
    """Failures in a row that open it. Default 5."""
    failure_rate: Rate | None = None
    """Share of the window's calls that must fail to open it; off by default."""
    slow_call_s: PositiveSeconds | None = None
    """A call that takes longer is slow; off by default."""
    slow_rate: Rate = 1.0
    """Share of slow calls in the window that opens it. Default 1.0; only with `slow_call_s`."""
    window: PositiveInt = 100
    """Latest calls that the rates look at. Default 100."""
    minimum_calls: PositiveInt = 10
    """Fewer calls than this in the window decide nothing by rate. Default 10."""
    open_s: PositiveSeconds = 30.0
    """How long it stays open after the first trip. Default 30."""
    max_open_s: PositiveSeconds = 300.0
    """Each further trip in a row doubles the wait, up to this. Default 300."""
    probes: PositiveInt = 1
    """Calls let through at once while half-open. Default 1."""
    successes: PositiveInt = 1
    """Successful probes that close it. Default 1."""
    probe_timeout_s: PositiveSeconds = 30.0
    """A probe without a result after this long opens the circuit again. Default 30."""


class CachePolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long an answer is kept, and what it is good for (the words of RFC 9111 and RFC 5861)."""

    max_age_s: Seconds = 0.0
    """An answer this young is served without a call. Default 0: every call goes upstream."""
    stale_if_error_s: Seconds = 3600.0
    """For this long after `max_age_s` an answer stands in when the service fails. Default one hour; 0 turns it off."""


class ServicePolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything the pipeline needs to know about one service."""

    timeout_s: PositiveSeconds = 5.0
    """One attempt, from connecting to the last byte. Default 5."""
    retry: RetryPolicy = RetryPolicy()
    breaker: BreakerPolicy = BreakerPolicy()
    cache: CachePolicy = CachePolicy()
    max_body_bytes: PositiveInt = 10_000_000
    """Largest answer accepted, after decompression. Default 10 MB."""
    max_connections: PositiveInt = 100
    """Calls under way at once; more wait for a free connection, within their timeouts. Default 100."""


def _profile(
    timeout_s: float, attempts: int, backoff: tuple[float, float], *, failures: int, open_s: float
) -> ServicePolicy:
    return ServicePolicy(
        timeout_s=timeout_s,
        retry=RetryPolicy(attempts=attempts, backoff_s=backoff[0], max_backoff_s=backoff[1]),
        breaker=BreakerPolicy(failures=failures, open_s=open_s),
    )


PROFILES: dict[str, ServicePolicy] = {
    "internal-fast": _profile(2, 3, (0.5, 2), failures=3, open_s=10),
    "internal-standard": _profile(5, 3, (1, 10), failures=5, open_s=30),
    "external-standard": _profile(10, 5, (2, 30), failures=10, open_s=60),
    "external-critical": _profile(15, 7, (3, 60), failures=10, open_s=120),
}
"""A service without a profile is `internal-standard`."""
