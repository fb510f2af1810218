"""Where answers are kept: entries with their times, and the seam that memory and Redis stand behind."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One kept value. Times are monotonic seconds of this process; a shared store keeps durations instead.

    A Struct, because a batch makes a hundred of them: a dataclass takes ten times as long, and each is one object more
    for the garbage collector to look at.

    Attributes:
        value: as decoded, never changed by anyone; None means that the upstream knows no such thing.
        fresh_until: until then it is served without a call.
        revalidate_until: until then it is served while a newer one is fetched.
        stale_until: until then it stands in for a failed call; the last of the times.
        size: bytes it is taken to occupy.
    """

    value: Any
    produced_at: float
    fresh_until: float
    revalidate_until: float
    stale_until: float
    size: int


class Store(Protocol):
    """Keeps entries.

    No call raises for a store's own trouble: what cannot be read is a miss, what cannot be kept is lost.
    """

    async def get_many(self, keys: Sequence[bytes], kind: Any) -> list[Entry | None]:
        """The entries of `keys`, in their order; None where there is none that is still of use.

        Args:
            keys: opaque.
            kind: the type of the values (as msgspec takes it), for stores that keep bytes.
        """
        ...

    async def put_many(self, entries: Mapping[bytes, Entry]) -> None:
        """Keep entries, in place of older ones."""
        ...

    async def delete_many(self, keys: Sequence[bytes]) -> None:
        """Forget entries."""
        ...

    async def aclose(self) -> None:
        """Write what is still to be written, within a bounded time, and close connections."""
        ...
