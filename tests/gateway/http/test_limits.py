"""Limits of a document: counted as if every fragment stood where it is spread, without writing that out."""

from dataclasses import dataclass
from typing import Any

import pytest
from graphql import FieldNode, FragmentDefinitionNode, FragmentSpreadNode, InlineFragmentNode, SelectionSetNode, parse
from graphql import OperationDefinitionNode as Operation
from graphql.utilities import get_introspection_query
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import Config, ConfigError
from gateway.config import parse as parse_config
from gateway.http import DocumentCache
from gateway.http.errors import LimitExceeded, ValidationFailed
from gateway.http.limits import DocumentLimitCheck, DocumentLimits
from gateway.http.tokens import Tokens
from tests.gateway.http.support import SchemaHandler, client, endpoint, schema

NAMES = ("max_depth", "max_aliases", "max_directives", "max_root_fields", "max_selections")
OFF = DocumentLimits(None, None, None, None, None)


def exceeded(text: str, limits: DocumentLimits | None = None, *, introspection: bool = False) -> dict[str, str]:
    """The message for each limit that the document exceeds."""
    try:
        DocumentLimitCheck(limits, introspection=introspection)(Tokens(text))
    except LimitExceeded as error:
        return {entry["extensions"]["limit"]: entry["message"] for entry in error.errors}
    return {}


def nested(depth: int) -> str:
    return "{ tree " * (depth - 1) + "{ hello " + "}" * depth


def doubled(levels: int, last: str = "{ hello }") -> str:
    """A text of `levels` fragments that stands for two to that many times `last`."""
    bomb = " ".join(f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(levels))
    return f"{{ ...F0 }} {bomb} fragment F{levels} on Query {last}"


@pytest.mark.parametrize(
    ("limit", "most", "over", "message"),
    [
        ("max_depth", nested(15), nested(16), "16 levels of nested fields; max_depth allows 15"),
        (
            "max_depth",
            "{ tree { ... { ... on Query { ...F } } } } fragment F on Query " + nested(14),
            "{ tree { ... { ... on Query { ...F } } } } fragment F on Query " + nested(15),
            "16 levels of nested fields; max_depth allows 15",
        ),
        (
            "max_aliases",
            "{ tree {" + "a: hello " * 30 + "} }",
            "{ tree {" + "a: hello " * 31 + "} }",
            "31 aliases; max_aliases allows 30",
        ),
        (
            "max_aliases",
            "{ tree {" + "...F " * 15 + "} } fragment F on Query { a: hello ... { b: hello } }",
            "{ c: hello tree {" + "...F " * 15 + "} } fragment F on Query { a: hello ... { b: hello } }",
            "31 aliases; max_aliases allows 30",
        ),
        (
            "max_directives",
            "{ hello " + "@skip(if: false) " * 50 + "}",
            "{ hello " + "@skip(if: false) " * 51 + "}",
            "51 directives; max_directives allows 50",
        ),
        (
            "max_directives",
            "query ($v: Int @a) @a { tree { ... @a { ...F @a hello @a } ...F @a " + "...G @a " * 21 + "} }"
            "fragment F on Query @a { hello } fragment G on Query @a { hello }",
            "query ($v: Int @a) @a { tree { ... @a { ...F @a hello @a @a } ...F @a " + "...G @a " * 21 + "} }"
            "fragment F on Query @a { hello } fragment G on Query @a { hello }",
            "51 directives; max_directives allows 50",
        ),
        (
            "max_root_fields",
            "{" + "hello " * 20 + "}",
            "{" + "hello " * 21 + "}",
            "21 root fields; max_root_fields allows 20",
        ),
        (
            "max_root_fields",
            "{ ... {" + "...F " * 10 + "} } fragment F on Query { hello tree { hello } }",
            "{ ... {" + "...F " * 10 + "} tree { hello } } fragment F on Query { hello tree { hello } }",
            "21 root fields; max_root_fields allows 20",
        ),
        (
            "max_selections",
            "{ tree {" + "hello " * 9_999 + "} }",
            "{ tree {" + "hello " * 10_000 + "} }",
            "10,001 selections; max_selections allows 10,000",
        ),
        (
            "max_selections",
            "{ tree {" + "...F " * 4_999 + "... { } } } fragment F on Query { hello }",
            "{ tree {" + "...F " * 5_000 + "} } fragment F on Query { hello }",
            "10,001 selections; max_selections allows 10,000",
        ),
    ],
)
def test_what_is_allowed_passes_and_one_more_does_not(limit: str, most: str, over: str, message: str) -> None:
    assert exceeded(most) == {}
    assert exceeded(over) == {limit: f"The document has {message}."}


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        ("max_depth", nested(16)),
        ("max_aliases", "{ tree {" + "a: hello " * 31 + "} }"),
        ("max_directives", "{ hello" + " @skip(if: false)" * 51 + "}"),
        ("max_root_fields", "{" + "hello " * 21 + "}"),
        ("max_selections", "{ tree {" + "hello " * 10_000 + "} }"),
    ],
)
def test_each_limit_can_be_turned_off_and_set_by_itself(limit: str, text: str) -> None:
    others: dict[str, Any] = {limit: None}
    assert exceeded(text, DocumentLimits(**others)) == {}
    only = dict.fromkeys(NAMES)
    assert list(exceeded("{ a: tree @b { c } d }", DocumentLimits(**{**only, limit: 0}))) == [limit]
    assert exceeded(text, OFF) == {}


