"""What both protocols share: sending one attempt, naming what went wrong, and reading an HTTP status."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

import msgspec
from msgspec.structs import replace

from clients.call import AS_POLICY, Answer, Call, Keep, Problem, ProtocolName, Served, ServedBy
from clients.clock import Clock
from clients.endpoint import origin_of
from clients.errors import (
    ConnectFailed,
    ConnectionLost,
    ContractMismatch,
    CredentialRefused,
    CredentialUnavailable,
    MalformedResponse,
    RateLimited,
    Rejected,
    ServerFailed,
    UpstreamError,
)
from clients.operation import Kind
from clients.protocols.alignment import MissingKeyError, align
from clients.protocols.cache_control import allowed
from clients.protocols.reported import without_values
from clients.service import Service
from clients.span import Span
from clients.transports.base import (
    Wire,
    WireConnectError,
    WireError,
    WireResponse,
    WireTooLarge,
    WireUnauthorized,
)

_ABSENT_STATUSES = frozenset({404, 410})
_UNKNOWN_ROUTE_STATUSES = frozenset({404, 405, 406, 410, 415, 501})


class Request(msgspec.Struct, frozen=True):
    """One HTTP request, before the headers that every attempt gets."""

    method: str
    url: str
    body: bytes | None
    headers: Mapping[str, str]
    where: str
    """How messages name it: `REST GET /customers`, `GraphQL customers`."""


class Exchange(ABC):
    """The innermost handler of a pipeline: one attempt over one protocol, from a call to rows.

    Subclasses turn a call into a `Request` and a response's body into an `Answer`; both are compiled once an operation.
    """

    protocol: ProtocolName

    def __init__(self, service: Service, wire: Wire, clock: Clock) -> None:
        self._service = service
        self._wire = wire
        self._clock = clock
        self._origin_length = len(origin_of(service.url(self.protocol) or ""))
        self._honours = service.policy.cache.keeps and service.policy.cache.honour_cache_control

    async def __call__(self, call: Call) -> Answer:
        """Make one attempt.

        Raises:
            UpstreamError: of any kind but CircuitOpen; TimeoutError and CancelledError pass through.
        """
        request = self.request(call)
        try:
            response = await self.sending(call, request)
        except WireError as error:
            raise self.not_sent(request, error) from error
        answer = self.answer(call, request, response)
        if (rules := self._service.response_headers) and (heard := call.caller.heard) is not None:
            heard.take(rules, response.headers)
        keep = self.keep(call, response)
        return answer if keep is AS_POLICY else replace(answer, keep=keep)

    async def send(self, call: Call, request: Request) -> WireResponse:
        """Send one request of a call.

        Raises:
            UpstreamError: there is no response.
        """
        try:
            return await self.sending(call, request)
        except WireError as error:
            raise self.not_sent(request, error) from error

    def sending(self, call: Call, request: Request) -> Awaitable[WireResponse]:
        """The request on its way; raises WireError. To be awaited without a frame between, as it is for every call."""
        service = self._service
        headers = {**request.headers, **service.headers, **service.forwarded(call.caller)}
        if (propagated := call.caller.propagated) is not None:
            headers.update(propagated)
        if call.attempt > 1:
            headers["x-retry-attempt"] = str(call.attempt - 1)
        if call.hedge:
            headers["x-hedge"] = str(call.hedge)
        if call.idempotency_key is not None:
            headers["idempotency-key"] = call.idempotency_key
        wire, url = self._wire, request.url
        if (endpoint := call.endpoint) is not None:
            wire, url = endpoint.wire or wire, endpoint.url(url, self._origin_length)
        sent = wire.send(request.method, url, headers, request.body, max_body_bytes=service.policy.max_body_bytes)
        return sent if (span := call.caller.span) is None else self._recorded(span, request, url, sent)

    async def _recorded(self, span: Span, request: Request, url: str, sent: Awaitable[WireResponse]) -> WireResponse:
        route = request.where.removeprefix(f"REST {request.method} ") if self.protocol is ProtocolName.REST else None
        span.sent(request.method, url, route)
        response = await sent
        span.set({"http.response.status_code": response.status, "http.response.body.size": len(response.body)})
        return response

    def not_sent(self, request: Request, error: WireError) -> UpstreamError:
        """What it means for the call that there is no response."""
        name, where = self._service.name, request.where
        match error:
            case WireConnectError():
                return ConnectFailed(name, f"{where}: no connection ({error})")
            case WireTooLarge():
                limit = self._service.policy.max_body_bytes
                return MalformedResponse(name, f"{where}: the answer is larger than max_body_bytes ({limit})")
            case WireUnauthorized():
                kind = CredentialRefused if error.refused else CredentialUnavailable
                said = f"{where}: not sent, there is no credential ({error})"
                return kind(name, said, retry_after_s=error.retry_after_s)
            case _:
                return ConnectionLost(name, f"{where}: the connection broke ({error})")

    @abstractmethod
    def request(self, call: Call) -> Request:
        """The HTTP request of a call."""

    @abstractmethod
    def answer(self, call: Call, request: Request, response: WireResponse) -> Answer:
        """The rows of a response.

        Raises:
            UpstreamError: the response says so, or cannot be understood.
        """

    def keep(self, call: Call, response: WireResponse) -> Keep | None:
        """How long a response may be kept, as its headers say; None: not at all."""
        if not self._honours or call.operation.kind is not Kind.QUERY:
            return AS_POLICY
        public = call.operation.public
        return allowed(response.headers, public=public, unseen=self._service.unseen(public=public))

    def refuse_status(self, request: Request, response: WireResponse) -> None:
        """Raise what a status other than 2xx means; RFC 9110 §15."""
        status, where, name = response.status, request.where, self._service.name
        if 200 <= status < 300:
            return
        said = f"{where} answered {status}"
        transient = status in self._service.policy.retry.statuses
        if status == 429:
            wait_s = retry_after(response, self._clock.wall())
            raise RateLimited(name, said, transient=transient, retry_after_s=wait_s)
        if status >= 500 or status == 408:
            if status == 501 and self.protocol is ProtocolName.GRAPHQL:
                raise ContractMismatch(name, said, status=status)
            raise ServerFailed(
                name,
                said,
                transient=transient,
                retry_after_s=retry_after(response, self._clock.wall()),
            )
        if status >= 400:
            if self.protocol is ProtocolName.GRAPHQL and status in _UNKNOWN_ROUTE_STATUSES:
                raise ContractMismatch(name, said, status=status)
            raise Rejected(name, said, status=status)
        raise MalformedResponse(name, f"{said}; expected 2xx (redirects are not followed)")

    def refuse_server_failure(self, request: Request, response: WireResponse) -> None:
        """Raise what a 5xx, 408 or 429 means; other statuses are left to the body."""
        if response.status >= 500 or response.status in {408, 429}:
            self.refuse_status(request, response)

    def aligned(
        self, call: Call, request: Request, rows: Any, problems: tuple[Problem, ...], response: WireResponse
    ) -> Answer:
        """An answer from decoded rows, a batched call's in the order of its keys."""
        served = Served(ServedBy(self.protocol.value))
        size = len(response.body)
        if call.keys is None:
            return Answer(rows, served, problems=problems, size=size)
        try:
            values, left = align(call, rows or (), problems, partial(self.row_error, request))
        except MissingKeyError as error:
            raise MalformedResponse(
                self._service.name, f"{request.where}: a row lacks the key it is matched by ({error})"
            ) from error
        return Answer(values, served, problems=left, size=size)

    def absent(self, call: Call) -> Answer:
        """The answer when the upstream says that there is no such thing: null, and no failure."""
        value = [None] * len(call.keys) if call.keys is not None else [] if call.operation.many else None
        return Answer(value, Served(ServedBy(self.protocol.value)))

    def means_absent(self, call: Call, response: WireResponse) -> bool:
        """Whether a REST answer says that the row does not exist. A mutation's 404 is a refusal."""
        return response.status in _ABSENT_STATUSES and call.operation.kind is Kind.QUERY

    def out_of_shape(self, request: Request, error: Exception) -> MalformedResponse:
        """The error of a body that is not what was agreed; msgspec's message has the path (`$.data[3].name`)."""
        return MalformedResponse(
            self._service.name, f"{request.where}: the answer is out of shape: {without_values(error)}"
        )

    def row_error(self, request: Request, problem: Problem) -> UpstreamError | None:
        """The error of a key that the upstream reported a problem for instead of a row; None: there is no such row."""
        return Rejected(self._service.name, f"{request.where}: {problem.message}", upstream_code=problem.code)


def retry_after(response: WireResponse, now: datetime) -> float | None:
    """Seconds that Retry-After asks for (RFC 9110 §10.2.3: seconds or a date); None when absent or unreadable.

    A negative wait means no retry is wanted; it comes back as infinity.
    """
    value = response.headers.get("retry-after")
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            date = parsedate_to_datetime(value)
        except (ValueError, OverflowError):
            return None
        if date.tzinfo is None:
            date = date.replace(tzinfo=UTC)
        seconds = max(0.0, (date - now).total_seconds())
    return seconds if seconds >= 0 else float("inf")
