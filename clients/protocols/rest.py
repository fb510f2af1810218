"""An operation over REST: its route filled in, and the rows out of the body."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from clients.call import Answer, Call, ProtocolName
from clients.errors import InvalidVariables
from clients.operation import Operation, RestRoute
from clients.protocols.decoding import dig, nested, rows_type
from clients.protocols.exchange import Exchange, Request
from clients.protocols.subgraph_rest import SubgraphRest, Tally
from clients.subgraph import SubgraphOperation
from clients.transports.base import WireResponse

_HEADERS = {"accept": "application/json"}
_BODY_HEADERS = {**_HEADERS, "content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class _Compiled:
    route: RestRoute
    decoder: msgspec.json.Decoder[Any]
    where: str


class RestExchange(Exchange):
    """One attempt over REST."""

    protocol = ProtocolName.REST

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._compiled: WeakKeyDictionary[Operation, _Compiled] = WeakKeyDictionary()
        self._base = (self._service.rest or "").rstrip("/")
        self._encode = msgspec.json.Encoder().encode
        self._planned = SubgraphRest(self._service, self._fetch)

    async def __call__(self, call: Call) -> Answer:
        """Make one attempt; a planned fetch may take several requests."""
        if isinstance(call.operation, SubgraphOperation):
            return await self._planned(call, call.operation)
        return await super().__call__(call)

    def request(self, call: Call) -> Request:
        """The route's method and URL; what the template does not name travels in the body."""
        compiled = self._compiled.get(call.operation) or self._compile(call.operation)
        return self._filled(compiled.route, call.variables, compiled.where)

    def _filled(self, route: RestRoute, variables: Mapping[str, Any], where: str) -> Request:
        try:
            url = self._base + route.path(variables)
        except (ValueError, TypeError) as error:
            raise InvalidVariables(self._service.name, f"{where}: {error}") from error
        if not route.has_body:
            return Request(route.method, url, None, _HEADERS, where)
        body = self._encode({k: v for k, v in variables.items() if k not in route.variables})
        return Request(route.method, url, body, _BODY_HEADERS, where)

    async def _fetch(self, call: Call, route: RestRoute, variables: Mapping[str, Any], tally: Tally) -> Any:
        """See `clients.protocols.subgraph_rest.Fetch`."""
        request = self._filled(route, variables, f"REST {route}")
        response = await self.send(call, request)
        if self.means_absent(call, response) or response.status == 204:
            tally.add(0, self.keep(call, response))
            return None
        self.refuse_status(request, response)
        tally.add(len(response.body), self.keep(call, response))
        try:
            return msgspec.json.decode(response.body)
        except (msgspec.DecodeError, RecursionError) as error:
            raise self.out_of_shape(request, error) from error

    def answer(self, call: Call, request: Request, response: WireResponse) -> Answer:
        """The rows at the route's path; 404 and 410 mean that there is no such row, 204 that there is nothing."""
        if self.means_absent(call, response) or response.status == 204:
            return self.absent(call)
        self.refuse_status(request, response)
        compiled = self._compiled[call.operation]
        try:
            rows = dig(compiled.decoder.decode(response.body), len(compiled.route.rows))
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise self.out_of_shape(request, error) from error
        return self.aligned(call, request, rows, (), response)

    def _compile(self, operation: Operation) -> _Compiled:
        route = self._service.routes.get(operation.name) or operation.rest
        if route is None:
            raise TypeError(f"{operation.name} has no REST route")
        compiled = _Compiled(
            route=route,
            decoder=msgspec.json.Decoder(nested(route.rows, rows_type(operation))),
            where=f"REST {route}",
        )
        self._compiled[operation] = compiled
        return compiled
