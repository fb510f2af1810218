"""GraphQL first, REST next: the first way that answers, and the reason why an earlier one did not."""

from collections.abc import Mapping
from dataclasses import replace
from weakref import WeakKeyDictionary

from clients.call import Answer, Call, Handler, ProtocolName, Served
from clients.errors import ServiceUnavailable, UpstreamError
from clients.operation import Kind, Operation
from clients.service import Service


class NoWay(Exception):
    """An operation whose protocols the service does not offer; refused at start, so never seen in a running gateway."""


def ways(service: Service, operation: Operation) -> list[ProtocolName]:
    """The protocols that can carry the operation, in the order they are tried."""
    found = []
    if operation.graphql is not None and service.graphql is not None:
        found.append(ProtocolName.GRAPHQL)
    if (operation.rest is not None or operation.name in service.routes) and service.rest is not None:
        found.append(ProtocolName.REST)
    return found


class Fallback:
    """Tries each protocol in turn. A mutation moves on only when nothing of it can have reached the upstream."""

    def __init__(self, service: Service, handlers: Mapping[ProtocolName, Handler]) -> None:
        self._service = service
        self._handlers = handlers
        self._ways: WeakKeyDictionary[Operation, list[ProtocolName]] = WeakKeyDictionary()

    async def __call__(self, call: Call) -> Answer:
        """The first answer.

        Raises:
            ServiceUnavailable: more than one way was tried, and none answered.
            UpstreamError: the only way's error, or a refusal that holds for every way.
        """
        tried: list[UpstreamError] = []
        for protocol in self._ways.get(call.operation) or self._find(call.operation):
            try:
                answer = await self._handlers[protocol](call)
            except UpstreamError as error:
                if not error.falls_back or (call.operation.kind is Kind.MUTATION and error.reached_upstream):
                    raise
                tried.append(error)
            else:
                return replace(answer, served=Served(answer.served.by, tried[0].code)) if tried else answer
        if len(tried) == 1:
            raise tried[0]
        raise ServiceUnavailable(self._service.name, tried)

    def _find(self, operation: Operation) -> list[ProtocolName]:
        found = ways(self._service, operation)
        if not found:
            raise NoWay(f"{self._service.name} offers no protocol for the operation {operation.name}")
        self._ways[operation] = found
        return found
