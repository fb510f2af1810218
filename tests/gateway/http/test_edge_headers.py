"""Headers across the gateway, both ways, over sockets: only what a service's rules name, and never a hop's own."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from starlette.responses import Response

from gateway.config import ConfigError, parse
from tests.testkit.behaviours import Behaviour, Exchange
from tests.testkit.federation import ScriptedSubgraph, federated_gateway
from tests.testkit.gateway import Gateway, running_gateway
from tests.testkit.raw_server import raw_server
from tests.testkit.upstream import hang, sequence, status

CUSTOMER = '{ customer(id: "1") { name } }'
BOTH = "{ invoices(first: 1) { customer { name } } }"
NEVER_FRESH = {"cache": {"max_age_s": 0, "stale_if_error_s": 600}}


def saying(*lines: tuple[str, str]) -> Behaviour:
    """The true answer with these header lines."""

    async def behave(exchange: Exchange) -> Response:
        answer = exchange.answer()
        for name, value in lines:
            answer.headers.append(name, value)
        return answer

    return behave


def customers(**entry: Any) -> dict[str, Any]:
    return {"services": {"customers": {**NEVER_FRESH, **entry}}}


def sent(gateway: Gateway) -> Mapping[str, str]:
    return gateway.customers.graphql.calls[-1].headers


async def test_a_header_goes_upstream_under_another_name_or_with_a_default() -> None:
    forward = [
        "X-Plain",
        {"from": "X-Channel", "to": "X-Source", "default": "web"},
        {"from": "x-tenant-id", "to": "x-company"},
        {"from": "x-lang", "default": "en"},
        {"from": "x-absent", "to": "x-gone"},
    ]
    async with running_gateway(customers(forward=forward)) as gateway:
        await gateway.ask(CUSTOMER, {"x-plain": "p", "x-channel": "app", "x-tenant-id": "acme"})
        headers = sent(gateway)
        assert [headers[n] for n in ("x-plain", "x-source", "x-company", "x-lang")] == ["p", "app", "acme", "en"]
        assert {"x-channel", "x-tenant-id", "x-gone", "x-request-id"}.isdisjoint(headers)
        await gateway.ask(CUSTOMER)
        assert sent(gateway)["x-source"] == "web"


async def test_answers_are_told_apart_by_a_renamed_header() -> None:
    rules = {"forward": [{"from": "x-lang", "to": "x-language"}], "cache": {"max_age_s": 60, "stale_if_error_s": 60}}
    async with running_gateway({"services": {"customers": rules}}) as gateway:
        for language in ("de", "en", "de"):
            await gateway.ask(CUSTOMER, {"x-lang": language})
        assert [call.headers["x-language"] for call in gateway.customers.graphql.calls] == ["de", "en"]


async def test_what_connection_names_is_for_the_gateway_alone() -> None:
    async with running_gateway(customers(forward=["x-a", "x-b", "authorization"])) as gateway:
        await gateway.ask(
            CUSTOMER,
            {"connection": "keep-alive, X-A, authorization", "x-a": "1", "x-b": "2", "authorization": "Bearer t"},
        )
        assert sent(gateway)["x-b"] == "2"
        assert {"x-a", "authorization"}.isdisjoint(sent(gateway))


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ("forward: [Transfer-Encoding]", "forward[0]: Transfer-Encoding belongs to one connection and is never"),
        ("forward: [{from: x-a, to: te}]", "forward[0]: te belongs to one connection and is never forwarded"),
        ("forward: [{from: upgrade, to: x-a}]", "forward[0]: upgrade belongs to one connection"),
        ("forward: [content-length]", "forward[0]: content-length belongs to one message"),
        ("forward: [x-a, {from: x-b, to: X-A}]", "forward: sends x-a twice; keep one"),
        ('forward: [{from: x-a, default: "a\\r\\nb"}]', "forward[0].default: a header cannot carry"),
        ("forward: [{from: x-a, into: x-b}]", "into"),
        ("response_headers: [keep-alive]", "response_headers[0]: keep-alive belongs to one connection"),
        ("response_headers: [cache-control]", "response_headers[0]: cache-control speaks of one upstream's answer"),
        ("response_headers: [{from: x-a, to: x-request-id}]", "response_headers[0]: x-request-id is the gateway's own"),
        ("response_headers: [access-control-allow-origin]", "is the gateway's own"),
        ("response_headers: [{from: x-a, several: all}]", "several"),
    ],
)
def test_rules_that_cannot_be_are_refused_at_start(rules: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(f"services: {{crm: {{graphql: http://crm/graphql, {rules}}}}}", {})
    assert said in str(refused.value)


async def test_nothing_of_an_upstream_s_headers_reaches_the_client_by_itself() -> None:
    async with running_gateway() as gateway:
        gateway.customers.graphql.behave(saying(("set-cookie", "a=1"), ("x-limit", "5")))
        answered = await gateway.ask(CUSTOMER)
        assert {"set-cookie", "x-limit"}.isdisjoint(answered.response.headers)


async def test_a_resolver_s_answer_gives_its_headers_over_either_protocol() -> None:
    rules = ["set-cookie", {"from": "x-limit", "to": "x-quota"}]
    lines = (("set-cookie", "a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT"), ("set-cookie", "b=2"), ("x-limit", "5"))
    async with running_gateway(customers(response_headers=rules)) as gateway:
        for endpoint in (gateway.customers.graphql, gateway.customers.rest):
            endpoint.behave(saying(*lines, ("x-other", "no")))
            response = (await gateway.ask(CUSTOMER)).response
            cookies = response.headers.get_list("set-cookie")
            assert cookies == ["a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT", "b=2"]
            assert response.headers["x-quota"] == "5"
            assert {"x-limit", "x-other"}.isdisjoint(response.headers)
            gateway.customers.graphql.behave(status(503, headers={"x-limit": "failed"}))  # the next is REST's


async def test_a_kept_answer_gives_no_headers() -> None:
    rules = {"response_headers": ["x-limit"], "cache": {"max_age_s": 0, "stale_if_error_s": 600}}
    async with running_gateway({"services": {"customers": rules}}) as gateway:
        gateway.customers.graphql.behave(saying(("x-limit", "5")))
        assert (await gateway.ask(CUSTOMER)).response.headers["x-limit"] == "5"
        await gateway.customers.refuse()
        stale = await gateway.ask(CUSTOMER)
        assert stale.data == {"customer": {"name": "Customer 1"}}
        assert "x-limit" not in stale.response.headers
    fresh = {"response_headers": ["x-limit"], "cache": {"max_age_s": 60, "stale_if_error_s": 60}}
    async with running_gateway({"services": {"customers": fresh}}) as gateway:
        gateway.customers.graphql.behave(saying(("x-limit", "5")))
        seen = ["x-limit" in (await gateway.ask(CUSTOMER)).response.headers for _ in range(2)]
        assert seen == [True, False]


async def test_a_call_that_is_shared_gives_its_headers_to_who_made_it() -> None:
    async with running_gateway(customers(response_headers=["set-cookie"])) as gateway:
        hanging = hang()

        async def cookie(exchange: Exchange) -> Response:
            await hanging(exchange)
            return await saying(("set-cookie", "session=1"))(exchange) or exchange.answer()

        gateway.customers.graphql.behave(cookie)
        asking = [asyncio.create_task(gateway.ask(CUSTOMER)) for _ in range(2)]
        await gateway.customers.graphql.wait_for_calls(1)
        while (await gateway.http.get("/health")).json()["load"]["inFlight"] < 2:
            pass
        hanging.release()
        answered = await asyncio.gather(*asking)
        assert len(gateway.customers.graphql.calls) == 1
        assert sorted("set-cookie" in each.response.headers for each in answered) == [False, True]


@pytest.mark.parametrize(("several", "found"), [("first", "i"), ("last", "c"), ("append", "i, c")])
async def test_of_several_answers_the_rule_says_which_counts(several: str, found: str) -> None:
    rules = {"response_headers": [{"from": "x-limit", "several": several}]}
    async with running_gateway({"services": {"customers": rules, "invoices": rules}}) as gateway:
        gateway.invoices.graphql.behave(saying(("x-limit", "i"), ("set-cookie", "i=1")))
        gateway.customers.graphql.behave(saying(("x-limit", "c"), ("set-cookie", "c=1")))
        response = (await gateway.ask(BOTH)).response
        assert response.headers.get_list("x-limit") == [found]


async def test_a_federated_fetch_gives_its_headers() -> None:
    products = ScriptedSubgraph.made("type Query { p: P } type P { id: ID! }", {"p": {"id": 1}})
    async with products:
        services = {"products": {"response_headers": ["x-limit"]}}
        async with federated_gateway({"products": products}, services=services) as gateway:
            products.graphql.behave(saying(("x-limit", "5"), ("connection", "x-hop")))
            answered = await gateway.ask("{ p { id } }")
            assert (answered.data, answered.response.headers["x-limit"]) == ({"p": {"id": "1"}}, "5")


async def test_what_an_upstream_s_connection_names_is_not_passed_on() -> None:
    async with running_gateway(customers(response_headers=["x-hop", "x-limit"])) as gateway:
        gateway.customers.graphql.behave(saying(("connection", "X-Hop"), ("x-hop", "1"), ("x-limit", "5")))
        headers = (await gateway.ask(CUSTOMER)).response.headers
        assert ("x-hop" in headers, headers["x-limit"]) == (False, "5")


async def test_more_headers_than_a_client_may_bear_are_left_out() -> None:
    async with running_gateway(customers(response_headers=["x-limit", "x-large"])) as gateway:
        gateway.customers.graphql.behave(saying(("x-limit", "5"), ("x-large", "x" * 17_000)))
        headers = (await gateway.ask(CUSTOMER)).response.headers
        assert ("x-large" in headers, headers["x-limit"]) == (False, "5")


async def test_a_redirect_of_an_upstream_is_not_followed() -> None:
    async with running_gateway() as gateway:
        elsewhere = {"location": gateway.bank.rest.url}
        gateway.customers.graphql.behave(sequence(status(302, headers=elsewhere), status(307, headers=elsewhere)))
        gateway.customers.rest.behave(status(307, headers=elsewhere))
        assert (await gateway.ask(CUSTOMER)).codes == ["SERVICE_UNAVAILABLE"]
        assert gateway.bank.rest.calls == []


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw_server(lambda connection: connection.until_closed()) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        async with running_gateway() as gateway:
            assert (await gateway.ask(CUSTOMER)).data == {"customer": {"name": "Customer 1"}}
        assert proxy.accepted == 0


@pytest.mark.parametrize("bad", ["no good", "a" * 65, "x;y", "<script>", "tab\there"])
async def test_a_correlation_id_that_is_not_clean_is_replaced(bad: str) -> None:
    async with running_gateway() as gateway:
        headers = {"x-correlation-id": bad, "x-request-id": "fine-1"}
        answered = await gateway.ask(CUSTOMER, headers)
        made = answered.response.headers["x-correlation-id"]
        assert made == answered.response.headers["x-request-id"] == "fine-1" == sent(gateway)["x-correlation-id"]
