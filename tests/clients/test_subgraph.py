"""Answers of subgraphs: read no further than they must be, kept entity by entity, and never anybody else's."""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from starlette.responses import JSONResponse, Response

from clients.call import Answer, Call, Problem, ServedBy
from clients.errors import MalformedResponse, RateLimited, ServerFailed, UpstreamError
from clients.operation import Kind
from clients.policy import CachePolicy, RetryPolicy
from clients.subgraph import read_subgraph_answer, subgraph_operation
from tests.clients.support import CALLER, Rig, rig
from tests.testkit.upstream import Behaviour, Exchange, errors, hang, sequence, status

ENTITIES = subgraph_operation(
    "crm",
    "_entities",
    "query ($representations: [_Any!]!) { _entities(representations: $representations) { ... on User { name } } }",
    Kind.QUERY,
    [("_entities", "representations")],
)
TWO_SLOTS = subgraph_operation(
    "crm",
    "_entities",
    "query ($a: [_Any!]!, $b: [_Any!]!) {"
    " _e0: _entities(representations: $a) { __typename } _e1: _entities(representations: $b) { __typename } }",
    Kind.QUERY,
    [("_e0", "a"), ("_e1", "b")],
)
ROOT = subgraph_operation("crm", "query", "query Names($n: Int) { users(n: $n) { name } }", Kind.QUERY)
RENAME = subgraph_operation("crm", "mutation", "mutation { rename { name } }", Kind.MUTATION)
KEEP = CachePolicy(max_age_s=60, stale_if_error_s=600)
STALE_ONLY = CachePolicy(max_age_s=0, stale_if_error_s=600)
FAILURE = {"message": "boom", "extensions": {"code": "INTERNAL_SERVER_ERROR"}}


def user(number: int) -> dict[str, Any]:
    return {"__typename": "User", "id": str(number)}


def users(*numbers: int) -> Call:
    return Call(ENTITIES, {}, CALLER).for_keys([(0, user(number)) for number in numbers])


def text(number: int) -> bytes:
    return b'{"name":"User %d"}' % number


def read(call: Call, body: Mapping[str, Any]) -> Any:
    return read_subgraph_answer(call, msgspec.json.encode(body))


def entities(
    change: Mapping[str, Any] | None = None, *, http_status: int = 200, said: list[Any] | None = None
) -> Behaviour:
    """A subgraph of users; `change` has other answers by id, and `said` its errors."""

    async def behave(exchange: Exchange) -> Response:
        found = [
            (change or {}).get(each["id"], {"name": f"User {each['id']}"})
            for each in exchange.call.variables["representations"]
        ]
        body: dict[str, Any] = {"data": {"_entities": found}}
        return JSONResponse({**body, "errors": said} if said else body, http_status)

    return behave


def asked(made: Rig) -> list[list[str]]:
    """The ids of each call."""
    return [[each["id"] for each in call.variables["representations"]] for call in made.script.graphql.calls]


async def failed(made: Rig, call: Call) -> UpstreamError:
    with pytest.raises(UpstreamError) as raised:
        await made.execute(call)
    return raised.value


# --- reading ---------------------------------------------------------------------------------------------------------


def test_root_data_is_handed_on_as_it_came() -> None:
    body = b'{"extensions": {}, "data": {"users" : [{"name": "\\u00e9", "n": 1.50}]}}'
    answer = read_subgraph_answer(Call(ROOT, {}, CALLER), body)
    assert (answer.value, answer.problems) == (b'{"users" : [{"name": "\\u00e9", "n": 1.50}]}', ())


def test_null_data_with_errors_is_an_answer() -> None:
    answer = read(Call(ROOT, {}, CALLER), {"data": None, "errors": [{"message": "no", "path": ["users", 0]}]})
    assert answer.value == b"null"
    assert not answer.has_data
    assert answer.problems == (Problem("no", None, None, ("users", 0)),)


