"""What types cannot say of gateway.yaml: names that are nobody's, and keys that contradict each other."""

import contextlib
import re
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path as FilePath
from urllib.parse import urlsplit

from clients.headers import OF_ONE_CONNECTION, OF_ONE_MESSAGE
from clients.operation import OperationError, RestRoute
from clients.policy import PROFILES, ConcurrencyPolicy, ServicePolicy
from gateway.access.config import access_findings
from gateway.alerts.config import alerts_findings
from gateway.auth import auth_findings
from gateway.bodies import batching_findings
from gateway.config.cors import cors_findings
from gateway.config.headers import header_findings, sent_names
from gateway.config.model import Config, FederationConfig, LimitsConfig, ServiceConfig
from gateway.identity.settings import checked_headers, identity_findings, ops_findings
from gateway.persisting import persisting_findings
from gateway.telemetry.config import metrics_findings
from gateway.telemetry.tracing_config import tracing_findings
from gateway.tls import tls_findings
from gateway.yaml_source import Finding, Path

_HEADER_VALUE = re.compile(r"[\t -~]*")


def contradictions(config: Config, folder: FilePath) -> list[Finding]:
    """What is wrong with a configuration whose types are right. `folder` is what file names are relative to."""
    findings = cors_findings(config.cors)
    for key in ("max_cost", "assumed_list_size"):
        if config.limits.cost is None and getattr(config.limits, key) != getattr(LimitsConfig(), key):
            said = "says what nobody looks at; add cost: log or cost: enforce beside it, or remove it"
            findings.append(Finding(("limits", key), said))
    for index, text in enumerate(config.identity.trusted_proxies):
        try:
            ip_network(text)
        except ValueError as error:
            findings.append(Finding(("identity", "trusted_proxies", index), f"not a network: {error}"))
    findings += _callers_meaning(config, folder)
    if config.redis is not None and _wrong_redis_url(config.redis.url):
        findings.append(Finding(("redis", "url"), "expected a URL such as redis://host:6379/0"))
    findings += metrics_findings(config.metrics)
    findings += alerts_findings(config.alerts, folder)
    if config.tracing is not None and config.tracing.tls is not None:
        addresses = [] if config.tracing.endpoint is None else [config.tracing.endpoint]
        findings += tls_findings(("tracing",), config.tracing.tls, folder, addresses)
    findings += tracing_findings(config.tracing, {name: _sent(entry) for name, entry in config.services.items()})
    findings += batching_findings(config.server.batching, config.server.max_in_flight)
    findings += persisting_findings(config.persisted_queries)
    findings += access_findings(config.access)
    for name, service in config.services.items():
        findings += _service_meaning(("services", name), service, config.federation)
        findings += _connection_meaning(("services", name), service, folder)
        findings += _alternative_meaning(config, name, service.fallback.service)
        findings += _limits_meaning(("services", name), service, config)
        findings += _timeout_meaning(("services", name), service, config.server.request_timeout_s)
    findings += _sharing_meaning(config)
    return findings + _federation_meaning(config)


def _sent(entry: ServiceConfig) -> dict[str, Path]:
    """The headers that a service is sent, in lower case, each with its place in the entry."""
    found: dict[str, Path] = {name.lower(): ("headers", name) for name in entry.headers}
    return found | {name.lower(): ("forward", i) for i, name in enumerate(sent_names(entry.forward))}


def _callers_meaning(config: Config, folder: FilePath) -> Iterator[Finding]:
    """Of `identity:`, `ops:` and `rate_limit:`, and of headers that services are sent and that callers are known by."""
    operators = config.ops.admin_token is not None
    yield from identity_findings(config.identity, development=config.development, operators=operators, folder=folder)
    yield from ops_findings(config.ops, folder)
    jwt, deadline_s = config.identity.jwt, config.server.request_timeout_s
    if jwt is not None and jwt.timeout_s >= deadline_s:
        message = f"is no less than server.request_timeout_s ({deadline_s:g}); lower it"
        yield Finding(("identity", "jwt", "timeout_s"), message)
    if config.rate_limit is not None and config.rate_limit.shared and config.redis is None:
        yield Finding(("rate_limit", "shared"), "is counted in Redis; add the section redis:, or remove it")
    checked = checked_headers(config.identity, operators=operators)
    for service, entry in config.services.items():
        for index, rule in enumerate(entry.forward):
            name = rule if isinstance(rule, str) else rule.from_
            if (instead := checked.get(name.lower())) is not None:
                message = f"{name} is the client's word alone; {instead}"
                yield Finding(("services", service, "forward", index), message)


def _sharing_meaning(config: Config) -> Iterator[Finding]:
    """Of `server.dedupe_inflight`: what is one caller's own cannot be shared."""
    if config.server.dedupe_inflight:
        message = "are one caller's own, and cannot go with server.dedupe_inflight; remove one of the two"
        for name, entry in config.services.items():
            if entry.response_headers:
                yield Finding(("services", name, "response_headers"), message)


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
    findings += header_findings(path, service.forward, service.response_headers)
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
            forward=sent_names(service.forward),
            headers=service.headers,
            never=OF_ONE_CONNECTION | OF_ONE_MESSAGE,
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
