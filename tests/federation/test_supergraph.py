"""The supergraph model and the API schema: what is read, what is hidden, what is refused."""

import pytest
from graphql import print_schema

from gateway.federation.errors import SupergraphError, UnsupportedFeature
from gateway.federation.supergraph import derive_api_schema, parse_supergraph
from tests.federation.kit import Federation, World, supergraph

INACCESSIBLE = '@link(url: "https://specs.apollo.dev/inaccessible/v0.2", for: SECURITY)'


def api(body: str, links: str = INACCESSIBLE) -> str:
    return print_schema(derive_api_schema(parse_supergraph(supergraph(body, "a", "b", links=links))))


def test_what_is_inaccessible_is_removed_with_all_that_mentions_it() -> None:
    printed = api(
        """
        directive @inaccessible on OBJECT
        directive @cached(ttl: Int) on QUERY
        scalar join__FieldSet
        type Query { open(secret: Int = 1 @inaccessible, plain: Int): Open hidden: Hidden any: Any }
        type Open implements Face { id: ID! secret: Int @inaccessible old: Int @deprecated(reason: "use id") }
        interface Face @inaccessible { id: ID! }
        type Hidden @inaccessible { id: ID! }
        union Any = Open | Hidden
        enum Level { LOW HIGH @inaccessible }
        input Filter { level: Level hidden: Level @inaccessible }
        """
    )
    assert printed == "\n\n".join(
        [
            "directive @cached(ttl: Int) on QUERY",
            "type Query {\n  open(plain: Int): Open\n  any: Any\n}",
            'type Open {\n  id: ID!\n  old: Int @deprecated(reason: "use id")\n}',
            "union Any = Open",
            "enum Level {\n  LOW\n}",
            "input Filter {\n  level: Level\n}",
        ]
    )


def test_a_linked_feature_may_have_another_name() -> None:
    links = '@link(url: "https://specs.apollo.dev/inaccessible/v0.2", as: "hidden", for: SECURITY)'
    assert "secret" not in api("type Query { a: Int secret: Int @hidden }", links)


@pytest.mark.parametrize(
    ("imports", "name"),
    [
        ('["@inaccessible"]', "inaccessible"),
        ('[{ name: "@inaccessible", as: "@hidden" }]', "hidden"),
        ("[]", "inaccessible"),
    ],
)
def test_what_is_linked_may_be_imported_under_a_name(imports: str, name: str) -> None:
    links = f'@link(url: "https://specs.apollo.dev/inaccessible/v0.2", import: {imports}, for: SECURITY)'
    assert "secret" not in api(f"type Query {{ a: Int secret: Int @{name} }}", links)


def test_without_lists_of_members_a_subgraph_has_those_whose_types_it_has() -> None:
    model = parse_supergraph(
        supergraph(
            """
            type Query { found: Found face: Face }
            union Found @join__type(graph: A) @join__type(graph: B) = X | Y
            interface Face @join__type(graph: A) @join__type(graph: B) { id: ID }
            type X implements Face @join__type(graph: A) { id: ID }
            type Y implements Face @join__type(graph: A) @join__type(graph: B) { id: ID }
            """,
            "a",
            "b",
        ).replace("join/v0.5", "join/v0.2")
    )
    for name in ("Found", "Face"):
        assert model.runtime_types(name, "A") == frozenset({"X", "Y"})
        assert model.runtime_types(name, "B") == frozenset({"Y"})
        assert model.possible_types(name) == frozenset({"X", "Y"})


