"""Supergraphs taken apart again: what comes out composes to the same, and is what its teams would have written."""

from collections.abc import Sequence

import pytest
from graphql import ObjectTypeDefinitionNode, parse, print_ast
from graphql.utilities import value_from_ast_untyped

from gateway.federation.composition import Subgraph, compose, extract_subgraphs
from gateway.federation.errors import SupergraphError, UnsupportedFeature
from tests.federation.composition.corpus import SubgraphSet, load_corpus
from tests.federation.composition.equivalence import differences

_COMPOSABLE = [each for each in load_corpus() if not each.codes]
_LEAVES = {"ID", "Int", "String", "Float", "Boolean"}


def _composed(subgraphs: Sequence[Subgraph]) -> str:
    result = compose(subgraphs)
    assert result.supergraph_sdl is not None, "\n".join(map(str, result.errors))
    return result.supergraph_sdl


def _extracted(supergraph: str) -> dict[str, str]:
    """SDL by subgraph name; the set composes to an equivalent supergraph."""
    subgraphs = extract_subgraphs(supergraph)
    assert differences(_composed(subgraphs), supergraph) == []
    return {each.name: each.sdl.strip() for each in subgraphs}


def _entity(subgraphs: Sequence[Subgraph]) -> str | None:
    """A definition by which one more subgraph adds a field to an entity, or None if none has a key of plain fields."""
    for subgraph in subgraphs:
        for node in parse(subgraph.sdl).definitions:
            if not isinstance(node, ObjectTypeDefinitionNode):
                continue
            names = {each.name.value: print_ast(each.type) for each in node.fields or ()}
            for directive in node.directives or ():
                args = {each.name.value: value_from_ast_untyped(each.value) for each in directive.arguments or ()}
                key = str(args.get("fields", "")).split()
                is_simple = bool(key) and all(names.get(each, "").strip("!") in _LEAVES for each in key)
                if directive.name.value == "key" and is_simple and args.get("resolvable", True):
                    fields = " ".join(f"{each}: {names[each]}" for each in key)
                    head = " @interfaceObject" if "@interfaceObject" in print_ast(node) else ""
                    return f'type {node.name.value} @key(fields: "{" ".join(key)}"){head} {{ {fields} added: Int }}'
    return None


@pytest.mark.parametrize("subgraph_set", _COMPOSABLE, ids=lambda each: each.id)
def test_extracted_subgraphs_compose_to_an_equivalent_supergraph(subgraph_set: SubgraphSet) -> None:
    supergraph = _composed(subgraph_set.subgraphs)
    subgraphs = extract_subgraphs(supergraph)
    assert {(each.name, each.url) for each in subgraphs} == {(each.name, each.url) for each in subgraph_set.subgraphs}
    assert differences(_composed(subgraphs), supergraph) == []


@pytest.mark.parametrize("subgraph_set", _COMPOSABLE, ids=lambda each: each.id)
def test_extracted_subgraphs_compose_with_one_more(subgraph_set: SubgraphSet) -> None:
    subgraphs = extract_subgraphs(_composed(subgraph_set.subgraphs))
    entity = _entity(subgraphs)
    link = 'extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key", "@interfaceObject"])'
    local = Subgraph("local", "local:", f"{link} type Query {{ local: Int }} {entity or ''}")
    supergraph = _composed([*subgraphs, local])
    assert "local: Int @join__field(graph: LOCAL)" in supergraph
    assert ("added: Int" in supergraph) == (entity is not None)


def _supergraph(body: str, *, join: str = "v0.3", links: str = "", roots: str = "query: Query") -> str:
    """A supergraph in Apollo's style, of the subgraphs a and b."""
    return f"""
schema
  @link(url: "https://specs.apollo.dev/link/v1.0")
  @link(url: "https://specs.apollo.dev/join/{join}", for: EXECUTION)
  {links}
{{ {roots} }}

directive @join__enumValue(graph: join__Graph!) repeatable on ENUM_VALUE
directive @join__graph(name: String!, url: String!) on ENUM_VALUE
directive @link(url: String, as: String, for: link__Purpose, import: [link__Import]) repeatable on SCHEMA
enum join__Graph {{
  A @join__graph(name: "a", url: "http://a")
  B @join__graph(name: "b", url: "http://b")
}}
scalar join__FieldSet
scalar link__Import
enum link__Purpose {{ SECURITY EXECUTION }}
{body}"""


