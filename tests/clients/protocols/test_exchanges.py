"""GraphQL and REST, each over both wires and a real socket: requests, rows, and what every answer means."""

import enum
import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from starlette.responses import Response

from clients.call import Answer, Call, Caller, Problem, ProtocolName, ServedBy
from clients.errors import (
    ConnectFailed,
    ConnectionLost,
    ContractMismatch,
    ExecutionFailed,
    InvalidVariables,
    MalformedResponse,
    RateLimited,
    Rejected,
    ServerFailed,
    ServiceUnavailable,
    UpstreamError,
)
from clients.operation import Kind, RestRoute, operation
from clients.protocols.exchange import Exchange
from clients.protocols.graphql import GraphQLExchange
from clients.protocols.rest import RestExchange
from tests.clients.support import (
    CALLER,
    FIRST,
    MANY,
    ONE,
    SEARCH,
    TOUCH,
    WIRES,
    Customer,
    Rig,
    ask,
    ask_one,
    customer,
    rig,
    says,
)
from tests.testkit.upstream import (
    Behaviour,
    empty,
    errors,
    html,
    huge,
    malformed,
    reset,
    status,
    truncated,
    wrong_shape,
)
from tests.testkit.upstream import Exchange as ScriptedExchange

GRAPHQL, REST = ProtocolName.GRAPHQL, ProtocolName.REST
BOTH = pytest.mark.parametrize("protocol", [GRAPHQL, REST])
ON_BOTH_WIRES = pytest.mark.parametrize("wire", WIRES)


def exchange(made: Rig, protocol: ProtocolName) -> Exchange:
    """One attempt over one protocol, with no stage around it."""
    kind = GraphQLExchange if protocol is GRAPHQL else RestExchange
    return kind(made.service, made.wire, made.clock)


def scripted(made: Rig, protocol: ProtocolName, behaviour: Behaviour) -> None:
    (made.script.graphql if protocol is GRAPHQL else made.script.rest).behave(behaviour)


async def attempt(made: Rig, protocol: ProtocolName, call: Call | None = None) -> Answer:
    return await exchange(made, protocol)(call or ask(1, 2))


async def failure(made: Rig, protocol: ProtocolName, call: Call | None = None) -> UpstreamError:
    with pytest.raises(UpstreamError) as raised:
        await attempt(made, protocol, call)
    return raised.value


@ON_BOTH_WIRES
async def test_both_protocols_give_the_same_rows(wire: str) -> None:
    async with rig(wire) as made:
        for call in (ask(3, 1, 999), ask_one(7), ask_one(999), Call(FIRST, {"first": 4}, CALLER)):
            over_graphql, over_rest = await attempt(made, GRAPHQL, call), await attempt(made, REST, call)
            assert over_graphql.value == over_rest.value
            assert (over_graphql.served.by, over_rest.served.by) == (ServedBy.GRAPHQL, ServedBy.REST)
            assert over_graphql.problems == over_rest.problems == ()
        assert (await attempt(made, REST, ask(3, 1, 999))).value == [customer(3), customer(1), None]
        assert (await attempt(made, GRAPHQL, ask_one(7))).value == customer(7)


@ON_BOTH_WIRES
async def test_graphql_sends_the_document_as_it_stands_with_its_own_variables_only(wire: str) -> None:
    async with rig(wire, headers={"x-api-key": "secret"}) as made:
        await attempt(made, GRAPHQL, Call(MANY, {"ids": ["1"], "elsewhere": 1}, CALLER, ("1",)))
        [call] = made.script.graphql.calls
        assert MANY.graphql is not None
        assert call.json == {
            "query": MANY.graphql.text,
            "operationName": "Customers",
            "variables": {"ids": ["1"]},
        }
        assert call.headers["content-type"] == "application/json"
        assert call.headers["accept"].startswith("application/graphql-response+json")
        assert call.headers["x-api-key"] == "secret"


class Tier(enum.Enum):
    GOLD = "au"


async def test_enum_members_travel_by_name_over_graphql_and_by_value_over_rest() -> None:
    text = "query ($tier: Tier, $tiers: [Tier!]) { customers(tier: $tier, tiers: $tiers) { id name } }"
    by_tier = operation("crm", "byTier", row=Customer, many=True, graphql=text, rest="GET /customers{?tier,tiers}")
    call = Call(by_tier, {"tier": Tier.GOLD, "tiers": [Tier.GOLD]}, CALLER)
    async with rig() as made:
        scripted(made, GRAPHQL, says({"data": {"customers": []}}))
        await attempt(made, GRAPHQL, call)
        await attempt(made, REST, call)
        assert made.script.graphql.calls[0].variables == {"tier": "GOLD", "tiers": ["GOLD"]}
        assert made.script.rest.calls[0].query_string == "tier=au&tiers=au"


