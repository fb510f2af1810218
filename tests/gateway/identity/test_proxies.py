"""What trusted proxies say: who the caller is, where it is, and when their word does not count."""

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

import pytest

from gateway.identity.proxies import Proxies, counted_as
from tests.gateway.identity.support import ADA, ME, NOBODY, known
from tests.testkit.gateway import running_gateway

FIELDS = {"imports": ["schema.customers", "tests.gateway.identity.fields"]}
TRUSTED = {"trusted_proxies": ["127.0.0.0/8"]}
SAID = {"x-tenant-id": "acme", "x-user-id": "bob", "x-scopes": "read, write  more"}
BOB = {"user": "bob", "tenant": "acme", "authenticated": True, "scopes": ["more", "read", "write"]}


async def test_a_trusted_proxy_says_who_asks() -> None:
    identity = {**TRUSTED, "scopes_header": "X-Scopes"}
    async with running_gateway({**FIELDS, "mode": "production", "identity": identity}) as gateway:
        assert (await gateway.ask(ME, SAID)).data["me"] == BOB
        told = (await gateway.ask(ME, {"x-tenant-id": "acme"})).data["me"]
        assert told == {**NOBODY, "tenant": "acme"}


async def test_from_anywhere_else_its_headers_are_ignored() -> None:
    identity = {"trusted_proxies": ["10.0.0.0/8"], "scopes_header": "x-scopes"}
    async with running_gateway({**FIELDS, "mode": "production", "identity": identity}) as gateway:
        assert (await gateway.ask(ME, {**SAID, "x-forwarded-for": "10.0.0.1"})).data["me"] == NOBODY
    async with running_gateway({**FIELDS, "identity": {**identity, "required": True}}) as gateway:
        assert (await gateway.ask(ME, SAID)).codes == ["UNAUTHENTICATED"]


@pytest.mark.parametrize("name", ["x-tenant-id", "x-user-id", "x-scopes"])
async def test_a_header_that_is_there_twice_is_nobodys_word(name: str) -> None:
    identity = {**TRUSTED, "scopes_header": "x-scopes"}
    async with running_gateway({**FIELDS, "mode": "production", "identity": identity}) as gateway:
        twice = [(name, "breakwater:ops"), (name, "acme")]  # the client's own, and what the proxy added
        response = await gateway.http.post("/graphql", json={"query": ME}, headers=twice)
        assert response.status_code == 403
        assert response.json()["errors"][0]["extensions"]["code"] == "FORBIDDEN"
        assert (await gateway.http.get("/health", headers=twice)).json() == {"status": "ok"}
        assert len((await gateway.http.get("/health", headers=twice[:1])).json()) == (4 if name == "x-scopes" else 1)
        told = (await gateway.ask(ME, {"x-user-id": "cn=Ada,o=Acme"})).data["me"]
        assert told["user"] == "cn=Ada,o=Acme"


@pytest.mark.parametrize("proxies", [["127.0.0.1/32"], ["10.0.0.0/8"]])
async def test_a_tenant_header_that_disagrees_with_the_token_is_refused(proxies: list[str]) -> None:
    named = {"tenant_claim": "tenant"}
    async with known(issuer=named, identity={"trusted_proxies": proxies}) as asked:
        token = asked.issuer.bearer(tenant="acme")
        assert await asked.me({**token, "x-tenant-id": "acme"}) == {**ADA, "tenant": "acme"}
        answered = await asked.ask({**token, "x-tenant-id": "evil"})
        assert (answered.response.status_code, *answered.codes) == (403, "FORBIDDEN")
        assert answered.errors[0]["message"] == "The token is for another tenant than x-tenant-id says."
        # A token that names none: a proxy may, the client itself may not.
        told = await asked.me({**asked.issuer.bearer(), "x-tenant-id": "acme"})
        assert told["tenant"] == ("acme" if proxies == ["127.0.0.1/32"] else None)
        assert await asked.me({"x-tenant-id": "acme", "x-user-id": "root"} if told["tenant"] is None else {}) == NOBODY


async def test_a_token_and_a_proxy_together_name_the_tokens_user_and_both_scopes() -> None:
    identity = {**TRUSTED, "scopes_header": "x-scopes"}
    async with known(identity=identity) as asked:
        told = await asked.me({**asked.issuer.bearer(scope="own"), **SAID})
        assert told == {**ADA, "tenant": "acme", "scopes": ["more", "own", "read", "write"]}


