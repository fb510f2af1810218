"""Memory first, a shared store second."""

from collections.abc import Mapping, Sequence
from typing import Any

from clients.stores.base import Entry, Store
from clients.stores.memory import MemoryStore


class TieredStore:
    """A `Store` of two: what memory does not have is asked of `shared`, and kept in memory when found there.

    Args:
        memory: asked first.
        shared: asked second; written to as well.
    """

    def __init__(self, memory: MemoryStore, shared: Store) -> None:
        self._memory = memory
        self._shared = shared

    async def get_many(self, keys: Sequence[bytes], kind: Any) -> list[Entry | None]:
        """The entries of `keys`, in their order; see `Store`."""
        entries = await self._memory.get_many(keys, kind)
        missing = list(dict.fromkeys(key for key, entry in zip(keys, entries, strict=True) if entry is None))
        if not missing:
            return entries
        answers = await self._shared.get_many(missing, kind)
        found = {key: entry for key, entry in zip(missing, answers, strict=True) if entry is not None}
        self._memory.promote(found)
        return [entry or found.get(key) for key, entry in zip(keys, entries, strict=True)]

    async def put_many(self, entries: Mapping[bytes, Entry]) -> None:
        """Keep entries in both."""
        await self._memory.put_many(entries)
        await self._shared.put_many(entries)

    async def delete_many(self, keys: Sequence[bytes]) -> None:
        """Forget entries in both."""
        await self._memory.delete_many(keys)
        await self._shared.delete_many(keys)

    async def aclose(self) -> None:
        """Close both."""
        await self._shared.aclose()
        await self._memory.aclose()