@pytest.mark.parametrize(
    "body", [{}, {"data": None}, {"data": None, "errors": []}, {"errors": []}, {"data": []}, {"data": "x"}, {"data": 1}]
)
def test_what_has_neither_data_nor_errors_is_out_of_shape(body: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        read(Call(ROOT, {}, CALLER), body)


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"data": {', b"[]", b'"x"', b'{"data": {}, "errors": "x"}'])
def test_what_is_no_graphql_response_is_refused(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        read_subgraph_answer(Call(ROOT, {}, CALLER), body)


def test_odd_errors_do_not_cost_the_data_beside_them() -> None:
    odd = ["text", {"message": 1, "path": "users", "extensions": "x"}, {"message": "m", "path": ["users", 1.5, None]}]
    answer = read(Call(ROOT, {}, CALLER), {"data": {"users": []}, "errors": odd})
    assert answer.value == b'{"users":[]}'
    assert [(p.message, p.path, p.extensions) for p in answer.problems] == [
        ("(no message)", (), None),
        ("(no message)", (), None),
        ("m", ("users",), None),
    ]


def test_an_entity_each_and_null_where_there_is_none() -> None:
    answer = read(users(1, 2, 3), {"data": {"_entities": [{"name": "User 1"}, None, {"name": "User 3"}]}})
    assert answer.value == [text(1), None, text(3)]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"_entities": [{}]}, "1 entities for 2 representations"),
        ({"_entities": [{}, {}, {}]}, "3 entities for 2 representations"),
        ({"_entities": None}, "no list of entities for 2 representations"),
        ({}, "no list of entities for 2 representations"),
        ({"_entities": {"0": {}}}, "Expected `array | null`, got `object`"),
        ({"_entities": "x"}, "Expected `array | null`, got `str`"),
    ],
)
def test_entities_that_cannot_be_told_apart_are_refused(data: Any, message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message.replace("|", r"\|")):
        read(users(1, 2), {"data": data})


def test_a_list_that_is_missing_because_of_an_error_is_nulls() -> None:
    answer = read(users(1, 2), {"data": {"_entities": None}, "errors": [{"message": "m", "path": ["_entities", 1]}]})
    assert answer.value == [None, None]
    assert answer.problems == (Problem("m", None, 1, ()),)


def test_each_slot_has_its_own_list_and_its_errors_find_their_keys() -> None:
    keys = [(0, user(1)), (0, user(2)), (1, user(1))]
    call = Call(TWO_SLOTS, {}, CALLER).for_keys(keys)
    assert call.variables == {"a": [user(1), user(2)], "b": [user(1)]}
    said = [
        {"message": "in the first", "path": ["_e0", 1, "name"]},
        {"message": "in the second", "path": ["_e1", 0, "tags", 3]},
        {"message": "of nobody", "path": ["_e1", 1, "name"]},
        {"message": "before the first", "path": ["_e1", -1]},
        {"message": "of a list", "path": ["_e1"]},
        {"message": "of another field", "path": ["x", 0]},
    ]
    answer = read(call, {"data": {"_e1": [{"c": 1}], "_e0": [{"a": 1}, {"b": 1}]}, "errors": said})
    assert answer.value == [b'{"a":1}', b'{"b":1}', b'{"c":1}']
    assert [(p.index, p.path) for p in answer.problems] == [
        (1, ("name",)),
        (2, ("tags", 3)),
        (None, ()),
        (None, ()),
        (None, ()),
        (None, ()),
    ]


def test_a_slot_that_nothing_is_asked_of_may_be_missing() -> None:
    call = Call(TWO_SLOTS, {}, CALLER).for_keys([(1, user(1))])
    assert read(call, {"data": {"_e1": [{}]}}).value == [b"{}"]
    assert read(call, {"data": {"_e0": [], "_e1": [{}]}}).value == [b"{}"]


# --- the status, and failures ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [200, 400, 404, 500, 503])
async def test_data_is_used_under_any_status(code: int) -> None:
    async with rig() as made:
        made.script.graphql.behave(status(code, body={"data": {"users": None}, "errors": [{"message": "m"}]}))
        answer = await made.execute(Call(ROOT, {}, CALLER))
        assert (answer.value, answer.problems) == (b'{"users":null}', (Problem("m", None),))


async def test_a_refusal_passes_through_and_is_no_failure() -> None:
    async with rig(cache=STALE_ONLY) as made:
        made.script.graphql.behave(errors("not yours", code="FORBIDDEN", http_status=403))
        answer = await made.execute(Call(ROOT, {}, CALLER))
        assert [p.code for p in answer.problems] == ["FORBIDDEN"]
        assert answer.value == b"null"
        assert made.hooks.attempts[-1].error is None


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        (errors("boom", code="INTERNAL_SERVER_ERROR"), ServerFailed),
        (errors("boom", http_status=500), ServerFailed),
        (errors("boom", http_status=503), ServerFailed),
        (errors("boom", http_status=429), RateLimited),
    ],
)
async def test_a_failure_without_data_is_one_and_keeps_what_was_said(behaviour: Behaviour, kind: type) -> None:
    async with rig() as made:
        made.script.graphql.behave(behaviour)
        error = await failed(made, Call(ROOT, {}, CALLER))
        assert isinstance(error, kind)
        assert [problem.message for problem in error.reported] == ["boom"]


