"""Loads by key that belong to a request: their batches end with it, and a whole column of keys is one load."""

import asyncio
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Generic, TypeVar

from loaders.scope import LoaderScope

Value = TypeVar("Value")

_COLUMN = object()
"""Waits for the batch as a whole."""


class _Batch:
    """Keys that are asked for together, and what came of them.

    Attributes:
        keys: by what they are compared by.
        results: by the same.
        ended: the results are there.
    """

    __slots__ = ("_waiting", "ended", "keys", "results")

    def __init__(self) -> None:
        self.keys: dict[Hashable, Any] = {}
        self.results: dict[Hashable, Any] = {}
        self.ended = False
        self._waiting: list[tuple[asyncio.Future[Any], Hashable]] = []

    def result(self, wanted: Hashable) -> "asyncio.Future[Any]":
        """A key's result, as soon as it is there. Each caller has its own, so that one may be cancelled."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.ended:
            _settle(future, self.results.get(wanted))
        else:
            self._waiting.append((future, wanted))
        return future

    def take(self, keys: dict[Hashable, Any], max_size: int) -> dict[Hashable, Any]:
        """Take in as many keys as there is room for; gives the others."""
        room = max_size - len(self.keys)
        if len(keys) <= room:
            self.keys.update(keys)
            return {}
        some = list(keys.items())
        self.keys.update(some[:room])
        return dict(some[room:])

    def given_up(self) -> list[Hashable]:
        """The keys that nobody waits for any more."""
        alive = [wanted for future, wanted in self._waiting if not future.done()]
        if len(alive) == len(self._waiting) or _COLUMN in alive:
            return []
        return [wanted for wanted in self.keys if wanted not in alive]

    def cancel(self) -> None:
        """There will be no results: the request has ended."""
        for future, _ in self._waiting:
            future.cancel()
        self._waiting.clear()

    def finish(self, results: dict[Hashable, Any]) -> None:
        """Hand out the results."""
        self.results = results
        self.ended = True
        for future, wanted in self._waiting:
            if not future.done():
                _settle(future, results.get(wanted))
        self._waiting.clear()


class ScopedLoader(Generic[Value]):
    """Loads of one turn of the event loop become one batch; equal keys are asked for once in a request.

    Subclasses say how: `load_batch`. A batch that fails as a whole fails its keys and is not remembered; a key that
    fails is.

    Args:
        scope: owns the batches.
        max_size: keys in one batch; more are split into several.
        window_s: how long to collect keys; 0 collects until the end of the turn.
        normal: what keys are compared by.
    """

    def __init__(
        self,
        scope: LoaderScope,
        *,
        max_size: int,
        window_s: float = 0.0,
        normal: Callable[[Any], Hashable] = lambda key: key,
    ) -> None:
        self._scope = scope
        self._max_size = max_size
        self._window_s = window_s
        self._normal = normal
        self._batches: dict[Hashable, _Batch] = {}
        self._queue: list[_Batch] = []

    async def load_batch(self, keys: list[Any]) -> Sequence[Value | Exception]:
        """For keys, a value each in their order; an exception stands for a key's failure. Called once a batch."""
        raise NotImplementedError

    def load(self, key: Any) -> "asyncio.Future[Value]":
        """The value of one key; raises what its load raises."""
        wanted = self._normal(key)
        batch = self._batches.get(wanted)
        if batch is None:
            batch = self._batches[wanted] = self._collecting()
            batch.keys[wanted] = key
        return batch.result(wanted)

    def load_many(self, keys: Sequence[Any]) -> "asyncio.Future[list[Value]]":
        """The values of many keys; raises the first error there is."""
        return asyncio.gather(*map(self.load, keys))

    async def load_column(self, keys: Sequence[Hashable | None], *, alone: bool = False) -> list[Any]:
        """One result a key, in their order: None for None, and the exception where a load failed.

        Args:
            keys: an exception in the place of a key, as `keys_of` puts it there, is its own result.
            alone: nothing else of the request is loading, so the keys need not wait for others.
        """
        found: dict[Any, Any] = dict.fromkeys(keys)
        failed = [key for key in found if isinstance(key, Exception)] if _any_failed(found) else []
        distinct = list(found)
        if failed or None in found:
            distinct = [key for key in found if key is not None and not isinstance(key, Exception)]
        wanted = list(map(self._normal, distinct))
        fresh = dict(zip(wanted, distinct, strict=True))
        batches = set()
        for known in self._batches.keys() & fresh.keys() if self._batches else ():
            batches.add(self._batches[known])
            del fresh[known]
        if alone and not self._queue and not self._window_s and 0 < len(fresh) <= self._max_size:
            batch = _Batch()
            batch.take(fresh, self._max_size)
            batches.add(batch)
            self._batches |= dict.fromkeys(fresh, batch)
            await self._load(batch)
            fresh = {}
        while fresh:
            batch = self._collecting()
            batches.add(batch)
            fresh = batch.take(fresh, self._max_size)
            self._batches |= dict.fromkeys(batch.keys, batch)
        for waiting in [batch.result(_COLUMN) for batch in batches if not batch.ended]:
            await waiting
        results = next(iter(batches)).results if len(batches) == 1 else _merged(batches)
        found.update(zip(distinct, map(results.__getitem__, wanted), strict=True))
        found.update(zip(failed, failed, strict=True))
        return list(map(found.__getitem__, keys))

    def _collecting(self) -> _Batch:
        """The batch at the end of the queue, with room for a key; somebody sees to the queue."""
        if self._queue and len(self._queue[-1].keys) < self._max_size:
            return self._queue[-1]
        batch = _Batch()
        self._queue.append(batch)
        if len(self._queue) == 1:
            loop = asyncio.get_running_loop()
            if self._window_s > 0:
                loop.call_later(self._window_s, self._dispatch)
            else:
                # Resolvers that this turn woke run in the next one, and may load too: wait for both, then go.
                loop.call_soon(loop.call_soon, self._dispatch)
        return batch

    def _dispatch(self) -> None:
        queue, self._queue = self._queue, []
        for batch in queue:
            for wanted in batch.given_up():
                del batch.keys[wanted], self._batches[wanted]
            if batch.keys:  # else the request has ended, and the scope takes no more work
                self._scope.spawn(self._load(batch))

    async def _load(self, batch: _Batch) -> None:
        keys = list(batch.keys.values())
        try:
            values = await self.load_batch(keys)
            if len(values) != len(keys):
                raise TypeError(f"a load of {len(keys)} keys gave {len(values)} values; it has to give one a key")
        except asyncio.CancelledError:
            self._forget(batch)
            batch.cancel()
            raise
        except Exception as error:  # noqa: BLE001  # handed to whoever waits
            self._forget(batch)
            batch.finish(dict.fromkeys(batch.keys, error))
        else:
            batch.finish(dict(zip(batch.keys, values, strict=True)))

    def _forget(self, batch: _Batch) -> None:
        for wanted in batch.keys:
            self._batches.pop(wanted, None)


def _any_failed(keys: Iterable[Any]) -> bool:
    return any(issubclass(kind, Exception) for kind in set(map(type, keys)))


def _merged(batches: Iterable[_Batch]) -> dict[Hashable, Any]:
    merged: dict[Hashable, Any] = {}
    for batch in batches:
        merged |= batch.results
    return merged


def _settle(future: "asyncio.Future[Any]", result: Any) -> None:
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
