"""Compiled and plain execution of the same operations give the same answers, whatever fails."""

import asyncio
import gc
import os
from collections.abc import Awaitable, Sequence
from random import Random
from typing import Any

import msgspec
import pytest
import strawberry
from graphql import (
    FragmentDefinitionNode,
    GraphQLError,
    NoUnusedVariablesRule,
    OperationDefinitionNode,
    OperationType,
    execute,
    parse,
    specified_rules,
    validate,
)
from graphql.execution.values import VariableValues, get_variable_values
from strawberry.schema.config import StrawberryConfig
from strawberry.types.field import StrawberryField
from strawberry.types.fields.resolver import StrawberryResolver

from gateway.local_execution import Prepared, run_program
from gateway.local_execution.layout import Program
from schema.build import core_schema
from tests.gateway.local_execution import zoo
from tests.gateway.local_execution.selections import Writer

Path = tuple[str | int, ...]
CORE = core_schema(zoo.schema)
MORE = 10 if os.environ.get("BREAKWATER_NIGHTLY") == "1" else 1
_RULES = [rule for rule in specified_rules if rule is not NoUnusedVariablesRule]


class Answer:
    """What one executor gave."""

    def __init__(self, context: zoo.Context, data: Any, errors: Sequence[GraphQLError]) -> None:
        self.context = context
        self.json = msgspec.json.encode(data)
        self.data = msgspec.json.decode(self.json)
        self.errors = sorted(map(_told, errors), key=repr)

    def taken(self) -> dict[Path, list[tuple[Any, ...]]]:
        """The errors by the place that is null because of them: where they happened, or further out."""
        found: dict[Path, list[tuple[Any, ...]]] = {}
        for error in self.errors:
            found.setdefault(self._place(error[1]), []).append(error)
        return found

    def bubbled(self) -> bool:
        """Whether a null took more than its own place."""
        return any(place != error[1] for place, errors in self.taken().items() for error in errors)

    def _place(self, path: Path) -> Path:
        within = self.data
        for depth, part in enumerate(path):
            if within is None:
                return path[:depth]
            within = within[part]
        return path


def _told(error: GraphQLError) -> tuple[Any, ...]:
    locations = tuple((at.line, at.column) for at in error.locations or ())
    return (
        error.message,
        tuple(error.path or ()),
        locations,
        type(error.original_error).__name__,
        tuple(sorted((error.extensions or {}).items())),
    )


def _document(seed: int, kind: OperationType = OperationType.QUERY) -> str:
    """A valid one."""
    random = Random(seed)
    for _ in range(50):
        text = Writer(CORE, random).operation(kind)
        if not validate(CORE, parse(text), _RULES):
            return text
    raise AssertionError("no valid operation in fifty")


def _variables(seed: int) -> dict[str, Any]:
    random = Random(seed)
    return {"off": random.random() < 0.5, "n": random.choice([None, 1, 5]), "c": random.choice(["RED", "AZURE"])}


async def _plain(
    text: str, variables: dict[str, Any], context: zoo.Context, schema: strawberry.Schema = zoo.schema
) -> Answer:
    result = execute(
        core_schema(schema),
        parse(text),
        context_value=context,
        variable_values=variables,
        executor_class=schema.execution_context_class,
    )
    if isinstance(result, Awaitable):
        result = await result
    return Answer(context, result.data, result.errors or [])


def _program(text: str, variables: dict[str, Any], schema: strawberry.Schema) -> tuple[Program | str, VariableValues]:
    definitions = parse(text).definitions
    (operation,) = (d for d in definitions if isinstance(d, OperationDefinitionNode))
    fragments = {d.name.value: d for d in definitions if isinstance(d, FragmentDefinitionNode)}
    values = get_variable_values(core_schema(schema), operation.variable_definitions or (), variables)
    assert isinstance(values, VariableValues)
    return Prepared(schema, operation, fragments).program(values.coerced), values


async def _compiled(
    text: str,
    variables: dict[str, Any],
    context: zoo.Context,
    schema: strawberry.Schema = zoo.schema,
    *,
    alone: bool = False,
) -> Answer:
    program, values = _program(text, variables, schema)
    assert isinstance(program, Program), program
    data, errors = await run_program(
        program, schema.execution_context_class, values, context, hide_suggestions=False, alone=alone
    )
    return Answer(context, data, errors)


async def _both(text: str, variables: dict[str, Any], seed: int, rate: float) -> tuple[Answer, Answer]:
    plain = await _plain(text, variables, zoo.Context(seed, rate))
    compiled = await _compiled(text, variables, zoo.Context(seed, rate), alone=bool(seed % 2))
    return plain, compiled


async def _settled() -> None:
    """What graphql-core left to itself has ended, and what it dropped is gone."""
    while left := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(left)
    for _ in range(2):
        gc.collect()


def _agree(plain: Answer, compiled: Answer) -> None:
    assert compiled.json == plain.json
    mine, theirs = compiled.taken(), plain.taken()
    assert mine.keys() == theirs.keys()
    for place, errors in theirs.items():
        # Of several errors below one null, which is told depends on which came first.
        if all(error[1] == place for error in errors):
            assert mine[place] == errors
    if not plain.bubbled():
        assert compiled.errors == plain.errors
        assert compiled.context.calls == plain.context.calls
        assert compiled.context.infos == plain.context.infos