async def test_a_document_without_a_name_is_sent_without_one() -> None:
    async with rig() as made:
        await attempt(made, GRAPHQL, ask_one())
        assert "operationName" not in made.script.graphql.calls[0].json


@ON_BOTH_WIRES
async def test_rest_fills_the_route_and_puts_the_rest_into_the_body(wire: str) -> None:
    async with rig(wire) as made:
        await attempt(made, REST, ask(1, 2))
        assert (await attempt(made, REST, ask(5, 4, declared=SEARCH))).value == [customer(5), customer(4)]
        await attempt(made, REST, ask_one(declared=TOUCH))
        get, search, touch = made.script.rest.calls
        assert (get.method, get.path, get.query_string, get.body) == ("GET", "/api/customers", "ids=1,2", b"")
        assert "content-type" not in get.headers
        assert (search.method, search.path, search.json) == ("POST", "/api/customers/search", {"ids": ["5", "4"]})
        assert search.headers["content-type"] == "application/json"
        assert (touch.method, touch.path, touch.json) == ("POST", "/api/customers/1/touch", {})


async def test_a_configured_route_replaces_the_declared_one() -> None:
    async with rig(routes={"customers": RestRoute.parse("GET /customers{?ids*}")}) as made:
        assert (await attempt(made, REST)).value == [customer(1), customer(2)]
        assert made.script.rest.calls[0].query_string == "ids=1&ids=2"


async def test_rows_may_lie_deeper_in_both_protocols() -> None:
    paged = operation(
        "crm",
        "paged",
        row=Customer,
        many=True,
        graphql="{ page { nodes { id name } } }",
        graphql_rows="page.nodes",
        rest="GET /customers",
        rest_rows="data.items",
    )
    call = Call(paged, {}, CALLER)
    rows = [{"id": "1", "name": "Customer 1", "more": 1}]
    async with rig() as made:
        scripted(made, GRAPHQL, says({"data": {"page": {"nodes": rows, "total": 1}}, "extensions": {}}))
        scripted(made, REST, says({"data": {"items": rows}, "next": None}))
        assert (await attempt(made, GRAPHQL, call)).value == (await attempt(made, REST, call)).value == [customer(1)]
        scripted(made, GRAPHQL, says({"data": {"page": None}}))
        scripted(made, REST, says({"data": None}))
        assert (await attempt(made, GRAPHQL, call)).value is (await attempt(made, REST, call)).value is None


@BOTH
async def test_headers_are_those_of_the_service_and_of_its_forward_list(protocol: ProtocolName) -> None:
    caller = Caller(
        "r", "c", tenant="t", user="u", authorization="Bearer x", headers={"accept-language": "de", "cookie": "no"}
    )
    forward = ("x-request-id", "x-tenant-id", "authorization", "accept-language", "x-user-id", "x-not-sent")
    async with rig(forward=forward) as made:
        await attempt(made, protocol, ask(1, caller=caller))
        headers = (made.script.graphql.calls + made.script.rest.calls)[0].headers
        assert headers["x-request-id"] == "r"
        assert headers["x-tenant-id"] == "t"
        assert headers["x-user-id"] == "u"
        assert headers["authorization"] == "Bearer x"
        assert headers["accept-language"] == "de"
        assert not {"cookie", "x-correlation-id", "x-not-sent", "x-retry-attempt"} & headers.keys()


