"""The function itself: what it returns, and that it reports rather than raises."""

from gateway.federation import composition
from gateway.federation.composition import Subgraph, compose


def test_the_package_exports_a_sorted_list_of_names() -> None:
    assert composition.__all__ == sorted(composition.__all__)
    assert composition.__all__ == [
        "CODES",
        "CompositionError",
        "CompositionHint",
        "CompositionResult",
        "Subgraph",
        "compose",
    ]


def test_one_plain_subgraph_composes() -> None:
    result = compose([Subgraph("users", "http://users", "type Query { me: String }")])
    assert result.is_success
    assert result.errors == ()
    assert result.supergraph_sdl is not None
    assert '@join__graph(name: "users", url: "http://users")' in result.supergraph_sdl


def test_the_order_of_subgraphs_does_not_matter() -> None:
    a = Subgraph("a", "http://a", "type Query { a: Int }")
    b = Subgraph("b", "http://b", "type Query { b: Int }")
    assert compose([a, b]) == compose([b, a])
