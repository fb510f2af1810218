"""@skip and @include: what nobody wants is not asked for."""

from tests.federation.kit import Federation, World, plan, supergraph

SDL = supergraph(
    """
    type Query { ship: Ship @join__field(graph: A) port: String @join__field(graph: B) }
    type Ship @join__type(graph: A, key: "id") @join__type(graph: B, key: "id") @join__type(graph: C, key: "id") {
      id: ID!
      name: String @join__field(graph: A)
      load: Int @join__field(graph: B) @join__field(graph: C, external: true)
      draught: Int @join__field(graph: C, requires: "load")
      sails: Int @join__field(graph: C)
    }
    """,
    "a",
    "b",
    "c",
)
SHIP = {"__typename": "Ship", "id": "s", "name": "Pinta", "load": 10, "sails": 3}


def federation() -> Federation:
    draught = {"Ship.draught": lambda known, _: known["load"] // 5}
    return Federation(SDL, World({"ship": SHIP, "port": "Palos"}, [SHIP], draught))


async def test_fetches_for_unwanted_fields_are_not_sent_nor_those_they_need() -> None:
    query = "query ($deep: Boolean = false) { ship { name draught @include(if: $deep) } }"
    asked = federation()
    assert asked.plan(query) == plan(
        """
        1 a
          ship {
            name id
          }
        2 b after 1
          ship: Ship(id) if $deep
            load
        3 c after 2
          ship: Ship(id load) if $deep
            _t: __typename draught @include(if: $deep)
        """
    )
    assert await asked.data(query) == {"ship": {"name": "Pinta"}}
    assert [request.subgraph for request in asked.requests] == ["a"]
    assert await asked.data(query, {"deep": True}) == {"ship": {"name": "Pinta", "draught": 2}}
    assert [request.subgraph for request in asked.requests] == ["a", "b", "c"]


async def test_conditions_of_nested_fragments_must_all_hold() -> None:
    query = """
    query ($a: Boolean!, $b: Boolean!, $c: Boolean!) {
      ship { id ... @include(if: $a) { ... @include(if: $b) { sails @skip(if: $c) name } } }
    }
    """
    asked = federation()
    assert asked.plan(query) == plan(
        """
        1 a
          ship {
            id
            ... @include(if: $b) {
              name @include(if: $a)
            }
          }
        2 c after 1
          ship: Ship(id) if $a and $b and not $c
            _t: __typename
            ... @include(if: $b) {
              sails @include(if: $a) @skip(if: $c)
            }
        """
    )
    assert await asked.data(query, {"a": True, "b": True, "c": False}) == {
        "ship": {"id": "s", "sails": 3, "name": "Pinta"}
    }
    assert await asked.data(query, {"a": True, "b": True, "c": True}) == {"ship": {"id": "s", "name": "Pinta"}}
    assert await asked.data(query, {"a": True, "b": False, "c": False}) == {"ship": {"id": "s"}}
    assert [request.subgraph for request in asked.requests] == ["a"]


async def test_an_unconditional_selection_wins() -> None:
    query = "query ($a: Boolean!) { ship { name @skip(if: $a) ... { name } } }"
    asked = federation()
    assert asked.plan(query) == plan(
        """
        1 a
          ship {
            name
          }
        """
    )
    assert await asked.data(query, {"a": True}) == {"ship": {"name": "Pinta"}}


async def test_what_the_client_wants_is_fetched_although_another_needs_it_conditionally() -> None:
    query = "query ($a: Boolean!) { ship { load draught @skip(if: $a) } }"
    asked = federation()
    assert await asked.data(query, {"a": True}) == {"ship": {"load": 10}}
    assert await asked.data(query, {"a": False}) == {"ship": {"load": 10, "draught": 2}}


async def test_a_skipped_root_field_asks_nobody() -> None:
    asked = federation()
    query = "query ($a: Boolean!) { ship { name } port @skip(if: $a) }"
    assert await asked.data(query, {"a": True}) == {"ship": {"name": "Pinta"}}
    assert [request.subgraph for request in asked.requests] == ["a"]


async def test_constant_conditions_are_decided_while_planning() -> None:
    asked = federation()
    query = "{ ship { name @include(if: true) sails @include(if: false) load @skip(if: true) } }"
    assert asked.plan(query) == plan(
        """
        1 a
          ship {
            name
          }
        """
    )
    assert await asked.data(query) == {"ship": {"name": "Pinta"}}


async def test_an_object_of_which_nothing_is_wanted_is_still_there() -> None:
    asked = federation()
    query = "query ($a: Boolean!) { ship { name @include(if: $a) } }"
    assert await asked.data(query, {"a": False}) == {"ship": {}}


async def test_the_order_of_keys_follows_the_selections_that_hold() -> None:
    asked = federation()
    query = "query ($a: Boolean!) { ship { id } ship @include(if: $a) { name } ship { sails } }"
    answer = await asked.data(query, {"a": True})
    assert list(answer["ship"]) == ["id", "name", "sails"]


async def test_what_is_wanted_below_a_conditional_object_stays_conditional() -> None:
    asked = federation()
    query = "query ($a: Boolean!) { ship { name } ship @include(if: $a) { sails } }"
    assert asked.plan(query) == plan(
        """
        1 a
          ship {
            name
          }
          ship @include(if: $a) {
            id
          }
        2 c after 1
          ship: Ship(id) if $a
            sails
        """
    )
    assert await asked.data(query, {"a": False}) == {"ship": {"name": "Pinta"}}
    assert [request.subgraph for request in asked.requests] == ["a"]
    assert await asked.data(query, {"a": True}) == {"ship": {"name": "Pinta", "sails": 3}}


async def test_what_is_always_wanted_does_not_wait_for_a_requirement_that_may_not_be() -> None:
    asked = federation()
    query = "query ($a: Boolean!) { ship { sails draught @include(if: $a) } }"
    assert asked.plan(query) == plan(
        """
        1 a
          ship {
            id
          }
        2 b after 1
          ship: Ship(id) if $a
            load
        3 c after 2
          ship: Ship(id)
            sails
          ship: Ship(id load) if $a
            _t: __typename draught @include(if: $a)
        """
    )
    assert await asked.data(query, {"a": False}) == {"ship": {"sails": 3}}
    assert [request.subgraph for request in asked.requests] == ["a", "c"]
    assert await asked.data(query, {"a": True}) == {"ship": {"sails": 3, "draught": 2}}