def test_every_limit_that_is_exceeded_is_told_with_its_place() -> None:
    text = "query Small { hello }\n  query Large { " + "a: hello @skip(if: false) " * 51 + "}"
    with pytest.raises(LimitExceeded) as caught:
        DocumentLimitCheck()(Tokens(text))
    assert [entry["extensions"] for entry in caught.value.errors] == [
        {"limit": "max_aliases"},
        {"limit": "max_directives"},
        {"limit": "max_root_fields"},
    ]
    assert all(entry["locations"] == [{"line": 2, "column": 3}] for entry in caught.value.errors)


def test_limits_are_those_of_one_operation_not_of_all_together() -> None:
    assert exceeded(" ".join(f"query Q{n} {{ {'a: hello ' * 20} }}" for n in range(5))) == {}


def test_a_doubled_fragment_is_summed_and_not_written_out() -> None:
    message = exceeded(doubled(26))["max_selections"]
    assert message == "The document has 201,326,591 selections; max_selections allows 10,000."


def test_a_doubled_fragment_with_nothing_in_it_is_refused_too() -> None:
    assert "max_selections" in exceeded(doubled(26, "{ }"))


def test_sums_beyond_counting_are_told_as_more_than_that() -> None:
    message = exceeded(doubled(500, "{ a: hello }"))["max_aliases"]
    assert message == "The document has more than 999,999,999,999 aliases; max_aliases allows 30."


def test_a_chain_of_thousands_of_fragments_is_measured() -> None:
    chain = " ".join(f"fragment F{n} on Query {{ tree {{ ...F{n + 1} }} }}" for n in range(5_000))
    text = f"{{ ...F0 }} {chain} fragment F5000 on Query {{ hello }}"
    assert exceeded(text)["max_depth"] == "The document has 5,001 levels of nested fields; max_depth allows 15."


@pytest.mark.parametrize(
    "text",
    [
        "{ ...A } fragment A on Query { ...A }",
        "{ ...A } fragment A on Query { tree { ...B } ...B } fragment B on Query { ...A ...A ...B }",
        "{ ...F0 } " + " ".join(f"fragment F{n} on Query {{ ...F{(n + 1) % 2_000} }}" for n in range(2_000)),
        "{ ...Nowhere }",
        "{ hello } fragment A on Query { hello } fragment A on Query { tree { hello } }",
    ],
    ids=["itself", "through another", "a ring of thousands", "unknown", "one name twice"],
)
def test_circular_unknown_and_repeated_fragments_are_left_to_validation(text: str) -> None:
    assert exceeded(text) == {}


def test_what_is_around_a_circle_still_counts() -> None:
    assert "max_aliases" in exceeded("{ ...A } fragment A on Query { ...A " + "a: hello " * 31 + "}")


def test_nothing_hides_in_a_fragment_that_is_not_used_or_has_its_name_twice() -> None:
    assert "max_selections" in exceeded(doubled(26).replace("{ ...F0 }", "{ hello }"))
    repeated = "{ ...A } fragment A on Query { %s } fragment A on Query { %s }"
    assert "max_aliases" in exceeded(repeated % ("a: hello " * 31, "hello"))
    assert "max_aliases" in exceeded(repeated % ("hello", "a: hello " * 31))


