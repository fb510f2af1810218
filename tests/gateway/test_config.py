"""gateway.yaml: what it means, and what is said of one that cannot be used."""

from pathlib import Path

import msgspec
import pytest

from clients.policy import (
    PROFILES,
    BudgetPolicy,
    EjectionPolicy,
    EndpointsPolicy,
    FallbackPolicy,
    HealthPolicy,
    Origin,
)
from gateway.config import Config, ConfigError, load, parse

CRM = "services: { crm: { graphql: 'http://crm/graphql', rest: 'http://crm/api' } }\n"


def findings(text: str, **environment: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, environment)
    return [str(finding) for finding in caught.value.findings]


def test_an_empty_file_is_a_gateway_with_defaults() -> None:
    assert parse("", {}) == Config()


@pytest.mark.parametrize("name", PROFILES)
def test_a_service_has_the_policy_of_its_profile(name: str) -> None:
    config = parse(f"services: {{ crm: {{ profile: {name}, rest: 'http://crm' }} }}", {})
    assert config.clients_services()[0].policy == PROFILES[name]


@pytest.mark.parametrize(
    ("profile", "timeout_s", "retry", "breaker"),
    [
        ("internal-fast", 2, (3, 0.5, 2), (3, 10)),
        ("internal-standard", 5, (3, 1, 10), (5, 30)),
        ("external-standard", 10, (5, 2, 30), (10, 60)),
        ("external-critical", 15, (7, 3, 60), (10, 120)),
    ],
)
def test_the_named_profiles_are_as_agreed(
    profile: str, timeout_s: float, retry: tuple[int, float, float], breaker: tuple[int, float]
) -> None:
    policy = PROFILES[profile]
    assert policy.timeout_s == timeout_s
    assert (policy.retry.attempts, policy.retry.backoff_s, policy.retry.max_backoff_s) == retry
    assert (policy.breaker.failures, policy.breaker.open_s) == breaker


def test_a_service_overrides_its_profile_key_by_key() -> None:
    text = "services: { crm: { profile: internal-fast, rest: 'http://crm', retry: { attempts: 9 }, timeout_s: 1 } }"
    policy = parse(text, {}).clients_services()[0].policy
    fast = PROFILES["internal-fast"]
    assert policy == msgspec.structs.replace(fast, timeout_s=1.0, retry=msgspec.structs.replace(fast.retry, attempts=9))


def test_a_profile_of_ones_own_extends_another() -> None:
    text = """
server: { request_timeout_s: 90 }
profiles:
  patient: { extends: external-standard, timeout_s: 60 }
  very-patient: { extends: patient, retry: { attempts: 20 } }
services:
  crm: { profile: very-patient, rest: http://crm }
"""
    policy = parse(text, {}).clients_services()[0].policy
    assert (policy.timeout_s, policy.retry.attempts, policy.breaker.open_s) == (60, 20, 60)


@pytest.mark.parametrize(
    ("preset", "attempts", "backoff_s", "max_backoff_s"),
    [
        ("quick", 2, 0.5, 5),
        ("standard", 3, 1, 30),
        ("slow", 5, 2, 60),
        ("aggressive", 3, 0.1, 5),
        ("rate-limited", 5, 5, 120),
    ],
)
def test_a_retry_preset_overrides_the_profile_and_the_keys_beside_it_override_the_preset(
    preset: str, attempts: int, backoff_s: float, max_backoff_s: float
) -> None:
    text = "services: { crm: { profile: external-critical, rest: 'http://crm', retry: { preset: %s%s } } }"
    retry = parse(text % (preset, ""), {}).clients_services()[0].policy.retry
    assert (retry.attempts, retry.backoff_s, retry.max_backoff_s) == (attempts, backoff_s, max_backoff_s)
    retry = parse(text % (preset, ", attempts: 9"), {}).clients_services()[0].policy.retry
    assert (retry.attempts, retry.backoff_s, retry.max_backoff_s) == (9, backoff_s, max_backoff_s)