_QUERY = "type Query @join__type(graph: A) @join__type(graph: B) { a: Int @join__field(graph: A) }"


def test_each_form_of_join_directive_is_undone() -> None:
    extracted = _extracted(
        _supergraph("""
interface Media @join__type(graph: A, key: "id") @join__type(graph: B, key: "id", isInterfaceObject: true) {
  id: ID!
  title: String @join__field(graph: A)
  views: Int @join__field(graph: B)
}
type Book implements Media @join__implements(graph: A, interface: "Media") @join__type(graph: A, key: "id") {
  id: ID!
  title: String
  views: Int @join__field
}
type Product
  @join__type(graph: A, key: "id")
  @join__type(graph: A, key: "name")
  @join__type(graph: A, key: "sku { code }", resolvable: false)
  @join__type(graph: B, key: "id", extension: true)
{
  id: ID!
  sku: Sku @join__field(graph: A)
  price: Int @join__field(graph: A) @join__field(graph: B, external: true)
  shipping(to: String = "EU"): Int @join__field(graph: B, requires: "price")
  moved: Int @join__field(graph: B, override: "a")
  name: String! @join__field(graph: A, usedOverridden: true) @join__field(graph: B, override: "a")
}
type Sku @join__type(graph: A) { code: String! }
union Hit @join__type(graph: A) @join__type(graph: B)
  @join__unionMember(graph: A, member: "Book")
  @join__unionMember(graph: A, member: "Product")
  @join__unionMember(graph: B, member: "Product")
  = Book | Product
enum State @join__type(graph: A) @join__type(graph: B) {
  NEW @join__enumValue(graph: A) @join__enumValue(graph: B)
  OLD @join__enumValue(graph: B)
}
input Filter @join__type(graph: A) @join__type(graph: B) {
  limit: Int! @join__field(graph: A, type: "Int!") @join__field(graph: B, type: "Int")
}
scalar Day @join__type(graph: A) @join__type(graph: B) @specifiedBy(url: "https://day")
type Query @join__type(graph: A) @join__type(graph: B) {
  media: Media @join__field(graph: A)
  hit: Hit @join__field(graph: A)
  hits: [Hit] @join__field(graph: B, provides: "... on Product { price }")
  states(filter: Filter): State
  days: [Day] @join__field(graph: A, type: "[Day!]") @join__field(graph: B, type: "[Day]") @deprecated(reason: "gone")
}
""")
    )
    assert extracted["a"] == _A
    assert extracted["b"] == _B


_A = """\
extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key", "@shareable"])

interface Media @key(fields: "id") {
  id: ID!
  title: String
}

type Book implements Media @key(fields: "id") {
  id: ID! @shareable
  title: String
}

type Product @key(fields: "id") @key(fields: "name") @key(fields: "sku { code }", resolvable: false) {
  id: ID! @shareable
  sku: Sku
  price: Int @shareable
  name: String!
}

type Sku {
  code: String!
}

union Hit = Book | Product

enum State {
  NEW
}

input Filter {
  limit: Int!
}

scalar Day @specifiedBy(url: "https://day")

type Query {
  media: Media
  hit: Hit
  states(filter: Filter): State @shareable
  days: [Day!] @shareable @deprecated(reason: "gone")
}"""

_B = """\
extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: [
  "@external"
  "@interfaceObject"
  "@key"
  "@override"
  "@provides"
  "@requires"
  "@shareable"
])

type Media @key(fields: "id") @interfaceObject {
  id: ID! @shareable
  views: Int
}

type Product @key(fields: "id") {
  id: ID! @shareable
  price: Int @external
  shipping(to: String = "EU"): Int @requires(fields: "price")
  moved: Int @override(from: "a")
  name: String! @override(from: "a")
}

union Hit = Product

enum State {
  NEW
  OLD
}

input Filter {
  limit: Int
}

scalar Day @specifiedBy(url: "https://day")

type Query {
  hits: [Hit] @provides(fields: "... on Product { price }")
  states(filter: Filter): State @shareable
  days: [Day] @shareable @deprecated(reason: "gone")
}"""


def test_a_progressive_override_keeps_its_label() -> None:
    extracted = _extracted(
        _supergraph(
            """
type P @join__type(graph: A, key: "id") @join__type(graph: B, key: "id") {
  id: ID!
  x: Int @join__field(graph: A, override: "b", overrideLabel: "percent(5)")
    @join__field(graph: B, overrideLabel: "percent(5)")
}
type Query @join__type(graph: A) @join__type(graph: B) { p: P @join__field(graph: A) }
""",
            join="v0.4",
        )
    )
    assert 'x: Int @override(from: "b", label: "percent(5)")' in extracted["a"]
    assert "  x: Int\n" in extracted["b"]


