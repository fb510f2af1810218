"""What callers are known by, opened as gateway.yaml says; nothing that is not configured is even imported."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import structlog

from clients.auth import BadSecret, FileSecret, Secret
from clients.clock import Clock
from clients.policy import RatePolicy
from gateway.auth import SecretFile, SecretSource
from gateway.config import Config, ConfigError
from gateway.identity.identifier import CredentialIdentifier, Identifier
from gateway.identity.operators import AdminToken
from gateway.identity.proxies import Proxies
from gateway.identity.rate import LimitedIdentifier, Limiter, SharedLimiter
from gateway.identity.settings import (
    JwtConfig,
    JwtIssuer,
    RateLimitConfig,
    everybody_operates,
    is_url,
    not_an_admin_token,
)
from gateway.tls import tls_files
from gateway.wires import wire_to
from gateway.yaml_source import Finding

if TYPE_CHECKING:
    from gateway.identity.keys import Read
    from gateway.identity.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Known:
    """How callers are known.

    Attributes:
        identifier: of operations; refuses callers who ask too often.
        unlimited: the same, for what is not counted.
        troubles: what it depends on, and what is wrong with that just now; an empty string for nothing.
    """

    identifier: Identifier
    unlimited: Identifier
    troubles: Mapping[str, Callable[[], str]]


@asynccontextmanager
async def open_identity(config: Config, clock: Clock, random: Random) -> AsyncIterator[Known]:
    """Open what `identity:`, `ops:` and `rate_limit:` name, and close it afterwards.

    Keys that cannot be fetched hold the start up for `identity.jwt.timeout_s` at most, and do not prevent it.

    Raises:
        ConfigError: a file cannot be used any more.
    """
    troubles: dict[str, Callable[[], str]] = {}
    async with AsyncExitStack() as stack:
        proxies = Proxies(config.trusted_networks(), config.identity.address_header)
        tokens, admin = None, None
        if config.identity.jwt is not None:
            tokens = await _open_tokens(config.identity.jwt, clock, random, stack, troubles)
        if config.ops.admin_token is not None:
            admin = _admin_token(config.ops.admin_token, clock)
            troubles["admin token"] = partial(getattr, admin, "trouble")
        everybody = everybody_operates(config.identity, config.ops, development=config.development)
        unlimited = CredentialIdentifier(
            config.identity,
            proxies,
            tokens=tokens,
            admin=admin,
            everybody=frozenset({config.identity.ops_scope} if everybody else ()),
        )
        identifier: Identifier = unlimited
        if config.rate_limit is not None:
            limiter = await stack.enter_async_context(_limiter(config, config.rate_limit, clock))
            identifier = LimitedIdentifier(unlimited, limiter, proxies, config.rate_limit.by)
        yield Known(identifier, unlimited, troubles)


async def _open_tokens(
    config: JwtConfig, clock: Clock, random: Random, stack: AsyncExitStack, troubles: dict[str, Callable[[], str]]
) -> "Tokens":
    from gateway.identity.keys import KeySet  # noqa: PLC0415 - the library is optional
    from gateway.identity.tokens import Issuer, Tokens  # noqa: PLC0415

    issuers: list[Issuer] = []
    tokens: Tokens | None = None

    def changed() -> None:
        if tokens is not None:
            tokens.forget()

    log = structlog.get_logger("gateway")
    for issuer in config.issuers:
        keys = KeySet(
            issuer.issuer,
            _reader(issuer, config, stack),
            issuer.algorithms,
            clock=clock,
            random=random,
            tell=lambda trouble: log.warning("token keys", trouble=trouble),
            on_change=changed,
            refresh_s=config.refresh_s,
            refetch_s=config.refetch_s,
            timeout_s=config.timeout_s,
        )
        issuers.append(
            Issuer(
                name=issuer.issuer,
                keys=keys,
                audiences=frozenset(issuer.audiences),
                algorithms=frozenset(issuer.algorithms),
                user_claim=issuer.user_claim,
                tenant_claim=issuer.tenant_claim,
                roles_claim=issuer.roles_claim,
            )
        )
        troubles[f"issuer:{issuer.issuer}"] = partial(getattr, keys, "trouble")
        await stack.enter_async_context(keys)
    for each in issuers:
        await each.keys.fetched()  # all of them are under way
    tokens = Tokens(
        issuers,
        clock,
        leeway_s=config.leeway_s,
        max_bytes=config.max_token_bytes,
        max_remembered=config.cached_tokens,
    )
    return tokens


def _reader(issuer: JwtIssuer, config: JwtConfig, stack: AsyncExitStack) -> "Read":
    from gateway.identity.keys import from_file, over_http  # noqa: PLC0415 - the library is optional

    if not is_url(issuer.jwks):
        return from_file(Path(issuer.jwks))
    try:
        wire = wire_to(tls_files(issuer.tls), timeout_s=config.timeout_s)
    except (OSError, ValueError) as error:
        raise ConfigError("gateway.yaml", [Finding(("identity", "jwt", "issuers"), str(error))]) from error
    stack.push_async_callback(wire.aclose)
    return over_http(wire, issuer.jwks)


def _admin_token(source: SecretSource, clock: Clock) -> AdminToken:
    if not isinstance(source, SecretFile):
        return AdminToken(Secret(source), clock)
    log = structlog.get_logger("gateway")
    try:
        secret = FileSecret(
            Path(source.file), not_an_admin_token, clock, lambda trouble: log.warning("admin token", trouble=trouble)
        )
    except BadSecret as error:
        raise ConfigError("gateway.yaml", [Finding(("ops", "admin_token"), str(error))]) from error
    return AdminToken(secret, clock)


def _limiter(config: Config, limit: RateLimitConfig, clock: Clock) -> Limiter:
    policy = RatePolicy(capacity=limit.capacity, per_s=limit.per_s)
    if not limit.shared or config.redis is None:
        return Limiter(policy, clock, limit.max_callers)
    from clients.stores.redis_tokens import RedisTokens  # noqa: PLC0415 - optional

    redis = RedisTokens(config.redis.url, timeout_s=config.redis.timeout_s)
    return SharedLimiter(policy, clock, limit.max_callers, redis)
