"""Limits of planning: an expensive operation is refused with the limit's name, and nothing is sent."""

import itertools

import pytest
from graphql import parse

from gateway.federation.errors import PlanLimitExceeded
from gateway.federation.planner import PlanLimits, Planner
from gateway.federation.supergraph import parse_supergraph
from tests.federation.kit import Federation, World, supergraph

SDL = supergraph(
    """
    type Query { node: Node @join__field(graph: A) }
    type Node @join__type(graph: A, key: "id") @join__type(graph: B, key: "id") {
      id: ID!
      next: Node
      value: Int @join__field(graph: B)
    }
    """,
    "a",
    "b",
)


def nested(levels: int) -> str:
    return "{ node " + "{ next " * levels + "{ id }" + " }" * levels + " }"


async def test_too_deep_an_operation_is_refused() -> None:
    federation = Federation(SDL, World({}), limits=PlanLimits(max_depth=5))
    answer = await federation.answer(nested(10))
    assert answer == {
        "errors": [
            {
                "message": "The operation is too expensive to plan: it exceeds max_depth = 5. Ask for less at once.",
                "extensions": {"code": "PLAN_LIMIT_EXCEEDED"},
            }
        ]
    }
    assert not federation.requests


async def test_fragments_nested_too_deep_are_refused() -> None:
    chain = " ".join(f"fragment F{n} on Query {{ ...F{n + 1} }}" for n in range(100))
    answer = await Federation(SDL).answer(f"{{ ...F0 }} {chain} fragment F100 on Query {{ node {{ id }} }}")
    assert answer["errors"][0]["extensions"]["code"] == "PLAN_LIMIT_EXCEEDED"


@pytest.mark.parametrize(
    ("limits", "name"),
    [(PlanLimits(max_nodes=3), "max_nodes"), (PlanLimits(max_options=1), "max_options")],
)
def test_too_wide_an_operation_is_refused(limits: PlanLimits, name: str) -> None:
    with pytest.raises(PlanLimitExceeded) as raised:
        Federation(SDL, limits=limits).plan("{ node { next { value next { value } } } }")
    assert raised.value.limit == name


def test_time_is_taken_from_the_clock_given() -> None:
    seconds = itertools.count()
    planner = Planner(parse_supergraph(SDL), PlanLimits(max_time_s=2.0), clock=lambda: float(next(seconds)))
    with pytest.raises(PlanLimitExceeded, match="max_time_s = 2"):
        planner.plan(parse("{ node { value } }"))


def test_types_that_must_be_taken_apart_again_and_again_end_at_a_limit() -> None:
    joins = '@join__type(graph: A, key: "id") @join__type(graph: B, key: "id")'
    implements = '@join__implements(graph: A, interface: "I") @join__implements(graph: B, interface: "I")'
    fields = "id: ID! near: I @join__field(graph: A) far: I @join__field(graph: B)"
    types = "\n".join(f"type T{n} implements I {joins} {implements} {{ {fields} }}" for n in range(30))
    interface = f"interface I @join__type(graph: A) @join__type(graph: B) {{ {fields} }}"
    sdl = supergraph(f"type Query {{ start: I @join__field(graph: A) }} {interface} {types}", "a", "b")
    query = "{ start { " + "far { near { " * 6 + "id" + " } }" * 6 + " } }"
    with pytest.raises(PlanLimitExceeded) as raised:
        Federation(sdl).plan(query)
    assert raised.value.limit in {"max_nodes", "max_time_s"}


def test_combinations_are_tried_only_so_often() -> None:
    fields = " ".join(f"f{n}: Int" for n in range(6))
    entities = "\n".join(
        f'type E{n} @join__type(graph: A, key: "id") @join__type(graph: B, key: "id") @join__type(graph: C, key: "id")'
        f"{{ id: ID! {fields.replace('Int', 'Int @join__field(graph: B) @join__field(graph: C)')} }}"
        for n in range(6)
    )
    root = " ".join(f"e{n}: E{n} @join__field(graph: A)" for n in range(6))
    sdl = supergraph(f"type Query {{ {root} }} {entities}", "a", "b", "c")
    query = "{" + " ".join(f"e{n} {{ f0 f1 f2 f3 f4 f5 }}" for n in range(6)) + "}"
    plan = Federation(sdl, limits=PlanLimits(max_trials=50)).engine.plan(query)
    assert [request.subgraph for request in plan.requests] == ["a", "b"]
