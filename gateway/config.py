"""gateway.yaml and the environment become one frozen, validated Config; everything wrong is said at once."""

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec

from clients.operation import OperationError, RestRoute
from clients.policy import (
    PROFILES,
    RETRY_PRESETS,
    ConcurrencyPolicy,
    EndpointsPolicy,
    FallbackPolicy,
    PositiveInt,
    PositiveSeconds,
    ServicePolicy,
)
from clients.service import DEFAULT_FORWARD, Service
from gateway.auth import AuthConfig, HeaderName, auth_findings, located_auth, may_be_secret
from gateway.tls import TlsConfig, located_tls, tls_files, tls_findings
from gateway.validation import check
from gateway.yaml_source import Finding, Path, read

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
# A limit that is meant to be off is written null; a number this large is a slip.
Limit = Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]
LimitOrZero = Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)]

_HEADER_VALUE = re.compile(r"[\t -~]*")
# RFC 9110 §7.6.1, and what belongs to one connection or one message only
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "content-length",
        "content-type",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


class ServerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The socket and what a request may cost."""

    host: str = "127.0.0.1"
    """Address to listen on. Default 127.0.0.1; containers want 0.0.0.0."""
    port: Port = 4000
    """Port to listen on. Default 4000; 0 takes a free one."""
    request_timeout_s: PositiveSeconds = 30.0
    """A request's deadline: what has no answer by then is null with an error. Default 30."""
    max_body_bytes: PositiveInt = 1_000_000
    """Largest request body; more is refused with 413. Default 1 MB."""
    max_in_flight: Limit | None = 1_000
    """Requests answered at once; more are refused with 503 and Retry-After. Default 1,000; null turns the limit off."""
    max_loop_lag_s: PositiveSeconds | None = 0.1
    """An event loop whose turns keep taking longer lets fewer requests in. Default 100 ms; null does not look at it."""
    graphiql: bool | None = None
    """Serve GraphiQL at /graphql. Default: in development only."""
    introspection: bool | None = None
    """Answer introspection. Default: in development only."""


class LimitsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a document may ask for; more is refused before validation, with 400. Fragments count at each spread."""

    max_depth: Limit | None = 15
    """Fields inside one another; introspection is left out where it is on. Default 15; null turns the limit off."""
    max_aliases: LimitOrZero | None = 30
    """Aliased fields. Default 30; null turns the limit off."""
    max_directives: LimitOrZero | None = 50
    """Directives, @skip and @include among them. Default 50; null turns the limit off."""
    max_root_fields: Limit | None = 20
    """Fields of Query, Mutation or Subscription. Default 20; null turns the limit off."""
    max_selections: Limit | None = 10_000
    """Fields, fragment spreads and inline fragments. Default 10,000; null turns the limit off."""
    max_tokens: Limit | None = 5_000
    """Tokens of the text, comments included. Default 5,000; null turns the limit off."""


class IdentityConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose word is taken for who the caller is. By default nobody's: tenant and user stay unknown."""

    trusted_proxies: list[str] = []
    """Networks (CIDR) whose requests may carry the two headers; from anywhere else they are ignored."""
    tenant_header: HeaderName = "x-tenant-id"
    """Header that names the tenant. Default x-tenant-id."""
    user_header: HeaderName = "x-user-id"
    """Header that names the user. Default x-user-id."""


class CacheConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The memory that answers are kept in, for all services together."""

    max_entries: PositiveInt = 100_000
    """Entries kept; the least recently used goes first. Default 100,000."""
    max_bytes: PositiveInt = 64_000_000
    """Bytes of answers kept. Default 64 MB."""


class RedisConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A second level that instances share and that outlives them. Without it answers are kept in memory only."""

    url: str
    """redis://, rediss:// or unix:// URL."""
    timeout_s: PositiveSeconds = 0.05
    """For connecting and for each reply; slower counts as a miss. Default 50 ms."""

    def __repr__(self) -> str:
        return f"RedisConfig(timeout_s={self.timeout_s!r})"  # the URL may hold a password


class LogConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Structured logs on standard error."""

    format: Literal["json", "console"] | None = None
    """Default: console in development, json in production."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level that is written. Default info."""


class SubgraphConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Makes a service a federation subgraph."""

    sdl: str | None = None
    """File with its SDL, relative to this file. Default: the service is asked for it (`_service { sdl }`)."""


class FederationConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The supergraph: from a file or address, or composed of the services that are subgraphs."""

    supergraph: str | None = None
    """File (relative to this file) or http(s) URL of a supergraph SDL. Default: the subgraphs below are composed."""
    poll_interval_s: PositiveSeconds | None = 10.0
    """How often the source is looked at for a newer one; null looks once. Default 10."""
    last_good: str | None = None
    """File that keeps the last good supergraph, to start from when the source is down. Off by default."""
    local: str | None = "local"
    """Name of this process's own schema as a subgraph; null leaves it out. Default local."""
    as_subgraph: bool = False
    """Serve this process's own schema as a subgraph to another gateway (`_service`, `_entities`). Default false."""


class ServiceConfig(ServicePolicy, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One upstream. Whatever a profile says can be overridden here, key by key."""

    profile: str = "internal-standard"
    """A profile's name: internal-fast, internal-standard, external-standard, external-critical, or one of yours."""
    graphql: str | None = None
    """URL of its GraphQL endpoint; asked first."""
    rest: str | None = None
    """Base URL of its REST routes; asked when GraphQL does not answer."""
    forward: tuple[HeaderName, ...] = DEFAULT_FORWARD
    """Request headers it is sent; nothing else of the client's leaves. Default: x-request-id, x-correlation-id."""
    headers: dict[HeaderName, str] = msgspec.field(default_factory=dict)
    """Headers sent with every call, such as an API key (write ${NAME}, not the key)."""
    auth: AuthConfig | None = None
    """How the gateway authorizes itself to it. By default it does not."""
    tls: TlsConfig | None = None
    """Certificates: what is trusted besides the system's authorities, and what is shown. Default: nothing."""
    fallback: FallbackPolicy = FallbackPolicy()
    """What answers when neither GraphQL nor REST does. Default: nothing but the last good answer."""
    subgraph: SubgraphConfig | None = None
    """Given (`{}` is enough), the service is composed into the supergraph."""
    routes: dict[str, str] = msgspec.field(default_factory=dict)
    """REST routes (`METHOD /path{?query}`) by operation name; a subgraph's by `Query.field` or entity type too."""

    endpoints: EndpointsPolicy | None = None
    """The endpoints of a service that has several; by default it answers at its URLs."""

    def __repr__(self) -> str:
        return f"ServiceConfig(profile={self.profile!r}, graphql={self.graphql!r}, rest={self.rest!r})"


class ProfileConfig(ServicePolicy, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A profile of your own: another one, with differences."""

    extends: str = "internal-standard"
    """The profile it starts from. Default internal-standard."""


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of gateway.yaml."""

    mode: Literal["development", "production"] = "production"
    """development turns on GraphiQL, introspection and readable logs. Default production."""
    server: ServerConfig = ServerConfig()
    limits: LimitsConfig = LimitsConfig()
    identity: IdentityConfig = IdentityConfig()
    cache: CacheConfig = CacheConfig()
    redis: RedisConfig | None = None
    federation: FederationConfig | None = None
    log: LogConfig = LogConfig()
    imports: list[str] = []
    """Python modules that declare Query (and Mutation) fields: yours, or those of `schema`."""
    profiles: dict[str, ProfileConfig] = {}
    """Profiles of your own, by name."""
    services: dict[str, ServiceConfig] = {}
    """The upstreams, by name."""

    @property
    def development(self) -> bool:
        """Whether this is a developer's machine."""
        return self.mode == "development"

    @property
    def served_federation(self) -> FederationConfig | None:
        """`federation`, when a supergraph is served; None when it is this process's own schema alone."""
        return None if self.federation is None or self.federation.as_subgraph else self.federation

    def trusted_networks(self) -> list[IPv4Network | IPv6Network]:
        """The networks of `identity.trusted_proxies`."""
        return [ip_network(text) for text in self.identity.trusted_proxies]

    def stand_ins(self, name: str) -> list[str]:
        """The services that are asked in place of `name`, in their order; each once, should they go round."""
        found: list[str] = []
        service = self.services.get(name)
        while service is not None and (other := service.fallback.service) is not None:
            if other in found:
                break
            found.append(other)
            service = self.services.get(other)
        return found

    def clients_services(self) -> list[Service]:
        """The services as the clients take them, in the order of the file."""
        return [_service(name, entry) for name, entry in self.services.items()]


class ConfigError(Exception):
    """The configuration cannot be used. `findings` has everything that is wrong, each with its path and line."""

    def __init__(self, source: str, findings: list[Finding]) -> None:
        self.findings = findings
        count = f"{len(findings)} error{'s' if len(findings) > 1 else ''}"
        super().__init__(f"{source}: {count}\n" + "\n".join(f"  {finding}" for finding in findings))


def load(path: FilePath, environment: Mapping[str, str] = os.environ) -> Config:
    """Read, expand and validate a file.

    Raises:
        ConfigError: with everything that is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(str(path), [Finding((), f"cannot be read: {error.strerror}")]) from error
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), [Finding((), "is not UTF-8 text")]) from error
    folder = path.resolve().parent
    return _located(parse(text, environment, source=str(path), folder=folder), folder)


def parse(
    text: str, environment: Mapping[str, str], *, source: str = "gateway.yaml", folder: FilePath | None = None
) -> Config:
    """Expand and validate the text of a gateway.yaml; the secrets and certificates that it names are looked at.

    `folder` is what file names are relative to; default: the working directory.

    Raises:
        ConfigError: with everything that is wrong.
    """
    document = read(text, environment)
    findings = document.findings
    data = document.data
    if not isinstance(data, dict):
        findings = findings or [Finding((), f"expected a mapping, found {type(data).__name__}")]
        data = {}
    unset = {finding.path for finding in findings}
    data = _with_profiles(data, findings)

    def secret(path: Path) -> bool:
        return path in document.expanded or "headers" in path or path[:1] == ("redis",) or may_be_secret(path)

    findings += [finding for finding in check(data, Config, secret=secret) if finding.path not in unset]
    if not findings:
        findings += _meaning(msgspec.convert(data, Config), folder or FilePath())
    if findings:
        placed = [Finding(f.path, f.message, f.line or document.line(f.path)) for f in findings]
        raise ConfigError(source, sorted(placed, key=lambda f: f.line or 0))
    return msgspec.convert(data, Config)


def is_url(text: str) -> bool:
    """Whether a supergraph is at an address, not in a file."""
    return text.startswith(("http://", "https://"))


def _located(config: Config, folder: FilePath) -> Config:
    """The configuration with its file names made absolute; they are relative to the file they stand in."""
    federation = config.federation
    if federation is not None:
        graph, kept = federation.supergraph, federation.last_good
        federation = msgspec.structs.replace(
            federation,
            supergraph=graph if graph is None or is_url(graph) else str(folder / graph),
            last_good=None if kept is None else str(folder / kept),
        )
    services = {
        name: service
        if service.subgraph is None or service.subgraph.sdl is None
        else msgspec.structs.replace(service, subgraph=SubgraphConfig(str(folder / service.subgraph.sdl)))
        for name, service in config.services.items()
    }
    for name, service in services.items():
        if service.auth is not None or service.tls is not None:
            auth = None if service.auth is None else located_auth(service.auth, folder)
            services[name] = msgspec.structs.replace(service, auth=auth, tls=located_tls(service.tls, folder))
    return msgspec.structs.replace(config, federation=federation, services=services)


def _with_profiles(data: dict[str, Any], findings: list[Finding]) -> dict[str, Any]:
    """The data with each service's profile filled in under its own keys."""
    profiles: dict[str, dict[str, Any]] = {name: msgspec.to_builtins(p) for name, p in PROFILES.items()}
    own = data.get("profiles")
    merged_profiles = {}
    for name, entry in own.items() if isinstance(own, dict) else ():
        if not isinstance(entry, dict):
            merged_profiles[name] = entry
            continue
        base = entry.get("extends", "internal-standard")
        if not isinstance(base, str):
            base = "internal-standard"  # of the wrong type, which is said elsewhere
        if base not in profiles:
            findings.append(_unknown_profile(("profiles", str(name), "extends"), base, profiles))
            continue
        merged_profiles[name] = _merge(profiles[base], _with_preset(entry))
        profiles[str(name)] = {k: v for k, v in merged_profiles[name].items() if k != "extends"}
    services = data.get("services")
    merged = {}
    for name, entry in services.items() if isinstance(services, dict) else ():
        merged[name] = entry
        if not isinstance(entry, dict):
            continue
        profile = entry.get("profile", "internal-standard")
        if not isinstance(profile, str):
            profile = "internal-standard"
        if profile not in profiles:
            findings.append(_unknown_profile(("services", str(name), "profile"), profile, profiles))
            profile = "internal-standard"
        merged[name] = _merge(profiles[profile], _with_preset(entry))
    result = dict(data)
    if isinstance(own, dict):
        result["profiles"] = merged_profiles
    if isinstance(services, dict):
        result["services"] = merged
    return result


def _with_preset(entry: dict[str, Any]) -> dict[str, Any]:
    """The entry with what its retry preset stands for; the keys beside the preset win."""
    retry = entry.get("retry")
    if not isinstance(retry, dict) or not isinstance(preset := retry.get("preset"), str):
        return entry
    return {**entry, "retry": {**RETRY_PRESETS.get(preset, {}), **retry}}  # an unknown one is refused by its type


def _unknown_profile(path: Path, found: object, known: Mapping[str, object]) -> Finding:
    return Finding(path, f"unknown profile {found!r}; known: {', '.join(known)}")


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _meaning(config: Config, folder: FilePath) -> list[Finding]:
    """What types cannot say."""
    findings = []
    for index, text in enumerate(config.identity.trusted_proxies):
        try:
            ip_network(text)
        except ValueError as error:
            findings.append(Finding(("identity", "trusted_proxies", index), f"not a network: {error}"))
    if config.redis is not None and _wrong_redis_url(config.redis.url):
        findings.append(Finding(("redis", "url"), "expected a URL such as redis://host:6379/0"))
    for name, service in config.services.items():
        findings += _service_meaning(("services", name), service, config.federation)
        findings += _connection_meaning(("services", name), service, folder)
        findings += _alternative_meaning(config, name, service.fallback.service)
        findings += _limits_meaning(("services", name), service, config)
        findings += _timeout_meaning(("services", name), service, config.server.request_timeout_s)
    return findings + _federation_meaning(config)


def _federation_meaning(config: Config) -> list[Finding]:
    federation = config.federation
    subgraphs = [name for name, service in config.services.items() if service.subgraph is not None]
    if federation is None:
        message = "needs the section federation: (`federation: {}` composes the subgraphs)"
        return [Finding(("services", name, "subgraph"), message) for name in subgraphs]
    if federation.supergraph is not None and subgraphs:
        message = "is composed by whoever made federation.supergraph; remove one of the two"
        return [Finding(("services", name, "subgraph"), message) for name in subgraphs]
    if federation.supergraph is None and not subgraphs and not federation.as_subgraph:
        return [Finding(("federation",), "gives no supergraph; add supergraph:, or subgraph: {} to a service")]
    if federation.as_subgraph and (federation.supergraph is not None or subgraphs):
        message = "cannot go with a supergraph of its own; remove one of the two"
        return [Finding(("federation", "as_subgraph"), message)]
    if federation.local is not None and federation.local in config.services:
        message = f"{federation.local} is the name of a service too; choose another"
        return [Finding(("federation", "local"), message)]
    return []


def _service_meaning(path: Path, service: ServiceConfig, federation: FederationConfig | None) -> list[Finding]:
    findings = []
    elsewhere = federation is not None and federation.supergraph is not None  # the supergraph may give the address
    if service.subgraph is not None and service.graphql is None:
        findings.append(Finding((*path, "subgraph"), "has no address; give graphql:"))
    elif service.graphql is None and service.rest is None and not elsewhere:
        findings.append(Finding(path, "has no address; give graphql: or rest: (or both)"))
    for key, url in (("graphql", service.graphql), ("rest", service.rest)):
        if url is not None and (wrong := _wrong_url(url, query=key == "graphql")):
            findings.append(Finding((*path, key), wrong))
    findings += [
        Finding((*path, "forward", index), f"{name} belongs to one connection and is never forwarded; remove it")
        for index, name in enumerate(service.forward)
        if name.lower() in _HOP_BY_HOP
    ]
    findings += [
        Finding((*path, "headers", name), "a header cannot carry its line break or other special character; remove it")
        for name, value in service.headers.items()
        if not _HEADER_VALUE.fullmatch(value)
    ]
    for name, route in service.routes.items():
        try:
            RestRoute.parse(route)
        except OperationError as error:
            findings.append(Finding((*path, "routes", name), str(error)))
    findings += _retry_meaning(path, service)
    if service.routes and service.rest is None:
        findings.append(Finding((*path, "routes"), "the service has no REST address; add rest:"))
    findings += _endpoints_meaning((*path, "endpoints"), service)
    findings += _health_meaning((*path, "health"), service)
    findings += _cache_meaning((*path, "cache"), service)
    return findings + [Finding((*path, "breaker", key), wrong) for key, wrong in _breaker_meaning(service)]


def _breaker_meaning(service: ServicePolicy) -> Iterator[tuple[str, str]]:
    """Keys of `breaker` that contradict others, and why."""
    policy, slow_s = service.breaker, service.breaker.slow_call_s
    if policy.window is not None and policy.window_s is not None:
        yield "window_s", "cannot go with window; remove one of the two (`window: null` undoes a profile's)"
    elif policy.window_s is None and policy.minimum_calls > policy.window_calls:
        found = f"{policy.minimum_calls} is more than window has room for ({policy.window_calls})"
        yield "minimum_calls", f"{found}, so the rates would never decide; lower it, or raise window"
    if policy.failure_rate is not None and policy.minimum_calls == 1 and policy.failures > 1:
        yield "minimum_calls", "with 1 the first failure is a rate of 1 and opens the circuit; raise it"
    if slow_s is not None and slow_s >= service.timeout_s:
        found = f"{slow_s:g} is not less than timeout_s ({service.timeout_s:g})"
        yield "slow_call_s", f"{found}, so no answer would ever be slow; lower it"
    if policy.max_open_s < policy.open_s:
        yield "max_open_s", f"{policy.max_open_s:g} is less than open_s ({policy.open_s:g}); raise it, or lower open_s"
    if policy.probes > policy.successes:
        found = f"{policy.probes} at once are more than the {policy.successes} that close the circuit (successes)"
        yield "probes", f"{found}, so the others would be risked for nothing; lower it, or raise successes"


def _connection_meaning(path: Path, service: ServiceConfig, folder: FilePath) -> list[Finding]:
    findings = []
    if service.auth is not None:
        findings += auth_findings(
            path,
            service.auth,
            folder,
            timeout_s=service.timeout_s,
            forward=service.forward,
            headers=service.headers,
            never=_HOP_BY_HOP,
        )
    if service.tls is not None:
        addresses = (service.graphql, service.rest, getattr(service.auth, "token_url", None))
        findings += tls_findings(path, service.tls, folder, [address for address in addresses if address])
    return findings


def _alternative_meaning(config: Config, name: str, other: str | None) -> list[Finding]:
    path = ("services", name, "fallback", "service")
    if other is None:
        return []
    if other not in config.services:
        there = ", ".join(each for each in config.services if each != name) or "none"
        return [Finding(path, f"there is no service {other} (there: {there})")]
    alternative = config.services[other]
    if alternative.graphql is None and alternative.rest is None:
        return [Finding(path, f"{other} has no address of its own; give it graphql: or rest:")]
    if name in (stand_ins := config.stand_ins(name)):
        circle = " → ".join((name, *stand_ins[: stand_ins.index(name) + 1]))
        return [Finding(path, f"goes round in a circle: {circle}; remove one of them")]
    return []


def _retry_meaning(path: Path, service: ServiceConfig) -> list[Finding]:
    retry, hedge = service.retry, service.hedge
    findings = [
        Finding(
            (*path, "retry", "statuses", index),
            f"{status} means that the upstream refused, and it would again; expected 408, 429 or 500 to 599",
        )
        for index, status in enumerate(retry.statuses)
        if status not in {408, 429} and not 500 <= status <= 599
    ]
    if retry.backoff_s > retry.max_backoff_s:
        said = f"{retry.backoff_s:g} is more than max_backoff_s ({retry.max_backoff_s:g}); raise that, or lower this"
        findings.append(Finding((*path, "retry", "backoff_s"), said))
    if hedge is not None and hedge.after_s >= service.timeout_s:
        said = f"{hedge.after_s:g} is not less than timeout_s ({service.timeout_s:g}), so no attempt would be hedged"
        findings.append(Finding((*path, "hedge", "after_s"), f"{said}; lower it"))
    return findings


def _endpoints_meaning(path: Path, service: ServiceConfig) -> Iterator[Finding]:
    policy = service.endpoints
    if policy is None:
        return
    urls = [
        urlsplit(url) for url in (service.graphql, service.rest) if url is not None and not _wrong_url(url, query=True)
    ]
    if service.graphql is None and service.rest is None:
        yield Finding(path, "are endpoints of nothing; give graphql: or rest: (or both)")
    if not policy.origins and policy.dns_every_s is None:
        yield Finding(path, "name no endpoint; give origins:, or dns_every_s: to look the host up")
    if policy.origins and policy.dns_every_s is not None:
        yield Finding(path, "has both origins: and dns_every_s:; keep one")
    if policy.eject.max_eject_s < policy.eject.eject_s:
        yield Finding(
            (*path, "eject", "max_eject_s"),
            f"is less than eject_s ({policy.eject.max_eject_s:g} < {policy.eject.eject_s:g}); raise it",
        )
    if policy.dns_every_s is not None:
        yield from _lookup_meaning(path, {url.hostname or "" for url in urls})
        return
    if len({(url.scheme, url.netloc.lower()) for url in urls}) > 1:
        yield Finding(path, "stand in for one address, but graphql: and rest: have two; make it two services")
    seen: set[str] = set()
    for index, origin in enumerate(policy.origins):
        where = (*path, "origins", index) if isinstance(origin, str) else (*path, "origins", index, "url")
        text = origin if isinstance(origin, str) else origin.url
        if wrong := _wrong_url(text, query=False):
            yield Finding(where, wrong)
            continue
        url = urlsplit(text)
        if url.path not in {"", "/"}:
            yield Finding(where, "has a path; give scheme, host and port: the rest is that of graphql: and rest:")
        elif any(url.scheme != other.scheme for other in urls):
            yield Finding(where, f"is {url.scheme}, and the service's URL is not; write {urls[0].scheme}://")
        elif url.netloc.lower() in seen:
            yield Finding(where, "is there twice; give it a weight instead")
        seen.add(url.netloc.lower())


def _lookup_meaning(path: Path, hosts: set[str]) -> Iterator[Finding]:
    where = (*path, "dns_every_s")
    if len(hosts) > 1:
        yield Finding(where, "looks one host up, but graphql: and rest: have two; make it two services")
    for host in hosts:
        with contextlib.suppress(ValueError):
            ip_address(host)
            yield Finding(where, f"has no name to look up: {host} is an address; write a name, or give origins:")


def _health_meaning(path: Path, service: ServiceConfig) -> Iterator[Finding]:
    policy = service.health
    if policy is None:
        return
    if policy.timeout_s >= policy.every_s:
        yield Finding(
            (*path, "timeout_s"),
            f"is not less than every_s ({policy.timeout_s:g} ≥ {policy.every_s:g}): checks would overlap; lower it",
        )
    if policy.path is None and service.graphql is None and service.rest is not None:
        yield Finding(path, "has nothing to ask a REST service for; add path:, such as /health")
    if policy.path is not None and service.rest is None:
        yield Finding(
            (*path, "path"), "is asked over REST, and the service has no REST address; add rest:, or remove it"
        )


def _timeout_meaning(path: Path, service: ServiceConfig, deadline_s: float) -> list[Finding]:
    """A timeout that somebody wrote down; that of a profile of ours gives way to the deadline."""
    profile = PROFILES.get(service.profile)
    if service.timeout_s <= deadline_s or (profile is not None and service.timeout_s == profile.timeout_s):
        return []
    message = (
        f"{service.timeout_s:g} is more than server.request_timeout_s ({deadline_s:g}), so nothing ever has that long"
    )
    return [Finding((*path, "timeout_s"), f"{message}; lower it, or raise that")]


def _limits_meaning(path: Path, service: ServiceConfig, config: Config) -> list[Finding]:
    findings = []
    concurrency, rate = service.concurrency, service.rate
    if concurrency.limit is not None and concurrency.limit > service.max_connections:
        message = f"is more than max_connections ({service.max_connections}); lower it"
        findings.append(Finding((*path, "concurrency", "limit"), message))
    if rate is not None and rate.shared and config.redis is None:
        findings.append(Finding((*path, "rate", "shared"), "is counted in Redis; add the section redis:, or remove it"))
    waits = [] if rate is None else [("rate", rate.wait_s)]
    if concurrency.wait_s != ConcurrencyPolicy().wait_s:  # the default gives way to any deadline
        waits.append(("concurrency", concurrency.wait_s))
    for key, wait_s in waits:
        if wait_s >= config.server.request_timeout_s:
            message = f"is no less than server.request_timeout_s ({config.server.request_timeout_s:g}); lower it"
            findings.append(Finding((*path, key, "wait_s"), message))
    if concurrency.queue == 0 and ("concurrency", concurrency.wait_s) in waits and concurrency.wait_s > 0:
        findings.append(Finding((*path, "concurrency", "wait_s"), "has no queue to wait in; raise queue, or remove it"))
    return findings


def _cache_meaning(path: Path, service: ServiceConfig) -> list[Finding]:
    cache = service.cache
    findings = []
    if cache.stale_while_revalidate_s > cache.stale_if_error_s:
        reason = f"is longer than stale_if_error_s ({cache.stale_if_error_s:g}); a service that fails needs no less"
        findings.append(Finding((*path, "stale_while_revalidate_s"), reason))
    if cache.soft_timeout_s is not None and cache.soft_timeout_s >= service.timeout_s:
        reason = f"is not shorter than the service's timeout_s ({service.timeout_s:g}), which would always come first"
        findings.append(Finding((*path, "soft_timeout_s"), reason))
    if cache.soft_timeout_s is not None and cache.stale_if_error_s == 0:
        reason = "needs stale answers, and stale_if_error_s is 0; remove one of the two"
        findings.append(Finding((*path, "soft_timeout_s"), reason))
    return findings


def _wrong_url(text: str, *, query: bool) -> str | None:
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as error:
        return f"not a URL: {error}"
    if url.scheme not in {"http", "https"} or not url.hostname or port == 0:
        found = "" if "@" in text else f", found {text!r}"  # what stands before an @ may be a password
        return f"expected a URL such as http://host:8080/path{found}"
    if url.username or url.password:
        return "holds a user name or password; put credentials into headers:"
    if url.fragment or (url.query and not query):
        return "expected neither query nor fragment"
    return None


def _wrong_redis_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        return url.scheme not in {"redis", "rediss", "unix"} or url.port == 0
    except ValueError:
        return True


def _service(name: str, entry: ServiceConfig) -> Service:
    return Service(
        name=name,
        policy=ServicePolicy(**{f: getattr(entry, f) for f in ServicePolicy.__struct_fields__}),
        graphql=entry.graphql,
        rest=entry.rest,
        forward=tuple(header.lower() for header in entry.forward),
        headers={header.lower(): value for header, value in entry.headers.items()},
        routes={operation: RestRoute.parse(route) for operation, route in entry.routes.items()},
        tls=tls_files(entry.tls),
        fallback=entry.fallback,
        endpoints=entry.endpoints,
    )
