"""Mutations: strictly in order, each field in exactly one subgraph."""

from typing import Any

import pytest

from gateway.federation.errors import PlanningError
from tests.federation.kit import Federation, World, plan, supergraph

SDL = supergraph(
    """
    type Query { ok: Boolean @join__field(graph: A) }
    type Mutation {
      add(n: Int!): Counter @join__field(graph: A)
      double: Counter @join__field(graph: B)
      reset: Boolean
    }
    type Counter @join__type(graph: A, key: "id") @join__type(graph: B, key: "id") {
      id: ID!
      value: Int
      note: String @join__field(graph: B)
      sign: String @join__field(graph: B, requires: "base")
      base: Int @join__field(graph: A) @join__field(graph: B, external: true)
    }
    """,
    "a",
    "b",
)


class Counter:
    """Changes with every call and remembers the calls."""

    def __init__(self) -> None:
        self.value = 0
        self.calls: list[str] = []
        self.counter: dict[str, Any] = {"__typename": "Counter", "id": "c", "value": 0, "note": "n", "base": 2}

    def world(self) -> World:
        computed = {"Counter.sign": lambda known, _: "+" if known["base"] >= 0 else "-"}
        root = {"ok": True, "add": self.add, "double": self.double, "reset": self.reset}
        return World(root, [self.counter], computed)

    def add(self, n: int) -> dict[str, Any]:
        self.calls.append(f"add {n}")
        return self._now(self.value + n)

    def double(self) -> dict[str, Any]:
        self.calls.append("double")
        return self._now(self.value * 2)

    def reset(self) -> bool:
        self.calls.append("reset")
        self.value = 0
        return True

    def _now(self, value: int) -> dict[str, Any]:
        self.value = value
        return {**self.counter, "value": value}


async def test_fields_run_one_after_the_other_across_subgraphs() -> None:
    counter = Counter()
    federation = Federation(SDL, counter.world())
    query = "mutation { a: add(n: 1) { value } b: double { value } c: add(n: 5) { value } d: add(n: 1) { value } }"
    assert federation.plan(query) == plan(
        """
        1 mutation a
          a: add(n: 1) {
            value
          }
        then
        2 mutation b
          b: double {
            value
          }
        then
        3 mutation a
          c: add(n: 5) {
            value
          }
          d: add(n: 1) {
            value
          }
        """
    )
    answer = await federation.answer(query)
    assert answer == {"data": {"a": {"value": 1}, "b": {"value": 2}, "c": {"value": 7}, "d": {"value": 8}}}
    assert counter.calls == ["add 1", "double", "add 5", "add 1"]
    assert [request.kind for request in federation.requests] == ["mutation"] * 3


async def test_the_last_field_of_a_shared_request_may_have_more_to_fetch() -> None:
    counter = Counter()
    federation = Federation(SDL, counter.world())
    query = "mutation { a: add(n: 1) { value } b: add(n: 2) { value note } c: add(n: 3) { value } }"
    assert federation.plan(query) == plan(
        """
        1 mutation a
          a: add(n: 1) {
            value
          }
          b: add(n: 2) {
            value id
          }
        2 b after 1
          b: Counter(id)
            note
        then
        3 mutation a
          c: add(n: 3) {
            value
          }
        """
    )
    answer = await federation.answer(query)
    assert answer == {"data": {"a": {"value": 1}, "b": {"value": 3, "note": "n"}, "c": {"value": 6}}}


def test_a_mutation_that_no_subgraph_can_finish_has_no_plan() -> None:
    sdl = SDL.replace('type Counter @join__type(graph: A, key: "id") ', "type Counter @join__type(graph: A) ")
    sdl = sdl.replace('@join__type(graph: B, key: "id")', "@join__type(graph: B)")
    federation = Federation(sdl)
    with pytest.raises(PlanningError, match=r"No plan for add\.note: Counter\.note cannot be reached from a\."):
        federation.plan("mutation { add(n: 1) { note } }")


async def test_a_field_of_several_subgraphs_is_called_once() -> None:
    counter = Counter()
    federation = Federation(SDL, counter.world())
    assert await federation.answer("mutation { reset }") == {"data": {"reset": True}}
    assert counter.calls == ["reset"]


async def test_a_field_written_twice_under_different_conditions_is_called_once() -> None:
    counter = Counter()
    federation = Federation(SDL, counter.world())
    query = "mutation ($x: Boolean!) { add(n: 1) { value } double { id } add(n: 1) @include(if: $x) { id } }"
    answer = await federation.answer(query, {"x": True})
    assert answer["data"]["add"] == {"value": 1, "id": "c"}
    assert counter.calls == ["add 1", "double"]


async def test_what_follows_a_field_is_fetched_before_the_next_field_and_in_one_request() -> None:
    federation = Federation(SDL, Counter().world())
    query = "mutation { add(n: 1) { note sign } double { id } }"
    assert federation.plan(query) == plan(
        """
        1 mutation a
          add(n: 1) {
            id base
          }
        2 b after 1
          add: Counter(id base)
            note sign
        then
        3 mutation b
          double {
            id
          }
        """
    )
    assert await federation.answer(query) == {"data": {"add": {"note": "n", "sign": "+"}, "double": {"id": "c"}}}
    assert [(request.subgraph, request.kind) for request in federation.requests] == [
        ("a", "mutation"),
        ("b", "query"),
        ("b", "mutation"),
    ]