async def test_enum_values_and_input_fields_of_one_subgraph_only_are_rejected_as_input() -> None:
    sdl = supergraph(
        """
        type Query { users(filter: Filter, level: Level): [User] @join__field(graph: A) }
        input Filter @join__type(graph: A) @join__type(graph: B) { first: Int }
        enum Level @join__type(graph: A) @join__type(graph: B) {
          LOW @join__enumValue(graph: A) @join__enumValue(graph: B)
          SECRET @inaccessible @join__enumValue(graph: A)
        }
        type User @join__type(graph: A) { level: Level }
        """,
        "a",
        "b",
        links=INACCESSIBLE,
    )
    users = [{"__typename": "User", "level": "LOW"}, {"__typename": "User", "level": "SECRET"}]
    federation = Federation(sdl, World({"users": lambda **_: users}))
    answer = await federation.answer("{ users(filter: { first: 1 }, level: LOW) { level } }")
    assert answer["data"] == {"users": [{"level": "LOW"}, {"level": None}]}
    assert [error["path"] for error in answer["errors"]] == [["users", 1, "level"]]
    for query in ("{ users(filter: { offset: 2 }) { level } }", "{ users(level: SECRET) { level } }"):
        refused = await federation.answer(query)
        assert "data" not in refused
        assert refused["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"


async def test_an_inaccessible_type_can_be_used_in_requirements_but_is_null_to_the_client() -> None:
    sdl = supergraph(
        """
        type Query { item: Item @join__field(graph: A) }
        type Item @join__type(graph: A, key: "id") @join__type(graph: B, key: "id") {
          id: ID!
          part: Part @join__field(graph: A) @join__field(graph: B, external: true)
          label: String @join__field(graph: B, requires: "part { ... on Secret { code } }")
        }
        interface Part @join__type(graph: A) @join__type(graph: B) { id: ID! }
        type Secret implements Part @inaccessible @join__type(graph: A) @join__type(graph: B)
          @join__implements(graph: A, interface: "Part") @join__implements(graph: B, interface: "Part")
        { id: ID! code: Int! }
        type Plain implements Part @join__type(graph: A) @join__type(graph: B)
          @join__implements(graph: A, interface: "Part") @join__implements(graph: B, interface: "Part")
        { id: ID! }
        """,
        "a",
        "b",
        links=INACCESSIBLE,
    )
    item = {"__typename": "Item", "id": "i", "part": {"__typename": "Secret", "id": "s", "code": 7}}
    computed = {"Item.label": lambda known, _: f"No {known['part']['code']}"}
    federation = Federation(sdl, World({"item": item}, [item], computed))
    assert await federation.answer("{ item { label part { __typename id } } }") == {
        "data": {"item": {"label": "No 7", "part": None}}
    }


def test_the_model_counts_what_it_has() -> None:
    model = parse_supergraph(supergraph("type Query { a: Int b: Int }", "a", "b"))
    assert model.summary() == {"subgraphs": ["a", "b"], "types": 1, "fields": 2}


@pytest.mark.parametrize(
    ("sdl", "message"),
    [
        ("type Query {", "The supergraph is not valid GraphQL"),
        ("type Query { a: Int }", "This is not a supergraph: its schema does not link https://specs.apollo.dev/join"),
        (supergraph("type User { a: Int }", "a"), "The supergraph has no query root type"),
        (
            supergraph("type Query @join__type(graph: X) { a: Int }", "a"),
            "Query names the unknown subgraph 'X'",
        ),
        (
            supergraph('type Query { a: Int } type T @join__type(graph: A, key: "id {") { id: ID }', "a"),
            "@key of T: 'id {' is not a field set",
        ),
        (
            supergraph('type Query { a: Int @join__field(graph: A, requires: "...F") }', "a"),
            "Query.a in a: a field set cannot spread named fragments",
        ),
        (
            supergraph("type Query { a: Int } enum join__Graph { B }", "a").replace('@join__graph(name: "a", ', "@x("),
            "join__Graph.B does not say which subgraph it stands for",
        ),
    ],
)
def test_a_broken_supergraph_is_refused_with_the_place_at_fault(sdl: str, message: str) -> None:
    with pytest.raises(SupergraphError) as raised:
        parse_supergraph(sdl)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("sdl", "feature"),
    [
        (supergraph("type Query { a: Int }", "a").replace("join/v0.5", "join/v0.1"), "join v0.1"),
        (supergraph("type Query { a: Int }", "a").replace("join/v0.5", "join/v1.0"), "join v1.0"),
        (
            supergraph("type Query @join__owner(graph: A) { a: Int }", "a"),
            "@join__owner on Query (join v0.1)",
        ),
        (
            supergraph('type Query { a(x: Int): Int @join__field(graph: A, contextArguments: [{ name: "x" }]) }', "a"),
            "@join__field(contextArguments:) on Query.a",
        ),
        (
            supergraph(
                "type Query { a: Int }",
                "a",
                links='@link(url: "https://specs.apollo.dev/secrecy/v0.1", for: SECURITY)',
            ),
            "the feature 'secrecy' (for: SECURITY)",
        ),
        (
            supergraph(
                "type Query { a: Int }",
                "a",
                links='@link(url: "https://specs.apollo.dev/policy/v2.0", for: SECURITY)',
            ),
            "the feature 'policy' v2.0",
        ),
    ],
)
def test_what_is_not_supported_is_refused_by_name(sdl: str, feature: str) -> None:
    with pytest.raises(UnsupportedFeature) as raised:
        parse_supergraph(sdl)
    assert raised.value.feature == feature
    assert feature in str(raised.value)


def test_features_that_do_not_touch_execution_are_let_through() -> None:
    links = '@link(url: "https://specs.apollo.dev/cost/v0.1") @link(url: "https://example.com/own/v1.0", as: "mine")'
    assert parse_supergraph(supergraph("type Query { a: Int }", "a", links=links)).types.keys() == {"Query"}


def test_no_api_schema_is_derived_when_a_type_loses_all_its_fields() -> None:
    with pytest.raises(SupergraphError, match="No API schema can be derived"):
        api("type Query { a: T } type T { b: Int @inaccessible }")
