"""Who a request comes from: its ids, its credentials, and the caller that comes of them."""

import os
import re
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Protocol

import msgspec
from starlette.types import Scope

from clients.call import Caller
from clients.headers import end_to_end
from gateway.http.errors import Forbidden, Unauthenticated
from gateway.identity.proxies import Proxies
from gateway.identity.settings import ADMIN_HEADER, IdentityConfig

if TYPE_CHECKING:
    from gateway.identity.operators import AdminToken
    from gateway.identity.tokens import Tokens

_CLEAN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_BEARER = "bearer "
_NOBODY: frozenset[str] = frozenset()


def clean_id(value: str | None) -> str | None:
    """An id that a client sent, if it is fit for logs and headers."""
    return value if value is not None and _CLEAN_ID.fullmatch(value) else None


def request_id(headers: Mapping[str, str]) -> str:
    """The request's id: the client's `x-request-id` if it is clean, else a new one; `headers` by lower-case name."""
    return clean_id(headers.get("x-request-id")) or os.urandom(16).hex()


class Verified(msgspec.Struct, frozen=True):
    """What a good token says; see `Caller`."""

    user: str | None
    tenant: str | None
    scopes: frozenset[str]
    expires_at: float


class Identifier(Protocol):
    """Makes the Caller of a request."""

    def caller(
        self, scope: Scope, headers: Mapping[str, str], request_id: str, deadline: float
    ) -> Caller | Awaitable[Caller]:
        """The caller; awaitable when something has to be asked first, which is seldom.

        Args:
            scope: of the request or the WebSocket.
            headers: by lower-case name.
            request_id: of the request.
            deadline: of the request; see `Caller`.

        Raises:
            RequestError: it is refused. The awaitable raises it, too.
        """
        ...


class CredentialIdentifier:
    """Knows callers by their token, by what a trusted proxy says of them, and operators by the admin token.

    Args:
        config: `identity:` of gateway.yaml.
        proxies: that are trusted.
        tokens: checks those of clients; None does not look at them.
        admin: the admin token; None when there is none.
        everybody: scopes that everybody has.
    """

    def __init__(
        self,
        config: IdentityConfig,
        proxies: Proxies,
        *,
        tokens: "Tokens | None" = None,
        admin: "AdminToken | None" = None,
        everybody: frozenset[str] = _NOBODY,
    ) -> None:
        self._tenant_header = config.tenant_header.lower()
        self._user_header = config.user_header.lower()
        self._scopes_header = None if config.scopes_header is None else config.scopes_header.lower()
        self._ops = frozenset({config.ops_scope})
        self._required = config.required
        self._proxies = proxies
        self._any_proxies = bool(config.trusted_proxies)
        self._tokens = tokens
        self._admin = admin
        self._everybody = everybody
        self._credentials = tokens is not None or admin is not None

    def caller(
        self, scope: Scope, headers: Mapping[str, str], request_id: str, deadline: float
    ) -> Caller | Awaitable[Caller]:
        """See `Identifier`.

        Raises:
            Unauthenticated: there is no credential and one is needed, or it is not good.
            Forbidden: tenant, user or scopes are said twice.
            RateLimited: too many wrong admin tokens came from there.
            IdentityUnavailable: nobody can tell whether the token is good.
        """
        correlation_id = clean_id(headers.get("x-correlation-id")) or request_id
        tenant = user = None
        scopes = self._everybody
        sent = end_to_end(headers)
        if self._any_proxies and self._proxies.vouch_for(scope):
            tenant = _one(scope, headers, self._tenant_header)
            user = _one(scope, headers, self._user_header)
            if self._scopes_header is not None and (listed := _one(scope, headers, self._scopes_header)):
                scopes |= frozenset(listed.replace(",", " ").split())
        caller = Caller(
            request_id=request_id,
            correlation_id=correlation_id,
            tenant=tenant,
            user=user,
            authorization=sent.get("authorization"),
            deadline=deadline,
            headers=sent,
            authenticated=user is not None,
            scopes=scopes,
        )
        if self._credentials:
            return self._with_credentials(scope, caller)
        if self._required and user is None:
            raise Unauthenticated("A credential is needed, and none was sent.")
        return caller

    def _with_credentials(self, scope: Scope, caller: Caller) -> Caller | Awaitable[Caller]:
        """With what the caller's tokens say."""
        admin = self._admin
        if admin is not None and (given := caller.headers.get(ADMIN_HEADER)) is not None:
            if not admin.is_right(given, self._proxies.client_address(scope, caller.headers)):
                raise Unauthenticated("The admin token is not the right one.", problem="invalid_token")
            caller = self._operator(caller, ADMIN_HEADER)
        authorization = caller.authorization
        if authorization is not None and authorization[:7].lower() == _BEARER:
            token = authorization[7:].strip()
            if admin is not None and (self._tokens is None or token.count(".") != 2):
                address = self._proxies.client_address(scope, caller.headers)
                # Without `jwt:` it may be a token for a service, which is none of our business.
                if admin.is_right(token, address) if self._tokens is not None else admin.is_it(token, address):
                    return self._operator(caller, "authorization")
            if self._tokens is not None:
                verified = self._tokens.check(token)
                if isinstance(verified, Verified):
                    return self._verified(caller, verified)
                return self._verified_later(caller, verified)
        if self._required and not caller.authenticated:
            raise Unauthenticated("A credential is needed, and none was sent.")
        return caller

    def _operator(self, caller: Caller, header: str) -> Caller:
        """With the scope of an operator, and without the admin token, which is for nobody else."""
        return Caller(
            request_id=caller.request_id,
            correlation_id=caller.correlation_id,
            tenant=caller.tenant,
            user=caller.user,
            authorization=None if header == "authorization" else caller.authorization,
            deadline=caller.deadline,
            headers={name: value for name, value in caller.headers.items() if name != header},
            authenticated=True,
            scopes=caller.scopes | self._ops,
            admin=True,
        )

    async def _verified_later(self, caller: Caller, verified: Awaitable[Verified]) -> Caller:
        return self._verified(caller, await verified)

    def _verified(self, caller: Caller, verified: Verified) -> Caller:
        """As the token says; a trusted proxy may add the tenant and scopes that it leaves open."""
        tenant = verified.tenant
        if tenant is None:
            tenant = caller.tenant
        elif caller.headers.get(self._tenant_header, tenant) != tenant:
            # From wherever it comes: a client that asks for another tenant is better told than answered for its own.
            raise Forbidden(f"The token is for another tenant than {self._tenant_header} says.")
        return Caller(
            request_id=caller.request_id,
            correlation_id=caller.correlation_id,
            tenant=tenant,
            user=verified.user,
            authorization=caller.authorization,
            deadline=caller.deadline,
            headers=caller.headers,
            authenticated=True,
            scopes=verified.scopes if not caller.scopes else verified.scopes | caller.scopes,
            expires_at=verified.expires_at,
        )


def _one(scope: Scope, headers: Mapping[str, str], name: str) -> str | None:
    """A header that must not be there twice: one may be the client's own, and the other the proxy's.

    `headers` has those of one name joined by commas.
    """
    value = headers.get(name)
    if value is not None and "," in value and [each for each, _ in scope["headers"]].count(name.encode("latin-1")) > 1:
        raise Forbidden(f"{name} was sent twice.")
    return value or None
