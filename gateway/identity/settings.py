"""`identity:`, `ops:` and `rate_limit:` of gateway.yaml: what may be said there, and what is wrong with it."""

import importlib.util
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path as FilePath
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from clients.auth import BadSecret
from clients.auth.secret import not_a_signing_key, not_a_token, read_secret
from clients.policy import PositiveInt, PositiveSeconds, Seconds
from gateway.auth import HeaderName, SecretFile, SecretSource
from gateway.tls import TlsConfig, located_tls, tls_findings
from gateway.yaml_source import Finding, Path
from schema.context import OpsAccess

ADMIN_HEADER = "x-admin-token"

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Of RFC 7518 §3.1 and RFC 8037, those with a public key: neither `none` nor a shared secret is ever taken."""


class JwtIssuer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who signs tokens, for whom, and what their claims mean."""

    issuer: str
    """What tokens have as `iss`, letter by letter."""
    jwks: str
    """Its public keys (a JWK Set): an https URL, or a file, relative to this file."""
    audiences: tuple[str, ...]
    """A token's `aud` has to name one of these."""
    algorithms: tuple[Algorithm, ...] = ("RS256", "ES256")
    """Algorithms its tokens may be signed with; others are refused. Default RS256 and ES256."""
    user_claim: str = "sub"
    """Claim that names the user: a name, or a path with dots. Default sub."""
    tenant_claim: str | None = None
    """Claim that names the tenant: a name, or a path with dots such as org.id. Default: tokens name no tenant."""
    roles_claim: str | None = None
    """Claim whose values are scopes beside those of `scope` and `scp`, such as realm_access.roles. Default: none."""
    tls: TlsConfig | None = None
    """Certificates for fetching the keys: what is trusted besides the system's authorities. Default: nothing."""


class JwtConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Tokens (JWT) that clients send as `Authorization: Bearer …`, checked here."""

    issuers: tuple[JwtIssuer, ...]
    """Who may have signed them."""
    leeway_s: Seconds = 30.0
    """How far clocks may differ, for `exp` and `nbf`. Default 30."""
    max_token_bytes: PositiveInt = 8_192
    """Largest token that is looked at. Default 8 kB."""
    cached_tokens: PositiveInt = 10_000
    """Checked tokens that are remembered, so that they are checked once. Default 10,000."""
    refresh_s: PositiveSeconds = 300.0
    """How often keys are fetched again, in the background. Default 300."""
    refetch_s: PositiveSeconds = 30.0
    """A token with an unknown key has keys fetched at once, but not more often than this. Default 30."""
    timeout_s: PositiveSeconds = 5.0
    """For fetching keys. Default 5."""


class IdentityConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whose word is taken for who the caller is. By default nobody's: tenant and user stay unknown."""

    required: bool = False
    """Refuse operations of callers that nobody vouches for, with 401. Default false: they are anonymous."""
    jwt: JwtConfig | None = None
    """Tokens that clients send, checked here. By default they are not looked at."""
    trusted_proxies: list[str] = []
    """Networks (CIDR) whose requests may carry the headers below; from anywhere else they are ignored."""
    tenant_header: HeaderName = "x-tenant-id"
    """Header that names the tenant. Default x-tenant-id."""
    user_header: HeaderName = "x-user-id"
    """Header that names the user. Default x-user-id."""
    scopes_header: HeaderName | None = None
    """Header that lists the user's scopes, apart by spaces or commas. Default: none is read."""
    address_header: Literal["x-forwarded-for", "forwarded"] = "x-forwarded-for"
    """Header in which trusted proxies say where a request came from. Default x-forwarded-for."""
    ops_scope: str = "breakwater:ops"
    """The scope that makes an operator. Default breakwater:ops."""


class OpsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who may see the state of the gateway and of its upstreams, and act on it."""

    admin_token: SecretSource | None = None
    """Makes an operator of whoever sends it: `${NAME}`, or `{ file: … }`; 16 characters or more. Default: none."""
    public: bool | None = None
    """Everybody is an operator. Default: in development, unless jwt, scopes_header or admin_token can tell them."""

    status_page: bool = True
    """Serve `/status`, a page that shows operators how everything does; the page itself holds nothing. Default true."""

    def __repr__(self) -> str:
        return f"OpsConfig(public={self.public!r})"  # the token is a secret


class RateLimitConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How often a caller may ask: a token bucket for each. More is refused with 429 and Retry-After."""

    per_s: PositiveSeconds
    """Operations a second in the long run."""
    capacity: PositiveInt
    """Operations that may come at once after a quiet while."""
    by: Literal["principal", "address"] = "principal"
    """Whom to count: tenant and user where they are known for certain, else the address; or the address always."""
    max_callers: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] = 10_000
    """Callers kept count of; beyond them, those not seen for longest start anew. Default 10,000."""
    shared: bool = False
    """Count for all processes together, in Redis; where Redis does not answer, each for itself. Default false."""


def may_be_admin_token(path: Path) -> bool:
    """Whether what stands at the path of a gateway.yaml is kept out of messages."""
    return path[:2] == ("ops", "admin_token")


def not_an_admin_token(value: str) -> str | None:
    """Why a value cannot be the admin token; never quotes it."""
    if wrong := not_a_token(value) or not_a_signing_key(value):
        return wrong
    return "has the shape of a JWT; make one without two dots in it" if value.count(".") == 2 else None


def identity_findings(
    identity: IdentityConfig, *, development: bool, operators: bool, folder: FilePath
) -> list[Finding]:
    """What is wrong with `identity:`, its files looked at.

    Args:
        identity: of gateway.yaml.
        development: the mode.
        operators: whether there is an admin token.
        folder: what file names are relative to.
    """
    here: Path = ("identity",)
    found = []
    if identity.required and identity.jwt is None and not identity.trusted_proxies and not operators:
        message = "refuses everybody: nobody can vouch for a caller; add jwt: or trusted_proxies:"
        found.append(Finding((*here, "required"), message))
    if identity.scopes_header is not None and not identity.trusted_proxies:
        message = "is read from trusted proxies only, and there are none; add trusted_proxies:, or remove it"
        found.append(Finding((*here, "scopes_header"), message))
    if not identity.ops_scope or not identity.ops_scope.isprintable() or " " in identity.ops_scope:
        found.append(Finding((*here, "ops_scope"), "expected a word without spaces, such as breakwater:ops"))
    if identity.jwt is not None:
        found += _jwt_findings((*here, "jwt"), identity.jwt, folder, development=development)
    return found


def ops_findings(ops: OpsConfig, folder: FilePath) -> Iterator[Finding]:
    """What is wrong with `ops:`, its file looked at."""
    path: Path = ("ops", "admin_token")
    if ops.admin_token is not None and ops.public:
        yield Finding(path, "is of no use while everybody is an operator; remove it, or public: true")
    if isinstance(ops.admin_token, str):
        if wrong := not_an_admin_token(ops.admin_token):
            yield Finding(path, wrong)
    elif ops.admin_token is not None:
        try:
            read_secret(folder / ops.admin_token.file, not_an_admin_token)
        except BadSecret as error:
            yield Finding((*path, "file"), str(error))


def checked_headers(identity: IdentityConfig, *, operators: bool) -> dict[str, str]:
    """Headers that may not go on as clients send them, by lower-case name, and what to write in `forward:` instead."""
    checked = {identity.tenant_header.lower(): "x-tenant-id", identity.user_header.lower(): "x-user-id"}
    found = {name: f"write {ours}, which stands for it" for name, ours in checked.items() if name != ours}
    if identity.scopes_header is not None:
        found[identity.scopes_header.lower()] = "remove it"
    if operators:
        found[ADMIN_HEADER] = "remove it: it would show the admin token"
    return found


def everybody_operates(identity: IdentityConfig, ops: OpsConfig, *, development: bool) -> bool:
    """Whether everybody is an operator."""
    if ops.public is not None:
        return ops.public
    return development and not _ways(identity, ops)


def ops_access(identity: IdentityConfig, ops: OpsConfig) -> OpsAccess:
    """What makes an operator, and how to become one."""
    if ways := _ways(identity, ops):
        return OpsAccess(identity.ops_scope, f"send {' or '.join(ways)}")
    some = f"ops.admin_token is set, or identity.jwt knows tokens with the scope {identity.ops_scope}"
    return OpsAccess(identity.ops_scope, f"nobody is one until {some}")


