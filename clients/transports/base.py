"""The wire's seam: bytes and headers out; status, headers and bytes in. One adapter a library stands behind it."""

from collections.abc import Mapping
from typing import Protocol

import msgspec


class WireResponse(msgspec.Struct, frozen=True):
    """A whole response: `headers` by lower-case name, `body` after decompression."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class WireError(Exception):
    """No whole response came. The message names no header and no credential."""


class WireConnectError(WireError):
    """Nothing was sent: refused, no such host, bad certificate, a connection that could not be set up."""


class WireBroken(WireError):
    """The connection broke, or broke HTTP's rules, after something may have been sent."""


class WireTooLarge(WireError):
    """The body, decompressed, passed the limit; reading stopped there."""


class WireUnauthorized(WireError):
    """Nothing was sent: there is no credential to send it with.

    Attributes:
        refused: whoever gives credentials said no, and will say the same again.
        retry_after_s: seconds until another attempt can find one; None when that is not known.
    """

    def __init__(self, message: str, *, refused: bool = False, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.refused = refused
        self.retry_after_s = retry_after_s


class Wire(Protocol):
    """Sends one request. Cancelling `send` frees its connection; timeouts are the caller's (`asyncio.timeout`)."""

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, max_body_bytes: int
    ) -> WireResponse:
        """Send and read the whole body; redirects are answers like any other.

        Raises:
            WireConnectError: nothing was sent.
            WireBroken: the connection broke later.
            WireTooLarge: the decompressed body is over `max_body_bytes`.
        """
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...