def test_a_profile_may_name_a_preset_and_the_nearer_one_counts() -> None:
    text = """
profiles:
  mine: { retry: { preset: slow, attempts: 8 } }
services:
  crm: { profile: mine, rest: http://crm }
  bank: { profile: mine, rest: http://bank, retry: { preset: quick } }
  shop: { profile: mine, rest: http://shop, retry: { budget: null } }
"""
    crm, bank, shop = (service.policy.retry for service in parse(text, {}).clients_services())
    assert (crm.attempts, crm.backoff_s, crm.budget) == (8, 2, BudgetPolicy())
    assert (bank.attempts, bank.backoff_s) == (2, 0.5)
    assert (shop.attempts, shop.budget) == (8, None)


FALLING_BACK = """
services:
  crm: {{ rest: http://crm, fallback: {{ service: {crm} }} }}
  crm-replica: {{ rest: http://replica, fallback: {{ service: {replica} }} }}
  third: {{ rest: http://third{third} }}
"""


def test_a_service_may_name_another_that_stands_in_for_it() -> None:
    config = parse(FALLING_BACK.format(crm="crm-replica", replica="third", third=""), {})
    assert config.stand_ins("crm") == ["crm-replica", "third"]
    assert config.clients_services()[0].fallback == FallbackPolicy(service="crm-replica")
    assert config.stand_ins("unknown") == []


def test_services_that_stand_in_for_one_another_in_a_circle_are_refused() -> None:
    of_third = ", fallback: { service: crm-replica }"
    assert findings(FALLING_BACK.format(crm="crm", replica="third", third="")) == [
        "line 3: services.crm.fallback.service: goes round in a circle: crm → crm; remove one of them"
    ]
    assert findings(FALLING_BACK.format(crm="crm-replica", replica="third", third=of_third)) == [
        "line 4: services.crm-replica.fallback.service: goes round in a circle: crm-replica → third → crm-replica; "
        "remove one of them",
        "line 5: services.third.fallback.service: goes round in a circle: third → crm-replica → third; "
        "remove one of them",
    ]


def test_a_stand_in_that_is_not_there_or_has_no_address_is_refused() -> None:
    assert findings(FALLING_BACK.format(crm="crm-replca", replica="null", third="")) == [
        "line 3: services.crm.fallback.service: there is no service crm-replca (there: crm-replica, third)"
    ]
    text = """
federation: { supergraph: super.graphql }
services:
  crm: { rest: http://crm, fallback: { service: bare } }
  bare: {}
"""
    assert findings(text) == [
        "line 4: services.crm.fallback.service: bare has no address of its own; give it graphql: or rest:"
    ]


def test_a_timeout_that_no_request_has_time_for_is_refused() -> None:
    server = "server: { request_timeout_s: 4 }\n"
    assert findings(server + "services: { crm: { rest: 'http://crm', timeout_s: 6 } }") == [
        "line 2: services.crm.timeout_s: 6 is more than server.request_timeout_s (4), so nothing ever has that long; "
        "lower it, or raise that"
    ]
    (crm,) = parse(server + "services: { crm: { rest: 'http://crm', timeout_s: 4 } }", {}).clients_services()
    assert crm.policy.timeout_s == 4


def test_the_timeout_of_a_profile_gives_way_to_the_requests_deadline() -> None:
    text = "server: { request_timeout_s: 4 }\nservices: { crm: { rest: 'http://crm' } }"
    assert parse(text, {}).clients_services()[0].policy.timeout_s == 5


def test_endpoints_of_nothing_are_refused_also_where_the_supergraph_gives_the_address() -> None:
    text = "federation: { supergraph: 'http://registry' }\nservices: { crm: { endpoints: { dns_every_s: 30 } } }"
    assert findings(text) == [
        "line 2: services.crm.endpoints: are endpoints of nothing; give graphql: or rest: (or both)"
    ]


def test_a_path_of_a_health_check_begins_at_the_root() -> None:
    (finding,) = findings("services: { crm: { rest: 'http://crm', health: { path: health } } }")
    assert finding.startswith("line 1: services.crm.health.path: expected `str` matching regex")