def test_a_type_that_comes_from_a_subgraph_without_the_field_is_kept() -> None:
    extracted = _extracted(
        _supergraph("""
type P @join__type(graph: A, key: "id") @join__type(graph: B, key: "id") {
  id: ID!
  x: Int @join__field(graph: A, override: "b", type: "Int!")
}
type Query @join__type(graph: A) @join__type(graph: B) { p: P @join__field(graph: A) }
""")
    )
    assert 'x: Int! @override(from: "b")' in extracted["a"]
    assert "  x: Int\n" in extracted["b"]


def test_a_field_shared_through_an_interface_object_is_shareable() -> None:
    extracted = _extracted(
        _supergraph("""
interface I @join__type(graph: A, key: "id") @join__type(graph: B, key: "id", isInterfaceObject: true) {
  id: ID!
  x: Int
}
type T implements I @join__implements(graph: A, interface: "I") @join__type(graph: A, key: "id") { id: ID! x: Int }
type Query @join__type(graph: A) @join__type(graph: B) { i: I @join__field(graph: A) }
""")
    )
    assert "x: Int @shareable" in extracted["b"]
    assert 'interface I @key(fields: "id") {\n  id: ID!\n  x: Int\n}' in extracted["a"]
    assert 'type T implements I @key(fields: "id") {\n  id: ID! @shareable\n  x: Int @shareable\n}' in extracted["a"]


_FEATURES = """
  @link(url: "https://specs.apollo.dev/tag/v0.3")
  @link(url: "https://specs.apollo.dev/inaccessible/v0.2", import: [{name: "@inaccessible", as: "@hidden"}])
  @link(url: "https://specs.apollo.dev/authenticated/v0.1", for: SECURITY)
  @link(url: "https://specs.apollo.dev/requiresScopes/v0.1", for: SECURITY, import: ["@requiresScopes"])
  @link(url: "https://specs.apollo.dev/policy/v0.1", for: SECURITY)
  @link(url: "https://specs.apollo.dev/cost/v0.1", import: ["@cost", {name: "@listSize", as: "@size"}])
  @tag(name: "all")
"""
_FEATURE_DEFINITIONS = """
directive @tag(name: String!) repeatable on SCHEMA | FIELD_DEFINITION | OBJECT | ENUM_VALUE | ARGUMENT_DEFINITION
directive @hidden on FIELD_DEFINITION | ENUM_VALUE
directive @authenticated on FIELD_DEFINITION | OBJECT | INTERFACE
directive @requiresScopes(scopes: [[requiresScopes__Scope!]!]!) on FIELD_DEFINITION
directive @policy(policies: [[policy__Policy!]!]!) on FIELD_DEFINITION
directive @cost(weight: Int!) on FIELD_DEFINITION | ARGUMENT_DEFINITION
directive @size(assumedSize: Int) on FIELD_DEFINITION
scalar requiresScopes__Scope
scalar policy__Policy
"""


def test_directives_of_the_specifications_come_back_on_every_subgraph_that_has_the_element() -> None:
    extracted = _extracted(
        _supergraph(
            _FEATURE_DEFINITIONS
            + '''
"""A node."""
interface Node @join__type(graph: A) @authenticated { id: ID! @policy(policies: [["p"]]) }
"""A thing."""
type T implements Node @join__implements(graph: A, interface: "Node")
  @join__type(graph: A, key: "id") @join__type(graph: B, key: "id") @tag(name: "t") @authenticated {
  """Its id."""
  id: ID! @policy(policies: [["p"]])
  x(
    """How many."""
    n: Int = 1 @cost(weight: 2)
  ): [Int] @join__field(graph: B) @size(assumedSize: 3) @requiresScopes(scopes: [["s"]])
  y: E @join__field(graph: A) @hidden @cost(weight: 4)
}
enum E @join__type(graph: A) { V @join__enumValue(graph: A) @tag(name: "v") W @join__enumValue(graph: A) @hidden }
type Query @join__type(graph: A) @join__type(graph: B) { t: T @join__field(graph: A) }
''',
            links=_FEATURES,
        )
    )
    # Access control of an interface is that of its implementers, and no subgraph may say it there.
    assert '"""A node."""\ninterface Node {\n  id: ID!\n}' in extracted["a"]
    assert 'V @tag(name: "v")\n  W @inaccessible' in extracted["a"]
    assert extracted["b"].endswith(
        '''\
]) @tag(name: "all")

"""A thing."""
type T @key(fields: "id") @tag(name: "t") @authenticated {
  """Its id."""
  id: ID! @shareable @policy(policies: [["p"]])
  x(
    """How many."""
    n: Int = 1 @cost(weight: 2)
  ): [Int] @listSize(assumedSize: 3) @requiresScopes(scopes: [["s"]])
}'''
    )


