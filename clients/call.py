"""One call to an upstream and its answer: the values that travel through the pipeline."""

import enum
from collections.abc import Awaitable, Callable, Mapping, Sequence
from math import inf
from typing import Any

import msgspec
from msgspec.structs import replace

from clients.endpoint import Endpoint
from clients.errors import UpstreamError
from clients.headers import Heard
from clients.operation import Kind, Operation
from clients.span import Span


class ProtocolName(enum.StrEnum):
    """How a service is spoken to."""

    GRAPHQL = "graphql"
    REST = "rest"


class ServedBy(enum.StrEnum):
    """Where an answer came from."""

    GRAPHQL = "graphql"
    REST = "rest"
    FRESH = "fresh"
    """The cache, within `max_age_s`: no call was made."""
    STALE = "stale"
    """The cache, past `max_age_s`: the last good answer, because the service did not give a new one (yet)."""
    ALTERNATIVE = "alternative"
    """Another service, which the configuration names for when this one does not answer."""
    DEFAULT = "default"
    """No service and no cache: the operation's default value."""


_TOLD = 50  # enough to see what was slow; a caller that lives for hours, such as a subscription's, must not gather more


class Made(msgspec.Struct, frozen=True, gc=False):
    """A call that was made on a caller's behalf, and how it ended.

    Attributes:
        by: how it was answered; None when it was not.
    """

    service: str
    operation: str
    by: ServedBy | None
    duration_s: float


class Tally(msgspec.Struct):
    """What was asked of services on a caller's behalf. The upstreams write it, the request's log line reads it.

    Attributes:
        counts: calls by how they were answered; None for those that were not.
        first: the first of them.
    """

    counts: dict[ServedBy | None, int] = {}
    first: list[Made] = []

    def note(self, service: str, operation: str, by: ServedBy | None, duration_s: float) -> None:
        """A call is over."""
        self.counts[by] = self.counts.get(by, 0) + 1
        if len(self.first) < _TOLD:
            self.first.append(Made(service, operation, by, duration_s))


class Caller(msgspec.Struct, frozen=True):
    """On whose behalf a call is made, and until when.

    Attributes:
        request_id: of this request; sent upstream with every attempt.
        correlation_id: of the whole chain of requests this one is part of.
        deadline: monotonic seconds of the pipeline's clock; None waits as long as the policies allow.
        headers: the client's headers by lower-case name; a service gets those its entry names.
        authenticated: whether the gateway knows for certain who asks.
        scopes: what the caller may do, as its credential says; fields may require some.
        expires_at: when its credential ends, in monotonic seconds of the pipeline's clock; None where it does not.
        tally: what was asked of services on its behalf.
        heard: takes the headers of upstreams' answers that the client is to get; None where it gets none.
        span: what is recorded of the request, as far as it has come; None when it is not traced.
        propagated: headers that an attempt is sent, so that the trace goes on upstream; None when nothing is traced,
            and until an attempt of a recorded request is made, which has its own.
        admin: whether it came with the admin token.
    """

    request_id: str
    correlation_id: str
    tenant: str | None = None
    user: str | None = None
    authorization: str | None = None
    deadline: float | None = None
    headers: Mapping[str, str] = {}
    authenticated: bool = False
    scopes: frozenset[str] = frozenset()
    expires_at: float | None = None
    tally: Tally = msgspec.field(default_factory=Tally)
    heard: Heard | None = None
    span: Span | None = None
    propagated: Mapping[str, str] | None = None
    admin: bool = False

    def __repr__(self) -> str:
        return f"Caller({self.request_id!r}, tenant={self.tenant!r}, user={self.user!r})"  # no credential, no header