def test_a_service_may_have_several_endpoints_and_health_checks_of_its_profile() -> None:
    text = """
profiles:
  watched: { health: { every_s: 5, timeout_s: 1 } }
services:
  crm:
    profile: watched
    graphql: http://crm/graphql
    rest: http://crm/api
    health: { path: /health }
    endpoints:
      origins: [http://10.0.0.1:8080, { url: "http://10.0.0.2:8080", weight: 2 }]
      balance: round-robin
      eject: { failures: 5 }
  unwatched: { profile: watched, rest: http://other, health: null }
"""
    crm, unwatched = parse(text, {}).clients_services()
    assert crm.policy.health == HealthPolicy(every_s=5, timeout_s=1, path="/health")
    assert crm.endpoints == EndpointsPolicy(
        origins=("http://10.0.0.1:8080", Origin("http://10.0.0.2:8080", 2)),
        balance="round-robin",
        eject=EjectionPolicy(failures=5),
    )
    assert (unwatched.policy.health, unwatched.endpoints) == (None, None)


def test_the_environment_fills_values_in_and_keeps_their_type() -> None:
    block = "server:\n  port: ${PORT:-4100}\n  host: ${HOST:-0.0.0.0}\n"
    assert parse(block, {}).server.port == 4100
    assert parse(block, {"PORT": "80", "HOST": "::"}).server.port == 80
    assert parse(block, {"HOST": ""}).server.host == "0.0.0.0"


def test_what_the_environment_brings_in_is_never_structure() -> None:
    text = "services:\n  crm:\n    rest: http://crm\n    headers: { x-key: '${KEY}' }\n    profile: ${PROFILE}\n"
    config = parse(text, {"KEY": "a: b, [c]", "PROFILE": "internal-fast"})
    assert config.services["crm"].headers == {"x-key": "a: b, [c]"}


def test_a_doubled_dollar_stands_for_itself() -> None:
    text = "services: { crm: { rest: 'http://crm', headers: { x-note: 'a $${b}' } } }"
    assert parse(text, {}).services["crm"].headers["x-note"] == "a ${b}"