async def test_a_failure_without_data_is_answered_stale() -> None:
    async with rig(cache=STALE_ONLY) as made:
        made.script.graphql.behave(status(200, body={"data": {"users": []}}))
        await made.execute(Call(ROOT, {}, CALLER))
        made.script.graphql.behave(errors("boom", code="INTERNAL_SERVER_ERROR"))
        answer = await made.execute(Call(ROOT, {}, CALLER))
        assert (answer.value, answer.served.by) == (b'{"users":[]}', ServedBy.STALE)


@pytest.mark.parametrize("body", [{"data": "x"}, {"data": [1]}, {}])
async def test_an_answer_out_of_shape_is_answered_stale_and_not_kept(body: Any) -> None:
    async with rig(cache=STALE_ONLY) as made:
        made.script.graphql.behave(status(200, body={"data": {"users": []}}))
        await made.execute(Call(ROOT, {}, CALLER))
        made.script.graphql.behave(status(200, body=body))
        for _ in range(2):
            answer = await made.execute(Call(ROOT, {}, CALLER))
            assert (answer.value, answer.served.reason) == (b'{"users":[]}', "UPSTREAM_MALFORMED_RESPONSE")


# --- entities, kept one by one ---------------------------------------------------------------------------------------


async def test_ninety_seven_known_of_a_hundred_stand_in_when_the_fetch_fails() -> None:
    async with rig(cache=STALE_ONLY) as made:
        made.script.graphql.behave(entities())
        await made.execute(users(*range(1, 98)))
        await made.clock.advance(30)
        made.script.graphql.behave(status(503))
        answer = await made.execute(users(*range(1, 101)))
        assert answer.value[:97] == [text(n) for n in range(1, 98)]
        assert [type(value) for value in answer.value[97:]] == [ServerFailed] * 3
        assert {answer.served_row(n).by for n in range(97)} == {ServedBy.STALE}
        assert {answer.served_row(n).age_s for n in range(97)} == {30.0}


async def test_fresh_entities_are_not_asked_for() -> None:
    async with rig(cache=KEEP) as made:
        made.script.graphql.behave(entities())
        await made.execute(users(1, 3))
        answer = await made.execute(users(1, 2, 3, 4))
        assert answer.value == [text(1), text(2), text(3), text(4)]
        assert asked(made) == [["1", "3"], ["2", "4"]]
        assert answer.served_row(0).by is ServedBy.FRESH
        assert answer.served_row(1).by is ServedBy.GRAPHQL


async def test_an_error_of_a_part_that_was_asked_for_finds_its_key_among_fresh_ones() -> None:
    async with rig(cache=KEEP) as made:
        made.script.graphql.behave(entities())
        await made.execute(users(1))
        said = [{"message": "m", "path": ["_entities", 1, "name"]}, {"message": "n", "path": ["_entities", 7]}]
        made.script.graphql.behave(entities({"3": {"name": None}}, said=said))
        answer = await made.execute(users(1, 2, 3))
        assert [(p.message, p.index, p.path) for p in answer.problems] == [("m", 2, ("name",)), ("n", None, ())]


async def test_keys_are_equal_when_their_json_is() -> None:
    async with rig(cache=KEEP) as made:
        made.script.graphql.behave(entities())
        await made.execute(users(1))
        await made.execute(Call(ENTITIES, {}, CALLER).for_keys([(0, {"id": "1", "__typename": "User"})]))
        assert len(asked(made)) == 1
        await made.execute(Call(ENTITIES, {}, CALLER).for_keys([(0, {"id": 1, "__typename": "User"})]))
        assert len(asked(made)) == 2


async def test_two_principals_never_share_an_entity() -> None:
    async with rig(cache=KEEP) as made:
        made.script.graphql.behave(entities())
        await made.execute(users(1))
        for other in (replace(CALLER, tenant="other"), replace(CALLER, user="u"), replace(CALLER, authorization="B x")):
            await made.execute(replace(users(1), caller=other))
        assert asked(made) == [["1"]] * 4
        made.script.graphql.behave(status(500))
        await failed(made, replace(users(1), caller=replace(CALLER, user="nobody")))


async def test_an_entity_that_is_no_object_is_the_error_of_its_key_alone_and_is_not_kept() -> None:
    async with rig(cache=STALE_ONLY) as made:
        made.script.graphql.behave(entities())
        await made.execute(users(1))
        made.script.graphql.behave(entities({"1": "text", "2": 7}))
        for _ in range(2):
            answer = await made.execute(users(1, 2, 3))
            assert (answer.value[0], answer.value[2]) == (text(1), text(3))
            assert answer.served_row(0).by is ServedBy.STALE
            assert isinstance(answer.value[1], MalformedResponse)
            assert "expected an object or null" in answer.value[1].message


