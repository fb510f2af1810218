"""The function itself: what it returns, and that it reports rather than raises."""

import ast
import sys
from pathlib import Path

import pytest

from gateway.federation import composition
from gateway.federation.composition import Subgraph, compose

_FED2 = 'extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key", "@shareable"])'


def _subgraph(name: str, sdl: str) -> Subgraph:
    return Subgraph(name, f"http://{name}", sdl)


def test_the_package_exports_a_sorted_list_of_names() -> None:
    assert composition.__all__ == sorted(composition.__all__)
    assert composition.__all__ == [
        "CODES",
        "CompositionError",
        "CompositionHint",
        "CompositionResult",
        "Subgraph",
        "compose",
        "extract_subgraphs",
    ]


def test_one_plain_subgraph_composes() -> None:
    result = compose([_subgraph("users", "type Query { me: String }")])
    assert result.is_success
    assert result.errors == ()
    assert result.supergraph_sdl is not None
    assert '@join__graph(name: "users", url: "http://users")' in result.supergraph_sdl


def test_the_order_of_subgraphs_does_not_matter() -> None:
    a, b = _subgraph("a", "type Query { a: Int }"), _subgraph("b", "type Query { b: Int }")
    assert compose([a, b]) == compose([b, a])


def test_no_subgraphs_is_no_supergraph() -> None:
    result = compose([])
    assert [error.code for error in result.errors] == ["NO_QUERIES"]
    assert result.supergraph_sdl is None


def test_an_sdl_that_does_not_parse_names_subgraph_and_line() -> None:
    result = compose([_subgraph("users", "type Query {\n  me: String\n\ntype User {"), _subgraph("b", "type B {")])
    assert [(error.code, error.subgraphs) for error in result.errors] == [
        ("INVALID_GRAPHQL", ("b",)),
        ("INVALID_GRAPHQL", ("users",)),
    ]
    assert result.errors[1].message.startswith("line 4: ")


def test_an_sdl_that_is_no_schema_names_the_line_and_what_to_import() -> None:
    [unknown_type] = compose([_subgraph("a", "type Query {\n  me: Nobody\n}")]).errors
    assert (unknown_type.code, unknown_type.subgraphs) == ("INVALID_GRAPHQL", ("a",))
    assert unknown_type.message.startswith("line 2: ")
    [unknown_directive] = compose([_subgraph("a", f"{_FED2}\ntype Query {{ me: Int @inaccessible }}")]).errors
    assert unknown_directive.hint == "Import @inaccessible from the federation specification, or write " + (
        "@federation__inaccessible."
    )


@pytest.mark.parametrize("misplaced", ["query { x }", "type String { x: Int }"])
def test_operations_and_redefined_scalars_are_refused(misplaced: str) -> None:
    [error] = compose([_subgraph("a", f"type Query {{ x: Int }}\n{misplaced}")]).errors
    assert error.code == "INVALID_GRAPHQL"
    assert error.message.startswith("line 2: ")


def test_errors_of_all_subgraphs_come_together() -> None:
    broken = f'{_FED2} type Query {{ x: Int }} type T @key(fields: "nope") {{ id: ID! }}'
    result = compose([_subgraph("a", broken), _subgraph("b", broken), _subgraph("c", "type Query { y: Int }")])
    assert [(error.code, error.subgraphs) for error in result.errors] == [
        ("KEY_INVALID_FIELDS", ("a",)),
        ("KEY_INVALID_FIELDS", ("b",)),
    ]


@pytest.mark.parametrize("name", ["", "  ", "_internal"])
def test_reserved_and_empty_names_are_refused(name: str) -> None:
    result = compose([Subgraph(name, "http://x", "type Query { x: Int }")])
    assert [error.code for error in result.errors] == ["INVALID_SUBGRAPH_NAME"]


def test_a_name_used_twice_is_refused_once() -> None:
    result = compose([_subgraph("a", "type Query { x: Int }"), _subgraph("a", "type Query { y: Int }")])
    assert [(error.code, error.subgraphs) for error in result.errors] == [("INVALID_SUBGRAPH_NAME", ("a",))]


def test_names_that_make_the_same_graph_are_numbered() -> None:
    names = ["a", "A", "a_1", "1x-b"]
    subgraphs = [_subgraph(name, f"type Query {{ q{index}: Int }}") for index, name in enumerate(names)]
    sdl = compose(subgraphs).supergraph_sdl
    assert sdl is not None
    for graph, name in {"_1X_B": "1x-b", "A_1": "A", "A_2": "a", "A_1_": "a_1"}.items():
        assert f'{graph} @join__graph(name: "{name}"' in sdl


def test_an_error_prints_as_one_line_with_its_subgraphs() -> None:
    [error] = compose([_subgraph("a", "type Query { x: Int @shareable }")]).errors
    assert str(error).startswith("INVALID_GRAPHQL: [a] line 1: ")


