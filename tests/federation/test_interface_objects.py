"""Interface objects: subgraphs that know an interface's objects but not their types."""

import pytest

from gateway.federation.errors import PlanningError
from tests.federation.kit import Federation, World, plan, supergraph

SDL = supergraph(
    """
    type Query { vessels: [Vessel!]! @join__field(graph: A) berths: [Vessel!]! @join__field(graph: B) }
    interface Vessel
      @join__type(graph: A, key: "id")
      @join__type(graph: B, key: "id", isInterfaceObject: true)
      @join__type(graph: C, key: "id", isInterfaceObject: true)
    {
      id: ID!
      name: String @join__field(graph: A) @join__field(graph: C, external: true)
      berth: Int @join__field(graph: B)
      greeting: String @join__field(graph: C, requires: "name")
    }
    type Ferry implements Vessel @join__type(graph: A, key: "id") @join__implements(graph: A, interface: "Vessel") {
      id: ID!
      name: String
      cars: Int
      berth: Int @join__field
      greeting: String @join__field
    }
    type Tug implements Vessel @join__type(graph: A, key: "id") @join__implements(graph: A, interface: "Vessel") {
      id: ID!
      name: String
      berth: Int @join__field
      greeting: String @join__field
    }
    """,
    "a",
    "b",
    "c",
)
FERRY = {"__typename": "Ferry", "id": "f", "name": "Nordic", "cars": 80, "berth": 1}
TUG = {"__typename": "Tug", "id": "t", "name": "Max", "berth": 2}
COMPUTED = {f"{name}.greeting": lambda known, _: f"Ahoy {known['name']}" for name in ("Ferry", "Tug")}


def federation() -> Federation:
    return Federation(SDL, World({"vessels": [FERRY, TUG], "berths": [TUG, FERRY]}, [FERRY, TUG], COMPUTED))


async def test_fields_of_the_interface_object_are_asked_for_by_the_interface() -> None:
    query = "{ vessels { name berth } }"
    assert federation().plan(query) == plan(
        """
        1 a
          vessels {
            __typename name id
          }
        2 b after 1
          vessels: Vessel(id)
            berth
        """
    )
    assert await federation().data(query) == {"vessels": [{"name": "Nordic", "berth": 1}, {"name": "Max", "berth": 2}]}


async def test_from_an_object_type_the_interface_object_is_entered_too() -> None:
    query = "{ vessels { ... on Ferry { cars berth } } }"
    assert federation().plan(query) == plan(
        """
        1 a
          vessels {
            __typename
            ... on Ferry {
              cars id
            }
          }
        2 b after 1
          vessels[Ferry]: Vessel(id)
            berth
        """
    )
    assert await federation().data(query) == {"vessels": [{"cars": 80, "berth": 1}, {}]}


async def test_nothing_but_its_own_fields_is_asked_of_the_interface_object() -> None:
    query = "{ berths { id berth } }"
    assert federation().plan(query) == plan(
        """
        1 b
          berths {
            id berth
          }
        """
    )
    assert await federation().data(query) == {"berths": [{"id": "t", "berth": 2}, {"id": "f", "berth": 1}]}


async def test_the_runtime_type_comes_from_where_the_interface_is_real() -> None:
    query = "{ berths { __typename ... on Ferry { cars } } }"
    assert federation().plan(query) == plan(
        """
        1 b
          berths {
            id
          }
        2 a after 1
          berths: Vessel(id)
            __typename
            ... on Ferry {
              cars
            }
        """
    )
    assert await federation().data(query) == {"berths": [{"__typename": "Tug"}, {"__typename": "Ferry", "cars": 80}]}


async def test_inherited_fields_under_a_type_condition_enter_the_interface_object_again() -> None:
    query = "{ berths { ... on Ferry { berth } } }"
    assert federation().plan(query) == plan(
        """
        1 b
          berths {
            id
          }
        2 a after 1
          berths: Vessel(id)
            __typename
            ... on Ferry {
              id
            }
        3 b after 2
          berths[Ferry]: Vessel(id)
            berth
        """
    )
    assert await federation().data(query) == {"berths": [{}, {"berth": 1}]}


async def test_an_interface_object_can_require_fields_of_the_interface() -> None:
    query = "{ berths { greeting } }"
    assert federation().plan(query) == plan(
        """
        1 b
          berths {
            id
          }
        2 a after 1
          berths: Vessel(id)
            __typename name
        3 c after 2
          berths: Vessel(id name)
            greeting
        """
    )
    assert await federation().data(query) == {"berths": [{"greeting": "Ahoy Max"}, {"greeting": "Ahoy Nordic"}]}


async def test_an_interface_object_that_is_asked_for_nothing_certain_does_not_give_its_own_type() -> None:
    both = "both: [Vessel!]! @join__field(graph: A) @join__field(graph: B)"
    sdl = SDL.replace("{ vessels:", f"{{ {both} vessels:")
    shared = Federation(sdl, World({"both": [FERRY]}, [FERRY, TUG], COMPUTED))
    query = "query ($no: Boolean = true) { both { name ... on Ferry { berth @skip(if: $no) cars } } }"
    assert await shared.data(query) == {"both": [{"name": "Nordic", "cars": 80}]}


async def test_a_real_interface_without_types_of_its_own_resolves_only_what_it_declares() -> None:
    sdl = supergraph(
        """
        type Query { nodes: [Node] @join__field(graph: A) }
        interface Node
          @join__type(graph: A, key: "id")
          @join__type(graph: B, key: "id", resolvable: false, isInterfaceObject: true)
        { id: ID! field: String @join__field(graph: B) }
        """,
        "a",
        "b",
    )
    empty = Federation(sdl)
    assert empty.plan("{ nodes { id } }") == plan(
        """
        1 a
          nodes {
            __typename id
          }
        """
    )
    with pytest.raises(PlanningError, match=r"No plan for nodes\.field: Node\.field cannot be reached from a\."):
        empty.plan("{ nodes { field } }")
