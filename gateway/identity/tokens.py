"""Tokens that clients send (JWT, RFC 7519), checked by the best practices of RFC 8725.

The issuer is one of the configured ones, and only its keys are tried, each with the one algorithm it is bound to. What
was checked once is remembered until the token ends, for a few minutes at most, and forgotten when keys change.
"""

import re
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, NoReturn

import jwt
import msgspec
import structlog
from jwt.utils import base64url_decode

from clients.clock import Clock
from gateway.http.errors import IdentityUnavailable, Unauthenticated
from gateway.identity.identifier import Verified
from gateway.identity.keys import KeySet

_REMEMBERED_S = 300.0  # a clock that is set, and a process that slept, are noticed after so long at the latest
_FIT = re.compile(r"[!-~](?:[ -~]{0,254}[!-~])?")  # for a header: user and tenant may be sent on to services
_DIGEST_BYTES = 32
_MAX_NUMBER = 2**63  # JSON has no end of digits, and neither floats nor texts take them

_decode = msgspec.json.decode


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who may have signed a token, and what its claims mean; as `identity.jwt.issuers` has it."""

    name: str
    keys: KeySet = field(repr=False)
    audiences: frozenset[str]
    algorithms: frozenset[str]
    user_claim: str
    tenant_claim: str | None
    roles_claim: str | None


class _Bad(Exception):
    """Why a token is not good, for the log at level debug; nothing of the token."""


class Tokens:
    """Checks tokens.

    Args:
        issuers: by `iss`.
        clock: all time comes from it.
        leeway_s: how far clocks may differ.
        max_bytes: largest token that is looked at.
        max_remembered: tokens that are remembered.
    """

    def __init__(
        self, issuers: Sequence[Issuer], clock: Clock, *, leeway_s: float, max_bytes: int, max_remembered: int
    ) -> None:
        self._issuers = {issuer.name: issuer for issuer in issuers}
        self._clock = clock
        self._leeway_s = leeway_s
        self._max_bytes = max_bytes
        self._max_remembered = max_remembered
        self._remembered: dict[bytes, tuple[Verified, float]] = {}
        self._signatures = jwt.PyJWS(options={"enforce_minimum_key_length": True})
        self._log = structlog.get_logger("gateway")

    def forget(self) -> None:
        """Check every token anew: keys have changed."""
        self._remembered.clear()

    def check(self, token: str) -> Verified | Awaitable[Verified]:
        """What it says; awaitable when its key has to be fetched first.

        Raises:
            Unauthenticated: it is not good, or not any more. The awaitable raises it, too.
            IdentityUnavailable: nobody can tell, because its issuer's keys cannot be had. The awaitable, too.
        """
        if len(token) > self._max_bytes:
            raise Unauthenticated(f"The token is larger than {self._max_bytes} bytes.", problem="invalid_token")
        digest = blake2b(token.encode("utf-8", "surrogateescape"), digest_size=_DIGEST_BYTES).digest()
        known = self._remembered.get(digest)
        if known is not None:
            if self._clock.now() < known[1]:
                return known[0]
            del self._remembered[digest]
        try:
            issuer, kid, algorithm = self._read(token)
            key = issuer.keys.find(kid, algorithm)
            if key is None:
                return self._with_fetched_key(token, digest, issuer, kid, algorithm)
            return self._verified(token, digest, issuer, key)
        except _Bad as reason:
            self._refuse(reason)

    async def _with_fetched_key(
        self, token: str, digest: bytes, issuer: Issuer, kid: str | None, algorithm: str
    ) -> Verified:
        keys = issuer.keys
        if keys.may_refetch:
            await keys.refetched()
        key = keys.find(kid, algorithm)
        if key is None and (keys.trouble or not keys.loaded):
            raise IdentityUnavailable(keys.retry_after_s)
        try:
            if key is None:
                raise _Bad("its key is unknown")
            return self._verified(token, digest, issuer, key)
        except _Bad as reason:
            self._refuse(reason)

    def _refuse(self, reason: _Bad) -> NoReturn:
        self._log.debug("token refused", reason=str(reason))
        raise Unauthenticated("The token is not valid here.", problem="invalid_token") from reason

    def _read(self, token: str) -> tuple[Issuer, str | None, str]:
        """Issuer, key id and algorithm, before anything is believed: made-up tokens fetch no keys."""
        parts = token.split(".")
        if len(parts) != 3:
            raise _Bad("it has not three parts")
        header, claims = (_object(part) for part in parts[:2])
        algorithm, kid = header.get("alg"), header.get("kid")
        if "crit" in header:
            raise _Bad("it has critical extensions (RFC 7515 §4.1.11), and none is known")
        if kid is not None and not isinstance(kid, str):
            raise _Bad("its kid is no text")
        issuer = self._issuer(claims)
        if not isinstance(algorithm, str) or algorithm not in issuer.algorithms:
            raise _Bad("its algorithm is none of the issuer's")
        self._check_claims(issuer, claims)
        return issuer, kid, algorithm

    def _issuer(self, claims: Mapping[str, Any]) -> Issuer:
        name = claims.get("iss")
        issuer = self._issuers.get(name) if isinstance(name, str) else None
        if issuer is None:
            raise _Bad("its issuer is none of identity.jwt.issuers")
        return issuer

    def _check_claims(self, issuer: Issuer, claims: Mapping[str, Any]) -> float:
        """When it ends, in seconds of the epoch, leeway included."""
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if not any(isinstance(each, str) and each in issuer.audiences for each in audiences):
            raise _Bad("it is for none of the issuer's audiences")
        now = self._clock.wall().timestamp()  # exp and nbf are of this kind of time
        ends, begins = _seconds(claims, "exp"), _seconds(claims, "nbf")
        if ends is None:
            raise _Bad("it has no end (exp)")
        if begins is not None and now < begins - self._leeway_s:
            raise _Bad("it is not valid yet")
        if now >= ends + self._leeway_s:
            raise Unauthenticated("The token has expired; get a new one.", problem="invalid_token")
        return ends + self._leeway_s

    def _verified(self, token: str, digest: bytes, issuer: Issuer, key: jwt.PyJWK) -> Verified:
        try:
            payload = self._signatures.decode_complete(token, key, algorithms=[key.algorithm_name])["payload"]
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise _Bad(f"its signature is not good ({type(error).__name__})") from None
        claims = _object_of(payload)
        if self._issuer(claims) is not issuer:
            raise _Bad("it has two issuers")
        ends = self._check_claims(issuer, claims)
        tenant = None if issuer.tenant_claim is None else _name(claims, issuer.tenant_claim)
        left_s, now = ends - self._clock.wall().timestamp(), self._clock.now()
        scopes = _scopes(claims, issuer.roles_claim)
        found = Verified(_name(claims, issuer.user_claim), tenant, scopes, now + left_s)
        remembered = self._remembered
        if len(remembered) >= self._max_remembered:
            del remembered[next(iter(remembered))]
        remembered[digest] = (found, now + min(_REMEMBERED_S, left_s))
        return found


def _object(part: str) -> dict[str, Any]:
    try:
        return _object_of(base64url_decode(part))
    except (ValueError, UnicodeError):
        raise _Bad("it is not base64url") from None


def _object_of(text: bytes) -> dict[str, Any]:
    try:
        said = _decode(text)
    except (msgspec.DecodeError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise _Bad("it is no JSON object")
    return said


def _seconds(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _MAX_NUMBER:
        raise _Bad(f"its {name} is no time")
    return float(value)


def _claim(claims: Mapping[str, Any], path: str) -> Any:
    """By its name; where there is no such claim, by a path with dots."""
    if path in claims:
        return claims[path]
    value: Any = claims
    for name in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def _name(claims: Mapping[str, Any], path: str) -> str | None:
    """A user or a tenant; None where the token names none."""
    value = _claim(claims, path)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _MAX_NUMBER:
        value = str(value)
    if value is None:
        return None
    if not isinstance(value, str) or not _FIT.fullmatch(value):
        raise _Bad(f"its {path} is no name that a header could carry")
    return value


def _scopes(claims: Mapping[str, Any], roles_claim: str | None) -> frozenset[str]:
    found = [*_words(claims.get("scope")), *_words(claims.get("scp"))]
    if roles_claim is not None:
        found += _words(_claim(claims, roles_claim))
    return frozenset(found)


def _words(value: Any) -> Iterator[str]:
    """A text's words (RFC 8693 §4.2), or the texts of a list."""
    if isinstance(value, str):
        yield from value.split()
    elif isinstance(value, list):
        yield from (each for each in value if isinstance(each, str) and each)
