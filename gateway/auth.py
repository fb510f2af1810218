"""`auth:` of a service: what may be said of it, what is wrong with that, and the authorizer that comes of it."""

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path as FilePath
from random import Random
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec

from clients.auth import (
    ApiKeyHeader,
    ApiKeyQuery,
    Authorizer,
    BadSecret,
    Basic,
    Bearer,
    FileSecret,
    OAuth2,
    OAuth2Client,
    Secret,
    Signer,
)
from clients.auth.secret import Reason, Tell, not_a_signing_key, not_a_token, not_for_header, not_text, read_secret
from clients.clock import Clock
from clients.policy import PositiveSeconds
from clients.transports.base import Wire
from gateway.yaml_source import Finding, Path

HeaderName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")]
KeyId = Annotated[str, msgspec.Meta(pattern=r"^[ !#-\[\]-~]{1,256}$")]


class SecretFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A secret in a file, as orchestrators mount them."""

    file: str
    """Its name, relative to this file; UTF-8 text. Read again when it changes; a line break at its end is left out."""


SecretSource = str | SecretFile


class _Auth(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="type"):
    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"  # the other fields are secrets, or say where they are used


class ApiKeyAuth(_Auth, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="api-key"):
    """A key in a header, or in the query."""

    key: SecretSource
    """The key: `${NAME}`, or `{ file: … }`."""
    header: HeaderName | None = None
    """Header that carries it. Default x-api-key, unless `query` is given."""
    query: str | None = None
    """Parameter of the query that carries it instead; addresses are logged by many servers, so prefer a header."""


class BearerAuth(_Auth, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="bearer"):
    """A token that is known beforehand: `Authorization: Bearer …` (RFC 6750)."""

    token: SecretSource
    """The token alone: `${NAME}`, or `{ file: … }`."""


class BasicAuth(_Auth, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="basic"):
    """User and password: `Authorization: Basic …` (RFC 7617)."""

    user: str
    """Without a colon."""
    password: SecretSource
    """The password: `${NAME}`, or `{ file: … }`."""


class OAuth2Auth(_Auth, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="oauth2"):
    """A token asked for when it is needed: OAuth 2.0 client credentials, or a refresh token (RFC 6749)."""

    token_url: str
    """The token endpoint. It is reached with the service's `tls:`."""
    client_id: str
    """Who the gateway is to the token endpoint."""
    client_secret: SecretSource | None = None
    """Its secret: `${NAME}`, or `{ file: … }`; may be left out with a refresh token only."""
    scope: str | None = None
    """Scopes, separated by spaces. Default: what the server gives by itself."""
    audience: str | None = None
    """Whom the token is for, where the server asks for it. Default: not sent."""
    refresh_token: SecretSource | None = None
    """Given, tokens are asked for by it (grant refresh_token), not by the client's own credentials."""
    client_auth: Literal["basic", "body"] = "basic"
    """How id and secret are sent: in an Authorization header, or as parameters. Default basic."""
    timeout_s: PositiveSeconds | None = None
    """Of one request for a token; less than the service's `timeout_s`. Default: half of that."""


class HmacAuth(_Auth, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="hmac"):
    """A signature over method, address and body (RFC 9421, hmac-sha256), with time and nonce."""

    key_id: KeyId
    """Tells the service which key it is."""
    secret: SecretSource
    """The key, 16 bytes of text or more: `${NAME}`, or `{ file: … }`."""
    headers: tuple[HeaderName, ...] = ()
    """Headers that are signed, too, where a request has them. Default: none."""


class CustomAuth(_Auth, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="custom"):
    """A class of your own, a `clients.auth.Authorizer`."""

    class_: str = msgspec.field(name="class")
    """Where it is, such as acme.auth.Signer. It is called with `options` and `secrets` as named arguments."""
    options: dict[str, Any] = {}
    """Values for it, as they stand here. Default: none."""
    secrets: dict[str, SecretSource] = {}
    """Secrets for it, each as a `clients.auth.Secret`. Default: none."""


AuthConfig = ApiKeyAuth | BearerAuth | BasicAuth | OAuth2Auth | HmacAuth | CustomAuth

_REASONS: dict[str, Reason] = {"token": not_a_token, "secret": not_a_signing_key}
"""By key, why a secret cannot be used; `not_text` for the others. A key in a header has a reason of its own."""

