"""Signs each request as `clients.auth.signing` describes; each attempt anew, with its own time and nonce."""

import secrets
from collections.abc import Callable

from clients.auth.authorizer import Authorizer, WireRequest
from clients.auth.secret import Secret
from clients.auth.signing import sign
from clients.clock import Clock


class Signer(Authorizer):
    """Adds `Content-Digest`, `Signature-Input` and `Signature`.

    Args:
        key_id: tells the service which key.
        key: shared with the service.
        covered: lower-case names of headers that are signed, too, where a request has them.
        clock: its wall time is signed.
        nonce: never gives the same twice.
    """

    def __init__(
        self,
        key_id: str,
        key: Secret,
        covered: tuple[str, ...],
        clock: Clock,
        *,
        nonce: Callable[[], str] = secrets.token_urlsafe,
    ) -> None:
        self._key_id = key_id
        self._key = key
        self._covered = covered
        self._clock = clock
        self._nonce = nonce

    async def authorize(self, request: WireRequest) -> WireRequest:
        """Signed as it is now."""
        return request.with_headers(
            sign(
                request.method,
                request.url,
                request.headers,
                request.body or b"",
                key=self._key.reveal().encode(),
                key_id=self._key_id,
                created=int(self._clock.wall().timestamp()),
                nonce=self._nonce(),
                covered=self._covered,
            )
        )

    def trouble(self) -> str:
        """Of the key."""
        return self._key.trouble
