from collections.abc import Callable
from typing import Any

import pytest
from graphql import GraphQLError, OperationDefinitionNode, OperationType, parse
from graphql.validation import ASTValidationRule

from gateway.http import CacheInfo, Document, DocumentCache
from gateway.http.errors import (
    LimitExceeded,
    OperationUnresolved,
    ParseFailed,
    RequestError,
    ValidationFailed,
)
from gateway.http.tokens import Tokens
from tests.gateway.http.support import GRAPHQL_RESPONSE, URL, SchemaHandler, client, endpoint, schema


def cache(**options: Any) -> DocumentCache:
    return DocumentCache(schema(), **options)


def refused(documents: DocumentCache, text: str) -> RequestError:
    with pytest.raises(RequestError) as caught:
        documents.get(text)
    return caught.value


def test_the_same_text_is_parsed_once() -> None:
    documents = cache()
    first = documents.get("{ hello }")
    assert documents.get("{ hello }") is first
    assert documents.info() == CacheInfo(hits=1, misses=1, entries=1, source_bytes=9)


def test_another_text_is_another_document() -> None:
    documents = cache()
    assert documents.get("{ hello }") is not documents.get("{hello}")
    assert documents.info() == CacheInfo(hits=0, misses=2, entries=2, source_bytes=16)


@pytest.mark.parametrize("text", ["{", "{ nothing }", "{tree" * 500 + "{hello" + "}" * 501])
def test_a_refusal_is_remembered_and_each_time_a_new_exception(text: str) -> None:
    documents = cache()
    first, second = refused(documents, text), refused(documents, text)
    assert first is not second
    assert (type(first), first.errors) == (type(second), second.errors)
    assert (documents.info().hits, documents.info().misses) == (1, 1)


def test_the_least_recently_used_document_leaves_first() -> None:
    documents = cache(max_entries=2)
    a = documents.get("query A { hello }")
    documents.get("query B { hello }")
    documents.get("query A { hello }")
    documents.get("query C { hello }")
    assert documents.info().entries == 2
    assert documents.get("query A { hello }") is a
    misses = documents.info().misses
    documents.get("query B { hello }")
    assert documents.info().misses == misses + 1


def test_what_is_held_is_bounded_by_bytes_of_utf8() -> None:
    documents = cache(max_source_bytes=40)
    documents.get('{hello(name:"éé")}')  # 18 characters, 20 bytes
    assert documents.info().source_bytes == 20
    documents.get('{hello(name:"ee__")}')
    assert (documents.info().entries, documents.info().source_bytes) == (2, 40)
    documents.get('{hello(name:"123")}')
    assert (documents.info().entries, documents.info().source_bytes) == (2, 39)


def test_a_document_larger_than_the_cache_is_answered_and_not_held() -> None:
    documents = cache(max_source_bytes=8)
    documents.get("{hello}")
    assert documents.get("{ hello }").operation().kind is OperationType.QUERY
    assert (documents.info().entries, documents.info().source_bytes) == (1, 7)


def test_a_document_has_its_text_operations_and_fragments() -> None:
    text = "query A { ...F } mutation B { touch } fragment F on Query { hello }"
    document = cache().get(text)
    assert document.text == text
    assert [(o.name, o.kind) for o in document.operations] == [
        ("A", OperationType.QUERY),
        ("B", OperationType.MUTATION),
    ]
    assert list(document.fragments) == ["F"]
    assert isinstance(document.operations[0].node, OperationDefinitionNode)


def test_an_operation_is_found_by_its_name() -> None:
    document = cache().get("query A { hello } query B { hello }")
    assert document.operation("B") is document.operations[1]


def test_the_only_operation_needs_no_name() -> None:
    assert cache().get("{ hello }").operation().name is None
    assert cache().get("query A { hello }").operation().name == "A"


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("query A { hello }", "B", "Unknown operation named 'B'."),
        ("query A { hello }", "", "Unknown operation named ''."),
        ("query A { hello }", "a", "Unknown operation named 'a'."),
        ("query A { hello }", "A\0", "Unknown operation named 'A\\x00'."),
        ("{ hello }", "A", "Unknown operation named 'A'."),
        ("query A { hello } query B { hello }", None, "The document has several operations"),
    ],
)
def test_an_operation_that_is_not_there_or_not_the_only_one_is_unresolved(
    text: str, name: str | None, message: str
) -> None:
    with pytest.raises(OperationUnresolved) as caught:
        cache().get(text).operation(name)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"), [("fragment F on Query { hello }", "never used"), ("type A { a: Int }", "not executable")]
)
def test_a_document_without_an_operation_is_invalid(text: str, message: str) -> None:
    with pytest.raises(ValidationFailed, match=message):
        cache().get(text)


