"""CORS over a socket: denied by default, and exactly what the configuration allows otherwise."""

from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from gateway.config import ConfigError, parse
from tests.testkit.gateway import Gateway, running_gateway

PAGE = "https://app.example.org"
CORS = {
    "origins": [PAGE],
    "origin_patterns": [r"https://[a-z0-9-]+\.preview\.example\.org"],
    "credentials": True,
    "allow_headers": ["authorization"],
    "expose_headers": ["x-request-id"],
    "max_age_s": 60,
}
BODY = {"query": "{ __typename }"}


async def preflight(
    gateway: Gateway, origin: str, method: str = "POST", headers: str = "content-type"
) -> httpx.Response:
    asked = {"origin": origin, "access-control-request-method": method, "access-control-request-headers": headers}
    return await gateway.http.options("/graphql", headers=asked)


def of_cors(response: httpx.Response) -> Mapping[str, str]:
    return {name: value for name, value in response.headers.items() if name.startswith("access-control-")}


async def test_other_origins_are_told_nothing_by_default() -> None:
    async with running_gateway({"mode": "production"}) as gateway:
        refused = await preflight(gateway, PAGE)
        assert (refused.status_code, of_cors(refused)) == (405, {})
        posted = await gateway.http.post("/graphql", json=BODY, headers={"origin": PAGE})
        assert (posted.status_code, of_cors(posted)) == (200, {})


async def test_a_configured_origin_may_ask_and_no_other() -> None:
    async with running_gateway({"cors": CORS}) as gateway:
        for origin in (PAGE, "https://pr-7.preview.example.org"):
            allowed = await preflight(gateway, origin, headers="authorization, content-type")
            assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, origin)
            assert allowed.headers["access-control-allow-credentials"] == "true"
            assert allowed.headers["access-control-allow-methods"] == "GET, POST"
            assert allowed.headers["access-control-max-age"] == "60"
            assert "Origin" in allowed.headers["vary"]
            posted = await gateway.http.post("/graphql", json=BODY, headers={"origin": origin})
            assert posted.json() == {"data": {"__typename": "Query"}}
            assert posted.headers["access-control-allow-origin"] == origin
            assert posted.headers["access-control-expose-headers"] == "x-request-id"
            assert posted.headers["vary"] == "accept, Origin"
        for origin in (
            "https://evil.example",
            "https://app.example.org.evil.example",
            "https://x.preview.example.org.evil.example",
            "http://app.example.org",
            "null",
        ):
            refused = await preflight(gateway, origin)
            assert refused.status_code == 400
            assert "access-control-allow-origin" not in refused.headers
            posted = await gateway.http.post("/graphql", json=BODY, headers={"origin": origin})
            assert "access-control-allow-origin" not in posted.headers
            assert "Origin" in posted.headers["vary"]


async def test_a_preflight_for_what_is_not_allowed_fails_and_reaches_no_pipeline() -> None:
    async with running_gateway({"cors": CORS}) as gateway:
        assert (await preflight(gateway, PAGE, method="DELETE")).status_code == 400
        assert (await preflight(gateway, PAGE, headers="x-other")).status_code == 400
        assert (await gateway.http.get("/health")).json()["load"]["inFlight"] == 0
        assert "x-request-id" not in (await preflight(gateway, PAGE)).headers
        # OPTIONS that is no preflight is as wrong as ever
        assert (await gateway.http.options("/graphql", headers={"origin": PAGE})).status_code == 405


async def test_refusals_can_be_read_by_the_page_too() -> None:
    async with running_gateway({"cors": {**CORS, "expose_headers": ["retry-after"]}}) as gateway:
        refused = await gateway.http.post("/graphql", content=b"{", headers={"origin": PAGE})
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (415, PAGE)


async def test_everybody_is_a_star_without_credentials() -> None:
    async with running_gateway({"cors": {"origins": ["*"]}}) as gateway:
        posted = await gateway.http.post("/graphql", json=BODY, headers={"origin": PAGE, "cookie": "a=1"})
        assert posted.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in posted.headers
        # CSRF stands as it did: a GET with cookies from another site is refused
        got = await gateway.http.get("/graphql?query={__typename}", headers={"origin": PAGE, "cookie": "a=1"})
        assert got.status_code == 403


@pytest.mark.parametrize(
    ("cors", "said"),
    [
        ("{}", "cors: names no origin"),
        ("{origins: ['*'], credentials: true}", "cors.origins[0]: is everybody, and cannot go with credentials"),
        ("{origins: ['https://a.example', '*']}", "cors.origins[1]: is everybody"),
        ("{origins: ['null']}", "cors.origins[0]: null is what any sandboxed page sends"),
        ("{origins: ['https://a.example/']}", "https://a.example/ is no origin"),
        ("{origins: [a.example]}", "a.example is no origin"),
        ("{origin_patterns: ['(']}", "cors.origin_patterns[0]: is no regular expression"),
        ("{origins: ['https://a.example'], methods: [PUT]}", "cors.methods[0]: PUT is not asked here"),
        ("{origins: ['https://a.example'], max_age: 1}", "max_age"),
    ],
)
def test_what_cannot_be_is_refused_at_start(cors: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(f"cors: {cors}", {})
    assert said in str(refused.value)


def test_the_defaults_are_those_of_the_reference() -> None:
    config: Any = parse("cors: {origins: ['https://a.example']}", {}).cors
    assert (config.methods, config.credentials, config.max_age_s) == (("GET", "POST"), False, 600)