def _ways(identity: IdentityConfig, ops: OpsConfig) -> list[str]:
    """How to be known as an operator."""
    found = []
    if ops.admin_token is not None:
        found.append(f"the admin token in {ADMIN_HEADER}")
    if identity.jwt is not None:
        found.append(f"a token with the scope {identity.ops_scope}")
    elif identity.scopes_header is not None:
        found.append(f"the scope {identity.ops_scope} by way of a trusted proxy")
    return found


def located_identity(identity: IdentityConfig, folder: FilePath) -> IdentityConfig:
    """With the names of its files made absolute."""
    if identity.jwt is None:
        return identity
    issuers = tuple(
        msgspec.structs.replace(
            issuer,
            jwks=issuer.jwks if is_url(issuer.jwks) else str(folder / issuer.jwks),
            tls=located_tls(issuer.tls, folder),
        )
        for issuer in identity.jwt.issuers
    )
    return msgspec.structs.replace(identity, jwt=msgspec.structs.replace(identity.jwt, issuers=issuers))


def located_ops(ops: OpsConfig, folder: FilePath) -> OpsConfig:
    """With the name of its file made absolute."""
    if not isinstance(ops.admin_token, SecretFile):
        return ops
    return msgspec.structs.replace(ops, admin_token=SecretFile(str(folder / ops.admin_token.file)))


def is_url(text: str) -> bool:
    """Whether keys are at an address, not in a file."""
    return text.startswith(("http://", "https://"))


def _jwt_findings(path: Path, jwt: JwtConfig, folder: FilePath, *, development: bool) -> Iterator[Finding]:
    if importlib.util.find_spec("jwt") is None or importlib.util.find_spec("cryptography") is None:
        yield Finding(path, "needs the package PyJWT; install it with: pip install 'breakwater[jwt]', or remove this")
        return
    if jwt.refetch_s > jwt.refresh_s:
        message = f"is longer than refresh_s ({jwt.refresh_s:g}), so no key would ever come sooner; lower it"
        yield Finding((*path, "refetch_s"), message)
    if not jwt.issuers:
        yield Finding((*path, "issuers"), "is empty; name at least one")
    seen: set[str] = set()
    for index, issuer in enumerate(jwt.issuers):
        here = (*path, "issuers", index)
        if not issuer.issuer:
            yield Finding((*here, "issuer"), "is empty; write what its tokens have as iss")
        elif issuer.issuer in seen:
            yield Finding((*here, "issuer"), "is there twice; keep one, with the audiences of both")
        seen.add(issuer.issuer)
        for key, given in (("audiences", issuer.audiences), ("algorithms", issuer.algorithms)):
            if not given or "" in given:
                yield Finding((*here, key), "needs at least one, and none of them empty")
        yield from _keys_findings(here, issuer, folder, development=development)
        if issuer.tls is not None:
            yield from tls_findings(here, issuer.tls, folder, [issuer.jwks])


def _keys_findings(path: Path, issuer: JwtIssuer, folder: FilePath, *, development: bool) -> Iterator[Finding]:
    here = (*path, "jwks")
    if not is_url(issuer.jwks):
        from gateway.identity.keys import BadKeys, parse_keys, read_file  # noqa: PLC0415 - the library is optional

        try:
            parse_keys(read_file(folder / issuer.jwks), issuer.algorithms)
        except OSError as error:
            yield Finding(here, f"{folder / issuer.jwks}: cannot be read: {error.strerror}")
        except BadKeys as error:
            yield Finding(here, f"{folder / issuer.jwks}: {error}")
        return
    try:
        url = urlsplit(issuer.jwks)
        usable = bool(url.hostname) and url.port != 0
    except ValueError:
        usable = False
    if not usable:
        yield Finding(here, "expected a file, or a URL such as https://login.example.org/.well-known/jwks.json")
    elif url.username or url.password or url.fragment:
        yield Finding(here, "expected neither user, password nor fragment")
    elif url.scheme == "http" and not development and not _is_loopback(url.hostname or ""):
        yield Finding(
            here, "is http: whoever is on the way could forge tokens; write https (or keep the keys in a file)"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
