"""The cost of an operation, by IBM's and Apollo's directives: told from its text and its variables."""

from pathlib import Path
from typing import Any

import pytest
import strawberry
from graphql import build_schema, parse
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import ConfigError
from gateway.config import parse as parse_config
from gateway.http import DocumentCache
from gateway.http.cost import CostLimit, CostModel, read_weights, schema_weights
from gateway.http.errors import CostExceeded
from schema.cost import Cost, ListSize
from tests.testkit.federation import ScriptedSubgraph, federated_gateway
from tests.testkit.gateway import running_gateway

SDL = """
directive @cost(weight: Int!) on ARGUMENT_DEFINITION | ENUM | FIELD_DEFINITION | INPUT_FIELD_DEFINITION | OBJECT
directive @listSize(
  assumedSize: Int, slicingArguments: [String!], sizedFields: [String!], requireOneSlicingArgument: Boolean = true
) on FIELD_DEFINITION
type Query {
  leaf: Int
  heavy: Int @cost(weight: 7)
  one: Item
  many: [Item]
  five: [Item] @listSize(assumedSize: 5)
  first(first: Int, last: Int): [Item] @listSize(slicingArguments: ["first", "last"])
  some(first: Int = 4, last: Int): [Item]
    @listSize(assumedSize: 9, slicingArguments: ["first", "last"], requireOneSlicingArgument: false)
  page(by: Page): [Item] @listSize(slicingArguments: ["by.size"])
  connection(first: Int): Connection @listSize(slicingArguments: ["first"], sizedFields: ["edges", "nodes"])
  search(text: String @cost(weight: 3), filter: Filter): Int
  node: Node
  either: Either
}
type Mutation { change: Int add: Item }
type Item implements Node { id: ID tags: [String] item: Item items: [Item] big: Big colour: Colour }
type Big @cost(weight: 50) { id: ID }
enum Colour @cost(weight: 2) { RED }
type Connection { edges: [Edge] nodes: [Item] others: [Item] total: Int }
type Edge { node: Item }
interface Node { id: ID }
type Other implements Node { id: ID @cost(weight: 6) }
union Either = Item | Big
input Page { size: Int }
input Filter { name: String @cost(weight: 4) and: [Filter!] plain: Int }
"""
SCHEMA = build_schema(SDL)
MODEL = CostModel(SCHEMA, read_weights(parse(SDL)))
DOCUMENTS = DocumentCache(SCHEMA)


def cost(text: str, variables: dict[str, Any] | None = None, *, max_cost: int = 1) -> float:
    document = DOCUMENTS.get(text)
    limit = CostLimit(MODEL, max_cost=max_cost, mode="enforce", shown=False)
    return limit.cost(document, document.operations[0], variables or {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{ leaf }", 0),
        ("{ leaf __typename }", 0),
        ("{ heavy }", 7),
        ("{ a: heavy b: heavy }", 14),
        ("{ one { id } }", 1),
        ("{ one { colour } }", 3),
        ("{ one { big { id } } }", 51),
        ("{ many { id } }", 10),
        ("{ many { tags items { id } } }", 10 * (1 + 10)),
        ("{ five { id item { id } } }", 5 * 2),
        ("{ first(first: 3) { id } }", 3),
        ("{ first(last: 100) { item { id } } }", 200),
        ("{ first(first: 0) { id } }", 0),
        ("{ first(first: -1) { id } }", 0),
        ("{ some { id } }", 4),
        ("{ some(first: null) { id } }", 4),
        ("{ some(last: 6) { id } }", 6),
        ("{ some(first: 2, last: 6) { id } }", 6),
        ("{ page(by: { size: 8 }) { id } }", 8),
        ("{ connection(first: 3) { total edges { node { id } } } }", 1 + 3 * (1 + 1)),
        ("{ connection(first: 3) { nodes { items { id } } others { id } } }", 1 + 3 * (1 + 10) + 10),
        ("{ connection(first: 3) { ...F } } fragment F on Connection { ... { edges { node { id } } } }", 7),
        ('{ search(text: "a") }', 3),
        ('{ search(filter: { name: "a", plain: 1, and: [{ name: "b" }, { plain: 2 }] }) }', 8),
        ("mutation { change }", 10),
        ("mutation { add { id } }", 11),
        ("{ node { id } }", 1 + 6),
        ("{ node { ... on Item { item { id } } ... on Other { id } } }", 1 + 1 + 6),
        ("{ either { ... on Big { id } ... on Item { item { id } } } }", 1 + 1),
        ("{ one @skip(if: true) { id } }", 1),
        ("{ ...F ...F } fragment F on Query { one { id } ...G } fragment G on Query { heavy }", 16),
    ],
)
def test_the_cost_is_that_of_the_specification(text: str, expected: float) -> None:
    assert cost(text) == expected