def test_a_document_made_without_operations_has_none_to_give() -> None:
    ast = parse("fragment F on Query { hello }")
    with pytest.raises(OperationUnresolved, match="has no operation"):
        Document(text="", ast=ast, operations=(), fragments={}).operation()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Syntax Error: Unexpected <EOF>."),
        ("# nothing", "Syntax Error: Unexpected <EOF>."),
        ("{", "Syntax Error: Expected Name, found <EOF>."),
        ("{ hello", "Syntax Error: Expected Name, found <EOF>."),
        ("{ hello } }", "Syntax Error: Unexpected '}'."),
        ("{ hello(name: \0) }", "Syntax Error: Unexpected character: U+0000."),
        ("\ufeff\ufffe", "Syntax Error: Unexpected character: U+FFFE."),
        ('{ hello(name: "\\ud800") }', "Syntax Error: Invalid Unicode escape sequence: '\\ud800'."),
        ('{ hello(name: "a', "Syntax Error: Unterminated string."),
        ('"""' * 9_001, None),
        ("query ($a: Int", None),
        ("garbage " * 1_000, None),
    ],
)
def test_text_that_is_not_graphql_is_a_parse_failure_with_its_place(text: str, message: str | None) -> None:
    error = refused(cache(), text)
    assert type(error) is ParseFailed
    (entry,) = error.errors
    assert message is None or entry["message"] == message
    (location,) = entry["locations"]
    assert min(location["line"], location["column"]) >= 1


def test_every_reason_why_a_document_is_not_valid_is_told_with_its_place() -> None:
    error = refused(cache(), "{ a\n  b }")
    assert type(error) is ValidationFailed
    assert error.errors == (
        {"message": "Cannot query field 'a' on type 'Query'.", "locations": [{"line": 1, "column": 3}]},
        {"message": "Cannot query field 'b' on type 'Query'.", "locations": [{"line": 2, "column": 3}]},
    )


def test_the_number_of_reasons_is_bounded() -> None:
    error = refused(cache(), "{" + " ".join(f"a{n}" for n in range(1_000)) + "}")
    assert len(error.errors) <= 101


@pytest.mark.parametrize(
    "text",
    [
        "{ ...A } fragment A on Query { ...A }",
        "{ ...A } fragment A on Query { tree { ...B } } fragment B on Query { ...A }",
        "{ ...F0 } " + " ".join(f"fragment F{n} on Query {{ ...F{(n + 1) % 100} }}" for n in range(100)),
    ],
    ids=["itself", "through another", "a ring of a hundred"],
)
def test_circular_fragments_are_invalid(text: str) -> None:
    error = refused(cache(), text)
    assert type(error) is ValidationFailed
    assert "within itself" in str(error)


@pytest.mark.parametrize(
    "text",
    [
        "{" + "hello " * 4_900 + "}",
        "{ ...F0 } " + " ".join(f"fragment F{n} on Query {{ ...F{(n + 1) % 600} }}" for n in range(600)),
        "{ ...F0 } "
        + " ".join(f"fragment F{n} on Query {{ ...F{n + 1} }}" for n in range(600))
        + "fragment F600 on Query { hello }",
    ],
    ids=["one field again and again", "a long ring of fragments", "a long chain of fragments"],
)
def test_what_is_too_large_to_validate_is_a_limit_exceeded(text: str) -> None:
    error = refused(cache(), text)
    assert type(error) is LimitExceeded
    assert str(error).startswith("The document is too large to validate")


@pytest.mark.parametrize("depth", [250, 500, 1_200])
@pytest.mark.parametrize(
    "nested",
    [
        lambda depth: "{tree" * depth + "{hello" + "}" * (depth + 1),
        lambda depth: "{" + "...{" * depth + "hello" + "}" * (depth + 1),
        lambda depth: "{" + "...on Query{" * depth + "hello" + "}" * (depth + 1),
        lambda depth: "{hello(name:" + "[" * depth + "]" * depth + ")}",
        lambda depth: "{hello(name:" + "{a:" * depth + "1" + "}" * depth + ")}",
        lambda depth: "query($a:" + "[" * depth + "Int" + "]" * depth + "){hello}",
        lambda depth: "query($a:Int=" + "[" * depth + "]" * depth + "){hello}",
        lambda depth: "type A{a:" + "[" * depth + "Int" + "]" * depth + "}",
    ],
    ids=["fields", "inline", "typed inline", "lists", "objects", "types", "defaults", "definitions"],
)
def test_a_document_nested_too_deeply_is_a_limit_exceeded(nested: Callable[[int], str], depth: int) -> None:
    error = refused(cache(max_tokens=None), nested(depth))
    assert type(error) is LimitExceeded
    assert "nested too deeply" in str(error)


def test_depth_below_the_limit_is_valid() -> None:
    cache().get("{tree" * 100 + "{hello" + "}" * 101)


def test_tokens_are_counted_comments_included() -> None:
    documents = cache(max_tokens=6)
    documents.get("{ a: hello }" + " " * 100)
    error = refused(documents, "{ a: hello }" + "#\n" * 3)
    assert type(error) is LimitExceeded
    assert "more than 6 tokens" in str(error)