def test_credentials_do_not_show_in_a_repr() -> None:
    config = parse("services: { crm: { rest: 'http://crm', headers: { x-key: 'hush' } } }", {})
    assert "hush" not in repr(config)
    assert "hush" not in repr(config.clients_services())
    assert "hush" not in repr(parse("redis: { url: 'redis://:hush@host' }", {}))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("servr: {}\n", "line 1: servr: unknown key; did you mean server?"),
        ("server: { port: many }\n", "line 1: server.port: expected `int`, got `str` (found: 'many')"),
        ("server: { port: 70000 }\n", "line 1: server.port: expected `int` <= 65535 (found: 70000)"),
        ("mode: fast\n", "line 1: mode: expected one of development, production (found: 'fast')"),
        ("- a\n", "line 1: the file: expected a mapping, found list"),
        ("a: [\n", "line 2: the file: not YAML: expected the node content, but found '<stream end>'"),
        ("mode: production\nmode: development\n", "line 2: mode: given twice; keep one"),
        (
            "mode: 'a\x01b'\n",
            "line 1: the file: not YAML: a character that it does not allow: special characters are not allowed",
        ),
        ("mode: 2026-99-99\n", "line 1: mode: expected one of development, production (found: '2026-99-99')"),
        ("mode: !!int many\n", "the file: not YAML: invalid literal for int() with base 10: 'many'"),
        ("a: &a [*a]\n", "the file: nested without end; remove the alias that names what it stands in"),
        ("log: { format: xml }", "line 1: log.format: expected one of json, console (found: 'xml')"),
        (
            "services: { 1: { rest: 'http://crm' } }",
            "line 1: services.1: expected `str`, got `int`; put it in quotes (found: 1)",
        ),
        ("profiles: { mine: 5 }", "line 1: profiles.mine: expected `object`, got `int` (found: 5)"),
        (
            "services: { crm: { rest: 'http://crm', profile: [fast] } }",
            "line 1: services.crm.profile: expected `str`, got `array` (found: ['fast'])",
        ),
        (
            "profiles: { mine: { extends: {} } }",
            "line 1: profiles.mine.extends: expected `str`, got `object` (found: {})",
        ),
        (
            "services: { crm: { rest: 'http://crm', profile: fast } }",
            "line 1: services.crm.profile: unknown profile 'fast'; known: internal-fast, internal-standard, "
            "external-standard, external-critical",
        ),
        (
            "profiles: { mine: { extends: nothing } }",
            "line 1: profiles.mine.extends: unknown profile 'nothing'; known: internal-fast, internal-standard, "
            "external-standard, external-critical",
        ),
        (
            "services:\n  crm:\n    rest: ${CRM_URL}\n",
            "line 3: services.crm.rest: the environment variable CRM_URL is not set; set it, or write "
            "${CRM_URL:-default}",
        ),
        (
            "services: { crm: { rest: 'ftp://crm' } }",
            "line 1: services.crm.rest: expected a URL such as http://host:8080/path, found 'ftp://crm'",
        ),
        (
            "services: { crm: { rest: 'http://crm:port' } }",
            "line 1: services.crm.rest: not a URL: Port could not be cast to integer value as 'port'",
        ),
        (
            "services: { crm: { rest: 'http://me:pw@crm' } }",
            "line 1: services.crm.rest: holds a user name or password; put credentials into headers:",
        ),
        (
            "services: { crm: { rest: 'http://crm?a=1' } }",
            "line 1: services.crm.rest: expected neither query nor fragment",
        ),
        ("services: { crm: {} }", "line 1: services.crm: has no address; give graphql: or rest: (or both)"),
        (
            "services: { crm: { rest: 'http://crm', retry: { attempts: 0 } } }",
            "line 1: services.crm.retry.attempts: expected `int` >= 1 (found: 0)",
        ),
        (
            "services: { crm: { rest: 'http://crm', retry: { preset: fast } } }",
            "line 1: services.crm.retry.preset: expected one of quick, standard, slow, aggressive, rate-limited "
            "(found: 'fast')",
        ),
        (
            "services: { crm: { rest: 'http://crm', retry: { statuses: [503, 404] } } }",
            "line 1: services.crm.retry.statuses[1]: 404 means that the upstream refused, and it would again; expected "
            "408, 429 or 500 to 599",
        ),
        (
            "services: { crm: { rest: 'http://crm', retry: { preset: quick, backoff_s: 9 } } }",
            "line 1: services.crm.retry.backoff_s: 9 is more than max_backoff_s (5); raise that, or lower this",
        ),
        (
            "services: { crm: { rest: 'http://crm', retry: { budget: { ratio: 2 } } } }",
            "line 1: services.crm.retry.budget.ratio: expected `float` <= 1.0 (found: 2)",
        ),
        (
            "services: { crm: { rest: 'http://crm', hedge: {} } }",
            "line 1: services.crm.hedge: after_s is missing; add it",
        ),
        (
            "services: { crm: { rest: 'http://crm', timeout_s: 2, hedge: { after_s: 2 } } }",
            "line 1: services.crm.hedge.after_s: 2 is not less than timeout_s (2), so no attempt would be hedged; "
            "lower it",
        ),
        (
            "services: { crm: { rest: 'http://crm', forward: [connection] } }",
            "line 1: services.crm.forward[0]: connection belongs to one connection and is never forwarded; remove it",
        ),
        (
            "services: { crm: { rest: 'http://crm', routes: { a: 'GET customers' } } }",
            'line 1: services.crm.routes.a: rest: expected "METHOD /path", such as "GET /customers{?ids}", found '
            '"GET customers"',
        ),
        (
            "services: { crm: { graphql: 'http://crm', routes: { a: 'GET /customers' } } }",
            "line 1: services.crm.routes: the service has no REST address; add rest:",
        ),
        ("redis: {}", "line 1: redis: url is missing; add it"),
        ("redis: { url: 'http://x' }", "line 1: redis.url: expected a URL such as redis://host:6379/0"),
        ("redis: { url: 'redis://host:port' }", "line 1: redis.url: expected a URL such as redis://host:6379/0"),
        (
            "services: { crm: { rest: 'http://crm', headers: { x-key: \"hush\\n\" } } }",
            "line 1: services.crm.headers.x-key: a header cannot carry its line break or other special character; "
            "remove it",
        ),
        (
            "services: { crm: { rest: 'http://crm', endpoints: {} } }",
            "line 1: services.crm.endpoints: name no endpoint; give origins:, or dns_every_s: to look the host up",
        ),
        (
            "services: { crm: { rest: 'http://crm', endpoints: { origins: [] } } }",
            "line 1: services.crm.endpoints: name no endpoint; give origins:, or dns_every_s: to look the host up",
        ),
        (
            "services: { crm: { rest: 'http://crm', endpoints: { origins: ['http://a'], dns_every_s: 30 } } }",
            "line 1: services.crm.endpoints: has both origins: and dns_every_s:; keep one",
        ),
        (
            "services: { crm: { rest: 'http://crm', endpoints: { origins: [{ url: 'http://a', weight: 0 }] } } }",
            "line 1: services.crm.endpoints.origins[0].weight: expected `int` >= 1 (found: 0)",
        ),
        (
            "services: { crm: { rest: 'http://crm', endpoints: { origins: ['http://a', { weight: 2 }] } } }",
            "line 1: services.crm.endpoints.origins[1]: url is missing; add it",
        ),
        (
            "services: { crm: { rest: 'http://crm', endpoints: { origins: ['10.0.0.1:80'] } } }",
            "line 1: services.crm.endpoints.origins[0]: expected a URL such as http://host:8080/path, found "
            "'10.0.0.1:80'",
        ),
        (
            "services: { crm: { rest: 'http://crm', endpoints: { origins: ['http://me:pw@a'] } } }",
            "line 1: services.crm.endpoints.origins[0]: holds a user name or password; put credentials into headers:",
        ),
        (
            "services: { crm: { rest: 'http://crm', endpoints: { origins: [{ url: 'http://a/api' }] } } }",
            "line 1: services.crm.endpoints.origins[0].url: has a path; give scheme, host and port: the rest is that "
            "of graphql: and rest:",
        ),
        (
            "services: { crm: { rest: 'https://crm', endpoints: { origins: ['http://a'] } } }",
            "line 1: services.crm.endpoints.origins[0]: is http, and the service's URL is not; write https://",
        ),
        (
            "services: { crm: { rest: 'http://crm', endpoints: { origins: ['http://a', 'http://A/'] } } }",
            "line 1: services.crm.endpoints.origins[1]: is there twice; give it a weight instead",
        ),
        (
            "services: { crm: { graphql: 'http://crm/graphql', rest: 'http://crm:81', endpoints: { origins: "
            "['http://a'] } } }",
            "line 1: services.crm.endpoints: stand in for one address, but graphql: and rest: have two; make it two "
            "services",
        ),
        (
            "services: { crm: { graphql: 'http://crm/graphql', rest: 'http://api/', endpoints: { dns_every_s: 9 } } }",
            "line 1: services.crm.endpoints.dns_every_s: looks one host up, but graphql: and rest: have two; make it "
            "two services",
        ),
        (
            "services: { crm: { rest: 'http://[::1]:80', endpoints: { dns_every_s: 9 } } }",
            "line 1: services.crm.endpoints.dns_every_s: has no name to look up: ::1 is an address; write a name, or "
            "give origins:",
        ),
        (
            "services: { crm: { rest: 'http://crm', endpoints: { dns_every_s: 0 } } }",
            "line 1: services.crm.endpoints.dns_every_s: expected `float` > 0.0 (found: 0)",
        ),
        (
            "services: { crm: { rest: 'http://crm', endpoints: { dns_every_s: 9, balance: best } } }",
            "line 1: services.crm.endpoints.balance: expected one of least-outstanding, round-robin, random (found: "
            "'best')",
        ),
        (
            "services: { crm: { rest: 'http://crm', endpoints: { dns_every_s: 9, eject: { eject_s: 400 } } } }",
            "line 1: services.crm.endpoints.eject.max_eject_s: is less than eject_s (300 < 400); raise it",
        ),
        (
            "services: { crm: { graphql: 'http://crm', health: { every_s: 2 } } }",
            "line 1: services.crm.health.timeout_s: is not less than every_s (2 ≥ 2): checks would overlap; lower it",
        ),
        (
            "services: { crm: { rest: 'http://crm', health: {} } }",
            "line 1: services.crm.health: has nothing to ask a REST service for; add path:, such as /health",
        ),
        (
            "services: { crm: { graphql: 'http://crm', health: { path: /health } } }",
            "line 1: services.crm.health.path: is asked over REST, and the service has no REST address; add rest:, or "
            "remove it",
        ),
        (
            "identity: { trusted_proxies: [nowhere] }",
            "line 1: identity.trusted_proxies[0]: not a network: 'nowhere' does not appear to be an IPv4 or IPv6 "
            "network",
        ),
        (
            "services: { crm: { rest: 'http://crm', concurrency: { limit: 101 } } }",
            "line 1: services.crm.concurrency.limit: is more than max_connections (100); lower it",
        ),
        (
            "services: { crm: { rest: 'http://crm', concurrency: { queue: 0, wait_s: 2 } } }",
            "line 1: services.crm.concurrency.wait_s: has no queue to wait in; raise queue, or remove it",
        ),
        (
            "services: { crm: { rest: 'http://crm', concurrency: { wait_s: 30 } } }",
            "line 1: services.crm.concurrency.wait_s: is no less than server.request_timeout_s (30); lower it",
        ),
        (
            "services: { crm: { rest: 'http://crm', rate: { capacity: 0, per_s: 1 } } }",
            "line 1: services.crm.rate.capacity: expected `int` >= 1 (found: 0)",
        ),
        (
            "services: { crm: { rest: 'http://crm', rate: { capacity: 1, per_s: 0 } } }",
            "line 1: services.crm.rate.per_s: expected `float` > 0.0 (found: 0)",
        ),
        (
            "services: { crm: { rest: 'http://crm', rate: { capacity: 1, per_s: 1, shared: true } } }",
            "line 1: services.crm.rate.shared: is counted in Redis; add the section redis:, or remove it",
        ),
        (
            "services: { crm: { rest: 'http://crm', rate: { capacity: 1, per_s: 1, wait_s: 40 } } }",
            "line 1: services.crm.rate.wait_s: is no less than server.request_timeout_s (30); lower it",
        ),
    ],
)
def test_a_wrong_file_is_refused_with_the_path_and_what_to_do(text: str, expected: str) -> None:
    assert findings(text) == [expected]