@pytest.mark.parametrize(
    ("body", "options", "named"),
    [
        (_QUERY, {"join": "v0.1"}, "join v0.1"),
        (_QUERY, {"join": "v9.9"}, "join v9.9"),
        (
            "type Query @join__type(graph: A) {"
            ' a(x: Int): Int @join__field(graph: A, contextArguments: [{context: "c", name: "x", type: "Int",'
            ' selection: " { x }"}]) }',
            {"join": "v0.5"},
            "@join__field(contextArguments:) on Query.a",
        ),
        (
            'type Query @join__type(graph: A) { a: Int @join__directive(graphs: [A], name: "connect", args: {}) }',
            {"join": "v0.5"},
            "@join__directive(name: 'connect') on Query.a",
        ),
        (
            _QUERY,
            {"links": '@link(url: "https://specs.apollo.dev/context/v0.1", for: SECURITY)'},
            "the feature 'context' (for: SECURITY)",
        ),
        (
            _QUERY,
            {"links": '@link(url: "https://specs.team.dev/vault/v0.1", for: SECURITY)'},
            "the feature 'vault' (for: SECURITY)",
        ),
    ],
)
def test_what_cannot_be_taken_apart_is_named(body: str, options: dict[str, str], named: str) -> None:
    with pytest.raises(UnsupportedFeature) as error:
        extract_subgraphs(_supergraph(body, **options))
    assert error.value.feature == named


@pytest.mark.parametrize(
    ("sdl", "message"),
    [
        ("type Query {", "The supergraph is not valid GraphQL: "),
        ("type Query { a: Int }", "This is not a supergraph: "),
        (
            'schema @link(url: "https://specs.apollo.dev/join/v0.3") { query: Query } type Query { a: Int }',
            "The supergraph lists no subgraphs: the enum join__Graph is missing.",
        ),
        (
            'schema @link(url: "https://specs.apollo.dev/join/v0.3") { query: Query } enum join__Graph { A }',
            "join__Graph.A does not say which subgraph it stands for.",
        ),
        (_supergraph("type Query @join__type(graph: C) { a: Int }"), "Query names the unknown subgraph 'C'."),
        (
            _supergraph('type Query @join__type(graph: A) { a: Int @join__field(graph: A, requires: "{") }'),
            "The supergraph requires '{', which is not a field set: ",
        ),
        (_supergraph(_QUERY, links='@link(url: "nowhere")'), "The supergraph has a link that cannot be read: "),
    ],
)
def test_what_is_no_supergraph_is_refused(sdl: str, message: str) -> None:
    with pytest.raises(SupergraphError) as error:
        extract_subgraphs(sdl)
    assert str(error.value).startswith(message)


_TEAM_LINK = '@link(url: "https://specs.team.dev/team/v1.0", import: ["@key"])'


def test_a_teams_own_directive_is_composed_under_its_own_name() -> None:
    extracted = _extracted(
        _supergraph(
            """
directive @key(of: Door! = FRONT) on OBJECT
enum Door @join__type(graph: A) { FRONT @join__enumValue(graph: A) }
type T @join__type(graph: A, key: "id") @join__type(graph: B, key: "id") @key(of: FRONT) { id: ID! }
type Query @join__type(graph: A) @join__type(graph: B) { a: T @join__field(graph: A) b: T @join__field(graph: B) }
""",
            links=_TEAM_LINK,
        )
    )
    assert '@composeDirective(name: "@key")' in extracted["a"]
    assert _TEAM_LINK in extracted["a"]
    assert 'type T @federation__key(fields: "id") @key(of: FRONT)' in extracted["a"]
    # It cannot be defined where the type of its argument is not known.
    assert _TEAM_LINK not in extracted["b"]
    assert 'type T @federation__key(fields: "id") {' in extracted["b"]


