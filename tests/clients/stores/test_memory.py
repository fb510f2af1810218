from clients.stores.memory import MemoryStore
from tests.clients.stores.support import ManualClock, entry


async def test_gives_entries_in_the_order_of_the_keys_and_none_for_the_unknown() -> None:
    store = MemoryStore(10, 100_000, ManualClock())
    first, second = entry("one"), entry("two")
    await store.put_many({b"1": first, b"2": second})
    assert await store.get_many([b"2", b"?", b"1", b"2"], str) == [second, None, first, second]
    assert (store.figures.hits, store.figures.misses) == (3, 1)


async def test_an_entry_past_both_its_times_is_a_miss_and_is_removed() -> None:
    clock = ManualClock()
    store = MemoryStore(10, 100_000, clock)
    await store.put_many({b"k": entry("v", now=clock.now(), max_age_s=5, stale_s=10)})
    clock.advance(14.9)
    assert await store.get_many([b"k"], str) != [None]
    clock.advance(0.1)
    assert await store.get_many([b"k"], str) == [None]
    assert store.figures.entries == 0
    assert store.figures.bytes == 0
    assert store.figures.evictions == 0


async def test_an_entry_that_may_not_go_stale_lives_as_long_as_it_is_fresh() -> None:
    clock = ManualClock()
    store = MemoryStore(10, 100_000, clock)
    await store.put_many({b"k": entry("v", now=clock.now(), max_age_s=5, stale_s=0)})
    clock.advance(4)
    assert await store.get_many([b"k"], str) != [None]
    clock.advance(1)
    assert await store.get_many([b"k"], str) == [None]


async def test_the_least_recently_used_goes_when_there_are_too_many() -> None:
    store = MemoryStore(2, 100_000, ManualClock())
    await store.put_many({b"a": entry("a"), b"b": entry("b")})
    await store.get_many([b"a"], str)
    await store.put_many({b"c": entry("c")})
    found = await store.get_many([b"a", b"b", b"c"], str)
    assert [e.value if e else None for e in found] == ["a", None, "c"]
    assert store.figures.evictions == 1


async def test_bytes_are_bounded_too() -> None:
    store = MemoryStore(100, 10_000, ManualClock())
    for number in range(20):
        await store.put_many({b"%d" % number: entry("x", size=3000)})
        assert store.figures.bytes <= 10_000
    assert store.figures.entries == 2
    assert store.figures.evictions == 18


async def test_an_entry_larger_than_the_store_is_not_kept_and_neither_is_what_it_replaces() -> None:
    store = MemoryStore(100, 10_000, ManualClock())
    await store.put_many({b"k": entry("old"), b"other": entry("stays")})
    await store.put_many({b"k": entry("new", size=10_001)})
    found = await store.get_many([b"k", b"other"], str)
    assert [e.value if e else None for e in found] == [None, "stays"]
    assert store.figures.refused == 1


async def test_replacing_an_entry_counts_its_bytes_once() -> None:
    store = MemoryStore(100, 10_000, ManualClock())
    await store.put_many({b"k": entry("old", size=1000)})
    before = store.figures.bytes
    await store.put_many({b"k": entry("new", size=1000)})
    assert store.figures.bytes == before
    assert store.figures.evictions == 0


async def test_deleted_entries_are_gone_and_unknown_ones_do_not_matter() -> None:
    store = MemoryStore(10, 100_000, ManualClock())
    await store.put_many({b"k": entry("v")})
    await store.delete_many([b"k", b"never"])
    assert await store.get_many([b"k"], str) == [None]
    await store.put_many({b"k": entry("v")})
    await store.aclose()
    assert store.figures.entries == 0


async def test_what_begins_alike_is_purged_and_nothing_else() -> None:
    store = MemoryStore(10, 100_000, ManualClock())
    await store.put_many({b"crm\0a": entry(1), b"crm\0b": entry(2), b"crmx\0a": entry(3)})
    assert store.purge(b"crm\0") == 2
    assert await store.get_many([b"crm\0a", b"crm\0b"], int) == [None, None]
    assert (store.figures.entries, store.figures.bytes, store.figures.evictions) == (1, 600, 0)
    assert store.purge(b"crm\0") == 0
