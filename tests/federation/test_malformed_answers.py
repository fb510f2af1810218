"""Answers out of shape: a clear error that names the subgraph, and the rest of the response intact."""

from typing import Any

import pytest

from gateway.federation.executor import SubgraphRequest, SubgraphResponse
from tests.federation.kit import Federation, World, supergraph

SDL = supergraph(
    """
    type Query {
      shops: [Shop!]! @join__field(graph: A)
      sign: Sign @join__field(graph: C)
      kind: Kind @join__field(graph: C)
    }
    type Shop @join__type(graph: A, key: "id") @join__type(graph: B, key: "id") {
      id: ID!
      name: String @join__field(graph: A)
      rating: Int @join__field(graph: B)
    }
    union Sign @join__type(graph: C) @join__unionMember(graph: C, member: "Open") = Open
    type Open @join__type(graph: C) { until: String hours: [Int] }
    enum Kind @join__type(graph: C) { BIG SMALL }
    """,
    "a",
    "b",
    "c",
)
SHOPS = [{"__typename": "Shop", "id": f"s{index}", "name": "Hook", "rating": index} for index in range(2)]
OPEN = {"__typename": "Open", "until": "six", "hours": [9, 17]}
WORLD = World({"shops": SHOPS, "sign": OPEN, "kind": "BIG"}, SHOPS)
NAMES = [{"name": "Hook", "rating": None}, {"name": "Hook", "rating": None}]


def answering(subgraph: str, data: Any, errors: Any = ()) -> Federation:
    def answer(_: SubgraphRequest, __: SubgraphResponse) -> SubgraphResponse:
        return SubgraphResponse(data, errors)

    return Federation(SDL, WORLD, answers={subgraph: answer})


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"_entities": [{"rating": 1}]}, "1 entities for 2 representations"),
        ({"_entities": [{"rating": 1}] * 3}, "3 entities for 2 representations"),
        ({"_entities": {"rating": 1}}, "no list of entities for 2 representations"),
        ({"_entities": None}, "no list of entities for 2 representations"),
        ({}, "no list of entities for 2 representations"),
        ([], "data is list, not an object"),
        ("text", "data is str, not an object"),
        (None, "data is NoneType, not an object"),
    ],
)
async def test_entities_that_do_not_match_their_representations_are_not_used(data: Any, problem: str) -> None:
    answer = await answering("b", data).answer("{ shops { name rating } }")
    assert answer["data"] == {"shops": NAMES}
    assert answer["errors"] == [
        {
            "message": f"The subgraph 'b' answered out of shape: {problem}.",
            "path": ["shops"],
            "extensions": {"code": "SUBREQUEST_MALFORMED_RESPONSE", "serviceName": "b"},
        }
    ]


async def test_an_entity_that_is_no_object_costs_that_entity_only() -> None:
    answer = await answering("b", {"_entities": [7, {"rating": 5}]}).answer("{ shops { name rating } }")
    assert answer["data"] == {"shops": [{"name": "Hook", "rating": None}, {"name": "Hook", "rating": 5}]}
    assert [(error["path"], error["extensions"]["serviceName"]) for error in answer["errors"]] == [(["shops", 0], "b")]


@pytest.mark.parametrize(
    ("errors", "problem"),
    [
        ("oops", "errors is not a list"),
        (["oops"], "an entry of errors has no message"),
        ([{"message": 3}], "an entry of errors has no message"),
    ],
)
async def test_malformed_errors_are_reported_and_the_data_used(errors: Any, problem: str) -> None:
    answer = await answering("b", {"_entities": [{"rating": 4}, {"rating": 5}]}, errors).answer("{ shops { rating } }")
    assert answer["data"] == {"shops": [{"rating": 4}, {"rating": 5}]}
    assert answer["errors"][0]["message"] == f"The subgraph 'b' answered out of shape: {problem}."


@pytest.mark.parametrize("path", ["_entities", ["_entities", 9, "rating"], ["_entities"], [None], ["other", 0]])
async def test_an_error_with_a_path_that_leads_nowhere_is_not_lost(path: Any) -> None:
    asked = answering("b", {"_entities": [None, None]}, [{"message": "odd", "path": path}])
    answer = await asked.answer("{ shops { rating } }")
    assert [(error["message"], error["path"]) for error in answer["errors"]] == [("odd", ["shops"])]


async def test_a_runtime_type_nobody_knows_makes_the_object_null() -> None:
    answer = await answering("c", {"sign": {"__typename": "Shut", "until": "six"}, "kind": "BIG"}).answer(
        "{ sign { ... on Open { until } } kind }"
    )
    assert answer["data"] == {"sign": None, "kind": "BIG"}
    assert answer["errors"][0]["message"] == (
        "A subgraph's value cannot be used: its __typename is none of the possible types of Sign."
    )


@pytest.mark.parametrize(
    ("data", "expected", "problem"),
    [
        ({"sign": {"__typename": "Open", "hours": 9}}, {"hours": None}, "expected a list, got int"),
        ({"sign": {"__typename": "Open", "hours": [{}]}}, {"hours": [None]}, "expected a value of Int, got dict"),
        ({"sign": [OPEN]}, None, "expected an object, got list"),
        ({"sign": {"until": "six"}}, None, "its __typename is none of the possible types of Sign"),
    ],
)
async def test_values_of_the_wrong_shape_become_null(data: Any, expected: Any, problem: str) -> None:
    answer = await answering("c", data).answer("{ sign { ... on Open { hours } } shops { name } }")
    assert answer["data"] == {"sign": expected, "shops": [{"name": "Hook"}, {"name": "Hook"}]}
    assert answer["errors"][0]["message"] == f"A subgraph's value cannot be used: {problem}."


async def test_an_enum_value_nobody_knows_becomes_null() -> None:
    answer = await answering("c", {"kind": "HUGE"}).answer("{ kind }")
    assert answer["data"] == {"kind": None}
    assert answer["errors"][0]["path"] == ["kind"]


async def test_objects_that_are_no_objects_are_not_asked_for_further() -> None:
    asked = answering("a", {"shops": [7, {"id": "s1", "name": "Hook"}, [{"id": "s0", "name": "Hook"}]]})
    answer = await asked.answer("{ shops { rating } }")
    assert answer["data"] is None
    assert [error["path"] for error in answer["errors"]] == [["shops", 0]]
