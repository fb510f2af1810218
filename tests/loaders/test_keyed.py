"""Values by key from a function of one's own, one at a time and a column at a time."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import strawberry

from loaders.columns import COLUMN, keys_of
from loaders.keyed import Keyed, keyed
from loaders.scope import LoaderScope
from loaders.scoped_loader import ScopedLoader
from tests.loaders.support import Scope


class Source:
    """Remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    async def load(self, keys: list[str], _: LoaderScope) -> Sequence[Any]:
        self.asked.append(keys)
        await asyncio.sleep(0)
        return [KeyError(key) if key == "bad" else None if key == "none" else key.upper() for key in keys]


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
async def scope() -> AsyncIterator[Scope]:
    made = Scope(None)  # type: ignore[arg-type]  # nothing here asks an upstream
    yield made
    await made.aclose()


def loader(source: Source, scope: Scope, **options: Any) -> ScopedLoader[Any]:
    return keyed(str, source.load, **options).loader(scope)


@pytest.mark.parametrize("alone", [True, False])
async def test_a_column_is_one_load_with_a_result_for_each_key(source: Source, scope: Scope, alone: bool) -> None:
    found = await loader(source, scope).load_column(["a", None, "bad", "a", "none", "b"], alone=alone)
    assert found[:2] == ["A", None]
    assert isinstance(found[2], KeyError)
    assert found[3:] == ["A", None, "B"]
    assert source.asked == [["a", "bad", "none", "b"]]


@pytest.mark.parametrize("alone", [True, False])
async def test_a_column_and_single_loads_share_what_was_loaded(source: Source, scope: Scope, alone: bool) -> None:
    loads = loader(source, scope)
    single = loads.load("a")
    column = asyncio.create_task(loads.load_column(["a", "b"], alone=alone))
    assert await single == "A"
    assert await column == ["A", "B"]
    assert await loads.load_column(["b", "c", "a"]) == ["B", "C", "A"]
    assert await loads.load_column(["c"]) == ["C"]
    assert sorted(key for keys in source.asked for key in keys) == ["a", "b", "c"]


@pytest.mark.parametrize("alone", [True, False])
async def test_a_column_is_split_into_batches(source: Source, scope: Scope, alone: bool) -> None:
    keys = [str(n) for n in range(7)]
    assert await loader(source, scope, max_batch_size=3).load_column(keys, alone=alone) == keys
    assert source.asked == [["0", "1", "2"], ["3", "4", "5"], ["6"]]


async def test_what_is_not_alone_waits_for_the_turn_to_end(source: Source, scope: Scope) -> None:
    loads = loader(source, scope)
    await asyncio.gather(loads.load_column(["a"]), loads.load_column(["b"]), loads.load("c"))
    assert sorted(map(sorted, source.asked)) == [["a", "b", "c"]]


async def test_an_error_in_the_place_of_a_key_is_its_result(source: Source, scope: Scope) -> None:
    class Row:
        key = "a"

    first, second = await loader(source, scope).load_column(keys_of([Row(), object()], lambda row: row.key))
    assert first == "A"
    assert isinstance(second, AttributeError)


@pytest.mark.parametrize("alone", [True, False])
async def test_a_load_of_the_wrong_length_fails_its_keys_and_is_not_remembered(scope: Scope, alone: bool) -> None:
    short = [True]

    async def load(keys: list[str], _: LoaderScope) -> Sequence[str]:
        return keys[:-1] if short.pop() else keys

    loads = keyed(str, load).loader(scope)
    found = await loads.load_column(["a", "b"], alone=alone)
    assert [str(error) for error in found] == ["a load of 2 keys gave 1 values; it has to give one a key"] * 2
    short.append(False)
    assert await loads.load_column(["a", "b"], alone=alone) == ["a", "b"]


async def test_who_waits_for_a_column_that_is_cancelled_is_cancelled_too(scope: Scope) -> None:
    begun = asyncio.Event()

    async def load(_: list[str], __: LoaderScope) -> Sequence[str]:
        begun.set()
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    loads = keyed(str, load).loader(scope)
    column = asyncio.create_task(loads.load_column(["a"], alone=True))
    await begun.wait()
    other = loads.load("a")
    column.cancel()
    await asyncio.wait([column, other])
    assert column.cancelled()
    assert other.cancelled()


def field_of(declared: Keyed) -> strawberry.Schema:
    @strawberry.type
    class Query:
        key: strawberry.Private[str | None] = "a"
        value: str | None = declared.field(by="key", description="By key.")

    return strawberry.Schema(Query)


async def test_a_field_loads_by_the_parents_attribute(source: Source, scope: Scope) -> None:
    schema = field_of(keyed(str, source.load))

    class Root:
        key: str | None = "a"

    result = await schema.execute("{ value }", root_value=Root(), context_value=scope)
    assert result.data == {"value": "A"}
    Root.key = None
    result = await schema.execute("{ value }", root_value=Root(), context_value=scope)
    assert result.data == {"value": None}
    assert "By key." in str(schema)


async def test_a_resolver_of_ones_own_loads_by_any_key(source: Source, scope: Scope) -> None:
    declared = keyed(str, source.load)

    @strawberry.type
    class Query:
        @strawberry.field
        async def value(self, info: strawberry.Info, key: str) -> str:
            value: str = await declared.load(key, info)
            return value

    result = await strawberry.Schema(Query).execute('{ value(key: "x") }', context_value=scope)
    assert result.data == {"value": "X"}


def test_a_field_says_how_it_is_resolved_for_a_column(source: Source) -> None:
    (definition,) = field_of(keyed(str, source.load)).query.__strawberry_definition__.fields  # type: ignore[attr-defined]
    assert COLUMN in definition.metadata