def test_more_tokens_than_by_default_are_a_limit_exceeded() -> None:
    assert type(refused(cache(), "{" + "hello " * 5_000 + "}")) is LimitExceeded


def test_a_longer_text_than_allowed_is_refused_unread_and_not_counted() -> None:
    documents = cache(max_document_chars=9)
    documents.get("{ hello }")
    error = refused(documents, "{" * 10)
    assert type(error) is LimitExceeded
    assert str(error) == "The document is longer than 9 characters."
    assert documents.info().misses == 1


@pytest.mark.parametrize(
    "text",
    [
        '{ a(b: "' + "x" * 90 + '") }',
        '{ a(b: """' + "\n" * 90 + '""") }',
        '"""' + "\\" * 90,
        "{ a } #" + "x" * 90,
        "{ " + "x" * 90 + " }",
        "{ a(b: " + "9" * 90 + ") }",
    ],
)
def test_long_strings_comments_and_names_are_refused_before_the_parse(text: str) -> None:
    error = refused(cache(max_long_chars=80), text)
    assert type(error) is LimitExceeded
    assert str(error) == (
        "The document has more than 80 characters in strings and comments. Send long values as variables."
    )
    assert type(refused(cache(max_long_chars=200), text)) is not LimitExceeded


def test_short_words_may_be_as_many_as_tokens_may() -> None:
    text = "{ " + "hello " * 20 + "} # " + "x" * 40
    assert cache(max_long_chars=1).get(text).text == text


def test_limits_are_checked_before_the_parse_and_remembered() -> None:
    seen: list[Tokens] = []

    def check(tokens: Tokens) -> None:
        seen.append(tokens)
        raise LimitExceeded("too wide", errors=[{"message": "too deep", "extensions": {"depth": 16}}])

    documents = cache(check_limits=check)
    for _ in range(2):
        error = refused(documents, "{ nothing }")
        assert type(error) is LimitExceeded
        assert error.errors == ({"message": "too wide"}, {"message": "too deep", "extensions": {"depth": 16}})
    assert [list(tokens) for tokens in seen] == [["{", "nothing", "}"]]
    assert type(refused(documents, "{")) is LimitExceeded


def test_a_document_within_its_limits_goes_on_to_validation() -> None:
    documents = cache(check_limits=lambda ast: None)
    documents.get("{ hello }")
    assert type(refused(documents, "{ nothing }")) is ValidationFailed


@pytest.mark.parametrize("text", ["{ __schema { queryType { name } } }", '{ __type(name: "Query") { name } }'])
def test_introspection_is_refused_unless_it_is_switched_on(text: str) -> None:
    error = refused(cache(), text)
    assert type(error) is ValidationFailed
    assert "introspection" in str(error)
    assert cache(introspection=True).get(text).operation().kind is OperationType.QUERY


def test_introspection_is_refused_inside_of_fragments() -> None:
    text = "{ ...F } fragment F on Query { a: __schema { types { name } } }"
    assert type(refused(cache(), text)) is ValidationFailed


def test_typename_is_no_introspection() -> None:
    cache().get("{ __typename }")


@pytest.mark.parametrize(
    "text",
    [
        "{ helo }",
        "{ hello(nam: 1) }",
        "query ($a: Strin) { hello(name: $a) }",
        "{ ...F } fragment F on Quer { hello }",
    ],
)
def test_suggestions_are_hidden_unless_they_are_switched_on(text: str) -> None:
    assert "Did you mean" not in str(refused(cache(), text))
    assert "Did you mean" in str(refused(cache(suggestions=True), text))


def test_rules_beside_those_of_the_specification_are_applied() -> None:
    class NoTree(ASTValidationRule):
        def enter_field(self, node: Any, *_: Any) -> None:
            if node.name.value == "tree":
                self.report_error(GraphQLError("no trees"))  # without a place

    documents = cache(extra_rules=[NoTree])
    assert refused(documents, "{ tree { hello } }").errors == ({"message": "no trees"},)
    documents.get("{ hello }")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{tree" * 500 + "{hello" + "}" * 501, "LIMIT_EXCEEDED"),
        ("{" + "hello " * 5_000 + "}", "LIMIT_EXCEEDED"),
        ("{ ...A } fragment A on Query { ...A }", "GRAPHQL_VALIDATION_FAILED"),
    ],
    ids=["deep", "tokens", "circular"],
)
async def test_a_document_that_must_not_be_executed_is_400(text: str, code: str) -> None:
    handler = SchemaHandler()
    async with client(endpoint(handler)) as http:
        response = await http.post(URL, json={"query": text}, headers={"accept": GRAPHQL_RESPONSE})
    codes = {error["extensions"]["code"] for error in response.json()["errors"]}
    assert (response.status_code, codes, handler.calls) == (400, {code}, 0)
