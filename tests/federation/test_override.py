"""@override: fields that move from one subgraph to another, at once or step by step."""

from gateway.federation.supergraph import active_labels, parse_supergraph
from tests.federation.kit import Federation, World, plan, supergraph

BODY = """
    type Query { bill: Bill @join__field(graph: A) }
    type Bill @join__type(graph: A, key: "id") @join__type(graph: B, key: "id") {
      id: ID!
      total: Int %s
    }
"""
BILL = {"__typename": "Bill", "id": "1", "total": 12}


async def test_an_overridden_field_is_never_asked_of_its_old_subgraph() -> None:
    joins = '@join__field(graph: A, usedOverridden: true) @join__field(graph: B, override: "a")'
    federation = Federation(supergraph(BODY % joins, "a", "b"), World({"bill": BILL}, [BILL]))
    query = "{ bill { total } }"
    assert federation.plan(query) == plan(
        """
        1 a
          bill {
            id
          }
        2 b after 1
          bill: Bill(id)
            total
        """
    )
    assert await federation.data(query) == {"bill": {"total": 12}}


async def test_an_override_of_an_unknown_subgraph_changes_nothing() -> None:
    joins = '@join__field(graph: A, override: "gone")'
    federation = Federation(supergraph(BODY % joins, "a", "b"), World({"bill": BILL}, [BILL]))
    assert federation.plan("{ bill { total } }") == plan(
        """
        1 a
          bill {
            total
          }
        """
    )


async def test_a_label_decides_request_by_request() -> None:
    joins = (
        '@join__field(graph: A, overrideLabel: "percent(5)")'
        '@join__field(graph: B, override: "a", overrideLabel: "percent(5)")'
    )
    sdl = supergraph(BODY % joins, "a", "b")
    off = Federation(sdl, World({"bill": BILL}, [BILL]))
    on = Federation(sdl, World({"bill": BILL}, [BILL]), labels=frozenset({"percent(5)"}))
    query = "{ bill { total } }"
    assert off.engine.model.override_labels == {"percent(5)"}
    assert off.plan(query) == plan(
        """
        1 a
          bill {
            total
          }
        """
    )
    assert on.plan(query) == plan(
        """
        1 a
          bill {
            id
          }
        2 b after 1
          bill: Bill(id)
            total
        """
    )
    assert await off.data(query) == await on.data(query) == {"bill": {"total": 12}}


async def test_a_label_holds_for_the_old_subgraph_although_only_the_new_one_names_it() -> None:
    joins = '@join__field(graph: A) @join__field(graph: B, override: "a", overrideLabel: "moving")'
    federation = Federation(
        supergraph(BODY % joins, "a", "b"), World({"bill": BILL}, [BILL]), labels=frozenset({"moving"})
    )
    assert await federation.data("{ bill { total } }") == {"bill": {"total": 12}}
    assert [request.subgraph for request in federation.requests] == ["a", "b"]


def test_a_percentage_is_compared_with_the_requests_draw_and_other_labels_are_chosen() -> None:
    joins = (
        '@join__field(graph: A) @join__field(graph: B, override: "a", overrideLabel: "percent(12.5)")'
        '@join__field(graph: C, override: "x", overrideLabel: "beta")'
    )
    model = parse_supergraph(supergraph(BODY % joins, "a", "b", "c"))
    assert active_labels(model, 0.124) == frozenset({"percent(12.5)"})
    assert active_labels(model, 0.125) == frozenset()
    assert active_labels(model, 0.9, frozenset({"beta", "unheard of"})) == frozenset({"beta"})
