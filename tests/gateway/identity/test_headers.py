"""Whose request it is: ids, tenant and user, and what of it reaches upstreams."""

import pytest

from gateway import identity
from gateway.identity import clean_id
from tests.testkit.gateway import Gateway, running_gateway

QUERY = '{ customer(id: "1") { name } }'


def sent(gateway: Gateway) -> dict[str, str]:
    return dict(gateway.customers.graphql.calls[-1].headers)


@pytest.mark.parametrize("text", ["a", "A-z_9", "x" * 64])
def test_a_clean_id_is_kept(text: str) -> None:
    assert clean_id(text) == text


@pytest.mark.parametrize("text", ["", "x" * 65, "a b", "a\n", "é", "a;b", None])
def test_an_id_that_is_not_clean_is_dropped(text: str | None) -> None:
    assert clean_id(text) is None


def test_a_clean_request_id_is_taken_and_any_other_replaced() -> None:
    assert identity.request_id({"x-request-id": "good"}) == "good"
    for headers in ({}, {"x-request-id": "no good"}, {"x-request-id": "one, other"}):
        assert len(identity.request_id(headers)) == 32


async def test_ids_go_upstream_and_come_back() -> None:
    async with running_gateway() as gateway:
        answered = await gateway.ask(QUERY, {"x-request-id": "r-1", "x-correlation-id": "c-1"})
        assert (sent(gateway)["x-request-id"], sent(gateway)["x-correlation-id"]) == ("r-1", "c-1")
        assert answered.response.headers["x-request-id"] == "r-1"
        assert answered.response.headers["x-correlation-id"] == "c-1"


async def test_an_unclean_correlation_id_is_replaced() -> None:
    async with running_gateway() as gateway:
        answered = await gateway.ask(QUERY, {"x-correlation-id": "evil; drop"})
        made = answered.response.headers["x-correlation-id"]
        assert clean_id(made)
        assert sent(gateway)["x-correlation-id"] == made


async def test_only_the_headers_of_the_allow_list_go_upstream() -> None:
    overrides = {"services": {"customers": {"forward": ["Accept-Language", "x-tenant-id"]}}}
    async with running_gateway(overrides) as gateway:
        await gateway.ask(
            QUERY,
            {
                "accept-language": "de",
                "x-tenant-id": "acme",
                "x-user-id": "u1",
                "authorization": "Bearer t",
                "cookie": "s=1",
            },
        )
        headers = sent(gateway)
        assert (headers["accept-language"], headers["x-tenant-id"]) == ("de", "acme")
        assert {"authorization", "cookie", "x-user-id", "x-correlation-id"}.isdisjoint(headers)


async def test_authorization_goes_where_the_service_says_so() -> None:
    overrides = {"services": {"customers": {"forward": ["authorization", "x-user-id"], "headers": {"X-Key": "k"}}}}
    async with running_gateway(overrides) as gateway:
        await gateway.ask(QUERY, {"authorization": "Bearer t", "x-user-id": "u1"})
        headers = sent(gateway)
        assert (headers["authorization"], headers["x-user-id"], headers["x-key"]) == ("Bearer t", "u1", "k")


async def test_tenant_and_user_are_not_taken_from_just_anybody() -> None:
    overrides = {
        "identity": {"trusted_proxies": ["10.0.0.0/8"]},
        "services": {"customers": {"forward": ["x-tenant-id", "x-user-id"]}},
    }
    async with running_gateway(overrides) as gateway:
        await gateway.ask(QUERY, {"x-tenant-id": "acme", "x-user-id": "root"})
        assert {"x-tenant-id", "x-user-id"}.isdisjoint(sent(gateway))
