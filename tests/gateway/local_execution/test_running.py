"""What compiled execution does besides giving the same answers: batches, cancellation, where errors are told."""

import asyncio
import gc
from collections.abc import Sequence
from typing import Any

import msgspec
import strawberry

from gateway.context import RequestContext
from gateway.http.documents import DocumentCache
from gateway.local_execution import LocalSchema, Program, Result
from loaders.keyed import keyed
from loaders.scope import LoaderScope
from schema.build import core_schema
from tests.gateway.local_execution import zoo


async def run(schema: strawberry.Schema, text: str, context: Any = None, **options: Any) -> Result:
    document = DocumentCache(core_schema(schema)).get(text)
    local = LocalSchema(schema, hide_suggestions=True)
    assert isinstance(local.prepared(document, document.operation()).program({}), Program)
    return await local.execute(
        document, document.operation(), {}, zoo.Context(0, 0) if context is None else context, **options
    )


asked: list[list[str]] = []


async def _load(keys: list[str], _: LoaderScope) -> Sequence[Any]:
    asked.append(keys)
    return [Child(name=key) for key in keys]


@strawberry.type
class Child:
    name: str


children = keyed(Child, _load)


@strawberry.type
class Row:
    key: strawberry.Private[str]
    child: Child | None = children.field(by="key")
    again: Child | None = children.field(by="key")


@strawberry.type
class Query:
    @strawberry.field
    def rows(self) -> list[Row]:
        return [Row(key=str(n % 3)) for n in range(9)]

    @strawberry.field
    async def other_rows(self) -> list[Row]:
        return [Row(key="other")]

    @strawberry.field
    async def endless(self, info: strawberry.Info) -> str:
        info.context.begun.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(0)
            info.context.ended += 1
        return ""

    @strawberry.field
    def strict(self) -> int:
        return None  # type: ignore[return-value]


schema = strawberry.Schema(Query)


async def test_a_batch_is_called_once_for_a_column() -> None:
    asked.clear()
    result = await run(schema, "{ rows { child { name } again { name } } }", alone=True)
    assert [row["child"]["name"] for row in msgspec.to_builtins(result.data)["rows"]] == list("012012012")
    assert asked == [["0", "1", "2"]]


async def test_columns_at_several_places_are_one_batch() -> None:
    asked.clear()
    await run(schema, "{ rows { child { name } } otherRows { child { name } } }", alone=True)
    assert sorted(map(sorted, asked)) == [["0", "1", "2", "other"]]


class Endless(zoo.Context):
    def __init__(self) -> None:
        super().__init__(0, 0)
        self.begun = asyncio.Event()
        self.ended = 0


async def test_cancelling_ends_all_resolvers_before_it_has_ended() -> None:
    before = asyncio.all_tasks()
    context = Endless()
    running = asyncio.create_task(run(schema, "{ a: endless b: endless rows { child { name } } }", context))
    await context.begun.wait()
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    assert context.ended == 2
    await asyncio.sleep(0)
    assert asyncio.all_tasks() <= before


async def test_a_null_that_may_not_be_leaves_no_data_and_says_where() -> None:
    result = await run(schema, "{ rows { child { name } } strict }")
    assert result.data is None
    (error,) = result.errors
    assert (error.message, error.path) == ("Cannot return null for non-nullable field Query.strict.", ["strict"])


async def test_of_several_errors_that_take_one_place_the_first_of_the_document_is_told() -> None:
    result = await run(schema, "{ b: strict a: strict }")
    assert [error.path for error in result.errors] == [["b"]]


async def test_a_request_leaves_nothing_for_the_garbage_collector() -> None:
    class State:
        upstreams: dict[str, Any] = {}  # noqa: RUF012 - never changed

    document = DocumentCache(core_schema(schema)).get("{ rows { child { name } } }")
    local = LocalSchema(schema, hide_suggestions=True)

    async def once() -> None:
        async with RequestContext(None, State()) as context:  # type: ignore[arg-type]
            await local.execute(document, document.operation(), {}, context)
        await asyncio.sleep(0)

    await once()
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        for _ in range(20):
            await once()
        assert len(gc.get_objects()) - before < 100
    finally:
        gc.enable()


async def test_variables_that_do_not_fit_are_told_and_nothing_runs() -> None:
    document = DocumentCache(core_schema(zoo.schema)).get("query ($id: ID!) { begin(at: $id) { id } }")
    context = zoo.Context(0, 0)
    local = LocalSchema(zoo.schema, hide_suggestions=True)
    result = await local.execute(document, document.operation(), {"id": [1]}, context)
    assert result.data is None
    assert [error.path for error in result.errors] == [None]
    assert not context.calls


@strawberry.type
class Ledger:
    """Says what happens, in order."""

    said: strawberry.Private[list[str]]
    name: str

    @strawberry.field
    async def closed(self) -> bool:
        for _ in range(3):
            await asyncio.sleep(0)
        self.said.append(f"{self.name} closed")
        return True


@strawberry.type
class Asking:
    nothing: int = 0


@strawberry.type
class Changing:
    @strawberry.mutation
    async def open(self, info: strawberry.Info, name: str) -> Ledger | None:
        said: list[str] = info.context
        said.append(f"{name} begins")
        await asyncio.sleep(0)
        said.append(f"{name} opened")
        return Ledger(said=said, name=name)

    @strawberry.mutation
    def burn(self, info: strawberry.Info, name: str) -> int:
        info.context.append(f"{name} burnt")
        raise ValueError(name)


changing = strawberry.Schema(Asking, Changing)


async def test_root_fields_of_a_mutation_run_one_after_the_other() -> None:
    said: list[str] = []
    result = await run(changing, 'mutation { a: open(name: "a") { closed } b: open(name: "b") { closed } }', said)
    assert msgspec.to_builtins(result.data) == {"a": {"closed": True}, "b": {"closed": True}}
    assert said == ["a begins", "a opened", "a closed", "b begins", "b opened", "b closed"]


async def test_no_field_of_a_mutation_runs_after_one_that_took_the_root() -> None:
    said: list[str] = []
    text = 'mutation { a: open(name: "a") { closed } burn(name: "b") c: open(name: "c") { closed } }'
    result = await run(changing, text, said)
    assert result.data is None
    assert [error.path for error in result.errors] == [["burn"]]
    assert said == ["a begins", "a opened", "a closed", "b burnt"]