# What each answer means: error class, counts for the circuit, retried, worth the other protocol, allows a stale answer.
MEANINGS: list[tuple[Any, ...]] = [
    # both protocols
    (GRAPHQL, status(500), ServerFailed, True, True, True, True),
    (REST, status(500), ServerFailed, True, True, True, True),
    (GRAPHQL, status(502), ServerFailed, True, True, True, True),
    (REST, status(503), ServerFailed, True, True, True, True),
    (GRAPHQL, status(504), ServerFailed, True, True, True, True),
    (REST, status(408), ServerFailed, True, True, True, True),
    (GRAPHQL, status(408), ServerFailed, True, True, True, True),
    (REST, status(505), ServerFailed, True, False, True, True),
    (GRAPHQL, status(505), ServerFailed, True, False, True, True),
    (GRAPHQL, status(429), RateLimited, False, True, True, True),
    (REST, status(429), RateLimited, False, True, True, True),
    (GRAPHQL, status(302, headers={"location": "/"}), MalformedResponse, True, False, True, True),
    (REST, status(302, headers={"location": "/"}), MalformedResponse, True, False, True, True),
    (GRAPHQL, malformed(), MalformedResponse, True, False, True, True),
    (REST, malformed(), MalformedResponse, True, False, True, True),
    (GRAPHQL, empty(), MalformedResponse, True, False, True, True),
    (REST, empty(), MalformedResponse, True, False, True, True),
    (GRAPHQL, html(), MalformedResponse, True, False, True, True),
    (REST, html(), MalformedResponse, True, False, True, True),
    (GRAPHQL, wrong_shape(), MalformedResponse, True, False, True, True),
    (REST, wrong_shape(), MalformedResponse, True, False, True, True),
    (GRAPHQL, huge(1_000_001), MalformedResponse, True, False, True, True),
    (REST, huge(1_000_001), MalformedResponse, True, False, True, True),
    (REST, huge(1_000_001, compressed=True), MalformedResponse, True, False, True, True),
    (GRAPHQL, reset(), ConnectionLost, True, True, True, True),
    (REST, reset(), ConnectionLost, True, True, True, True),
    (GRAPHQL, truncated(), ConnectionLost, True, True, True, True),
    (REST, truncated(), ConnectionLost, True, True, True, True),
    (GRAPHQL, status(400), Rejected, False, False, False, False),
    (REST, status(400), Rejected, False, False, False, False),
    (GRAPHQL, status(401), Rejected, False, False, False, False),
    (REST, status(401), Rejected, False, False, False, False),
    (GRAPHQL, status(403), Rejected, False, False, False, False),
    (REST, status(403), Rejected, False, False, False, False),
    (REST, status(422), Rejected, False, False, False, False),
    (REST, status(501), ServerFailed, True, False, True, True),
    # GraphQL at an address or in a way the server does not know
    (GRAPHQL, status(404), ContractMismatch, False, False, True, False),
    (GRAPHQL, status(405), ContractMismatch, False, False, True, False),
    (GRAPHQL, status(415), ContractMismatch, False, False, True, False),
    (GRAPHQL, status(501), ContractMismatch, False, False, True, False),
    # GraphQL errors without rows
    (GRAPHQL, errors("down", code="INTERNAL_SERVER_ERROR"), ServerFailed, True, False, True, True),
    (GRAPHQL, errors("down", code="DOWNSTREAM_SERVICE_ERROR"), ServerFailed, True, False, True, True),
    (GRAPHQL, errors("down", code="TIMEOUT", http_status=400), ServerFailed, True, False, True, True),
    (GRAPHQL, errors("down", code="INTERNAL_SERVER_ERROR", http_status=500), ServerFailed, True, True, True, True),
    (GRAPHQL, errors("what?", code="GRAPHQL_VALIDATION_FAILED"), ContractMismatch, False, False, True, False),
    (
        GRAPHQL,
        errors("what?", code="GRAPHQL_PARSE_FAILED", http_status=400),
        ContractMismatch,
        False,
        False,
        True,
        False,
    ),
    (GRAPHQL, errors("Cannot query field", http_status=400), ContractMismatch, False, False, True, False),
    (GRAPHQL, errors("Cannot query field"), ContractMismatch, False, False, True, False),
    (GRAPHQL, errors("no", code="BAD_USER_INPUT"), Rejected, False, False, False, False),
    (GRAPHQL, errors("no", code="FORBIDDEN"), Rejected, False, False, False, False),
    (GRAPHQL, errors("no", code="UNAUTHENTICATED", http_status=401), Rejected, False, False, False, False),
    (GRAPHQL, errors("who are you?", http_status=401), Rejected, False, False, False, False),
    (GRAPHQL, errors("not you", http_status=403), Rejected, False, False, False, False),
    (
        GRAPHQL,
        says({"data": None, "errors": [{"message": "boom", "path": ["customers"]}]}),
        ExecutionFailed,
        False,
        False,
        True,
        False,
    ),
    (
        GRAPHQL,
        says({"errors": [{"message": "a", "extensions": {"code": "X"}}, {"message": "b", "extensions": {"code": 7}}]}),
        Rejected,
        False,
        False,
        False,
        False,
    ),
    # GraphQL envelopes gone wrong
    (GRAPHQL, says({}), MalformedResponse, True, False, True, True),
    (GRAPHQL, says({"data": {}}), MalformedResponse, True, False, True, True),
    (GRAPHQL, says({"data": None}), MalformedResponse, True, False, True, True),
    (GRAPHQL, says({"data": {"customers": None}, "errors": "no"}), MalformedResponse, True, False, True, True),
    (GRAPHQL, says({"message": "no"}, http_status=401), Rejected, False, False, False, False),
]


