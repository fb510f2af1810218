"""Loads by key that belong to a request: their batches end with it, and a whole column of keys is one load."""

import asyncio
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, TypeVar

from aiodataloader import DataLoader, Loader, dispatch_queue_batch, get_chunks

from loaders.scope import LoaderScope

Value = TypeVar("Value")


class ScopedLoader(DataLoader[Any, Value]):
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
        super().__init__(max_batch_size=max_size, get_cache_key=normal)

    async def load_batch(self, keys: list[Any]) -> Sequence[Value | Exception]:
        """For keys, a value each in their order; an exception stands for a key's failure. Called once a batch."""
        raise NotImplementedError

    async def batch_load_fn(self, keys: list[Any]) -> list[Value | Exception]:  # type: ignore[override]
        """`load_batch`, as aiodataloader calls it."""
        values = await self.load_batch(keys)
        if len(values) != len(keys):
            raise TypeError(f"a load of {len(keys)} keys gave {len(values)} values; it has to give one a key")
        return list(values)

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
        futures = await self._loaded_now(distinct) if alone and not self._queue and not self._window_s else None
        if futures is None:
            futures = [self.load(key) for key in distinct]
        pending = [future for future in futures if not future.done()]
        if pending:
            await asyncio.wait(pending)
        found.update(zip(distinct, map(_outcome, futures), strict=True))
        found.update(zip(failed, failed, strict=True))
        return list(map(found.__getitem__, keys))

    def do_resolve_reject(self, key: Any, future: "asyncio.Future[Value]") -> None:
        """Queue a load, and see to it that the queue is dispatched; aiodataloader's own tasks have no owner."""
        self._queue.append(Loader(key=key, future=future))
        if len(self._queue) > 1:
            return
        if self._window_s > 0:
            self.loop.call_later(self._window_s, self._dispatch)
        else:
            # Resolvers that this turn woke run in the next one, and may load too: wait for both, then go.
            self.loop.call_soon(self.loop.call_soon, self._dispatch)

    def _dispatch(self) -> None:
        queue, self._queue = self._queue, []
        awaited = []
        for load in queue:
            if load.future.cancelled():  # its request has ended, and the scope takes no more work
                self.clear(load.key)
            else:
                awaited.append(load)
        for chunk in get_chunks(awaited, self._max_size):
            self._scope.spawn(dispatch_queue_batch(self, chunk))

    async def _loaded_now(self, keys: list[Any]) -> "list[asyncio.Future[Value]] | None":
        """What the keys give, loaded in this very task as far as it is not known yet; None if that is too much."""
        cache, normal, loop = self._cache, self._normal, self.loop
        futures, batch = [], []
        for key in keys:
            wanted = normal(key)
            future = cache.get(wanted)
            if future is None:
                future = cache[wanted] = loop.create_future()
                batch.append(Loader(key, future))
            futures.append(future)
        if len(batch) > self._max_size:
            for load in batch:
                self.clear(load.key)
            return None
        if batch:
            try:
                await dispatch_queue_batch(self, batch)
            except asyncio.CancelledError:
                for load in batch:
                    load.future.cancel()
                    self.clear(load.key)
                raise
        return futures


def _outcome(future: "asyncio.Future[Any]") -> Any:
    error = future.exception()
    return future.result() if error is None else error


def _any_failed(keys: Iterable[Any]) -> bool:
    return any(issubclass(kind, Exception) for kind in set(map(type, keys)))
