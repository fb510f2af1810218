"""Entries in this process: least recently used out first, bounded by entries and by bytes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cachetools import LRUCache

from clients.clock import Clock
from clients.stores.base import Entry

_OVERHEAD_BYTES = 500  # an Entry, its floats, a key the size of a digest, and its places in three dicts


@dataclass(slots=True)
class MemoryFigures:
    """What a memory store holds and has done since the start.

    Attributes:
        entries: held now, the expired that nobody asked for included.
        bytes: what they are taken to occupy: values, and 500 for each entry and its key.
        evictions: entries that went because newer ones needed the room.
        refused: entries not kept because one alone is larger than the store.
    """

    entries: int = 0
    bytes: int = 0
    hits: int = 0
    misses: int = 0
    evictions: int = 0
    refused: int = 0


class MemoryStore:
    """A `Store` in memory. Values are kept as they are: whoever reads one must not change it.

    Args:
        max_entries: most entries held.
        max_bytes: most bytes held; a single entry above it is not kept.
        clock: the one that the entries' times were read from.
    """

    def __init__(self, max_entries: int, max_bytes: int, clock: Clock) -> None:
        if max_entries < 1 or max_bytes < 1:
            raise ValueError("max_entries and max_bytes must be at least 1")
        self._clock = clock
        self._max_entries = max_entries
        self._cache: LRUCache[bytes, Entry] = LRUCache(max_bytes, getsizeof=_size)
        self._figures = MemoryFigures()

    @property
    def figures(self) -> MemoryFigures:
        """The figures as they are now."""
        self._figures.entries = len(self._cache)
        self._figures.bytes = int(self._cache.currsize)
        return self._figures

    async def get_many(self, keys: Sequence[bytes], kind: Any) -> list[Entry | None]:
        """The entries of `keys`, in their order; see `Store`. `kind` is not used: values are kept decoded."""
        del kind
        now = self._clock.now()
        return [self._get(key, now) for key in keys]

    async def put_many(self, entries: Mapping[bytes, Entry]) -> None:
        """Keep entries, in place of older ones; a too large one only removes the older."""
        for key, entry in entries.items():
            self._put(key, entry)

    def promote(self, entries: Mapping[bytes, Entry]) -> None:
        """Keep entries that come from another store, except where a newer one has been put meanwhile."""
        for key, entry in entries.items():
            held = self._cache.get(key)
            if held is None or held.produced_at < entry.produced_at:
                self._put(key, entry)

    async def delete_many(self, keys: Sequence[bytes]) -> None:
        """Forget entries."""
        for key in keys:
            self._cache.pop(key, None)

    async def aclose(self) -> None:
        """Forget everything."""
        self._cache.clear()

    def _get(self, key: bytes, now: float) -> Entry | None:
        entry = self._cache.get(key)
        if entry is not None and now < max(entry.fresh_until, entry.stale_until):
            self._figures.hits += 1
            return entry
        if entry is not None:
            del self._cache[key]
        self._figures.misses += 1
        return None

    def _put(self, key: bytes, entry: Entry) -> None:
        cache, figures = self._cache, self._figures
        cache.pop(key, None)
        size = _size(entry)
        if size > cache.maxsize:
            figures.refused += 1
            return
        while cache and (len(cache) >= self._max_entries or cache.currsize + size > cache.maxsize):
            cache.popitem()
            figures.evictions += 1
        cache[key] = entry


def _size(entry: Entry) -> int:
    return entry.size + _OVERHEAD_BYTES
