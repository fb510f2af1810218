"""Interfaces and unions: when types are taken apart, and what subgraphs with different members may return."""

import pytest

from gateway.federation.errors import PlanningError
from tests.federation.kit import Federation, World, plan, supergraph

PETS = """
    type Query { pets: [Pet!]! @join__field(graph: A) }
    interface Pet @join__type(graph: A) @join__type(graph: B) {
      id: ID!
      name: String @join__field(graph: A)
      vet: Vet @join__field(graph: B)
    }
    type Cat implements Pet
      @join__type(graph: A, key: "id") @join__type(graph: B, key: "id")
      @join__implements(graph: A, interface: "Pet") @join__implements(graph: B, interface: "Pet")
    {
      id: ID!
      name: String @join__field(graph: A)
      vet: Vet @join__field(graph: B)
      claws: Int @join__field(graph: A)
    }
    type Dog implements Pet
      @join__type(graph: A, key: "id") @join__type(graph: B, key: "id")
      @join__implements(graph: A, interface: "Pet") @join__implements(graph: B, interface: "Pet")
    {
      id: ID!
      name: String @join__field(graph: A, usedOverridden: true) @join__field(graph: B, override: "a")
      vet: Vet @join__field(graph: B)
    }
    type Vet @join__type(graph: B) { name: String }
"""
VET = {"__typename": "Vet", "name": "Dr Fell"}
CAT = {"__typename": "Cat", "id": "c", "name": "Tib", "vet": VET, "claws": 18}
DOG = {"__typename": "Dog", "id": "d", "name": "Rex", "vet": VET}


async def test_an_interface_field_is_taken_apart_when_one_type_resolves_it_elsewhere() -> None:
    federation = Federation(supergraph(PETS, "a", "b"), World({"pets": [CAT, DOG]}, [CAT, DOG]))
    query = "{ pets { __typename id name } }"
    assert federation.plan(query) == plan(
        """
        1 a
          pets {
            __typename id
            ... on Cat {
              name
            }
            ... on Dog {
              id
            }
          }
        2 b after 1
          pets[Dog]: Dog(id)
            name
        """
    )
    assert await federation.data(query) == {
        "pets": [{"__typename": "Cat", "id": "c", "name": "Tib"}, {"__typename": "Dog", "id": "d", "name": "Rex"}]
    }


async def test_selections_below_an_exploded_field_share_one_request() -> None:
    federation = Federation(supergraph(PETS, "a", "b"), World({"pets": [CAT, DOG]}, [CAT, DOG]))
    query = "{ pets { vet { name } ... on Cat { claws } } }"
    assert federation.plan(query) == plan(
        """
        1 a
          pets {
            __typename
            ... on Cat {
              id claws
            }
            ... on Dog {
              id
            }
          }
        2 b after 1
          pets[Cat]: Cat(id)
            vet {
              name
            }
          pets[Dog]: Dog(id)
            vet {
              name
            }
        """
    )
    assert await federation.data(query) == {
        "pets": [{"vet": {"name": "Dr Fell"}, "claws": 18}, {"vet": {"name": "Dr Fell"}}]
    }
    assert len(federation.requests) == 2


async def test_types_are_never_mixed_from_different_subgraphs() -> None:
    sdl = supergraph(
        """
        type Query { node: Node }
        interface Node @join__type(graph: A) @join__type(graph: B) { id: ID! }
        type X implements Node @join__type(graph: A, key: "id") @join__type(graph: B, key: "id")
          @join__implements(graph: A, interface: "Node") @join__implements(graph: B, interface: "Node")
        { id: ID! @join__field(graph: A) @join__field(graph: B, external: true) }
        type Y implements Node @join__type(graph: A, key: "id") @join__type(graph: B, key: "id")
          @join__implements(graph: A, interface: "Node") @join__implements(graph: B, interface: "Node")
        { id: ID! @join__field(graph: B) @join__field(graph: A, external: true) }
        """,
        "a",
        "b",
    )
    with pytest.raises(PlanningError, match=r"No plan for node\.id"):
        Federation(sdl).plan("{ node { id } }")


UNION = """
    type Query {
      onlyA: Box @join__field(graph: A)
      shared: Box
    }
    type Box @join__type(graph: A) @join__type(graph: B) { content: Content }
    union Content @join__type(graph: A) @join__type(graph: B)
      @join__unionMember(graph: A, member: "Tea") @join__unionMember(graph: B, member: "Tea")
      @join__unionMember(graph: A, member: "Salt") @join__unionMember(graph: B, member: "Pepper")
      = Tea | Salt | Pepper
    type Tea @join__type(graph: A) @join__type(graph: B) { grams: Int }
    type Salt @join__type(graph: A) { grams: Int }
    type Pepper @join__type(graph: B) { grams: Int }
"""


