"""A secret in whatever upstreams and resolvers say never reaches an answer or the log, however the operation runs."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio
from starlette.responses import Response

from demo.reviews import reviews_schema
from tests.attacks.fuzz import MODULES, break_upstreams, operations, requests, run
from tests.attacks.target import CANARY, Reply, Target, query, serving, target
from tests.testkit.behaviours import Behaviour, Exchange, reset, status
from tests.testkit.federation import ScriptedSubgraph
from tests.testkit.ports import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

EVERY_ONE = {"breaker": {"failures": 1_000}, "cache": {"max_age_s": 0, "stale_if_error_s": 0}}  # trouble is met
ERROR = {
    "message": f"at {CANARY}",
    "path": ["customers", CANARY],
    "locations": [{"line": 1, "column": 1}],
    "extensions": {"code": CANARY, "debug": CANARY, "serviceName": CANARY, "category": CANARY, "retryAfter": CANARY},
}
CODED = {**ERROR, "path": None, "extensions": {"code": "INTERNAL_SERVER_ERROR", "exception": CANARY}}
REFUSED = {**ERROR, "path": ["latestReviews", 0], "extensions": {"code": "NOT_FOR_YOU", "exception": CANARY}}
CUSTOMER = {"id": "1", "name": "Ada", "email": "a@example.org", "tier": "GOLD"}
LOCAL = '{ customer(id: "1") { name tier email account { balance } } invoices(first: 1) { id status } }'
REVIEWS = "{ latestReviews(first: 1) { __typename body rating } }"


def says(body: Any, code: int = 200) -> Behaviour:
    """A body as it stands, with a secret in the headers."""
    text = body if isinstance(body, str) else json.dumps(body)
    headers = {"x-debug": CANARY, "content-type": "application/json", "location": f"http://{CANARY}.test/"}

    async def behave(_exchange: Exchange) -> Response:
        return Response(text, code, headers)

    return behave


TROUBLES: dict[str, Behaviour] = {
    "errors alone": says({"data": None, "errors": [ERROR]}),
    "its own failure": says({"data": None, "errors": [CODED, ERROR]}),
    "a refusal": says({"data": None, "errors": [REFUSED]}, 403),
    "errors and a status": says({"errors": [ERROR]}, 400),
    "errors without a code": says({"data": None, "errors": [{"message": CANARY}]}),
    "errors out of shape": says({"data": None, "errors": [CANARY, {"message": {"a": CANARY}}]}),
    "errors beside customers": says({"data": {"customers": [None]}, "errors": [{**REFUSED, "path": ["customers", 0]}]}),
    "errors beside reviews": says({"data": {"latestReviews": [None]}, "errors": [REFUSED, ERROR]}),
    "a page of an error": says(f"<html>{CANARY}</html>", 502),
    "a rejection": says(f"no {CANARY}", 403),
    "a redirect": says("", 302),
    "no JSON": says(f'{{"data": {CANARY}'),
    "JSON of another kind": says([CANARY]),
    "data of another kind": says({"data": CANARY, CANARY: CANARY}),
    "a field of another kind": says({"data": {"latestReviews": CANARY, "customers": [{**CUSTOMER, "name": [CANARY]}]}}),
    "an unknown type": says({"data": {"latestReviews": [{"__typename": CANARY, "body": [CANARY], "rating": 5}]}}),
    "a broken connection": reset(),
    "a status that asks to wait": status(429, headers={"retry-after": CANARY}, body=CANARY),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plain(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Target]:
    """The gateway's own schema, in its default configuration."""
    async with target(tmp_path_factory.mktemp("plain"), modules=MODULES, policy=EVERY_ONE) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def federated(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Target, ScriptedSubgraph]]:
    """A supergraph of a subgraph and the gateway's own schema, whose services cannot be reached."""
    async with AsyncExitStack() as stack:
        reviews = await stack.enter_async_context(ScriptedSubgraph.of(reviews_schema()))
        closed = f"http://127.0.0.1:{free_port()}/{CANARY}"
        once = {"retry": {"attempts": 1}, "headers": {"x-api-key": CANARY}, **EVERY_ONE}
        config = {
            "imports": list(MODULES),
            "federation": {},
            "services": {
                "reviews": {"graphql": f"{reviews.graphql.url}?key={CANARY}", "subgraph": {}, **once},
                **{name: {"rest": closed, **once} for name in ("customers", "invoices", "bank")},
            },
        }
        running = await stack.enter_async_context(serving(tmp_path_factory.mktemp("federated"), config))
        yield running, reviews


async def ask(gateway: Target, text: str) -> Reply:
    """The reply, which has no secret; nor has what was logged meanwhile."""
    since = gateway.log.stat().st_size
    [reply] = await gateway.send(query(text))
    await asyncio.sleep(0)
    told = reply.body.decode() + repr(reply.headers) + gateway.log.read_bytes()[since:].decode()
    assert CANARY not in told, told
    assert "Traceback" not in reply.body.decode()
    return reply


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_a_service_of_the_gateways_own_schema(trouble: str, plain: Target) -> None:
    for upstream in plain.upstreams.values():
        upstream.graphql.behave(TROUBLES[trouble])
        upstream.rest.behave(TROUBLES[trouble])
    reply = await ask(plain, LOCAL)
    assert reply.status == 200
    assert b"extensions" in reply.body


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_a_subgraph(trouble: str, federated: tuple[Target, ScriptedSubgraph]) -> None:
    gateway, reviews = federated
    reviews.graphql.behave(TROUBLES[trouble])
    reply = await ask(gateway, REVIEWS)
    assert reply.status == 200
    assert b"errors" in reply.body


async def test_a_subgraphs_error_keeps_its_code_and_its_path(federated: tuple[Target, ScriptedSubgraph]) -> None:
    gateway, reviews = federated
    reviews.graphql.behave(TROUBLES["errors beside reviews"])
    first, second = json.loads((await ask(gateway, REVIEWS)).body)["errors"]
    assert (first["message"], first["path"]) == ("The subgraph 'reviews' reported an error.", ["latestReviews", 0])
    assert (first["extensions"]["code"], first["extensions"]["service"]) == ("NOT_FOR_YOU", "reviews")
    assert second["extensions"]["code"] == "DOWNSTREAM_SERVICE_ERROR"


async def test_exceptions_and_services_that_cannot_be_reached(
    plain: Target, federated: tuple[Target, ScriptedSubgraph]
) -> None:
    for gateway in (plain, federated[0]):
        reply = await ask(gateway, '{ explodes(how: "so") }')
        assert reply.codes == {"INTERNAL_SERVER_ERROR"}
    reply = await ask(federated[0], LOCAL)
    assert reply.codes == {"UPSTREAM_UNREACHABLE"}


async def test_requests_that_nobody_would_write_get_clean_answers_and_learn_no_secret(plain: Target) -> None:
    """A few hundred of those that `python -m tests.attacks.fuzz` sends by the ten thousand."""
    for upstream in plain.upstreams.values():
        upstream.graphql.heal()
        upstream.rest.heal()
    break_upstreams(plain)
    result = await run(plain, requests(200, 3, operations(60, 3)))
    assert result.wrong == []
    assert result.statuses["200"] > 20
    assert result.statuses["400"] > 20
    assert result.statuses.total() == 200


async def test_no_line_of_the_whole_log_has_it(plain: Target, federated: tuple[Target, ScriptedSubgraph]) -> None:
    for gateway in (plain, federated[0]):
        assert CANARY not in gateway.log.read_text()
