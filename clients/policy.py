"""How patient the gateway is with a service: timeouts, retries, circuit and cache; and the named profiles.

Every field states its default; a service in gateway.yaml names a profile and overrides what differs.
"""

from typing import Annotated, Any, Literal

import msgspec

Seconds = Annotated[float, msgspec.Meta(ge=0)]
PositiveSeconds = Annotated[float, msgspec.Meta(gt=0)]
PositiveInt = Annotated[int, msgspec.Meta(ge=1)]
Rate = Annotated[float, msgspec.Meta(gt=0, le=1)]
Weight = Annotated[int, msgspec.Meta(ge=1, le=1000)]
RootedPath = Annotated[str, msgspec.Meta(pattern=r"^/[!-\"$-~]*$")]


class BudgetPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many retries a service is sent at most beside its calls, over each protocol, in any ten seconds."""

    ratio: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.2
    """Retries for each call. Default 0.2: when everything fails, 100 calls become 120 attempts."""
    min_per_s: Seconds = 1.0
    """Retries a second that no call has to earn, so that a quiet service is retried too. Default 1."""


class RetryPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When and how soon a failed attempt is made again."""

    preset: Literal["quick", "standard", "slow", "aggressive", "rate-limited"] | None = None
    """Attempts, backoff and its bound by name: quick (2, 0.5 s, 5 s), standard (3, 1, 30), slow (5, 2, 60), aggressive
    (3, 0.1, 5), rate-limited (5, 5, 120). Overrides the profile; keys beside it override it. Default none."""
    attempts: PositiveInt = 3
    """Attempts in all, the first included; 1 turns retrying off. Default 3."""
    backoff_s: PositiveSeconds = 1.0
    """Upper bound of the wait before the second attempt; the wait is drawn from 0 to it (full jitter). Default 1."""
    max_backoff_s: PositiveSeconds = 10.0
    """The bound doubles with each attempt up to this. Default 10."""
    statuses: tuple[int, ...] = (408, 429, 500, 502, 503, 504)
    """HTTP statuses that are worth another attempt, of 408, 429 and 500 to 599; network errors and timeouts always are.
    Default 408, 429, 500, 502, 503, 504."""
    budget: BudgetPolicy | None = BudgetPolicy()
    """What keeps retries from making an outage worse; null lets every attempt through. On by default."""


class HedgePolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A second attempt beside a slow first one, for queries: the first answer counts, the other attempt is ended."""

    after_s: PositiveSeconds
    """How long an attempt gives nothing before another starts beside it; near the service's 95th percentile."""
    max: PositiveInt = 1
    """Further attempts beside the first, each `after_s` after the one before; the retry budget pays. Default 1."""


class FallbackPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What answers when neither GraphQL nor REST does."""

    service: str | None = None
    """Another service of this file that answers the same operations, with its own policies. Default none."""
    defaults: dict[str, Any] = {}
    """Values by operation name (for batched operations, of a row without its key), served when nothing else can be, not
    even a stale answer. Default none: the field is null with an error."""


class BreakerPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When a circuit opens, and how it closes again."""

    scope: Literal["service", "operation"] = "service"
    """One circuit for all of the service, or one for each operation, so that one that fails does not take the others
    with it. Each protocol has its own in any case. Default service."""
    failures: PositiveInt = 5
    """Failures in a row that open it. Default 5."""
    failure_rate: Rate | None = None
    """Share of the window's calls that must fail to open it; off by default."""
    slow_call_s: PositiveSeconds | None = None
    """A call that takes longer is slow; off by default. Slow as well is a call without an answer at the request's
    deadline, if it had this long by then (or half of `timeout_s`, when this is off)."""
    slow_rate: Rate = 1.0
    """Share of the window's calls that must be slow to open it. Default 1.0."""
    window: PositiveInt | None = None
    """Latest calls that the rates look at. Default 100, unless `window_s` is given."""
    window_s: PositiveSeconds | None = None
    """The rates look at the calls of the latest so many seconds instead; off by default."""
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

    @property
    def window_calls(self) -> int:
        """`window`, or its default."""
        return 100 if self.window is None else self.window


class CachePolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long an answer is kept, and what it is good for (the words of RFC 9111 and RFC 5861)."""

    max_age_s: Seconds = 0.0
    """An answer this young is served without a call. Default 0: every call goes upstream."""
    stale_while_revalidate_s: Seconds = 0.0
    """For this long after `max_age_s` an answer is served at once while one call fetches a newer. Default 0: off."""
    stale_if_error_s: Seconds = 3600.0
    """For this long after `max_age_s` an answer stands in when the service fails. Default one hour; 0 turns it off."""
    soft_timeout_s: PositiveSeconds | None = None
    """With a stale answer at hand, the call is waited for this long; then the stale one is served, and the call goes on
    to be kept. Off by default."""
    retry_after_stale_s: Seconds = 30.0
    """After a failed call that a stale answer stood in for, its key is answered stale for this long without another
    attempt; less if Retry-After says so, and no longer once a circuit of the service opens or closes. Default 30; 0
    turns it off."""
    not_found_s: Annotated[float, msgspec.Meta(ge=0, le=5)] = 5.0
    """That a row does not exist is kept no longer than this, and no longer than `max_age_s`. Default 5, the most."""
    honour_cache_control: bool = True
    """What answers say themselves (Cache-Control, Age, Vary) may shorten these times, down to none. Default true; false
    is for services whose framework says `no-store` about everything."""

    @property
    def keeps(self) -> bool:
        """Whether anything is kept at all."""
        return self.max_age_s > 0 or self.stale_if_error_s > 0

    @property
    def looks_first(self) -> bool:
        """Whether what is kept matters before the service was asked; else it is looked for after a failure only."""
        return self.max_age_s > 0 or self.stale_while_revalidate_s > 0 or self.soft_timeout_s is not None


class HealthPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Health checks: the service is asked at intervals, whether there is traffic or not."""

    every_s: PositiveSeconds = 10.0
    """How often, ± 10 % so that instances do not ask in step. Default 10."""
    timeout_s: PositiveSeconds = 2.0
    """A check without an answer after this long has failed; less than `every_s`. Default 2."""
    path: RootedPath | None = None
    """What REST is asked for, from the root of its host; 2xx passes. GraphQL is asked for `{ __typename }` anyway."""
    failures: PositiveInt = 2
    """Checks in a row that must fail before it counts as unhealthy. Default 2."""
    successes: PositiveInt = 1
    """Checks in a row that must pass before it counts as healthy again. Default 1."""


class Origin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An endpoint with its weight."""

    url: str
    """Scheme, host and port, such as http://10.0.0.1:8080."""
    weight: Weight = 1
    """Its share of the calls, against the weights of the others. Default 1."""


class EjectionPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When an endpoint that fails gets no calls for a while."""

    failures: PositiveInt = 3
    """Failures in a row that eject it: those that a circuit counts. Default 3."""
    eject_s: PositiveSeconds = 30.0
    """How long it is out the first time; each further time in a row is longer by as much. Default 30."""
    max_eject_s: PositiveSeconds = 300.0
    """The longest it is out. Default 300."""
    max_share: Rate = 0.5
    """Largest share of the endpoints that is out at once; one may always be, the last one never. Default 0.5."""


class EndpointsPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The endpoints of a service that has several, and how calls are spread over them."""

    origins: tuple[str | Origin, ...] = ()
    """Where it answers: `http://10.0.0.1:8080`, or `{ url: …, weight: 2 }`; in place of the origin of its URLs."""
    dns_every_s: PositiveSeconds | None = None
    """Instead of `origins`: look the URLs' host up this often, ± 10 %, and use all of its addresses. Off by default."""
    balance: Literal["least-outstanding", "round-robin", "random"] = "least-outstanding"
    """How one is chosen, by weight. Default least-outstanding: the less busy of two drawn at random."""
    eject: EjectionPolicy = EjectionPolicy()


class RatePolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How often a service is called at most, over both protocols: a token bucket."""

    capacity: PositiveInt
    """Calls that may come at once after a quiet while."""
    per_s: PositiveSeconds
    """Calls a second in the long run."""
    wait_s: Seconds = 0.0
    """How long a call may wait for its turn, in order; one that would wait longer is refused at once. Default 0."""
    shared: bool = False
    """Count for all processes together, in Redis; where Redis does not answer, each for itself. Default false."""


class ConcurrencyPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many calls to a service are under way at once, over both protocols."""

    limit: PositiveInt | None = None
    """Calls under way. Default: `max_connections`."""
    queue: Annotated[int, msgspec.Meta(ge=0)] = 1000
    """Calls that may wait for one of them to end, in order; more are refused at once. Default 1,000."""
    wait_s: Seconds = 1.0
    """How long a call may wait; then it is refused. Default 1."""


class ServicePolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything the pipeline needs to know about one service."""

    timeout_s: PositiveSeconds = 5.0
    """One attempt, from connecting to the last byte. Default 5."""
    retry: RetryPolicy = RetryPolicy()
    hedge: HedgePolicy | None = None
    """A second attempt beside a slow first one; off by default."""
    breaker: BreakerPolicy = BreakerPolicy()
    cache: CachePolicy = CachePolicy()
    health: HealthPolicy | None = None
    """Health checks; off by default."""
    max_body_bytes: PositiveInt = 10_000_000
    """Largest answer accepted, after decompression. Default 10 MB."""
    max_connections: PositiveInt = 100
    """Connections to it, and so calls under way at once. Default 100."""
    concurrency: ConcurrencyPolicy = ConcurrencyPolicy()
    rate: RatePolicy | None = None
    """How often it is called at most; not limited by default."""

    @property
    def fair_s(self) -> float:
        """A call that had this long, and no answer when the request's deadline came, is held against the service.

        Less says nothing: a client in a hurry is no sign of a slow service.
        """
        slow_s = self.breaker.slow_call_s
        return self.timeout_s / 2 if slow_s is None else slow_s


RETRY_PRESETS: dict[str, dict[str, float]] = {
    name: {"attempts": attempts, "backoff_s": backoff_s, "max_backoff_s": max_backoff_s}
    for name, attempts, backoff_s, max_backoff_s in (
        ("quick", 2, 0.5, 5.0),
        ("standard", 3, 1.0, 30.0),
        ("slow", 5, 2.0, 60.0),
        ("aggressive", 3, 0.1, 5.0),
        ("rate-limited", 5, 5.0, 120.0),
    )
}
"""What `retry.preset` stands for."""


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
