"""What the satisfiability check says, and that it ends."""

from collections.abc import Mapping

from gateway.federation.composition import CompositionResult, Subgraph, compose
from gateway.federation.composition.errors import Problems
from gateway.federation.composition.merging import merge_subgraphs
from gateway.federation.composition.reading import read_subgraph
from gateway.federation.composition.satisfiability import check_satisfiability
from gateway.federation.composition.satisfiability.walk import label_choices

_LINK = (
    'extend schema @link(url: "https://specs.apollo.dev/federation/v2.7", import: '
    '["@key", "@shareable", "@external", "@requires", "@provides", "@override", "@interfaceObject"])\n'
)


def _compose(sdls: Mapping[str, str]) -> CompositionResult:
    return compose([Subgraph(name, f"http://{name}", _LINK + sdl) for name, sdl in sdls.items()])


def test_the_error_prints_the_query_and_what_each_subgraph_lacks() -> None:
    result = _compose(
        {
            "posts": 'type Query { posts: [Post] } type Post @key(fields: "id") { id: ID! author: User }'
            ' type User @key(fields: "id") { id: ID! }',
            "users": 'type User @key(fields: "email") { email: ID! name: String }',
        }
    )
    [email, name] = result.errors
    assert email.coordinates == ("User.email",)
    assert name.subgraphs == ("posts",)
    assert name.message == (
        'no plan resolves "User.name" in\n'
        "query {\n"
        "  posts {\n"
        "    author {\n"
        "      name\n"
        "    }\n"
        "  }\n"
        "}\n"
        '- "posts" has no field "User.name"\n'
        '- from "posts" to "users": @key "email" needs "email", which cannot be had from "posts"'
    )


def test_a_requirement_that_cannot_be_met_is_named() -> None:
    result = _compose(
        {
            "a": 'type Query { p: P } type P @key(fields: "id") '
            '{ id: ID! n: N @external two: Int @requires(fields: "n { x }") } type N { x: Int @external }',
            "b": 'type P @key(fields: "uid") { uid: ID! n: N } type N { x: Int }',
        }
    )
    two = next(error for error in result.errors if error.coordinates == ("P.two",))
    assert '- "a" requires "n { x }" for it, and "n" cannot be had' in two.message


def test_requirements_in_a_circle_end_in_an_error() -> None:
    result = _compose(
        {
            "a": "type Query { t: T }"
            ' type T @key(fields: "id") { id: ID! x: Int @requires(fields: "y") y: Int @external }',
            "b": 'type T @key(fields: "id") { id: ID! y: Int @requires(fields: "x") x: Int @external }',
        }
    )
    assert {error.coordinates for error in result.errors} == {("T.x",), ("T.y",)}


def test_a_fragment_in_provides_reaches_its_type() -> None:
    result = _compose(
        {
            "a": 'type Query { t: T @provides(fields: "n { ... on N { y } }") }'
            " type T { x: Int @shareable n: N @external } type N { y: Int @external }",
            "b": "type Query { u: T } type T { x: Int @shareable n: N @shareable } type N { y: Int @shareable }",
        }
    )
    assert result.errors == ()


def test_an_interface_field_without_one_plan_for_all_types_is_a_hint() -> None:
    def sdl(mine: str, theirs: str) -> str:
        return (
            "type Query { node: Node @shareable } interface Node { n: Int }"
            f" type {mine} implements Node {{ id: ID! @shareable n: Int }}"
            f" type {theirs} implements Node {{ id: ID! @shareable n: Int @external }}"
        )

    result = _compose({"a": sdl("X", "Y"), "b": sdl("Y", "X")})
    assert result.is_success
    assert [(hint.code, hint.coordinates) for hint in result.hints] == [("INTERFACE_FIELD_WITHOUT_PLAN", ("Node.n",))]


def test_each_side_of_a_progressive_override_is_checked() -> None:
    result = _compose(
        {
            "a": 'type Query { p: P } type P { name: String @override(from: "b", label: "beta") }',
            "b": "type Query { other: Int } type P { name: String }",
        }
    )
    assert [error.coordinates for error in result.errors] == [("P.name",)]
    assert '"a" does not resolve "P.name": an @override' in result.errors[0].message


def test_labels_are_checked_in_every_combination_while_they_are_few() -> None:
    assert len(label_choices([])) == 1
    assert len(label_choices(["a", "b", "c"])) == 8
    many = [f"l{number}" for number in range(20)]
    assert len(label_choices(many)) == 2 + 2 * len(many)


def test_the_check_gives_up_at_its_limit() -> None:
    problems = Problems()
    sdl = _LINK + "type Query { a: A } type A { b: B } type B { x: Int }"
    schema = read_subgraph(Subgraph("a", "http://a", sdl), "A", problems)
    assert schema is not None
    supergraph, overrides = merge_subgraphs([schema], problems)
    check_satisfiability(supergraph, overrides, problems, max_states=2)
    assert [error.code for error in problems.errors] == ["MAX_VALIDATION_SUBGRAPH_PATHS_EXCEEDED"]


def test_keys_nested_in_a_circle_of_types_are_settled() -> None:
    def sdl(mine: int, other: int) -> str:
        types = ""
        for index in range(8):
            following = [(index + step) % 8 for step in (1, 2, 3)]
            key = " ".join(f"n{each} {{ k{mine} }}" for each in following)
            links = " ".join(f"n{each}: T{each} @shareable" for each in following)
            types += (
                f' type T{index} @key(fields: "{key}") @key(fields: "k{mine}")'
                f" {{ k{mine}: ID! @shareable k{other}: ID! @shareable {links} x{mine}: Int }}"
            )
        return f"type Query {{ q{mine}: T0 }}{types}"

    result = _compose({"a": sdl(0, 1), "b": sdl(1, 2), "c": sdl(2, 0)})
    assert result.errors == ()