def test_executable_directives_come_back_everywhere() -> None:
    extracted = _extracted(_supergraph(f"directive @cached(ttl: Int = 1) on FIELD | QUERY\n{_QUERY}"))
    assert all("directive @cached(ttl: Int = 1) on FIELD | QUERY" in sdl for sdl in extracted.values())


def test_a_directive_that_nothing_links_comes_back_and_composes() -> None:
    subgraphs = extract_subgraphs(
        _supergraph("directive @own on FIELD_DEFINITION type Query @join__type(graph: A) { a: Int @own }")
    )
    assert "a: Int @own" in subgraphs[0].sdl
    assert compose(subgraphs).errors == ()


def test_descriptions_and_tags_of_the_schema_come_back() -> None:
    supergraph = _supergraph(_QUERY, links='@link(url: "https://specs.apollo.dev/tag/v0.3") @tag(name: "x")')
    supergraph = supergraph.replace("schema", '"""Everything."""\nschema', 1)
    extracted = _extracted(f"{supergraph} directive @tag(name: String!) repeatable on SCHEMA")
    assert extracted["a"].startswith('"""Everything."""\nschema @link(')
    assert extracted["b"].startswith("extend schema @link(")


def test_root_types_keep_their_names() -> None:
    body = """
type Asking @join__type(graph: A) @join__type(graph: B) { a: Int @join__field(graph: A) }
type Doing @join__type(graph: B) { b: Int }
"""
    a, b = extract_subgraphs(_supergraph(body, roots="query: Asking mutation: Doing"))
    assert "{\n  query: Asking\n}" in a.sdl
    assert "{\n  mutation: Doing\n}" in b.sdl
    assert "type Asking" not in b.sdl
    assert "type Mutation\n  @join__type(graph: B)\n{\n  b: Int\n}" in _composed([a, b])


def test_a_query_without_fields_stays_where_something_returns_it() -> None:
    extracted = _extracted(
        _supergraph("""
type T @join__type(graph: A, key: "id") @join__type(graph: B, key: "id") { id: ID! q: Query @join__field(graph: B) }
type Query @join__type(graph: A) @join__type(graph: B) { t: T @join__field(graph: A) }
""")
    )
    assert "type Query" in extracted["b"]


def test_what_a_supergraph_does_not_say_holds_for_every_subgraph() -> None:
    a, b = extract_subgraphs(
        _supergraph("""
interface I { x: Int }
type T implements I @join__type(graph: A) { x: Int }
type U implements I @join__type(graph: A) @join__type(graph: B) { x: Int }
union Both @join__type(graph: A) @join__type(graph: B) = T | U
enum E @join__type(graph: A) @join__type(graph: B) { V }
type Query @join__type(graph: A) @join__type(graph: B) { i: I both: Both e: E }
""")
    )
    assert "interface I" in a.sdl
    assert "interface I" in b.sdl
    assert "union Both = T | U" in a.sdl
    assert "union Both = U\n" in b.sdl
    assert "type U implements I" in b.sdl
    assert "  V\n" in b.sdl


def test_directives_that_composition_does_not_carry_are_left_out() -> None:
    body = """
type Query @join__type(graph: A) @join__type(graph: B) {
  a: Int @join__field(graph: A) @join__directive(graphs: [A], name: "federation__cacheTag", args: {format: "a"})
}
"""
    a, _ = extract_subgraphs(_supergraph(body, join="v0.5"))
    assert "  a: Int\n" in a.sdl


def test_a_required_field_that_is_not_said_to_be_external_is_taken_as_external() -> None:
    subgraphs = extract_subgraphs(
        _supergraph("""
type P @join__type(graph: A, key: "id") @join__type(graph: B, key: "id") {
  id: ID!
  x: Int
  y: Int @join__field(graph: B, requires: "x")
}
type Query @join__type(graph: A) @join__type(graph: B) { p: P @join__field(graph: A) }
""")
    )
    assert compose(subgraphs).errors == ()
    assert "x: Int @external" in subgraphs[1].sdl


def test_a_field_whose_type_its_subgraph_does_not_have_is_left_out_there() -> None:
    subgraphs = extract_subgraphs(
        _supergraph("""
union U @join__type(graph: A) @join__unionMember(graph: A, member: "T") = T
type T @join__type(graph: A) @join__type(graph: B) { x: Int }
type Query @join__type(graph: A) @join__type(graph: B) { u: U }
""")
    )
    assert compose(subgraphs).errors == ()
    assert "u: U" not in subgraphs[1].sdl
