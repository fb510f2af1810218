from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import clients.stores
from clients.stores import Entry, MemoryStore, TieredStore
from clients.stores.redis_store import RedisStore
from tests.clients.stores.support import ManualClock, entry
from tests.testkit.redis import RedisServer


class Shared:
    """A store that answers with what it is told, after doing what it is told."""

    def __init__(self) -> None:
        self.entries: dict[bytes, Entry] = {}
        self.asked: list[list[bytes]] = []
        self.meanwhile: Mapping[bytes, Entry] = {}
        self.memory: MemoryStore | None = None
        self.closed = False

    async def get_many(self, keys: Sequence[bytes], kind: Any) -> list[Entry | None]:
        self.asked.append(list(keys))
        if self.memory is not None:
            await self.memory.put_many(self.meanwhile)
        return [self.entries.get(key) for key in keys]

    async def put_many(self, entries: Mapping[bytes, Entry]) -> None:
        self.entries.update(entries)

    async def delete_many(self, keys: Sequence[bytes]) -> None:
        for key in keys:
            self.entries.pop(key, None)

    async def aclose(self) -> None:
        self.closed = True


def memory() -> MemoryStore:
    return MemoryStore(100, 1_000_000, ManualClock())


async def test_only_what_memory_lacks_is_asked_for_and_then_kept_there() -> None:
    near, shared = memory(), Shared()
    store = TieredStore(near, shared)
    await near.put_many({b"a": entry("a")})
    shared.entries = {b"b": entry("b")}
    found = await store.get_many([b"b", b"a", b"c", b"b"], str)
    assert [e.value if e else None for e in found] == ["b", "a", None, "b"]
    assert shared.asked == [[b"b", b"c"]]
    await store.get_many([b"a", b"b"], str)
    assert len(shared.asked) == 1


async def test_a_newer_entry_in_memory_is_not_replaced_by_an_older_shared_one() -> None:
    near, shared = memory(), Shared()
    store = TieredStore(near, shared)
    shared.entries = {b"k": entry("old", now=900)}
    shared.memory, shared.meanwhile = near, {b"k": entry("new", now=1000)}
    await store.get_many([b"k"], str)
    [held] = await near.get_many([b"k"], str)
    assert held is not None
    assert held.value == "new"


async def test_both_are_written_and_both_forget() -> None:
    near, shared = memory(), Shared()
    store = TieredStore(near, shared)
    await store.put_many({b"k": entry("v")})
    assert near.figures.entries == 1
    assert b"k" in shared.entries
    await store.delete_many([b"k"])
    assert near.figures.entries == 0
    assert shared.entries == {}
    await store.aclose()
    assert shared.closed


async def test_a_new_process_starts_with_what_redis_has(redis: RedisServer) -> None:
    clock = ManualClock()
    async with RedisStore(redis.url, clock, Random(1), timeout_s=5) as first:
        await TieredStore(memory(), first).put_many({b"k": entry({"a": 1})})
    near = memory()
    async with RedisStore(redis.url, clock, Random(1), timeout_s=5) as second:
        store = TieredStore(near, second)
        [found] = await store.get_many([b"k"], dict[str, int])
        assert found is not None
        assert found.value == {"a": 1}
        await store.get_many([b"k"], dict[str, int])
    assert second.figures.hits == 1
    assert near.figures.hits == 1


def test_the_package_exports_exactly_this() -> None:
    assert clients.stores.__all__ == ["Entry", "MemoryFigures", "MemoryStore", "Store", "TieredStore"]
