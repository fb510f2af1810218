"""GraphQL first, REST next: the first way that answers, and the reason why an earlier one did not."""

from collections.abc import Mapping
from dataclasses import replace
from weakref import WeakKeyDictionary

from clients.call import Answer, Call, Handler, ProtocolName, Served
from clients.errors import ServiceUnavailable, UpstreamError
from clients.operation import Kind, Operation
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
            if protocol is ProtocolName.REST and not carries(self._service, call):
                continue
            try:
                answer = await self._handlers[protocol](call)
            except UpstreamError as error:
                if not error.falls_back or (call.operation.kind is Kind.MUTATION and error.reached_upstream):
                    raise
                tried.append(error)
            else:
                return replace(answer, served=Served(answer.served.by, tried[0].code)) if tried else answer
        if not tried:
            raise NoWay(_no_way(self._service, call.operation))
        if len(tried) == 1:
            raise tried[0]
        raise ServiceUnavailable(self._service.name, tried)

    def _find(self, operation: Operation) -> list[ProtocolName]:
        found = ways(self._service, operation)
        if not found:
            raise NoWay(_no_way(self._service, operation))
        self._ways[operation] = found
        return found


def _no_way(service: Service, operation: Operation) -> str:
    return f"{service.name} offers no protocol for the operation {operation.name}"