@pytest.mark.parametrize("before", ["scalar X ", '"text" type T ', "extend type T @a ", "query Q ", "1 ! "])
def test_a_fragment_cannot_hide_behind_what_is_no_operation(before: str) -> None:
    bomb = doubled(26).replace("fragment", before + "fragment")
    assert "max_selections" in exceeded(bomb)


def test_what_is_no_document_is_counted_as_far_as_it_goes() -> None:
    assert exceeded("type A { a: Int } schema { query: A }") == {}
    assert exceeded(") } ] { a( { b } @ ... on fragment on on") == {}
    assert "max_aliases" in exceeded("{ a: b " * 40)


def test_the_depth_of_introspection_is_left_out_where_it_is_on() -> None:
    text = get_introspection_query(type_depth=30)
    assert exceeded(text, introspection=True) == {}
    assert list(exceeded(text)) == ["max_depth"]
    shallow = DocumentLimits(max_depth=2)
    assert exceeded(get_introspection_query(), shallow, introspection=True) == {}
    assert exceeded('{ __type(name: "A") { ofType { ofType { name } } } }', shallow, introspection=True) == {}


def test_the_rest_of_a_document_with_introspection_has_its_depth() -> None:
    both = "{ __schema { queryType { name } } " + nested(16)[1:]
    assert list(exceeded(both, introspection=True)) == ["max_depth"]
    assert list(exceeded("{ tree { ...F } } fragment F on Query " + nested(15), introspection=True)) == ["max_depth"]


def test_all_but_the_depth_of_introspection_counts() -> None:
    text = "{ __schema { types {" + "a: name @skip(if: false) " * 51 + "} } }"
    assert set(exceeded(text, introspection=True)) == {"max_aliases", "max_directives"}


def test_introspection_that_multiplies_lists_is_refused_by_validation() -> None:
    lists = "{ __schema { types" + " { fields { type" * 6 + " { name }" + " } }" * 6 + " } }"
    documents = DocumentCache(
        schema(), introspection=True, check_limits=DocumentLimitCheck(OFF, introspection=True), max_tokens=None
    )
    with pytest.raises(ValidationFailed, match="Maximum introspection depth exceeded"):
        documents.get(lists)


def test_a_hundred_thousand_aliases_are_counted_where_nothing_else_refuses_them() -> None:
    unbounded = DocumentCache(
        schema(), max_tokens=None, max_document_chars=2_000_000, check_limits=DocumentLimitCheck()
    )
    with pytest.raises(LimitExceeded) as caught:
        unbounded.get("{" + "a:hello " * 100_000 + "}")
    assert str(caught.value).startswith("The document has 100,000 aliases; max_aliases allows 30.")


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("{" + "a:hello " * 100_000 + "}", None),
        ("{ hello }" + " " * 900_000, None),
        ("{ tree " * 500 + "{ hello }" + " }" * 500, "max_depth"),
        ("{" + "hello " * 4_900 + "}", "max_root_fields"),
        ("{" + "a:hello " * 5_000 + "}", "max_tokens"),
        (doubled(26), "max_selections"),
        (nested(100), "max_depth"),
        ("{" + "a: hello " * 500 + "}", "max_aliases"),
    ],
    ids=["100,000 aliases", "1 MB", "500 deep", "root fields", "tokens", "bomb", "deep", "aliases"],
)
@pytest.mark.parametrize("accept", ["application/json", "application/graphql-response+json"])
async def test_an_attack_is_a_400_that_names_the_limit_and_executes_nothing(
    text: str, limit: str | None, accept: str
) -> None:
    handler = SchemaHandler(DocumentCache(schema(), check_limits=DocumentLimitCheck()))
    async with client(endpoint(handler)) as http:
        for _ in range(2):
            response = await http.post("/graphql", json={"query": text}, headers={"accept": accept})
            assert response.status_code == 400
            body = response.json()
            assert "data" not in body
            assert {error["extensions"]["code"] for error in body["errors"]} == {"LIMIT_EXCEEDED"}
            assert limit in {error["extensions"].get("limit") for error in body["errors"]}
    assert handler.calls == 0


def test_a_refusal_is_remembered_with_the_document() -> None:
    documents = DocumentCache(schema(), check_limits=DocumentLimitCheck())
    for _ in range(3):
        with pytest.raises(LimitExceeded):
            documents.get(doubled(26))
    assert (documents.info().misses, documents.info().hits) == (1, 2)


