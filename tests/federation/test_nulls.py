"""Null where the schema allows none: it bubbles up to what may be null, also across fetches."""

from collections.abc import Callable
from typing import Any

from gateway.federation.errors import FetchFailed
from gateway.federation.executor import SubgraphRequest, SubgraphResponse
from tests.federation.kit import Federation, World, supergraph

SDL = supergraph(
    """
    type Query {
      team: Team @join__field(graph: A)
      must: Team! @join__field(graph: A)
      teams: [Team!] @join__field(graph: A)
      loose: [Team] @join__field(graph: A)
    }
    type Team @join__type(graph: A, key: "id") @join__type(graph: B, key: "id") {
      id: ID!
      captain: Player! @join__field(graph: A)
      motto: String! @join__field(graph: B)
      song: String @join__field(graph: B)
    }
    type Player @join__type(graph: A, key: "id") @join__type(graph: B, key: "id") {
      id: ID!
      number: Int! @join__field(graph: B)
    }
    """,
    "a",
    "b",
)
PLAYER = {"__typename": "Player", "id": "p", "number": 9}
TEAMS = [
    {"__typename": "Team", "id": f"t{index}", "captain": PLAYER, "motto": "Go", "song": "La"} for index in range(2)
]
WORLD = World({"team": TEAMS[0], "must": TEAMS[0], "teams": TEAMS, "loose": TEAMS}, [*TEAMS, PLAYER])


def without(type_name: str, id_: str) -> Callable[[SubgraphRequest, SubgraphResponse], SubgraphResponse]:
    """The subgraph knows all entities but one."""

    def answer(request: SubgraphRequest, response: SubgraphResponse) -> SubgraphResponse:
        data = {
            key: [
                None if (sent["__typename"], sent["id"]) == (type_name, id_) else entity
                for sent, entity in zip(_sent(request, key), entities, strict=True)
            ]
            for key, entities in response.data.items()
        }
        return SubgraphResponse(data)

    return answer


def _sent(request: SubgraphRequest, key: str) -> list[Any]:
    sent = request.variables["representations" if key == "_entities" else key.replace("_e", "_r")]
    assert isinstance(sent, list)
    return sent


def missing(type_name: str, id_: str) -> Federation:
    return Federation(SDL, WORLD, answers={"b": without(type_name, id_)})


async def test_a_missing_entity_makes_its_object_null_when_a_field_may_not_be() -> None:
    answer = await missing("Team", "t0").answer("{ team { id motto } }")
    assert answer == {
        "data": {"team": None},
        "errors": [
            {
                "message": "Cannot return null for non-nullable field team.motto.",
                "path": ["team", "motto"],
                "extensions": {"code": "NULL_VALUE"},
            }
        ],
    }


async def test_a_missing_entity_is_no_error_when_its_fields_may_be_null() -> None:
    assert await missing("Team", "t0").answer("{ team { id song } }") == {"data": {"team": {"id": "t0", "song": None}}}


async def test_null_takes_a_list_of_non_null_items_with_it() -> None:
    answer = await missing("Team", "t1").answer("{ teams { motto } }")
    assert answer["data"] == {"teams": None}
    assert [error["path"] for error in answer["errors"]] == [["teams", 1, "motto"]]


async def test_null_stays_in_its_place_in_a_list_of_nullable_items() -> None:
    answer = await missing("Team", "t1").answer("{ loose { motto } }")
    assert answer["data"] == {"loose": [{"motto": "Go"}, None]}


async def test_null_bubbles_through_several_fetches() -> None:
    answer = await missing("Player", "p").answer("{ team { song captain { number } } loose { id } }")
    assert answer["data"] == {"team": None, "loose": [{"id": "t0"}, {"id": "t1"}]}


async def test_null_reaches_the_top_when_nothing_on_the_way_may_be_null() -> None:
    answer = await missing("Team", "t0").answer("{ must { motto } team { id } }")
    assert answer["data"] is None


async def test_the_error_that_explains_a_null_is_not_repeated() -> None:
    def down(request: SubgraphRequest, _: SubgraphResponse) -> SubgraphResponse:
        raise FetchFailed(request.subgraph, "b is down")

    answer = await Federation(SDL, WORLD, answers={"b": down}).answer("{ team { motto } }")
    assert answer["data"] == {"team": None}
    assert [error["message"] for error in answer["errors"]] == ["b is down"]


async def test_a_null_beside_an_unrelated_error_is_still_explained() -> None:
    def answer(request: SubgraphRequest, response: SubgraphResponse) -> SubgraphResponse:
        error = {"message": "odd", "path": ["_entities", 0, "song"]}
        return SubgraphResponse({"_entities": [response.data["_entities"][0], None]}, [error])

    answered = await Federation(SDL, WORLD, answers={"b": answer}).answer("{ loose { motto song } }")
    assert [error["path"] for error in answered["errors"]] == [["loose", 0, "song"], ["loose", 1, "motto"]]
