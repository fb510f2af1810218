"""What the edge promises, of `gateway serve` in its default configuration: production, and nothing switched on."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.attacks.target import CANARY, Reply, Target, get, post, query, target
from tests.conformance.edge import PROMISES
from tests.testkit.upstream import huge, ok

pytestmark = pytest.mark.asyncio(loop_scope="module")

JSON = b"accept: application/json"
OPERATION = "{ invoices(first: 1) { id } }"
SHAPE = {"message", "locations", "path", "extensions"}
EXTENSIONS = {"code", "category", "requestId", "timestamp"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Target]:
    async with target(tmp_path_factory.mktemp("edge"), policy={"breaker": {"failures": 1_000}}) as running:
        yield running


async def ask(gateway: Target, request: bytes) -> Reply:
    [reply] = await gateway.send(request)
    return reply


def body(text: str, **more: Any) -> bytes:
    return json.dumps({"query": text, **more}).encode()


@pytest.mark.parametrize(
    ("accept", "good", "bad", "written"),
    [
        (b"application/json", 200, 200, "application/json"),
        (b"application/graphql-response+json", 200, 400, "application/graphql-response+json"),
        (b"*/*", 200, 200, "application/json"),
        (b"text/html", 406, 406, "application/json"),
    ],
)
async def test_accept_decides_the_media_type_and_the_status(
    accept: bytes, good: int, bad: int, written: str, gateway: Target
) -> None:
    for text, status in ((OPERATION, good), ("{ nothing }", bad)):
        reply = await ask(gateway, post(body(text), b"accept: " + accept))
        assert reply.status == status
        assert reply.headers["content-type"] == f"{written}; charset=utf-8"


async def test_get_is_for_queries_only(gateway: Target) -> None:
    reply = await ask(gateway, get("/graphql?query={invoices(first:1){id}}"))
    assert (reply.status, reply.body) == (200, b'{"data":{"invoices":[{"id":"1"}]}}')
    reply = await ask(gateway, get("/graphql?query=mutation{resetCircuit(service:%22bank%22){name}}"))
    assert reply.status in (400, 405)
    assert b'"data"' not in reply.body


async def test_entries_of_an_answer_come_in_their_order(gateway: Target) -> None:
    answer = json.loads((await ask(gateway, query('{ upstreams { name } b: customer(id: "1") { name } }'))).body)
    assert list(answer)[:2] == ["data", "errors"]
    assert list(answer) == [key for key in ("data", "errors", "extensions") if key in answer]


async def test_an_error_has_one_shape_whatever_went_wrong(gateway: Target) -> None:
    for request in (query("{"), query("{ nothing }"), post(b"{"), query("{ upstreams { name } }"), get("/graphql")):
        for error in json.loads((await ask(gateway, request)).body)["errors"]:
            assert set(error) <= SHAPE
            assert set(error["extensions"]) >= EXTENSIONS


@pytest.mark.parametrize("path", ["/nothing", "/monitoring/performance", "/metrics/nothing", "/graphql/"])
async def test_endpoints_that_are_not_graphql_answer_the_same_envelope(path: str, gateway: Target) -> None:
    answer = json.loads((await ask(gateway, get(path))).body)
    assert answer["success"] is False
    assert set(answer["error"]) == {"code", "category", "message", "details", "timestamp", "requestId", "path"}
    assert answer["error"]["path"] == path


def selections(count: int) -> bytes:
    """So many, most of them in a fragment."""
    spreads, rest = divmod(count - 1, 101)
    return query("{ a { " + "...F " * spreads + "b " * rest + "} } fragment F on A { " + "c " * 100 + "}")


LIMITS: dict[str, tuple[int, Callable[[int], bytes]]] = {
    "tokens": (5_000, lambda count: query("{ a(b: [" + "1 " * (count - 9) + "]) }")),
    "depth": (15, lambda count: query("{ a " * count + "}" * count)),
    "aliases": (30, lambda count: query("{ a { " + "b: c " * count + "} }")),
    "directives": (50, lambda count: query("{ a" + " @b" * count + " }")),
    "root fields": (20, lambda count: query("{ " + "a " * count + "}")),
    "selections": (10_000, selections),
    "bytes of variables": (256 * 1024, lambda count: query("{ a }", variables={"a": "x" * (count - len('{"a": ""}'))})),
    "levels of variables": (
        64,
        lambda count: post(b'{"query": "{ a }", "variables": {"a": %s%s}}' % (b"[" * (count - 1), b"]" * (count - 1))),
    ),
    "characters of strings": (20_000, lambda count: query('{ a(b: "' + "x" * (count - 2) + '") }')),
    "bytes of a body": (1_000_000, lambda count: post(body("{ a }").ljust(count))),
}


@pytest.mark.parametrize("limit", LIMITS)
async def test_what_is_allowed_is_looked_at_and_one_more_is_refused(limit: str, gateway: Target) -> None:
    (allowed, made), calls = LIMITS[limit], gateway.calls
    assert (await ask(gateway, made(allowed))).codes == {"GRAPHQL_VALIDATION_FAILED"}
    reply = await ask(gateway, made(allowed + 1))
    refused = (413, {"PAYLOAD_TOO_LARGE"}) if limit == "bytes of a body" else (400, {"LIMIT_EXCEEDED"})
    assert (reply.status, reply.codes) == refused
    assert gateway.calls == calls


@pytest.mark.parametrize("compressed", [False, True])
async def test_an_upstreams_body_ends_at_10_mb_after_decompression(compressed: bool, gateway: Target) -> None:
    upstream = gateway.upstreams["invoices"]
    for endpoint in (upstream.graphql, upstream.rest):
        endpoint.behave(huge(10_000_001, compressed=compressed))
    memory = gateway.rss_bytes()
    reply = await ask(gateway, query(f"{{ invoices(first: {2 + compressed}) {{ number }} }}"))
    for endpoint in (upstream.graphql, upstream.rest):
        endpoint.behave(ok())
    assert b"max_body_bytes (10000000)" in reply.body
    assert reply.status == 200
    assert gateway.rss_bytes() - memory < 60_000_000


@pytest.mark.parametrize(
    "sort", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a", ""]
)
async def test_what_a_page_of_another_site_can_make_a_browser_send_is_refused(sort: str, gateway: Target) -> None:
    reply = await ask(gateway, post(body(OPERATION), f"content-type: {sort}".encode()))
    assert (reply.status, reply.codes) == (415, {"UNSUPPORTED_MEDIA_TYPE"})
    forged = get("/graphql?query={__typename}", "origin: https://evil.example", "sec-fetch-site: cross-site")
    forged = forged.replace(b"accept: application/graphql-response+json", b"accept: */*")
    reply = await ask(gateway, forged)
    assert (reply.status, reply.codes) == (403, {"CSRF_PREVENTED"})


async def test_operators_fields_mutations_and_pages_are_for_nobody_until_it_is_said_who_may(gateway: Target) -> None:
    reply = await ask(gateway, query("{ upstreams { name } }"))
    assert reply.codes == {"UNAUTHENTICATED"}
    assert (await ask(gateway, get("/monitoring/performance"))).status == 401


async def test_a_tenant_and_a_user_that_a_client_claims_are_nobodys(gateway: Target) -> None:
    calls = len(gateway.upstreams["customers"].graphql.calls)
    claims = (b"x-tenant-id: acme", b"x-user-id: root", b"x-scopes: breakwater:ops", b"authorization: Bearer a.b.c")
    asked = body('{ customer(id: "77") { name } upstreams { name } }')
    assert (await ask(gateway, post(asked, *claims))).codes == {"UNAUTHENTICATED"}
    [call] = gateway.upstreams["customers"].graphql.calls[calls:]
    assert set(call.headers) & {"x-tenant-id", "x-user-id", "x-scopes", "authorization"} == set()


async def test_of_a_clients_headers_none_but_the_ids_go_upstream(gateway: Target) -> None:
    calls = len(gateway.upstreams["customers"].graphql.calls)
    sent = (
        b"cookie: a=1",
        b"x-secret: 1",
        b"connection: x-secret, keep-alive",
        b"x-correlation-id: a b",
        b"te: trailers",
    )
    reply = await ask(gateway, post(body('{ customer(id: "78") { name } }'), *sent))
    [call] = gateway.upstreams["customers"].graphql.calls[calls:]
    assert set(call.headers) & {"cookie", "x-secret", "te"} == set()
    assert call.headers["x-correlation-id"] == reply.headers["x-correlation-id"] != "a b"
    assert call.headers["x-api-key"] == CANARY


async def test_no_limit_of_rate_and_no_cost_is_there_until_it_is_asked_for(gateway: Target) -> None:
    replies = await gateway.send(post(body("{ __typename }"), b"x-graphql-cost: 1") * 60, replies=60)
    assert {(reply.status, reply.body) for reply in replies} == {(200, b'{"data":{"__typename":"Query"}}')}


async def test_pages_of_other_origins_are_told_nothing(gateway: Target) -> None:
    reply = await ask(gateway, post(body("{ __typename }"), b"origin: https://evil.example"))
    assert [name for name in reply.headers if name.startswith("access-control")] == []
    preflight = get("/graphql", "origin: https://evil.example", "access-control-request-method: POST")
    assert (await ask(gateway, preflight.replace(b"GET", b"OPTIONS", 1))).status == 405


async def test_every_promise_names_tests_that_are_there() -> None:
    root = Path(__file__).parents[2]
    named = [test for promises in PROMISES.values() for tests in promises.values() for test in tests]
    missing = [
        test for test in named if f"def {test.partition('::')[2]}(" not in (root / test.partition("::")[0]).read_text()
    ]
    assert missing == []
