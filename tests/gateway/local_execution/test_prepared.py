"""What gets a program, and why the rest does not."""

from typing import Any

import pytest
import strawberry
from strawberry.extensions import SchemaExtension
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from gateway.http.documents import DocumentCache
from gateway.local_execution import LocalSchema, Prepared, Program, describe
from schema.build import core_schema
from tests.gateway.local_execution import zoo


def prepared(text: str, schema: strawberry.Schema = zoo.schema) -> Prepared:
    document = DocumentCache(core_schema(schema), introspection=True).get(text)
    return LocalSchema(schema, hide_suggestions=False).prepared(document, document.operation())


def program(text: str, schema: strawberry.Schema = zoo.schema, **variables: Any) -> Program | str:
    return prepared(text, schema).program(variables)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{ number __schema { queryType { name } } }", "it asks for the schema itself"),
        ('{ number __type(name: "Thing") { name } }', "it asks for the schema itself"),
    ],
)
def test_what_has_no_program_says_why(text: str, reason: str) -> None:
    assert program(text) == reason


@strawberry.type
class Query:
    a: int = 1


def test_schemas_that_change_execution_are_left_to_graphql_core() -> None:
    class Mine(StrawberryGraphQLCoreExecutionContext):
        pass

    extended = strawberry.Schema(Query, extensions=[SchemaExtension])
    assert program("{ a }", extended) == "the schema has extensions"
    incremental = strawberry.Schema(Query, config=StrawberryConfig(enable_experimental_incremental_execution=True))
    assert program("{ ... @defer { a } }", incremental) == "it has the directive @defer"
    other = strawberry.Schema(Query, execution_context_class=Mine)
    assert program("{ a }", other) == "the schema has an execution context class of its own"


def test_each_outcome_of_the_conditions_has_its_program() -> None:
    made = prepared("query ($on: Boolean!) { number start @include(if: $on) { id } }")
    with_start, without = made.program({"on": True}), made.program({"on": False})
    assert isinstance(with_start, Program)
    assert isinstance(without, Program)
    assert list(with_start.root.fields) == ["number", "start"]
    assert list(without.root.fields) == ["number"]
    assert made.program({"on": True}) is with_start
    assert made.program({"on": None}) == "a condition has no value"


def test_outcomes_beyond_sixteen_are_left_to_graphql_core() -> None:
    names = [f"v{i}" for i in range(5)]
    variables = ", ".join(f"${name}: Boolean!" for name in names)
    fields = " ".join(f"{name}: number @skip(if: ${name})" for name in names)
    made = prepared(f"query ({variables}) {{ {fields} }}")
    answers = [made.program({name: bool(i >> bit & 1) for bit, name in enumerate(names)}) for i in range(32)]
    assert sum(isinstance(answer, Program) for answer in answers) == 16
    assert answers[-1] == "it has been asked with 16 outcomes of its conditions already"


def test_a_program_is_shown_position_by_position() -> None:
    text = "{ start { __typename id leaf { day } sum next { plain } partner { name } pet { ... on Cat { lives } } } }"
    made = program(text)
    assert isinstance(made, Program)
    assert describe(made) == (
        "the root (Query)\n"
        "  start: Thing!, a resolver, an object at a time\n"
        "start (Thing)\n"
        "  __typename, known without asking\n"
        "  id: ID!, an attribute\n"
        "  leaf: Leaves!, an attribute\n"
        "  sum: String!, a resolver, an object at a time\n"
        "  next: Thing, a resolver, an object at a time\n"
        "  partner: Partner, a batch, all objects at once\n"
        "  pet: Named, an attribute\n"
        "start.leaf (Leaves)\n"
        "  day: Date!, an attribute\n"
        "start.next (Thing)\n"
        "  plain: String!, a resolver, an object at a time\n"
        "start.partner (Partner)\n"
        "  name: String!, an attribute\n"
        "start.pet (Cat)\n"
        "  lives: Int!, an attribute\n"
        "start.pet (Dog)"
    )
