"""OAuth 2.0: a token for the gateway itself, by client credentials (RFC 6749 §4.4) or a refresh token (§6).

A token is kept until shortly before it expires and renewed in the background while it is still good. One request asks
for it, however many calls wait; a caller that goes away does not end it for the others.
"""

import asyncio
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import quote_plus, urlencode

import msgspec

from clients.auth.authorizer import Authorizer, WireRequest
from clients.auth.credentials import basic
from clients.auth.secret import Secret, Tell, not_a_token
from clients.clock import Clock
from clients.protocols.exchange import retry_after
from clients.transports.base import Wire, WireError, WireResponse, WireUnauthorized

_MAX_BODY = 65_536
_UNKNOWN_LIFETIME_S = 300.0  # `expires_in` is only recommended (§5.1); a 401 renews the token anyway
_MAX_LIFETIME_S = 86_400.0  # what claims to live longer is renewed each day
_RENEW_AT = (0.8, 0.9)  # of its lifetime; drawn, so that many gateways do not ask at once
_SKEW_S = 5.0  # no longer used so shortly before its end (5 % of a short life): it has a way to go yet
_BACKOFF_S, _MAX_BACKOFF_S = 1.0, 30.0
_REFUSALS_APART_S = 10.0  # a service that answers 401 to fresh tokens gets no new one with each call
_ERRORS = frozenset(  # §5.2, and those of §4.1.2.1 that servers use here, too; other words may quote what was sent
    {
        "access_denied",
        "invalid_client",
        "invalid_grant",
        "invalid_request",
        "invalid_scope",
        "invalid_target",
        "server_error",
        "temporarily_unavailable",
        "unauthorized_client",
        "unsupported_grant_type",
    }
)


@dataclass(frozen=True, slots=True)
class OAuth2Client:
    """What a token is asked for with.

    Attributes:
        token_url: the token endpoint.
        client_secret: None for a client that has none, which needs a refresh token.
        scope: space-separated; None asks for the server's default.
        audience: whom the token is for, where the server wants to know (not in the RFC; Auth0 and others).
        refresh_token: asks by it (§6); what the server gives in its place is used from then on. None asks by the
            client's own credentials.
        in_body: `client_id` and `client_secret` as parameters, for servers without Basic (§2.3.1).
        timeout_s: of one request for a token; less than an attempt's, or calls time out waiting for it.
    """

    token_url: str = field(repr=False)
    client_id: str
    client_secret: Secret | None
    scope: str | None = None
    audience: str | None = None
    refresh_token: Secret | None = None
    in_body: bool = False
    timeout_s: float = 2.5


@dataclass(frozen=True, slots=True)
class _Token:
    value: str = field(repr=False)
    renew_at: float
    expires_at: float


@dataclass(frozen=True, slots=True)
class _Failed:
    message: str
    refused: bool = False
    retry_after_s: float | None = None


