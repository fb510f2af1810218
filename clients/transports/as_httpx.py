"""A wire lent to code that wants httpx, so that it asks a service with that service's certificates and credentials."""

import httpx

from clients.transports.base import Wire, WireConnectError, WireError

_OF_THE_WIRE = frozenset({"accept-encoding", "connection", "content-length", "host"})  # it decompresses by itself


class WireTransport(httpx.AsyncBaseTransport):
    """An httpx transport that sends over a wire. Closing it leaves the wire open: it is somebody else's."""

    def __init__(self, wire: Wire, *, max_body_bytes: int) -> None:
        self._wire = wire
        self._max_body_bytes = max_body_bytes

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; httpx's own errors are raised for the wire's."""
        body = await request.aread()
        headers = {name: value for name, value in request.headers.items() if name not in _OF_THE_WIRE}
        try:
            answer = await self._wire.send(
                request.method, str(request.url), headers, body or None, max_body_bytes=self._max_body_bytes
            )
        except WireConnectError as error:
            raise httpx.ConnectError(str(error)) from None
        except WireError as error:
            raise httpx.ReadError(str(error)) from None
        return httpx.Response(answer.status, headers=dict(answer.headers), content=answer.body)
