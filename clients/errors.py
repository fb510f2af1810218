"""Everything that can go wrong with an upstream call.

UpstreamError
├── AttemptFailed            one attempt on the wire went wrong
│   ├── ConnectFailed        refused, no such host, bad certificate: nothing was sent
│   ├── ConnectionLost       broke while sending or receiving
│   ├── CredentialUnavailable  whoever gives the service's credential does not answer; nothing was sent
│   ├── AttemptTimeout       took longer than the service's `timeout_s`
│   ├── ServerFailed         5xx and 408, or a GraphQL answer that reports the server's own failure
│   ├── RateLimited          429
│   └── MalformedResponse    not what was agreed: not JSON, wrong shape, too large, an unexpected status
├── Rejected                 the upstream understood and said no: 4xx, GraphQL user errors
│   ├── ContractMismatch     it does not know the document or the route; the other protocol may
│   └── InvalidVariables     the variables do not fill the route; nothing was sent
├── CredentialRefused        whoever gives the service's credential said no; nothing was sent
├── ExecutionFailed          a resolver of the upstream failed, and it does not say whose fault that is
├── CircuitOpen              refused here, the circuit is open; nothing was sent
├── LimitReached             refused here, to go easy on the service; nothing was sent
│   ├── RateLimitReached         no token of its `rate`
│   └── ConcurrencyLimitReached  no place of its `concurrency`
├── DeadlineExceeded         the request's deadline came first
├── SoftTimeout              a stale answer is at hand, and there was no new one soon enough
└── ServiceUnavailable       every way to the service failed; `causes` has each

What a stage does with an error is written on the error, as data: see the class attributes.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar


class UpstreamError(Exception):
    """Base of all; its message is safe to show to a client.

    Attributes:
        service: the service's name in gateway.yaml.
        retry_after_s: seconds the upstream (or the circuit) asks to wait, if it said so.
    """

    code: ClassVar[str] = "UPSTREAM_ERROR"
    category: ClassVar[str] = "external_service"
    counts_as_failure: ClassVar[bool] = False
    """The circuit breaker counts it."""
    transient: ClassVar[bool] = False
    """Another attempt may well succeed; the retry stage tries again."""
    falls_back: ClassVar[bool] = False
    """The next way of the fallback chain is tried."""
    allows_stale: ClassVar[bool] = False
    """The last good answer, or a default value, may be served instead."""
    reached_upstream: ClassVar[bool] = True
    """The upstream may have acted on the call; a mutation must not be sent again."""
    reported: Sequence[Any] = ()
    """The errors of a GraphQL answer that had no data, as `clients.call.Problem`."""
    holds_for_service: ClassVar[bool] = False
    """The service's other protocol would meet the same; where it falls back, then to something else."""

    def __init__(self, service: str, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(f"{service}: {message}")
        self.service = service
        self.retry_after_s = retry_after_s
        self.summary = message
        """The message without the upstream's own words, which may be about one caller: what everybody may read."""

    @property
    def message(self) -> str:
        """The whole sentence, beginning with the service's name."""
        return str(self.args[0])


class AttemptFailed(UpstreamError):
    """One attempt on the wire went wrong."""

    falls_back = True
    allows_stale = True
    counts_as_failure = True


class ConnectFailed(AttemptFailed):
    """No connection: refused, no such host, bad certificate. Nothing was sent."""

    code = "UPSTREAM_UNREACHABLE"
    category = "network"
    transient = True
    reached_upstream = False


class ConnectionLost(AttemptFailed):
    """The connection broke while sending or receiving."""

    code = "UPSTREAM_CONNECTION_LOST"
    category = "network"
    transient = True


class CredentialUnavailable(AttemptFailed):
    """There is no credential for the service just now, such as a token; nothing was sent.

    It says nothing about the service, so its circuit does not count it; asking for tokens has a backoff of its own.
    """

    code = "UPSTREAM_CREDENTIAL_UNAVAILABLE"
    transient = True
    counts_as_failure = False
    reached_upstream = False


class AttemptTimeout(AttemptFailed):
    """No whole answer within the service's `timeout_s`."""

    code = "UPSTREAM_TIMEOUT"
    category = "network"
    transient = True


class ServerFailed(AttemptFailed):
    """The upstream reports its own failure: 5xx, 408, or such a code in a GraphQL answer."""

    code = "UPSTREAM_SERVER_ERROR"

    def __init__(self, service: str, message: str, *, transient: bool, retry_after_s: float | None = None) -> None:
        super().__init__(service, message, retry_after_s=retry_after_s)
        self.transient = transient  # type: ignore[misc]  # 501 and the like will say the same again; the policy has the list


class RateLimited(AttemptFailed):
    """429: the upstream's word on rate. Honoured, and no sign of ill health."""

    code = "UPSTREAM_RATE_LIMITED"
    category = "rate_limit"
    transient = True
    counts_as_failure = False

    def __init__(
        self, service: str, message: str, *, transient: bool = True, retry_after_s: float | None = None
    ) -> None:
        super().__init__(service, message, retry_after_s=retry_after_s)
        self.transient = transient  # type: ignore[misc]  # as the service's policy has it


class MalformedResponse(AttemptFailed):
    """The answer is not what was agreed: not JSON, wrong shape, too large, a redirect."""

    code = "UPSTREAM_MALFORMED_RESPONSE"


class Rejected(UpstreamError):
    """The upstream understood and said no; asking again, or elsewhere, would not change that."""

    code = "UPSTREAM_REJECTED"

    def __init__(self, service: str, message: str, *, status: int | None = None, upstream_code: str | None = None):
        super().__init__(service, message)
        self.status = status
        self.upstream_code = upstream_code


class ContractMismatch(Rejected):
    """The upstream does not know this document or route; no failure of its health, and worth the other protocol."""

    code = "UPSTREAM_CONTRACT_MISMATCH"
    falls_back = True


class InvalidVariables(Rejected):
    """The variables do not fill the route's path; nothing was sent."""

    code = "UPSTREAM_INVALID_VARIABLES"
    category = "validation"
    falls_back = True
    reached_upstream = False


class CredentialRefused(UpstreamError):
    """The token endpoint refuses the service's credential; nothing was sent, and nothing stale is served."""

    code = "UPSTREAM_CREDENTIAL_REFUSED"
    falls_back = True
    reached_upstream = False


class ExecutionFailed(UpstreamError):
    """A resolver of the upstream failed without a code: the other protocol is asked, and nothing is held against it."""

    code = "UPSTREAM_EXECUTION_FAILED"
    falls_back = True


class CircuitOpen(UpstreamError):
    """Refused here without touching the wire, because the circuit is open.

    A refusal costs a microsecond, so its sentence is made by `explain` when somebody reads it.
    """

    code = "CIRCUIT_OPEN"
    falls_back = True
    allows_stale = True
    reached_upstream = False

    def __init__(self, service: str, explain: Callable[[], str], *, retry_after_s: float | None = None) -> None:
        self.service = service
        self.retry_after_s = retry_after_s
        self._explain = explain

    @property
    def summary(self) -> str:  # type: ignore[override]  # read-only here
        """As that of every error."""
        return self._explain()

    @property
    def message(self) -> str:
        """The whole sentence, beginning with the service's name."""
        return f"{self.service}: {self._explain()}"

    def __str__(self) -> str:
        return self.message


class LimitReached(UpstreamError):
    """Refused here, to go easy on the service; says nothing about its health.

    Not transient: the limit has let the call wait as long as it may, so another attempt would only wait again.
    """

    category = "rate_limit"
    falls_back = True
    allows_stale = True
    reached_upstream = False
    holds_for_service = True


class RateLimitReached(LimitReached):
    """Refused here without touching the wire: the service's `rate` has no token in time."""

    code = "RATE_LIMIT_REACHED"


class ConcurrencyLimitReached(LimitReached):
    """Refused here without touching the wire: the service's `concurrency` has no place in time."""

    code = "CONCURRENCY_LIMIT_REACHED"


class DeadlineExceeded(UpstreamError):
    """The request's deadline came before an answer; says nothing about the upstream unless it had a fair time.

    Attributes:
        given_s: seconds that the upstream had for its answer; 0 when it was not asked.
    """

    code = "DEADLINE_EXCEEDED"
    category = "network"
    allows_stale = True

    def __init__(self, service: str, message: str, *, given_s: float = 0.0) -> None:
        super().__init__(service, message)
        self.given_s = given_s


class SoftTimeout(UpstreamError):
    """No answer within the service's `cache.soft_timeout_s`, with a stale one at hand, which is served instead."""

    code = "UPSTREAM_SLOW"
    category = "network"
    allows_stale = True


class ServiceUnavailable(UpstreamError):
    """Every way to the service failed. `causes` has the error of each, in the order they were tried."""

    code = "SERVICE_UNAVAILABLE"

    def __init__(self, service: str, causes: Sequence[UpstreamError]) -> None:
        waits = [c.retry_after_s for c in causes if c.retry_after_s is not None]
        reasons = "; ".join(c.message.removeprefix(f"{service}: ") for c in causes)
        super().__init__(service, f"no way to it answered ({reasons})", retry_after_s=min(waits, default=None))
        self.causes = tuple(causes)
        self.summary = f"no way to it answered ({'; '.join(c.summary for c in causes)})"
        self.allows_stale = any(c.allows_stale for c in causes)  # type: ignore[misc]  # one refusal does not hide a failure


def upstream_error_types() -> Iterator[type[UpstreamError]]:
    """Every kind of error that has a code of its own."""
    pending = list(UpstreamError.__subclasses__())
    while pending:
        kind = pending.pop()
        pending += kind.__subclasses__()
        if "code" in vars(kind):
            yield kind