@pytest.mark.parametrize(
    ("protocol", "behaviour", "kind", "meaning"),
    [(*row[:3], row[3:]) for row in MEANINGS],
    ids=[f"{row[0]}-{number}-{row[2].__name__}" for number, row in enumerate(MEANINGS)],
)
async def test_every_answer_has_one_meaning(
    protocol: ProtocolName, behaviour: Behaviour, kind: type[UpstreamError], meaning: tuple[bool, ...]
) -> None:
    async with rig() as made:
        scripted(made, protocol, behaviour)
        error = await failure(made, protocol)
        assert type(error) is kind
        assert (error.counts_as_failure, error.transient, error.falls_back, error.allows_stale) == meaning
        assert error.reached_upstream
        assert error.message.startswith("crm: GraphQL customers" if protocol is GRAPHQL else "crm: REST GET /customers")


@ON_BOTH_WIRES
@BOTH
async def test_a_refused_connection_means_that_nothing_was_sent(wire: str, protocol: ProtocolName) -> None:
    async with rig(wire) as made:
        await made.script.refuse()
        error = await failure(made, protocol)
        assert type(error) is ConnectFailed
        assert (error.counts_as_failure, error.transient, error.reached_upstream) == (True, True, False)
        assert "no connection" in error.message
        await made.script.listen()


@ON_BOTH_WIRES
async def test_an_answer_past_the_limit_names_the_limit(wire: str) -> None:
    async with rig(wire, max_body_bytes=1000) as made:
        scripted(made, REST, huge(1001))
        error = await failure(made, REST)
        assert error.message.endswith("the answer is larger than max_body_bytes (1000)")


@pytest.mark.parametrize(
    ("protocol", "body", "path"),
    [
        (GRAPHQL, {"data": {"customers": [{"id": "1", "name": "x"}, {"id": "2", "name": 7}]}}, "customers[1].name`"),
        (GRAPHQL, {"data": {"customers": [{"id": "1"}]}}, "missing required field `name`"),
        (GRAPHQL, {"data": {"customers": {}}}, "`$.data.customers`"),
        (GRAPHQL, {"data": {"others": []}}, "missing required field `customers` - at `$.data`"),
        (REST, [{"id": "1", "name": 7}], "`$[0].name`"),
        (REST, {"items": []}, "Expected `array | null`, got `object`"),
    ],
)  # fmt: skip
async def test_a_wrong_shape_is_named_with_service_route_and_path(protocol: ProtocolName, body: Any, path: str) -> None:
    async with rig() as made:
        scripted(made, protocol, says(body))
        error = await failure(made, protocol)
        where = "GraphQL customers" if protocol is GRAPHQL else "REST GET /customers{?ids}"
        assert error.message.startswith(f"crm: {where}: the answer is out of shape: ")
        assert path in error.message


async def test_rows_that_are_not_where_they_were_declared_are_no_absent_rows() -> None:
    nested = operation("crm", "nested", row=Customer, rest="GET /customers{?ids}", rest_rows="data.items", key="id")
    async with rig() as made:
        scripted(made, REST, says({"message": "please try again later"}))
        error = await failure(made, REST, ask(1, declared=nested))
        assert isinstance(error, MalformedResponse)
        assert "missing required field `data`" in error.message


async def test_a_row_without_the_key_it_is_matched_by_is_malformed() -> None:
    by_number = operation("crm", "byNumber", row=Customer, rest="GET /customers{?ids}", key="number")
    async with rig() as made:
        error = await failure(made, REST, ask(1, declared=by_number))
        assert isinstance(error, MalformedResponse)
        assert "a row lacks the key it is matched by" in error.message


