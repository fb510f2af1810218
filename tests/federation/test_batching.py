"""Requests saved: what is ready together for one subgraph goes there together, and nothing goes there twice."""

from typing import Any

from tests.federation.kit import Federation, World, plan, supergraph

SDL = supergraph(
    """
    type Query { cities: [City] @join__field(graph: A) trips: [Trip] @join__field(graph: B) }
    type City @join__type(graph: A, key: "id") @join__type(graph: C, key: "id") @join__type(graph: B, key: "id") {
      id: ID!
      name: String @join__field(graph: A)
      people: Int @join__field(graph: C)
      size: Int @join__field(graph: A) @join__field(graph: C, external: true)
      density: Int @join__field(graph: C, requires: "size")
    }
    type Trip @join__type(graph: B, key: "id") @join__type(graph: C, key: "id") {
      id: ID!
      from: City @join__field(graph: B)
      to: City @join__field(graph: B)
      price: Int @join__field(graph: C)
    }
    """,
    "a",
    "b",
    "c",
)
CITIES = [{"__typename": "City", "id": f"c{n}", "name": f"City {n}", "people": 90 * n, "size": 9} for n in (1, 2)]
TRIP: dict[str, Any] = {"__typename": "Trip", "id": "t", "from": CITIES[0], "to": CITIES[1], "price": 40}
WORLD = World(
    {"cities": CITIES, "trips": [TRIP]},
    [*CITIES, TRIP],
    {"City.density": lambda known, _: known["size"]},
)


async def test_fetches_of_one_subgraph_that_are_ready_together_share_a_request() -> None:
    federation = Federation(SDL, WORLD)
    query = "{ cities { people } trips { price from { people } } }"
    assert federation.plan(query) == plan(
        """
        1 a
          cities {
            id
          }
        2 b
          trips {
            id
            from {
              id
            }
          }
        3 c after 1, 2
          cities: City(id)
          trips.from: City(id)
            people
          trips: Trip(id)
            price
        """
    )
    await federation.data(query)
    assert [request.subgraph for request in federation.requests] == ["a", "b", "c"]


async def test_equal_selections_share_one_list_of_representations_whatever_their_order() -> None:
    federation = Federation(SDL, WORLD)
    query = "{ trips { from { name size } to { size name } } }"
    assert federation.plan(query) == plan(
        """
        1 b
          trips {
            from {
              id
            }
            to {
              id
            }
          }
        2 a after 1
          trips.from: City(id)
          trips.to: City(id)
            name size
        """
    )
    await federation.data(query)
    assert [each["id"] for each in federation.requests[1].variables["representations"]] == ["c1", "c2"]


async def test_a_fetch_without_hurry_waits_for_a_later_request_to_its_subgraph() -> None:
    federation = Federation(SDL, WORLD)
    query = "{ trips { price from { density } } }"
    assert federation.plan(query) == plan(
        """
        1 b
          trips {
            id
            from {
              id
            }
          }
        2 a after 1
          trips.from: City(id)
            size
        3 c after 2
          trips: Trip(id)
            price
          trips.from: City(id size)
            density
        """
    )
    await federation.data(query)


async def test_plain_fields_join_the_fetch_that_waits_for_a_requirement() -> None:
    federation = Federation(SDL, WORLD)
    query = "{ trips { to { people density } } }"
    assert federation.plan(query) == plan(
        """
        1 b
          trips {
            to {
              id
            }
          }
        2 a after 1
          trips.to: City(id)
            size
        3 c after 2
          trips.to: City(id size)
            density people
        """
    )
    await federation.data(query)


async def test_no_request_is_sent_for_an_empty_list() -> None:
    federation = Federation(SDL, World({"trips": [], "cities": None}))
    assert await federation.data("{ trips { to { people } } cities { people } }") == {"trips": [], "cities": None}
    assert sorted(request.subgraph for request in federation.requests) == ["a", "b"]


def test_four_subgraphs_nested_four_times_take_six_requests() -> None:
    shop = supergraph(
        """
        type Query { members: [Member] @join__field(graph: P) bestsellers: [Article] @join__field(graph: C) }
        type Member @join__type(graph: P, key: "id") @join__type(graph: O, key: "id") {
          id: ID!
          name: String @join__field(graph: P)
          nick: String @join__field(graph: P) @join__field(graph: O, external: true)
          opinions: [Opinion] @join__field(graph: O)
        }
        type Article
          @join__type(graph: C, key: "sku") @join__type(graph: S, key: "sku") @join__type(graph: O, key: "sku")
        {
          sku: ID!
          price: Int @join__field(graph: C) @join__field(graph: S, external: true)
          available: Boolean @join__field(graph: S)
          postage: Int @join__field(graph: S, requires: "price")
          opinions: [Opinion] @join__field(graph: O)
        }
        type Opinion @join__type(graph: O, key: "id") {
          id: ID!
          article: Article
          author: Member @join__field(graph: O, provides: "nick")
        }
        """,
        "p",
        "c",
        "s",
        "o",
    )
    query = """
    {
      members { ...M opinions { article { ...A opinions { author { ...M opinions { article { ...A } } } } } } }
      bestsellers { ...A opinions { author { ...M opinions { article { ...A } } } } }
    }
    fragment M on Member { id nick name }
    fragment A on Article { available price postage sku }
    """
    requests = Federation(shop).engine.plan(query).requests
    assert [request.subgraph for request in requests] == ["p", "c", "o", "c", "p", "s"]