_CLASH = "is what auth: sets; remove one of the two"


def may_be_secret(path: Path) -> bool:
    """Whether what stands at the path of a gateway.yaml is kept out of messages: all of `auth:` but a few words."""
    return path[:1] == ("services",) and path[2:3] == ("auth",) and path[3:] not in {("type",), ("client_auth",)}


def sets_headers(auth: AuthConfig) -> frozenset[str]:
    """Lower-case names of the headers it puts on requests, as far as that is known beforehand."""
    match auth:
        case ApiKeyAuth(query=None):
            return frozenset({_key_header(auth)})
        case BearerAuth() | BasicAuth() | OAuth2Auth():
            return frozenset({"authorization"})
        case HmacAuth():
            return frozenset({"content-digest", "signature", "signature-input"})
        case _:
            return frozenset()


def auth_findings(
    path: Path,
    auth: AuthConfig,
    folder: FilePath,
    *,
    timeout_s: float,
    forward: tuple[str, ...],
    headers: Mapping[str, str],
    never: frozenset[str],
) -> list[Finding]:
    """What is wrong with the `auth:` of the service at `path`, its files looked at.

    Args:
        path: of the service.
        auth: its `auth:`.
        folder: what file names are relative to.
        timeout_s: of one attempt.
        forward: its `forward:`.
        headers: its `headers:`.
        never: lower-case names of headers that are the connection's.
    """
    here = (*path, "auth")
    its_own = sets_headers(auth)
    found = [Finding((*path, "forward", i), f"{n} {_CLASH}") for i, n in enumerate(forward) if n.lower() in its_own]
    found += [Finding((*path, "headers", n), f"{n} {_CLASH}") for n in headers if n.lower() in its_own]
    for key, source in _secrets(auth):
        found += _unusable(here + key, source, _reason(auth, key), folder)
    match auth:
        case ApiKeyAuth(header=str(), query=str()):
            found.append(Finding((*here, "query"), "there is header: too; a key goes into one of the two"))
        case ApiKeyAuth(query=""):
            found.append(Finding((*here, "query"), "is empty; name the parameter"))
        case ApiKeyAuth(header=str(name)) if name.lower() in never:
            found.append(Finding((*here, "header"), f"{name} belongs to the connection; choose another"))
        case BasicAuth() if ":" in auth.user or not_text(auth.user):
            found.append(Finding((*here, "user"), "cannot be empty or have a colon or a control character"))
        case OAuth2Auth():
            found += _wrong_oauth2(here, auth, timeout_s)
        case CustomAuth():
            found += _wrong_class(here, auth)
    return found


def located_auth(auth: AuthConfig, folder: FilePath) -> AuthConfig:
    """With the names of its files made absolute."""

    def at(source: Any) -> Any:
        return SecretFile(str(folder / source.file)) if isinstance(source, SecretFile) else source

    changed = {f: at(getattr(auth, f)) for f in auth.__struct_fields__}
    if isinstance(auth, CustomAuth):
        changed["secrets"] = {name: at(source) for name, source in auth.secrets.items()}
    return msgspec.structs.replace(auth, **changed)


def open_authorizer(
    auth: AuthConfig,
    *,
    timeout_s: float,
    token_wire: Callable[[], Wire],
    clock: Clock,
    random: Random,
    tell: Tell,
) -> Authorizer:
    """The authorizer of a service.

    Args:
        auth: its `auth:`, with absolute file names.
        timeout_s: of one attempt.
        token_wire: makes a wire for token requests, which the authorizer owns.
        clock: all time comes from it.
        random: all jitter comes from it.
        tell: gets what operators should know.

    Raises:
        BadSecret: a file cannot be read, or what is in it cannot be used.
        Exception: whatever a class of one's own raises.
    """

    def secret(*key: str) -> Secret:
        source = dict(_secrets(auth))[key]
        reason = _reason(auth, key)
        if isinstance(source, SecretFile):
            return FileSecret(FilePath(source.file), reason, clock, tell)
        return Secret(source)

    made: Authorizer
    match auth:
        case ApiKeyAuth(query=str(name)):
            made = ApiKeyQuery(name, secret("key"))
        case ApiKeyAuth():
            made = ApiKeyHeader(_key_header(auth), secret("key"))
        case BearerAuth():
            made = Bearer(secret("token"))
        case BasicAuth():
            made = Basic(auth.user, secret("password"))
        case HmacAuth():
            covered = tuple(name.lower() for name in auth.headers)
            made = Signer(auth.key_id, secret("secret"), covered, clock)
        case OAuth2Auth():
            client = OAuth2Client(
                token_url=auth.token_url,
                client_id=auth.client_id,
                client_secret=None if auth.client_secret is None else secret("client_secret"),
                scope=auth.scope,
                audience=auth.audience,
                refresh_token=None if auth.refresh_token is None else secret("refresh_token"),
                in_body=auth.client_auth == "body",
                timeout_s=auth.timeout_s or timeout_s / 2,
            )
            made = OAuth2(client, token_wire(), clock, random, tell)
        case CustomAuth():
            secrets = {name: secret("secrets", name) for name in auth.secrets}
            made = _class(auth.class_)(**auth.options, **secrets)
    return made