class Call(msgspec.Struct, frozen=True):
    """An operation with its variables, on behalf of a caller.

    Attributes:
        keys: for a batched operation, the keys asked for, without repeats; the answer is aligned to them.
        attempt: counts from 1.
        idempotency_key: sent with every attempt as `Idempotency-Key`; with it a mutation may be attempted again.
        hedge: which of the attempts beside a slow one this is; 0 for the first.
        endpoint: where the attempt goes; None for services that have one endpoint.
        tried: the endpoints of all attempts so far, shared by them; None likewise.
    """

    operation: Operation
    variables: Mapping[str, Any]
    caller: Caller
    keys: tuple[Any, ...] | None = None
    attempt: int = 1
    idempotency_key: str | None = None
    hedge: int = 0
    endpoint: Endpoint | None = None
    tried: list[Endpoint] | None = None

    @property
    def repeatable(self) -> bool:
        """Whether the upstream may be sent it more than once."""
        operation = self.operation
        return operation.kind is Kind.QUERY or operation.idempotent or self.idempotency_key is not None

    def for_keys(self, keys: Sequence[Any]) -> "Call":
        """The same batched call for other keys."""
        batch = self.operation.batch
        if batch is None:
            raise TypeError(f"{self.operation.name} is not a batched operation")
        return replace(self, keys=tuple(keys), variables={**self.variables, **batch.variables(keys)})


class Served(msgspec.Struct, frozen=True):
    """How a value was served.

    Attributes:
        reason: the code of the error that kept a better source from answering; None when nothing did.
        age_s: seconds since the value was produced upstream; None when it came from there just now.
    """

    by: ServedBy
    reason: str | None = None
    age_s: float | None = None

    @property
    def degraded(self) -> bool:
        """Whether the client is owed a note about it."""
        return self.reason is not None or self.by is ServedBy.STALE


class Problem(msgspec.Struct, frozen=True):
    """An error the upstream reported inside an otherwise usable answer.

    Attributes:
        index: of the row it belongs to (aligned to the call's keys); None for the whole answer.
        path: inside the row.
        extensions: whatever else the upstream said of it.
    """

    message: str
    code: str | None
    index: int | None = None
    path: tuple[str | int, ...] = ()
    extensions: Mapping[str, Any] | None = None


class Keep(msgspec.Struct, frozen=True):
    """How long an answer may be kept at most, as whoever gave it says; each period begins where the one before ends.

    Attributes:
        fresh_s: served without a call.
        revalidate_s: served while a newer one is fetched.
        stale_s: stands in for a failed call; begins with `revalidate_s`.
    """

    fresh_s: float = inf
    revalidate_s: float = inf
    stale_s: float = inf

    def and_(self, other: "Keep") -> "Keep":
        """As long as both allow."""
        return Keep(
            min(self.fresh_s, other.fresh_s),
            min(self.revalidate_s, other.revalidate_s),
            min(self.stale_s, other.stale_s),
        )


AS_POLICY = Keep()
"""Nobody says anything: as long as the service's policy allows."""


class Answer(msgspec.Struct, frozen=True):
    """What an upstream call gives.

    Attributes:
        value: the operation's result. For a batched call, a list with one entry a key, in key order: a row,
            None where the upstream knows no such row, or the error of just that key.
        served: how it was served.
        served_rows: for a batched call, by index, where a row was served otherwise than `served` says.
        problems: errors the upstream reported beside the data; such an answer is never cached.
        size: bytes of the body that carried it.
        queued_s: of the time it took, how long the call waited here before it was sent.
        keep: how long it may be kept; None: not at all.
    """

    value: Any
    served: Served
    served_rows: Mapping[int, Served] = {}
    problems: tuple[Problem, ...] = ()
    size: int = 0
    queued_s: float = 0.0
    keep: Keep | None = AS_POLICY

    def row(self, index: int) -> Any:
        """The row at `index`; raises the error of that key if it has one."""
        value = self.value[index]
        if isinstance(value, UpstreamError):
            raise value
        return value

    def served_row(self, index: int) -> Served:
        """How the row at `index` was served."""
        return self.served_rows.get(index, self.served)


Handler = Callable[[Call], Awaitable[Answer]]
"""The rest of the pipeline, as a stage sees it."""