class OAuth2(Authorizer):
    """`Authorization: Bearer <token>`, with a token of the service's own.

    Args:
        client: what to ask with.
        wire: asks; closed with this. Best one of its own: calls that fill the service's pool must not hold it up.
        clock: all time comes from it.
        random: all jitter comes from it.
        tell: gets what no caller is told: that a token could not be renewed in the background.
    """

    def __init__(self, client: OAuth2Client, wire: Wire, clock: Clock, random: Random, tell: Tell) -> None:
        self._client = client
        self._wire = wire
        self._clock = clock
        self._random = random
        self._tell = tell
        self._token: _Token | None = None
        self._flight: asyncio.Task[_Token | _Failed] | None = None
        self._failed: _Failed | None = None
        self._failures = 0
        self._not_before = 0.0
        self._refused_at: float | None = None
        self._rotated: tuple[str, str] | None = None
        self._closed = False

    async def authorize(self, request: WireRequest) -> WireRequest:
        """With a token that is good for a while yet; waits for one when there is none.

        Raises:
            WireUnauthorized: there is none.
        """
        now = self._clock.now()
        token = self._token
        if token is None or now >= token.expires_at:
            token = await self._obtain()
        elif now >= token.renew_at and self._flight is None and now >= self._not_before and not self._closed:
            self._begin()
        return _with(request, token)

    async def refused(self, request: WireRequest, response: WireResponse) -> WireRequest | None:  # noqa: ARG002
        """With another token: one that came meanwhile, or a new one, though not a new one with each call."""
        token = self._token
        if token is not None and request.headers["authorization"] != _with(request, token).headers["authorization"]:
            return _with(request, token)
        if self._flight is None:
            now = self._clock.now()
            if self._refused_at is not None and now < self._refused_at + _REFUSALS_APART_S:
                return None
            self._refused_at = now
            self._token = None
        return _with(request, await self._obtain())

    def trouble(self) -> str:
        """Why there was no token when it was last asked for, or what is wrong with a secret."""
        if self._failed is not None:
            return self._failed.message
        secrets = (self._client.client_secret, self._client.refresh_token)
        return next((secret.trouble for secret in secrets if secret is not None and secret.trouble), "")

    async def aclose(self) -> None:
        """End what is asked for, and close the wire."""
        self._closed = True
        if self._flight is not None:
            self._flight.cancel()
            await asyncio.wait({self._flight})
        await self._wire.aclose()

    async def _obtain(self) -> _Token:
        """The token that is being asked for, or was to be."""
        if self._closed:
            raise WireUnauthorized("the wire is closed")
        flight = self._flight
        if flight is None:
            wait_s = self._not_before - self._clock.now()
            if wait_s > 0 and self._failed is not None:
                raise WireUnauthorized(self._failed.message, refused=self._failed.refused, retry_after_s=wait_s)
            flight = self._begin()
        await asyncio.wait({flight})  # unlike awaiting it, cancelling this leaves it alone
        if flight.cancelled():
            raise WireUnauthorized("the wire is closed")
        found = flight.result()
        if isinstance(found, _Failed):
            wait_s = max(0.0, self._not_before - self._clock.now())
            raise WireUnauthorized(found.message, refused=found.refused, retry_after_s=wait_s)
        return found

    def _begin(self) -> "asyncio.Task[_Token | _Failed]":
        self._flight = asyncio.create_task(self._fly(), name="breakwater token")
        return self._flight

    async def _fly(self) -> _Token | _Failed:
        """Ask once and take note of what came; never raises but when it is cancelled."""
        began = self._clock.now()
        try:
            found = await self._ask(began)
        finally:
            self._flight = None
        if isinstance(found, _Token):
            self._token, self._failed, self._failures, self._not_before = found, None, 0, 0.0
            return found
        if self._token is not None and self._failed is None:
            self._tell(f"the token is not renewed: {found.message}")
        backoff_s = min(_MAX_BACKOFF_S, _BACKOFF_S * 2 ** min(self._failures, 10)) * self._random.uniform(0.5, 1.0)
        self._failed = found
        self._failures += 1
        self._not_before = self._clock.now() + max(backoff_s, min(found.retry_after_s or 0.0, _MAX_BACKOFF_S))
        return found

    async def _ask(self, began: float) -> _Token | _Failed:
        client = self._client
        headers, body = self._request()
        try:
            async with self._clock.timeout(client.timeout_s):
                response = await self._wire.send("POST", client.token_url, headers, body, max_body_bytes=_MAX_BODY)
        except TimeoutError:
            return _Failed(f"the token endpoint gave no answer within {client.timeout_s:g} s")
        except WireError as error:
            return _Failed(f"the token endpoint: {error}")
        if response.status != 200:
            return self._refusal(response)
        try:
            said = msgspec.json.decode(response.body)
        except (msgspec.DecodeError, RecursionError):
            said = None
        if not isinstance(said, dict):
            return _Failed("the token endpoint's answer is no JSON object")
        return self._taken(said, began)

    def _request(self) -> tuple[dict[str, str], bytes]:
        client = self._client
        secret = None if client.client_secret is None else client.client_secret.reveal()
        form: dict[str, str] = {"grant_type": "client_credentials"}
        if client.refresh_token is not None:
            form = {"grant_type": "refresh_token", "refresh_token": self._refresh_token(client.refresh_token)}
        if client.scope is not None:
            form["scope"] = client.scope
        if client.audience is not None:
            form["audience"] = client.audience
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        if secret is not None and not client.in_body:
            headers["authorization"] = basic(
                quote_plus(client.client_id), quote_plus(secret)
            )  # §2.3.1 wants both coded
        else:
            form["client_id"] = client.client_id
            if secret is not None:
                form["client_secret"] = secret
        return headers, urlencode(form).encode()

    def _refresh_token(self, given: Secret) -> str:
        """The one that the server gave last in place of ours, unless ours was rotated since."""
        ours = given.reveal()
        return self._rotated[1] if self._rotated is not None and self._rotated[0] == ours else ours

    def _refusal(self, response: WireResponse) -> _Failed:
        """What a status other than 200 means; §5.2 has 400 and 401."""
        status = response.status
        try:
            code = msgspec.json.decode(response.body)["error"]
        except (msgspec.DecodeError, RecursionError, LookupError, TypeError):
            code = None
        words = f" ({code})" if isinstance(code, str) and code in _ERRORS else ""
        temporary = status >= 500 or status in {408, 429} or code in {"server_error", "temporarily_unavailable"}
        return _Failed(
            f"the token endpoint answered {status}{words}",
            refused=400 <= status < 500 and not temporary,
            retry_after_s=retry_after(response, self._clock.wall()),
        )

    def _taken(self, said: dict[str, Any], began: float) -> _Token | _Failed:
        """The token of a good answer, counted from when it was asked for; §5.1."""
        value, kind = said.get("access_token"), said.get("token_type")
        if not isinstance(value, str):
            return _Failed("the token endpoint's answer has no access_token")
        if not_a_token(value) is not None:
            return _Failed("the token endpoint's access_token holds what no header can carry")
        if not isinstance(kind, str) or kind.lower() != "bearer":
            return _Failed("the token endpoint's token_type is not Bearer")
        lifetime_s = _lifetime_s(said.get("expires_in"))
        if lifetime_s is None:
            return _Failed("the token endpoint's expires_in is not a number of seconds above 0")
        newer = said.get("refresh_token")
        if self._client.refresh_token is not None and isinstance(newer, str) and newer:
            self._rotated = (self._client.refresh_token.reveal(), newer)
        return _Token(
            value,
            renew_at=began + lifetime_s * self._random.uniform(*_RENEW_AT),
            expires_at=began + lifetime_s - min(_SKEW_S, lifetime_s * 0.05),
        )


def _lifetime_s(expires_in: Any) -> float | None:
    """Seconds to keep a token; None when what the server says of it makes no sense."""
    if expires_in is None:
        return _UNKNOWN_LIFETIME_S
    if isinstance(expires_in, str):  # some servers quote it
        try:
            expires_in = float(expires_in)
        except ValueError:
            return None
    if isinstance(expires_in, bool) or not isinstance(expires_in, int | float) or not expires_in > 0:
        return None
    return float(min(expires_in, _MAX_LIFETIME_S))


def _with(request: WireRequest, token: _Token) -> WireRequest:
    return request.with_headers({"authorization": f"Bearer {token.value}"})