@pytest.mark.parametrize(
    ("text", "variables", "expected"),
    [
        ("query ($n: Int) { first(first: $n) { id } }", {"n": 12}, 12),
        ("query ($n: Int = 5) { first(first: $n) { id } }", {}, 5),
        ("query ($n: Int = 5) { first(first: $n) { id } }", {"n": 6}, 6),
        ("query ($n: Int) { some(first: $n) { id } }", {}, 4),
        ("query ($n: Int) { some(first: $n, last: 2) { id } many { id } }", {"n": 3}, 13),
        ("query ($p: Page) { page(by: $p) { id } }", {"p": {"size": 7}}, 7),
        ("query ($n: Int) { page(by: { size: $n }) { id } }", {"n": 7}, 7),
        ("query ($n: Int) { connection(first: $n) { edges { node { id } } } heavy }", {"n": 4}, 1 + 8 + 7),
        (
            "query ($n: Int) { a: connection(first: $n) { ...F } b: connection(first: 1) { ...F } }"
            " fragment F on Connection { nodes { id } }",
            {"n": 4},
            2 + 4 + 1,
        ),
        ("query ($f: Filter) { search(filter: $f) }", {"f": {"name": "a", "and": [{"name": "b"}]}}, 8),
        ("query ($n: Int) { first(first: $n) { items { id } } }", {"n": 10**40}, 10**9 * 11),
        # not what the types say: execution refuses it
        ("query ($n: Int) { some(first: $n) { id } }", {"n": "many"}, 4),
        ("query ($n: Int) { some(first: $n) { id } }", {"n": True}, 4),
        ("query ($f: Filter) { search(filter: $f) }", {"f": 5}, 0),
    ],
)
def test_variables_say_how_long_lists_are(text: str, variables: dict[str, Any], expected: float) -> None:
    assert cost(text, variables) == expected


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ("{ first { id } }", {}),
        ("{ first(first: 1, last: 1) { id } }", {}),
        ("query ($n: Int) { first(first: $n) { id } }", {}),
        ("query ($n: Int) { first(first: $n) { id } }", {"n": None}),
    ],
)
def test_a_list_that_has_to_be_sliced_is_sliced_by_exactly_one_argument(text: str, variables: dict[str, Any]) -> None:
    with pytest.raises(CostExceeded, match="The field first needs exactly one of its arguments first, last"):
        cost(text, variables)


def test_doubled_fragments_are_added_up_once() -> None:
    variables = "query ($n: Int) { ...F0 }"
    for head, last in (("{ ...F0 }", "one { id }"), (variables, "some(first: $n) { id }")):
        bomb = " ".join(f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(60))
        assert cost(f"{head} {bomb} fragment F60 on Query {{ {last} }}", {"n": 1}) == min(2.0**60, 1e15)


def test_weights_are_read_under_other_names_and_as_text() -> None:
    sdl = 'type Query { a: Int @x(weight: "2.5") b: Int @x(weight: "many") c: [Int] @y(assumedSize: 3) }'
    weights = read_weights(parse(sdl), cost="x", list_size="y")
    assert weights.costs == {"Query.a": 2.5}
    assert weights.sizes["Query.c"].assumed == 3


def test_strawberry_fields_say_what_they_cost() -> None:
    @strawberry.type(directives=[Cost(weight=3)])
    class Row:
        id: int

    @strawberry.type
    class Query:
        @strawberry.field(directives=[ListSize(slicing_arguments=["first"]), Cost(weight=2)])  # type: ignore[untyped-decorator]
        def rows(self, first: int = 10) -> list[Row]:
            return []

        row: Row | None = None

    weights = schema_weights(strawberry.Schema(Query))
    assert weights.costs == {"Row": 3, "Query.rows": 2}
    assert weights.sizes["Query.rows"].slicing == ("first",)
    assert weights.sizes["Query.rows"].one