# Coroutines that graphql-core gives up on before they begin, in its own executions and where it takes over.
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.parametrize("kind", [OperationType.QUERY, OperationType.MUTATION])
@pytest.mark.parametrize(("rate", "first", "count"), [(0.0, 0, 20), (0.003, 1_000, 30), (0.05, 2_000, 20)])
async def test_both_agree_on_random_operations_with_random_faults(
    rate: float, first: int, count: int, kind: OperationType
) -> None:
    failed = bubbled = 0
    seeds = range(first, first + count * MORE)
    for seed in seeds:
        text, variables = _document(seed, kind), _variables(seed)
        plain, compiled = await _both(text, variables, seed, rate)
        try:
            _agree(plain, compiled)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {variables}\n{text}\n{error}") from error
        failed += bool(plain.errors)
        bubbled += plain.bubbled()
    await _settled()
    if rate:  # the faults were met, and nulls travelled
        assert failed > len(seeds) // 8
        assert bubbled > 0


async def test_both_agree_beyond_the_positions_that_a_program_has() -> None:
    many = " ".join(f"n{i}: next {{ leaf {{ id }} }} l{i}: leaf {{ text }}" for i in range(350))
    plain, compiled = await _both(f"{{ start {{ {many} }} }}", {}, 0, 0.0)
    _agree(plain, compiled)


class OwnInfo(strawberry.Info):
    def greeting(self) -> str:
        return f"hello {self.field_name}"


class OwnField(StrawberryField):
    def get_result(self, source: Any, info: Any, args: list[Any], kwargs: Any) -> Any:
        return f"own {super().get_result(source, info, args, kwargs)}"


class Row:
    """A foreign object."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.name = "n" + kind


@strawberry.interface
class Shape:
    kind: str

    @classmethod
    def resolve_type(cls, value: Any, info: Any, _: Any) -> Any:
        assert info.field_name in ("shapes", "shape", "cast")
        if value.kind == "later":
            return _later("Circle")
        return {"circle": "Circle", "square": "Square", "number": 3, "other": "Query", "none": None}[value.kind]


async def _later(value: Any) -> Any:
    return value


@strawberry.type
class Circle(Shape):
    name: str

    @classmethod
    def is_type_of(cls, value: Any, info: Any) -> bool:
        return isinstance(value, Row) and bool(info.path)


@strawberry.type
class Square(Shape):
    @classmethod
    def is_type_of(cls, value: Any, _: Any) -> Any:
        return _later(isinstance(value, Row))


@strawberry.type
class Refusing:
    name: str

    @classmethod
    def is_type_of(cls, value: Any, _: Any) -> bool:
        return bool(value.kind != "refused")


def _own_field() -> Any:
    return OwnField(base_resolver=StrawberryResolver(lambda: "x", type_override=str), python_name="own")


@strawberry.type
class Customised:
    @strawberry.field
    def hello(self, info: OwnInfo) -> str:
        return info.greeting()

    @strawberry.field
    def parent(self, parent: strawberry.Parent[Any]) -> str:
        return str(parent)

    @staticmethod
    def _shared() -> str:
        return "shared"

    shared: str = strawberry.field(resolver=_shared)

    @strawberry.field
    @classmethod
    def of_class(cls) -> str:
        return cls.__name__

    own: str = _own_field()

    @strawberry.field
    def shapes(self, kinds: list[str]) -> list[Shape | None]:
        return [Row(kind) for kind in kinds]  # type: ignore[misc]

    @strawberry.field
    def shape(self, kind: str) -> Shape | None:
        return Row(kind)  # type: ignore[return-value]

    @strawberry.field
    def refusing(self, kinds: list[str]) -> list[Refusing | None]:
        return [Row(kind) for kind in kinds]  # type: ignore[misc]

    @strawberry.field
    async def cast(self) -> Shape | None:
        row: Any = strawberry.cast(Circle, Row("square"))
        return row  # type: ignore[no-any-return]


customised = strawberry.Schema(Customised, types=[Circle, Square], config=StrawberryConfig(info_class=OwnInfo))


@pytest.mark.parametrize(
    "text",
    [
        "{ hello parent shared ofClass own __typename t: __typename }",
        '{ shapes(kinds: ["circle", "circle"]) { kind ... on Circle { name } } }',
        '{ shapes(kinds: ["circle", "square"]) { __typename kind } one: shape(kind: "square") { kind } }',
        '{ shapes(kinds: ["circle", "later", "number"]) { kind } a: shape(kind: "none") { kind } }',
        '{ a: shape(kind: "later") { kind } b: shape(kind: "number") { kind } c: shape(kind: "other") { kind } }',
        '{ shape(kind: "missing") { kind } shapes(kinds: []) { kind } }',
        '{ refusing(kinds: ["a", "b"]) { name } more: refusing(kinds: ["a", "refused"]) { name } }',
        "{ cast { __typename kind } }",
    ],
)
async def test_both_agree_on_what_a_schema_may_change_of_strawberry(text: str) -> None:
    plain = await _plain(text, {}, zoo.Context(0, 0), customised)
    compiled = await _compiled(text, {}, zoo.Context(0, 0), customised)
    _agree(plain, compiled)
