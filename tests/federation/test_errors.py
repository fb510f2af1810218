"""Errors of subgraphs at every position: where the client sees them, and what they leave intact."""

from collections.abc import Callable
from typing import Any

import pytest

from gateway.federation.errors import FetchFailed
from gateway.federation.executor import SubgraphRequest, SubgraphResponse
from tests.federation.kit import Federation, World, supergraph

SDL = supergraph(
    """
    type Query {
      me: User @join__field(graph: A)
      users: [User!]! @join__field(graph: A)
      news: String @join__field(graph: C)
    }
    type User @join__type(graph: A, key: "id") @join__type(graph: B, key: "id") {
      id: ID!
      name: String @join__field(graph: A)
      posts: [Post] @join__field(graph: B)
      mood: String @join__field(graph: B)
    }
    type Post @join__type(graph: B, key: "id") @join__type(graph: C, key: "id") {
      id: ID!
      likes: Int @join__field(graph: C)
      query: Query @join__field(graph: B)
    }
    """,
    "a",
    "b",
    "c",
)
POSTS: list[dict[str, Any]] = [
    {"__typename": "Post", "id": f"p{number}", "likes": number, "query": {"__typename": "Query"}} for number in range(2)
]
USERS = [
    {"__typename": "User", "id": f"u{number}", "name": "Kim", "mood": "fine", "posts": POSTS} for number in range(2)
]
WORLD = World({"me": USERS[0], "users": [USERS[0], USERS[1], USERS[0]], "news": "none"}, [*USERS, *POSTS])

Answer = Callable[[SubgraphRequest, SubgraphResponse], SubgraphResponse]


def federation(**answers: Answer) -> Federation:
    return Federation(SDL, WORLD, answers=answers)


def failing(code: str = "SUBREQUEST_HTTP_ERROR") -> Answer:
    def answer(request: SubgraphRequest, _: SubgraphResponse) -> SubgraphResponse:
        raise FetchFailed(request.subgraph, f"{request.subgraph} is down", code)

    return answer


def with_error(path: list[str | int] | None, **changes: Any) -> Answer:
    """Adds an error to what the subgraph answers; changes replace parts of its data."""

    def answer(_: SubgraphRequest, response: SubgraphResponse) -> SubgraphResponse:
        error: dict[str, Any] = {"message": "broken", "locations": [{"line": 1, "column": 1}]}
        if path is not None:
            error["path"] = path
        return SubgraphResponse({**response.data, **changes}, [error])

    return answer


async def test_an_error_of_a_root_field_keeps_its_path_and_says_where_it_came_from() -> None:
    answer = await federation(a=with_error(["me", "name"])).answer("{ me { name mood } news }")
    assert answer == {
        "data": {"me": {"name": "Kim", "mood": "fine"}, "news": "none"},
        "errors": [
            {
                "message": "broken",
                "path": ["me", "name"],
                "extensions": {"code": "DOWNSTREAM_SERVICE_ERROR", "serviceName": "a"},
            }
        ],
    }


async def test_an_error_of_an_entity_appears_at_every_place_the_entity_has() -> None:
    answer = await federation(b=with_error(["_entities", 0, "mood"])).answer("{ users { mood } }")
    assert [error["path"] for error in answer["errors"]] == [["users", 0, "mood"], ["users", 2, "mood"]]


async def test_errors_of_batched_entities_find_their_way_back() -> None:
    asked = federation(b=with_error(["_e1", 1, "posts", 0]))
    answer = await asked.answer("{ me { mood } users { posts { id } } }")
    assert [error["path"] for error in answer["errors"]] == [["users", 1, "posts", 0]]


async def test_an_error_below_an_internal_key_is_shown_under_the_schema_name() -> None:
    answer = await federation(a=with_error(["me", "_h0"])).answer("{ me { id: name mood } }")
    assert answer["errors"][0]["path"] == ["me", "id"]


async def test_extensions_of_the_subgraph_are_kept() -> None:
    def answer(_: SubgraphRequest, response: SubgraphResponse) -> SubgraphResponse:
        error = {"message": "no", "path": ["news"], "extensions": {"code": "FORBIDDEN", "reason": "age"}}
        return SubgraphResponse(response.data, [error])

    answered = await federation(c=answer).answer("{ news }")
    assert answered["errors"][0]["extensions"] == {"code": "FORBIDDEN", "reason": "age", "serviceName": "c"}


async def test_an_entity_error_without_a_path_stands_where_the_fetch_belongs() -> None:
    answer = await federation(b=with_error(None)).answer("{ me { mood } users { mood } }")
    assert [error.get("path") for error in answer["errors"]] == [["me"]]


async def test_a_failing_root_fetch_leaves_the_other_one_intact() -> None:
    answer = await federation(a=failing()).answer("{ me { name mood } news }")
    assert answer == {
        "data": {"me": None, "news": "none"},
        "errors": [
            {"message": "a is down", "extensions": {"code": "SUBREQUEST_HTTP_ERROR", "serviceName": "a"}},
        ],
    }


async def test_a_failing_entity_fetch_costs_its_fields_and_those_that_depend_on_it() -> None:
    asked = federation(b=failing("SUBREQUEST_TIMEOUT"))
    answer = await asked.answer("{ me { name posts { likes } mood } news }")
    assert answer == {
        "data": {"me": {"name": "Kim", "posts": None, "mood": None}, "news": "none"},
        "errors": [
            {
                "message": "b is down",
                "path": ["me"],
                "extensions": {"code": "SUBREQUEST_TIMEOUT", "serviceName": "b"},
            }
        ],
    }
    assert sorted(request.subgraph for request in asked.requests) == ["a", "b", "c"]


async def test_a_failure_deep_below_lists_is_reported_once_at_the_last_certain_place() -> None:
    answer = await federation(c=failing()).answer("{ users { posts { likes } } }")
    assert answer["data"]["users"][0] == {"posts": [{"likes": None}, {"likes": None}]}
    assert [error["path"] for error in answer["errors"]] == [["users"]]


async def test_a_fault_of_the_fetcher_is_an_error_entry_without_its_details() -> None:
    def answer(_: SubgraphRequest, __: SubgraphResponse) -> SubgraphResponse:
        msg = "secret"
        raise ZeroDivisionError(msg)

    answered = await federation(c=answer).answer("{ me { name } news }")
    assert answered["data"] == {"me": {"name": "Kim"}, "news": None}
    assert answered["errors"][0]["message"] == "The request to 'c' failed unexpectedly (ZeroDivisionError)."


async def test_errors_below_a_query_root_inside_the_response_get_its_path() -> None:
    answer = await federation(c=with_error(["news"], news=None)).answer("{ me { posts { query { news } } } }")
    paths = [error["path"] for error in answer["errors"]]
    assert paths == [["me", "posts", 0, "query", "news"], ["me", "posts", 1, "query", "news"]]


@pytest.mark.parametrize("errors", [None, []])
async def test_data_without_errors_has_no_errors_key(errors: Any) -> None:
    def answer(_: SubgraphRequest, response: SubgraphResponse) -> SubgraphResponse:
        return SubgraphResponse(response.data, errors)

    assert await federation(c=answer).answer("{ news }") == {"data": {"news": "none"}}