@given(st.data())
def test_it_is_the_sum_over_the_document_written_out(data: st.DataObject) -> None:
    leaf = st.sampled_from([("id", 0), ("colour", 2), ("big { id }", 50)])

    def selections(depth: int) -> tuple[str, int]:
        found = [data.draw(leaf)]
        for _ in range(data.draw(st.integers(0, 2)) if depth else 0):
            text, below = selections(depth - 1)
            head, size = data.draw(st.sampled_from([("item", 1), ("items", 10), ("...", None)]))
            found.append((f"{head} {text}", below if size is None else size * (1 + below)))
        return "{ " + " ".join(text for text, _ in found) + " }", sum(cost for _, cost in found)

    text, below = selections(3)
    size = data.draw(st.integers(0, 9))
    assert cost(f"{{ first(first: {size}) {text} }}") == size * (1 + below)
    assert cost(f"query ($n: Int) {{ first(first: $n) {text} }}", {"n": size}) == size * (1 + below)


INVOICES = "query Q($n: Int) { invoices(first: $n) { id customer { name } } }"


async def test_an_operation_that_costs_too_much_is_refused_before_it_is_executed() -> None:
    limits = {"limits": {"cost": "enforce", "max_cost": 20, "assumed_list_size": 15}, "mode": "production"}
    async with running_gateway(limits) as gateway:
        refused = await gateway.ask(INVOICES, {"x-show-cost": "1"}, n=1)
        assert (refused.response.status_code, refused.codes) == (400, ["COST_LIMIT_EXCEEDED"])
        [error] = refused.errors
        assert error["message"] == "The operation may cost 30; max_cost allows 20."
        found = error["extensions"]
        assert (found["cost"], found["maxCost"], found["limit"], found["category"]) == (
            30,
            20,
            "max_cost",
            "validation",
        )
        assert gateway.invoices.graphql.calls == []
        allowed = await gateway.ask("{ invoices(first: 1) { id } }", {"x-show-cost": "1"})
        assert allowed.body == {"data": {"invoices": [{"id": "1"}]}}
        free = await gateway.ask("{ __typename ... { __typename } }")
        assert free.body == {"data": {"__typename": "Query"}}


async def test_logging_refuses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    async with running_gateway({"limits": {"cost": "log", "max_cost": 5}}) as gateway:
        answered = await gateway.ask(INVOICES, n=1)
        assert answered.data["invoices"][0]["id"] == "1"
    logged = [line for line in capsys.readouterr().out.splitlines() if "costly operation" in line]
    assert len(logged) == 1
    assert "may cost 20; max_cost allows 5" in logged[0]
    assert "operation=Q" in logged[0]


async def test_in_development_the_answer_tells_the_cost_to_who_asks() -> None:
    async with running_gateway() as gateway:
        assert "extensions" not in (await gateway.ask(INVOICES, n=1)).body
        answered = await gateway.ask(INVOICES, {"x-show-cost": "1"}, n=1)
        assert answered.body["extensions"] == {"cost": {"estimated": 20, "max": 1000}}


async def test_a_supergraph_says_what_its_fields_cost(tmp_path: Path) -> None:
    link = 'extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@cost", "@listSize"])'
    field = 'rows(first: Int): [Row] @cost(weight: 4) @listSize(slicingArguments: ["first"])'
    file = tmp_path / "rows.graphql"
    file.write_text(f"{link} type Query {{ {field} }} type Row {{ id: ID }}")
    async with (
        ScriptedSubgraph.made(
            "type Query { rows(first: Int): [Row] } type Row { id: ID }", {"rows": [{"id": 1}]}
        ) as rows,
        federated_gateway(
            {"rows": rows},
            {"limits": {"cost": "enforce", "max_cost": 20}},
            services={"rows": {"subgraph": {"sdl": str(file)}}},
        ) as gateway,
    ):
        ok = await gateway.ask("{ rows(first: 5) { id } }", {"x-show-cost": "1"})
        assert ok.body["extensions"]["cost"] == {"estimated": 20, "max": 20}
        assert (await gateway.ask("{ rows(first: 6) { id } }")).codes == ["COST_LIMIT_EXCEEDED"]
        [error] = (await gateway.ask("{ rows { id } }")).errors
        assert "exactly one of its arguments first" in error["message"]


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ("{max_cost: 5}", "limits.max_cost: says what nobody looks at"),
        ("{assumed_list_size: 5}", "limits.assumed_list_size: says what nobody looks at"),
        ("{cost: maybe}", "limits.cost"),
        ("{cost: log, max_cost: 0}", "limits.max_cost"),
    ],
)
def test_limits_of_cost_that_make_no_sense_are_refused(limits: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config(f"limits: {limits}", {})
    assert said in str(refused.value)