@pytest.mark.parametrize(
    ("policy", "key", "reason"),
    [
        ("cache: { stale_while_revalidate_s: 20, stale_if_error_s: 10 }", "stale_while_revalidate_s", "longer than"),
        (
            "timeout_s: 2, cache: { soft_timeout_s: 2 }",
            "soft_timeout_s",
            "not shorter than the service's",
        ),
        ("cache: { soft_timeout_s: 1, stale_if_error_s: 0 }", "soft_timeout_s", "needs stale answers"),
        ("cache: { not_found_s: 6 }", "not_found_s", "<= 5"),
    ],
)
def test_times_of_the_cache_that_contradict_each_other_are_refused(policy: str, key: str, reason: str) -> None:
    (found,) = findings(f"services: {{ crm: {{ rest: 'http://crm', {policy} }} }}")
    assert found.startswith(f"line 1: services.crm.cache.{key}: ")
    assert reason in found


def test_all_errors_are_said_at_once_in_the_order_of_the_file() -> None:
    text = """
server:
  port: none
  hots: x
services:
  crm:
    graphql: ${MISSING}
    profile: fast
    retry: { attempt: 2 }
"""
    assert [finding.split(": ")[1] for finding in findings(text)] == [
        "server.port",
        "server.hots",
        "services.crm.graphql",
        "services.crm.profile",
        "services.crm.retry.attempt",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "redis: ${SECRET}\n",
        "redis: { url: 's3cret' }\n",
        "redis: { url: [s3cret] }\n",
        "mode: ${SECRET}\n",
        "server:\n  port: ${SECRET}\n",
        "services: { crm: { rest: 'http://crm', headers: { x-key: [s3cret] } } }\n",
        "services: { crm: { rest: 'http://crm', headers: { x-key: \"s3cret\\n\" } } }\n",
        "services: { crm: { rest: 'ftp://me:s3cret@crm' } }\n",
        "services: { crm: { rest: 'me:s3cret@crm' } }\n",
    ],
)
def test_what_may_be_a_secret_is_not_repeated_in_the_error(text: str) -> None:
    (finding,) = findings(text, SECRET="s3cret")
    assert "s3cret" not in finding