@pytest.mark.parametrize("code", [404, 410, 204])
async def test_rest_says_in_three_ways_that_there_is_no_such_thing(code: int) -> None:
    async def behave(_: ScriptedExchange) -> Response:
        return Response(status_code=code)

    async with rig() as made:
        scripted(made, REST, behave)
        for call, value in ((ask_one(), None), (ask(1, 2), [None, None]), (Call(FIRST, {}, CALLER), [])):
            answer = await attempt(made, REST, call)
            assert answer.value == value
            assert not answer.served.degraded


async def test_a_mutation_of_something_that_is_not_there_is_refused() -> None:
    async with rig() as made:
        error = await failure(made, REST, ask_one(999, declared=TOUCH))
        assert type(error) is Rejected
        assert error.status == 404


async def test_graphql_says_by_code_that_there_is_no_such_row() -> None:
    async with rig() as made:
        scripted(made, GRAPHQL, errors("no such customer", code="NOT_FOUND", data={"customer": None}))
        assert (await attempt(made, GRAPHQL, ask_one())).value is None


@pytest.mark.parametrize(
    ("item", "summary"),
    [
        ({"message": "Jane owes 12", "extensions": {"code": "BAD_USER_INPUT"}}, "reported BAD_USER_INPUT"),
        ({"message": "Jane owes 12", "extensions": {"code": "Jane owes 12"}}, "reported OTHER"),
        (
            {"message": "Jane owes 12", "extensions": {"code": "INTERNAL_SERVER_ERROR"}},
            "reported INTERNAL_SERVER_ERROR",
        ),
        ({"message": "Jane owes 12"}, "reported an error"),
        ({"message": "Jane owes 12", "path": ["customers"]}, "reported an error"),
    ],
)
async def test_what_everybody_may_read_of_an_error_has_none_of_the_upstreams_own_words(
    item: dict[str, Any], summary: str
) -> None:
    async with rig() as made:
        scripted(made, GRAPHQL, says({"data": None, "errors": [item]}))
        error = await failure(made, GRAPHQL)
        assert "Jane owes 12" in error.message
        assert error.summary == f"GraphQL customers {summary}"
        assert "Jane" not in ServiceUnavailable("crm", [error, error]).summary


async def test_rows_beside_errors_are_a_partial_answer_with_problems() -> None:
    body = {
        "data": {"customers": [{"id": "2", "name": "Customer 2"}, {"id": "1", "name": "Customer 1"}]},
        "errors": [
            {"message": "slow lane", "extensions": {"code": "WARNING"}},
            {"message": "no tier", "path": ["customers", 0, "tier"]},
            {"message": "elsewhere", "path": ["other", 3]},
        ],
    }
    async with rig() as made:
        scripted(made, GRAPHQL, says(body))
        answer = await attempt(made, GRAPHQL, ask(1, 2))
        assert answer.value == [customer(1), customer(2)]
        assert answer.problems == (
            Problem("slow lane", "WARNING"),
            Problem("no tier", None, 1, ("tier",)),
            Problem("elsewhere", None),
        )


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("FORBIDDEN", Rejected),
        ("INTERNAL_SERVER_ERROR", ServerFailed),
        (None, ExecutionFailed),
    ],
)
async def test_a_key_that_failed_alone_has_its_own_error_by_its_code(
    code: str | None, kind: type[UpstreamError]
) -> None:
    item: dict[str, Any] = {"message": "boom", "path": ["customers", 1]}
    if code is not None:
        item["extensions"] = {"code": code}
    body = {"data": {"customers": [{"id": "1", "name": "Customer 1"}, None]}, "errors": [item]}
    async with rig() as made:
        scripted(made, GRAPHQL, says(body))
        answer = await attempt(made, GRAPHQL, ask(1, 2))
        assert answer.row(0) == customer(1)
        with pytest.raises(kind, match="crm: GraphQL customers: boom") as raised:
            answer.row(1)
        assert type(raised.value) is kind
        assert answer.problems == ()


async def test_a_key_that_is_not_found_is_null_like_a_missing_row() -> None:
    item = {"message": "none", "path": ["customers", 1], "extensions": {"code": "NOT_FOUND"}}
    async with rig() as made:
        scripted(made, GRAPHQL, says({"data": {"customers": [{"id": "1", "name": "x"}, None]}, "errors": [item]}))
        answer = await attempt(made, GRAPHQL, ask(1, 2))
        assert (answer.value, answer.problems) == ([Customer("1", "x"), None], ())