def _key_header(auth: ApiKeyAuth) -> str:
    return (auth.header or "x-api-key").lower()


def _secrets(auth: AuthConfig) -> Iterator[tuple[Path, SecretSource]]:
    """Every secret that is given, with its path below `auth`."""
    match auth:
        case ApiKeyAuth():
            yield ("key",), auth.key
        case BearerAuth():
            yield ("token",), auth.token
        case BasicAuth():
            yield ("password",), auth.password
        case HmacAuth():
            yield ("secret",), auth.secret
        case OAuth2Auth():
            if auth.client_secret is not None:
                yield ("client_secret",), auth.client_secret
            if auth.refresh_token is not None:
                yield ("refresh_token",), auth.refresh_token
        case CustomAuth():
            for name, source in auth.secrets.items():
                yield ("secrets", name), source


def _reason(auth: AuthConfig, key: Path) -> Reason:
    if isinstance(auth, ApiKeyAuth) and auth.query is None:
        return not_for_header
    return _REASONS.get(str(key[0]), not_text)


def _unusable(path: Path, source: SecretSource, reason: Reason, folder: FilePath) -> list[Finding]:
    if isinstance(source, str):
        wrong = reason(source)
        return [] if wrong is None else [Finding(path, wrong)]
    try:
        read_secret(folder / source.file, reason)
    except BadSecret as error:
        return [Finding((*path, "file"), str(error))]
    return []


def _wrong_oauth2(path: Path, auth: OAuth2Auth, timeout_s: float) -> list[Finding]:
    found = []
    if auth.client_secret is None and auth.refresh_token is None:
        found.append(Finding(path, "client_secret is missing; add it (or a refresh_token)"))
    try:
        url = urlsplit(auth.token_url)
        usable = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:
        usable = False
    if not usable:
        found.append(Finding((*path, "token_url"), "expected a URL such as https://login.example.org/oauth2/token"))
    elif url.username or url.password or url.fragment:
        found.append(Finding((*path, "token_url"), "expected neither user, password nor fragment"))
    if auth.timeout_s is not None and auth.timeout_s >= timeout_s:
        message = f"has to be less than the service's timeout_s ({timeout_s:g}): calls wait for the token within it"
        found.append(Finding((*path, "timeout_s"), message))
    return found


def _wrong_class(path: Path, auth: CustomAuth) -> list[Finding]:
    twice = sorted(set(auth.options) & set(auth.secrets))
    if twice:
        return [Finding((*path, "secrets", name), "is in options, too; remove one of the two") for name in twice]
    try:
        found = _class(auth.class_)
    except (ImportError, AttributeError, ValueError) as error:
        return [Finding((*path, "class"), f"{auth.class_} cannot be imported: {error}")]
    except Exception as error:  # noqa: BLE001 a module may raise anything
        return [Finding((*path, "class"), f"{auth.class_} cannot be imported: {type(error).__name__}")]
    if not inspect.isclass(found) or not issubclass(found, Authorizer) or inspect.isabstract(found):
        message = (
            f"{auth.class_} is no Authorizer; derive it from clients.auth.Authorizer and write `async def authorize`"
        )
        return [Finding((*path, "class"), message)]
    try:
        inspect.signature(found).bind(**auth.options, **auth.secrets)
    except TypeError as error:
        return [Finding(path, f"options and secrets do not fit {auth.class_}: {error}")]
    return []


def _class(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)