def test_a_number_from_the_environment_where_text_is_wanted_says_to_quote_it_and_is_not_shown() -> None:
    (finding,) = findings("services:\n  crm:\n    rest: http://crm\n    headers:\n      x-key: ${KEY}\n", KEY="8812345")
    assert finding == (
        "line 5: services.crm.headers.x-key: expected `str`, got `int`; put it in quotes "
        "(found: not shown, it may be a secret)"
    )


def test_a_long_value_is_not_repeated_in_the_error() -> None:
    (finding,) = findings("server: { port: '" + "s3cret" * 20 + "' }")
    assert "s3cret" not in finding


def test_a_file_that_cannot_be_read_is_an_error_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.yaml: 1 error\n  the file: cannot be read: No such file"):
        load(tmp_path / "nothing.yaml", {})
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        load(binary, {})


def test_load_reads_a_file(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(CRM)
    assert list(load(file, {}).services) == ["crm"]


@pytest.mark.parametrize(
    ("breaker", "expected"),
    [
        (
            "{ window: 50, window_s: 60 }",
            "window_s: cannot go with window; remove one of the two (`window: null` undoes a profile's)",
        ),
        (
            "{ window: 5 }",
            "minimum_calls: 10 is more than window has room for (5), so the rates would never decide; lower it, or "
            "raise window",
        ),
        (
            "{ minimum_calls: 101 }",
            "minimum_calls: 101 is more than window has room for (100), so the rates would never decide; lower it, or "
            "raise window",
        ),
        (
            "{ failure_rate: 0.5, minimum_calls: 1 }",
            "minimum_calls: with 1 the first failure is a rate of 1 and opens the circuit; raise it",
        ),
        (
            "{ slow_call_s: 5 }",
            "slow_call_s: 5 is not less than timeout_s (5), so no answer would ever be slow; lower it",
        ),
        ("{ open_s: 301 }", "max_open_s: 300 is less than open_s (301); raise it, or lower open_s"),
        (
            "{ probes: 3, successes: 2 }",
            "probes: 3 at once are more than the 2 that close the circuit (successes), so the others would be risked "
            "for nothing; lower it, or raise successes",
        ),
        ("{ probes: 0 }", "probes: expected `int` >= 1 (found: 0)"),
        ("{ window_s: 0 }", "window_s: expected `float` > 0.0 (found: 0)"),
        ("{ scope: route }", "scope: expected one of service, operation (found: 'route')"),
    ],
)
def test_a_circuit_that_contradicts_itself_is_refused(breaker: str, expected: str) -> None:
    assert findings(f"services: {{ crm: {{ rest: 'http://crm', breaker: {breaker} }} }}") == [
        f"line 1: services.crm.breaker.{expected}"
    ]


@pytest.mark.parametrize(
    "breaker",
    [
        "{ window: null, window_s: 60, minimum_calls: 1000 }",
        "{ window: 10 }",
        "{ failure_rate: 0.5, minimum_calls: 2 }",
        "{ failure_rate: 0.5, minimum_calls: 1, failures: 1 }",
        "{ minimum_calls: 1 }",
        "{ slow_call_s: 4.9 }",
        "{ open_s: 300 }",
        "{ probes: 2, successes: 2 }",
        "{ scope: operation }",
    ],
)
def test_a_circuit_that_does_not_is_taken(breaker: str) -> None:
    parse(f"services: {{ crm: {{ rest: 'http://crm', breaker: {breaker} }} }}", {})


def test_a_window_of_a_profile_is_undone_with_null() -> None:
    text = """
profiles:
  counting: { breaker: { window: 50 } }
services:
  crm: { profile: counting, rest: http://crm, breaker: { window: null, window_s: 60 } }
"""
    breaker = parse(text, {}).clients_services()[0].policy.breaker
    assert (breaker.window, breaker.window_s) == (None, 60)


def test_headers_that_are_one_callers_own_do_not_go_with_shared_executions() -> None:
    text = "server: { dedupe_inflight: true }\nservices: { crm: { graphql: 'http://crm', response_headers: [x-a] } }\n"
    assert findings(text) == [
        "line 2: services.crm.response_headers: are one caller's own, and cannot go with server.dedupe_inflight; "
        "remove one of the two"
    ]
