"""The seam of everything that authorizes requests, and the wire that asks it before it sends.

It stands innermost: it sees method, address, headers and body as they will be sent, to the endpoint they will be sent
to, once for every attempt, inside the attempt's timeout and the circuit. A service without `auth:` has its bare wire.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from clients.transports.base import Wire, WireError, WireResponse, WireUnauthorized


@dataclass(frozen=True, slots=True)
class WireRequest:
    """One request as it is about to be sent. Its `repr` shows the method alone: the rest may be secret.

    Attributes:
        headers: by lower-case name.
        body: the very bytes; None for none.
    """

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)

    def with_headers(self, headers: Mapping[str, str]) -> "WireRequest":
        """The same request with these headers (lower-case names) added, or in place of its own."""
        return WireRequest(self.method, self.url, {**self.headers, **headers}, self.body)


class Authorizer(ABC):
    """Puts on a request what its service wants to see; `type: custom` in gateway.yaml names a subclass of yours.

    One is made for each service, and is asked by many calls at once.
    """

    @abstractmethod
    async def authorize(self, request: WireRequest) -> WireRequest:
        """The request to send. It may wait, within the attempt's timeout, and be cancelled.

        Raises:
            WireUnauthorized: there is nothing to authorize it with. Any other exception is taken for that, too: its
                class is told, its words are not, because they may be secret.
        """

    async def refused(self, request: WireRequest, response: WireResponse) -> WireRequest | None:  # noqa: ARG002
        """What to send in place of a request that was answered 401, once; None gives the answer to the caller.

        `request` is as `authorize` gave it. A 401 says that nothing was done, so mutations are sent again, too.
        """
        return None

    def trouble(self) -> str:
        """What is wrong with what it authorizes with, for everybody to read in `health`; empty for nothing."""
        return ""

    async def aclose(self) -> None:  # noqa: B027 - most have nothing to close
        """End what it still does; called once, when the service is closed."""


class AuthorizedWire:
    """A `Wire` that authorizes what it sends. Closing it closes the wire below, and the authorizer if it is its own."""

    def __init__(self, wire: Wire, authorizer: Authorizer, *, owns_authorizer: bool = True) -> None:
        self._wire = wire
        self._authorizer = authorizer
        self._owns_authorizer = owns_authorizer

    def over(self, wire: Wire) -> "AuthorizedWire":
        """Another wire of the same service, authorized by the same authorizer, which stays this one's."""
        return AuthorizedWire(wire, self._authorizer, owns_authorizer=False)

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, max_body_bytes: int
    ) -> WireResponse:
        """Authorize and send, and once more after a 401 where there is something newer to try; see `Wire`.

        Raises:
            WireUnauthorized: nothing was sent, there is no credential.
        """
        asked = WireRequest(method, url, headers, body)
        try:
            request = await self._authorizer.authorize(asked)
        except WireError:
            raise
        except Exception as error:  # noqa: BLE001 whatever it is, it may quote a secret
            raise _failed(error) from None
        response = await self._send(request, max_body_bytes)
        if response.status != 401:
            return response
        try:
            again = await self._authorizer.refused(request, response)
        except WireError:
            raise
        except Exception as error:  # noqa: BLE001 whatever it is, it may quote a secret
            raise _failed(error) from None
        return response if again is None else await self._send(again, max_body_bytes)

    def trouble(self) -> str:
        """See `Authorizer`."""
        return self._authorizer.trouble()

    async def aclose(self) -> None:
        """Close the authorizer, then the wire."""
        try:
            if self._owns_authorizer:
                await self._authorizer.aclose()
        finally:
            await self._wire.aclose()

    async def _send(self, request: WireRequest, max_body_bytes: int) -> WireResponse:
        return await self._wire.send(
            request.method, request.url, request.headers, request.body, max_body_bytes=max_body_bytes
        )


def _failed(error: Exception) -> WireUnauthorized:
    return WireUnauthorized(f"the authorizer failed with {type(error).__name__}")
