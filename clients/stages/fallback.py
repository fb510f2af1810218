"""GraphQL first, REST next, then the ways beyond: the first that answers, and the reason why an earlier one did not.

What is left when none does stands outside of the stale cache: a stale answer is better than a default value, which is
better than none (`Defaults`).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self
from weakref import WeakKeyDictionary

from msgspec.structs import replace

from clients.call import Answer, Call, Handler, ProtocolName, Served, ServedBy
from clients.errors import ServiceUnavailable, UpstreamError
from clients.operation import Default, Kind, Operation, default_of
from clients.protocols.subgraph_rest import carries, has_rest_way
from clients.service import Service
from clients.subgraph import SubgraphOperation


class NoWay(Exception):
    """An operation whose protocols the service does not offer; refused at start, so never seen in a running gateway."""


def ways(service: Service, operation: Operation) -> list[ProtocolName]:
    """The protocols that can carry the operation, in the order they are tried."""
    found = []
    if operation.graphql is not None and service.graphql is not None:
        found.append(ProtocolName.GRAPHQL)
    if isinstance(operation, SubgraphOperation):
        by_rest = has_rest_way(service, operation)
    else:
        by_rest = (operation.rest is not None or operation.name in service.routes) and service.rest is not None
    if by_rest:
        found.append(ProtocolName.REST)
    return found


class Way(Protocol):
    """A way beyond the service's own protocols, tried when none of them answers: another service, say, or a queue.

    A mutation comes here only when nothing of it can have reached the service.
    """

    served_by: ServedBy
    """How its answers are marked."""

    def takes(self, call: Call) -> bool:
        """Whether it can answer the call."""
        ...

    async def __call__(self, call: Call) -> Answer:
        """Answer the call.

        Raises:
            UpstreamError: it has no answer.
        """
        ...


class StandIn(Protocol):
    """Another upstream, as `Alternative` uses it."""

    @property
    def service(self) -> Service:
        """Where it is and how patient to be."""
        ...

    async def stand_in(self, call: Call) -> Answer:
        """Answer a call of another service."""
        ...


class Alternative:
    """The `Way` to another service that answers the same operations, through its own retries, circuits and timers."""

    served_by = ServedBy.ALTERNATIVE

    def __init__(self, upstream: StandIn) -> None:
        self._upstream = upstream
        self._operations: WeakKeyDictionary[Operation, Operation] = WeakKeyDictionary()

    def takes(self, call: Call) -> bool:
        """Whether one of the other service's protocols carries the call."""
        service = self._upstream.service
        return any(way is ProtocolName.GRAPHQL or carries(service, call) for way in ways(service, call.operation))

    async def __call__(self, call: Call) -> Answer:
        """The other service's answer."""
        operation = self._operations.get(call.operation)
        if operation is None:  # its hooks and errors are to name it, and not the service that it stands in for
            operation = self._operations[call.operation] = dataclasses.replace(
                call.operation, service=self._upstream.service.name
            )
        return await self._upstream.stand_in(replace(call, operation=operation))


class Fallback:
    """Tries each way in turn. A mutation moves on only when nothing of it can have reached the upstream.

    Args:
        service: whose calls these are.
        beyond: ways beyond its own protocols, in the order they are tried.
    """

    def __init__(self, service: Service, beyond: Sequence[Way] = ()) -> None:
        self._service = service
        self._beyond = beyond
        self._handlers: Mapping[ProtocolName, Handler] = {}
        self._ways: WeakKeyDictionary[Operation, list[ProtocolName]] = WeakKeyDictionary()

    def over(self, handlers: Mapping[ProtocolName, Handler]) -> Self:
        """Stand over the pipelines of the service's protocols; said once, when the whole is put together."""
        self._handlers = handlers
        return self

    async def __call__(self, call: Call) -> Answer:
        """The first answer.

        Raises:
            ServiceUnavailable: more than one way was tried, and none answered.
            UpstreamError: the only way's error, or a refusal that holds for every way.
        """
        tried: list[UpstreamError] = []
        for protocol in self._ways.get(call.operation) or self._find(call.operation):
            if protocol is ProtocolName.REST and not carries(self._service, call):
                continue
            try:
                answer = await self._handlers[protocol](call)
            except UpstreamError as error:
                _move_on(call, error)
                tried.append(error)
                if error.holds_for_service:
                    break
            else:
                return replace(answer, served=Served(answer.served.by, tried[0].code)) if tried else answer
        if not tried:
            raise NoWay(_no_way(self._service, call.operation))
        for way in self._beyond:
            if not way.takes(call):
                continue
            try:
                answer = await way(call)
            except ServiceUnavailable as error:
                tried += error.causes
            except UpstreamError as error:
                _move_on(call, error)
                tried.append(error)
            else:
                return replace(answer, served=Served(way.served_by, tried[0].code))
        # An error holds the frames it went through; one that a frame holds in turn waits for the garbage collector
        if len(tried) == 1:
            raise tried.pop()
        raise self._failed(tried)

    def _failed(self, tried: list[UpstreamError]) -> ServiceUnavailable:
        error = ServiceUnavailable(self._service.name, tried)
        tried.clear()
        return error

    def _find(self, operation: Operation) -> list[ProtocolName]:
        found = ways(self._service, operation)
        if not found:
            raise NoWay(_no_way(self._service, operation))
        self._ways[operation] = found
        return found


def _move_on(call: Call, error: UpstreamError) -> None:
    """Raise an error that the next way is not to be tried after."""
    if not error.falls_back or (call.operation.kind is Kind.MUTATION and error.reached_upstream):
        raise error


class Defaults:
    """Default values, in place of errors that a stale answer might have stood in for: never of a refusal."""

    def __init__(self, service: Service) -> None:
        self._configured = service.fallback.defaults
        self._read: WeakKeyDictionary[Operation, Default] = WeakKeyDictionary()

    def instead(self, call: Call, error: UpstreamError) -> Answer | None:
        """The answer in place of an error; None when there is none."""
        default = self._of(call.operation)
        if default is None or not error.allows_stale:
            return None
        value = default.make() if call.keys is None else [default.make(key) for key in call.keys]
        return Answer(value, Served(ServedBy.DEFAULT, error.code))

    def for_rows(self, call: Call, answer: Answer) -> Answer:
        """The answer of a batched call, with default rows in place of those that failed."""
        default = self._of(call.operation)
        if default is None or call.keys is None:
            return answer
        failed = {
            i: value.code
            for i, value in enumerate(answer.value)
            if isinstance(value, UpstreamError) and value.allows_stale
        }
        if not failed:
            return answer
        values, served = list(answer.value), dict(answer.served_rows)
        for i, code in failed.items():
            values[i], served[i] = default.make(call.keys[i]), Served(ServedBy.DEFAULT, code)
        return replace(answer, value=values, served_rows=served)

    def _of(self, operation: Operation) -> Default | None:
        value: Any = self._configured.get(operation.name)
        if value is None:
            return operation.default
        default = self._read.get(operation)
        if default is None:
            default = self._read[operation] = default_of(operation, value)
        return default


def _no_way(service: Service, operation: Operation) -> str:
    return f"{service.name} offers no protocol for the operation {operation.name}"
