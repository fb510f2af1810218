"""Operators: the admin token, and whether whoever asks over HTTP is one."""

import hmac
from collections.abc import Awaitable, Callable

import structlog
from starlette.types import Scope

from clients.auth import Secret
from clients.call import Caller
from clients.clock import Clock
from gateway.http.endpoint import headers_of
from gateway.http.errors import Forbidden, RateLimited, RequestError, Unauthenticated
from gateway.identity.identifier import Identifier, request_id
from gateway.identity.proxies import counted_as
from gateway.identity.rate import local_buckets
from schema.context import OpsAccess

# Of wrong tokens from one address: a slip of the hand is forgiven, guessing is not worth it.
_WRONG_AT_ONCE = 10
_WRONG_PER_S = 0.1
_MAX_ADDRESSES = 10_000


class AdminToken:
    """The admin token, and how often an address may be wrong about it.

    Args:
        secret: it; may be rotated.
        clock: all time comes from it.
    """

    def __init__(self, secret: Secret, clock: Clock) -> None:
        self._secret = secret
        self._clock = clock
        self._wrong = local_buckets(_WRONG_AT_ONCE, _WRONG_PER_S, _MAX_ADDRESSES, clock)
        self._other = local_buckets(_WRONG_AT_ONCE, _WRONG_PER_S, _MAX_ADDRESSES, clock)
        self._log = structlog.get_logger("gateway")

    @property
    def trouble(self) -> str:
        """What is wrong with a newer one, for everybody to read; empty for nothing."""
        return self._secret.trouble

    def is_right(self, given: str, address: str) -> bool:
        """Whether that is it, where it is meant to be.

        Raises:
            RateLimited: too many wrong ones came from that address; it is not looked at.
        """
        key, now = counted_as(address), self._clock.now()
        wrong = self._wrong.known(key)
        if wrong is not None and (wait_s := wrong.wait_s(now)) > 0:
            raise RateLimited("Too many wrong tokens came from this address; try again later.", wait_s)
        if self._is(given):
            return True
        self._wrong.of(key).take(now)
        self._log.warning("admin token refused", address=address)
        return False

    def is_it(self, given: str, address: str) -> bool:
        """Whether that is it, where it may as well be something else; after too many others, no."""
        others = self._other.of(counted_as(address))
        now = self._clock.now()
        if others.wait_s(now) > 0:
            return False
        if self._is(given):
            return True
        others.take(now)
        return False

    def _is(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self._secret.reveal().encode())


class Operators:
    """Who may use what is for operators only, of what is served over HTTP beside GraphQL.

    Args:
        identifier: tells who asks; None while there is none.
        access: what makes an operator.
        clock: all time comes from it.
    """

    def __init__(self, identifier: Callable[[], Identifier | None], access: OpsAccess, clock: Clock) -> None:
        self._identifier = identifier
        self._access = access
        self._clock = clock

    async def require(self, scope: Scope) -> Caller:
        """The operator who asks.

        Raises:
            RequestError: it is none.
        """
        identifier = self._identifier()
        if identifier is None:
            raise Unauthenticated("The gateway is not ready to tell who asks.")
        headers = headers_of(scope)
        found = identifier.caller(scope, headers, request_id(headers), self._clock.now())
        caller: Caller = await found if isinstance(found, Awaitable) else found
        if self._access.allows(caller):
            return caller
        message = f"This is for operators only: {self._access.how}."
        raise Forbidden(message) if caller.authenticated else Unauthenticated(message)

    async def refusal(self, scope: Scope) -> RequestError | None:
        """Why whoever asks is refused; None for an operator."""
        try:
            await self.require(scope)
        except RequestError as error:
            return error
        return None

    async def is_operator(self, scope: Scope) -> bool:
        """Whether whoever asks is an operator."""
        return await self.refusal(scope) is None