async def test_two_tenants_never_see_each_others_rows() -> None:
    service = {"customers": {"forward": ["x-tenant-id", "authorization"], "cache": {"max_age_s": 600}}}
    query = '{ customer(id: "1") { name } }'
    async with known(issuer={"tenant_claim": "tenant"}, services=service) as asked:
        gateway, issuer = asked.gateway, asked.issuer
        upstream = gateway.customers.graphql
        acme, other = issuer.bearer(tenant="acme"), issuer.bearer(tenant="other")

        async def name(headers: Mapping[str, str] | None) -> Any:
            return (await gateway.ask(query, headers)).data["customer"]["name"]

        gateway.customers.rows["1"]["name"] = "Acme's"
        assert await name(acme) == "Acme's"
        gateway.customers.rows["1"]["name"] = "Other's"
        assert [await name(headers) for headers in (other, acme)] == ["Other's", "Acme's"]
        gateway.customers.rows["1"]["name"] = "Everybody's"
        assert await name(None) == "Everybody's"
        assert await name(issuer.bearer(tenant="acme", sub="bob")) == "Everybody's"
        assert [await name(headers) for headers in (other, acme)] == ["Other's", "Acme's"]
        assert [call.headers.get("x-tenant-id") for call in upstream.calls] == ["acme", "other", None, "acme"]


def scope(host: str | None) -> dict[str, Any]:
    return {"type": "http", "client": None if host is None else (host, 1), "headers": []}


FORWARDED_FOR = [
    ("203.0.113.9", "198.51.100.7", "203.0.113.9"),  # from no proxy: the header is anybody's
    ("10.0.0.1", None, "10.0.0.1"),
    ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
    ("10.0.0.1", "1.2.3.4, 198.51.100.7", "198.51.100.7"),  # what the client wrote itself comes first
    ("10.0.0.1", "198.51.100.7, 10.9.9.9 , 10.0.0.2", "198.51.100.7"),
    ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
    ("10.0.0.1", "198.51.100.7:4711", "198.51.100.7"),
    ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
    ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
    ("10.0.0.1", "198.51.100.7, unknown", "10.0.0.1"),
    ("10.0.0.1", "198.51.100.7, <script>, 10.0.0.2", "10.0.0.2"),
    ("10.0.0.1", "", "10.0.0.1"),
    ("::ffff:10.0.0.1", "198.51.100.7", "198.51.100.7"),
    ("10.0.0.1", ", ".join(["10.0.0.2"] * 5_000), "10.0.0.2"),
    (None, "198.51.100.7", ""),
]


@pytest.mark.parametrize(("peer", "header", "expected"), FORWARDED_FOR)
def test_a_request_came_from_the_last_hop_that_is_no_trusted_proxy(
    peer: str | None, header: str | None, expected: str
) -> None:
    proxies = Proxies([ip_network("10.0.0.0/8")], "x-forwarded-for")
    headers = {"forwarded": "for=1.1.1.1", **({} if header is None else {"x-forwarded-for": header})}
    assert proxies.client_address(scope(peer), headers) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("for=198.51.100.7", "198.51.100.7"),
        ('for="198.51.100.7:80";proto=https;by=10.0.0.1', "198.51.100.7"),
        ('For="[2001:db8::1]:4711"', "2001:db8::1"),
        ("for=1.2.3.4, proto=https; for=198.51.100.7, for=10.0.0.2", "198.51.100.7"),
        ("for=198.51.100.7, for=_hidden", "10.0.0.1"),
        ("proto=https", "10.0.0.1"),
    ],
)
def test_the_header_may_be_forwarded(header: str, expected: str) -> None:
    proxies = Proxies([ip_network("10.0.0.0/8")], "forwarded")
    headers = {"forwarded": header, "x-forwarded-for": "1.1.1.1"}
    assert proxies.client_address(scope("10.0.0.1"), headers) == expected


def test_an_address_counts_as_its_network() -> None:
    assert counted_as("192.0.2.1") == "192.0.2.1"
    assert counted_as("2001:db8::1") == counted_as("2001:db8::ffff") == "2001:db8::/64"
    assert counted_as("2001:db8:0:1::1") == "2001:db8:0:1::/64"
    assert counted_as("not:an:address") == "not:an:address"


def test_addresses_that_were_asked_for_are_remembered_boundedly() -> None:
    proxies = Proxies([ip_network("10.0.0.0/8")], "x-forwarded-for")
    for number in range(10_000):
        proxies.trusted(f"10.0.{number // 256}.{number % 256}")
    assert proxies.trusted("10.0.0.1")
    assert not proxies.trusted("192.0.2.1")
