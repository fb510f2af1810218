"""Aliases of the client beside fields that the planner needs under the same key."""

from typing import Any

from tests.federation.kit import Federation, World, plan, supergraph

SDL = supergraph(
    """
    type Query { user: User @join__field(graph: A) }
    type User @join__type(graph: A, key: "id") @join__type(graph: B, key: "id") {
      id: ID!
      name: String @join__field(graph: A)
      age(in: String = "years"): Int @join__field(graph: B)
      friend: User @join__field(graph: B)
    }
    """,
    "a",
    "b",
)
USER: dict[str, Any] = {"__typename": "User", "id": "u", "name": "Kim"}
USER["friend"] = USER
COMPUTED = {"User.age": lambda _, arguments: {"years": 40, "days": 14610}[arguments["in"]]}


def federation() -> Federation:
    return Federation(SDL, World({"user": USER}, [USER], COMPUTED))


async def test_an_alias_named_like_the_key_does_not_become_the_key() -> None:
    query = "{ user { id: name age } }"
    assert federation().plan(query) == plan(
        """
        1 a
          user {
            id: name _h0: id
          }
        2 b after 1
          user: User(id=_h0)
            age
        """
    )
    assert await federation().data(query) == {"user": {"id": "Kim", "age": 40}}


async def test_the_same_field_with_other_arguments_stands_under_other_keys() -> None:
    query = '{ user { days: age(in: "days") years: age, age(in: "years") name: id } }'
    assert await federation().data(query) == {"user": {"days": 14610, "years": 40, "age": 40, "name": "u"}}


async def test_keys_with_underscores_keep_clear_of_the_planners_own() -> None:
    query = "{ user { _h0: name _t: id __typename: name _u: age id: name friend { _h0: id id: name name } } }"
    assert await federation().data(query) == {
        "user": {
            "_h0": "Kim",
            "_t": "u",
            "__typename": "Kim",
            "_u": 40,
            "id": "Kim",
            "friend": {"_h0": "u", "id": "Kim", "name": "Kim"},
        }
    }


async def test_one_field_under_two_keys_is_two_fields() -> None:
    query = "{ user { a: friend { name } b: friend { age name: id } } }"
    assert federation().plan(query) == plan(
        """
        1 a
          user {
            id
          }
        2 b after 1
          user: User(id)
            a: friend {
              id
            }
            b: friend {
              age name: id
            }
        3 a after 2
          user.a: User(id)
            name
        """
    )
    assert await federation().data(query) == {"user": {"a": {"name": "Kim"}, "b": {"age": 40, "name": "u"}}}


async def test_variables_named_like_the_planners_own_are_kept_apart() -> None:
    query = 'query ($representations: String = "days") { user { age(in: $representations) } }'
    assert await federation().data(query) == {"user": {"age": 14610}}