def test_tokens_can_be_left_uncounted() -> None:
    DocumentCache(schema(), max_tokens=None).get("#\n" * 6_000 + "{ hello }")


def test_the_configuration_has_the_same_defaults_and_may_turn_each_off() -> None:
    keys = {key: getattr(Config().limits, key) for key in NAMES}
    assert DocumentLimits(**keys) == DocumentLimits()
    off = parse_config("limits: {" + ", ".join(f"{key}: null" for key in (*NAMES, "max_tokens")) + "}", {}).limits
    assert {getattr(off, key) for key in (*NAMES, "max_tokens")} == {None}


@pytest.mark.parametrize(
    "entry", ["max_depth: 0", "max_aliases: -1", "max_tokens: no", "max_selections: 1.5", "depth: 3"]
)
def test_a_limit_that_makes_no_sense_is_refused(entry: str) -> None:
    with pytest.raises(ConfigError, match=r"limits\."):
        parse_config(f"limits: {{ {entry} }}", {})


# The model: fragments written out where they are spread, then counted.


@dataclass
class Naive:
    """Counts of one definition."""

    fragments: dict[str, FragmentDefinitionNode]
    depth: int = 0
    aliases: int = 0
    directives: int = 0
    root_fields: int = 0
    selections: int = 0

    def definition(self, node: Operation | FragmentDefinitionNode) -> tuple[int, ...]:
        self.directives += len(node.directives or ())
        self.expand(node.selection_set, 0)
        roots = self.root_fields if isinstance(node, Operation) else 0
        return self.depth, self.aliases, self.directives, roots, self.selections

    def expand(self, selections: SelectionSetNode, level: int) -> None:
        for selection in selections.selections:
            self.selections += 1
            self.directives += len(selection.directives or ())
            match selection:
                case FieldNode():
                    self.aliases += selection.alias is not None
                    self.root_fields += level == 0
                    self.depth = max(self.depth, level + 1)
                    if selection.selection_set is not None:
                        self.expand(selection.selection_set, level + 1)
                case InlineFragmentNode():
                    self.expand(selection.selection_set, level)
                case FragmentSpreadNode() if selection.name.value in self.fragments:
                    fragment = self.fragments[selection.name.value]
                    self.directives += len(fragment.directives or ())
                    self.expand(fragment.selection_set, level)


@st.composite
def documents(draw: st.DrawFn, *, circular: bool = False) -> str:
    """A document of one operation and up to five fragments; a fragment spreads only later ones unless circular."""
    count = draw(st.integers(0, 5))

    def selections(first: int, levels: int) -> str:
        names = [f"F{n}" for n in range(0 if circular else first, count)] + ["Unknown"]
        leaf = st.sampled_from(["f", "a: f", "f @d", "a: f @d @d", "... { }", *(f"...{name}" for name in names * 2)])
        found = draw(st.lists(leaf, max_size=4))
        if levels:
            heads = draw(st.lists(st.sampled_from(["f", "a: f @d", "... on T", "... @d"]), max_size=2))
            found += [f"{head} {selections(first, levels - 1)}" for head in heads]
        return "{ " + " ".join(found) + " }"

    fragments = [f"fragment F{n} on T {draw(st.sampled_from(['', '@d']))} {selections(n + 1, 2)}" for n in range(count)]
    return " ".join([f"query Q {draw(st.sampled_from(['', '@d']))} {selections(0, 3)}", *fragments])


@given(documents())
def test_counts_are_those_of_the_document_with_its_fragments_written_out(text: str) -> None:
    ast = parse(text)
    fragments = {d.name.value: d for d in ast.definitions if isinstance(d, FragmentDefinitionNode)}
    each = [
        Naive(fragments).definition(d) for d in ast.definitions if isinstance(d, Operation | FragmentDefinitionNode)
    ]
    counts = [max(column) for column in zip(*each, strict=True)]
    assert exceeded(text, DocumentLimits(*counts)) == {}
    for index, name in enumerate(NAMES):
        if counts[index]:
            less = [count - (at == index) for at, count in enumerate(counts)]
            assert list(exceeded(text, DocumentLimits(*less))) == [name]


@given(documents(circular=True))
def test_circles_of_any_shape_come_to_an_end(text: str) -> None:
    exceeded(text, DocumentLimits(*[0] * 5))
