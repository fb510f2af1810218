"""Entities that lists inside lists repeat: each is asked for once, whether or not its objects become one."""

from typing import Any

import pytest

from tests.federation.kit import Federation, World, supergraph

SDL = supergraph(
    """
    type Query { orders: [Order!]! @join__field(graph: A) }
    type Order @join__type(graph: A) { number: Int! items: [Item]! gift: Item }
    type Item
      @join__type(graph: A, key: "id")
      @join__type(graph: B, key: "id")
      @join__type(graph: C, key: "id")
    {
      id: ID!
      colour: String @join__field(graph: A)
      name: String @join__field(graph: B) @join__field(graph: C, external: true)
      label: String @join__field(graph: C, requires: "name")
      parts: [Item!] @join__field(graph: C)
    }
    """,
    "a",
    "b",
    "c",
)
QUERY = """{
  orders { number items { colour name label parts { name label } } gift { label name } }
}"""


def federation(different: int, orders: int) -> Federation:
    items: list[dict[str, Any]] = [
        {"__typename": "Item", "id": f"i{n}", "colour": None if n % 3 else "red", "name": f"n{n}", "label": f"n{n}!"}
        for n in range(different)
    ]
    for number, item in enumerate(items):
        item["parts"] = [items[(number + step) % different] for step in range(number % 3)]
    made = [
        {
            "__typename": "Order",
            "number": number,
            "items": [None if step == 3 else items[(number * 5 + step) % different] for step in range(5)],
            "gift": items[number % different] if number % 2 else None,
        }
        for number in range(orders)
    ]
    computed = {"Item.label": lambda known, _: f"{known['name']}!"}
    return Federation(SDL, World({"orders": made}, items, computed))


@pytest.mark.parametrize(
    ("different", "orders"), [(3, 4), (7, 60), (300, 60)], ids=["few", "many that are alike", "many that differ"]
)
async def test_repeated_entities_are_complete_everywhere_and_asked_for_once(different: int, orders: int) -> None:
    asked = federation(different, orders)
    await asked.data(QUERY)
    await asked.answer(QUERY)
    for request in asked.requests:
        for _, variable in request.entities:
            keys = [each["id"] for each in request.variables[variable]]
            assert len(keys) == len(set(keys)) <= different


async def test_objects_that_differ_in_what_came_with_them_stay_apart() -> None:
    """One key, two colours: a subgraph contradicts itself, and every object keeps what was said of it."""
    red, blue = ({"__typename": "Item", "id": "i", "colour": c, "name": "n", "label": "n!"} for c in ("red", "blue"))
    orders = [{"__typename": "Order", "number": n, "items": [red, blue, red], "gift": None} for n in range(2)]
    asked = Federation(SDL, World({"orders": orders}, [red], {"Item.label": lambda known, _: f"{known['name']}!"}))
    data = await asked.data("{ orders { items { colour name label } } }")
    assert [[item["colour"] for item in order["items"]] for order in data["orders"]] == [["red", "blue", "red"]] * 2
    assert {item["label"] for order in data["orders"] for item in order["items"]} == {"n!"}