async def test_ids_may_come_as_numbers() -> None:
    async with rig() as made:
        scripted(made, REST, says([{"id": 2, "name": "two"}, {"id": 1, "name": "one"}]))
        assert (await attempt(made, REST, ask(1, 2))).value == [Customer(1, "one"), Customer(2, "two")]


class Part(msgspec.Struct):
    maker: str
    number: int


async def test_keys_of_several_attributes_are_sent_as_objects() -> None:
    text = "query ($keys: [PartKey!]!) { parts(keys: $keys) { maker number } }"
    parts = operation(
        "crm", "parts", row=Part, graphql=text, rest="POST /parts/search", key=("maker", "number"), by="keys"
    )
    rows = [{"maker": "b", "number": 1}, {"maker": "a", "number": 1}]
    call = Call(parts, {}, CALLER).for_keys([("a", 1), ("a", 2), ("b", 1)])
    async with rig() as made:
        scripted(made, GRAPHQL, says({"data": {"parts": rows}}))
        scripted(made, REST, says(rows))
        for protocol in (GRAPHQL, REST):
            assert (await attempt(made, protocol, call)).value == [Part("a", 1), None, Part("b", 1)]
        keys = [{"maker": "a", "number": 1}, {"maker": "a", "number": 2}, {"maker": "b", "number": 1}]
        assert made.script.graphql.calls[0].variables == {"keys": keys}
        assert made.script.rest.calls[0].json == {"keys": keys}


@pytest.mark.parametrize("variables", [{"id": ".."}, {"id": ""}, {}, {"id": object()}])
async def test_variables_that_do_not_fill_the_path_are_refused_before_anything_is_sent(
    variables: dict[str, Any],
) -> None:
    async with rig() as made:
        error = await failure(made, REST, Call(ONE, variables, CALLER))
        assert type(error) is InvalidVariables
        assert error.message.startswith("crm: REST GET /customers/{id}: ")
        assert not error.reached_upstream
        assert made.calls == (0, 0)


RETRY_AFTER = [
    ("3", 3.0),
    ("0", 0.0),
    ("1.5", 1.5),
    ("Thu, 01 Jan 2026 00:00:20 GMT", 20.0),
    ("Thu, 01 Jan 2026 00:00:20 -0000", 20.0),
    ("Wed, 31 Dec 2025 23:00:00 GMT", 0.0),
    ("-1", float("inf")),
    ("nan", float("inf")),
    ("1e999", float("inf")),
    ("soon", None),
    ("", None),
    ("Thu, 99 Foo 2026", None),
    ("Thu, 01 Jan 99999999999999999999 00:00:00 GMT", None),
    ("Thu, 01 Jan 2026 00:00:00 +99999999999999999999", None),
]


@pytest.mark.parametrize(("value", "expected"), RETRY_AFTER)
@pytest.mark.parametrize("code", [429, 503])
async def test_retry_after_is_read_as_seconds_or_as_a_date(code: int, value: str, expected: float | None) -> None:
    async with rig() as made:
        scripted(made, REST, status(code, headers={"retry-after": value}))
        error = await failure(made, REST)
        assert error.retry_after_s == expected


async def test_a_date_in_retry_after_is_measured_by_the_wall_clock() -> None:
    async with rig() as made:
        made.clock.shift_wall(timedelta(seconds=-40))
        scripted(made, GRAPHQL, status(503, headers={"retry-after": "Thu, 01 Jan 2026 00:00:20 GMT"}))
        assert (await failure(made, GRAPHQL)).retry_after_s == pytest.approx(60)


async def test_a_post_that_is_a_query_may_find_nothing() -> None:
    async with rig(rows=ROWS_OF_ONE) as made:
        assert SEARCH.kind is Kind.QUERY
        assert (await attempt(made, REST, ask(7, declared=SEARCH))).value == [None]
        assert json.loads(made.script.rest.calls[0].body) == {"ids": ["7"]}


ROWS_OF_ONE = [{"id": "1", "name": "Customer 1"}]


async def test_exchanges_refuse_operations_that_they_cannot_carry() -> None:
    graphql_only = operation("crm", "g", row=Customer, graphql="{ a { id name } }")
    rest_only = operation("crm", "r", row=Customer, rest="GET /a")
    async with rig() as made:
        with pytest.raises(TypeError, match="r has no GraphQL document"):
            exchange(made, GRAPHQL).request(Call(rest_only, {}, CALLER))
        with pytest.raises(TypeError, match="g has no REST route"):
            exchange(made, REST).request(Call(graphql_only, {}, CALLER))