async def test_nulls_of_a_failed_answer_do_not_make_known_entities_unknown() -> None:
    async with rig(cache=STALE_ONLY) as made:
        made.script.graphql.behave(entities())
        await made.execute(users(1, 2))
        said = [{"message": "no", "path": ["_entities", 0, "name"], "extensions": {"code": "FORBIDDEN"}}]
        made.script.graphql.behave(status(200, body={"data": None, "errors": said}))
        assert (await made.execute(users(1, 2))).value == [None, None]
        made.script.graphql.behave(status(503))
        assert (await made.execute(users(1, 2))).value == [text(1), text(2)]


async def test_an_entity_that_is_gone_is_not_served_stale() -> None:
    async with rig(cache=STALE_ONLY) as made:
        made.script.graphql.behave(entities())
        await made.execute(users(1))
        made.script.graphql.behave(entities({"1": None}))
        assert (await made.execute(users(1))).value == [None]
        made.script.graphql.behave(status(503))
        await failed(made, users(1))


async def test_an_entity_with_an_error_of_its_own_is_not_kept() -> None:
    async with rig(cache=KEEP) as made:
        said = [{"message": "m", "path": ["_entities", 0, "name"]}]
        made.script.graphql.behave(entities({"1": {"name": None}}, said=said))
        await made.execute(users(1, 2))
        made.script.graphql.behave(entities())
        assert (await made.execute(users(1, 2))).value == [text(1), text(2)]
        assert asked(made) == [["1", "2"], ["1"]]


@pytest.mark.parametrize("change", [{"_entities": [{}]}, {"_entities": [{}, {}, {}]}, {"_entities": 3}])
async def test_a_list_of_the_wrong_length_is_malformed(change: Any) -> None:
    async with rig() as made:
        made.script.graphql.behave(status(200, body={"data": change}))
        assert isinstance(await failed(made, users(1, 2)), MalformedResponse)


# --- one call for many, and mutations --------------------------------------------------------------------------------


async def test_the_same_entities_asked_for_at_once_are_one_call() -> None:
    async with rig() as made:
        silent = hang()

        async def behave(exchange: Exchange) -> Response:
            await silent(exchange)
            response = await entities()(exchange)
            assert response is not None
            return response

        made.script.graphql.behave(behave)
        flights = [made.start(users(1, 2)) for _ in range(3)]
        await made.script.graphql.wait_for_calls(1)
        await made.clock.settle()
        silent.release()
        answers: list[Answer] = await asyncio.gather(*flights)
        assert [answer.value for answer in answers] == [[text(1), text(2)]] * 3
        assert asked(made) == [["1", "2"]]


async def test_a_mutation_is_sent_once_whatever_comes_of_it() -> None:
    async with rig(cache=KEEP, retry=RetryPolicy(attempts=5)) as made:
        made.script.graphql.behave(sequence(status(503), then=status(200, body={"data": {"rename": None}})))
        await failed(made, Call(RENAME, {}, CALLER))
        assert len(made.script.graphql.calls) == 1
        for _ in range(2):
            assert (await made.execute(Call(RENAME, {}, CALLER))).value == b'{"rename":null}'
        assert len(made.script.graphql.calls) == 3


async def test_only_the_variables_of_the_document_are_sent_with_the_operations_name() -> None:
    async with rig() as made:
        made.script.graphql.behave(status(200, body={"data": {"users": []}}))
        await made.execute(Call(ROOT, {"n": 3, "other": 1}, CALLER))
        (call,) = made.script.graphql.calls
        assert call.json == {"query": ROOT.graphql.text, "operationName": "Names", "variables": {"n": 3}}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("document", "name"),
    [
        ("query A__crm__0 { b: users { name } accounts { id } }", "Query.accounts+Query.users"),
        ("query B { users { id } }", "Query.users"),
        ("mutation { rename { name } }", "Mutation.rename"),
        ("query ($r: [_Any!]!) { _entities(representations: $r) { ... on User { name } } }", "User"),
        (
            "query ($r: [_Any!]!, $s: [_Any!]!) { a: _entities(representations: $r) { ... on User { name } } "
            "b: _entities(representations: $s) { ... on Account { id } ... on User { id } } }",
            "Account+User",
        ),
        ("query ($r: [_Any!]!) { _entities(representations: $r) { __typename } }", "Query._entities"),
        ("query { ...F } fragment F on Query { users { id } }", "query"),
    ],
)
def test_requests_for_the_same_go_by_one_name_whatever_the_plan(document: str, name: str) -> None:
    kind = Kind.MUTATION if document.startswith("mutation") else Kind.QUERY
    assert subgraph_operation("crm", "query", document, kind).circuit_name == name