def test_hints_come_with_a_supergraph() -> None:
    result = compose([_subgraph("a", '"One" type Query { x: Int }'), _subgraph("b", '"Two" type Query { y: Int }')])
    assert result.is_success
    assert [hint.code for hint in result.hints] == ["INCONSISTENT_DESCRIPTION"]


def test_link_may_have_another_name() -> None:
    sdl = (
        'schema @lk(url: "https://specs.apollo.dev/link/v1.0", as: "lk")'
        ' @lk(url: "https://specs.apollo.dev/federation/v2.0", import: ["@key"]) { query: Query }'
        ' type Query { p: P } type P @key(fields: "id") { id: ID! }'
    )
    assert compose([_subgraph("a", sdl)]).is_success


def test_a_specification_that_must_be_supported_and_is_not_is_refused() -> None:
    sdl = (
        f'{_FED2} extend schema @link(url: "https://example.com/vault/v1.0", for: SECURITY)'
        " directive @vault on FIELD_DEFINITION type Query { p: Int @vault }"
    )
    assert [error.code for error in compose([_subgraph("a", sdl)]).errors] == ["UNSUPPORTED_LINKED_FEATURE"]


def test_a_composed_directive_has_one_name_everywhere() -> None:
    def sdl(name: str, field: str) -> str:
        return (
            'extend schema @link(url: "https://specs.apollo.dev/federation/v2.1", import: ["@composeDirective"])'
            f' @link(url: "https://example.com/notes/v1.0", import: [{{ name: "@note", as: "@{name}" }}])'
            f' @composeDirective(name: "@{name}") directive @{name} on FIELD_DEFINITION'
            f" type Query {{ {field}: Int @{name} }}"
        )

    result = compose([_subgraph("a", sdl("note", "x")), _subgraph("b", sdl("remark", "y"))])
    assert [error.code for error in result.errors] == ["LINK_IMPORT_NAME_MISMATCH"]


def test_a_composed_name_stands_for_one_specification() -> None:
    def sdl(host: str, field: str) -> str:
        return (
            'extend schema @link(url: "https://specs.apollo.dev/federation/v2.1", import: ["@composeDirective"])'
            f' @link(url: "https://{host}/notes/v1.0", import: ["@note"])'
            ' @composeDirective(name: "@note") directive @note on FIELD_DEFINITION'
            f" type Query {{ {field}: Int @note }}"
        )

    result = compose([_subgraph("a", sdl("a.example.com", "x")), _subgraph("b", sdl("b.example.com", "y"))])
    assert {error.code for error in result.errors} == {"DIRECTIVE_COMPOSITION_ERROR"}


def test_a_cache_tag_is_left_out_with_a_hint() -> None:
    sdl = (
        'extend schema @link(url: "https://specs.apollo.dev/federation/v2.12", import: ["@cacheTag"])'
        ' type Query { x: Int @cacheTag(format: "x") }'
    )
    result = compose([_subgraph("a", sdl)])
    assert result.is_success
    assert [hint.code for hint in result.hints] == ["DIRECTIVE_NOT_CARRIED"]


def test_connectors_are_refused_by_name() -> None:
    sdl = (
        'extend schema @link(url: "https://specs.apollo.dev/federation/v2.11")'
        ' @link(url: "https://specs.apollo.dev/connect/v0.1", import: ["@connect"])'
        ' type Query { x: Int @connect(http: { GET: "http://x" }) }'
    )
    assert [error.code for error in compose([_subgraph("a", sdl)]).errors] == ["UNSUPPORTED_LINKED_FEATURE"]


def test_composition_depends_on_graphql_core_alone() -> None:
    allowed = {"graphql", "gateway", *sys.stdlib_module_names}
    forbidden = {"asyncio", "socket", "subprocess", "urllib", "http"}
    for path in Path(composition.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [each.name for each in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                assert name.split(".")[0] in allowed - forbidden, f"{path.name} imports {name}"
                ours = ("gateway.federation.composition", "gateway.federation.errors", "gateway.access.requirement")
                assert not name.startswith("gateway.") or name.startswith(ours), path.name


def test_context_is_refused_by_name() -> None:
    sdl = (
        'extend schema @link(url: "https://specs.apollo.dev/federation/v2.8",'
        ' import: ["@key", "@context", "@fromContext"])'
        ' type Query { u: User } type User @key(fields: "id") @context(name: "user")'
        " { id: ID! locale: String child: Child }"
        ' type Child @key(fields: "id") { id: ID! text(in: String @fromContext(field: "$user { locale }")): String }'
    )
    result = compose([_subgraph("a", sdl)])
    assert {error.code for error in result.errors} == {"UNSUPPORTED_FEATURE"}
    assert [error.coordinates for error in result.errors] == [("User",), ("Child.text(in:)",)]