async def test_members_that_only_one_of_the_subgraphs_knows_are_not_selected_where_both_answer() -> None:
    tea = {"__typename": "Tea", "grams": 5}
    salt = {"__typename": "Salt", "grams": 1}
    world = World({"onlyA": {"__typename": "Box", "content": salt}, "shared": {"__typename": "Box", "content": tea}})
    federation = Federation(supergraph(UNION, "a", "b"), world)
    query = "{ %s { content { __typename ... on Tea { grams } ... on Salt { grams } ... on Pepper { grams } } } }"
    assert federation.plan(query % "onlyA") == plan(
        """
        1 a
          onlyA {
            content {
              __typename
              ... on Tea {
                grams
              }
              ... on Salt {
                grams
              }
            }
          }
        """
    )
    assert federation.plan(query % "shared") == plan(
        """
        1 a
          shared {
            content {
              __typename
              ... on Tea {
                grams
              }
            }
          }
        """
    )
    assert await federation.data(query % "onlyA") == {"onlyA": {"content": {"__typename": "Salt", "grams": 1}}}
    assert await federation.data(query % "shared") == {"shared": {"content": {"__typename": "Tea", "grams": 5}}}


async def test_keys_whose_types_differ_between_members_are_aliased_on_the_way() -> None:
    sdl = supergraph(
        """
        type Query { found: [Hit!]! @join__field(graph: A) }
        union Hit @join__type(graph: A)
          @join__unionMember(graph: A, member: "Film") @join__unionMember(graph: A, member: "Song") = Film | Song
        type Film @join__type(graph: A) {
          id: ID @join__field(graph: A, type: "ID!") @join__field(graph: B)
          cast: [Actor] @join__field(graph: A, type: "[Actor!]!") @join__field(graph: B)
        }
        type Song @join__type(graph: A) { id: ID cast: [Actor] }
        type Actor @join__type(graph: A) { name: String }
        """,
        "a",
        "b",
    )
    actor = {"__typename": "Actor", "name": "Kim"}
    film = {"__typename": "Film", "id": "f", "cast": [actor]}
    song = {"__typename": "Song", "id": None, "cast": [actor]}
    federation = Federation(sdl, World({"found": [film, song]}))
    query = "{ found { ... on Film { id cast { name } } ... on Song { id cast { name } } } }"
    assert federation.plan(query) == plan(
        """
        1 a
          found {
            __typename
            ... on Film {
              id
              cast {
                name
              }
            }
            ... on Song {
              _c_id_ID: id
              _c_cast_Lo: cast {
                name
              }
            }
          }
        """
    )
    assert await federation.data(query) == {
        "found": [{"id": "f", "cast": [{"name": "Kim"}]}, {"id": None, "cast": [{"name": "Kim"}]}]
    }


async def test_a_fragment_on_an_interface_the_subgraph_does_not_know_is_resolved_to_types() -> None:
    sdl = supergraph(
        """
        type Query { tools: [Tool!]! @join__field(graph: A) }
        union Tool @join__type(graph: A)
          @join__unionMember(graph: A, member: "Saw") @join__unionMember(graph: A, member: "Glue") = Saw | Glue
        interface Sharp @join__type(graph: B) { id: ID! }
        type Saw implements Sharp @join__type(graph: A, key: "id") @join__type(graph: B, key: "id")
          @join__implements(graph: B, interface: "Sharp") { id: ID! teeth: Int @join__field(graph: B) }
        type Glue @join__type(graph: A) { colour: String }
        """,
        "a",
        "b",
    )
    saw = {"__typename": "Saw", "id": "s", "teeth": 24}
    glue = {"__typename": "Glue", "colour": "white"}
    federation = Federation(sdl, World({"tools": [saw, glue]}, [saw]))
    query = "{ tools { ... on Sharp { id ... on Saw { teeth } } ... on Glue { colour } } }"
    assert federation.plan(query) == plan(
        """
        1 a
          tools {
            __typename
            ... on Saw {
              id
            }
            ... on Glue {
              colour
            }
          }
        2 b after 1
          tools[Saw]: Saw(id)
            teeth
        """
    )
    assert await federation.data(query) == {"tools": [{"id": "s", "teeth": 24}, {"colour": "white"}]}
